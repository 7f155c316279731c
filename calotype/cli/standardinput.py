"""Standard input, of which the first bytes can be looked at however slowly they come."""

from __future__ import annotations

import io
import sys
from typing import TextIO


class _Joined(io.RawIOBase):
    """Bytes that were read, and what follows them."""

    def __init__(self, head: bytes, rest: TextIO):
        """rest: kept, as it closes its buffer when it goes."""
        self._head, self._text = head, rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        if self._head:
            part, self._head = self._head[: len(buffer)], self._head[len(buffer) :]
        else:
            part = self._text.buffer.read1(len(buffer))  # type: ignore[attr-defined]
        buffer[: len(part)] = part
        return len(part)


def head(count: int) -> bytes:
    """The first bytes of standard input, fewer only where it ends; whoever reads `sys.stdin.buffer` next gets them again."""
    found = sys.stdin.buffer.read(count)
    sys.stdin = io.TextIOWrapper(io.BufferedReader(_Joined(found, sys.stdin)))
    return found
