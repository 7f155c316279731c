"""`calotype info`: what a .calo file says of itself. Imports neither numpy nor torch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from ..codecs import container
from ..codecs.describe import PARTS, describe
from ..codecs.limits import Limits
from ..errors import CorruptStreamError
from . import batch, terminal
from .calofiles import read_file

# `info` allocates nothing for what a header claims, so that it can show claims that a decoder refuses.
ANY_CLAIM = Limits(max_width=2**32, max_height=2**32, max_pixels=2**64, max_bytes=2**72, max_chunks=2**32)

POINTS = 8  # intra points that are shown

FLOAT_NETS = {"generative"}  # whose last step from exact integers to pixels is floats
FLOAT_PRIORS = {"classic"}  # codecs whose streams are promised to decode only on a machine like the encoder's


@click.command(no_args_is_help=True)
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a file.")
def info(files: tuple[str, ...], as_json: bool) -> None:
    """Show the header and the chunks of .calo files (- is standard input), without decoding them.

    A file that is cut or damaged after its header is shown as far as it goes, and the exit code is 3.
    """
    jobs = [batch.Job(None if name == batch.PIPE else Path(name), None) for name in files]

    def work(job: batch.Job, progress: terminal.Progress) -> None:
        stream = container.read(read_file(job.source), ANY_CLAIM, allow_partial=True)
        record = {"file": job.name} | describe(stream) | {"damage": stream.damage or None}
        terminal.row("\n".join(_lines(record)), record, as_json)
        if stream.truncated:
            raise CorruptStreamError(stream.damage)

    batch.run(jobs, work, "info", keep=False, as_json=False)


def _lines(record: dict[str, Any]) -> Iterator[str]:
    """The record for people, one `key: value` a line."""
    params = dict(record["params"])
    chunks = params.pop("chunks", record["chunks"])
    yield f"{record['file']}: {record['media']}, {record['width']} x {record['height']} pixels"
    yield f"  file: {record['bytes']} bytes, {record['bpp']:.4f} bits per pixel, version {record['version']}"
    if "clip" in record:
        yield from _clip_lines(record["clip"], record["rate"])
    yield f"  codec: {record['codec']}, model {record['model']} (hash {record['model_hash']})"
    if record["codec"] in FLOAT_PRIORS:
        yield "  prior: float, not exact across devices"
    if record["codec"] in FLOAT_NETS:
        yield "  pixels: by a float net, whose texture may differ by rounding between devices; symbols and the picture that it"
        yield "    is given are exact"
    if "quality_deci" in params:
        yield f"  quality: {params.pop('quality_deci') / 10:g}"
    for key, value in (pair for codec in PARTS for pair in record.get(codec, {}).items()):
        yield f"  {key.replace('_', ' ')}: {value}"
    yield "  colour: " + ", ".join(f"{key} {value}" for key, value in record["colour"].items())
    for key, value in params.items():
        yield f"  {key}: {value}"
    count = sum(chunk.get("count", 1) for chunk in chunks)
    yield f"  chunks: {count}, and {record['overhead']} bytes of header, framing and checksums"
    yield from _chunk_lines(chunks)


def _clip_lines(clip: dict[str, Any], rate: list[int]) -> Iterator[str]:
    speed = f", {clip['kbps']:.1f} kbit/s" if clip["kbps"] else ""
    exact = f" ({rate[0]}/{rate[1]})" if rate[1] != 1 else ""
    yield f"  frames: {clip['frames']} at {rate[0] / rate[1]:.6g}{exact} a second, {clip['seconds']:.3f} s{speed}"
    times = [f"{seconds:g}" for seconds in clip["intra"]]
    shown = ", ".join(times if len(times) <= POINTS else [*times[: POINTS - 1], "...", times[-1]])
    yield f"  intra points: {clip['segments']}" + (f", where one can seek to at once: at {shown} s" if times else "")
    for kind, counts in clip["kinds"].items():
        yield f"    {counts['frames']} x {kind}: {counts['bytes']} bytes"
    sound = "; ".join(f"{one['codec']}, {one['sample_rate']} Hz, {one['channels']} channels" for one in clip["audio"])
    yield f"  audio: {sound}: {clip['audio_bytes']} bytes" if sound else "  audio: none"


def _chunk_lines(chunks: list[dict[str, Any]]) -> Iterator[str]:
    """One line for each run of chunks of one kind."""
    start = 0
    while start < len(chunks):
        end = start
        while end < len(chunks) and chunks[end]["kind"] == chunks[start]["kind"]:
            end += 1
        size = sum(chunk["bytes"] for chunk in chunks[start:end])
        count = sum(chunk.get("count", 1) for chunk in chunks[start:end])
        times = f"{count} x " if count > 1 else ""
        yield f"    {times}{chunks[start]['kind']}: {size} bytes"
        start = end
