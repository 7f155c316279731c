"""`calotype verify`: does a file decode to what was encoded, here and now."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import DesyncError, UsageError
from . import batch, options, terminal
from .calofiles import read_file

if TYPE_CHECKING:
    from ..codecs.limits import Limits


@click.command(no_args_is_help=True)
@click.argument("files", metavar="FILE...", nargs=-1)
@click.option("--against", type=click.Path(path_type=Path), help="Print the PSNR against this picture (one FILE).")
@click.option(
    "--executions",
    is_flag=True,
    help="Decode with every integer execution and compare symbols and pixels. Slow: seconds a frame of a clip.",
)
@click.option(
    "--matrix",
    is_flag=True,
    help="Decode the released streams, or FILEs, with every execution, thread count and instruction set of this machine, or"
    " on one --device, and compare symbols and pixels (2 minutes; more when kernels are compiled for the first time).",
)
@click.option("--quick", is_flag=True, help="With --matrix: a few settings that cover most.")
@click.option("-m", "--model", help="The model file, where the model that a file names is not installed.")
@options.machine_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a file (a setting, with --matrix).")
@options.limit_options
def verify(
    files: tuple[str, ...],
    against: Path | None,
    executions: bool,
    matrix: bool,
    quick: bool,
    model: str | None,
    device: str,
    threads: int | None,
    as_json: bool,
    **rest: Any,
) -> None:
    """Check .calo files (- is standard input): checksums, model, symbols and their hash.

    Exit code 3 where a file is damaged or decodes to other symbols than were encoded, or settings of the machine do not
    agree; 5 where its model is not here.
    """
    if against is not None and len(files) > 1:
        raise UsageError("--against compares one file with one picture; give one FILE")
    limits = options.limits(rest)
    if matrix:
        if against is not None or executions:
            raise UsageError("--matrix goes without --against and --executions")
        from .verify_matrix import run_matrix

        run_matrix(files, model, options.prepare(device, threads), quick, as_json)
        return
    if quick:
        raise UsageError("--quick shortens --matrix; give both")
    if not files:
        raise click.MissingParameter(param_hint="'FILE...'", param_type="argument")
    jobs = [batch.Job(None if name == batch.PIPE else Path(name), None) for name in files]
    options.prepare(device, threads)

    def work(job: batch.Job, progress: terminal.Progress) -> None:
        data = read_file(job.source, limits)
        record = {"file": job.name} | _check(data, limits, model, device, executions, against, progress)
        what = f"{record['tiles']} tiles" if "tiles" in record else f"{record['frames']} frames"
        parts = [f"{what}, symbols {record['symbols']}"]
        if executions:
            parts.append(f"same in {', '.join(record['executions'])}")
        if "psnr" in record:
            parts.append("identical" if record["psnr"] is None else f"{record['psnr']:.3f} dB against {against}")
        with progress.aside():
            terminal.row(f"{job.name}: good ({'; '.join(parts)})", record, as_json)

    batch.run(jobs, work, "verify", keep=False, as_json=as_json)


def _check(
    data: bytes,
    limits: Limits,
    model: str | None,
    device: str,
    executions: bool,
    against: Path | None,
    progress: terminal.Progress,
) -> dict[str, Any]:
    """Decode a file (which checks the hash of its symbols), with each execution where asked; a record of what was seen."""
    from ..codecs.container import TILE
    from ..codecs.registry import EXECUTED, open_stream

    stream, codec = open_stream(data, limits, model=model, device=device)
    if executions and stream.header.codec not in EXECUTED:
        raise UsageError(f"codec '{stream.header.codec}' has no integer executions to compare: leave --executions out")
    if stream.header.media == "video":
        return _check_video(data, limits, model, stream, codec, executions, against, progress)
    pixels = codec.decode(stream).pixels  # checks everything, the symbol hashes too
    record = {"tiles": len(stream.payloads(TILE)), "symbols": _symbols(stream, codec), "model": stream.header.model}
    if executions:
        record["executions"] = list(_compare(data, limits, model, progress))
    if against is not None:
        record["psnr"] = _psnr(pixels, against, limits)
    return record


def _check_video(
    data: bytes,
    limits: Limits,
    model: str | None,
    stream: Any,
    codec: Any,
    executions: bool,
    against: Path | None,
    progress: terminal.Progress,
) -> dict[str, Any]:
    """As `_check`, of a clip."""
    from ..codecs.describe import describe_clip

    if against is not None:
        raise UsageError("--against is of pictures: leave it out for a clip")
    frames = describe_clip(stream)["frames"]
    record = {"frames": frames, "model": stream.header.model}
    if executions:
        found = _compare(data, limits, model, progress, frames)
        return record | {"symbols": next(iter(found.values()))["symbols"][:8], "executions": list(found)}
    return record | {"symbols": codec.digests(stream, _counting(progress, frames))["symbols"][:8]}


def _counting(progress: terminal.Progress, frames: int, *stage: tuple[int, int, str]) -> Callable[[], None]:
    """To be called after each frame that was decoded. stage: as of `Progress.frames`."""
    started, done = time.monotonic(), 0

    def decoded() -> None:
        nonlocal done
        done += 1
        progress.frames(done, frames, done / max(time.monotonic() - started, 1e-3), *stage)

    return decoded


def _compare(
    data: bytes, limits: Limits, model: str | None, progress: terminal.Progress, frames: int | None = None
) -> dict[str, dict[str, str]]:
    """The digests of every execution, which are all one. frames: of a clip. Raises DesyncError."""
    from ..codecs.conformance import digests
    from ..codecs.registry import open_stream
    from ..models.integer.executions import EXECUTIONS

    found = {}
    for number, name in enumerate(EXECUTIONS):
        stream, codec = open_stream(data, limits, model=model, execution=name)
        if frames is None:
            progress.part(number, len(EXECUTIONS))
            found[name] = digests(stream, codec)
        else:
            found[name] = codec.digests(stream, _counting(progress, frames, (number, len(EXECUTIONS), name)))
    for part in ("symbols", "pixels"):
        if len({digest[part] for digest in found.values()}) > 1:
            differing = ", ".join(f"{name} {digest[part][:8]}" for name, digest in found.items())
            raise DesyncError(f"the executions give different {part} ({differing}); please report it with the file")
    return found


def _symbols(stream: Any, codec: Any) -> str:
    """Hash of all symbols of a stream that decodes, in hexadecimal. Raises DesyncError."""
    from ..codecs.container import symbol_hash
    from ..codecs.image import iter_tiles

    if stream.header.codec != "image":
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
