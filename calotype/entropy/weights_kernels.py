"""The compiled loops of weights.py: one walk over a tensor, which writes, reads or prices, so that none can differ.

`coder`, `buffer` and `models` are rangecoder_kernels.py's; `state` is int64 (3,): mean magnitude in this row and in the
tensor, both in 1/64, and the values seen; `columns` is int64 (columns,), the mean magnitude in each column, in 1/64.
Values stay under 2**41 in magnitude, so no product or shift below passes 2**63.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from zlib import crc32

import numpy as np

from calotype.entropy import jit, rangecoder_kernels
from calotype.entropy.rangecoder_kernels import get_part, put_part

# numba's cache does not see that rangecoder_kernels.py, of which these are made, has changed
_kernel = partial(jit.kernel, tag=f"{crc32(Path(rangecoder_kernels.__file__).read_bytes()):08x}")

UNARY = 12  # magnitudes below it are coded in unary
EXPONENTS = 40  # largest exponent of the rest
LEVELS = 48  # of the expected magnitude, two an octave
SHAPES = UNARY + EXPONENTS + 3 * (EXPONENTS + 1)  # contexts of one level
SIGNS = LEVELS * SHAPES  # the nine contexts of signs come last
CONTEXTS = SIGNS + 9
WRITE, READ, TALLY, PRICE = range(4)
FAST, SLOW = 5, 8
_RAW = -1
# Bits that a bit of probability (i + 1/2) / 256 costs, in 1/256; only encoders use it.
_COSTS = np.rint(-256 * np.log2((np.arange(256) + 0.5) / 256)).astype(np.int64)


@_kernel("int64(int64)", inline=True)
def digits(number):
    """Binary digits of a number >= 0."""
    count = np.int64(0)
    while number >> count:
        count += 1
    return count


@_kernel("int64(int64[::1], uint8[::1], uint16[:, ::1], int64[::1], int64, int64, int64)", inline=True)
def code_bit(coder, buffer, models, cost, context, bit, mode):
    """Write, read or price one bit; returns it. PRICE leaves the models as they are."""
    chance = np.int64(32768)
    if context != _RAW:
        chance = (np.int64(models[context, 0]) + np.int64(models[context, 1])) >> 1
    if mode == WRITE:
        put_part(coder, buffer, (coder[1] >> 16) * chance, bit)
    elif mode == READ:
        bit = get_part(coder, buffer, (coder[1] >> 16) * chance)
    else:
        cost[0] += _COSTS[(chance if bit else 65536 - chance) >> 8]
    if context != _RAW and mode != PRICE:
        seen = np.int64(models[context, 2])
        shift = min(digits(seen + 1), SLOW)
        for rate in range(2):
            step = min(shift, FAST if rate == 0 else SLOW)
            value = np.int64(models[context, rate])
            value += ((65536 - value) >> step) if bit else -(value >> step)
            models[context, rate] = np.uint16(value)
        models[context, 2] = np.uint16(min(seen + 1, 255))
    return bit


@_kernel("int64(int64[::1], uint8[::1], uint16[:, ::1], int64[::1], int64, int64, int64, int64)")
def code_value(coder, buffer, models, cost, base, sign, value, mode):
    """One value in the contexts from `base` on, its sign in the context `sign`; returns it."""
    size = abs(value)
    place = np.int64(0)
    while place < UNARY and code_bit(coder, buffer, models, cost, base + place, np.int64(size > place), mode):
        place += 1
    if mode == READ:
        size = place
    if place == UNARY:
        rest = size - UNARY + 1
        exponent, top = np.int64(0), digits(rest) - 1
        while exponent < EXPONENTS and code_bit(
            coder, buffer, models, cost, base + UNARY + exponent, np.int64(exponent < top), mode
        ):
            exponent += 1
        # The two bits below the leading one have contexts; node is 1 for the first, 2 or 3 for the second.
        low = base + UNARY + EXPONENTS + 3 * exponent
        node, found = np.int64(1), np.int64(1)
        for k in range(exponent - 1, -1, -1):
            context = low + node - 1 if node < 4 else np.int64(_RAW)
            bit = code_bit(coder, buffer, models, cost, context, (rest >> k) & 1, mode)
            found = (found << 1) | bit
            node = min((node << 1) | bit, 4)
        size = found + UNARY - 1
    if size and code_bit(coder, buffer, models, cost, sign, np.int64(value < 0), mode):
        return -size
    return size


@_kernel("int64(int64[::1], int64[::1], int64, int64)", inline=True)
def base_of(state, columns, row, column):
    """First context of the level of a value: from the mean magnitudes so far in its row and in its column."""
    expected = ((state[0] + columns[column]) >> 1 if row else state[0]) + 1
    octave = digits(expected) - 1
    half = ((expected << 1) >> octave) & 1
    return min(2 * octave + half, LEVELS - 1) * SHAPES


@_kernel("int64(int64[::1], int64, int64, int64)", inline=True)
def sign_of(values, at, row, column):
    """Context of a sign: from those of the values to the left and above, 3 x 3."""
    left = values[at - 1] if column else np.int64(0)
    above = values[at - row] if row else np.int64(0)
    return SIGNS + 3 * (1 + (left > 0) - (left < 0)) + 1 + (above > 0) - (above < 0)


@_kernel("void(int64[::1], int64[::1], int64, int64, int64)", inline=True)
def learn(state, columns, row, column, value):
    """Take a value into the three means: of its row (first steps, then 1/32), its column (1/16) and all (1/1024)."""
    size = abs(value) << 6
    if row == 0 and column == 0:
        state[0] = size
    else:
        state[0] += (size - state[0]) >> min(digits(column + 1), 5)
    columns[column] += (size - columns[column]) >> min(digits(row + 1) - 1, 4)
    state[2] += 1
    state[1] += (size - state[1]) >> min(digits(state[2]) - 1, 10)


_STATE = "int64[::1], uint8[::1], uint16[:, ::1], int64[::1], int64[::1]"


@_kernel(f"int64({_STATE}, int64[::1], int64, int64, int64)")
def walk(coder, buffer, models, state, columns, values, start, stop, mode):
    """Code values[start:stop] of a tensor, flat; returns its cost in 1/256 bit where mode is TALLY."""
    cost = np.zeros(1, np.int64)
    width = len(columns)
    for at in range(start, stop):
        row, column = at // width, at % width
        if column == 0:
            state[0] = state[1]
        base = base_of(state, columns, row, column)
        sign = sign_of(values, at, width if row else 0, column)
        values[at] = code_value(coder, buffer, models, cost, base, sign, values[at], mode)
        learn(state, columns, row, column, values[at])
    return cost[0]


@_kernel(f"void({_STATE}, int64[::1], int64[::1], int32[::1], int64)")
def choose(coder, buffer, models, state, columns, values, targets, importance, lmbda):
    """Fill `values`, each the level of least importance * (target - 256 level)^2 + lmbda * cost as things then stand.

    Levels tried: the nearest, the next one towards zero, and zero where that is near. importance: one for all or each.
    """
    cost = np.zeros(1, np.int64)
    width = len(columns)
    for at in range(len(values)):
        row, column = at // width, at % width
        if column == 0:
            state[0] = state[1]
        base = base_of(state, columns, row, column)
        sign = sign_of(values, at, width if row else 0, column)
        weight = np.int64(importance[at] if len(importance) > 1 else importance[0])
        nearest = (targets[at] + 128) >> 8
        towards = np.int64(nearest > 0) - np.int64(nearest < 0)
        best, least = nearest, np.int64(-1)
        for step in range(min(abs(nearest), 2) + 1):
            if step == 2 and abs(nearest) > 2:
                break
            level = nearest - step * towards
            cost[0] = 0
            code_value(coder, buffer, models, cost, base, sign, level, PRICE)
            error = targets[at] - (level << 8)
            total = weight * error * error + lmbda * cost[0]
            if least < 0 or total < least:
                best, least = level, total
        values[at] = code_value(coder, buffer, models, cost, base, sign, best, TALLY)
        learn(state, columns, row, column, best)
