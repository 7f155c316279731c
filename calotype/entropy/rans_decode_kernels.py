"""The compiled loops of rans.py's decoder; the other side has its own module, as a kernel takes 30 ms to load.

All arithmetic is int64 on values below 2**48; every index is bounded by its caller's checks. Arrays come from
tables.Lookup (`fields`, `encode`, `entries`, `slots`, `stride`) or are allocated by rans.py with the stated sizes.
"""

from __future__ import annotations

import numpy as np

from calotype.entropy.jit import kernel


@kernel(
    "UniTuple(int64, 2)(uint16[::1], int64, uint32[::1], int64, int64, uint16[::1], int64, int32[:, ::1], uint8[::1],"
    " uint32[::1], int64, int32[::1], int32[::1])"
)
def decode_lanes(words, at, states, phase, precision, indexes, count, fields, slots, entries, stride, values, specials):
    """Decode `count` values as the tables have them, the inverse of encode_lanes, and list the places where raw bits
    follow.

    `words` ends with a sentinel that is read in place of missing ones. `values` and `specials` hold count + 1.
    Returns the new `at`, which lies behind the sentinel where words were missing, and the number of specials. A
    state in [2**16, 2**32) stays there whatever the words are: after a step it is at least frequency * 2**(16 -
    precision) >= 4, and below 2**16 it takes 16 more bits.
    """
    mask = len(states) - 1
    slot_mask = (np.int64(1) << precision) - 1
    last = len(words) - 1
    found = np.int64(0)
    for i in range(count):
        lane = (phase + i) & mask
        state = np.int64(states[lane])
        table = np.int64(indexes[i])
        slot = state & slot_mask
        position = np.int64(slots[(table << precision) | slot])
        entry = np.int64(entries[table * stride + position])
        state = (entry >> 16) * (state >> precision) + slot - (entry & 0x7FFF)
        word = np.int64(words[min(at, last)])
        low = np.int64(state < 0x10000)
        state = (state << (low << 4)) | (word & -low)
        at += low
        states[lane] = np.uint32(state)
        values[i] = np.int32(position + np.int64(fields[table, 0]))
        specials[found] = np.int32(i)
        found += (entry >> 15) & 1
    return at, found


@kernel("int64(uint16[::1], int64, uint16[::1])")
def keep_coded(indexes, skip, kept):
    """Copy the indexes >= skip to `kept` (len(indexes) + 1 long); returns how many there are."""
    count = np.int64(0)
    for i in range(len(indexes)):
        kept[count] = indexes[i]
        count += np.int64(indexes[i] >= skip)
    return count


@kernel("int64(uint8[::1], int64, int64)", inline=True)
def get_bits(buffer, at, count):
    """`count` <= 40 bits from bit `at` on; 7 spare bytes must follow the byte of `at`."""
    byte = at >> 3
    value = np.int64(0)
    for i in range(6):
        value |= np.int64(buffer[byte + i]) << (8 * i)
    return (value >> (at & 7)) & ((np.int64(1) << count) - 1)


@kernel("int64(int32[::1], uint16[::1], int32[::1], int64, int32[:, ::1], uint8[::1], int64, int64)")
def read_raw(values, indexes, specials, count, fields, buffer, at, end):
    """Complete the values at `specials[:count]` from bit `at` of `buffer`, which has 8 spare bytes behind bit `end`.

    Returns the next bit, or -1 where the raw bits end early or spell a value outside int32.
    """
    for k in range(count):
        i = np.int64(specials[k])
        table = np.int64(indexes[i])
        offset = np.int64(fields[table, 0])
        shift = np.int64(fields[table, 2])
        value = np.int64(values[i])
        if value - offset == fields[table, 1]:
            if at >= end:
                return np.int64(-1)
            negative = get_bits(buffer, at, 1)
            at += 1
            exponent = np.int64(0)
            while exponent <= 32 and at < end and not get_bits(buffer, at, 1):
                exponent += 1
                at += 1
            at += 1
            if exponent > 32 or at + exponent > end:
                return np.int64(-1)
            distance = (np.int64(1) << exponent) + get_bits(buffer, at, exponent) - 1
            at += exponent
            value = offset - 1 - distance if negative else value + distance
            bound = (np.int64(1) << 31) >> shift
            if value < -bound or value >= bound:
                return np.int64(-1)
        if at + shift > end:
            return np.int64(-1)
        values[i] = np.int32((value << shift) | get_bits(buffer, at, shift))
        at += shift
    return at


@kernel("void(int32[::1], uint16[::1], int64, int32[::1])")
def spread(values, indexes, skip, symbols):
    """Put the coded values (one spare entry behind them) where the index is >= skip, and 0 elsewhere."""
    taken = np.int64(0)
    for i in range(len(indexes)):
        coded = np.int64(indexes[i] >= skip)
        symbols[i] = np.int32(np.int64(values[taken]) & -coded)
        taken += coded
