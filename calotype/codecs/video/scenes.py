"""Where scenes begin, and how much a frame will cost: both from thumbnails of luma, in under a millisecond at 640x360.

A frame begins a scene where blocks of the last thumbnail, moved by up to two cells, explain its own blocks little better
than their mean does (a change of brightness of a whole block counts for nothing: flashes, fades), the less of that the more
its histogram changes, and where the difference is as large as the contrast.

Thresholds: set on 19 training clips, 1026 joins of different ones against 1378 pairs of neighbours.
"""

from __future__ import annotations

import math

import numpy as np

from ...errors import UsageError

CELLS = 2304  # of a thumbnail: 64 x 36
TAPS = 4  # samples of a cell that are averaged, in each direction
REACH = 2  # cells
BLOCK = 4  # cells
UNEXPLAINED = 0.85  # share of the variation within blocks that motion leaves, and half that of the histogram
DIFFERENT = 1.0  # difference after motion, as a share of the variation within blocks
LEAST, MOST = 0.1, 0.3  # share of the cells whose brightness has no like in the last frame: no cut below, no more counts
FLASH = 3  # frames
STRIDE = 7  # of the pixels whose gradients are taken: prime, so that pictures enlarged by whole pixels show theirs


def is_cut(previous: np.ndarray, luma: np.ndarray) -> bool:
    """Whether a scene begins at luma (H, W) uint8, after `previous` of the same shape. Raises UsageError."""
    return _is_cut(_thumbnail(previous), _thumbnail(luma))


def complexity(luma: np.ndarray, previous: np.ndarray | None = None) -> float:
    """What makes a frame cost bits, in levels of luma, above 0; both (H, W) uint8.

    Without `previous`: the mean gradient at full size. With it: what motion leaves of the difference of the thumbnails.
    """
    _check(luma)
    if previous is None:
        corner = luma[:-1:STRIDE, :-1:STRIDE].astype(np.int16)
        gradients = np.abs(corner - luma[:-1:STRIDE, 1::STRIDE]) + np.abs(corner - luma[1::STRIDE, :-1:STRIDE])
        return float(gradients.mean()) + 0.25 if gradients.size else 0.25
    return _differences(_thumbnail(previous), _thumbnail(luma))[1] + 0.25


class Cuts:
    """Asked for every frame in display order: whether a scene begins there. A flash of up to three frames begins one at most,
    since what follows is compared with what it interrupted.
    """

    def __init__(self) -> None:
        self.last: np.ndarray | None = None
        self.before: np.ndarray | None = None  # the last thumbnail of the scene before
        self.since = 0

    def __call__(self, luma: np.ndarray) -> bool:
        """luma (H, W) uint8. Raises UsageError."""
        last, self.last = self.last, _thumbnail(luma)
        self.since += 1
        if last is None or not _is_cut(last, self.last):
            return False
        if self.before is not None and self.since <= FLASH and not _is_cut(self.before, self.last):
            self.before = None
            return False
        self.before, self.since = last, 0
        return True


def _is_cut(previous: np.ndarray, now: np.ndarray) -> bool:
    _check_sizes(previous, now)
    bins = [np.bincount(t.ravel() >> 3, minlength=32) for t in (previous, now)]
    unlike = np.abs(bins[0] - bins[1]).sum() / (2 * now.size)
    if unlike < LEAST:
        return False
    whole, shape = _differences(previous, now)
    contrast = _variation(now) + 1
    return bool(shape / contrast + min(unlike, MOST) / 2 > UNEXPLAINED and whole > DIFFERENT * contrast)


def cell_side(height: int, width: int) -> int:
    """Pixels a side of a thumbnail's cell."""
    return max(1, min(round(math.sqrt(height * width / CELLS)), height // BLOCK, width // BLOCK))


def _thumbnail(luma: np.ndarray) -> np.ndarray:
    """(rows, columns) int16, 0..255, about CELLS of them; at least one block each way."""
    _check(luma)
    height, width = luma.shape
    cell = cell_side(height, width)
    rows, columns = height // cell, width // cell
    taps = sorted({(2 * tap + 1) * cell // (2 * TAPS) for tap in range(TAPS)})
    total = np.zeros((rows, columns), np.int32)
    for y in taps:
        for x in taps:
            total += luma[y : rows * cell : cell, x : columns * cell : cell]
    small = (total // len(taps) ** 2).astype(np.int16)
    return np.pad(small, ((0, max(0, BLOCK - rows)), (0, max(0, BLOCK - columns))), mode="edge")


def _differences(previous: np.ndarray, now: np.ndarray) -> tuple[float, float]:
    """Mean absolute difference of blocks at the best motion: whole, and without each block's mean."""
    _check_sizes(previous, now)
    now = _whole_blocks(now)
    rows, columns = now.shape
    near = np.pad(previous, REACH, mode="edge")[: rows + 2 * REACH, : columns + 2 * REACH]
    difference = np.lib.stride_tricks.sliding_window_view(near, now.shape).reshape(-1, rows, columns) - now
    whole = _block_sums(np.abs(difference)).min(0)
    means = _block_sums(difference) // BLOCK**2
    difference -= means.repeat(BLOCK, 1).repeat(BLOCK, 2)
    shape = _block_sums(np.abs(difference, out=difference)).min(0)
    return float(whole.mean()) / BLOCK**2, float(shape.mean()) / BLOCK**2


def _variation(thumbnail: np.ndarray) -> float:
    """Mean absolute difference of cells from their block's mean."""
    blocks = _whole_blocks(thumbnail)
    means = _block_sums(blocks[None])[0] / BLOCK**2
    return float(np.abs(blocks - means.repeat(BLOCK, 0).repeat(BLOCK, 1)).mean())


def _whole_blocks(thumbnail: np.ndarray) -> np.ndarray:
    rows, columns = (size // BLOCK * BLOCK for size in thumbnail.shape)
    return thumbnail[:rows, :columns]


def _block_sums(values: np.ndarray) -> np.ndarray:
    """(n, rows, columns) int16 to (n, rows / BLOCK, columns / BLOCK): sums of 16 values of at most 510, which int16 holds."""
    across = sum(values[:, :, x::BLOCK] for x in range(1, BLOCK)) + values[:, :, ::BLOCK]
    return sum(across[:, y::BLOCK] for y in range(1, BLOCK)) + across[:, ::BLOCK]


def _check(luma: np.ndarray) -> None:
    if luma.ndim != 2 or luma.dtype != np.uint8 or 0 in luma.shape:
        raise UsageError(f"luma is (H, W) uint8, not {luma.shape} {luma.dtype}")


def _check_sizes(previous: np.ndarray, now: np.ndarray) -> None:
    if previous.shape != now.shape:
        raise UsageError("frames of different sizes in one clip; scale them to one size")
