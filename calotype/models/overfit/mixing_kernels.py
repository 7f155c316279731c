"""What a prior that mixes knows of a bit: a probability in each of several contexts, mixed by sets of weights, all learnt.

    neighbours, other grids, scale, mean; of inter frames T, D, B, M -> a context a map -> probabilities -> stretched \
    scale; level and calm; of inter frames T and B -> two or three sets of weights         > sums -> squashed -> probability

Source: Mahoney, "Adaptive weighing of context models for lossless data compression" (2005). Different: probabilities and
weights are shipped, and the mixers' sums are averaged before they are squashed.

Bounds: 9 inputs <= 2815 at most and one of 256, times weights <= 2^16, stay below 2^31, and so does an input times an error
<= 6 * 2^12; stretched probabilities p + ((goal - p) rate >> 16), of rates < 2^16, stay between p and goal.
"""

from __future__ import annotations

import numpy as np

from calotype.entropy.jit import kernel
from calotype.models.overfit.sizes import LEVELS, MAPS, NEIGHBOURS, NETS, NODES, OTHERS, SIGNED, TEMPORAL_MAPS

# contexts of a net: where each map's begin, then how many they are of pictures; then the same of what inter frames have besides
STARTS = (0, 192, 384, 672, 915, 1155, 1475, 2525, 2885, 3137)
SECOND = (STARTS[MAPS], STARTS[MAPS] + 192)  # of maps 0 and 4 where the quantiser is the second, of pictures with a trellis
TRELLIS_CONTEXTS = SECOND[1] + 240
CALM = LEVELS * 16 * 8 * 3 * 2  # contexts of a net, of latents among zeros in inter frames
SCALE_SETS = 16  # of weights of a net's first mixer
SETS = SCALE_SETS + 20
PAST_SETS = 24  # of weights of a net's third mixer, behind those of all nets, in inter frames
STRETCHED = 2815
WEIGHT_FRACTION = 15
WEIGHT_TOP = 1 << 16
RATE_SHIFT = 4
PROBABILITY = 22
NEAR = len(NEIGHBOURS)
PAST = NEAR + 2 * OTHERS  # features from here on are of a temporal prior: centre and ring of T, D and B, then M, K


@kernel("int64(int64)", inline=True)
def size_of(log):
    """0, 1, 2, 3 for a magnitude of 0, 1, up to 4, more, by its logarithm."""
    return np.int64(log > 0) + np.int64(log > 16) + np.int64(log > 37)


@kernel("int64(int64)", inline=True)
def sign_of(v):
    """0, 1, 2 for 0, above, below."""
    return np.int64(v != 0) + np.int64(v < 0)


@kernel("void(int64[::1], int64, int64, int64, int64, int64, int64, int64, int32[::1], int32[::1])", inline=True)
def see(seen, base, net, second, level, scale, phase, mean, f, logs):
    """Where a latent's bits but its sign are in the maps, of its net from `base` on, then in the weights: (maps + 2,). f:
    logarithms of magnitudes, as its net sees them; second: whether the quantiser is the second, of a trellis."""
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
    maps = TEMPORAL_MAPS if len(seen) > MAPS + 2 else MAPS
    sets = (net + second * NETS) * SETS
    seen[maps] = NODES * (sets + scale // 3)
    seen[maps + 1] = NODES * (sets + SCALE_SETS + 4 * (level - 1) + min(left + up, 3))


@kernel("void(int64[::1], int64, int64, int64, int32[::1])", inline=True)
def see_past(seen, base, net, level, f):
    """What `see` leaves out of a temporal prior."""
    centre, ring = np.int64(f[PAST]), np.int64(f[PAST + 1])
    doubt, doubts = np.int64(f[PAST + 2]), np.int64(f[PAST + 3])
    around = np.int64(f[0]) + f[2]
    for i in range(NEAR):
        around += f[i]
    seen[6] = base + STARTS[6] + min(doubt >> 4, 4) + 5 * min(doubts >> 4, 6) + 35 * min(centre >> 4, 5) + 210 * (level - 1)
    seen[7] = base + STARTS[7] + min(around >> 5, 9) + 10 * min(np.int64(f[PAST + 5]) >> 4, 5) + 60 * min(ring >> 4, 5)
    seen[8] = base + STARTS[8] + min((np.int64(f[PAST + 6]) + 15) >> 4, 6) + 7 * min(centre >> 4, 5) + 42 * min(ring >> 4, 5)
    third = PAST_SETS * net + min(ring >> 4, 5) + 6 * min(np.int64(f[PAST + 5]) >> 4, 3)
    seen[TEMPORAL_MAPS + 2] = NODES * (NETS * SETS + third)


@kernel("int64(int64, int32[::1], int64)", inline=True)
def calm(level, f, fine):
    """The context, of its net, of whether a latent among zeros is one. fine: T in finer steps."""
    seen = 16 * (level - 1) + min(fine >> 3, 15)
    seen = 8 * seen + min(np.int64(f[PAST + 1]) >> 4, 7)
    seen = 3 * seen + min(size_of(f[PAST + 2]) + size_of(f[PAST + 3]), 2)
    return 2 * seen + np.int64(f[PAST + 6] > 0)


@kernel("void(int64[::1], int64[::1], int64, int64, int64, int64, int64, int64[::1])", inline=True)
def see_signs(signs, seen, base, level, scale, phase, mean, v):
    """The same of its sign. v: (MEAN_FEATURES,), of which its mean is made."""
    signs[0] = base + STARTS[0] + 16 * (scale >> 2) + phase + 8
    signs[1] = base + STARTS[1] + sign_of(v[0]) + 3 * sign_of(v[2]) + 9 * sign_of(v[4]) + 27 * sign_of(v[5])
    signs[2] = base + STARTS[2] + 27 * (level - 1)
    signs[2] += sign_of(v[SIGNED]) + 3 * sign_of(v[SIGNED + 1]) + 9 * sign_of(v[SIGNED + 2])
    signs[3] = base + STARTS[3] + sign_of(v[0]) + 3 * sign_of(v[1]) + 9 * sign_of(v[2]) + 27 * sign_of(v[3])
    signs[4] = base + STARTS[4] + 16 * (level - 1) + phase + 8
    signs[5] = base + STARTS[5] + min(max((mean >> 2) + 20, 0), 39)
    maps = TEMPORAL_MAPS if len(seen) > MAPS + 2 else MAPS
    for i in range(maps, len(seen)):
        signs[i] = seen[i]


@kernel("void(int64[::1], int64, int64, int32[::1], int64, int64)", inline=True)
def see_past_signs(signs, base, level, f, fine, told):
    """What `see_signs` leaves out. told: signs of T and 3 times of D, as of `sign_of`."""
    centre, ring = np.int64(f[PAST]), np.int64(f[PAST + 1])
    of = told % 3
    doubt = told // 3 + 3 * min(np.int64(f[PAST + 2]) >> 4, 3)
    signs[6] = base + STARTS[6] + doubt + 12 * of + 36 * min(centre >> 4, 4) + 180 * (level - 1)
    signs[7] = base + STARTS[7] + of + 3 * min(fine >> 3, 11) + 36 * min(ring >> 4, 9)
    signs[8] = base + STARTS[8] + of + 3 * min(fine >> 3, 15) + 48 * (level - 1)


@kernel("int64(int32[:, :, ::1], int32[:, ::1], int64[::1], int64, int32[::1], int16[::1], int32[::1])", inline=True)
def mix(maps, weights, seen, node, inputs, stretch, squash):
    """The probability of a 1 in 2^-16, 1..65535. seen: where the bit is in the maps, then in the sets of weights. inputs: as
    long as weights and sets are; filled with what the maps say, stretched; behind a constant and zeros with the sums."""
    mixed = weights.shape[1]
    sets = len(inputs) - mixed
    count = len(seen) - sets
    for i in range(count):
        inputs[i] = stretch[maps[seen[i], node, 0] >> 6]
    total = np.int64(0)
    for k in range(sets):
        at, part = seen[count + k] + node, np.int32(0)
        for i in range(mixed):
            part = np.int32(part + inputs[i] * weights[at, i])
        part = min(max(part >> WEIGHT_FRACTION, -STRETCHED), STRETCHED)
        inputs[mixed + k] = part
        total += part
    return np.int64(squash[total // sets + STRETCHED + 1])


@kernel(
    "void(int32[:, :, ::1], int32[:, ::1], int64[::1], int64, int32[::1], int32[::1], int32[::1], int64, int64)", inline=True
)
def learn(maps, weights, seen, node, inputs, squash, rates, rate, bit):
    """Learn the bit of which `mix` filled inputs. rates: of a probability, by how many bits it is worth; rate: of mixers."""
    mixed = weights.shape[1]
    sets = len(inputs) - mixed
    count = len(seen) - sets
    for k in range(sets):
        at = seen[count + k] + node
        error = np.int32((((bit << 16) - squash[inputs[mixed + k] + STRETCHED + 1]) * rate) >> RATE_SHIFT)
        for i in range(mixed):
            weight = np.int32(weights[at, i] + (np.int32(inputs[i] * error + (1 << 14)) >> 15))
            weights[at, i] = min(max(weight, np.int32(-WEIGHT_TOP)), np.int32(WEIGHT_TOP))
    goal = (bit << PROBABILITY) - bit
    for i in range(count):
        p, n = np.int64(maps[seen[i], node, 0]), maps[seen[i], node, 1]
        maps[seen[i], node, 0] = np.int32(p + (((goal - p) * rates[n]) >> 16))
        maps[seen[i], node, 1] = min(n + 1, len(rates) - 1)
