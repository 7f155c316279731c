"""The heads of the chunks of codec `inr-video`, a group of frames each. No numpy: `calotype info` starts at once.

    | symbol hash 4 | flags | frames varint | delays, where flag 2 is set: a signed varint a frame | the network's bytes |

Frame k of a group is shown at start + floor(k * step + 1/2) + its delay, step being the ticks of a nominal frame; the next
group would start where frame n would be shown, and starts later by the delay of its frame 0, from which its own times count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from ...errors import CorruptStreamError
from ..container import SYMBOL_HASH_BYTES, Container
from ..header import FIRST_ANCILLARY_KEY, FRAMES_UNKNOWN, PARAMS, Header, UnsupportedError, decode_varint, encode_varint
from ..video.timeline import tick_rate

CODEC = "inr-video"
GROUP = b"Grup"
# name of a network, which headers carry as their model: the class, of nets.Net; of each the newest version is the last
NETS = {
    "hnerv.1": "calotype.codecs.neural.hnerv:HNeRV",
    "nirvana.1": "calotype.codecs.neural.nirvana:Nirvana",
}
NEWEST = {name.rsplit(".", 1)[0]: name for name in NETS}  # without its version; the first is the default
KEY, TIMED = 1, 2
MOST_FRAMES = 1024  # of a group
_MAX_DELAY = 1 << 40


class GroupHead(NamedTuple):
    """key: whether the group stands alone; delays: of its frames, in ticks."""

    hash: bytes
    key: bool
    delays: tuple[int, ...]

    @property
    def frames(self) -> int:
        """How many."""
        return len(self.delays)


def encode_head(head: GroupHead) -> bytes:
    """Its bytes."""
    timed = any(head.delays)
    out = head.hash + bytes([KEY * head.key | TIMED * timed]) + encode_varint(head.frames)
    if timed:
        out += b"".join(encode_varint(2 * d if d >= 0 else -2 * d - 1) for d in head.delays)
    return out


def decode_head(payload: memoryview) -> tuple[GroupHead, memoryview]:
    """The head, and the network's bytes. Raises CorruptStreamError."""
    if len(payload) < SYMBOL_HASH_BYTES + 1 or payload[SYMBOL_HASH_BYTES] & ~(KEY | TIMED):
        raise CorruptStreamError("a group of frames has no head: the file is damaged")
    flags = payload[SYMBOL_HASH_BYTES]
    count, at = decode_varint(payload, SYMBOL_HASH_BYTES + 1, 32)
    if not 1 <= count <= MOST_FRAMES:
        raise CorruptStreamError(f"a group has {count} frames, not 1 to {MOST_FRAMES}: the file is damaged")
    delays = [0] * count
    if flags & TIMED:
        for number in range(count):
            folded, at = decode_varint(payload, at, 64)
            delays[number] = folded >> 1 if not folded & 1 else -(folded >> 1) - 1
    head = GroupHead(bytes(payload[:SYMBOL_HASH_BYTES]), bool(flags & KEY), tuple(delays))
    if max(map(abs, delays)) > _MAX_DELAY or bool(flags & TIMED) != any(delays):
        raise CorruptStreamError("the times of a group make no sense: the file is damaged")
    return head, payload[at:]


class Clock:
    """When the frames of groups are shown; groups are taken one after the other."""

    def __init__(self, header: Header, start: int = 0):
        """next: the tick where the next group would start."""
        num, den = tick_rate(header)
        self._step = Fraction(num * header.rate[1], den * header.rate[0])
        self.next = start
        self._last = -1

    def _nominal(self, number: int) -> int:
        return (2 * number * self._step.numerator + self._step.denominator) // (2 * self._step.denominator)

    def times(self, head: GroupHead) -> list[int]:
        """In ticks. Raises CorruptStreamError where they do not rise."""
        start = self.next + head.delays[0]
        times = [start, *(start + self._nominal(k) + head.delays[k] for k in range(1, head.frames))]
        for time in times:
            if time <= self._last:
                raise CorruptStreamError("the times of a clip do not rise: the file is damaged")
            self._last = time
        self.next = start + self._nominal(head.frames)
        return times

    def delays(self, times: Sequence[int]) -> tuple[int, ...]:
        """Those of the next group, whose frames are shown at these ticks."""
        return times[0] - self.next, *(time - times[0] - self._nominal(k) for k, time in enumerate(times[1:], 1))


def check_header(header: Header) -> None:
    """Raise CorruptStreamError, UnsupportedError where a header is none of this codec's."""
    if header.media != "video" or (header.colour.chroma, header.colour.depth) != ("420", 8):
        raise UnsupportedError(f"codec '{CODEC}' holds 8-bit 4:2:0 clips and this stream has other contents: update calotype")
    critical = [name for name in header.params if PARAMS[name].key < FIRST_ANCILLARY_KEY]
    if critical not in ([], ["quality_deci"]) or header.frames == FRAMES_UNKNOWN:
        raise CorruptStreamError("the header says what no encoder of this codec writes: the file is damaged")


def heads(stream: Container) -> Iterator[tuple[GroupHead, int]]:
    """Heads of the groups of a stream that was read, and bytes of their chunks' payloads. Raises CorruptStreamError."""
    check_header(stream.header)
    stream.require_known({GROUP})
    for payload in stream.payloads(GROUP):
        yield decode_head(memoryview(payload))[0], len(payload)


def describe_groups(stream: Container) -> dict[str, Any]:
    """As `describe.describe_clip`: segments are key groups with what follows them."""
    clock, (num, den) = Clock(stream.header), tick_rate(stream.header)
    intra, kinds = list[float](), {kind: {"frames": 0, "groups": 0, "bytes": 0} for kind in ("key", "following")}
    for head, size in heads(stream):
        start = clock.times(head)[0]
        if head.key:
            intra.append(round(start * den / num, 3))
        kind = kinds["key" if head.key else "following"]
        kind["frames"] += head.frames
        kind["groups"] += 1
        kind["bytes"] += size
    seconds = clock.next * den / num
    return {
        "frames": sum(kind["frames"] for kind in kinds.values()),
        "segments": kinds["key"]["groups"],
        "seconds": round(seconds, 3),
        "intra": intra,
        "kinds": {name: kind for name, kind in kinds.items() if kind["groups"]},
        "audio_bytes": 0,
        "audio": [],
        "kbps": round(stream.size * 8 / 1000 / seconds, 3) if seconds else None,
    }
