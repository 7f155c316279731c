"""Grids of the integer arithmetic: what a weight and an activation may be. No package is imported here."""

from __future__ import annotations

WEIGHT_MAX = 63  # of int8: pair sums of 2 * 63 * 255 stay below 2**15 on CPUs without VNNI
WIDE_WEIGHT_MAX = 4063  # 64 * 63 + 31: two int8 halves, 64 hi + lo
WEIGHT_FRAC = (3, 14)  # fractional bits a row of weights may have: |w| < 8, smallest step 2**-14
REACH_MAX = 8191  # sum of |w| over a row: with FEATURE_MAX, every sum stays below 2**24 and is exact in float32
ACT_FRAC = 8  # activations are multiples of 2**-8 ...
ACT_MAX = (1 << 14) - 1  # ... in [-64, 64): 15 bits, so that high and low halves are int8 each
FEATURE_FRAC = 6  # what a context step sees is coarser, multiples of 2**-6 ...
FEATURE_MAX = (1 << 11) - 1  # ... in [-32, 32): 12 bits
ACT_LIMIT = ACT_MAX / (1 << ACT_FRAC)
LEAK_SHIFT = 3  # leaky ReLU slope 1/8: a shift
