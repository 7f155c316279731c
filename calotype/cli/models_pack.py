"""`calotype models pack`: a model file in the smallest of its formats."""

from __future__ import annotations

from pathlib import Path

import click

from . import terminal


@click.command(no_args_is_help=True)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def pack(file: Path, out: Path, as_json: bool) -> None:
    """Write the model file FILE to OUT with its weights coded, where that is smaller. Its name and its hash stay."""
    from ..models import modelfile

    info, arrays, digest = modelfile.read(file)
    modelfile.write(out, info.name, info.kind, info.config, info.card, arrays)
    size = out.stat().st_size
    record = {"name": info.name, "hash": digest.hex(), "bytes_before": info.bytes, "bytes": size, "path": str(out)}
    line = f"{out}: {info.name}, {size} bytes, {info.bytes} before, hash {digest.hex()[:16]}"
    terminal.row(line, record, as_json)
