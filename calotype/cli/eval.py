"""`calotype eval`: rate, distortion and BD-rate of codecs on pictures and clips."""

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
_PATH = click.Path(path_type=Path)


def _points(context: click.Context, parameter: click.Parameter, text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        return sorted({float(part) for part in text.split(",")})
    except ValueError as error:
        raise click.BadParameter("give numbers with commas between them, as 0,25,50", context, parameter) from error


def shard_of(context: click.Context, parameter: click.Parameter, text: str | None) -> tuple[int, int] | None:
    """I/N of an option to (I, N)."""
    if text is None:
        return None
    try:
        index, count = map(int, text.split("/"))
    except ValueError:
        index, count = -1, 0
    if not 0 <= index < count:
        raise click.BadParameter("give I/N with 0 <= I < N, as 0/4", context, parameter)
    return index, count


@click.command("eval")
@click.argument("sources", nargs=-1, type=_PATH, metavar="[DIR|FILE]...")
@click.option("--data", "more", multiple=True, type=_PATH, help="As an argument DIR or FILE.")
@click.option("--codec", "specs", multiple=True, default=("ours",), show_default=True, help="A codec; see --list.")
@click.option("-m", "--model", help="Of our codec: a shipped model's name, or a model file.")
@click.option("--points", callback=_points, help="Rate points of the codec's dial, as 0,25,50.  [default: its own]")
@click.option("--metric", "metrics", multiple=True, help="A metric, or `all`; see --list.  [default: PSNR, MS-SSIM]")
@click.option("--frames", type=click.IntRange(min=2), help="At most so many of each clip.")
@click.option("--intra-period", type=click.IntRange(min=1), help="Frames from one intra frame to the next.")
@click.option("--frames-as-clip", is_flag=True, help="Folders of pictures are clips.")
@click.option("--limit", type=click.IntRange(min=1), help="Only the first N sources.")
@click.option("--shard", callback=shard_of, help="Only the I-th of N parts of the sources, by their names, as 0/4.")
@click.option("--anchor", "anchors", multiple=True, type=_PATH, help="CompressAI results file to compare with.")
@click.option("--out", type=_PATH, help="Keep the run in this JSON file; resume the one that is there.")
@click.option("--keep", is_flag=True, help="Keep decoded pictures beside the run, for the report.")
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Processes.")
@machine_options
@click.option("--json", "as_json", is_flag=True, help="Print the run as JSON in place of the tables.")
@click.option("--list", "listing", is_flag=True, help="Print the codecs, metrics and known sets there are.")
def command(
    sources: tuple[Path, ...],
    more: tuple[Path, ...],
    specs: tuple[str, ...],
    model: str | None,
    points: list[float] | None,
    metrics: tuple[str, ...],
    frames: int | None,
    intra_period: int | None,
    frames_as_clip: bool,
    limit: int | None,
    shard: tuple[int, int] | None,
    anchors: tuple[Path, ...],
    out: Path | None,
    keep: bool,
    workers: int,
    threads: int | None,
    device: str,
    as_json: bool,
    listing: bool,
) -> None:
    """Measure codecs on pictures and clips: real bytes, quality, time, BD-rate against published curves.

    Without DIR the pictures are those of the folder kodak in $CALOTYPE_DATA. Exits with 1 where something could not be
    measured, or a decoder's pixels are not its encoder's.
    """
    if listing:
        _list()
        return
    from calotype.errors import UsageError
    from calotype.eval.anchors import read_anchor
    from calotype.eval.datasets import identify
    from calotype.eval.environment import environment
    from calotype.eval.evaluate import Setup, evaluate
    from calotype.eval.frames import Frames
    from calotype.eval.sources import open_sources
    from calotype.shards import in_shard

    if keep and out is None:
        raise UsageError("--keep puts pictures beside the run: give it a file with --out")
    paths = [*sources, *more] or [_default_folder()]
    curves = [read_anchor(path) for path in anchors]
    found = [s for s in open_sources(paths, frames, limit, frames_as_clip) if shard is None or in_shard(_name(s), *shard)]
    known, misfits = identify([s for s in found if isinstance(s, Frames)], paths[0].resolve().name)
    dataset = {"name": known or paths[0].resolve().name, "misfits": misfits}
    folder = out.with_suffix("") if keep and out else None
    setup = Setup(metrics or None, model, intra_period, prepare(device, threads), threads, folder)
    line = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    with Progress(0, "measuring") as bar:
        run = evaluate(
            specs, found, setup, environment(device), points, dataset, line, out, workers, bar.of if bar.bar else None
        )
    comparisons = compare_all(run, curves)
    if as_json:
        click.echo(json.dumps({**run, "comparisons": comparisons}, indent=1))
    else:
        for text in lines(run, comparisons):
            click.echo(text)
    if run["failures"] or any(row["differing_pixels"] for row in run["rows"]):
        raise click.exceptions.Exit(1)


def _name(source: Any) -> str:
    return getattr(source, "name", None) or source.source


def _list() -> None:
    from calotype.eval import coders, datasets, metrics
    from calotype.eval.metrics.sets import SETS

    click.echo("codecs:")
    for synopsis in coders.synopses():
        click.echo(f"  {synopsis}")
    click.echo("metrics:")
    for name, metric in metrics.METRICS.items():
        why = metric.unavailable()
        click.echo(f"  {name:<16} {metric.convention}" + (f" [n/a here: {why}]" if why else ""))
    click.echo("metrics of whole sets of pictures, which take --out and --keep:")
    for name, of_set in SETS.items():
        why = of_set.unavailable()
        click.echo(f"  {name:<16} {of_set.conventions[name]}" + (f" [n/a here: {why}]" if why else ""))
    click.echo("known sets:")
    for name, known in datasets.KNOWN.items():
        click.echo(f"  {name:<22} {known.title}, {known.count} files")


def _default_folder() -> Path:
    from calotype.errors import UsageError

    folder = os.environ.get(DATA_VARIABLE)
    if not folder:
        raise UsageError(f"nothing to measure: give a folder, or set {DATA_VARIABLE} to the one that holds kodak/")
    return Path(folder) / "kodak"


def compare_all(run: dict[str, Any], anchors: Sequence[Any]) -> list[dict[str, Any]]:
    """Each codec's averaged PSNR-RGB curve against each anchor `Curve`: fields of `Comparison` and "warnings", or "error"."""
    from dataclasses import asdict

    from calotype.eval.bdrate import CurveError, compare
    from calotype.eval.runs import curve

    found: list[dict[str, Any]] = []
    for label in run["codecs"]:
        for anchor in anchors:
            try:
                comparison = compare(anchor, curve(run, label))
            except CurveError as error:
                found.append({"test": label, "anchor": anchor.name, "error": str(error)})
                continue
            warnings = comparison.warnings
            if run["dataset"]["name"] != "kodak" or run["dataset"]["misfits"]:
                warnings = [*warnings, "these are not the 24 Kodak pictures: compare only with an anchor of the same ones"]
            found.append({**asdict(comparison), "warnings": warnings})
    return found


def lines(run: dict[str, Any], comparisons: Sequence[dict[str, Any]]) -> list[str]:
    """What `calotype eval` prints: a table and checks per codec, BD-rates with their conditions, notes, failures."""
    from calotype.eval.checks import check
    from calotype.eval.runs import averaged, rows_of

    environment = run["environment"]
    text = [f"{run['dataset']['name']}, {environment.get('device')}, {environment.get('threads')} threads"]
    text += [f"  note: {misfit}" for misfit in run["dataset"]["misfits"]]
    for label, identity in run["codecs"].items():
        rows = rows_of(run, label)
        if not rows:
            continue
        names = sorted({row["source"] for row in rows})
        model = f", {identity['model']} ({identity['model_hash'][:16]})" if "model_hash" in identity else ""
        text += ["", f"{label}{model} on {len(names)} {_plural(rows[0]['kind'], len(names))}", *_table(averaged(run, label))]
        text += _check_lines(check(rows))
        for comparison in comparisons:
            if comparison["test"] == label:
                text += _comparison_lines(comparison)
    text.append("")
    text += [f"{name}: {sentence}" for name, sentence in run["conventions"].items()]
    text += [f"n/a: {name}, {why}" for name, why in run["notes"].items()]
    for failure in run["failures"]:
        what = " ".join(str(failure[key]) for key in ("codec", "source", "point") if failure.get(key, "") != "")
        text.append(f"FAILED {what}: {failure['error']}")
    return text


def _plural(kind: str, count: int) -> str:
    return kind if count == 1 else f"{kind}s"


def _table(records: Sequence[dict[str, Any]]) -> list[str]:
    clips = records[0]["kbps"] is not None
    columns: list[tuple[str, list[float | None], int]] = [("point", [r["point"] for r in records], 1)]
    columns.append(("kbps", [r["kbps"] for r in records], 1) if clips else ("bpp", [r["bpp"] for r in records], 4))
    if any(r["estimated_bpp"] is not None for r in records):
        columns.append(("estimated", [r["estimated_bpp"] for r in records], 4))
    for name in dict.fromkeys(name for r in records for name in r["metrics"]):
        columns.append((name, [r["metrics"].get(name) for r in records], 3 if "psnr" in name or "vmaf" in name else 4))
    columns += [(f"{verb} s", [r[f"{verb}_seconds"] for r in records], 3) for verb in ("encode", "decode")]
    cells = [[name, *("n/a" if v is None else f"{v:.{digits}f}" for v in values)] for name, values, digits in columns]
    widths = [max(map(len, column)) for column in cells]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in zip(*cells, strict=True)]


def _comparison_lines(comparison: dict[str, Any]) -> list[str]:
    if "error" in comparison:
        return [f"BD-rate against {comparison['anchor']}: n/a, {comparison['error']}"]
    psnr, gain = comparison["psnr"], comparison["bd_psnr"]
    text = [
        f"BD-rate against {comparison['anchor']}: {comparison['bd_rate']:+.2f} %"
        f" (Akima {comparison['bd_rate_akima']:+.2f} %)"
        + (f", BD-PSNR {gain:+.3f} dB" if gain is not None else ", BD-PSNR n/a"),
        f"  PCHIP on log-rate of averaged curves, PSNR-RGB {psnr['low']:.2f} to {psnr['high']:.2f} dB, {psnr['share']:.0%}"
        " of the range that either curve covers",
    ]
    return text + [f"  note: {warning}" for warning in comparison["warnings"]]


def _check_lines(checks: dict[str, Any]) -> list[str]:
    text = []
    if checks["estimated"]:
        most, share = checks["over_bytes"], checks["over_percent"]
        text += [
            f"real - estimated: at most {most['value']:+.1f} bytes ({most['source']} at {most['point']:g}) and"
            f" {share['value']:+.2f} % ({share['source']} at {share['point']:g}) over {checks['estimated']} files",
            f"  beyond both 1 % and 64 bytes: {checks['outside']}",
        ]
    if checks["compared"]:
        text.append(
            f"encoder's reconstruction against decoder's: {checks['differing_pixels']} pixels differ"
            f" in {checks['compared']} files"
        )
    if checks["repeated"]:
        text.append(f"encoded twice: {checks['unrepeatable']} of {checks['repeated']} files differ")
    return text
