"""`calotype eval`: rates, PSNR and BD-rate of a model on a folder of pictures."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from calotype.cli.options import machine_options, prepare
from calotype.cli.terminal import Progress

DATA_VARIABLE = "CALOTYPE_DATA"
QUALITIES = "0,10,20,30,40,50,60,70,80,90,100"
COLUMNS = (  # key of a point, width, digits
    ("bpp", 8, 4),
    ("estimated_bpp", 9, 4),
    ("psnr_rgb", 8, 3),
    ("encode_seconds", 8, 3),
    ("decode_seconds", 8, 3),
)
_PATH = click.Path(path_type=Path)


def _qualities(context: click.Context, parameter: click.Parameter, text: str) -> list[float]:
    try:
        found = sorted({float(part) for part in text.split(",")})
    except ValueError as error:
        raise click.BadParameter("give numbers with commas between them, as 0,25,50", context, parameter) from error
    if not all(0 <= quality <= 100 for quality in found):
        raise click.BadParameter("each quality is 0 to 100", context, parameter)
    return found


@click.command("eval")
@click.argument("sources", nargs=-1, type=_PATH, metavar="[DIR|PICTURE]...")
@click.option("--qualities", callback=_qualities, default=QUALITIES, show_default=True, help="Points of the dial.")
@click.option("-m", "--model", help="A shipped model's name, or a model file.")
@click.option("--anchor", "anchors", multiple=True, type=_PATH, help="CompressAI results file to compare with.")
@click.option("--out", type=_PATH, help="Keep the run in this JSON file; resume the one that is there.")
@click.option("--limit", type=click.IntRange(min=1), help="Only the first N pictures.")
@machine_options
@click.option("--json", "as_json", is_flag=True, help="Print the run as JSON in place of the table.")
def command(
    sources: tuple[Path, ...],
    qualities: list[float],
    model: str | None,
    anchors: tuple[Path, ...],
    out: Path | None,
    limit: int | None,
    threads: int | None,
    device: str,
    as_json: bool,
) -> None:
    """Measure a model on pictures: real bytes, PSNR, BD-rate against published curves.

    Without DIR the pictures are those of the folder kodak in $CALOTYPE_DATA. Exits with 1 where a picture failed or
    the decoder's pixels are not the encoder's.
    """
    from calotype.eval.anchors import read_anchor
    from calotype.eval.coders import CalotypeCoder
    from calotype.eval.environment import environment
    from calotype.eval.images import evaluate, find_pictures
    from calotype.models.zoo import DEFAULT_IMAGE_MODEL, load_model

    pictures = find_pictures(sources or [_default_folder()], limit)
    curves = [read_anchor(path) for path in anchors]
    coder = CalotypeCoder(load_model(model or DEFAULT_IMAGE_MODEL, prepare(device, threads)))
    line = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    with Progress(len(pictures) * len(qualities), "measuring") as bar:

        def progress(done: int, total: int, name: str) -> None:
            bar.done = done
            bar.begin(name)
            bar.part(0, 1)

        run = evaluate(coder, pictures, qualities, environment(device), line, out, progress)
    comparisons = compare_all(run, curves)
    if as_json:
        click.echo(json.dumps({**run, "comparisons": comparisons}, indent=1))
    else:
        for text in report(run, comparisons):
            click.echo(text)
    if run["failures"] or run["summary"]["checks"]["differing_pixels"]:
        raise click.exceptions.Exit(1)


def _default_folder() -> Path:
    from calotype.errors import UsageError

    folder = os.environ.get(DATA_VARIABLE)
    if not folder:
        raise UsageError(f"no pictures to measure: give a folder, or set {DATA_VARIABLE} to the one that holds kodak/")
    return Path(folder) / "kodak"


def compare_all(run: dict[str, Any], anchors: Sequence[Any]) -> list[dict[str, Any]]:
    """The run's averaged curve against each anchor `Curve`: fields of `Comparison` and "warnings", or "error"."""
    from dataclasses import asdict

    from calotype.eval.bdrate import CurveError, compare
    from calotype.eval.images import KODAK, curve

    found: list[dict[str, Any]] = []
    for anchor in anchors:
        try:
            comparison = compare(anchor, curve(run, run["codec"].get("model", run["codec"]["codec"])))
        except CurveError as error:
            found.append({"anchor": anchor.name, "error": str(error)})
            continue
        warnings = comparison.warnings
        if sorted(run["summary"]["pictures"]) != list(KODAK):
            warnings = [*warnings, "these are not the 24 Kodak pictures: compare only with an anchor of the same ones"]
        found.append({**asdict(comparison), "warnings": warnings})
    return found


def report(run: dict[str, Any], comparisons: Sequence[dict[str, Any]]) -> list[str]:
    """The lines that `calotype eval` prints: table, BD-rates with their conditions, checks, failures."""
    codec, summary, environment = run["codec"], run["summary"], run["environment"]
    model = f"{codec['model']} ({codec['model_hash'][:16]})" if "model" in codec else codec["codec"]
    count = len(summary["pictures"])
    lines = [
        f"{model} on {_pictures(count)}, {environment.get('device')}, {environment.get('threads')} threads",
        "",
        f"{'quality':>7} {'bpp':>8} {'estimated':>9} {'PSNR-RGB':>8} {'encode s':>8} {'decode s':>8}",
    ]
    for point in summary["points"]:
        cells = [_cell(point[key], width, digits) for key, width, digits in COLUMNS]
        lines.append(f"{point['quality']:>7g} " + " ".join(cells))
    lines.append("")
    lines += [text for comparison in comparisons for text in _comparison_lines(comparison, count)]
    if comparisons:
        lines += [f"  {run['conventions']['psnr_rgb']}", f"  {run['conventions']['rate']}", ""]
    lines += _check_lines(summary["checks"])
    for failure in run["failures"]:
        at = f" at quality {failure['quality']:g}" if "quality" in failure else ""
        lines.append(f"FAILED {failure['picture']}{at}: {failure['error']}")
    return lines


def _pictures(count: int) -> str:
    return "1 picture" if count == 1 else f"{count} pictures"


def _cell(value: float | None, width: int, digits: int) -> str:
    return f"{'n/a':>{width}}" if value is None else f"{value:>{width}.{digits}f}"


def _comparison_lines(comparison: dict[str, Any], count: int) -> list[str]:
    if "error" in comparison:
        return [f"BD-rate against {comparison['anchor']}: n/a, {comparison['error']}"]
    psnr, gain = comparison["psnr"], comparison["bd_psnr"]
    lines = [
        f"BD-rate against {comparison['anchor']}: {comparison['bd_rate']:+.2f} %"
        f" (Akima {comparison['bd_rate_akima']:+.2f} %)"
        + (f", BD-PSNR {gain:+.3f} dB" if gain is not None else ", BD-PSNR n/a"),
        f"  PCHIP on log-rate, PSNR-RGB {psnr['low']:.2f} to {psnr['high']:.2f} dB, {psnr['share']:.0%} of the range"
        f" that either curve covers, averaged over {_pictures(count)}",
    ]
    return lines + [f"  note: {warning}" for warning in comparison["warnings"]]


def _check_lines(checks: dict[str, Any]) -> list[str]:
    lines = []
    if checks["estimated"]:
        most, share = checks["over_bytes"], checks["over_percent"]
        lines += [
            f"real - estimated: at most {most['value']:+.1f} bytes ({most['picture']} at {most['quality']:g}) and"
            f" {share['value']:+.2f} % ({share['picture']} at {share['quality']:g}) over {checks['estimated']} files",
            f"  beyond both 1 % and 64 bytes: {checks['outside']}",
        ]
    if checks["compared"]:
        lines.append(
            f"encoder's reconstruction against decoder's: {checks['differing_pixels']} pixels differ"
            f" in {checks['compared']} files"
        )
    return [*lines, f"encoded twice: {checks['unrepeatable']} of {checks['rows']} files differ"]
