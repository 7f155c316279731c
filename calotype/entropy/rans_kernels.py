"""The compiled loops of rans.py. All arithmetic is int64 on values below 2**48; every index is bounded by its
caller's checks.

Arrays come from tables.Lookup (`fields`, `encode`, `entries`, `slots`, `stride`) or are allocated by rans.py with
the stated sizes.
"""

from __future__ import annotations

import numpy as np

from calotype.entropy.jit import kernel


@kernel("int64(int32[::1], uint16[::1], int64)")
def lossless_skip(symbols, indexes, skip):
    """The largest skip level <= `skip` that drops no symbol other than 0."""
    for i in range(len(symbols)):
        if symbols[i] != 0 and indexes[i] < skip:
            skip = np.int64(indexes[i])
    return skip


@kernel(
    "UniTuple(int64, 3)(int32[::1], uint16[::1], int64, int32[:, ::1], uint64[::1], int64, uint32[::1], int32[::1])"
)
def look_up(symbols, indexes, skip, fields, encode, stride, operations, specials):
    """Write the table entry of each symbol that is coded, and the place of each that needs raw bits.

    `operations` and `specials` hold len(symbols) + 1. Returns (symbols coded, their code length in 1/65536 bit,
    specials).
    """
    count = np.int64(0)
    length = np.int64(0)
    found = np.int64(0)
    for i in range(len(symbols)):
        table = np.int64(indexes[i])
        coded = np.int64(table >= skip)
        escape = np.int64(fields[table, 1])
        position = (np.int64(symbols[i]) >> np.int64(fields[table, 2])) - np.int64(fields[table, 0])
        position = escape if position < 0 else min(position, escape)
        entry = np.int64(encode[table * stride + position])
        operations[count] = np.uint32(entry & 0xFFFFFFFF)
        specials[found] = np.int32(i)
        count += coded
        length += (entry >> 32) & -coded
        found += (entry >> 15) & coded
    return count, length, found


@kernel("int64(uint32[::1], int64, uint32[::1], int64, int64, uint16[::1], int64)")
def encode_lanes(operations, count, states, phase, precision, words, end):
    """Code `operations[:count]` last to first; symbol i belongs to lane (phase + i) mod lanes. Words go down from
    `words[end]`.

    At most one word a symbol, and it is written before it is counted: `end` must be at least the symbols left to code.
    Returns the new `end`. States stay in [2**16, 2**32).
    """
    mask = len(states) - 1
    room = 32 - precision
    for i in range(count - 1, -1, -1):
        lane = (phase + i) & mask
        state = np.int64(states[lane])
        operation = np.int64(operations[i])
        frequency = operation >> 16
        full = np.int64(state >= (frequency << room))
        words[end - 1] = np.uint16(state & 0xFFFF)
        end -= full
        state >>= full << 4
        # Both fit 32 bits, where the division is several times faster than in 64.
        quotient = np.int64(np.uint32(state) // np.uint32(frequency))
        states[lane] = np.uint32((quotient << precision) + (state - quotient * frequency) + (operation & 0x7FFF))
    return end


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


@kernel("int64(uint8[::1], int64, int64, int64)", inline=True)
def put_bits(buffer, at, value, count):
    """Or `count` <= 40 bits of `value` into `buffer` from bit `at` on, least significant first; 7 spare bytes must
    follow.
    """
    value <<= at & 7
    byte = at >> 3
    while value:
        buffer[byte] |= np.uint8(value & 0xFF)
        value >>= 8
        byte += 1
    return at + count


@kernel("int64(uint8[::1], int64, int64)", inline=True)
def get_bits(buffer, at, count):
    """`count` <= 40 bits from bit `at` on; 7 spare bytes must follow the byte of `at`."""
    byte = at >> 3
    value = np.int64(0)
    for i in range(6):
        value |= np.int64(buffer[byte + i]) << (8 * i)
    return (value >> (at & 7)) & ((np.int64(1) << count) - 1)


@kernel("int64(int32[::1], uint16[::1], int32[::1], int64, int32[:, ::1], uint8[::1], int64)")
def write_raw(symbols, indexes, specials, count, fields, buffer, at):
    """Write the escapes and raw low bits of the symbols at `specials[:count]`, at most 90 bits each. Returns the bit
    behind them.
    """
    for k in range(count):
        i = np.int64(specials[k])
        table = np.int64(indexes[i])
        escape = np.int64(fields[table, 1])
        shift = np.int64(fields[table, 2])
        symbol = np.int64(symbols[i])
        position = (symbol >> shift) - np.int64(fields[table, 0])
        if position < 0 or position >= escape:
            negative = np.int64(position < 0)
            distance = (-1 - position if position < 0 else position - escape) + 1
            exponent = np.int64(0)
            while distance >> (exponent + 1):
                exponent += 1
            at = put_bits(buffer, at, negative, 1)
            at = put_bits(buffer, at, np.int64(1) << exponent, exponent + 1)
            at = put_bits(buffer, at, distance - (np.int64(1) << exponent), exponent)
        at = put_bits(buffer, at, symbol & ((np.int64(1) << shift) - 1), shift)
    return at


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
