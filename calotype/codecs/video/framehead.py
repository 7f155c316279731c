"""The head of a coded frame: what it is, which it is, what it is made from; 4 to 6 bytes before the codec's payload.

    | flags 1 | quality varint | number varint? | reference svarint, 0-2 x | drop svarint, any x | delay svarint? |
    | 3 + 4 (n + 1) | or | 3 | n svarint |    in a pack, of a frame that goes on like the one before it, n: in quality

docs/FORMAT.md specifies it. All numbers are display numbers within the segment, whose intra frame is 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ...errors import CorruptStreamError
from ..header import decode_varint, encode_varint
from .structure import MOST_HELD

FRAME = b"Fram"  # the chunk of a coded frame
AT_FAULT = "the program that wrote this file is at fault"
Kind = Literal["I", "P", "B"]
KINDS: tuple[Kind, ...] = get_args(Kind)
MAX_QUALITY = 1000
MAX_HEAD = 1 + 10 * (1 + 1 + 2 + 1 + MOST_HELD + 1 + 1)  # bytes; a number takes at most 10
GOES_ON = 3  # in the flags' place of a kind
_SHORT = 62  # differences of quality, as svarints number them, that fit beside it
_HAS_NUMBER, _HAS_DELAY, _REFERENCES, _DROPS, _MANY = 4, 8, 4, 6, 3


@dataclass(frozen=True)
class FrameHead:
    """A coded frame's head; numbers are display numbers within its segment.

    kind: I begins a segment; P is coded from frames shown before it, B from one at least that is shown after it.
    quality_deci: 0 to 1000. number: 0 of an I, of others from 1. references: one or two numbers, none of an I. drops:
    ascending numbers, the frame's own allowed, that no later frame refers to (an I drops all of the segment before
    by itself). delay: ticks by which the frame is shown later (negative: earlier) than one nominal frame after the one
    shown before it.
    """

    kind: Kind
    quality_deci: int
    number: int = 0
    references: tuple[int, ...] = ()
    drops: tuple[int, ...] = ()
    delay: int = 0


def going_on(before: FrameHead, number: int, quality_deci: int) -> FrameHead:
    """The head of a frame that goes on like `before`: where that named itself or the number below, so does this one; else they
    name the same pictures."""

    def on(numbers: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(number - (before.number - n) if before.number - n in (0, 1) else n for n in numbers)

    return FrameHead(before.kind, quality_deci, number, on(before.references), on(before.drops))


def head_fault(head: FrameHead) -> str | None:
    """What is wrong with a head by itself, in words; None when nothing is."""
    if head.kind not in KINDS:
        return f"the kind {head.kind!r} is not one of {', '.join(KINDS)}"
    if not 0 <= head.quality_deci <= MAX_QUALITY:
        return f"the quality is {head.quality_deci} tenths, not 0 to {MAX_QUALITY}"
    if not -(2**62) <= head.delay < 2**62:
        return f"the delay of {head.delay} ticks is over 62 bits"
    if head.kind == "I":
        return "an I frame has number 0 and no reference" if head.number or head.references else None
    if not 1 <= len(set(head.references)) == len(head.references) <= 2 or head.number in head.references:
        return f"frame {head.number} names {list(head.references)}, not one or two other frames as references"
    if (max(head.references) < head.number) != (head.kind == "P"):
        return f"frame {head.number} is no {head.kind} frame: its references are {list(head.references)}"
    return None


def encode_head(head: FrameHead, expected: int, before: FrameHead | None = None) -> bytes:
    """The bytes of a head without fault. expected: the lowest number of its segment that has not come, <= head.number.
    before: the head of the frame before it in its pack, where there is one."""
    if before is not None and head.number == expected and head == going_on(before, expected, head.quality_deci):
        more = _encode_signed(head.quality_deci - before.quality_deci)
        return bytes([GOES_ON | more[0] + 1 << 2]) if more[0] <= _SHORT else bytes([GOES_ON]) + more
    ahead, many = head.number - expected, len(head.drops) - _MANY
    flags = KINDS.index(head.kind) | len(head.references) << _REFERENCES | min(len(head.drops), _MANY) << _DROPS
    flags |= _HAS_NUMBER * (ahead != 0) | _HAS_DELAY * (head.delay != 0)
    out = [bytes([flags]), encode_varint(head.quality_deci)]
    if ahead:
        out.append(encode_varint(ahead))
    out += [_encode_signed(head.number - reference) for reference in head.references]
    if many >= 0:
        out.append(encode_varint(many))
    out += [_encode_signed(head.number - drop) for drop in head.drops]
    if head.delay:
        out.append(_encode_signed(head.delay))
    return b"".join(out)


def decode_head(payload: memoryview, expected: int, before: FrameHead | None = None) -> tuple[FrameHead, int]:
    """The head at the start of a frame's payload, and its length. expected, before: as in `encode_head`.

    Raises CorruptStreamError: cut, not in its shortest form, or one that `head_fault` has a word for.
    """
    flags = payload[0] if len(payload) else len(KINDS)
    if flags & 3 == GOES_ON and before is not None and len(payload):
        more, at = (_signed((flags >> 2) - 1), 1) if flags != GOES_ON else _decode_signed(payload, 1)
        return _sound(going_on(before, expected, before.quality_deci + more)), at
    if flags & 3 >= len(KINDS) or flags >> _REFERENCES & 3 > 2:
        raise CorruptStreamError("there is no frame head")
    kind, count, drops = KINDS[flags & 3], flags >> _REFERENCES & 3, flags >> _DROPS
    quality, at = decode_varint(payload, 1, 32)
    number = 0 if kind == "I" else expected
    if flags & _HAS_NUMBER:
        ahead, at = decode_varint(payload, at, 32)
        number += _not_zero(ahead)
    references, at = _decode_near(payload, at, number, count)
    if drops == _MANY:
        more, at = decode_varint(payload, at, 32)
        drops += more
    if drops > MOST_HELD + 1:
        raise CorruptStreamError(f"frame {number} drops {drops} pictures")
    dropped, at = _decode_near(payload, at, number, drops)
    delay = 0
    if flags & _HAS_DELAY:
        delay, at = _decode_signed(payload, at)
        _not_zero(delay)
    head = _sound(FrameHead(kind, quality, number, references, dropped, delay))
    if before is not None and encode_head(head, expected, before)[0] & 3 == GOES_ON:
        raise CorruptStreamError(f"frame {number} goes on like the one before and does not say so")
    return head, at


def _sound(head: FrameHead) -> FrameHead:
    fault = head_fault(head)
    if fault:
        raise CorruptStreamError(fault)
    return head


def _decode_near(payload: memoryview, at: int, number: int, count: int) -> tuple[tuple[int, ...], int]:
    numbers = []
    for _ in range(count):
        back, at = _decode_signed(payload, at)
        numbers.append(number - back)
    return tuple(numbers), at


def _not_zero(value: int) -> int:
    if not value:
        raise CorruptStreamError("a zero stands where none is written")
    return value


def _encode_signed(value: int) -> bytes:
    """0, -1, 1, -2 ... as varints 0, 1, 2, 3 ..."""
    return encode_varint(2 * value if value >= 0 else -2 * value - 1)


def _decode_signed(payload: memoryview, at: int) -> tuple[int, int]:
    value, at = decode_varint(payload, at, 64)
    return _signed(value), at


def _signed(value: int) -> int:
    return -(value + 1 >> 1) if value & 1 else value >> 1
