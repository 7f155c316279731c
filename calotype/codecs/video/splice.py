"""Video files joined and cut between segments: chunks are copied, nothing is decoded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import BinaryIO

from ...errors import UsageError
from ..container import Chunk
from ..header import FRAMES_UNKNOWN, Header
from ..limits import Limits
from .stream import Frame, FrameHead, StreamReader, StreamWriter


def join(sources: Sequence[BinaryIO], sink: BinaryIO, limits: Limits | None = None) -> Header:
    """Write the clips one after the other to `sink`; the header written. Sources and sink may be pipes.

    Raises UsageError where headers differ in more than the number of frames, or the audio's descriptions do. What is wrong
    with a source raises as reading it does, and leaves `sink` without its end.
    """
    readers = [StreamReader(source, limits) for source in sources]
    if not readers:
        raise UsageError("there is nothing to join: give one video file or more")
    one, counts = readers[0], [reader.header.frames for reader in readers]
    for number, reader in enumerate(readers[1:], 2):
        if replace(reader.header, frames=1) != replace(one.header, frames=1):
            raise UsageError(f"file {number} has another header than the first (model, size, rate ...): encode them alike")
        if reader.preamble != one.preamble:
            raise UsageError(f"file {number} has other audio than the first, or another colour profile: encode them alike")
    header = replace(one.header, frames=FRAMES_UNKNOWN if FRAMES_UNKNOWN in counts else sum(counts))
    with StreamWriter(sink, header) as writer:
        _write_preamble(one, writer)
        for reader in readers:
            _copy(reader, writer)
    return header


def cut(source: BinaryIO, sink: BinaryIO, first: int, last: int, limits: Limits | None = None) -> range:
    """Write the segments that hold frames `first` to `last` of the clip to `sink`; the frames written, a range of the clip.

    Raises UsageError: a pipe, no such frames. What is wrong with the source raises as reading it does.
    """
    reader = StreamReader(source, limits)
    if first > last:
        raise UsageError(f"frames {first} to {last} are none: give the first one first")
    reader.seek(last)
    start = reader.seek(first).first
    index = reader.index
    assert index is not None
    after = index.holding(last) + 1
    stop = index.segments[after].first if after < len(index.segments) else index.frames
    with StreamWriter(sink, replace(reader.header, frames=stop - start)) as writer:
        _write_preamble(reader, writer)
        _copy(takewhile(lambda event: not isinstance(event, Frame) or event.segment.first < stop, reader), writer)
    return range(start, stop)


def _write_preamble(reader: StreamReader, writer: StreamWriter) -> None:
    for chunk in reader.preamble:
        writer.chunk(chunk)


def _copy(events: Iterable[Frame | Chunk], writer: StreamWriter) -> None:
    pack: list[tuple[FrameHead, memoryview]] = []
    for event in events:
        if not isinstance(event, Frame):
            writer.chunk(event)
        elif event.packed is None:
            writer.frame(event.head, event.payload)
        else:
            pack.append((event.head, event.payload))
            if event.packed.last:
                writer.pack(event.packed.joint, pack)
                pack = []
