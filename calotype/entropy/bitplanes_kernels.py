"""The compiled loop of bitplanes.py: a network's logit, corrected by what the bits before it in the plane were.

    logit, six adaptive probabilities by its level and by the surprises around --mixer of pixels_kernels.py--> binary coder

A surprise is how far a bit lay from what the network expected, in five steps: 2 where it was expected.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from zlib import crc32

import numpy as np

from calotype.entropy import jit, pixels_kernels
from calotype.entropy.pixels_kernels import CONTEXTS, EXPERTS, INPUTS, MAPS, decide

# numba's cache does not see that pixels_kernels.py, of which this is made, has changed
_kernel = partial(jit.kernel, tag=f"{crc32(Path(pixels_kernels.__file__).read_bytes()):08x}")

LEVELS = 32  # of a logit
SELECT = 32
MILD, STRONG = 4096, 24576  # errors of a probability, in 1/65536, from which on a bit is a surprise
EXPECTED, SURPRISES = 2, 5
PAD = 2  # columns beside each row of surprises


@_kernel(
    "void(uint8[:, ::1], int32[:, ::1], int64, int64[::1], uint8[::1], int64, int64[:, ::1], int32[:, ::1], int32[:, ::1], "
    "int32[::1], int32[::1], int32[::1])"
)
def code_rows(bits, logits, plane, coder, buffer, decoding, rows, counters, mixers, squash, stretch, rates):
    """Code bits (h, w): written where decoding, read otherwise. plane: its number; rows: surprises of the row above, and of
    this one."""
    height, width = bits.shape
    above, here = rows[0], rows[1]
    inputs = np.zeros(INPUTS, np.int32)
    inputs[EXPERTS + MAPS] = 256
    bases = np.zeros(MAPS, np.int64)
    for y in range(height):
        for x in range(width):
            c = x + PAD
            logit = np.int64(logits[y, x])
            inputs[0] = logit
            level = (logit + 2048) >> 7
            w, n = here[c - 1], above[c]
            bases[0] = level
            bases[1] = level * SURPRISES + w
            bases[2] = level * SURPRISES + n
            bases[3] = (w * SURPRISES + n) * SURPRISES + above[c - 1]
            bases[4] = ((level >> 2) * SURPRISES + w) * SURPRISES + n
            bases[5] = ((w * SURPRISES + n) * SURPRISES + above[c + 1]) * SURPRISES + here[c - 2]
            for i in range(MAPS):
                bases[i] += (plane * MAPS + i) * CONTEXTS
            first = 2 * plane * SELECT + level
            second = (2 * plane + 1) * SELECT + w * SURPRISES + n
            bit = decide(
                coder, buffer, decoding, np.int64(bits[y, x]), inputs, bases, 0, counters, mixers, first, second, squash,
                stretch, rates,
            )  # fmt: skip
            bits[y, x] = np.uint8(bit)
            error = (bit << 16) - np.int64(squash[logit + 2816])
            size = np.int64(abs(error) >= MILD) + np.int64(abs(error) >= STRONG)
            here[c] = EXPECTED + size if error > 0 else EXPECTED - size
        for x in range(PAD, PAD + width):
            above[x] = here[x]
