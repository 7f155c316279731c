"""`calotype train plot`: the rate-distortion curves of a run's validations; `calotype train image` redraws them as it goes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from ..errors import UsageError
from . import terminal

PLOT = "validation.svg"  # in the run's folder
HALVINGS = 5  # beside the latest curve: those near half of its step, a quarter, ..., and the first


@click.command(no_args_is_help=True)
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path), required=False)
def plot(run: Path, out: Path | None) -> None:
    """Draw the validations of the run in folder RUN as OUT (default: validation.svg in that folder).

    PSNR-RGB over estimated bits per pixel of held-out photos at their own size: the latest curve, and earlier ones dashed.
    """
    out = out or run / PLOT
    size = draw(run, out)
    terminal.row(f"{out}  {size} bytes", {}, as_json=False)


def draw(run: Path, out: Path) -> int:
    """Write the plot, atomically; returns its bytes. Raises UsageError where the run's log has no validation."""
    from ..atomic import write_bytes
    from ..eval.report.svg import svg

    found = _validations(run)
    if not found:
        raise UsageError(f"{run} has no validation in its log yet; train on, or give a smaller --validate-every")
    curves = [_curve(step, points, latest=step == max(found)) for step, points in _some(found)]
    rates = [point["bpp"] for curve in curves for point in curve["points"]]
    report = {"title": run.resolve().name, "kind": "picture", "metric": "psnr_rgb", "codecs": curves}
    text = svg(report, low_bpp=min(rates) / 1.08, high_bpp=max(rates) * 1.08).encode()
    write_bytes(out, text)
    return len(text)


def _validations(run: Path) -> dict[int, list[dict[str, float]]]:
    """Points by step, rising; a step that was validated twice (a run resumed from before it) counts as it was last."""
    from ..train.logs import LOG

    found = {}
    try:
        lines = (run / LOG).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise UsageError(f"{run} is no run's folder: there is no {LOG} in it") from error
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:  # a killed process may have left half a line
            continue
        if "validation" in record:
            found[record["step"]] = [point for point in record["validation"] if "scale" not in point]
    return dict(sorted(found.items()))


def _some(found: dict[int, list[dict[str, float]]]) -> list[tuple[int, list[dict[str, float]]]]:
    """Of many validations the first, some between and, last, the latest."""
    *earlier, latest = found
    wanted = [latest / 2**k for k in range(1, HALVINGS + 1)] + earlier[:1]
    kept = {min(earlier, key=lambda step: abs(step - w)) for w in wanted if earlier}
    return [(step, found[step]) for step in (*sorted(kept), latest)]


def _curve(step: int, points: list[dict[str, float]], latest: bool) -> dict[str, Any]:
    """As the report's drawing wants a codec: what it draws as `published` is thin and dashed."""
    return {
        "label": f"step {step}",
        "published": not latest,
        "ours": latest,
        "style": 0 if latest else 7,
        "points": [{"bpp": point["bpp"], "values": {"psnr_rgb": point["psnr"]}} for point in points],
    }
