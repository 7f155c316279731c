"""The .calo container: bytes to header and chunks, and back. The format is specified in docs/FORMAT.md.

    | header ... CRC | chunk | chunk | ... | Fend |        chunk: | kind 4 | length varint | payload | CRC-32C 4 |

Every chunk's CRC stands alone, so chunks can be copied, indexed and concatenated as they are. What ties them to one
another is the end chunk: its CRC is taken over the CRCs of the header and of all chunks in their order, so a chunk that
was lost, repeated, moved or taken from another file is noticed. (A plain CRC over the whole file would not notice: a
CRC's state after a message and that message's own CRC does not depend on the message.)
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from crc32c import crc32c

from calotype.codecs.header import (
    CRC_BYTES,
    MAGIC,
    VERSION,
    Colour,
    Header,
    UnsupportedError,
    decode_header,
    decode_varint,
    encode_header,
    encode_varint,
)
from calotype.codecs.limits import Limits
from calotype.errors import CorruptStreamError, DesyncError, UsageError

__all__ = [
    "END",
    "ICC",
    "ROI",
    "MAGIC",
    "SYMBOL_HASH_BYTES",
    "TILE",
    "VERSION",
    "Chunk",
    "Colour",
    "Container",
    "Header",
    "Limits",
    "Order",
    "Pieces",
    "UnsupportedError",
    "check_crc",
    "check_hash",
    "check_symbols",
    "kind_fault",
    "parts",
    "read",
    "read_header",
    "symbol_hash",
    "write",
]

TILE = b"Tile"
ICC = b"iccp"
ROI = b"Roim"  # quality by region
END = b"Fend"
SYMBOL_HASH_BYTES = 4
_MAX_PAYLOAD = 2**32 - 1


class Chunk(NamedTuple):
    """kind: four ASCII letters, the first upper case when a reader must understand the chunk, lower case when it may
    skip it. payload: its bytes; `read` gives a read-only view into the file's bytes, not a copy."""

    kind: bytes
    payload: bytes | memoryview

    @property
    def critical(self) -> bool:
        return self.kind[:1].isupper()


@dataclass(frozen=True)
class Container:
    """A parsed file. chunks: without the end chunk. truncated: the file is cut or damaged after these chunks, and
    `damage` says how; it is set only when reading with allow_partial. size: bytes of the whole file."""

    header: Header
    chunks: tuple[Chunk, ...]
    truncated: bool = False
    damage: str = ""
    size: int = 0

    def require_known(self, kinds: Collection[bytes]) -> None:
        """Raise UnsupportedError when there is a critical chunk whose kind is not in `kinds`."""
        for chunk in self.chunks:
            if chunk.critical and chunk.kind not in kinds:
                raise UnsupportedError(
                    f"this Calotype does not know chunk {chunk.kind.decode()!r} of this {self.header.codec!r} file; "
                    "use a newer version"
                )

    def payloads(self, kind: bytes) -> list[bytes | memoryview]:
        """The payloads of all chunks of this kind, in file order."""
        return [chunk.payload for chunk in self.chunks if chunk.kind == kind]


# ---- writing

def write(header: Header, chunks: Iterable[Chunk]) -> bytes:
    """The whole file. Raises UsageError when the header or a chunk cannot be written (see `parts`)."""
    return b"".join(parts(header, chunks))


def parts(header: Header, chunks: Iterable[Chunk]) -> Iterator[bytes | memoryview]:
    """The file piece by piece, so that a long stream need not be held: joined, the pieces are what `write` returns.

    Raises UsageError for a header field out of range, a kind that is not four letters or is the end chunk's, a payload
    over 4 GiB, a colour profile that is empty, repeated or not before the first critical chunk.
    """
    writer = Pieces(header)
    yield writer.head
    for kind, payload in chunks:
        yield from writer.chunk(kind, payload)
    yield writer.end()


class Pieces:
    """The pieces of a file that is written front to back: `head`, each `chunk`, `end`. Raises as `parts` does."""

    def __init__(self, header: Header):
        self.head = encode_header(header)
        self._seal = crc32c(self.head[-CRC_BYTES:])
        self._order = Order()

    def chunk(self, kind: bytes, payload: bytes | memoryview) -> tuple[bytes, memoryview, bytes]:
        payload = _as_view(payload)
        fault = kind_fault(kind) or self._order.fault(kind, len(payload))
        if kind == END:
            fault = "the end chunk is added by itself"
        elif len(payload) > _MAX_PAYLOAD:
            fault = f"{len(payload)} bytes are over the {_MAX_PAYLOAD} of one chunk"
        if fault:
            raise UsageError(f"cannot write chunk {kind!r}: {fault}")
        frame = kind + encode_varint(len(payload))
        crc = crc32c(payload, crc32c(frame)).to_bytes(CRC_BYTES, "little")
        self._seal = crc32c(crc, self._seal)
        return frame, payload, crc

    def end(self) -> bytes:
        return END + crc32c(END, self._seal).to_bytes(CRC_BYTES, "little")


# ---- reading

def read_header(data: bytes | memoryview, limits: Limits | None = None) -> Header:
    """The header alone; `data` may be the first 3 KiB of a file. Raises as `read` does."""
    return decode_header(_as_view(data), limits or Limits())[0]


def read(data: bytes | memoryview, limits: Limits | None = None, allow_partial: bool = False) -> Container:
    """Parse and check a whole file held in `data`; payloads are views into it, nothing is copied.

    Raises CorruptStreamError (not a .calo file, cut, damaged, trailing bytes), its subclass UnsupportedError (made by a
    newer version) and LimitError. With `allow_partial` what is cut or damaged after the header gives the intact leading
    chunks with truncated=True; the header itself must be whole, and limits hold all the same.
    """
    view, limits = _as_view(data), limits or Limits()
    header, at = decode_header(view, limits)
    seal = crc32c(view[at - CRC_BYTES : at])
    chunks: list[Chunk] = []
    order = Order()
    try:
        while True:
            chunk, at, seal = _read_chunk(view, at, seal, len(chunks) + 1, limits)
            fault = order.fault(chunk.kind, len(chunk.payload))
            if fault:
                raise CorruptStreamError(f"{fault}: the program that wrote this file is at fault")
            if chunk.kind == END:
                break
            chunks.append(chunk)
        if at != len(view):
            raise CorruptStreamError(f"{len(view) - at} bytes follow the end of the file's content; get the file again")
    except CorruptStreamError as error:
        if not allow_partial:
            raise
        return Container(header, tuple(chunks), truncated=True, damage=str(error), size=len(view))
    return Container(header, tuple(chunks), size=len(view))


def _read_chunk(view: memoryview, at: int, seal: int, number: int, limits: Limits) -> tuple[Chunk, int, int]:
    """The chunk at offset `at`, the offset after it, and the running CRC over all CRCs including this chunk's."""
    start = at
    kind = bytes(view[at : at + 4])
    if len(kind) < 4:
        raise CorruptStreamError(f"the file was cut short: it ends after {len(view)} bytes; get it again")
    if kind_fault(kind):
        raise CorruptStreamError(f"there is no chunk at byte {at}, where one must start: the file is damaged")
    is_end = kind == END
    length, at = (0, at + 4) if is_end else decode_varint(view, at + 4, 32)
    end = at + length
    if end + CRC_BYTES > len(view):
        raise CorruptStreamError(
            f"chunk {number} ({kind.decode()}, {length} bytes) is not all there: the file was cut short or damaged; "
            "get it again"
        )
    if not is_end:
        limits.check_chunk(number, length)
    seal = check_crc(view[start:at], view[at:end], view[end : end + CRC_BYTES], seal, number, start)
    return Chunk(kind, view[at:end]), end + CRC_BYTES, seal


def check_crc(
    frame: bytes | memoryview, payload: bytes | memoryview, stored: bytes | memoryview, seal: int, number: int, at: int
) -> int:
    """The running CRC over all CRCs, `stored` included. Raises CorruptStreamError unless `stored` is right.

    frame: kind and length of chunk `number`, as they stand at byte `at`; of the end chunk the kind alone.
    """
    is_end = frame == END
    if crc32c(payload, crc32c(frame, seal if is_end else 0)) != int.from_bytes(stored, "little"):
        what = "checksum is wrong: the file is damaged"
        if is_end:
            what = "closing checksum is wrong: chunks are damaged, missing, moved or from another file"
        raise CorruptStreamError(f"chunk {number} ({bytes(frame[:4]).decode()}, at byte {at}): the {what}; get it again")
    return crc32c(stored, seal)


class Order:
    """Where the chunks that the container itself knows may stand."""

    def __init__(self) -> None:
        self.icc = self.critical = False

    def fault(self, kind: bytes, length: int) -> str | None:
        if kind == ICC:
            if self.icc or self.critical or not length:
                return "the colour profile must be one, not empty, and stand before the first critical chunk"
            self.icc = True
        self.critical |= kind[:1].isupper()
        return None


def kind_fault(kind: bytes) -> str | None:
    if isinstance(kind, bytes) and len(kind) == 4 and kind.isalpha():
        return None
    return "a chunk's kind is four ASCII letters, as bytes"


def _as_view(data: bytes | memoryview) -> memoryview:
    try:
        view = memoryview(data).toreadonly()
        return view.cast("B") if view.nbytes else memoryview(b"")
    except TypeError as error:
        raise UsageError(f"bytes are needed here, in one piece, not {type(data).__name__}") from error


# ---- symbols

def symbol_hash(arrays: Iterable[bytes | memoryview]) -> bytes:
    """CRC-32C, 4 bytes little-endian, of decoded symbols as little-endian int32, one array after another in coding order.

    Takes bytes, or C-contiguous int32 arrays (anything with the buffer protocol). Raises UsageError for other types:
    int16 symbols would hash to something else without a word.
    """
    crc = 0
    formats = ("B", "<i", "<l", "i", "l") if sys.byteorder == "little" else ("B", "<i", "<l")
    for array in arrays:
        try:
            view = memoryview(array)
        except TypeError as error:
            raise UsageError(f"symbols to hash must be an array or bytes, not {type(array).__name__}") from error
        if not view.c_contiguous or view.format not in formats or view.itemsize not in (1, 4):
            raise UsageError(f"symbols to hash must be contiguous little-endian int32, not format {view.format!r}")
        if view.nbytes:
            crc = crc32c(view.cast("B"), crc)
    return crc.to_bytes(SYMBOL_HASH_BYTES, "little")


def check_symbols(expected: bytes | memoryview, arrays: Iterable[bytes | memoryview]) -> None:
    """Raise DesyncError unless the decoded symbols hash to `expected` (4 bytes from the stream)."""
    check_hash(expected, symbol_hash(arrays))


def check_hash(expected: bytes | memoryview, found: bytes) -> None:
    """Raise DesyncError unless they are equal: the stream's symbol hash and that of what was decoded."""
    if found != expected:
        raise DesyncError(
            f"the file is undamaged, but decoding gave other symbols than encoding did (hash {found.hex()}, expected "
            f"{bytes(expected).hex()}): this machine or version decodes wrongly; please report it with the file"
        )
