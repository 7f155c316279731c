"""The first bytes of a pipe can be looked at, and are there again for who reads it."""

from __future__ import annotations

import io
import sys

from hypothesis import given
from hypothesis import strategies as st

from calotype.cli import standardinput


class Slow(io.RawIOBase):
    """A pipe that gives so many bytes a read."""

    def __init__(self, data: bytes, pieces: list[int]):
        self.data, self.pieces = data, pieces

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:
        count = min(len(buffer), self.pieces.pop() if self.pieces else len(buffer), len(self.data))
        buffer[:count], self.data = self.data[:count], self.data[count:]
        return count


@given(st.binary(max_size=60), st.lists(st.integers(1, 5), max_size=30), st.integers(0, 12), st.integers(0, 12))
def test_what_was_looked_at_is_read_again_however_slowly_it_comes(data, pieces, first, second) -> None:
    before = sys.stdin
    try:
        sys.stdin = io.TextIOWrapper(io.BufferedReader(Slow(data, pieces)))
        assert standardinput.head(first) == data[:first]
        assert standardinput.head(second) == data[:second]
        assert sys.stdin.buffer.read(3) + sys.stdin.buffer.read() == data
    finally:
        sys.stdin = before
