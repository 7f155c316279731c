"""The weight coder: tensors to bytes and back without loss, through rANS with frozen tables that the bytes carry.

Every value becomes an unsigned integer whose upper bytes say most about it: floats have their sign moved to the lowest
bit, signed integers are folded (0, -1, 1, -2 are 0, 1, 2, 3). Integers may first be replaced by their differences along an
axis. Byte i of all values of a tensor is a plane, coded with one of at most 255 tables or stored as it is: whichever is
smallest, a new table's own bytes counted. docs/ENTROPY.md, "Model files", has it to the bit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ..entropy.rans import RansDecoder, RansEncoder
from ..entropy.tables import TableBank, allocate
from ..errors import CorruptStreamError, ModelError

# Names that safetensors has for the types that are coded.
DTYPES = {
    **{"F16": "float16", "F32": "float32", "F64": "float64"},
    **{f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"U{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
}
PRECISION = 12  # of the tables; 13 and 14 bits save 0.01 % of image-s.2
RAW = 0
MAX_TABLES = 255
MAX_ENTRIES = 255
NO_DELTA, FIRST_AXIS, LAST_AXIS = range(3)
_CHUNK = 1 << 20  # symbols of one pull: bounds what decoding takes beside the tensors to some 20 MiB
_DAMAGED = "the coded weights are damaged: fetch or export the model again"


class _Table(NamedTuple):
    """first: the lowest byte that it has; frequencies: int64 (1..255,), of it and the next ones, the escape left out;
    bits: float64 (256,), code length of every byte."""

    first: int
    frequencies: np.ndarray
    bits: np.ndarray

    def stored(self) -> bytes:
        numbers = b"".join(_varint(int(frequency) - 1) for frequency in self.frequencies)
        return bytes((self.first, len(self.frequencies))) + numbers


class _Plan(NamedTuple):
    """How a tensor is coded. choices: of each plane, RAW or the number of its table, from 1; planes: uint8 (n,) each."""

    delta: int
    choices: list[int]
    planes: list[np.ndarray]


# ---- encode


def encode(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Code tensors of any shape, their types in DTYPES, in the mapping's order."""
    tables: list[_Table] = []
    plans: dict[str, _Plan] = {}
    # Large tensors first: small ones then find a table that nearly fits.
    for name in sorted(arrays, key=lambda name: (-arrays[name].size, name)):
        plans[name] = _plan(arrays[name], tables)
    bank = _bank(tables)
    records = [_record(plans[name], bank) for name in arrays]
    return b"".join((bytes((len(tables),)), *(table.stored() for table in tables), *records))


def estimate(array: np.ndarray) -> float:
    """About the bits that `encode` takes for one tensor, its tables counted; a few per cent less than it does take."""
    return min(
        sum(min(8.0 * len(p), _least_bits(np.bincount(p, minlength=256))) for p in _planes(_fold(array, delta)))
        for delta in _deltas(array)
    )


def _record(plan: _Plan, bank: TableBank | None) -> bytes:
    """A tensor's bytes: plan, then the rANS stream of its coded planes with its length, then its raw planes."""
    encoder, stream, raw = RansEncoder(), b"", b""
    for choice, plane in zip(plan.choices, plan.planes, strict=True):
        if choice == RAW or bank is None:
            raw += plane.tobytes()
        else:
            encoder.push(bank, plane, np.full(len(plane), choice - 1, dtype=np.uint16))
    if any(plan.choices):
        stream = encoder.finish()
        stream = _varint(len(stream)) + stream
    return bytes((plan.delta, *plan.choices)) + stream + raw


def _plan(array: np.ndarray, tables: list[_Table]) -> _Plan:
    """The plan of fewest bits; appends the tables that it makes to `tables`."""
    best: tuple[float, _Plan, list[_Table]] | None = None
    for delta in _deltas(array):
        total, choices, known = 0.0, [], list(tables)
        planes = list(_planes(_fold(array, delta)))
        for plane in planes:
            counts = np.bincount(plane, minlength=256)
            costs = [8.0 * len(plane), *(float(counts @ table.bits) for table in known)]
            if len(known) < MAX_TABLES and _least_bits(counts) < min(costs):
                own = _table(counts)
                costs.append(8 * len(own.stored()) + float(counts @ own.bits))
            choices.append(int(np.argmin(costs)))
            total += costs[choices[-1]]
            if choices[-1] > len(known):
                known.append(own)
        if best is None or total < best[0]:
            best = total, _Plan(delta, choices, planes), known
    assert best is not None  # there is always NO_DELTA
    tables[:] = best[2]
    return best[1]


def _deltas(array: np.ndarray) -> Sequence[int]:
    """The differences to try; along an axis of one row or column they are what they are without."""
    if array.dtype.kind == "f" or array.ndim == 0:
        return (NO_DELTA,)
    along = [delta for delta in (FIRST_AXIS, LAST_AXIS) if array.shape[_axis(delta)] > 1]
    return (NO_DELTA, *(along[:1] if array.ndim == 1 else along))


def _axis(delta: int) -> int:
    return 0 if delta == FIRST_AXIS else -1


def _fold(array: np.ndarray, delta: int) -> np.ndarray:
    """Flat unsigned integers of the array's width."""
    kind, size = array.dtype.kind, array.dtype.itemsize
    native = np.array(array, dtype=array.dtype.newbyteorder("="), order="C")
    x = native.reshape(-1).view(f"u{size}").reshape(native.shape)
    if delta:
        first = x.take([0], axis=_axis(delta))
        x = np.diff(x, axis=_axis(delta), prepend=np.zeros_like(first))
    x = x.reshape(-1)
    one, top = x.dtype.type(1), x >> x.dtype.type(8 * size - 1)
    if kind == "f":
        return x << one | top
    return x if kind == "u" and not delta else x << one ^ (~top + one)


def _planes(x: np.ndarray) -> Iterator[np.ndarray]:
    """Bytes of unsigned integers, uint8 (n,), the lowest first."""
    for place in range(x.dtype.itemsize):
        yield (x >> x.dtype.type(8 * place)).astype(np.uint8)


def _least_bits(counts: np.ndarray) -> float:
    """Fewer bits than these a plane with a table of its own cannot take, the table counted; building one is slow."""
    used = counts[counts > 0]
    table = 8 * (2 + _span(counts)[1]) if len(used) else 0
    return table + float(used @ np.log2(used.sum() / used))


def _span(counts: np.ndarray) -> tuple[int, int]:
    """(first, entries) of the table for byte counts (256,), not all 0: from the lowest to the highest byte that occurs;
    where all 256 do, the last one is left to the escape."""
    used = np.flatnonzero(counts)
    return int(used[0]), min(int(used[-1] - used[0]) + 1, MAX_ENTRIES)


def _table(counts: np.ndarray) -> _Table:
    """The table of a plane that is not empty. counts: int (256,)."""
    first, entries = _span(counts)
    masses = counts[first : first + entries] / counts.sum()
    parts = np.append(masses, max(0.0, 1 - masses.sum()))
    frequencies = allocate(parts, np.ones(len(parts), dtype=np.int64), 1 << PRECISION)[:-1]
    bank = _bank([_Table(first, frequencies, np.empty(0))])
    return _Table(first, frequencies, bank.bits(np.arange(256), np.zeros(256, dtype=np.int64)))


def _varint(value: int) -> bytes:
    """LEB128, as in docs/FORMAT.md."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes((*out, value))


# ---- decode


def decode(data: bytes | memoryview, layout: Mapping[str, tuple[str, Sequence[int]]], limit: int) -> dict[str, np.ndarray]:
    """The tensors that `encode` was given. layout: type in DTYPES and shape of each name, in the same order.

    limit: of the bytes of all tensors together; nothing is allocated for more. Raises ModelError where `data` is not what
    `encode` wrote for this layout.
    """
    if unknown := {dtype for dtype, _ in layout.values()} - DTYPES.keys():
        raise ModelError(f"a weight has the type {min(unknown)}, which this version does not know: update calotype")
    size = sum(math.prod(shape) * np.dtype(DTYPES[dtype]).itemsize for dtype, shape in layout.values())
    if size > limit:
        raise ModelError(f"the weights would take {size} bytes; at most {limit} are read")
    reader = _Reader(data)
    try:
        bank = _bank([_read_table(reader) for _ in range(reader.byte())])
        arrays = {name: _tensor(reader, bank, DTYPES[dtype], tuple(shape)) for name, (dtype, shape) in layout.items()}
    except CorruptStreamError as e:
        raise ModelError(f"{_DAMAGED} ({e})") from e
    if reader.left():
        raise ModelError(f"{_DAMAGED} ({reader.left()} bytes are left over)")
    return arrays


class _Reader:
    """Takes bytes from the front; ModelError where there are none left."""

    def __init__(self, data: bytes | memoryview):
        self._data, self._at = memoryview(data), 0

    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, count: int) -> memoryview:
        if count > self.left():
            raise ModelError(f"{_DAMAGED} (they end early)")
        self._at += count
        return self._data[self._at - count : self._at]

    def byte(self) -> int:
        return self.take(1)[0]

    def varint(self) -> int:
        """Below 2**35."""
        value = 0
        for shift in range(0, 35, 7):
            byte = self.byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise ModelError(f"{_DAMAGED} (a number is too long)")


def _read_table(reader: _Reader) -> _Table:
    first, entries = reader.byte(), reader.byte()
    return _Table(first, np.array([reader.varint() + 1 for _ in range(entries)], dtype=np.int64), np.empty(0))


def _bank(tables: Iterable[_Table]) -> TableBank | None:
    """None where there is no table. Raises ModelError where the frequencies make none."""
    tables = list(tables)
    if not tables:
        return None
    cdf = np.full((len(tables), MAX_ENTRIES + 2), 1 << PRECISION, dtype=np.uint16)
    for row, table in zip(cdf, tables, strict=True):
        ends = np.cumsum(table.frequencies)
        if not len(ends) or ends[-1] >= 1 << PRECISION:
            raise ModelError(f"{_DAMAGED} (a table's frequencies leave no escape)")
        row[0] = 0
        row[1 : len(ends) + 1] = ends
    sizes = np.array([len(table.frequencies) + 1 for table in tables], dtype=np.uint16)
    offsets = np.array([table.first for table in tables], dtype=np.int32)
    return TableBank(PRECISION, cdf, sizes, offsets, np.zeros(len(tables), dtype=np.uint8))


def _tensor(reader: _Reader, bank: TableBank | None, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    kind, size, count = np.dtype(dtype).kind, np.dtype(dtype).itemsize, math.prod(shape)
    delta, choices = reader.byte(), reader.take(size)
    if delta > LAST_AXIS or (delta and (kind == "f" or not shape)) or max(choices) > (0 if bank is None else len(bank)):
        raise ModelError(f"{_DAMAGED} (a tensor is coded in no known way)")
    decoder = RansDecoder(bytes(reader.take(reader.varint()))) if any(choices) else None
    x = np.zeros(count, dtype=f"u{size}")
    for place, choice in enumerate(choices):
        for start, part in _plane(reader, bank, decoder, choice, count):
            x[start : start + len(part)] |= part.astype(x.dtype) << x.dtype.type(8 * place)
    if decoder:
        decoder.finish()
    return _unfold(x, kind, delta, shape).reshape(-1).view(dtype).reshape(shape)


def _plane(
    reader: _Reader, bank: TableBank | None, decoder: RansDecoder | None, choice: int, count: int
) -> Iterator[tuple[int, np.ndarray]]:
    """(start, values) of the parts of a plane."""
    if choice == RAW or bank is None or decoder is None:
        yield 0, np.frombuffer(reader.take(count), dtype=np.uint8)
        return
    for start in range(0, count, _CHUNK):
        length = min(_CHUNK, count - start)
        part = decoder.pull(bank, np.full(length, choice - 1, dtype=np.uint16))
        if (part & ~255).any():
            raise ModelError(f"{_DAMAGED} (a byte is over 255)")
        yield start, part


def _unfold(x: np.ndarray, kind: str, delta: int, shape: tuple[int, ...]) -> np.ndarray:
    """The inverse of `_fold`, in `shape`, still unsigned."""
    one = x.dtype.type(1)
    if kind == "f":
        x = x >> one | x << x.dtype.type(8 * x.dtype.itemsize - 1)
    elif kind == "i" or delta:
        x = x >> one ^ (~(x & one) + one)
    x = x.reshape(shape)
    return np.cumsum(x, axis=_axis(delta), dtype=x.dtype) if delta else x
