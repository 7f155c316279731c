"""The chunks of a .calo file one at a time, from a file or a pipe: memory for one, whatever the file's length."""

from __future__ import annotations

import os
from typing import BinaryIO, NamedTuple

from crc32c import crc32c

from ...errors import CorruptStreamError
from ..container import END, Chunk, Order, check_crc, kind_fault
from ..header import CRC_BYTES, CutError, decode_header, decode_varint
from ..limits import Limits

_SHORTEST_HEADER = 24  # bytes of a picture's, with names of one letter and no parameter
_PIECE = 2**20  # bytes asked for at once, so that a length is allocated no faster than its bytes are there


class Start(NamedTuple):
    """What precedes a chunk's payload. frame: kind and length as they stand in the file. at: its byte offset."""

    frame: bytes
    length: int
    at: int

    @property
    def kind(self) -> bytes:
        return self.frame[:4]

    @property
    def end(self) -> int:
        """The offset after the chunk."""
        return self.at + len(self.frame) + self.length + CRC_BYTES


class ChunkSource:
    """Reads `header`, then chunk after chunk. source: positioned at the file's first byte; it need not be able to seek.

    at: offset of the byte read next, from the file's first. What is not there or not right raises CorruptStreamError,
    what passes the limits LimitError.
    """

    def __init__(self, source: BinaryIO, limits: Limits):
        self.limits = limits
        self._source = source
        self.seekable = source.seekable()
        self._base = source.tell() if self.seekable else 0
        self.at = self._count = 0
        self._order = Order()
        raw = self.pull(_SHORTEST_HEADER, short=True)
        while True:  # byte by byte: what follows the header may not have been written yet
            try:
                self.header = decode_header(memoryview(raw), limits)[0]
                break
            except CutError:
                more = self.pull(1, short=True)
                if not more:
                    raise
                raw += more
        self._seal: int | None = crc32c(raw[-CRC_BYTES:])

    def start(self) -> Start:
        """What comes next, up to its payload."""
        at = self.at
        frame = self.pull(4)
        if kind_fault(frame):
            raise CorruptStreamError(f"there is no chunk at byte {at}, where one must start: the file is damaged")
        if frame == END:
            return Start(frame, 0, at)
        frame += self.pull(1)
        while frame[-1] & 0x80 and len(frame) < 4 + 5:
            frame += self.pull(1)
        return Start(frame, decode_varint(memoryview(frame), 4, 32)[0], at)

    def read(self) -> Chunk:
        """The next chunk, checked. The end chunk is a Chunk too; nothing follows it."""
        start = self.start()
        self._count += 1
        payload = self.pull(min(start.length, self.limits.max_bytes + 1))  # a length beyond the end is damage, not a claim
        self.limits.check_payload(self._count, start.length)
        stored = self.pull(CRC_BYTES)
        is_end = start.kind == END
        if not is_end or self._seal is not None:
            seal = check_crc(start.frame, payload, stored, self._seal or 0, self._count, start.at)
            self._seal = None if self._seal is None else seal
        fault = self._order.fault(start.kind, start.length)
        if fault:
            raise CorruptStreamError(f"{fault}: the program that wrote this file is at fault")
        if is_end and self.pull(1, short=True):
            raise CorruptStreamError("bytes follow the end of the file's content; get the file again")
        return Chunk(start.kind, payload)

    def pull(self, size: int, short: bool = False) -> bytes:
        """The next `size` bytes; fewer, where `short`, at the end of the file."""
        pieces, missing = [], size
        while missing:
            piece = self._source.read(min(missing, _PIECE))
            if not piece:
                break
            pieces.append(piece)
            missing -= len(piece)
            self.at += len(piece)
        if missing and not short:
            raise CorruptStreamError(f"the file was cut short: it ends after {self.at} bytes; get it again")
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    # ---- files that can seek

    def size(self) -> int:
        """Bytes of the whole file; the position is lost."""
        return self._source.seek(0, os.SEEK_END) - self._base

    def go(self, at: int) -> None:
        """Read next at offset `at`. The closing checksum can then no longer be checked, unless `back` leads back."""
        self._source.seek(self._base + at)
        self.at, self._seal = at, None

    def mark(self) -> tuple[int, int | None, int]:
        """Where reading is, for `back`."""
        return self.at, self._seal, self._count

    def back(self, mark: tuple[int, int | None, int]) -> None:
        self.go(mark[0])
        _, self._seal, self._count = mark
