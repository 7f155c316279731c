"""The compiled loop of pixels.py: one row of samples through predictors, mixer and coder. All is int64 or int32 arithmetic.

    neighbours, planes before -> least squares -> bias by context -> distributions \
    local errors, texture     -> contexts      -> adaptive probabilities            > mixer -> binary coder

Sources: Wu & Memon, "Context-based, adaptive, lossless image coding" (1997), for the bias by context; Mahoney, "Adaptive
weighing of context models" (2005), for the mixer. Different: the least squares fade over a window in two directions and are
solved by one Gauss-Seidel pass a sample; the mixer also sees logistic distributions about several predictions.

Bounds: covariances stay below 2^31, for products of features have 16 bits, shares 7, and the window adds up to 64; a sum of
TAPS products with weights below 2^18 is below 2^55.
"""

from __future__ import annotations

import numpy as np

from calotype.entropy.binary import code_bit
from calotype.entropy.jit import kernel

PAD = 4  # columns beside each row of samples
TAPS = 20  # most features of the least-squares predictor; the covariance's rows are STRIDE long
STRIDE = 24
EXPERTS = 4  # predictors with a distribution each
MAPS = 6  # adaptive probabilities looked up for each bit
INPUTS = 16  # of the mixer: EXPERTS, MAPS, a constant, the rest 0
NODES = 48  # places of a bit in the code of a sample
CONTEXTS = 640  # most contexts of a map, NODES on both sides of the prediction each
SELECT = 24
BIASES = 1024
LIMIT = 255
W_FRAC = 16
AHEAD = 7
FADE = 3
FADE_UP = 3
RIDGE = 1 << 10
SHARE = 1 << 13  # a sample weighs in the least squares by SHARE over its local error, at most SHARE / 64
MIX_RATE = 15


@kernel("int64(int64)", inline=True)
def level(v):
    """4 log2(v + 4) - 8, in steps: 0 for 0, then about four an octave."""
    v += 4
    n = np.int64(0)
    while v >> (n + 3):
        n += 1
    return 4 * n + (v >> n) - 4


@kernel("int64(int64)", inline=True)
def signed_level(v):
    """-3..3 by magnitude 0, 1-2, 3-7, 8 and more, as 0..6."""
    a = abs(v)
    q = np.int64(0) if a == 0 else np.int64(1) if a < 3 else np.int64(2) if a < 8 else np.int64(3)
    return 3 + q if v > 0 else 3 - q


@kernel(
    "int64(int64[::1], uint8[::1], int64, int64, int32[::1], int64[::1], int64, int32[:, ::1], int32[:, ::1], int64, int64, "
    "int32[::1], int32[::1], int32[::1])",
    inline=True,
)
def decide(coder, buffer, decoding, bit, inputs, bases, node, counters, mixers, first, second, squash, stretch, rates):
    """Code one bit of which inputs[:EXPERTS] are set: look up, mix, code, learn."""
    for i in range(MAPS):
        inputs[EXPERTS + i] = stretch[counters[bases[i] + node, 0] >> 10]
    a, b = np.int64(0), np.int64(0)
    for i in range(INPUTS):
        a += np.int64(inputs[i]) * np.int64(mixers[first, i])
        b += np.int64(inputs[i]) * np.int64(mixers[second, i])
    a = min(max(a >> 16, -2815), 2815)
    b = min(max(b >> 16, -2815), 2815)
    p = np.int64(squash[((a + b) >> 1) + 2816])
    bit = code_bit(coder, buffer, p, bit, decoding)
    want = bit << 16
    ea = (want - np.int64(squash[a + 2816])) * MIX_RATE
    eb = (want - np.int64(squash[b + 2816])) * MIX_RATE
    for i in range(INPUTS):
        mixers[first, i] += np.int32((inputs[i] * ea + (1 << 19)) >> 20)
        mixers[second, i] += np.int32((inputs[i] * eb + (1 << 19)) >> 20)
    goal = (bit << 22) - bit
    for i in range(MAPS):
        at = bases[i] + node
        n = counters[at, 1]
        counters[at, 0] += np.int32(((goal - counters[at, 0]) * np.int64(rates[n])) >> 16)
        if n < LIMIT:
            counters[at, 1] = n + 1
    return bit



@kernel(
    "void(int32[:, ::1], int64, int64, int64[::1], uint8[::1], int64, int32[:, :, ::1], int32[:, :, :, ::1], int32[:, :, ::1], "
    "int64[:, ::1], int32[:, :, :, ::1], int32[:, :, ::1], int32[:, ::1], int32[:, ::1], int32[:, :, ::1], "
    "int32[::1], int32[::1], int32[::1], int32[::1], int32[::1])"
)
def code_row(
    samples, y, depth, coder, buffer, decoding, lines, covs, runs, weights, errors, residuals, counters, mixers, biases,
    softplus, hazard, squash, stretch, rates
):
    """Code the row y of samples, int32 (W, C): written where decoding, read otherwise."""
    width, planes = samples.shape
    top = (np.int64(1) << depth) - 1
    down = max(depth - 8, 0)
    f = np.zeros(STRIDE, np.int64)
    g = np.zeros(STRIDE, np.int32)
    mu = np.zeros(EXPERTS, np.int64)
    inv = np.zeros(EXPERTS, np.int64)
    here = np.zeros(EXPERTS, np.int64)
    then = np.zeros(EXPERTS, np.int64)
    inputs = np.zeros(INPUTS, np.int32)
    inputs[EXPERTS + MAPS] = 256
    bases = np.zeros(MAPS, np.int64)
    r0, r1, r2 = y % 3, (y + 2) % 3, (y + 1) % 3
    e0, e1 = y & 1, (y + 1) & 1
    base = np.zeros(3, np.int64)
    for p in range(planes):
        for k in range(PAD):
            lines[p, r0, k] = lines[p, r1, PAD]
            residuals[p, e0, k] = residuals[p, e1, PAD]
            for i in range(EXPERTS):
                errors[p, i, e0, k] = errors[p, i, e1, PAD]
        if y:
            for i in range(TAPS):
                for j in range(STRIDE):
                    runs[p, i, j] = covs[p, 0, i, j]
    for x in range(width):
        c = x + PAD
        for p in range(planes):
            cur, up, upp = lines[p, r0], lines[p, r1], lines[p, r2]
            w, n, nw, ne, ww, nn = (
                np.int64(cur[c - 1]), np.int64(up[c]), np.int64(up[c - 1]),
                np.int64(up[c + 1]), np.int64(cur[c - 2]), np.int64(upp[c]),
            )
            b = (w + n) >> 1
            base[p] = b
            # ---- features: the neighbours and the planes before, less their bases
            f[0] = w - n
            f[1] = nw - b
            f[2] = ne - b
            f[3] = ww - b
            f[4] = nn - b
            f[5] = up[c + 2] - b
            f[6] = up[c - 2] - b
            f[7] = upp[c + 1] - b
            taps = 8
            if p == 0:
                f[8] = upp[c - 1] - b
                f[9] = cur[c - 3] - b
                f[10] = up[c + 3] - b
                f[11] = upp[c + 2] - b
                f[12] = upp[c - 2] - b
                taps = 13
            for q in range(p):
                oc, ou = lines[q, r0], lines[q, r1]
                d = base[q]
                f[taps] = oc[c] - d
                f[taps + 1] = oc[c - 1] - ou[c]
                f[taps + 2] = ou[c - 1] - d
                f[taps + 3] = ou[c + 1] - d
                f[taps + 4] = oc[c - 2] - d
                f[taps + 5] = lines[q, r2, c] - d
                taps += 6
            # ---- least squares over a window that fades to the left and upwards
            run, cov, wt = runs[p], covs[p], weights[p]
            ahead = min(x + AHEAD, width - 1)
            above = cov[ahead]
            if y:
                for i in range(taps):
                    for j in range(STRIDE):
                        run[i, j] += (above[i, j] >> FADE) - (above[i, j] >> (FADE + FADE_UP)) - (run[i, j] >> FADE)
            else:
                for i in range(taps):
                    for j in range(STRIDE):
                        run[i, j] -= run[i, j] >> (FADE + 3)
            guess = np.int64(0)
            for i in range(taps):
                s = np.int64(run[i, STRIDE - 1]) << W_FRAC
                for j in range(TAPS):
                    s -= np.int64(run[i, j]) * wt[j]
                v = wt[i] + s // (np.int64(run[i, i]) + RIDGE)
                wt[i] = min(max(v, -(4 << W_FRAC)), 4 << W_FRAC)
            for i in range(taps):
                guess += wt[i] * f[i]
            ls = min(max((b << 6) + (guess >> (W_FRAC - 6)), 0), top << 6)
            # ---- a simple one
            if p == 0:
                simple = min(max(w + n - nw, min(w, n)), max(w, n))
            elif p == 1:
                simple = b + lines[0, r0, c] - base[0]
            else:
                simple = b + ((lines[0, r0, c] - base[0] + lines[1, r0, c] - base[1]) >> 1)
            simple = min(max(simple, 0), top) << 6
            # ---- local errors
            for i in range(EXPERTS):
                e, eu = errors[p, i, e0], errors[p, i, e1]
                here[i] = (2 * (np.int64(e[c - 1]) + eu[c]) + eu[c + 1] + eu[c - 1] + e[c - 2] + eu[c + 2]) >> 3
            energy = here[0] >> down
            eq = level(energy >> 2)
            # ---- bias by context
            round_ls = (ls + 32) >> 6
            texture = (
                np.int64(w > round_ls) + 2 * np.int64(n > round_ls) + 4 * np.int64(nw > round_ls) + 8 * np.int64(ne > round_ls)
                + 16 * np.int64(ww > round_ls) + 32 * np.int64(nn > round_ls)
            )
            c0 = texture * 8 + min(eq >> 2, 7)
            rw, rn = np.int64(residuals[p, e0, c - 1]) >> down, np.int64(residuals[p, e1, c]) >> down
            rx = np.int64(0)
            if p:
                rx = np.int64(residuals[p - 1, e0, c]) >> down
            c1 = 512 + (signed_level(rw) * 7 + signed_level(rn)) * 7 + signed_level(rx)
            bias = (np.int64(biases[p, c0, 0]) + biases[p, c1, 0]) >> 7
            mu[0] = ls
            mu[1] = min(max(ls + bias, 0), top << 6)
            mu[2] = simple
            mu[3] = (3 * mu[1] + min(max(w + ne - n if p == 0 else n + w - nw, 0), top) * 64) >> 2
            for i in range(EXPERTS):
                inv[i] = (65536 * 355) // (here[i] + 8)
            pred = (mu[1] + 32) >> 6
            # ---- contexts
            other = np.int64(0)
            if p:
                other = 1 + signed_level(rx) + 7 * min(eq >> 2, 7)
                if p == 2:
                    other += 64 * (1 + signed_level(np.int64(residuals[0, e0, c]) >> down))
            rne, rnw = np.int64(residuals[p, e1, c + 1]) >> down, np.int64(residuals[p, e1, c - 1]) >> down
            bases[0] = eq
            bases[1] = (signed_level(rw) * 7 + signed_level(rn)) * 7 + signed_level(rne)
            bases[2] = other if p else signed_level(rw) + 7 * signed_level(rnw) + 49 * min(eq >> 2, 7)
            bases[3] = texture + 64 * min(eq >> 2, 7)
            bases[4] = ((mu[1] >> 3) & 7) + 8 * min(eq, 39)
            bases[5] = (pred >> (depth - 6)) + 64 * min(eq >> 2, 7)
            for i in range(MAPS):
                bases[i] = ((p * MAPS + i) * CONTEXTS + bases[i]) * 2 * NODES
            # ---- the sample's bits
            k = np.int64(0)
            while (here[1] * 3 >> 8) >> k > 1:
                k += 1
            first = (p * SELECT + min(eq, SELECT - 1)) * NODES
            second = ((3 + p) * SELECT + min(abs(rw) + abs(rn) + abs(rx) >> 1, SELECT - 1)) * NODES
            value = np.int64(0)
            if not decoding:
                value = np.int64(samples[x, p])
            edge = (pred << 6) - 32
            for i in range(EXPERTS):
                inputs[i] = min(max(((mu[i] - edge) * inv[i]) >> 16, -2047), 2047)
            if pred > 0:
                side = decide(
                    coder, buffer, decoding, np.int64(value >= pred), inputs, bases, 0, counters, mixers, first, second, squash,
                    stretch, rates,
                )
            else:
                side = np.int64(1)
            if side:
                room, sign, start = top - pred, np.int64(1), pred
                magnitude = value - pred
            else:
                room, sign, start = pred - 1, np.int64(-1), pred - 1
                magnitude = pred - 1 - value
                for i in range(MAPS):
                    bases[i] += NODES
            # unary steps of growing width
            low = np.int64(0)
            step = np.int64(0)
            bits = k
            for i in range(EXPERTS):
                u = ((edge - mu[i]) * sign * inv[i]) >> 16
                here[i] = softplus[min(max(u, -2048), 5119) + 2048]
            while low + (np.int64(1) << bits) <= room:
                next_edge = edge + sign * ((low + (np.int64(1) << bits)) << 6)
                for i in range(EXPERTS):
                    u = ((next_edge - mu[i]) * sign * inv[i]) >> 16
                    sp = np.int64(softplus[min(max(u, -2048), 5119) + 2048]) if u < 5120 else u * 8
                    inputs[i] = hazard[min(sp - here[i], 8191)]
                    then[i] = sp
                if not decide(coder, buffer, decoding, np.int64(magnitude >= low + (np.int64(1) << bits)), inputs, bases,
                              1 + min(step, 20), counters, mixers, first + 1 + min(step, 20), second + 1 + min(step, 20),
                              squash, stretch, rates):
                    break
                for i in range(EXPERTS):
                    here[i] = then[i]
                low += np.int64(1) << bits
                step += 1
                if step >= 6:
                    bits += 1
            # the bits below
            while bits > 0:
                bits -= 1
                half = np.int64(1) << bits
                if low + half > room:
                    continue
                for i in range(EXPERTS):
                    u = ((edge + sign * ((low + half) << 6) - mu[i]) * sign * inv[i]) >> 16
                    sp = np.int64(softplus[min(max(u, -2048), 5119) + 2048]) if u < 5120 else u * 8
                    u = ((edge + sign * ((low + 2 * half) << 6) - mu[i]) * sign * inv[i]) >> 16
                    sq = np.int64(softplus[min(max(u, -2048), 5119) + 2048]) if u < 5120 else u * 8
                    d, h = sp - here[i], sq - sp
                    inputs[i] = min(max(hazard[min(d, 8191)] - hazard[min(h, 8191)] - (h >> 3), -2047), 2047)
                    then[i] = sp
                node = 22 + min(bits, 7) + 8 * min(step, 2)
                if decide(coder, buffer, decoding, np.int64(magnitude >= low + half), inputs, bases, node, counters, mixers,
                          first + node, second + node, squash, stretch, rates):
                    low += half
                    for i in range(EXPERTS):
                        here[i] = then[i]
            value = start + sign * low
            if decoding:
                samples[x, p] = value
            # ---- learn
            cur[c] = value
            residuals[p, e0, c] = value - pred
            for i in range(EXPERTS):
                errors[p, i, e0, c] = abs((value << 6) - mu[i])
            miss = (value << 6) - ls
            for ctx in (c0, c1):
                n_ = biases[p, ctx, 1]
                biases[p, ctx, 0] += np.int32((((miss << 6) - biases[p, ctx, 0]) * np.int64(rates[n_])) >> 16)
                if n_ < 127:
                    biases[p, ctx, 1] = n_ + 1
            for i in range(taps):
                g[i] = f[i] >> down
            for i in range(taps, TAPS):
                g[i] = 0
            g[STRIDE - 1] = (value - b) >> down
            share = SHARE // (energy + 64)
            for i in range(taps):
                gi = np.int32(g[i] * share)
                for j in range(STRIDE):
                    run[i, j] += gi * g[j]
            for i in range(taps):
                for j in range(STRIDE):
                    cov[x, i, j] = run[i, j]
    for p in range(planes):
        last = PAD + width - 1
        for k in range(1, PAD + 1):
            lines[p, r0, last + k] = lines[p, r0, last]
            residuals[p, e0, last + k] = residuals[p, e0, last]
            for i in range(EXPERTS):
                errors[p, i, e0, last + k] = errors[p, i, e0, last]

