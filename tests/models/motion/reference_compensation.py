"""Compensation once more, slowly and pixel by pixel in numpy, from the text of its docstring alone."""

from __future__ import annotations

import numpy as np

from calotype.models.motion.compensate import CHROMA, LUMA


def predict(plane, v, u, chroma):
    """p of a whole picture moved by one vector, in 1/32."""
    bits, filters = (3, CHROMA) if chroma else (2, LUMA)
    h, w = plane.shape
    y = np.arange(h)[:, None] + (v >> bits) + np.arange(-3, 5)
    x = np.arange(w)[:, None] + (u >> bits) + np.arange(-3, 5)
    y, x = np.clip(y, 0, h - 1), np.clip(x, 0, w - 1)
    phase = (1 << bits) - 1
    across = plane.astype(np.int64)[:, x] @ filters[u & phase].astype(np.int64)  # (h, w)
    both = np.einsum("ykx,k->yx", across[y], filters[v & phase].astype(np.int64))
    return np.clip((both + 64) >> 7, 0, 8160)


def compensate_slowly(references, field):
    bases, differences = [], []
    h, w = field.shape
    for number in range(3):
        planes = [r[number] for r in references]
        side = field.block // 2 if number else field.block
        height, width = planes[0].shape
        base, difference = np.zeros((2, height, width), np.int64)
        line = np.minimum(2 * np.arange(2 * side) + 1, 4 * side - 2 * np.arange(2 * side) - 1)
        for by in range(-1, h + 1):
            for bx in range(-1, w + 1):
                at = min(max(by, 0), h - 1), min(max(bx, 0), w - 1)
                p = [
                    predict(planes[r], *map(int, field.vectors[r][at]), bool(number)) if field.mode[at] in (r, 2) else None
                    for r in range(2)
                ]
                t = p[0] + p[1] if field.mode[at] == 2 else 2 * 4096 if field.mode[at] == 3 else 2 * p[field.mode[at]]
                y, x = np.arange(height) - (by * side - side // 2), np.arange(width) - (bx * side - side // 2)
                wy = np.where((y >= 0) & (y < 2 * side), line[np.clip(y, 0, 2 * side - 1)], 0)
                wx = np.where((x >= 0) & (x < 2 * side), line[np.clip(x, 0, 2 * side - 1)], 0)
                weight = np.outer(wy, wx)
                base += weight * t
                if field.mode[at] == 2:
                    difference += weight * (p[0] - p[1])
        total = 4 * side * side
        bases.append((base + total) // (2 * total) - 4096)
        differences.append((difference + total // 2) // total)
    return bases, differences
