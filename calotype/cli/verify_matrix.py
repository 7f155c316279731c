"""`calotype verify --matrix`: one table of what every setting of this machine decodes."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from ..codecs import conformance
from ..codecs.registry import EXECUTED, open_stream
from ..errors import DesyncError, UsageError
from ..eval import matrix
from . import batch, terminal
from .calofiles import read_file

# whose decoders are integers throughout; of "generative" all up to the picture that its net is given, and that is compared
INTEGER_CODECS = ("image", "video", "overfit", "overfit-video", "inr-video", "inr-lossless", "generative", "fsq")
SHOWN = 8  # hexadecimal digits of the pixels' digest


def run_matrix(files: tuple[str, ...], model: str | None, device: str, quick: bool, as_json: bool) -> None:
    """Run and print; raises DesyncError where digests differ. files: in place of the conformance streams."""
    committed = {} if files else conformance.released()
    if files:
        streams = {name: read_file(None if name == batch.PIPE else Path(name)) for name in dict.fromkeys(files)}
    else:
        streams = {name: (conformance.FOLDER / name).read_bytes() for name in committed}
    codecs = set()
    for name, data in streams.items():
        codec = open_stream(data, model=model, execution="reference")[0].header.codec  # the model is here, and the right one
        if codec not in INTEGER_CODECS:
            raise UsageError(f"{name}: codec '{codec}' has no integer executions: leave --matrix out")
        codecs.add(codec)
    if device != "cpu" and not codecs & EXECUTED:
        raise UsageError(f"codec '{min(codecs)}' decodes on the CPU alone: leave --device out")
    processor = matrix.Processor.here()
    rows = matrix.settings(processor, quick) if device == "cpu" else matrix.on_device(device)
    with terminal.Progress(len(rows), "verify") as progress:
        report = matrix.run(streams, committed, rows, processor, model, progress.of)
    if as_json:
        _print_json(report, processor, list(streams))
    else:
        _print_table(report, processor, list(streams))
    if report.differing:
        raise DesyncError(f"{report.verdict}; please report it with the table")
    if not as_json:
        click.echo(report.verdict)


def _print_table(report: matrix.Report, processor: matrix.Processor, names: list[str]) -> None:
    click.echo(f"CPU {processor}")
    for remark in processor.remarks:
        click.echo(f"  {remark}")
    titles = [Path(name).stem for name in names]
    table = []
    for row in report.rows:
        s = row.setting
        start = [s.level, s.execution if s.device == "cpu" else f"{s.execution} on {s.device}", str(s.threads), str(s.batch)]
        if row.cannot:
            table.append([*start, *("-" for _ in names), "", f"cannot run here: {row.cannot}"])
            continue
        cells = [_cell(report, row, name) for name in names]
        table.append([*start, *cells, f"{row.seconds:.1f}", "; ".join(dict.fromkeys(row.failed.values()))])
    terminal.table(["CPU as", "execution", "threads", "batch", *titles, "seconds", ""], table)


def _cell(report: matrix.Report, row: matrix.Row, name: str) -> str:
    if name in row.failed:
        return "FAILED"
    if name not in row.digests:
        return "-"
    return row.digests[name]["pixels"][:SHOWN] + (" !" if report.differs(row, name) else "")


def _print_json(report: matrix.Report, processor: matrix.Processor, names: list[str]) -> None:
    """A line for each row, and one for all."""
    for row in report.rows:
        found = asdict(row)
        terminal.row("", found.pop("setting") | found, True)
    about = {"name": processor.name, "machine": processor.machine, "features": sorted(processor.features)}
    last = {"cpu": about, "remarks": processor.remarks, "streams": names, "expected": dict(report.expected)}
    terminal.row("", last | {"verdict": report.verdict, "differing": report.differing}, True)
