"""What a prior that mixes knows of a bit: a probability in each of MAPS contexts, mixed by two sets of weights, all learnt.

    neighbours, other grids, scale, mean -> a context a map -> probabilities -> stretched \
    scale, level, calm                   -> two sets of weights                            > sums -> squashed -> probability

Source: Mahoney, "Adaptive weighing of context models for lossless data compression" (2005). Different: probabilities and
weights are shipped, and two mixers' sums are averaged before they are squashed.

Bounds: MIXED inputs <= 2815 times weights <= 2^16 stay below 2^31, and so does an input times an error <= 6 * 2^12; stretched
probabilities p + ((goal - p) rate >> 16), of rates < 2^16, stay between p and goal.
"""

from __future__ import annotations

import numpy as np

from calotype.entropy.jit import kernel
from calotype.models.overfit.sizes import MAPS, MIXED, NEIGHBOURS, NETS, NODES, SIGNED

# contexts of a net: where each map's begin, then how many they are
STARTS = (0, 192, 384, 672, 915, 1155, 1475)
SECOND = (STARTS[MAPS], STARTS[MAPS] + 192)  # of maps 0 and 4 where the quantiser is the second
TRELLIS_CONTEXTS = SECOND[1] + 240
SCALE_SETS = 16  # of weights of a net's first mixer
SETS = SCALE_SETS + 20
STRETCHED = 2815
WEIGHT_FRACTION = 15
WEIGHT_TOP = 1 << 16
RATE, RATE_SHIFT = 6, 4
PROBABILITY, LIMIT = 22, 255
NEAR = len(NEIGHBOURS)


@kernel("int64(int64)", inline=True)
def size_of(log):
    """0, 1, 2, 3 for a magnitude of 0, 1, up to 4, more, by its logarithm."""
    return np.int64(log > 0) + np.int64(log > 16) + np.int64(log > 37)


@kernel("int64(int64)", inline=True)
def sign_of(v):
    """0, 1, 2 for 0, above, below."""
    return np.int64(v != 0) + np.int64(v < 0)


@kernel("void(int64[::1], int64, int64, int64, int64, int64, int64, int64, int32[::1], int32[::1])", inline=True)
def see(seen, net, contexts, second, level, scale, phase, mean, f, logs):
    """Where a latent's bits but its sign are in the maps, then in the weights, (MAPS + 2,). f: logarithms of magnitudes, as its
    net sees them; contexts: of a net; second: whether the quantiser is the second."""
    base = net * contexts
    left, up = size_of(f[0]), size_of(f[2])
    beside = min(size_of(f[4]) + size_of(f[5]), 3)
    beyond = min(size_of(f[1]) + size_of(f[3]), 2)
    seen[0] = base + (SECOND[0] if second else STARTS[0]) + 4 * scale + (abs(2 * phase + 1) >> 2)
    seen[1] = base + STARTS[1] + left + 4 * up + 16 * beside + 64 * beyond
    seen[2] = base + STARTS[2] + size_of(f[NEAR]) + 4 * min(np.int64(f[NEAR + 1]) >> 4, 5) + 24 * (scale >> 2)
    place, rings = np.int64(1), np.int64(0)
    seen[3] = base + STARTS[3]
    for i in range(NEAR + 2, NEAR + 10, 2):
        seen[3] += place * min(size_of(f[i]), 2)
        rings += f[i + 1]
        place *= 3
    seen[3] += place * min(rings >> 6, 2)
    seen[4] = base + (SECOND[1] if second else STARTS[4]) + 48 * (level - 1) + scale
    around = np.int64(f[0]) + f[2]
    for i in range(NEAR):
        around += f[i]
    seen[5] = base + STARTS[5] + min(around >> 4, 39) + 40 * min(np.int64(logs[min(abs(mean), 4095)]) >> 4, 7)
    sets = (net + second * NETS) * SETS
    seen[MAPS] = NODES * (sets + scale // 3)
    seen[MAPS + 1] = NODES * (sets + SCALE_SETS + 4 * (level - 1) + min(left + up, 3))


@kernel("void(int64[::1], int64[::1], int64, int64, int64, int64, int64, int64, int64[::1])", inline=True)
def see_signs(signs, seen, net, contexts, level, scale, phase, mean, v):
    """The same of its sign. v: (MEAN_FEATURES,), of which its mean is made."""
    base = net * contexts
    signs[0] = base + STARTS[0] + 16 * (scale >> 2) + phase + 8
    signs[1] = base + STARTS[1] + sign_of(v[0]) + 3 * sign_of(v[2]) + 9 * sign_of(v[4]) + 27 * sign_of(v[5])
    signs[2] = base + STARTS[2] + 27 * (level - 1)
    signs[2] += sign_of(v[SIGNED]) + 3 * sign_of(v[SIGNED + 1]) + 9 * sign_of(v[SIGNED + 2])
    signs[3] = base + STARTS[3] + sign_of(v[0]) + 3 * sign_of(v[1]) + 9 * sign_of(v[2]) + 27 * sign_of(v[3])
    signs[4] = base + STARTS[4] + 16 * (level - 1) + phase + 8
    signs[5] = base + STARTS[5] + min(max((mean >> 2) + 20, 0), 39)
    signs[MAPS], signs[MAPS + 1] = seen[MAPS], seen[MAPS + 1]


@kernel("int64(int32[:, :, ::1], int32[:, ::1], int64[::1], int64, int32[::1], int16[::1], int32[::1])", inline=True)
def mix(maps, weights, seen, node, inputs, stretch, squash):
    """The probability of a 1 in 2^-16, 1..65535; fills inputs, (MIXED + 2,): stretched, a constant, zero, then both sums."""
    a, b = seen[MAPS] + node, seen[MAPS + 1] + node
    for i in range(MAPS):
        inputs[i] = stretch[maps[seen[i], node, 0] >> 6]
    first, second = np.int32(0), np.int32(0)
    for i in range(MIXED):
        first = np.int32(first + inputs[i] * weights[a, i])
        second = np.int32(second + inputs[i] * weights[b, i])
    first = min(max(first >> WEIGHT_FRACTION, -STRETCHED), STRETCHED)
    second = min(max(second >> WEIGHT_FRACTION, -STRETCHED), STRETCHED)
    inputs[MIXED], inputs[MIXED + 1] = first, second
    return np.int64(squash[((first + second) >> 1) + STRETCHED + 1])


@kernel("void(int32[:, :, ::1], int32[:, ::1], int64[::1], int64, int32[::1], int32[::1], int32[::1], int64)", inline=True)
def learn(maps, weights, seen, node, inputs, squash, rates, bit):
    """Learn the bit of which `mix` filled inputs."""
    for k in range(2):
        at = seen[MAPS + k] + node
        error = np.int32((((bit << 16) - squash[inputs[MIXED + k] + STRETCHED + 1]) * RATE) >> RATE_SHIFT)
        for i in range(MIXED):
            weight = np.int32(weights[at, i] + (np.int32(inputs[i] * error + (1 << 14)) >> 15))
            weights[at, i] = min(max(weight, np.int32(-WEIGHT_TOP)), np.int32(WEIGHT_TOP))
    goal = (bit << PROBABILITY) - bit
    for i in range(MAPS):
        p, n = np.int64(maps[seen[i], node, 0]), maps[seen[i], node, 1]
        maps[seen[i], node, 0] = np.int32(p + (((goal - p) * rates[n]) >> 16))
        maps[seen[i], node, 1] = min(n + 1, LIMIT)
