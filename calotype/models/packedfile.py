"""The file of a coded checkpoint.

    "CALW"  version(1)  length of the header as stored and as text (4 each)  header, JSON through zlib
    length of the levels(8)  levels  length of the plain bytes(8)  plain bytes  CRC-32C of all before(4)

All little-endian. The header is {"tensors": [[name, dtype, shape, coding, step or null], ...], "metadata": {...},
"previous": SHA-256 in hex or null}. docs/ENTROPY.md has it to the bit.
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from pathlib import Path

from crc32c import crc32c

from ..atomic import write_bytes
from ..errors import CorruptStreamError, LimitError, UsageError
from .checkpointcoder import CODINGS, PLAIN, PREVIOUS, Packed, Record
from .safetensorsfile import DEFAULT_LIMIT, FLOATS, HEADER_LIMIT, SIZES, TENSOR_LIMIT, check_metadata, check_tensor

MAGIC, VERSION = b"CALW", 1
SCALED = 2  # the version of files where rows and columns of a tensor have steps
_HEAD, _LENGTH, _CRC = struct.Struct("<4sBII"), struct.Struct("<Q"), struct.Struct("<I")
_DAMAGED = "is damaged or cut off; fetch it or pack it again"


def to_bytes(packed: Packed) -> bytes:
    """The file's bytes. Raises UsageError where its names and metadata are too long."""
    header = {
        "tensors": [[r.name, r.dtype, r.shape, r.coding, r.step, *([True] if r.scaled else [])] for r in packed.records],
        "metadata": packed.metadata,
        "previous": packed.previous.hex() if packed.previous else None,
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    if len(text) > HEADER_LIMIT or len(packed.records) > TENSOR_LIMIT:
        raise UsageError("the checkpoint has too many tensors or too much metadata")
    stored = zlib.compress(text, 9)
    version = SCALED if any(r.scaled for r in packed.records) else VERSION
    parts = [_HEAD.pack(MAGIC, version, len(stored), len(text)), stored]
    for body in (packed.levels, packed.plain):
        parts += [_LENGTH.pack(len(body)), body]
    data = b"".join(parts)
    return data + _CRC.pack(crc32c(data))


def write(path: Path, packed: Packed) -> int:
    """Write the file atomically; returns its size. Raises as atomic.write_bytes."""
    data = to_bytes(packed)
    write_bytes(path, data)
    return len(data)


def read(path: Path, limit: int = DEFAULT_LIMIT) -> Packed:
    """Read a file; see `from_bytes`. Raises UsageError where there is none too."""
    try:
        with path.open("rb") as file:
            start = file.read(_HEAD.size)
            _check_magic(start, path.name)
            if path.stat().st_size > limit + HEADER_LIMIT:
                raise LimitError(f"{path} is larger than the tensors may be, {limit} bytes; if you trust it, raise --max-bytes")
            data = start + file.read()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise UsageError(f"there is no file {path}; check the name") from None
    return from_bytes(data, limit, path.name)


def from_bytes(data: bytes, limit: int = DEFAULT_LIMIT, name: str = "the file") -> Packed:
    """The parts of a file. limit: of the bytes of all tensors that it claims; nothing is allocated for them here.

    Raises CorruptStreamError for damage and for other files, LimitError beyond the limit.
    """
    _check_magic(data, name)
    if len(data) < _HEAD.size + 2 * _LENGTH.size + _CRC.size:
        raise CorruptStreamError(f"{name} {_DAMAGED} (too short)")
    body = memoryview(data)[: -_CRC.size]
    if _CRC.pack(crc32c(body)) != data[-_CRC.size :]:
        raise CorruptStreamError(f"{name} {_DAMAGED} (wrong checksum)")
    try:
        return _parts(body, limit)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error, zlib.error) as e:
        raise CorruptStreamError(f"{name} {_DAMAGED} ({e})") from e


def _check_magic(data: bytes, name: str) -> None:
    if data[:4] != MAGIC:
        raise CorruptStreamError(f"{name} is not a file of `calotype weights pack`")
    if len(data) > 4 and data[4] not in (VERSION, SCALED):
        known = f"this one reads {VERSION} and {SCALED}"
        raise CorruptStreamError(f"{name} has version {data[4]}, {known}: update calotype, or it is damaged")


def _parts(body: memoryview, limit: int) -> Packed:
    _, _, stored, length = _HEAD.unpack_from(body)
    at = _HEAD.size + stored
    if length > HEADER_LIMIT or at > len(body):
        raise ValueError("its header is too long")
    inflater = zlib.decompressobj()
    text = inflater.decompress(body[_HEAD.size : at], length + 1)
    if len(text) != length or not inflater.eof or inflater.unused_data:
        raise ValueError("its header has another length")
    header, bodies = json.loads(text), []
    for _ in range(2):
        (size,) = _LENGTH.unpack_from(body, at)
        at += _LENGTH.size
        if size > len(body) - at:
            raise ValueError("it ends early")
        bodies.append(bytes(body[at : at + size]))
        at += size
    if at != len(body):
        raise ValueError("bytes are left over")
    records = [_record(entry) for entry in header["tensors"]]
    if (body[4] == SCALED) != any(record.scaled for record in records):
        raise ValueError("its version is not that of its tensors")
    if len({record.name for record in records}) != len(records) or len(records) > TENSOR_LIMIT:
        raise ValueError("a tensor comes twice, or there are too many")
    total = sum(math.prod(r.shape) * SIZES[r.dtype] for r in records)
    if total > limit:
        raise LimitError(f"the tensors would take {total} bytes, the limit is {limit}; if you trust it, raise --max-bytes")
    previous = None if header["previous"] is None else bytes.fromhex(header["previous"])
    if (previous is None) == any(record.coding == PREVIOUS for record in records):
        raise ValueError("it names a previous checkpoint and needs none, or the reverse")
    return Packed(records, check_metadata(header["metadata"]), previous, *bodies)


def _record(entry: list) -> Record:
    name, dtype, shape, coding, step, *more = entry
    size = check_tensor(name, dtype, shape)
    if coding not in CODINGS or (coding != PLAIN and not size):
        raise ValueError(f"tensor {name!r} is coded in no known way")
    if step is None:
        if coding != PLAIN and SIZES[dtype] == 8:
            raise ValueError(f"tensor {name!r} is too wide for its coding")
    elif dtype not in FLOATS or coding not in ("direct", PREVIOUS) or type(step) is not float or not 0 < step < math.inf:
        raise ValueError(f"tensor {name!r} has no possible step")
    if more not in ([], [True]) or (more and step is None):
        raise ValueError(f"tensor {name!r} has no possible steps")
    return Record(name, dtype, tuple(shape), coding, step, bool(more))
