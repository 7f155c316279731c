"""The same streams decoded in plain Python and numpy, one symbol at a time: slow, readable, and what the fast
decoders are held to.
"""

from __future__ import annotations

import numpy as np

from calotype.entropy.rans import INITIAL_STATE, parse_header
from calotype.entropy.tables import TableBank, checked_indexes
from calotype.errors import CorruptStreamError, UsageError


class ReferenceRansDecoder:
    """As rans.RansDecoder: pull(bank, indexes, scale_indexed) -> int32 (n,), any number of times, then finish()."""

    def __init__(self, data: bytes) -> None:
        self.lanes, self._precision, self.skip, start = parse_header(data)
        self._body = bytes(data[start:])
        self._states: list[int] = []
        self._lane = 0
        self._front = 0
        self._bit = 0

    def pull(self, bank: TableBank, indexes: np.ndarray, scale_indexed: bool = False) -> np.ndarray:
        """The next symbols. Raises CorruptStreamError where the stream ends early, UsageError for indexes outside
        the bank.
        """
        tables = checked_indexes(indexes, len(bank), UsageError).tolist()
        skip = self.skip if scale_indexed else 0
        if any(table >= skip for table in tables) and self._precision not in (bank.precision, None):
            raise CorruptStreamError("the stream was coded with tables of another precision")
        # All table entries of a pull come before its raw bits, so that both ends of the bytes are read in one order.
        positions = [self._next_position(bank, table) for table in tables if table >= skip]
        taken = iter(positions)
        symbols = [self._complete(bank, table, next(taken)) if table >= skip else 0 for table in tables]
        return np.array(symbols, dtype=np.int32)

    def finish(self) -> None:
        """Raises CorruptStreamError unless the stream was consumed exactly and every lane is back in its initial
        state.
        """
        padding = 0
        while self._bit & 7 and not padding:
            padding = self._next_bits(1)
        rest = len(self._body) - self._front - self._bit // 8
        if rest or padding or any(state != INITIAL_STATE for state in self._states):
            raise CorruptStreamError("the stream does not end where its last symbol does")

    def _next_position(self, bank: TableBank, table: int) -> int:
        if not self._states:
            self._states = [self._front_bytes(4) for _ in range(self.lanes)]
            if min(self._states) < INITIAL_STATE:
                raise CorruptStreamError("a lane state is below 2**16")
        state = self._states[self._lane]
        slot = state & ((1 << bank.precision) - 1)
        cdf = bank.cdf[table]
        position = int(np.searchsorted(cdf, slot, side="right")) - 1
        start, stop = int(cdf[position]), int(cdf[position + 1])
        state = (stop - start) * (state >> bank.precision) + slot - start
        if state < 1 << 16:
            state = state << 16 | self._front_bytes(2)
        self._states[self._lane] = state
        self._lane = (self._lane + 1) % self.lanes
        return position

    def _complete(self, bank: TableBank, table: int, position: int) -> int:
        escape, offset, shift = int(bank.sizes[table]) - 1, int(bank.offsets[table]), int(bank.shifts[table])
        value = offset + position
        if position == escape:
            negative = self._next_bits(1)
            exponent = 0
            while not self._next_bits(1):
                exponent += 1
                if exponent > 32:
                    raise CorruptStreamError("an escape is longer than any int32 needs")
            distance = (1 << exponent) + self._next_bits(exponent) - 1
            value = offset - 1 - distance if negative else value + distance
        value = value << shift | self._next_bits(shift)
        if not -(2**31) <= value < 2**31:
            raise CorruptStreamError("an escape spells a value outside int32")
        return value

    def _front_bytes(self, count: int) -> int:
        self._front += count
        self._check_room()
        return int.from_bytes(self._body[self._front - count : self._front], "little")

    def _next_bits(self, count: int) -> int:
        """The next raw bits: bytes from the last backwards, bits from the least significant up."""
        value = 0
        for place in range(count):
            byte, bit = divmod(self._bit, 8)
            self._bit += 1
            self._check_room()
            value |= (self._body[-1 - byte] >> bit & 1) << place
        return value

    def _check_room(self) -> None:
        if self._front + (self._bit + 7) // 8 > len(self._body):
            raise CorruptStreamError("the stream ends before its last symbol")


def reference_bits(data: bytes, n_contexts: int, contexts: np.ndarray) -> np.ndarray:
    """As rangecoder.BinaryDecoder(data, n_contexts).decode(contexts) on a fresh decoder: uint8 (n,)."""
    fast, slow, seen = [1 << 15] * n_contexts, [1 << 15] * n_contexts, [0] * n_contexts
    padded = bytes(data) + bytes(10)
    code, width, at = int.from_bytes(padded[:5], "big"), 1 << 40, 5
    bits = []
    for context in np.asarray(contexts).tolist():
        bound = (width >> 16) * (fast[context] + slow[context] >> 1)
        bit = int(code < bound)
        code, width = (code, bound) if bit else (code - bound, width - bound)
        shift = min((seen[context] + 1).bit_length(), 7)
        seen[context] = min(seen[context] + 1, 255)
        target = 65536 if bit else 0
        for estimates, slowest in ((fast, 4), (slow, 7)):
            distance = abs(target - estimates[context]) >> min(shift, slowest)
            estimates[context] += distance if bit else -distance
        while width < 1 << 32:
            if at >= len(padded) - 5:
                raise CorruptStreamError("a range-coded stream ends before its last bit")
            code, width, at = code << 8 | padded[at], width << 8, at + 1
        bits.append(bit)
    return np.array(bits, dtype=np.uint8)


def decode_weights(data: bytes, rows: int, columns: int) -> np.ndarray:
    """As weights.WeightDecoder(data).decode(rows, columns) on a fresh decoder: int64 (rows, columns)."""
    contexts: dict[tuple, list[int]] = {}
    width, code, at = 1 << 40, int.from_bytes(data[:5].ljust(5, b"\0"), "big"), 5

    def bit(context: tuple | None) -> int:
        nonlocal width, code, at
        a, b, c = contexts.setdefault(context, [32768, 32768, 0])
        bound = (width >> 16) * ((a + b) >> 1 if context else 32768)
        one = int(code < bound)
        width, code = (bound, code) if one else (width - bound, code - bound)
        if context:
            t = min(8, (c + 1).bit_length())
            moved = [p + ((65536 - p) >> s) if one else p - (p >> s) for p, s in ((a, min(t, 5)), (b, t))]
            contexts[context] = [*moved, min(c + 1, 255)]
        while width < 1 << 32:
            width, code, at = width << 8, code << 8 | (data[at] if at < len(data) else 0), at + 1
        return one

    def value(level: int, signs: tuple) -> int:
        size = 0
        while size < 12 and bit((level, "u", size)):
            size += 1
        if size == 12:
            e = 0
            while e < 40 and bit((level, "e", e)):
                e += 1
            n = 1
            for k in range(e):
                n = 2 * n + bit((level, "m", e, n) if k < 2 else None)
            size = n + 11
        return -size if size and bit(signs) else size

    out: list[int] = []
    means, row_mean, mean, seen = [0] * columns, 0, 0, 0
    for i in range(rows):
        row_mean = mean
        for j in range(columns):
            expected = ((row_mean + means[j]) >> 1 if i else row_mean) + 1
            octave = expected.bit_length() - 1
            level = min(2 * octave + ((2 * expected >> octave) & 1), 47)
            left, above = (out[-1] if j else 0), (out[-columns] if i else 0)
            out.append(value(level, ("s", (left > 0) - (left < 0), (above > 0) - (above < 0))))
            size, seen = 64 * abs(out[-1]), seen + 1
            row_mean = size if seen == 1 else row_mean + ((size - row_mean) >> min((j + 1).bit_length(), 5))
            means[j] += (size - means[j]) >> min((i + 1).bit_length() - 1, 4)
            mean += (size - mean) >> min(seen.bit_length() - 1, 10)
    return np.array(out, np.int64).reshape(rows, columns)
