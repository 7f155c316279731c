"""The tables of `calotype bench synthesis`."""

from __future__ import annotations

from typing import Any


def synthesis_lines(result: dict[str, Any]) -> list[str]:
    """Of a `synthesis_bench.bench_synthesis` result with "picture" and "model"."""
    peak, columns = result["peak"], f"{'median':>13}{'min':>13}{'GMAC/s':>9}{'of peak':>10}"
    lines = [
        f"{result['picture']}, {result['width']}x{result['height']}, {result['model']} at quality {result['quality']:g}"
        f" ({result['bpp']:.3f} bpp), threads: {result['threads']}, {result['runs']} runs each in turn, fewer of the slowest",
        f"synthesis: {1e-9 * result['macs']:.3f} GMAC; int8 peak: {peak['gmac_s']:.0f} GMAC/s ({peak['name']});"
        " GMAC/s are of the minima",
        "",
        f"{'latents to pixels':<28}{columns}{'eager takes':>17}{'PSNR to ours':>14}",
    ]
    for name, figures in result["nets"].items():
        times = " / ".join(f"{v:.2f}x" for v in figures["faster"].values()) if "faster" in figures else ""
        psnr = "same" if figures["psnr"] is None else f"{figures['psnr']:.1f} dB"
        lines.append(f"{name:<28}{_speed(figures)}{times:>17}{psnr:>14}{_runs(figures, result)}")
    lines += ["", f"{'int8 matrix products':<28}{columns}"]
    for name, sizes in result["products"].items():
        for size, figures in sizes.items():
            lines.append(f"{name:<28}{_speed(figures)}  {size}{_runs(figures, result)}")
    lines += ["", f"{'layers of our kernel':<28}{columns}"]
    for name, figures in result["layers"].items():
        label = f"{name}, one of {figures['times']}" if figures["times"] > 1 else name
        lines.append(f"{label:<28}{_speed(figures)}{_runs(figures, result)}")
    whole = result["pointwise"]
    lines.append(f"{'all 1x1 layers':<54}{whole['gmac_s']:>9.1f}{100 * whole['share']:>8.1f} %")
    lines += ["", f"{'bytes to pixels':<28}{'median':>13}{'min':>13}{'synthesis':>14}{'entropy, prior':>17}"]
    for name, figures in result["decode"].items():
        parts = figures["parts"]
        lines.append(
            f"{name:<28}{figures['median_ms']:>10.2f} ms{figures['min_ms']:>10.2f} ms{parts['network']:>11.2f} ms"
            f"{parts['entropy']:>14.2f} ms"
        )
    return lines + ["", *(f"{name}: {note}" for name, note in result["notes"].items())]


def _speed(figures: dict[str, Any]) -> str:
    times = "".join(f"{figures[part]:>10.2f} ms" for part in ("median_ms", "min_ms"))
    return f"{times}{figures['gmac_s']:>9.1f}{100 * figures['share']:>8.1f} %"


def _runs(figures: dict[str, Any], result: dict[str, Any]) -> str:
    return f"  (runs: {figures['runs']})" if figures["runs"] < result["runs"] else ""
