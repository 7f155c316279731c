"""Audio beside the video: packets pass through untouched, never decoded.

    description: | streams | per stream: name length, name, sample rate, channels, time base (2) | NUT file |
    packets:     | count | per packet: 2 x stream + key, pts, dts - pts, duration, size, data |

All numbers are varints. pts is the distance from the end of the group's previous packet of that stream (from 0 at first) and
duration that from its duration, so most are 0; signed numbers are zigzag. The NUT file, of one empty packet a stream, holds
all that a muxer has to know: codecs' own headers are its business, and PyAV makes streams of them only from other streams.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

from ...errors import CorruptStreamError, UsageError
from ..header import decode_varint, encode_varint

MAX_STREAMS = 64
_MAX_TIME = 2**62  # in time units; PyAV's are of 64 bits
_NAME = re.compile(rb"[a-z0-9_-]{1,64}")
_DAMAGED = "the audio data is damaged; get the file again"


class AudioPacket(NamedTuple):
    """stream: position in the description. pts, dts, duration: in the stream's time base; pts of 0 is where the video
    starts, and may be negative. key: decoding may start here."""

    stream: int
    pts: int
    dts: int
    duration: int
    key: bool
    data: bytes


@dataclass(frozen=True)
class AudioStream:
    """codec: FFmpeg's name. sample_rate: Hz, 0 where not known. time_base: seconds."""

    codec: str
    sample_rate: int
    channels: int
    time_base: Fraction


@dataclass(frozen=True)
class AudioDescription:
    """Of all audio streams of a file. template: a NUT file of these streams."""

    streams: tuple[AudioStream, ...]
    template: bytes

    def to_bytes(self) -> bytes:
        """As it is kept in a stream."""
        out = bytearray(encode_varint(len(self.streams)))
        for stream in self.streams:
            name = stream.codec.encode()
            numbers = (stream.sample_rate, stream.channels, stream.time_base.numerator, stream.time_base.denominator)
            out += encode_varint(len(name)) + name + b"".join(map(encode_varint, numbers))
        return bytes(out) + self.template

    @staticmethod
    def from_bytes(data: bytes | memoryview) -> AudioDescription:
        """Raises CorruptStreamError; the template is checked only when it is used."""
        view, at = memoryview(data), 0
        count, at = decode_varint(view, at, 16)
        if not 1 <= count <= MAX_STREAMS:
            raise CorruptStreamError(_DAMAGED)
        streams = []
        for _ in range(count):
            size, at = decode_varint(view, at, 8)
            name, at = bytes(view[at : at + size]), at + size
            numbers = []
            for _ in range(4):
                number, at = decode_varint(view, at, 32)
                numbers.append(number)
            rate, channels, over, under = numbers
            if not _NAME.fullmatch(name) or not over or not under or math.gcd(over, under) != 1:
                raise CorruptStreamError(_DAMAGED)
            streams.append(AudioStream(name.decode(), rate, channels, Fraction(over, under)))
        return AudioDescription(tuple(streams), bytes(view[at:]))


def encode_packets(packets: Iterable[AudioPacket]) -> bytes:
    """A group of packets as bytes; each group is read alone. Raises UsageError for numbers out of range."""
    packets = list(packets)
    out = bytearray(encode_varint(len(packets)))
    ends: dict[int, tuple[int, int]] = {}
    for packet in packets:
        if not 0 <= packet.stream < MAX_STREAMS or not all(map(_in_range, packet[1:4])) or packet.duration < 0:
            raise UsageError("an audio packet's stream or times are out of range: the source's times are damaged")
        end, duration = ends.get(packet.stream, (0, 0))
        ends[packet.stream] = (packet.pts + packet.duration, packet.duration)
        out += encode_varint(2 * packet.stream + packet.key)
        for signed in (packet.pts - end, packet.dts - packet.pts, packet.duration - duration):
            out += encode_varint(2 * signed if signed >= 0 else -2 * signed - 1)
        out += encode_varint(len(packet.data)) + packet.data
    return bytes(out)


def decode_packets(data: bytes | memoryview, streams: int) -> list[AudioPacket]:
    """The group's packets, of a file with so many audio streams. Raises CorruptStreamError."""
    view = memoryview(data)
    count, at = decode_varint(view, 0, 32)
    ends: dict[int, tuple[int, int]] = {}
    packets = []
    for _ in range(count):
        head, at = decode_varint(view, at, 16)
        stream = head >> 1
        signed = []
        for _ in range(3):
            number, at = decode_varint(view, at, 65)
            signed.append(-(number >> 1) - 1 if number & 1 else number >> 1)
        size, at = decode_varint(view, at, 32)
        end, duration = ends.get(stream, (0, 0))
        pts, duration = end + signed[0], duration + signed[2]
        packet = AudioPacket(stream, pts, pts + signed[1], duration, bool(head & 1), bytes(view[at : at + size]))
        at += size
        if stream >= streams or at > len(view) or duration < 0 or not all(map(_in_range, packet[1:4])):
            raise CorruptStreamError(_DAMAGED)
        ends[stream] = (pts + duration, duration)
        packets.append(packet)
    if at != len(view):
        raise CorruptStreamError(_DAMAGED)
    return packets


def _in_range(time: int) -> bool:
    return -_MAX_TIME < time < _MAX_TIME


# ---- from and to PyAV


def moved(packets: Iterable[AudioPacket], description: AudioDescription, by: Fraction) -> list[AudioPacket]:
    """Packets on a time that begins `by` seconds later."""
    shifts = [round(by / stream.time_base) for stream in description.streams]
    return [p._replace(pts=p.pts - shifts[p.stream], dts=p.dts - shifts[p.stream]) for p in packets]


class AudioIn:
    """All audio streams of a PyAV input container. Who reads its packets calls `push`; who wants them `take`."""

    def __init__(self, streams: Sequence[Any]) -> None:
        if len(streams) > MAX_STREAMS:
            raise UsageError(f"the file has {len(streams)} audio streams and {MAX_STREAMS} are held; remove some")
        described = tuple(
            AudioStream(
                stream.codec_context.name,
                stream.codec_context.sample_rate or 0,
                stream.codec_context.layout.nb_channels,
                Fraction(stream.time_base),
            )
            for stream in streams
        )
        self.description = AudioDescription(described, _template(streams))
        self._numbers = {stream.index: number for number, stream in enumerate(streams)}
        self._pending: list[AudioPacket] = []
        self._origin: Fraction | None = None
        self._cut = False
        self._until: Fraction | None = Fraction(0)
        self._reached = [0] * len(streams)

    def start(self, origin: Fraction, cut: bool) -> None:
        """origin: seconds in the file where the video starts; `cut` leaves out what ends before."""
        self._origin, self._cut = origin, cut

    def advance(self, until: Fraction | None) -> None:
        """until: seconds of the video that the frames given out so far show; None at its end, for all that is left."""
        self._until = until

    @property
    def complete(self) -> bool:
        """Whether every stream has been read to where the frames have come."""
        if self._origin is None or self._until is None:
            return False
        until = self._origin + self._until
        return all(
            at * stream.time_base >= until for at, stream in zip(self._reached, self.description.streams, strict=True)
        )

    def push(self, packet: Any) -> None:
        """A packet that PyAV read, of one of these streams; those without data are skipped."""
        if not packet.size:
            return
        number = self._numbers[packet.stream.index]
        pts = packet.pts if packet.pts is not None else packet.dts
        pts = self._reached[number] if pts is None else pts
        dts = packet.dts if packet.dts is not None else pts
        duration = max(packet.duration or 0, 0)
        self._reached[number] = pts + duration
        self._pending.append(AudioPacket(number, pts, dts, duration, bool(packet.is_keyframe), bytes(packet)))

    def take(self) -> list[AudioPacket]:
        """What has been read since the last call and starts before the last frame ends. Call it after each frame, or it piles
        up, and once after the last."""
        if self._origin is None:
            return []
        pending, self._pending = self._pending, []
        bases = [stream.time_base for stream in self.description.streams]
        shifts = [round(self._origin / base) for base in bases]
        found = []
        for packet in pending:
            shift, base = shifts[packet.stream], bases[packet.stream]
            moved = packet._replace(pts=packet.pts - shift, dts=packet.dts - shift)
            if self._until is not None and moved.pts * base >= self._until:
                self._pending.append(packet)
            elif not self._cut or moved.pts + moved.duration > 0:
                found.append(moved)
        return found


class AudioOut:
    """Writes packets to a PyAV output container, whose streams it adds: before anything is written there."""

    def __init__(self, container: Any, description: AudioDescription) -> None:
        import av

        try:
            self._template = av.open(io.BytesIO(description.template), format="nut")
        except av.FFmpegError as error:
            raise CorruptStreamError(_DAMAGED) from error
        streams = self._template.streams.audio
        if len(streams) != len(description.streams):
            raise CorruptStreamError(_DAMAGED)
        self._container, self._bases = container, [stream.time_base for stream in description.streams]
        try:
            self._streams = [_add(container, stream) for stream in streams]
        except ValueError as error:
            names = ", ".join(stream.codec for stream in description.streams)
            raise UsageError(
                f"a .{container.format.name} file cannot hold this audio ({names}); write .mkv, or leave it out (--no-audio)"
            ) from error

    def write(self, packets: Iterable[AudioPacket]) -> None:
        """Mux them as they are."""
        import av

        for one in packets:
            packet = av.Packet(one.data)
            packet.pts, packet.dts, packet.duration = one.pts, one.dts, one.duration
            packet.time_base = self._bases[one.stream]
            packet.is_keyframe = one.key
            packet.stream = self._streams[one.stream]
            self._container.mux(packet)


def _add(container: Any, template: Any) -> Any:
    if hasattr(container, "add_stream_from_template"):
        return container.add_stream_from_template(template)
    return container.add_stream(template=template)  # PyAV before 14


def _template(streams: Sequence[Any]) -> bytes:
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="nut", options={"fflags": "+bitexact"}) as container:
        added = [_add(container, stream) for stream in streams]
        for stream in added:
            packet = av.Packet(bytes(4))  # a NUT file without packets cannot be opened
            packet.pts = packet.dts = 0
            packet.time_base, packet.stream = Fraction(1, 1000), stream
            container.mux(packet)
    return file.getvalue()
