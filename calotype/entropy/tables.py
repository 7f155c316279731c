"""Frozen integer frequency tables: what lies between a symbol and its code length.

A table is built once, when a model is exported, from float probabilities; from then on only its integers count. It
is stored in the model file and no decoder ever recomputes it, so encoder and decoder agree bit for bit on every
machine.

A symbol s of table t is coded as the entry `(s >> shifts[t]) - offsets[t]`; the `shifts[t]` low bits of s follow as
raw bits. What falls outside the table is coded as its last entry, the escape, and spelled out in raw bits
(docs/ENTROPY.md).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from calotype.errors import ModelError, UsageError

MIN_PRECISION, MAX_PRECISION = 12, 14
MAX_ENTRIES = 256
# Bounds the decode lookup to 4096 << 14 bytes = 64 MiB.
MAX_TABLES = 4096
# Mean length of an escape's raw bits that the table builders assume: sign, and an Exp-Golomb code of a distance near 1.
_ESCAPE_BITS = 4.0
# A tail entry is kept in a table while its probability is above one of these shares of one frequency unit; the
# cheapest wins.
_TAIL_SHARES = (2.0, 1.0, 0.5, 0.25, 0.1)


class Lookup(NamedTuple):
    """What the kernels read, derived once per bank: mutable copies so that one compiled signature serves them all."""

    fields: np.ndarray  # int32 (N, 3): offset, position of the escape, shift
    encode: np.ndarray  # uint64 (N * stride,): the entry, and its code length in 1/65536 bit << 32
    entries: np.ndarray  # uint32 (N * stride,): start | bit 15 where raw bits follow | frequency << 16
    slots: np.ndarray  # uint8 (N << precision,): position that owns each frequency slot
    stride: int


@dataclass(frozen=True, eq=False)
class TableBank:
    """N frozen integer frequency tables; symbol value = offset + position, and the last entry of each table is the
    escape.

    precision: frequencies of a table sum to `1 << precision`, 12..14.
    cdf: uint16 (N, L + 1), cumulative frequencies from 0, padded with `1 << precision` behind the table's last entry.
    sizes: uint16 (N,), entries of each table, the escape included, 2..256.
    offsets: int32 (N,), value of position 0 (of `symbol >> shift`).
    shifts: uint8 (N,), low bits of the symbol that are sent raw.

    The arrays are copied and made read-only. Raises ModelError where they do not make valid tables.
    """

    precision: int
    cdf: np.ndarray
    sizes: np.ndarray
    offsets: np.ndarray
    shifts: np.ndarray

    def __post_init__(self) -> None:
        _check(self)
        for name, dtype in (("cdf", np.uint16), ("sizes", np.uint16), ("offsets", np.int32), ("shifts", np.uint8)):
            frozen = np.array(getattr(self, name), dtype=dtype, order="C")
            frozen.setflags(write=False)
            object.__setattr__(self, name, frozen)
        object.__setattr__(self, "precision", int(self.precision))

    def __len__(self) -> int:
        return len(self.sizes)

    def to_arrays(self, prefix: str) -> dict[str, np.ndarray]:
        """The bank as named arrays for a model file: `prefix` + .precision, .cdf, .sizes, .offsets, .shifts."""
        return {
            f"{prefix}.precision": np.array([self.precision], dtype=np.uint8),
            f"{prefix}.cdf": self.cdf.copy(),
            f"{prefix}.sizes": self.sizes.copy(),
            f"{prefix}.offsets": self.offsets.copy(),
            f"{prefix}.shifts": self.shifts.copy(),
        }

    @staticmethod
    def from_arrays(arrays: Mapping[str, np.ndarray], prefix: str) -> TableBank:
        """The bank that `to_arrays(prefix)` stored. Raises ModelError where an array is missing or damaged."""
        try:
            precision, cdf, sizes, offsets, shifts = (
                np.asarray(arrays[f"{prefix}.{name}"]) for name in ("precision", "cdf", "sizes", "offsets", "shifts")
            )
        except KeyError as error:
            raise ModelError(f"the model has no table array {error}: fetch or export the model again") from error
        if precision.size != 1 or precision.dtype.kind not in "iu":
            raise ModelError(f"table array {prefix}.precision is not one integer: fetch or export the model again")
        return TableBank(int(precision.reshape(())), cdf, sizes, offsets, shifts)

    def bits(self, symbols: np.ndarray, indexes: np.ndarray) -> np.ndarray:
        """Ideal code length in bits of each symbol under the integer tables, escapes and raw bits counted.

        symbols: int (n,), indexes: int (n,) in 0..N-1. Returns float64 (n,). Raises UsageError as RansEncoder.push
        does.
        """
        symbols, indexes = checked_symbols(symbols), checked_indexes(indexes, len(self), UsageError)
        if len(symbols) != len(indexes):
            raise UsageError(f"{len(symbols)} symbols and {len(indexes)} table indexes: give one index per symbol")
        index = indexes.astype(np.int64)
        escape = self.sizes[index].astype(np.int64) - 1
        position = (symbols.astype(np.int64) >> self.shifts[index]) - self.offsets[index]
        inside = (position >= 0) & (position < escape)
        entry = np.where(inside, position, escape)
        frequency = self.cdf[index, entry + 1].astype(np.float64) - self.cdf[index, entry]
        distance = np.where(position < 0, -1 - position, position - escape)
        # Exp-Golomb length from the exact binary exponent: distance + 1 <= 2**33 is exact in float64.
        exponent = np.frexp(np.where(inside, 0, distance + 1).astype(np.float64))[1]
        return self.precision - np.log2(frequency) + self.shifts[index] + np.where(inside, 0, 2 * exponent)

    @cached_property
    def lookup(self) -> Lookup:
        """Kernel tables, built on first use (0.3 MiB for 64 tables of 12 bits, 1.1 MiB of 14)."""
        count, width = self.cdf.shape[0], self.cdf.shape[1] - 1
        # An odd row length spreads the short low-scale rows over the cache sets.
        stride = width | 1
        start = np.zeros((count, stride), dtype=np.uint64)
        frequency = np.ones((count, stride), dtype=np.uint64)
        start[:, :width] = self.cdf[:, :-1]
        frequency[:, :width] = np.maximum(1, np.diff(self.cdf.astype(np.int64), axis=1))
        length = np.rint((self.precision - np.log2(frequency.astype(np.float64))) * 65536).astype(np.uint64)
        position = np.arange(stride)
        raw = (position == self.sizes[:, None] - 1) | (self.shifts[:, None] > 0)
        entries = start | raw.astype(np.uint64) << np.uint64(15) | frequency << np.uint64(16)
        slots = np.empty((count, 1 << self.precision), dtype=np.uint8)
        for table in range(count):
            size = int(self.sizes[table])
            slots[table] = np.repeat(np.arange(size, dtype=np.uint8), frequency[table, :size].astype(np.int64))
        fields = np.stack([self.offsets, self.sizes.astype(np.int32) - 1, self.shifts.astype(np.int32)], axis=1)
        encode = entries | length << np.uint64(32)
        return Lookup(
            np.ascontiguousarray(fields, dtype=np.int32),
            encode.ravel(),
            entries.astype(np.uint32).ravel(),
            slots.ravel(),
            stride,
        )


def checked_symbols(symbols: np.ndarray) -> np.ndarray:
    """`symbols` as int32 (n,), C-contiguous. Raises UsageError for another kind, rank, or a value that int32 does
    not hold.
    """
    array = np.asarray(symbols)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise UsageError(
            f"symbols must be a 1-D integer array, not {array.ndim}-D {array.dtype}: flatten and round them first"
        )
    if (
        not np.can_cast(array.dtype, np.int32)
        and array.size
        and (int(array.min()) < -(2**31) or int(array.max()) >= 2**31)
    ):
        raise UsageError("a symbol lies outside int32: only -2**31 .. 2**31 - 1 can be coded")
    return np.ascontiguousarray(array, dtype=np.int32)


def checked_indexes(indexes: np.ndarray, count: int, error: type[Exception]) -> np.ndarray:
    """`indexes` as uint16 (n,), C-contiguous, all in 0..count-1. Raises `error` otherwise."""
    array = np.asarray(indexes)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise error(f"table indexes must be a 1-D integer array, not {array.ndim}-D {array.dtype}")
    if array.size and (int(array.max()) >= count or (array.dtype.kind == "i" and int(array.min()) < 0)):
        raise error(
            f"table indexes run from {int(array.min())} to {int(array.max())} but the bank holds 0..{count - 1}"
        )
    return np.ascontiguousarray(array, dtype=np.uint16)


def gaussian_bank(
    levels: int = 64, sigma_min: float = 0.11, sigma_max: float = 256.0, precision: int = 12
) -> TableBank:
    """Zero-mean Gaussians discretised to the integers, one table per scale level.

    sigma_i = sigma_min * (sigma_max / sigma_min) ** (i / (levels - 1)). The tables are symmetric: f(v) = f(-v), or
    f(v) = f(-1 - v) where low bits are sent raw. Call it at export only and store the result. Raises UsageError for
    impossible parameters.
    Source: the scale table of Balle et al., "Variational image compression with a scale hyperprior" (arXiv 1802.01436).
    """
    if not (2 <= levels <= MAX_TABLES and 0 < sigma_min < sigma_max <= 2.0**20):
        raise UsageError(f"need 2 <= levels <= {MAX_TABLES} and 0 < sigma_min < sigma_max <= 2**20")
    _check_precision(precision)
    ratio = sigma_max / sigma_min
    tables = [_gaussian_table(sigma_min * ratio ** (i / (levels - 1)), precision) for i in range(levels)]
    return _bank(tables, precision)


def factorised_bank(pmfs: Sequence[np.ndarray], offsets: Sequence[int], precision: int = 12) -> TableBank:
    """One table per channel from its probabilities.

    pmfs[c][i] is the probability of the value offsets[c] + i; what is missing from a sum of 1 goes to the escape.
    Improbable ends are left to the escape, and supports over 255 values are coded without their low bits, which are
    sent raw. Call it at export only and store the result. Raises UsageError for probabilities that are none.
    """
    _check_precision(precision)
    if len(pmfs) != len(offsets) or not 1 <= len(pmfs) <= MAX_TABLES:
        raise UsageError(
            f"{len(pmfs)} pmfs and {len(offsets)} offsets: give one offset per pmf, 1..{MAX_TABLES} of them"
        )
    return _bank(
        [_factorised_table(pmf, int(offset), precision) for pmf, offset in zip(pmfs, offsets, strict=True)], precision
    )


def _bank(tables: list[tuple[np.ndarray, int, int]], precision: int) -> TableBank:
    """Pack (frequencies, offset, shift) triples."""
    width = max(len(frequencies) for frequencies, _, _ in tables)
    cdf = np.full((len(tables), width + 1), 1 << precision, dtype=np.uint16)
    for row, (frequencies, _, _) in zip(cdf, tables, strict=True):
        row[0] = 0
        row[1 : len(frequencies) + 1] = np.cumsum(frequencies)
    sizes = np.array([len(frequencies) for frequencies, _, _ in tables], dtype=np.uint16)
    offsets = np.array([offset for _, offset, _ in tables], dtype=np.int32)
    shifts = np.array([shift for _, _, shift in tables], dtype=np.uint8)
    return TableBank(precision, cdf, sizes, offsets, shifts)


def _gaussian_table(sigma: float, precision: int) -> tuple[np.ndarray, int, int]:
    """The cheapest (frequencies, offset, shift) for one scale: shift and support are searched by expected length."""
    best_bits, best = math.inf, None
    shifts = [0] if sigma < 8 else range(max(0, int(math.log2(sigma / 24))), int(math.log2(sigma / 4)) + 1)
    for shift in shifts:
        width = 1 << shift
        if shift == 0:
            edges = np.arange(129) - 0.5
            limit = 127
        else:
            # The bin of v >= 0 and its mirror -1 - v lie half a symbol apart; both get the frequency of their middle.
            edges = np.arange(129.0) * width
            limit = 127
        upper = np.array([0.5 * math.erfc(edge / (sigma * math.sqrt(2))) for edge in edges])
        masses = upper[:-1] - upper[1:]
        times = np.full(len(masses), 2)
        times[0] = 1 if shift == 0 else 2
        for share in _TAIL_SHARES:
            half = int(np.clip(np.sum(masses > share / (1 << precision)), 1, limit + (shift == 0)))
            parts = np.append(masses[:half], 2 * upper[half])
            counts = allocate(parts, np.append(times[:half], 1), 1 << precision)
            cost = shift + _expected_bits(parts, np.append(times[:half], 1), counts, precision)
            if cost < best_bits - 1e-6:
                left = counts[half - 1 : 0 if shift == 0 else None : -1]
                best_bits = cost
                best = (np.concatenate([left, counts]), -len(left), shift)
    if best is None:
        raise UsageError(f"no table for sigma {sigma}")
    return best


def _factorised_table(pmf: np.ndarray, offset: int, precision: int) -> tuple[np.ndarray, int, int]:
    """The cheapest (frequencies, offset, shift) for one channel."""
    masses = np.asarray(pmf, dtype=np.float64)
    if masses.ndim != 1 or not masses.size or not np.isfinite(masses).all() or masses.min() < 0 or masses.sum() <= 0:
        raise UsageError("a pmf must be a 1-D array of finite probabilities >= 0 with a sum above 0")
    if not -(2**30) <= offset <= 2**30 - masses.size:
        raise UsageError(f"offset {offset} puts the pmf outside -2**30 .. 2**30: shift it nearer to 0")
    masses = masses / max(1.0, masses.sum())
    escape = max(0.0, 1.0 - masses.sum())
    best_bits, best = math.inf, None
    for share in _TAIL_SHARES:
        kept = np.flatnonzero(masses > share / (1 << precision))
        first, last = (int(kept[0]), int(kept[-1])) if kept.size else (int(masses.argmax()),) * 2
        shift = 0
        while ((offset + last) >> shift) - ((offset + first) >> shift) + 2 > MAX_ENTRIES:
            shift += 1
        low = (offset + first) >> shift
        bins = (np.arange(offset + first, offset + last + 1) >> shift) - low
        inside = np.bincount(bins, weights=masses[first : last + 1])
        parts = np.append(inside, max(0.0, escape + masses[:first].sum() + masses[last + 1 :].sum()))
        counts = allocate(parts, np.ones(len(parts), dtype=np.int64), 1 << precision)
        cost = shift + _expected_bits(parts, np.ones(len(parts)), counts, precision)
        if cost < best_bits - 1e-6:
            best_bits, best = cost, (counts, low, shift)
    if best is None:
        raise UsageError("no table for this pmf")
    return best


def allocate(masses: np.ndarray, times: np.ndarray, total: int) -> np.ndarray:
    """Integer frequencies >= 1 near `masses * total` with `sum(times * frequency) == total`, of nearly least
    expected length.

    masses: float64 (n,), probability of one member of each class; times: int (n,), members of the class, which share
    one frequency. The rounding error is spread greedily: each unit goes where it costs least. Raises UsageError
    where n classes cannot fit.
    """
    times = np.asarray(times, dtype=np.int64)
    if int(times.sum()) > total or int(times.min()) != 1:
        raise UsageError(f"{int(times.sum())} entries do not fit a table of {total}")
    masses = np.maximum(masses, 1e-12)
    counts = np.maximum(1, np.rint(masses * total).astype(np.int64))
    while missing := total - int((counts * times).sum()):
        with np.errstate(divide="ignore"):
            if missing > 0:
                price = -masses * np.log2((counts + 1) / counts)
            else:
                price = np.where(counts > 1, masses * np.log2(counts / np.maximum(1, counts - 1)), np.inf)
        price[times > abs(missing)] = np.inf
        if not np.isfinite(price).any():
            # One unit too many, and only pairs can give: the pair gives two and a single member takes one back.
            counts[int(np.flatnonzero(times == 1)[0])] += 1
            price = np.where((times == 2) & (counts > 1), masses * np.log2(counts / np.maximum(1, counts - 1)), np.inf)
        counts[int(np.argmin(price))] += 1 if missing > 0 else -1
    return counts


def _expected_bits(masses: np.ndarray, times: np.ndarray, counts: np.ndarray, precision: int) -> float:
    lengths = precision - np.log2(counts.astype(np.float64))
    lengths[-1] += _ESCAPE_BITS
    return float((masses * times * lengths).sum())


def _check_precision(precision: int) -> None:
    if precision not in range(MIN_PRECISION, MAX_PRECISION + 1):
        raise UsageError(f"precision {precision} is not in {MIN_PRECISION}..{MAX_PRECISION}")


def _check(bank: TableBank) -> None:
    """Raise ModelError unless every table is complete and every in-table value fits int32."""
    again = "fetch or export the model again"
    if not isinstance(bank.precision, int | np.integer) or not MIN_PRECISION <= bank.precision <= MAX_PRECISION:
        raise ModelError(f"table precision {bank.precision} is not in {MIN_PRECISION}..{MAX_PRECISION}: {again}")
    for name, rank in (("cdf", 2), ("sizes", 1), ("offsets", 1), ("shifts", 1)):
        array = getattr(bank, name)
        if not isinstance(array, np.ndarray) or array.ndim != rank or array.dtype.kind not in "iu":
            raise ModelError(f"table array {name} is not a {rank}-D integer array: {again}")
    count = len(bank.sizes)
    if not 1 <= count <= MAX_TABLES or not len(bank.cdf) == len(bank.offsets) == len(bank.shifts) == count:
        raise ModelError(f"table arrays disagree on the number of tables (1..{MAX_TABLES}): {again}")
    cdf, sizes = bank.cdf.astype(np.int64), bank.sizes.astype(np.int64)
    width = cdf.shape[1] - 1
    if width > MAX_ENTRIES or sizes.min() < 2 or sizes.max() > width:
        raise ModelError(f"table sizes must lie in 2..{min(width, MAX_ENTRIES)}: {again}")
    steps = np.diff(cdf, axis=1)
    inside = np.arange(width) < sizes[:, None]
    if (cdf[:, 0] != 0).any() or (cdf[:, -1] != 1 << bank.precision).any():
        raise ModelError(f"a table does not run from 0 to {1 << bank.precision}: {again}")
    if (steps[inside] < 1).any() or (steps[~inside] != 0).any():
        raise ModelError(f"a table is not strictly increasing up to its size and level behind it: {again}")
    shifts, offsets = bank.shifts.astype(np.int64), bank.offsets.astype(np.int64)
    if shifts.min() < 0 or shifts.max() > 24:
        raise ModelError(f"table shifts must lie in 0..24: {again}")
    bound = 2**31 >> shifts
    if (offsets < -bound).any() or (offsets + sizes > bound).any():
        raise ModelError(f"table offsets put values outside int32: {again}")
