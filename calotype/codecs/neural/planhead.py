"""A plan's numbers as varints: width, inputs, steps up (how many, then each)."""

from __future__ import annotations

from ...errors import CorruptStreamError
from ...models.neural.plan import Plan, plan_of
from ..header import decode_varint, encode_varint

_MOST_UPS = 6


def encode_plan(plan: Plan) -> bytes:
    """Its bytes."""
    return b"".join(map(encode_varint, plan.numbers()))


def decode_plan(data: memoryview) -> tuple[Plan, memoryview]:
    """The plan, and what follows it. Raises CorruptStreamError."""
    numbers, at = [], 0
    for _ in range(3):
        number, at = decode_varint(data, at, 32)
        numbers.append(number)
    if numbers[-1] > _MOST_UPS:
        raise CorruptStreamError("a network has too many steps up: the file is damaged")
    for _ in range(numbers[-1]):
        number, at = decode_varint(data, at, 32)
        numbers.append(number)
    return plan_of(numbers), data[at:]
