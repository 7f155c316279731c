"""`calotype verify`: does a file decode to what was encoded, here and now."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import DesyncError, UsageError
from . import batch, options, terminal
from .calofiles import read_file

if TYPE_CHECKING:
    from ..codecs.limits import Limits


@click.command(no_args_is_help=True)
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("--against", type=click.Path(path_type=Path), help="Print the PSNR against this picture (one FILE).")
@click.option(
    "--executions",
    is_flag=True,
    help="Decode with every execution of the integer prior and compare the symbols (slow).",
)
@click.option("-m", "--model", help="The model file, where the model that a file names is not installed.")
@options.machine_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a file.")
@options.limit_options
def verify(
    files: tuple[str, ...],
    against: Path | None,
    executions: bool,
    model: str | None,
    device: str,
    threads: int | None,
    as_json: bool,
    **rest: Any,
) -> None:
    """Check .calo files (- is standard input): checksums, model, symbols and their hash.

    Exit code 3 where a file is damaged or decodes to other symbols than were encoded, 5 where its model is not here.
    """
    if against is not None and len(files) > 1:
        raise UsageError("--against compares one file with one picture; give one FILE")
    limits = options.limits(rest)
    jobs = [batch.Job(None if name == batch.PIPE else Path(name), None) for name in files]
    options.prepare(device, threads)

    def work(job: batch.Job, progress: terminal.Progress) -> None:
        record = {"file": job.name} | _check(read_file(job.source, limits), limits, model, device, executions, against)
        parts = [f"{record['tiles']} tiles, symbols {record['symbols']}"]
        if executions:
            parts.append(f"same in {', '.join(record['executions'])}")
        if against is not None:
            parts.append("identical" if record["psnr"] is None else f"{record['psnr']:.3f} dB against {against}")
        with progress.aside():
            terminal.row(f"{job.name}: good ({'; '.join(parts)})", record, as_json)

    batch.run(jobs, work, "verify", keep=False, as_json=as_json)


def _check(
    data: bytes, limits: Limits, model: str | None, device: str, executions: bool, against: Path | None
) -> dict[str, Any]:
    """Decode the symbols (which checks their hash), with each execution where asked; a record of what was seen."""
    from ..codecs.container import TILE
    from ..codecs.registry import open_stream
    from ..models.integer import EXECUTIONS

    stream, codec = open_stream(data, limits, model=model, device=device)
    pixels = codec.decode(stream).pixels  # checks everything, the symbol hashes too
    found = {"default": _symbols(stream, codec)}
    if executions and stream.header.codec != "image":
        raise UsageError(f"codec '{stream.header.codec}' has no integer prior to compare: leave --executions out")
    if executions:
        found = {name: _symbols(*open_stream(data, limits, model=model, execution=name)) for name in EXECUTIONS}
    if len(set(found.values())) > 1:
        differing = ", ".join(f"{name} {digest}" for name, digest in found.items())
        raise DesyncError(f"the executions give different symbols ({differing}); please report it with the file")
    record = {"tiles": len(stream.payloads(TILE)), "symbols": next(iter(found.values())), "model": stream.header.model}
    if executions:
        record["executions"] = list(found)
    if against is not None:
        record["psnr"] = _psnr(pixels, against, limits)
    return record


def _symbols(stream: Any, codec: Any) -> str:
    """Hash of all symbols of a stream that decodes, in hexadecimal. Raises DesyncError."""
    from ..codecs.container import symbol_hash
    from ..codecs.image import iter_tiles

    if stream.header.codec == "classic":
        return symbol_hash(codec.symbol_hashes(stream)).hex()
    hashes = [symbol_hash(codec.symbols(*tile)[0]) for tile in iter_tiles(stream)]
    return symbol_hash(hashes).hex()


def _psnr(pixels: Any, against: Path, limits: Limits) -> float | None:
    """dB; None where the pictures are equal."""
    from ..codecs.pictures import read_picture
    from ..codecs.targets import psnr

    picture = read_picture(against, drop_alpha=True, limits=limits).pixels
    if picture.shape != pixels.shape:
        raise UsageError(
            f"{against} is {picture.shape[1]} x {picture.shape[0]}, the file {pixels.shape[1]} x {pixels.shape[0]}"
        )
    value = psnr(picture, pixels)
    return None if value == float("inf") else round(value, 3)
