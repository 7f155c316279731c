"""The compiled loops of rans.py's encoder; the other side has its own module, as a kernel takes 30 ms to load.

All arithmetic is int64 on values below 2**48; every index is bounded by its caller's checks. Arrays come from
tables.Lookup (`fields`, `encode`, `entries`, `slots`, `stride`) or are allocated by rans.py with the stated sizes.
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
