"""The compiled loops of colour.py: integers alone, so that every machine gets the same bytes."""

from __future__ import annotations

import numpy as np

from ...entropy.jit import kernel


@kernel("int64(int64, int64)", inline=True)
def _byte(value, bits):
    """value / 2**bits, rounded, to the nearest of 0..255."""
    return min(max((value + (1 << (bits - 1))) >> bits, 0), 255)


_PLANE = "Array(uint8, 2, 'C', True)"  # one that may be read-only, which the planes of a y4m clip are


@kernel(f"void({_PLANE}, {_PLANE}, {_PLANE}, int64[::1], int64, uint8[:, :, ::1])")
def planes_to_rgb(luma, cb, cr, weights, half, rgb):
    """rgb (H, W, 3) of Y (H, W), U, V (ceil(H / 2), ceil(W / 2)), or (H, W) where not half; weights: offset of Y, then
    Y, rV, gU, gV, bU."""
    height, width = luma.shape
    offset, grey, red_v, green_u, green_v, blue_u = weights
    for row in range(height):
        for column in range(width):
            y = grey * (np.int64(luma[row, column]) - offset)
            u = np.int64(cb[row >> half, column >> half]) - 128
            v = np.int64(cr[row >> half, column >> half]) - 128
            rgb[row, column, 0] = _byte(y + red_v * v, 16)
            rgb[row, column, 1] = _byte(y + green_u * u + green_v * v, 16)
            rgb[row, column, 2] = _byte(y + blue_u * u, 16)


@kernel("void(Array(uint8, 3, 'C', True), int64[::1], int64, uint8[:, ::1], uint8[:, ::1], uint8[:, ::1])")
def rgb_to_planes(rgb, weights, half, luma, cb, cr):
    """The planes of rgb (H, W, 3), as `planes_to_rgb` takes them; weights: offset of Y, then of R, G, B for Y, for U, for V."""
    height, width = luma.shape
    offset = weights[0] << 16
    y_r, y_g, y_b, u_r, u_g, u_b, v_r, v_g, v_b = weights[1:]
    for row in range(height):
        for column in range(width):
            pixel = rgb[row, column]
            luma[row, column] = _byte(offset + y_r * pixel[0] + y_g * pixel[1] + y_b * pixel[2], 16)
    bits = 16 + 2 * half
    for row in range(cb.shape[0]):
        for column in range(cb.shape[1]):
            red, green, blue = np.int64(0), np.int64(0), np.int64(0)
            for i in range(1 + half):
                for j in range(1 + half):
                    pixel = rgb[min((row << half) + i, height - 1), min((column << half) + j, width - 1)]
                    red += pixel[0]
                    green += pixel[1]
                    blue += pixel[2]
            cb[row, column] = _byte((128 << bits) + u_r * red + u_g * green + u_b * blue, bits)
            cr[row, column] = _byte((128 << bits) + v_r * red + v_g * green + v_b * blue, bits)
