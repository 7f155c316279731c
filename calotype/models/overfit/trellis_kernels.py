"""The compiled search of the latents of a row, where the quantiser depends on those before: Viterbi over the states.

    each state -> its two latents before -> mean, scale, contexts -> price of zero, the nearest and those beside it
               -> the cheapest way into each state after          -> back from the best at the row's end

Source: Schwarz et al., "Hybrid Video Coding with Trellis-Coded Quantization" (DCC 2019) and its eight states in ECM. Different:
what the latents above and other grids tell is known, but probabilities stay those before the row while it is searched.

Bounds are those of prior_kernels.py. Losses: the nearest value of either quantiser is within 2^9, so the best way so far grows
by less than 2^20 and its bits a latent, and one step more, of an error < 2^24 whose square is weighed in 2^-14, stays below
2^62. Only encoders use this.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from zlib import crc32

import numpy as np

from calotype.entropy import jit
from calotype.models.overfit import mixing_kernels, prior_kernels
from calotype.models.overfit.mixing_kernels import mix, see, see_signs
from calotype.models.overfit.prior_kernels import (
    COSTS,
    MEAN_LEARNT,
    MEAN_SHIFT,
    UNARY,
    VALUE_TOP,
    WORTH_FRACTION,
    ZERO,
    digits,
    index_mean,
    index_of,
    price,
    scale_above,
)
from calotype.models.overfit.sizes import (
    HIDDEN,
    LOG_TOP,
    MAPS,
    MARGIN,
    MEAN_FEATURES,
    MIXED,
    NEIGHBOURS,
    NETS,
    NEXT_STATE,
    NODES,
    SIGNED,
)

_parts = b"".join(Path(part.__file__).read_bytes() for part in (mixing_kernels, prior_kernels))
_kernel = partial(jit.kernel, tag=f"{crc32(_parts):08x}")

STATES = len(NEXT_STATE)
NEVER = 1 << 62
TRIES = 4
BEYOND = 64  # in 1/256: a target so far beyond the nearest value has the next one tried, too


@_kernel("int64(int64, int64)", inline=True)
def nearest(target, second):
    """The index whose value is nearest to a target in 1/256 half step."""
    size = abs(target)
    if second:
        found = (size + 512) >> 9 if size >= 128 else np.int64(0)
    else:
        found = (size + 256) >> 9
    return -found if target < 0 else found


@_kernel(
    "void(int64[::1], int64[::1], int64, int64, int32[:, ::1], int32[:, :, ::1], int32[:, ::1], int64[::1], int64[::1], "
    "int32[::1], int16[::1], int32[::1], int64, int64)"
)
def price_tries(tries, bits, count, middle, models, maps, weights, seen, signs, inputs, stretch, squash, zero, quiet):
    """Costs in 1/256 bit of the indices tries[:count]: the first is farthest from the middle, the next one nearer, the last the
    middle itself."""
    if quiet:
        bits[count - 1], live = price(models, zero, 0), price(models, zero, 1)
    else:
        p = mix(maps, weights, seen, 0, inputs, stretch, squash)
        bits[count - 1], live = COSTS[(65535 - p) >> 4], COSTS[p >> 4]
    if count == 1:
        return
    p = mix(maps, weights, signs, 1, inputs, stretch, squash)
    live += COSTS[(p if tries[0] < middle else 65535 - p) >> 4]
    last = abs(tries[0] - middle) - 1
    for place in range(min(last + 1, UNARY)):
        p = mix(maps, weights, seen, 2 + min(place, NODES - 3), inputs, stretch, squash)
        if place >= last + 2 - count:
            bits[last - place] = live + COSTS[(65535 - p) >> 4]
        live += COSTS[p >> 4]
    for k in range(count - 1):
        if last - k >= UNARY:
            bits[k] = live + 256 * (2 * digits(last - k - UNARY + 1) - 1)


@_kernel(
    "int64(int64, int64, int32[:, ::1], int64, int32[:, ::1], int32[:, ::1], uint8[:, :, ::1], int32[:, :, ::1], "
    "int32[::1], int32[:, ::1], int32[::1], int32[:, ::1], int32[::1], int32[::1], int64, int64[::1], int32[:, ::1], "
    "int32[:, ::1], int32[:, ::1], int64, int64, int64, int64, int64, int32[:, :, ::1], int32[:, ::1], int16[::1], int32[::1])"
)
def choose_row(
    y,
    start,
    models,
    base,
    values,
    sizes,
    others,
    signed_others,
    logs,
    enter,
    enter_bias,
    middle,
    middle_bias,
    leave,
    leave_bias,
    means,
    targets,
    effects,
    worths,
    lmbda,
    room,
    shrink,
    net,
    level,
    maps,
    weights,
    stretch,
    squash,
):
    """Write the latents of row y into values: of least squared error + lmbda * bits from the state `start` on; returns that.

    The arguments are those of `prior_kernels.code_grid`.
    """
    width = others.shape[2]
    weighed = effects.shape[1] == width
    mapped = np.int64(worths.shape[0] == others.shape[1] and worths.shape[1] == width)
    near, count = len(NEIGHBOURS), len(NEIGHBOURS) + others.shape[0]
    first_map = net * (maps.shape[0] // NETS)
    r = y + MARGIN
    features, signed = np.zeros(count, np.int32), np.zeros(MEAN_FEATURES, np.int64)
    common, hidden, second = np.empty(HIDDEN, np.int32), np.empty(HIDDEN, np.int32), np.empty(HIDDEN, np.int32)
    seen, signs = np.zeros(MAPS + 2, np.int64), np.zeros(MAPS + 2, np.int64)
    inputs = np.zeros(MIXED + 2, np.int32)
    inputs[MAPS] = 256
    tries, bits = np.zeros(TRIES, np.int64), np.zeros(TRIES, np.int64)
    # by state: the latents one and two before, the logarithms of what was left of them, the loss so far
    before, sized = np.zeros((STATES, 2), np.int64), np.zeros((STATES, 2), np.int32)
    next_before, next_sized = before.copy(), sized.copy()
    losses, next_losses = np.full(STATES, NEVER), np.full(STATES, NEVER)
    losses[start] = 0
    for i in range(2):  # zeros, but where a grid goes on beyond its edge
        before[start, i], sized[start, i] = values[r, MARGIN - 1 - i], sizes[r, MARGIN - 1 - i]
    came, chosen = np.zeros((width, STATES), np.int8), np.zeros((width, STATES), np.int32)
    scales, silent = np.zeros(STATES, np.int64), np.int64(-1)
    for x in range(width):
        c = x + MARGIN
        total, power, some = np.int64(0), np.int64(0), np.int32(0)
        for i in range(2, MEAN_FEATURES):
            if i < SIGNED:
                v = np.int64(values[r - NEIGHBOURS[i][0], c + NEIGHBOURS[i][1]])
            else:
                v = np.int64(signed_others[i - SIGNED, y, x])
            signed[i] = v
            total += (means[i] >> MEAN_LEARNT) * v
            power += v * v
        for i in range(2, near):
            features[i] = sizes[r - NEIGHBOURS[i][0], c + NEIGHBOURS[i][1]]
            some |= features[i]
        for i in range(count - near):
            features[near + i] = np.int32(others[i, y, x])
            some |= features[near + i]
        for j in range(HIDDEN):
            common[j] = enter_bias[j]
        for i in range(2, count):
            f = features[i]
            if f:
                for j in range(HIDDEN):
                    common[j] += enter[i, j] * f
        target = np.int64(targets[y, x])
        effect = np.int64(effects[y, x]) if weighed else np.int64(0)
        worth = np.int64(worths[mapped * y, mapped * x])
        for state in range(STATES):
            next_losses[state] = NEVER
        for state in range(STATES):
            if losses[state] >= NEVER:
                continue
            quantiser = np.int64(state & 1)
            f0, f1, v0, v1 = sized[state, 0], sized[state, 1], before[state, 0], before[state, 1]
            features[0], features[1], signed[0], signed[1] = f0, f1, v0, v1
            mean = total + (means[0] >> MEAN_LEARNT) * v0 + (means[1] >> MEAN_LEARNT) * v1
            mean = (mean + (1 << (MEAN_SHIFT - 1))) >> MEAN_SHIFT
            mean = min(max(mean, -16 * VALUE_TOP), 16 * VALUE_TOP)
            whole_mean = (mean + 8) >> 4
            mean = index_mean(mean, quantiser)
            centre = (mean + 8) >> 4
            phase = mean - 16 * centre
            # ---- the scale, as that of another state with the same neighbours, if there is one
            calm = some == 0 and f0 == 0 and f1 == 0
            scale = silent if calm else np.int64(-1)
            for other in range(state):
                if losses[other] < NEVER and sized[other, 0] == f0 and sized[other, 1] == f1:
                    scale = scales[other]
            if scale < 0:
                for j in range(HIDDEN):
                    hidden[j] = common[j] + enter[0, j] * f0 + enter[1, j] * f1
                scale = scale_above(hidden, middle, middle_bias, leave, leave_bias, second)
                if calm:
                    silent = scale
            scales[state] = scale
            quiet = np.int64(calm and power == 0 and v0 == 0 and v1 == 0)
            first = nearest(target, quantiser)
            towards = np.int64(first > centre) - np.int64(first < centre)
            missing = target - ((2 * first - quantiser * (np.int64(first > 0) - np.int64(first < 0))) << 8)
            most = np.int64(TRIES - 2)
            if abs(missing) > BEYOND and (towards == 0 or (missing > 0) == (towards > 0)):
                towards = np.int64(1) if missing > 0 else np.int64(-1)
                first += towards
                most += 1
            number = min(abs(first - centre), most) + 1
            for k in range(number - 1):
                tries[k] = first - k * towards
            tries[number - 1] = centre
            if not quiet or number > 1:
                see(seen, first_map, net, quantiser, level, scale, phase, mean, features, logs)
            if number > 1:
                see_signs(signs, seen, first_map, level, scale, phase, mean, signed)
            zero = base + ZERO + 4 * scale + quantiser
            price_tries(tries, bits, number, centre, models, maps, weights, seen, signs, inputs, stretch, squash, zero, quiet)
            bits[number - 1] = bits[number - 1] * room >> 8
            for k in range(number):
                index = tries[k]
                sign = np.int64(index > 0) - np.int64(index < 0)
                value = 2 * index - quantiser * sign
                error = target - (value << 8) + shrink * sign
                spent = (lmbda * (bits[k] + effect * abs(value))) >> 8
                loss = losses[state] + (error * error * worth >> WORTH_FRACTION) + spent
                after = NEXT_STATE[state][index & 1]
                if loss < next_losses[after]:
                    next_losses[after] = loss
                    came[x, after], chosen[x, after] = np.int8(state), np.int32(value)
                    next_before[after, 0], next_before[after, 1] = value, v0
                    next_sized[after, 0], next_sized[after, 1] = logs[min(abs(value - whole_mean), LOG_TOP)], f0
        for state in range(STATES):
            losses[state] = next_losses[state]
            for i in range(2):
                before[state, i], sized[state, i] = next_before[state, i], next_sized[state, i]
    best = np.int64(0)
    for state in range(STATES):
        if losses[state] < losses[best]:
            best = np.int64(state)
    loss = losses[best]
    for x in range(width - 1, -1, -1):
        values[r, x + MARGIN] = chosen[x, best]
        best = np.int64(came[x, best])
    return loss


@_kernel("void(int32[:, ::1], int64[:, ::1], float32[:, ::1])")
def missing(values, means, left):
    """How far each latent of a grid is from its mean, in 1/16 half step, in steps of its quantiser; only training uses this."""
    state = np.int64(0)
    for y in range(values.shape[0]):
        for x in range(values.shape[1]):
            second = state & 1
            index = index_of(np.int64(values[y, x]), second)
            left[y, x] = index - index_mean(means[y, x], second) / np.float32(16)
            state = np.int64(NEXT_STATE[state][index & 1])
