"""Interleaved rANS: integer symbols and table indexes to bytes and back, over frozen tables.

Source: Duda, "Asymmetric numeral systems" (arXiv 1311.2540); Giesen, "Interleaved entropy coders" (arXiv 1402.3392).
Taken: 32-bit states, 16-bit renormalisation, interleaved lanes in one word stream. Different: 12..14-bit tables
looked up by slot, and a second, raw bit stream that grows from the other end for what tables do not hold, so that
the lane loop has no branch.

    byte 0 | skip? | lane states | words ->      <- raw bits        (docs/ENTROPY.md has it to the bit)

The stream holds no symbol count: the decoder pulls what the model says. One coder lives across any number of pulls.
"""

from __future__ import annotations

import importlib
from functools import cache
from types import ModuleType
from typing import Literal, NamedTuple

import numpy as np

from calotype.entropy.tables import TableBank, checked_indexes, checked_symbols
from calotype.errors import CorruptStreamError, UsageError

LANES = (1, 4, 8, 32)
INITIAL_STATE = 1 << 16
MIXED_PRECISION = 3
MAX_SKIP = 255
# Sign, Exp-Golomb code of a distance up to 2**32, 24 raw low bits.
MAX_RAW_BITS = 1 + 65 + 24
# A lane costs about 3 bytes at the end of the stream. Lanes, the fewest coded symbols for which they are worth having,
# and the fewest payload bytes of which they are at most about 0.1 %.
_LANE_FLOORS = ((32, 1 << 22, 96 << 10), (8, 1 << 14, 24 << 10), (4, 1 << 12, 10 << 10))


class _Push(NamedTuple):
    bank: TableBank
    symbols: np.ndarray
    indexes: np.ndarray
    scale_indexed: bool


class RansEncoder:
    """Collects symbols, then codes them all in `finish` (rANS codes last to first).

    bits: after it, the ideal code length of what was coded, as `TableBank.bits` counts it, to 2**-17 bits a symbol.
    """

    def __init__(self) -> None:
        self.bits = 0.0
        self._pushes: list[_Push] = []
        self._finished = False

    def push(self, bank: TableBank, symbols: np.ndarray, indexes: np.ndarray, scale_indexed: bool = False) -> None:
        """Append symbols, int32 (n,), coded with the tables `indexes`, int (n,) in 0..len(bank)-1. Both are copied.

        scale_indexed: the tables are ordered by scale, so that `finish(skip)` may leave out the lowest.
        Raises UsageError for an index outside the bank, a symbol outside int32, or arrays that do not match.
        """
        if self._finished:
            raise UsageError("this encoder is finished: make a new RansEncoder for the next stream")
        own_symbols = checked_symbols(symbols)
        own_indexes = checked_indexes(indexes, len(bank), UsageError)
        if len(own_symbols) != len(own_indexes):
            raise UsageError(
                f"{len(own_symbols)} symbols and {len(own_indexes)} table indexes: give one index per symbol"
            )
        if len(own_symbols):
            own_symbols = own_symbols.copy() if np.may_share_memory(own_symbols, symbols) else own_symbols
            own_indexes = own_indexes.copy() if np.may_share_memory(own_indexes, indexes) else own_indexes
            self._pushes.append(_Push(bank, own_symbols, own_indexes, bool(scale_indexed)))

    def extend(self, other: RansEncoder, skip: int = 0) -> None:
        """Append what another encoder was pushed, without what `finish(skip)` leaves out, so that it takes little memory.

        Raises UsageError where either is finished, or a symbol left out is not 0.
        """
        if self._finished or other._finished:
            raise UsageError("a finished encoder's symbols are gone: join encoders before they finish")
        for push in other._pushes:
            if push.scale_indexed and skip:
                coded = push.indexes >= skip
                if push.symbols[~coded].any():
                    raise UsageError(f"symbols below scale index {skip} are not all 0: they cannot be left out")
                push = push._replace(symbols=push.symbols[coded], indexes=push.indexes[coded])
            self._pushes.append(push)

    def finish(self, skip: int = 0) -> bytes:
        """Code everything pushed. In scale_indexed pushes, symbols with an index < skip are left out and decode to 0.

        Where such a symbol is not 0, skip is lowered to the largest lossless value; the stream carries the value used.
        Raises UsageError for skip outside 0..255 or a second call.
        """
        if self._finished:
            raise UsageError("this encoder is finished: make a new RansEncoder for the next stream")
        if not 0 <= skip <= MAX_SKIP:
            raise UsageError(f"skip {skip} is not in 0..{MAX_SKIP}")
        self._finished = True
        kernels = _kernels("encode")
        pushes, self._pushes = self._pushes, []
        for push in pushes:
            if push.scale_indexed and skip:
                skip = kernels.lossless_skip(push.symbols, push.indexes, skip)

        operations, specials, length, raw_bytes = [], [], 0, 8
        for push in pushes:
            fields, encode, _, _, stride = push.bank.lookup
            found = np.empty(len(push.symbols) + 1, dtype=np.uint32)
            special = np.empty(len(push.symbols) + 1, dtype=np.int32)
            level = skip if push.scale_indexed else 0
            coded, cost, count = kernels.look_up(
                push.symbols, push.indexes, level, fields, encode, stride, found, special
            )
            operations.append(found[:coded])
            specials.append(special[:count])
            length += cost
            raw_bytes += (MAX_RAW_BITS * count + 7) // 8

        total = sum(map(len, operations))
        lanes = _choose_lanes(total, length >> 19)
        states = np.full(lanes, INITIAL_STATE, dtype=np.uint32)
        words = np.empty(total, dtype=np.uint16)
        end = phase = total
        for push, found in zip(reversed(pushes), reversed(operations), strict=True):
            phase -= len(found)
            end = kernels.encode_lanes(found, len(found), states, phase % lanes, push.bank.precision, words, end)

        raw, at = np.zeros(raw_bytes, dtype=np.uint8), 0
        for push, special in zip(pushes, specials, strict=True):
            at = kernels.write_raw(push.symbols, push.indexes, special, len(special), push.bank.lookup.fields, raw, at)
        self.bits = length / 65536 + at
        precisions = {push.bank.precision for push, found in zip(pushes, operations, strict=True) if len(found)} or {12}
        return b"".join(
            (
                _header(lanes, precisions, skip),
                states.astype("<u4").tobytes() if total else b"",
                words[end:].astype("<u2").tobytes(),
                raw[: (at + 7) // 8][::-1].tobytes(),
            )
        )


class RansDecoder:
    """Gives back, pull by pull, what the encoder was pushed. After an error the decoder's state means nothing."""

    def __init__(self, data: bytes) -> None:
        """Raises CorruptStreamError where the header cannot be one."""
        self.lanes, self._precision, self.skip, start = parse_header(data)
        self._body = memoryview(data)[start:]
        self._states: np.ndarray | None = None
        self._words = np.zeros(1, dtype=np.uint16)
        self._raw = np.zeros(8, dtype=np.uint8)
        self._coded = 0
        self._word = 0
        self._bit = 0

    def pull(self, bank: TableBank, indexes: np.ndarray, scale_indexed: bool = False) -> np.ndarray:
        """The next symbols, int32 (n,), for the tables `indexes`, int (n,): same bank, order and flag as at the push.

        Raises CorruptStreamError where the stream ends early or spells no int32, UsageError for indexes outside the
        bank.
        """
        own_indexes = checked_indexes(indexes, len(bank), UsageError)
        kernels = _kernels("decode")
        skip = self.skip if scale_indexed else 0
        kept, count = own_indexes, len(own_indexes)
        if skip:
            kept = np.empty(count + 1, dtype=np.uint16)
            count = kernels.keep_coded(own_indexes, skip, kept)
        if not count:
            return np.zeros(len(own_indexes), dtype=np.int32)
        if self._precision not in (bank.precision, None):
            raise CorruptStreamError(
                "the stream was coded with tables of another precision: it is damaged or not for this model"
            )
        if self._states is None:
            self._start()
        fields, _, entries, slots, stride = bank.lookup
        values = np.empty(count + 1, dtype=np.int32)
        specials = np.empty(count + 1, dtype=np.int32)
        phase = self._coded % self.lanes
        self._word, found = kernels.decode_lanes(
            *(self._words, self._word, self._states, phase, bank.precision, kept, count),
            *(fields, slots, entries, stride, values, specials),
        )
        self._coded += count
        end = 8 * (self._payload - 2 * self._word)
        if end >= self._bit:
            self._bit = kernels.read_raw(values, kept, specials, found, fields, self._raw, self._bit, end)
        if end < self._bit or self._bit < 0:
            raise CorruptStreamError(
                "the stream ends before its last symbol or spells no int32: the bytes are cut off or damaged"
            )
        if not skip:
            return values[:count]
        values[count] = 0
        symbols = np.empty(len(own_indexes), dtype=np.int32)
        kernels.spread(values, own_indexes, skip, symbols)
        return symbols

    def finish(self) -> None:
        """Raises CorruptStreamError unless the stream was consumed exactly and every lane is back in its initial
        state.
        """
        if self._states is None:
            if len(self._body):
                raise CorruptStreamError(
                    f"{len(self._body)} bytes are left behind the last symbol: the bytes are damaged"
                )
            return
        raw_bytes = (self._bit + 7) // 8
        padding = int(self._raw[self._bit >> 3]) >> (self._bit & 7) if self._bit & 7 else 0
        if 2 * self._word + raw_bytes != self._payload or padding or (self._states != INITIAL_STATE).any():
            raise CorruptStreamError("the stream does not end where its last symbol does: the bytes are damaged")

    def _start(self) -> None:
        """Read the lane states. Words and raw bits share the remaining bytes; where one ends shows only at the end."""
        size = 4 * self.lanes
        if len(self._body) < size:
            raise CorruptStreamError(f"the stream ends inside its {self.lanes} lane states: the bytes are cut off")
        states = np.frombuffer(self._body[:size], dtype="<u4").astype(np.uint32)
        if (states < INITIAL_STATE).any():
            raise CorruptStreamError("a lane state is below 2**16: the bytes are damaged")
        payload = np.frombuffer(self._body[size:], dtype=np.uint8)
        self._payload = len(payload)
        count = self._payload // 2
        self._words = np.zeros(count + 1, dtype=np.uint16)
        self._words[:count] = payload[: 2 * count].view("<u2")
        self._raw = np.zeros(self._payload + 8, dtype=np.uint8)
        self._raw[: self._payload] = payload[::-1]
        self._states = states


def parse_header(data: bytes) -> tuple[int, int | None, int, int]:
    """(lanes, precision or None where it is mixed, skip, header bytes). Raises CorruptStreamError where it cannot be
    a header.
    """
    if not len(data):
        raise CorruptStreamError("an entropy-coded stream is empty: the bytes are cut off")
    first = data[0]
    if first & 0xE0:
        raise CorruptStreamError(
            "unknown flags in an entropy-coded stream: the bytes are damaged or need a newer Calotype"
        )
    lanes, precision, has_skip = LANES[first & 3], 12 + (first >> 2 & 3), first >> 4 & 1
    if has_skip and (len(data) < 2 or not data[1]):
        raise CorruptStreamError("an entropy-coded stream lacks its skip level: the bytes are damaged")
    return lanes, None if precision == 12 + MIXED_PRECISION else precision, data[1] if has_skip else 0, 1 + has_skip


def _header(lanes: int, precisions: set[int], skip: int) -> bytes:
    code = MIXED_PRECISION if len(precisions) > 1 else min(precisions) - 12
    first = LANES.index(lanes) | code << 2 | (skip > 0) << 4
    return bytes((first, skip)) if skip else bytes((first,))


def _choose_lanes(symbols: int, payload_bytes: int) -> int:
    for lanes, least_symbols, least_bytes in _LANE_FLOORS:
        if symbols >= least_symbols and payload_bytes >= least_bytes:
            return lanes
    return 1


@cache
def _kernels(side: Literal["encode", "decode"]) -> ModuleType:
    """The compiled loops; numba is imported here, at the first use."""
    return importlib.import_module(f"calotype.entropy.rans_{side}_kernels")
