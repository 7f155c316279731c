"""Numba kernels of the fast integer execution, around the vector code of `tile.py`. They release the GIL.

They take and give contiguous NHWC int16 arrays with |x| <= 16383, flat where a kernel takes an offset and a stride.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from zlib import crc32

import numpy as np

from ...entropy import jit
from .. import grids
from ..grids import ACT_MAX, FEATURE_MAX
from . import tile
from .tile import depthwise_tile, leaky, leaky_one, plain, plain_one, skipping, skipping_one

PLAIN, LEAKY, SKIP = 0, 1, 2
# what is compiled below is made of these files as well
_kernel = partial(jit.kernel, tag=f"{crc32(b''.join(Path(m.__file__).read_bytes() for m in (tile, grids))):08x}")
_STRIP = 384  # positions of a block at a time: its widest features stay in the second cache
_CHUNK = 48  # rows of a pass over the panels: what they read and one panel stay in the first cache
_ROWS, _LANES = tile.ROWS, tile.LANES
# weight, bias (levels, O), shift, low, high of a packed layer
_LAYER = "Tuple((int16[::1], int32[:, ::1], int32[::1], int32[::1], int32[::1]))"


@_kernel(f"void(int16[::1], int64, int64, int64, {_LAYER}, int64, int64, int64, int64, int16[::1], int16[::1], int64, int64)")
def panel_rows(x, x_at, x_stride, rows, layer, level, panel, pairs, mode, skip, out, out_at, out_stride):
    """16 outputs of a 1x1 layer, those of one panel, for rows of one quality level; arguments as `linear` takes them."""
    weight, bias, shift, low, high = layer
    w_at, o, limit = panel * pairs * 2 * _LANES, panel * _LANES, np.int32(ACT_MAX)
    biases, b_at = bias.reshape(-1), level * shift.size + o
    r = 0
    while r < rows:
        a, z = x_at + r * x_stride, out_at + r * out_stride + o
        full = rows - r >= _ROWS
        args = (x, a, x_stride, weight, w_at, pairs, biases, b_at, shift, low, high, o, limit, skip, out, z, out_stride)
        if mode == LEAKY:
            if full:
                leaky(*args)
            else:
                leaky_one(*args)
        elif mode == SKIP:
            if full:
                skipping(*args)
            else:
                skipping_one(*args)
        elif full:
            plain(*args)
        else:
            plain_one(*args)
        r += _ROWS if full else 1


@_kernel(f"void(int16[::1], int64, int64, int64, {_LAYER}, int64, uint8[::1], int64, int16[::1], int16[::1], int64, int64)")
def linear(x, x_at, x_stride, rows, layer, pairs, which, mode, skip, out, out_at, out_stride):
    """Rows of a 1x1 layer: out = clamp((x . weight + bias) >> shift, low, high), then leaky or + skip, as `mode` says.

    x, skip, out: flat; layer: as `layers.Packed` gives it, the rounding half in the biases; pairs: of inputs; which: the
    level of each row, empty where all have level 0. skip has the places of out.
    """
    start, levels, panels = 0, layer[1].shape[0], layer[2].size // _LANES
    while start < rows:
        level, end = 0, min(start + _CHUNK, rows)
        if which.size and levels > 1:
            level = which[start]
            end = start + 1
            while end < rows and end < start + _CHUNK and which[end] == level:
                end += 1
        a, z = x_at + start * x_stride, out_at + start * out_stride
        for panel in range(panels):
            panel_rows(x, a, x_stride, end - start, layer, level, panel, pairs, mode, skip, out, z, out_stride)
        start = end


@_kernel(f"void(int16[:, :, :, ::1], int64, int64, int64, {_LAYER}, int16[::1], int64)")
def depthwise(x, image, top, bottom, layer, out, out_at):
    """Rows top to bottom of a 3x3 depthwise layer on image number `image` of x (B, h, w, C), zero beyond the edges.

    layer: as `tile.depthwise_tile` takes it, one clamp for all channels; out: flat, the rows go to out_at on.
    """
    _, h, w, channels = x.shape
    weight, biases, shift, _, high = layer
    flat, bias, bound = x.reshape(-1), biases[0], high[0]
    taps, here, border = np.empty(9, np.int64), np.empty(9, np.int64), np.empty(9 * channels, np.int16)
    for t in range(9):
        here[t] = t * channels
    for i in range(top, bottom):
        z = out_at + (i - top) * w * channels
        for j in range(w):
            if 0 < i < h - 1 and 1 < j < w - 1:
                for t in range(9):
                    taps[t] += channels
            else:
                for t in range(9):
                    taps[t] = ((image * h + i + t // 3 - 1) * w + j + t % 3 - 1) * channels
            if 0 < i < h - 1 and 0 < j < w - 1:
                for c in range(0, channels, _LANES):
                    depthwise_tile(flat, taps, c, weight, c * 10, bias, shift, bound, out, z + c)
            else:  # a copy of the neighbourhood, which has to have zeros
                for t in range(9):
                    there = 0 <= i + t // 3 - 1 < h and 0 <= j + t % 3 - 1 < w
                    for c in range(channels):
                        border[here[t] + c] = flat[taps[t] + c] if there else np.int16(0)
                for c in range(0, channels, _LANES):
                    depthwise_tile(border, here, c, weight, c * 10, bias, shift, bound, out, z + c)
            z += channels


@_kernel("void(int16[:, ::1], int32[:, ::1], int32[:, ::1], uint8[::1], int64, int64, int16[:, ::1])")
def scale(x, mantissa, shift, which, start, end, out):
    """Rows start to end: out = clamp((x * mantissa + half) >> shift) by channel; mantissa, shift (levels, C); |x| < 2**15."""
    for r in range(start, end):
        level = which[r] if which.size else 0
        for c in range(x.shape[1]):
            by = shift[level, c]
            v = np.int32(np.int32(x[r, c]) * mantissa[level, c] + (np.int32(1) << (by - np.int32(1)))) >> by
            out[r, c] = min(max(v, np.int32(-ACT_MAX)), np.int32(ACT_MAX))


@_kernel("void(int16[::1], int64, int16[::1])")
def look_up(x, count, table):
    """x[:count] = table[x + len(table) // 2] in place."""
    middle = table.size // 2
    for k in range(count):
        x[k] = table[x[k] + middle]


@_kernel(f"void(int16[:, :, :, ::1], int64, int64, int64, {_LAYER}, {_LAYER}, int16[::1], {_LAYER}, int16[::1])")
def block(x, image, top, bottom, dw, grow, table, shrink, out):
    """Rows top to bottom of a residual block on image number `image` of x (B, h, w, C), a strip at a time: out = x + shrink(
    activation(grow(dw(x)))), C a multiple of 16. table: of `look_up`, empty for leaky ReLU."""
    _, h, w, c = x.shape
    inner, pairs = grow[2].size, (c // 2, grow[2].size // 2)
    strip = max(1, _STRIP // w)
    narrow, wide = np.empty(strip * w * c, np.int16), np.empty(strip * w * inner, np.int16)
    flat, nothing = x.reshape(-1), np.zeros(0, np.uint8)
    for first in range(top, bottom, strip):
        last = min(first + strip, bottom)
        rows, at = (last - first) * w, (image * h + first) * w * c
        depthwise(x, image, first, last, dw, narrow, 0)
        if table.size:
            linear(narrow, 0, c, rows, grow, pairs[0], nothing, PLAIN, wide, wide, 0, inner)
            look_up(wide, rows * inner, table)
        else:
            linear(narrow, 0, c, rows, grow, pairs[0], nothing, LEAKY, wide, wide, 0, inner)
        linear(wide, 0, inner, rows, shrink, pairs[1], nothing, SKIP, flat, out, at, c)


@_kernel(f"void(int16[:, :, :, ::1], int64, int64, UniTuple({_LAYER}, 4), int16[:, :, :, ::1])")
def expand(x, top, bottom, layers, out):
    """1x1 and pixel shuffle by 2 of rows top to bottom, counted over all images: x (B, h, w, K) -> out (B, 2 h, 2 w, O).

    layers: of the four places of a cell.
    """
    _, h, w, k = x.shape
    o = out.shape[3]
    source, target = x.reshape(-1), out.reshape(-1)
    strip = max(1, _STRIP // w)  # the weights are read once a strip, and a strip's inputs stay in the second cache
    for begin in range(top, bottom, strip):
        for place in range(4):
            for panel in range(o // _LANES):
                for row in range(begin, min(begin + strip, bottom)):
                    a, z = row * w * k, ((2 * row + place // 2) * 2 * w + place % 2) * o
                    panel_rows(source, a, k, w, layers[place], 0, panel, k // 2, PLAIN, target, target, z, 2 * o)


@_kernel("void(int16[::1], int16[::1], int32, int16[::1])")
def product(a, b, shift, out):
    """out = clamp((a * b + half) >> shift)."""
    half = np.int32(1) << (shift - np.int32(1))
    for k in range(out.size):
        v = np.int32(np.int32(a[k]) * np.int32(b[k]) + half) >> shift
        out[k] = min(max(v, np.int32(-ACT_MAX)), np.int32(ACT_MAX))


@_kernel("void(int16[:, :, :, ::1], int64, int64, int64, int16[:, :, ::1])")
def to_planes(x, image, top, bottom, planes):
    """Pixel shuffle by 8 of rows top to bottom: x (B, h, w, C * 64) -> planes (C, 8 h, 8 w)."""
    _, _, w, _ = x.shape
    for i in range(top, bottom):
        for c in range(planes.shape[0]):
            for a in range(8):
                row = planes[c, 8 * i + a]
                for j in range(w):
                    for b in range(8):
                        row[8 * j + b] = x[image, i, j, 64 * c + 8 * a + b]


@_kernel(f"void(int16[:, :, ::1], int64, int64, {_LAYER})")
def filter_rows(planes, top, bottom, layer):
    """The border filter along each row of planes (C, H, W), pixel rows top to bottom, in place; a layer of 16 to 16.

    `rows` rows at a time are one run of segments; what crosses from one row to the next is not copied back.
    """
    width, rows = planes.shape[2], 8
    nothing, scratch = np.zeros(0, np.uint8), np.empty(rows * width, np.int16)
    for c in range(planes.shape[0]):
        for first in range(top, bottom, rows):
            flat = planes[c, first : first + rows].reshape(-1)
            count = flat.size // 16 - 1
            linear(flat, 8, 16, count, layer, 8, nothing, PLAIN, flat, scratch, 0, 16)
            for i in range(rows):
                for j in range(width - 16):
                    planes[c, first + i, 8 + j] = scratch[i * width + j]


@_kernel("uint8(int16, int32, int32)", inline=True)
def _pixel(x, middle, shift):
    v = np.int32(np.int32(x) * np.int32(255) + middle) >> shift
    return np.uint8(min(max(v, np.int32(0)), np.int32(255)))


@_kernel(f"void(int16[:, :, ::1], int64, int64, int16[:, ::1], {_LAYER}, int64, uint8[:, :, ::1])")
def filter_columns(planes, start, end, matrix, layer, frac, out):
    """The border filter along columns, and pixels of it: planes (3, H, W) -> out (H, W, 3) uint8.

    The picture is cut at the middles of its 16-pixel blocks, where no filter crosses; start, end: numbers of the parts, the
    first and last of which have 8 rows. matrix: the filter (16, 16) as it is; the pixels, paired by rows, take the place of
    the layer's panels.
    """
    channels, height, width = planes.shape
    shift_by, middle = np.int32(frac), np.int32((255 + 1) << (frac - 1))
    pairs, filtered = np.empty(8 * width, np.int32), np.empty((channels, 16, width), np.int16)
    weights, flat, nothing = matrix.reshape(-1), filtered.reshape(-1), np.zeros(0, np.uint8)
    across = (pairs.view(np.int16), layer[1], layer[2], layer[3], layer[4])
    for part in range(start, end):
        first = 16 * part - 8
        rows = 16
        if part == 0 or first == height - 8:
            first, rows = max(first, 0), 8
        for c in range(channels):
            if rows == 8:
                for r in range(8):
                    for j in range(width):
                        filtered[c, r, j] = planes[c, first + r, j]
                continue
            for pair in range(8):
                even, odd = planes[c, first + 2 * pair], planes[c, first + 2 * pair + 1]
                for p in range(width // _LANES):
                    z = (8 * p + pair) * _LANES
                    for k in range(_LANES):  # two int16 as one int32, the first in its low half: little-endian
                        high, low = np.int32(odd[p * _LANES + k]) << np.int32(16), np.int32(even[p * _LANES + k])
                        pairs[z + k] = high | (low & np.int32(0xFFFF))
            at = c * 16 * width
            linear(weights, 0, 16, 16, across, 8, nothing, PLAIN, flat, flat, at, width)
        for r in range(rows):
            line, red, green, blue = out[first + r].reshape(-1), filtered[0, r], filtered[1, r], filtered[2, r]
            for j in range(width):
                line[3 * j] = _pixel(red[j], middle, shift_by)
                line[3 * j + 1] = _pixel(green[j], middle, shift_by)
                line[3 * j + 2] = _pixel(blue[j], middle, shift_by)


@_kernel("int16(int16)", inline=True)
def _leaky_floor(x):
    """The prior's leaky ReLU, which it was trained with: slope 1/8, floored."""
    return max(x, np.int16(x >> 3))


@_kernel("int16(int16, int16)", inline=True)
def _sum(a, b):
    v = np.int32(a) + np.int32(b)
    return np.int16(min(max(v, np.int32(-ACT_MAX)), np.int32(ACT_MAX)))


@_kernel(f"void(int16[:, :, ::1], int64, int64, UniTuple({_LAYER}, 4), int64[::1], uint8[:, ::1], int16[:, :, :, ::1])")
def context_rows(x, first, last, layers, known, which, out):
    """Rows first to last of the 2x2 cells of the prior's `step_in` and its leaky ReLU: x (h, w, C) -> out (1, h, w, O).

    layers: for each position, the layer on the columns known there (`places.Order`), known: their numbers; which: as
    `head_rows` takes it.
    """
    h, w, inputs = x.shape
    outputs, source, target = out.shape[3], x.reshape(-1), out.reshape(-1)
    levels = np.empty(w // 2 if which.size else 0, np.uint8)
    for p in range(4):
        i, j = p // 2, p % 2
        for r in range(first, last):
            for k in range(levels.size):
                levels[k] = which[2 * r + i, 2 * k + j]
            at = (2 * r + i) * w + j
            pairs = known[p] // 2
            linear(
                source,
                at * inputs,
                2 * inputs,
                w // 2,
                layers[p],
                pairs,
                levels,
                PLAIN,
                target,
                target,
                at * outputs,
                2 * outputs,
            )
    for k in range(2 * first * w * outputs, 2 * last * w * outputs):
        target[k] = _leaky_floor(target[k])


@_kernel(f"void(int16[:, :, :, ::1], int16[:, :, :, ::1], int64, int64, {_LAYER}, {_LAYER}, int16[:, :, :, ::1])")
def mix_rows(phi, inner, top, bottom, dw, mix, out):
    """Rows top to bottom of a step of the prior: x = leaky(phi + dw(inner)), out = x + leaky(mix(x)); inner empty: leaky(phi).

    phi, inner, out: (1, h, w, H), H a multiple of 16.
    """
    _, _, w, hidden = phi.shape
    size, at = (bottom - top) * w * hidden, top * w * hidden
    x, mixed, flat, result = np.empty(size, np.int16), np.empty(size, np.int16), phi.reshape(-1), out.reshape(-1)
    if inner.size:
        depthwise(inner, 0, top, bottom, dw, x, 0)
        for k in range(size):
            x[k] = _leaky_floor(_sum(x[k], flat[at + k]))
    else:
        for k in range(size):
            x[k] = _leaky_floor(flat[at + k])
    nothing = np.zeros(0, np.uint8)
    linear(x, 0, hidden, (bottom - top) * w, mix, hidden // 2, nothing, PLAIN, mixed, mixed, 0, hidden)
    for k in range(size):
        result[at + k] = _sum(x[k], _leaky_floor(mixed[k]))


@_kernel(f"void(int16[:, :, :, ::1], int64, int64, {_LAYER}, int64[:, ::1], uint8[:, ::1], int16[:, :, ::1])")
def head_rows(x, first, last, layer, offsets, which, out):
    """Rows first to last of the 2x2 cells: one group's head at its positions. x (1, h, w, H) -> out (P h/2, w/2, O).

    offsets: (P, 2) row and column of each position; which: level of each latent (h, w), empty where there is but one.
    """
    _, h, w, hidden = x.shape
    outputs, source, target = out.shape[2], x.reshape(-1), out.reshape(-1)
    levels = np.empty(w // 2 if which.size else 0, np.uint8)
    for p in range(offsets.shape[0]):
        i, j = offsets[p, 0], offsets[p, 1]
        for r in range(first, last):
            for k in range(levels.size):
                levels[k] = which[2 * r + i, 2 * k + j]
            at = (p * (h // 2) + r) * (w // 2) * outputs
            start = ((2 * r + i) * w + j) * hidden
            linear(source, start, 2 * hidden, w // 2, layer, hidden // 2, levels, PLAIN, target, target, at, outputs)


@_kernel(
    "void(int16[:, :, :, ::1], int32[:, :, :, ::1], int64[::1], int64[::1], int64[:, :, ::1], int64[:, ::1], int64, int16[::1],"
    " int32[:, :, ::1], int16[:, :, ::1], int64, int64)"
)
def absorb(mean, symbol, start, stride, offsets, columns, linear, table, value, context, first, last):
    """Write rows first to last of a decoded step into value (h, w, M) int32, in 1/16, and context (h, w, 2 M + linear) int16.

    mean int16 in 1/16 and symbol int32, |symbol| <= 2**26: (G, P h/2, w/2, C), rows of P h/2; start, stride, offsets:
    `places.Places`; columns: where it goes in the context, `places.Order.offsets`; table: `places.log_table`.
    """
    groups, rows, width, channels = mean.shape
    rows //= offsets.shape[1]
    top = np.int32(table.size - 1)
    for g in range(groups):
        begin, step = start[g], stride[g]
        few = min(max((linear - begin + step - 1) // step, 0), channels)  # of the channels seen as they are
        for at in range(first, last):
            p, r = at // rows, at % rows
            to = columns[g, p]
            for k in range(width):
                i, j = 2 * r + offsets[g, p, 0], 2 * k + offsets[g, p, 1]
                values, seen = value[i, j], context[i, j]
                for c in range(channels):
                    s = symbol[g, at, k, c]
                    v = np.int32(np.int32(mean[g, at, k, c]) + (s << np.int32(4)))
                    values[begin + step * c] = v
                    t = table[min(abs(v), top)]
                    seen[to + c] = t if v >= 0 else -t
                    seen[to + channels + c] = table[min(abs(s), top >> np.int32(4)) << np.int32(4)]
                for c in range(few):
                    v = values[begin + step * c]
                    seen[begin + step * c] = min(max((v + 2) >> 2, -FEATURE_MAX), FEATURE_MAX)
