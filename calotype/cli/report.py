"""`calotype report`: runs and published curves to one HTML page, and to CSV, Markdown and SVG."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from calotype.cli import terminal

_PATH = click.Path(path_type=Path)
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("report")
@click.argument("runs", nargs=-1, type=_FILE, metavar="[RUN.json]...")
@click.option("--anchor", help="Compare with this codec or curve first: a label, or FILE.json (default: VTM if it is there).")
@click.option(
    "--curve",
    "curves",
    multiple=True,
    metavar="[LABEL=]FILE.json[#NAME]",
    help="A published curve (CompressAI's results format, or a file of several). Can be given more than once.",
)
@click.option("--metric", help="Show this metric first, as psnr_rgb.")
@click.option("--title", help="Heading of the page.")
@click.option("--pictures", type=_PATH, help="Folder of `eval --keep`, for the crops (default: that of each RUN.json).")
@click.option("--originals", type=_PATH, help="Folder of the sources, to show them beside the crops.")
@click.option("-o", "--output", type=_PATH, help="The page (default: report.html, unless another form is asked for).")
@click.option("--csv", "csv_file", type=_PATH, help="BD-rates of every metric and anchor, as CSV.")
@click.option("--csv-points", type=_PATH, help="Points of every curve, as CSV.")
@click.option("--md", "md_file", type=_PATH, help="The BD-rate table, as Markdown.")
@click.option("--svg", "svg_file", type=_PATH, help="The curves of the metric shown first, as SVG.")
def report(
    runs: tuple[Path, ...],
    anchor: str | None,
    curves: tuple[str, ...],
    metric: str | None,
    title: str | None,
    pictures: Path | None,
    originals: Path | None,
    output: Path | None,
    csv_file: Path | None,
    csv_points: Path | None,
    md_file: Path | None,
    svg_file: Path | None,
) -> None:
    """Turn runs of `calotype eval` into BD-rates, curves and pictures.

    The page is one file that needs no network. A curve that gives no BD-rate stays in it, with the reason.
    """
    from calotype.atomic import write_bytes
    from calotype.errors import UsageError
    from calotype.eval.report.assemble import assemble
    from calotype.eval.report.crops import choose_crops
    from calotype.eval.report.html import html
    from calotype.eval.report.inputs import read_published, read_run
    from calotype.eval.report.svg import svg
    from calotype.eval.report.tables import bd_csv, markdown, points_csv

    loaded = [(path, read_run(path)) for path in runs]
    labels = {row["codec"] for _, run in loaded for row in run["rows"]}
    published = [curve for text in curves for curve in read_published(text)]
    labels |= {curve.label for curve in published}
    if anchor is not None and anchor not in labels and ".json" in anchor:
        found = read_published(anchor)
        if len(found) > 1:
            names = ", ".join(curve.label for curve in found)
            raise UsageError(f"{anchor} holds several curves ({names}); pick one as {Path(anchor).name}#NAME")
        if found[0].label in labels:
            raise UsageError(f"there is a {found[0].label!r} already; give the anchor a name as --anchor NAME={anchor}")
        published.insert(0, found[0])
        anchor = found[0].label
    line = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    data = assemble([(path.stem, run) for path, run in loaded], published, anchor, metric, title, line)
    wanted: list[tuple[Path | None, Callable[[dict[str, Any]], str]]] = [
        (csv_file, bd_csv),
        (csv_points, points_csv),
        (md_file, markdown),
        (svg_file, svg),
    ]
    if output is None and not any(path for path, _ in wanted):
        output = Path("report.html")
    if output is not None:
        data["crops"], notes = choose_crops(loaded, originals, pictures=pictures)
        data["warnings"] += notes
        wanted.insert(0, (output, html))
    for path, form in wanted:
        if path is not None:
            text = form(data).encode()
            write_bytes(path, text)
            click.echo(f"{path}  {len(text)} bytes")
    for warning in data["warnings"]:
        terminal.note(warning)
    if data["failures"]:
        terminal.note(f"the runs hold {len(data['failures'])} failures; the page lists them")
