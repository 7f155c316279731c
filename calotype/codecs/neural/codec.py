"""Clips that carry their own networks (docs/FORMAT.md, section 5.8): a group of frames comes out of a network fitted to it.

    frames --groups--> fitting (fitting.py, torch) --> weights and grids in integers --weight coder--> one chunk a group
    chunk --> weights and grids --> stack of convolutions, integers (models/neural/stack.py) --> frames

Sources: Chen et al., "HNeRV" (2023, arXiv 2304.02633); Maiya et al., "NIRVANA" (2022, arXiv 2212.14593); what is taken and what
differs is at the heads of models/neural/hnerv.py and nirvana.py. nets.py has the interface for further ones.
Decoding is integer arithmetic up to the last sample, so a file decodes to the same pixels everywhere; it needs no torch.
"""

from __future__ import annotations

import hashlib
import io
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple

from ...errors import CorruptStreamError, ModelError, UsageError
from .. import container
from ..container import END, Container, UnsupportedError
from ..header import MODEL_HASH_BYTES, Header
from ..limits import Limits
from ..video.chunks import ChunkSource
from ..video.colour import codable
from ..video.sequence import FrameSequence, VideoFrame
from ..video.timeline import nothing_shown
from ..video.whole import samples_digest
from .grouphead import CODEC, GROUP, NETS, Clock, GroupHead, check_header, decode_head, heads
from .nets import Net, Place, net


def rules_hash(model: str) -> bytes:
    """Of what a network's name stands for: there is no model file."""
    return hashlib.sha256(f"{CODEC} {model}".encode()).digest()[:MODEL_HASH_BYTES]


class Entry(NamedTuple):
    """A group in the file. offset: of its chunk; first: its first frame's number; start: the tick where it would start, were it
    not late; times: of its frames; after: the tick where the next would start."""

    offset: int
    key: bool
    first: int
    start: int
    times: list[int]
    after: int


class NeuralVideo(FrameSequence):
    """A file of this codec, open: as `video.decoder.Video`, whose iteration, seeking and closing it shares. It has no audio."""

    audio = None

    def __init__(self, source: Path | BinaryIO | ChunkSource, limits: Limits | None = None, allow_partial: bool = False):
        """As of `Video`. Raises CorruptStreamError, LimitError, ModelError."""
        self._own = source.open("rb") if isinstance(source, Path) else None
        try:
            stream = self._own or source
            self._chunks = stream if isinstance(stream, ChunkSource) else ChunkSource(stream, limits or Limits())
            self.net, self.place = _net_of(self._chunks.header, self._chunks.limits)
        except BaseException:
            self.close()
            raise
        self._allow_partial, self.damage = allow_partial, ""
        self._begin = self._chunks.at
        self._entries: list[Entry] | None = None
        self._frames = self._decoded(0)

    @property
    def header(self) -> Header:
        """What the file says it is."""
        return self._chunks.header

    @property
    def model(self) -> str:
        """The network's name."""
        return self.header.model

    @property
    def count(self) -> int:
        """Frames."""
        return self.header.frames

    def __iter__(self) -> Iterator[VideoFrame]:
        """The frames that have not been given yet. Raises CorruptStreamError, DesyncError, LimitError after those before."""
        return self._frames

    def seek(self, number: int) -> None:
        """Go on at frame `number`; only the groups from the key group before it on are decoded. Raises UsageError."""
        if not 0 <= number < self.count:
            raise UsageError(f"there is no frame {number}: the clip has frames 0 to {self.count - 1}")
        self._frames = self._decoded(number, self._key_before(number))

    def seek_time(self, tick: int) -> None:
        """Go on at the frame that is shown at a tick. Raises UsageError."""
        index = self._index()
        times = [time for entry in index for time in entry.times]
        if not 0 <= tick < index[-1].after:
            raise UsageError(nothing_shown(self.header, tick, index[-1].after))
        self.seek(max(bisect_right(times, tick) - 1, 0))

    def take_audio(self) -> list[Any]:
        """None: this codec carries no audio."""
        return []

    def close(self) -> None:
        """Let go of the file; safe to call again."""
        if self._own:
            self._own.close()

    def __enter__(self) -> NeuralVideo:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _decoded(self, start: int, entry: Entry | None = None) -> Iterator[VideoFrame]:
        """From frame `start` on. entry: the group to begin at, in place of where the file stands."""
        if entry is not None:
            self._chunks.go(entry.offset)
        state: Any = None
        for found, head, data in self._groups(entry):
            if not head.key and state is None:
                raise CorruptStreamError("a group follows none that it could start from: the file is damaged")
            group = self.net.decode_group(data, head.frames, self.place, None if head.key else state)
            container.check_symbols(head.hash, group.symbols)
            state = group.state
            for number, (planes, time) in enumerate(zip(group.frames, found.times, strict=True), found.first):
                if number >= start:
                    yield VideoFrame(planes, number, time)

    def _groups(self, entry: Entry | None = None) -> Iterator[tuple[Entry, GroupHead, memoryview]]:
        """The groups from where the file stands on, with the networks' bytes."""
        first = entry.first if entry else 0
        clock = Clock(self.header, entry.start if entry else 0)
        self.damage = ""
        try:
            while True:
                offset, start = self._chunks.at, clock.next
                chunk = self._chunks.read()
                if chunk.kind == END:
                    break
                if chunk.kind == GROUP:
                    head, data = decode_head(memoryview(chunk.payload))
                    if first + head.frames > self.count:
                        raise CorruptStreamError(f"the file has more than the {self.count} frames of its header: it is damaged")
                    yield Entry(offset, head.key, first, start, clock.times(head), clock.next), head, data
                    first += head.frames
                elif chunk.critical:
                    raise UnsupportedError(f"this Calotype does not know chunk {chunk.kind.decode()!r} of a clip: update it")
            if first != self.count:
                raise CorruptStreamError(f"the file has {first} frames, and its header says {self.count}: it is damaged")
        except CorruptStreamError as error:
            if not self._allow_partial or isinstance(error, UnsupportedError):
                raise
            self.damage = str(error)

    def _index(self) -> list[Entry]:
        """All groups, from the file's chunks. Raises UsageError: a pipe, a clip of none."""
        if self._entries is None:
            if not self._chunks.seekable:
                raise UsageError("a pipe cannot be read from another place: store the file first")
            mark = self._chunks.mark()
            self._chunks.go(self._begin)
            self._entries = [entry for entry, _, _ in self._groups()]
            self._chunks.back(mark)
        if not self._entries:
            raise CorruptStreamError("there is no whole group of frames in the file; get it again")
        return self._entries

    def _key_before(self, number: int) -> Entry:
        index = self._index()
        at = bisect_right(index, number, key=lambda entry: entry.first) - 1
        while at and not index[at].key:
            at -= 1
        return index[at]


def _net_of(header: Header, limits: Limits) -> tuple[Net, Place]:
    check_header(header)
    if not codable(header.colour):
        raise CorruptStreamError("the header says what no encoder of this codec writes: the file is damaged")
    if header.model not in NETS or header.model_hash != rules_hash(header.model):
        raise ModelError(f"the stream needs the network '{header.model}' of codec '{CODEC}': update calotype")
    limits.check_video(header.frames)
    return net(header.model), Place(header.height, header.width, header.colour, limits)


@dataclass(frozen=True)
class NeuralCodec:
    """The registry's way to this codec."""

    dial = True

    def decode(self, stream: Container, progress: object = None) -> None:
        """Raises UsageError: a clip is no picture."""
        raise UsageError("this file is a clip: calotype.open iterates over its frames, `calotype decode` makes a clip of it")

    def digests(self, stream: Container, decoded: Callable[[], object] = lambda: None) -> dict[str, str]:
        """As `VideoCodec.digests`: of the symbol hashes of groups, and of all samples. Raises what decoding raises."""
        symbols = hashlib.sha256(b"".join(head.hash for head, _ in heads(stream)))
        file = io.BytesIO(container.write(stream.header, stream.chunks))
        return {"symbols": symbols.hexdigest(), "pixels": samples_digest(NeuralVideo(file), decoded)}
