"""`calotype models import`: a CompressAI checkpoint to a model file."""

from __future__ import annotations

from pathlib import Path

import click

from . import options, terminal


@click.command(no_args_is_help=True)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--architecture", metavar="NAME", help="What the checkpoint is, as CompressAI calls it, where it cannot be told.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def import_model(file: Path, out: Path, architecture: str | None, as_json: bool) -> None:
    """Make the model file OUT (NAME.safetensors: streams will carry NAME) of FILE, a checkpoint (.pth) of CompressAI.

    Architectures: bmshj2018-factorized, bmshj2018-hyperprior, mbt2018-mean, mbt2018, cheng2020-anchor. No code in FILE is
    run. Encode with `calotype encode -m OUT`, decode with `calotype decode -m OUT`: each such model has one rate, and its
    streams are promised to decode only on a machine like the one that made them.
    """
    options.prepare("cpu", None)
    from ..models.classic.checkpoint import import_checkpoint
    from ..models.modelfile import read

    config = import_checkpoint(file, out, architecture)
    info, _, digest = read(out)
    record = {
        "name": info.name,
        "architecture": config.name,
        "N": config.N,
        "M": config.M,
        "parameters": info.parameters,
        "bytes": info.bytes,
        "hash": digest.hex(),
        "path": str(out),
    }
    line = (
        f"{out}: {info.name}, {config.name} with N {config.N} and M {config.M}, {info.parameters:,} parameters, {info.bytes} "
        f"bytes, hash {digest.hex()[:16]}"
    )
    terminal.row(line, record, as_json)
