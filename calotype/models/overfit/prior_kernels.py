"""The compiled loop of prior.py: one grid of latents through its prior and the binary coder. All integer arithmetic.

    causal neighbours, other grids -> magnitudes, logarithmic -> two small layers -> scale index \
    the same, signed               -> one linear layer        -> mean in 1/16                     > contexts -> bits

A mixing prior has several contexts for each bit, and mixes what they say (mixing_kernels.py).

Bounds: features < 2^8 and |weights| < 2^15 in 32 products at most, with a bias < 2^29, stay below 2^31; hidden values < 2^11 in
16 products with a bias < 2^29 do too. Means, in int64: |values| <= 2^15 and |weights| <= 2^15 give sums < 2^34; errors < 2^22
times values and 2^9 are < 2^46.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from zlib import crc32

import numpy as np

from calotype.entropy import binary, jit
from calotype.entropy.binary import code_bit
from calotype.models.overfit import mixing_kernels
from calotype.models.overfit.mixing_kernels import (
    CALM,
    PAST,
    calm,
    learn,
    mix,
    see,
    see_past,
    see_past_signs,
    see_signs,
)
from calotype.models.overfit.sizes import (
    GRIDS,
    HIDDEN,
    LOG_TOP,
    MAPS,
    MARGIN,
    MEAN_FEATURES,
    NEIGHBOURS,
    NETS,
    NEXT_STATE,
    NODES,
    SIGNED,
    TEMPORAL,
    TEMPORAL_MAPS,
    UNARY,
)

_parts = b"".join(Path(part.__file__).read_bytes() for part in (binary, mixing_kernels))
_kernel = partial(jit.kernel, tag=f"{crc32(_parts):08x}")

SCALES = 48
SCALE_SHIFT = 16
HIDDEN_SHIFT = 8
HIDDEN_TOP = 2047
MEAN_SHIFT = 8  # weights of means are in 1/4096, means in 1/16
MEAN_LEARNT = 8  # more bits of weights, to learn in
MEAN_RATE = 8  # so much of an error goes into the weights: 1/256
MEAN_CALM = 16
MEAN_TOP = 1 << 23
VALUE_TOP = 1 << 15
WORTH_FRACTION = 14  # of what squared errors count; errors are below 2^24
EXPONENTS = 18
# contexts of a net: whether it is zero (scale, distance of the mean from an integer), its sign (scale, phase of the mean),
# magnitudes (scale, place), the rest's exponent and first bits
ZERO = 0
SIGN = ZERO + SCALES * 4
SIZE = SIGN + (SCALES // 4) * 8
REST = SIZE + SCALES * UNARY
CONTEXTS = REST + 2 * EXPONENTS
PROBABILITY = 22
LIMIT = 1023
ENCODE, DECODE, CHOOSE = range(3)
# bits that a bit of probability (i + 1/2) / 4096 costs, in 1/256; only encoders use it
COSTS = np.rint(-256 * np.log2((np.arange(4096) + 0.5) / 4096)).astype(np.int64)


@_kernel("int64(int64[::1], uint8[::1], int32[:, ::1], int64[::1], int64, int64, int64)", inline=True)
def put(coder, buffer, models, cost, context, bit, mode):
    """Code a bit in an adaptive context, or only count its cost; learn from it. Returns it."""
    p = np.int64(models[context, 0])
    if mode == DECODE:
        bit = code_bit(coder, buffer, min(max(p >> 6, 1), 65535), bit, 1)
    else:
        if mode == ENCODE:
            code_bit(coder, buffer, min(max(p >> 6, 1), 65535), bit, 0)
        cost[0] += COSTS[(p if bit else (1 << PROBABILITY) - 1 - p) >> 10]
    n = np.int64(models[context, 1])
    goal = (bit << PROBABILITY) - bit
    models[context, 0] = np.int32(p + ((goal - p) * 2) // (2 * n + 3))
    if n < LIMIT:
        models[context, 1] = np.int32(n + 1)
    return bit


@_kernel("int64(int32[:, ::1], int64, int64)", inline=True)
def price(models, context, bit):
    """Cost of a bit in 1/256 bit."""
    p = np.int64(models[context, 0])
    return COSTS[(p if bit else (1 << PROBABILITY) - 1 - p) >> 10]


@_kernel("int64(int64)", inline=True)
def digits(number):
    """Binary digits of a number >= 0."""
    count = np.int64(0)
    while number >> count:
        count += 1
    return count


@_kernel("int64(int32[:, ::1], int64, int64, int64, int64)")
def price_value(models, zero, sign, size, value):
    """Cost of a value in 1/256 bit, as things stand; beyond the unary part roughly."""
    if value == 0:
        return price(models, zero, 0)
    total = price(models, zero, 1) + price(models, sign, np.int64(value < 0))
    magnitude = abs(value) - 1
    for place in range(min(magnitude, UNARY)):
        total += price(models, size + place, 1)
    if magnitude < UNARY:
        return total + price(models, size + magnitude, 0)
    return total + 256 * (2 * digits(magnitude - UNARY + 1) - 1)


@_kernel("int64(int64[::1], uint8[::1], int32[:, ::1], int64[::1], int64, int64, int64)")
def put_rest(coder, buffer, models, cost, base, rest, mode):
    """Code a number from 1 on, in contexts of a net from `base` on; returns it."""
    exponent, top = np.int64(0), digits(max(rest, 1)) - 1
    while exponent < EXPONENTS - 1 and put(
        coder, buffer, models, cost, base + REST + exponent, np.int64(exponent < top), mode
    ):
        exponent += 1
    found = np.int64(1)
    for k in range(exponent - 1, -1, -1):
        bit = put(coder, buffer, models, cost, base + REST + EXPONENTS + k, (rest >> k) & 1, mode)
        found = (found << 1) | bit
    return found


@_kernel("int64(int64[::1], uint8[::1], int32[:, ::1], int64[::1], int64, int64, int64, int64, int64, int64)")
def put_value(coder, buffer, models, cost, base, zero, sign, size, value, mode):
    """Code a value in the contexts of a net from `base` on; returns it."""
    if not put(coder, buffer, models, cost, zero, np.int64(value != 0), mode):
        return np.int64(0)
    negative = put(coder, buffer, models, cost, sign, np.int64(value < 0), mode)
    magnitude = abs(value) - 1
    place = np.int64(0)
    while place < UNARY and put(coder, buffer, models, cost, size + place, np.int64(magnitude > place), mode):
        place += 1
    if place == UNARY:
        place = UNARY - 1 + put_rest(coder, buffer, models, cost, base, magnitude - UNARY + 1, mode)
    return -place - 1 if negative else place + 1


@_kernel(
    "int64(int64[::1], uint8[::1], int32[:, :, ::1], int32[:, ::1], int64[::1], int64[::1], int64, int32[::1], int16[::1], "
    "int32[::1], int32[::1], int64, int64, int64)",
    inline=True,
)
def put_mixed(coder, buffer, maps, weights, cost, seen, node, inputs, stretch, squash, rates, rate, bit, mode):
    """As `put`, of what the maps say of a node where `seen` tells."""
    p = mix(maps, weights, seen, node, inputs, stretch, squash)
    if mode == DECODE:
        bit = code_bit(coder, buffer, p, bit, 1)
    else:
        if mode == ENCODE:
            code_bit(coder, buffer, p, bit, 0)
        cost[0] += COSTS[(p if bit else 65535 - p) >> 4]
    learn(maps, weights, seen, node, inputs, squash, rates, rate, bit)
    return bit


@_kernel(
    "int64(int32[:, ::1], int32[:, :, ::1], int32[:, ::1], int64[::1], int64[::1], int32[::1], int16[::1], int32[::1], int64, "
    "int64, int64)"
)
def price_mixed(models, maps, weights, seen, signs, inputs, stretch, squash, zero, quiet, value):
    """As `price_value`. zero: the context of a quiet latent's first bit."""
    if quiet:
        total = price(models, zero, np.int64(value != 0))
    else:
        p = mix(maps, weights, seen, 0, inputs, stretch, squash)
        total = COSTS[(p if value else 65535 - p) >> 4]
    if value == 0:
        return total
    p = mix(maps, weights, signs, 1, inputs, stretch, squash)
    total += COSTS[(p if value < 0 else 65535 - p) >> 4]
    magnitude = abs(value) - 1
    for place in range(min(magnitude + 1, UNARY)):
        p = mix(maps, weights, seen, 2 + min(place, NODES - 3), inputs, stretch, squash)
        total += COSTS[(p if magnitude > place else 65535 - p) >> 4]
    if magnitude < UNARY:
        return total
    return total + 256 * (2 * digits(magnitude - UNARY + 1) - 1)


@_kernel(
    "int64(int64[::1], uint8[::1], int32[:, ::1], int32[:, :, ::1], int32[:, ::1], int64[::1], int64[::1], int64[::1], "
    "int32[::1], int16[::1], int32[::1], int32[::1], int64, int64, int64, int64)"
)
def put_mixed_value(
    coder, buffer, models, maps, weights, cost, seen, signs, inputs, stretch, squash, rates, rate, base, value, mode
):  # fmt: skip
    """As `put_value`, of a value that is not zero."""
    negative = np.int64(value < 0)
    negative = put_mixed(coder, buffer, maps, weights, cost, signs, 1, inputs, stretch, squash, rates, rate, negative, mode)
    magnitude = abs(value) - 1
    place = np.int64(0)
    while place < UNARY and put_mixed(
        *(coder, buffer, maps, weights, cost, seen, 2 + min(place, NODES - 3), inputs, stretch, squash, rates),
        *(rate, np.int64(magnitude > place), mode),
    ):
        place += 1
    if place == UNARY:
        place = UNARY - 1 + put_rest(coder, buffer, models, cost, base, magnitude - UNARY + 1, mode)
    return -place - 1 if negative else place + 1


@_kernel("int64(int64, int64)", inline=True)
def index_of(value, second):
    """A value in half steps as the quantiser counts it: 2 index, or 2 index - sign where it is the second."""
    size = (abs(value) + second) >> 1
    return -size if value < 0 else size


@_kernel("int64(int64, int64)", inline=True)
def index_mean(mean, second):
    """A mean of values, in 1/16 half step, in 1/16 index. The second quantiser has -1, 0, 1 side by side."""
    if not second:
        return mean >> 1
    if abs(mean) < 16:
        return mean
    return (mean + (16 if mean > 0 else -16)) >> 1


@_kernel("int64(int32[::1], int32[:, ::1], int32[::1], int32[::1], int64, int32[::1])", inline=True)
def scale_above(hidden, middle, middle_bias, leave, leave_bias, second):
    """The scale of what the first layer gives; second: (HIDDEN,), overwritten."""
    for j in range(HIDDEN):
        second[j] = middle_bias[j]
    for i in range(HIDDEN):
        h = hidden[i] >> HIDDEN_SHIFT
        h = min(max(h, h >> 3), HIDDEN_TOP)
        h = max(h, -HIDDEN_TOP)
        for j in range(HIDDEN):
            second[j] += middle[i, j] * h
    out = np.int32(leave_bias)
    for j in range(HIDDEN):
        h = second[j] >> 10
        h = min(max(h, h >> 3), HIDDEN_TOP)
        h = max(h, -HIDDEN_TOP)
        out += leave[j] * h
    return min(max(np.int64(out) >> SCALE_SHIFT, 0), SCALES - 1)


@_kernel(
    "int64(int32[::1], int32[:, ::1], int32[::1], int32[:, ::1], int32[::1], int32[::1], int64, int32[::1], int32[::1])",
    inline=True,
)
def scale_of(features, enter, enter_bias, middle, middle_bias, leave, leave_bias, hidden, second):
    """The scale that the net tells of features; hidden, second: (HIDDEN,), overwritten."""
    for j in range(HIDDEN):
        hidden[j] = enter_bias[j]
    for i in range(len(features)):
        f = features[i]
        if f:
            for j in range(HIDDEN):
                hidden[j] += enter[i, j] * f
    return scale_above(hidden, middle, middle_bias, leave, leave_bias, second)


@_kernel(
    "int64(int64[::1], int64, int64, int64, int64, int64, int64, int64, int32[::1], int32[::1], boolean, int32[:, ::1], "
    "int32[::1], int32[:, ::1], int32[::1], int32[::1], int64, int32[::1], int32[::1])"
)
def see_among_zeros(
    seen, base, net, quantiser, level, scale, phase, mean, features, logs, past,
    enter, enter_bias, middle, middle_bias, leave, leave_bias, hidden, second
):
    """As `see` and, of a temporal prior, `see_past`, of a latent among zeros that is none itself; returns its scale, which of
    such a prior is not known yet. Seldom called, hence not inlined."""
    if past:
        scale = scale_of(features, enter, enter_bias, middle, middle_bias, leave, leave_bias, hidden, second)
        see_past(seen, base, net, level, features)
    see(seen, base, net, quantiser, level, scale, phase, mean, features, logs)
    return scale


@_kernel(
    "int64(int64[::1], uint8[::1], int64, int32[:, ::1], int64, int32[:, ::1], int32[:, ::1], uint8[:, :, ::1], "
    "int32[:, :, ::1], "
    "int32[::1], int32[:, ::1], int32[::1], int32[:, ::1], int32[::1], int32[::1], int64, int64[::1], int32[:, ::1], "
    "int32[:, ::1], int32[:, ::1], int64, int64, int64, int64, int64, int32[:, :, ::1], int32[:, ::1], int16[::1], int32[::1], "
    "int32[::1], int64, int64, int64, int64[::1])"
)
def code_grid(
    coder, buffer, mode, models, base, values, sizes, others, signed_others,
    logs, enter, enter_bias, middle, middle_bias, leave, leave_bias, means, targets, effects, worths, lmbda, room, shrink,
    net, level, maps, weights, stretch, squash, rates, rate, top, bottom, states
):
    """Code rows top..bottom - 1 of a grid; returns their cost in 1/256 bit, -1 where a value is none.

    values, sizes: int32 (h + 2 MARGIN, w + 2 MARGIN), zero; the latents, written where decoding or choosing, and the logarithms
    of what is left of them after their means. others: (2 OTHERS, h, w), of a temporal prior with 2 more a grid that it sees, of
    one that mixes with T in finer steps and signs besides (residual.py); signed_others (SIGNED_OTHERS, h, w). targets:
    where choosing, (h, w) in 1/256; what is chosen has the least squared error + lmbda (in 1/2^16
    squared steps a bit) * cost, where the nearest, the next towards the mean and the mean are tried. effects: (h, w), what a
    larger magnitude costs besides, in 1/256 bit, or (1, 1); worths: what squared errors count, in 2^-14, (h, w) or (1, 1);
    room: zeros cost room / 256 of what they do; shrink: by how much nearer to 0 a latent's value is than it says, in 1/256.
    net, level: which the grid has; maps: of `Mixing`, (1, 1, 2) where the prior does not mix; weights: of `Mixing`; stretch,
    squash, rates: of `mixing.tables`; rate: of the mixers. states: (1,), the trellis's,
    which goes on, or (0,) where there is none; with one, CHOOSE only counts what rows that trellis_kernels.py chose cost.
    """
    height, width = others.shape[1:]
    weighed = effects.shape[0] == height and effects.shape[1] == width
    mapped = np.int64(worths.shape[0] == height and worths.shape[1] == width)
    cost = np.zeros(1, np.int64)
    near = len(NEIGHBOURS)
    mixed = maps.shape[0] > 1
    past = near + others.shape[0] > PAST + 2 * TEMPORAL[1]
    count = near + others.shape[0] - 2 * past
    features = np.zeros(count, np.int32)
    hidden = np.zeros(HIDDEN, np.int32)
    second = np.zeros(HIDDEN, np.int32)
    signed = np.zeros(MEAN_FEATURES, np.int64)
    silent = np.int64(-1)
    many = TEMPORAL_MAPS if past else MAPS
    sets = 2 + past
    seen, signs = np.zeros(many + sets, np.int64), np.zeros(many + sets, np.int64)
    first = net * (maps.shape[0] // NETS)
    inputs = np.zeros(weights.shape[1] + sets, np.int32)
    inputs[min(many, len(inputs) - 1)] = 256
    fine = tone = np.int64(0)
    trellis, second_one, state = states.shape[0] > 0, np.int64(0), np.int64(0)
    if trellis:
        state = states[0]
    for y in range(top, bottom):
        for x in range(width):
            r, c = y + MARGIN, x + MARGIN
            # ---- the mean
            total = np.int64(0)
            power = np.int64(0)
            for i in range(MEAN_FEATURES):
                if i < SIGNED:
                    v = np.int64(values[r - NEIGHBOURS[i][0], c + NEIGHBOURS[i][1]])
                else:
                    v = np.int64(signed_others[i - SIGNED, y, x])
                signed[i] = v
                total += (means[i] >> MEAN_LEARNT) * v
                power += v * v
            mean = (total + (1 << (MEAN_SHIFT - 1))) >> MEAN_SHIFT
            mean = min(max(mean, -16 * VALUE_TOP), 16 * VALUE_TOP)
            told = mean
            if trellis:
                second_one = state & 1
                mean = index_mean(told, second_one)
            middle_value = (mean + 8) >> 4
            phase = mean - 16 * middle_value  # -8..7
            # ---- the scale
            some = np.int32(0)
            for i in range(near):
                f = sizes[r - NEIGHBOURS[i][0], c + NEIGHBOURS[i][1]]
                features[i] = f
                some |= f
            for i in range(near, PAST):
                f = np.int32(others[i - near, y, x])
                features[i] = f
                some |= f
            around = some
            for i in range(PAST, count):
                f = np.int32(others[i - near, y, x])
                features[i] = f
                some |= f
            if past:
                fine, tone = np.int64(others[count - near, y, x]), np.int64(others[count - near + 1, y, x])
                around |= features[PAST + 4] | features[PAST + 5]
            else:
                around = some
            quiet = np.int64(around == 0 and power == 0)
            if past and quiet:
                scale = np.int64(0)  # needed only where it turns out not to be zero
            elif some == 0 and silent >= 0:
                scale = silent
            else:
                scale = scale_of(features, enter, enter_bias, middle, middle_bias, leave, leave_bias, hidden, second)
                if some == 0:
                    silent = scale
            zero = base + ZERO + 4 * scale + (abs(2 * phase + 1) >> 2)
            if trellis:  # quiet latents, the only ones here, have no phase
                zero = base + ZERO + 4 * scale + second_one
            sign = base + SIGN + 8 * (scale >> 2) + ((phase + 8) >> 1)
            size = base + SIZE + UNARY * scale
            if past and quiet:
                zero = NETS * CONTEXTS + GRIDS + CALM * net + calm(level, features, fine)
            if mixed and not quiet:
                see(seen, first, net, second_one, level, scale, phase, mean, features, logs)
                if past:
                    see_past(seen, first, net, level, features)
            if mode == CHOOSE and not trellis:
                target = np.int64(targets[y, x])
                nearest = ((target + 128) >> 8) - middle_value
                towards = np.int64(nearest > 0) - np.int64(nearest < 0)
                best, least = nearest, np.int64(-1)
                tries = min(abs(nearest), 2) + 1 if nearest else 0
                if mixed and tries:
                    if quiet:
                        scale = see_among_zeros(
                            *(seen, first, net, second_one, level, scale, phase, mean, features, logs, past),
                            *(enter, enter_bias, middle, middle_bias, leave, leave_bias, hidden, second),
                        )
                    see_signs(signs, seen, first, level, scale, phase, mean, signed)
                    if past:
                        see_past_signs(signs, first, level, features, fine, tone)
                for step in range(tries):
                    value = nearest - step * towards
                    if step == 2:
                        value = np.int64(0)
                    whole = value + middle_value
                    error = target - (whole << 8) + shrink * (np.int64(whole > 0) - np.int64(whole < 0))
                    if mixed:
                        bits = price_mixed(models, maps, weights, seen, signs, inputs, stretch, squash, zero, quiet, value)
                    else:
                        bits = price_value(models, zero, sign, size, value)
                    if value == 0:
                        bits = bits * room >> 8
                    if weighed:
                        bits += np.int64(effects[y, x]) * abs(whole)
                    loss = (error * error * worths[mapped * y, mapped * x] >> WORTH_FRACTION) + ((lmbda * bits) >> 8)
                    if least < 0 or loss < least:
                        best, least = value, loss
                value = best
            elif mode != DECODE:
                value = np.int64(values[r, c]) - middle_value
                if trellis:
                    value = index_of(values[r, c], second_one) - middle_value
                    if values[r, c] and (values[r, c] + second_one) & 1:
                        return np.int64(-1)
            else:
                value = np.int64(0)
            if mixed:
                live = np.int64(value != 0)
                if quiet:
                    live = put(coder, buffer, models, cost, zero, live, mode)
                else:
                    live = put_mixed(
                        *(coder, buffer, maps, weights, cost, seen, 0, inputs, stretch, squash, rates, rate, live, mode)
                    )
                if live:
                    if quiet:
                        scale = see_among_zeros(
                            *(seen, first, net, second_one, level, scale, phase, mean, features, logs, past),
                            *(enter, enter_bias, middle, middle_bias, leave, leave_bias, hidden, second),
                        )
                    see_signs(signs, seen, first, level, scale, phase, mean, signed)
                    if past:
                        see_past_signs(signs, first, level, features, fine, tone)
                    value = put_mixed_value(
                        *(coder, buffer, models, maps, weights, cost, seen, signs, inputs, stretch, squash, rates, rate),
                        *(base, value, mode),
                    )
                else:
                    value = np.int64(0)
            else:
                value = put_value(coder, buffer, models, cost, base, zero, sign, size, value, mode)
            whole = value + middle_value
            if trellis:
                state = np.int64(NEXT_STATE[state][whole & 1])
                whole = 2 * whole - second_one * (np.int64(whole > 0) - np.int64(whole < 0))
            if abs(whole) > VALUE_TOP:
                return np.int64(-1)
            values[r, c] = np.int32(whole)
            if power:
                error = 16 * whole - told
                for i in range(MEAN_FEATURES):
                    if signed[i]:
                        step = ((error * signed[i]) << MEAN_RATE) // (power + MEAN_CALM)
                        means[i] = min(max(means[i] + step, -MEAN_TOP), MEAN_TOP)
            sizes[r, c] = logs[min(abs(whole - ((told + 8) >> 4)), LOG_TOP)]
    if trellis:
        states[0] = state
    return cost[0]


@_kernel("void(int32[:, ::1], int32[::1], int64, uint8[:, ::1], uint8[:, ::1], int32[:, ::1])")
def look(values, logs, shift, centre, ring, signed):
    """Of a grid that is known, at the places of one 2^shift as fine: logarithms of magnitudes and of the sum of the eight
    around them, and the values. values: int32 (h + 2 MARGIN, w + 2 MARGIN)."""
    height, width = values.shape[0] - 2 * MARGIN, values.shape[1] - 2 * MARGIN
    times = 1 << shift
    for y in range(height):
        for x in range(width):
            total = np.int64(0)
            for i in range(-1, 2):
                for j in range(-1, 2):
                    total += abs(np.int64(values[y + MARGIN + i, x + MARGIN + j]))
            v = np.int64(values[y + MARGIN, x + MARGIN])
            own = np.uint8(logs[min(abs(v), LOG_TOP)])
            around = np.uint8(logs[min(total - abs(v), LOG_TOP)])
            for i in range(times):
                for j in range(times):
                    centre[y * times + i, x * times + j] = own
                    ring[y * times + i, x * times + j] = around
                    signed[y * times + i, x * times + j] = np.int32(v)


@_kernel("int64(int64[::1], uint8[::1], int64, int32[:, ::1], int64, uint8[::1], uint8[::1])")
def code_flags(coder, buffer, mode, models, base, possible, flags):
    """Code a bit for each place that is possible, in a context of its own from `base` on; returns their cost in 1/256 bit."""
    cost = np.zeros(1, np.int64)
    for i in range(len(flags)):
        if possible[i]:
            flags[i] = put(coder, buffer, models, cost, base + i, np.int64(flags[i]), mode)
    return cost[0]
