"""The compiled loops of rangecoder.py. `coder` is int64 (3,): low or code, range, place in the buffer.

range lies in [2**32, 2**40] between bits, low in [0, 2**40): every product below stays under 2**41. `models` is
uint16 (n, 3): fast and slow probability of a 1 in 1/65536, and a count of the bits seen. Both probabilities stay in
15..65521 (a step of 1/16 or less of what is left cannot cross that, and the first, wider steps halve the distance at
most), so each bit shrinks the range by less than 2**13.
"""

from __future__ import annotations

import numpy as np

from calotype.entropy.jit import kernel

_RAW = -1


@kernel("void(uint16[:, ::1], int64, int64)", inline=True)
def adapt(models, context, bit):
    """Move both probabilities towards `bit`: by 1/2, 1/4 ... of the distance while young, then by 1/16 and 1/128."""
    seen = np.int64(models[context, 2])
    shift = np.int64(1)
    while shift < 7 and (seen + 1) >> shift:
        shift += 1
    for rate in range(2):
        step = min(shift, 4 if rate == 0 else 7)
        value = np.int64(models[context, rate])
        value += ((65536 - value) >> step) if bit else -(value >> step)
        models[context, rate] = np.uint16(value)
    models[context, 2] = np.uint16(min(seen + 1, 255))


@kernel("void(int64[::1], uint8[::1], int64, int64)", inline=True)
def put_part(coder, buffer, bound, bit):
    """Go on with the lower `bound` of the range for a 1, with the rest for a 0. Writes at most 2 bytes."""
    width = coder[1]
    if bit:
        width = bound
    else:
        coder[0] += bound
        width -= bound
    while width < (1 << 32):
        width <<= 8
        if coder[0] >> 40:
            # The carry runs back over bytes of 255; it cannot leave the front, for low + range never passes the
            # first 2**40.
            back = coder[2] - 1
            while buffer[back] == 255:
                buffer[back] = 0
                back -= 1
            buffer[back] += 1
            coder[0] &= (1 << 40) - 1
        buffer[coder[2]] = np.uint8(coder[0] >> 32)
        coder[2] += 1
        coder[0] = (coder[0] & 0xFFFFFFFF) << 8
    coder[1] = width


@kernel("int64(int64[::1], uint8[::1], int64)", inline=True)
def get_part(coder, buffer, bound):
    """The bit that put_part was given. Behind the end of `buffer` it reads zeros and keeps counting."""
    width = coder[1]
    bit = np.int64(coder[0] < bound)
    if bit:
        width = bound
    else:
        coder[0] -= bound
        width -= bound
    while width < (1 << 32):
        width <<= 8
        byte = np.int64(buffer[coder[2]]) if coder[2] < len(buffer) else np.int64(0)
        coder[0] = (coder[0] << 8) | byte
        coder[2] += 1
    coder[1] = width
    return bit


@kernel("void(int64[::1], uint8[::1], uint16[:, ::1], int64, int64)", inline=True)
def put_bit(coder, buffer, models, context, bit):
    """Code one bit, raw where context is -1. Writes at most 2 bytes."""
    if context == _RAW:
        put_part(coder, buffer, coder[1] >> 1, bit)
        return
    bound = (coder[1] >> 16) * ((np.int64(models[context, 0]) + np.int64(models[context, 1])) >> 1)
    put_part(coder, buffer, bound, bit)
    adapt(models, context, bit)


@kernel("int64(int64[::1], uint8[::1], uint16[:, ::1], int64)", inline=True)
def get_bit(coder, buffer, models, context):
    """Decode one bit, the inverse of put_bit."""
    if context == _RAW:
        return get_part(coder, buffer, coder[1] >> 1)
    bound = (coder[1] >> 16) * ((np.int64(models[context, 0]) + np.int64(models[context, 1])) >> 1)
    bit = get_part(coder, buffer, bound)
    adapt(models, context, bit)
    return bit


@kernel("void(int64[::1], uint8[::1], uint16[:, ::1], uint8[::1], uint16[::1])")
def put_bits(coder, buffer, models, bits, contexts):
    """Code bits, each in its context; `buffer` has 2 bytes of room for each."""
    for i in range(len(bits)):
        put_bit(coder, buffer, models, np.int64(contexts[i]), np.int64(bits[i] != 0))


@kernel("void(int64[::1], uint8[::1], uint16[:, ::1], uint16[::1], uint8[::1])")
def get_bits(coder, buffer, models, contexts, bits):
    """Decode one bit for each context."""
    for i in range(len(bits)):
        bits[i] = np.uint8(get_bit(coder, buffer, models, np.int64(contexts[i])))


@kernel("void(int64[::1], uint8[::1], uint16[:, ::1], uint32[::1], uint16[::1])")
def put_integers(coder, buffer, models, values, bases):
    """Code integers <= 2**32 - 2, each in the 64 contexts from its base; `buffer` has 128 bytes of room for each."""
    for i in range(len(values)):
        base = np.int64(bases[i])
        value = np.int64(values[i]) + 1
        exponent = np.int64(0)
        while value >> (exponent + 1):
            exponent += 1
        for k in range(exponent):
            put_bit(coder, buffer, models, base + k, np.int64(1))
        if exponent < 31:
            put_bit(coder, buffer, models, base + exponent, np.int64(0))
        for k in range(exponent - 1, -1, -1):
            context = base + 32 + exponent if k == exponent - 1 else np.int64(_RAW)
            put_bit(coder, buffer, models, context, (value >> k) & 1)


@kernel("void(int64[::1], uint8[::1], uint16[:, ::1], uint16[::1], uint32[::1])")
def get_integers(coder, buffer, models, bases, values):
    """Decode one integer for each base."""
    for i in range(len(values)):
        base = np.int64(bases[i])
        exponent = np.int64(0)
        while exponent < 31 and get_bit(coder, buffer, models, base + exponent):
            exponent += 1
        value = np.int64(1)
        for k in range(exponent - 1, -1, -1):
            context = base + 32 + exponent if k == exponent - 1 else np.int64(_RAW)
            value = (value << 1) | get_bit(coder, buffer, models, context)
        values[i] = np.uint32(value - 1)
