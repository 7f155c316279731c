"""The averaged rate-distortion curves as one SVG file, for a README: readable on light and on dark, labels at the curves."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any
from xml.sax.saxutils import escape

from calotype.eval.report.assemble import Report
from calotype.eval.report.labels import axis_of

WIDTH, HEIGHT = 820, 470
LEFT, RIGHT, TOP, BOTTOM = 56, 190, 40, 48
LABEL_GAP = 14.5
# Okabe and Ito's eight without black and yellow, then Tol's: told apart with any colour vision; twice, light and dark
LIGHT = ("#0072b2", "#d55e00", "#009e73", "#b5478b", "#332288", "#b77a00", "#882255", "#6b7280")
DARK = ("#4ea8de", "#ff8a4c", "#3fc79a", "#e08cc0", "#a99cf5", "#e6b23c", "#d6749c", "#a8b0bd")

Row = dict[str, Any]


def svg(report: Report, metric: str | None = None, low_bpp: float | None = None, high_bpp: float | None = None) -> str:
    """Curves of `metric` (default: the report's) over bits per pixel on a logarithmic axis. low_bpp, high_bpp: of the axis;
    by default the range of the measured codecs, or of all where none is measured."""
    metric = metric or report["metric"]
    curves = [(codec, _points(codec, metric)) for codec in report["codecs"]]
    curves = [(codec, points) for codec, points in curves if len(points) > 1]
    spanned = [points for codec, points in curves if not codec["published"]] or [points for _, points in curves]
    rates = [rate for points in spanned for rate, _ in points] or [0.1, 1.0]
    low, high = low_bpp or min(rates) / 1.08, high_bpp or max(rates) * 1.08
    inside = [y for _, points in curves for x, y in points if low <= x <= high] or [0.0, 1.0]
    margin = 0.05 * (max(inside) - min(inside)) or 1.0
    bottom, top = min(inside) - margin, max(inside) + margin

    def to_x(rate: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log(rate / low) / math.log(high / low)

    def to_y(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - bottom) / (top - bottom)

    parts = [_head(report, metric), *_axes(low, high, bottom, top, to_x, to_y)]
    ends = []
    for codec, points in curves:
        at = [(to_x(rate), to_y(value)) for rate, value in points]
        parts.append(_curve(codec, at))
        end = _last_seen(at)
        if end:
            ends.append((codec, *end))
    parts += _labels(ends)
    return "\n".join([*parts, "</svg>", ""])


def _points(codec: Row, metric: str) -> list[tuple[float, float]]:
    return [(point["bpp"], point["values"][metric]) for point in codec["points"] if metric in point["values"]]


def _head(report: Report, metric: str) -> str:
    colours = "".join(f".c{i}{{color:{colour}}}" for i, colour in enumerate(LIGHT))
    dark = "".join(f".c{i}{{color:{colour}}}" for i, colour in enumerate(DARK))
    title = f"{report['title']}: {axis_of(metric)} over bits per pixel"
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    rate = "bits per pixel" + " and frame" * (report["kind"] == "clip")
    return f"""<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">
<title>{escape(_printable(title))}</title>
<style>
text{{font:12px system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif;fill:#57606a}}
.name{{fill:currentColor;font-weight:500}} .ours{{font-weight:700}}
.grid{{stroke:#8b949e;stroke-opacity:.25}} .leader{{stroke:currentColor;stroke-opacity:.4}}
.line{{fill:none;stroke:currentColor;stroke-width:1.7;stroke-linejoin:round}} .thick{{stroke-width:2.8}}
.dashed{{stroke-dasharray:5 3;stroke-width:1.3}} .dot{{fill:currentColor}}
{colours}
@media (prefers-color-scheme:dark){{text{{fill:#9da7b3}}{dark}}}
</style>
<clipPath id="plot"><rect x="{LEFT}" y="{TOP}" width="{WIDTH - LEFT - RIGHT}" height="{HEIGHT - TOP - BOTTOM}"/></clipPath>
<text x="{LEFT - 44}" y="22">{escape(_printable(axis_of(metric)))}</text>
<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 10}" text-anchor="middle">{rate}</text>"""


def _axes(
    low: float, high: float, bottom: float, top: float, to_x: Callable[[float], float], to_y: Callable[[float], float]
) -> list[str]:
    found = []
    for value in _ticks(bottom, top):
        y = to_y(value)
        found.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        found.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    for value in _log_ticks(low, high):
        x = to_x(value)
        found.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
        found.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{value:g}</text>')
    return found


def _ticks(low: float, high: float, count: int = 7) -> list[float]:
    rough = (high - low) / count
    scale = 10 ** math.floor(math.log10(rough))
    step = next(scale * factor for factor in (1, 2, 5, 10) if scale * factor >= rough)
    first = math.ceil(low / step)
    return [round(step * i, 10) for i in range(first, math.floor(high / step) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    found: list[float] = []
    for factors in ((1,), (1, 3), (1, 2, 5), tuple(range(1, 10))):
        found = [
            factor * 10.0**power
            for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
            for factor in factors
            if low <= factor * 10.0**power <= high
        ]
        if len(found) >= 4:
            break
    return [float(f"{value:.3g}") for value in found]


def _curve(codec: Row, at: Sequence[tuple[float, float]]) -> str:
    kind = "dashed" if codec["published"] else "thick" if codec["ours"] else ""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
    dots = ""
    if not codec["published"]:
        radius = 3.2 if codec["ours"] else 2.4
        dots = "".join(f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="{radius}"/>' for x, y in at)
    colour = codec["style"] % len(LIGHT)
    return f'<g class="c{colour}" clip-path="url(#plot)"><polyline class="line {kind}" points="{path}"/>{dots}</g>'


def _last_seen(at: Sequence[tuple[float, float]]) -> tuple[float, float] | None:
    """Where a line is last inside the plot, going right: its last point, or where it leaves."""
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    inside = [LEFT <= x <= right and TOP <= y <= bottom for x, y in at]
    if not any(inside):
        return None
    last = len(at) - 1 - inside[::-1].index(True)
    if last == len(at) - 1:
        return at[last]
    (xa, ya), (xb, yb) = at[last], at[last + 1]
    part = 1.0
    for a, b, low, high in ((xa, xb, LEFT, right), (ya, yb, TOP, bottom)):
        if not low <= b <= high:
            part = min(part, ((high if b > high else low) - a) / (b - a))
    return xa + part * (xb - xa), ya + part * (yb - ya)


def _labels(ends: Sequence[tuple[Row, float, float]]) -> list[str]:
    """Names at the right of the plot at the height of each curve's last point, moved apart, a thin line back to it."""
    ordered = sorted(ends, key=lambda end: (round(end[2]), end[1]))
    ys = spread([y for _, _, y in ordered], LABEL_GAP, TOP, HEIGHT - BOTTOM)
    found = []
    for (codec, x, y), at in zip(ordered, ys, strict=True):
        left = WIDTH - RIGHT + 14
        weight = " ours" if codec["ours"] else ""
        found.append(
            f'<g class="c{codec["style"] % len(LIGHT)}">'
            f'<line class="leader" x1="{x + 4:.1f}" y1="{y:.1f}" x2="{left - 4}" y2="{at:.1f}"/>'
            f'<text class="name{weight}" x="{left}" y="{at + 4:.1f}">{escape(_printable(_short(codec["label"])))}</text></g>'
        )
    return found


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Rising positions at least `gap` apart (less where they would not fit), near the wanted ones, within low to high."""
    gap = min(gap, (high - low) / max(1, len(wanted) - 1))
    found: list[float] = []
    for value in wanted:
        found.append(max(value, found[-1] + gap if found else low))
    for i in reversed(range(len(found))):
        found[i] = min(found[i], found[i + 1] - gap if i + 1 < len(found) else high)
    return found


def _short(label: str) -> str:
    return label if len(label) <= 26 else label[:25] + "…"


def _printable(text: str) -> str:
    """XML has no place for control characters."""
    return "".join(c if c.isprintable() else " " for c in text)
