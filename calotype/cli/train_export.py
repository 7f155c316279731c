"""`calotype train export`: a run's folder to a model file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from ..errors import UsageError
from . import options, terminal


@click.command(no_args_is_help=True)
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--data",
    type=click.Path(exists=True, path_type=Path),
    multiple=True,
    help="The photos, or of a video model the clips, it was trained on: for the frozen tables. A generative decoder has none.",
)
@click.option(
    "--card",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A JSON file with what to say about the model: data, terms, figures.",
)
@options.machine_options
def export(run: Path, out: Path, data: tuple[Path, ...], card: Path | None, device: str, threads: int | None) -> None:
    """Make the model file OUT (NAME.safetensors: streams will carry NAME) of the run in folder RUN; of a run of
    `calotype train stem`, put its prior into OUT, the file of a video model."""
    if out.suffix != ".safetensors":
        raise UsageError(f"OUT is {out}; a model file ends in .safetensors")
    if not out.absolute().parent.is_dir():  # said now, not after minutes of counting
        raise UsageError(f"cannot write {out}: there is no directory {out.parent}; make it first")
    said = _card(card)
    options.prepare(device, threads)
    from ..models.modelfile import read
    from ..train import checkpoint, export, exportfsq, exportgenerative, exportstem, exportvideo
    from ..train.clips import Clips
    from ..train.data import Photos

    kind = checkpoint.load_meta(run / checkpoint.CHECKPOINT).get("kind")
    if not data and kind != "generative":
        raise UsageError("--data is needed for the frozen tables: give what the run was trained on")
    if kind == "generative":
        exportgenerative.export_run(run, out, said)
    elif kind in ("stem", "video"):
        to_file = exportstem if kind == "stem" else exportvideo
        to_file.export_run(run, out, Clips(list(data), None, exportvideo.CHAIN_CROP), said)
    elif kind == "fsq":
        exportfsq.export_run(run, out, Photos(list(data), 256), said)
    else:
        export.export_run(run, out, Photos(list(data), 256, device), said)
    info, _, digest = read(out)
    terminal.row(
        f"{out}: {info.name}, {info.parameters:,} parameters, {info.bytes} bytes, hash {digest.hex()[:16]}",
        {},
        as_json=False,
    )


def _card(path: Path | None) -> dict[str, Any]:
    try:
        said = json.loads(path.read_text(encoding="utf-8")) if path else {}
    except ValueError as error:
        raise UsageError(f"{path} is not JSON ({error})") from error
    if not isinstance(said, dict):
        raise UsageError(f'{path} holds no JSON object; a card is one, such as {{"data": "..."}}')
    return said
