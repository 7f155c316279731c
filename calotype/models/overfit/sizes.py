"""Sizes of an overfitted picture's decoder. No numpy."""

from __future__ import annotations

LEVELS = 5
PAD = 1 << LEVELS
PLANES = 3
REST = 3  # the orientation of what is left at the coarsest level
MARGIN = 2  # zeros around a grid, so that causal neighbours need no check

# the causal neighbours of a latent, (rows up, columns right)
NEIGHBOURS = ((0, -1), (0, -2), (1, 0), (2, 0), (1, -1), (1, 1), (1, -2), (1, 2))
SIGNED = 6  # so many of them tell the mean, too
OTHERS = 5  # grids that are known whole: the level above, two orientations, two planes
FEATURES = len(NEIGHBOURS) + 2 * OTHERS
TEMPORAL = (3, 4)  # grids more that an inter frame's priors may see: the prediction, its doubt, the frame before, then motion
SIGNED_OTHERS = 3  # the level above, two planes
MEAN_FEATURES = SIGNED + SIGNED_OTHERS
HIDDEN = 16
NETS = PLANES * 4
LOG_TOP = 4095
LOG_FRAC = 4
GRIDS = PLANES * (3 * LEVELS + 1)

# of the filter of inter frames: half of the samples around one, (down, right); bounds of classes, in 1/16 of 25 steps
TAPS = ((0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0), (1, 2), (1, -2), (2, 1), (2, -1), (0, 3), (3, 0))
TAP_REACH = 3
ACTIVITIES = (40, 100, 200, 400, 800)
CHANGES = (20, 80)
LOOP_FRACTION = 12
# of pictures' filter by class: bounds of activity, in 1/32 of 25 steps; a direction is weak or strong from so many fifths on
BUSY = (32, 80, 192, 384, 640, 1024, 1600, 2880)
WEAK, STRONG = 8, 15

# of priors that mix: contexts of a bit, of pictures and of inter frames; bits of a latent that are told apart (not zero, sign,
# places of its size); inputs of mixers: the maps, a constant, zeros
MAPS, TEMPORAL_MAPS = 6, 9
NODES = 10
UNARY = 14  # bits of a latent's size before its rest is coded as a number
MIXED, TEMPORAL_MIXED = 8, 16

# of priors with a trellis: the state after each, for an even and an odd latent; odd states have the second quantiser
NEXT_STATE = ((0, 2), (5, 7), (1, 3), (6, 4), (2, 0), (4, 6), (3, 1), (7, 5))
