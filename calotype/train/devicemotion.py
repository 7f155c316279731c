"""Motion search and compensation of B pictures at once in torch, for training on a device.

Compensation gives the integers of `models/motion/compensate.py`. The search is not the codec's, whose blocks wait for each
other: here all blocks move together, each trying its neighbours' vectors and steps around its own, and a bit costs about what
it costs there. No loop over blocks or pictures, nothing waits for the device.

Both look up positions in a table of each reference at all phases, made once. Counted, not timed, for 16 pictures of 256 x 256:
with two references 223 MB of tables, 600 kernels that move 29 GB in all (search 16, tables 8, compensation 4), with one 520
and 14 GB.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..models.motion.compensate import CHROMA, LUMA
from ..models.motion.field import BOTH, FIRST, INTRA, LIMIT, SECOND
from ..models.motion.search import INTRA_BITS

Planes = tuple[Tensor, Tensor, Tensor]
EDGE = 4  # pixels that a table goes beyond the picture: further out all is as there
TOP, GREY = 255 << 5, 128 << 5
REACH = 12  # of the coarse search, in pixels of planes a quarter as wide
SURROUND = 2  # such pixels around a block that it compares too
STARTS = 3  # best places of the coarse search that the fine one starts from
STEPS = (8, 8, 4, 2, 1, 1)  # quarter pixels of each round of the fine search
AROUND = ((-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1))


class Interpolated(NamedTuple):
    """R references of B pictures at all phases, in 1/32 levels: luma (R, B, 1, 4, 4, H + 8, W + 8) and chroma
    (R, B, 2, 8, 8, H / 2 + 8, W / 2 + 8), int16, from EDGE pixels above and left of the first."""

    luma: Tensor
    chroma: Tensor


class Motion(NamedTuple):
    """Fields of B pictures: block side, mode (B, h, w) int64, vectors (R, B, h, w, 2) int32; as `motion.field.Field`."""

    block: int
    mode: Tensor
    vectors: Tensor


def interpolate(planes: Planes) -> Interpolated:
    """Of R references of B pictures each: Y (R, B, H, W), U and V (R, B, H / 2, W / 2), uint8."""
    y, u, v = planes
    return Interpolated(_phases(y[:, :, None], False), _phases(torch.stack((u, v), 2), True))


@lru_cache(8)
def _taps(chroma: bool, device: torch.device) -> list[tuple[int, Tensor]]:
    """(offset, weights (P, 1, 1) int16) of the taps that any phase has."""
    filters = CHROMA if chroma else LUMA
    return [(k, torch.from_numpy(filters[:, k].copy()).to(device)[:, None, None]) for k in range(8) if filters[:, k].any()]


def _phases(plane: Tensor, chroma: bool) -> Tensor:
    """uint8 (..., H, W) -> int16 (..., P, P, H + 8, W + 8), by phase down and right (rule 2)."""
    height, width = plane.shape[-2:]
    rows, columns = (torch.arange(-EDGE - 3, n + EDGE + 4, device=plane.device).clamp(0, n - 1) for n in (height, width))
    wide = plane[..., rows, :][..., columns].to(torch.int16)[..., None, :, :]
    taps = _taps(chroma, plane.device)
    count, height, width = len(taps[0][1]), height + 2 * EDGE, width + 2 * EDGE
    # |values| stay below 88 * 255, in int16; those of the second pass need int32
    across = wide.new_zeros((*wide.shape[:-3], count, height + 7, width))
    for k, tap in taps:
        across.addcmul_(wide[..., k : k + width], tap)
    down = across.new_full((*wide.shape[:-3], count, count, height, width), 64, dtype=torch.int32)
    for k, tap in taps:
        down.addcmul_(across[..., None, :, k : k + height, :], tap[:, None])
    return (down >> 7).clamp_(0, TOP).to(torch.int16)


# ---- compensation


def compensate(references: Interpolated, motion: Motion) -> tuple[Planes, Planes]:
    """(base, difference), int32 planes (B, H, W), ... in 1/32 levels, as `models.motion.compensate.compensate`."""
    (y,), (y_apart,) = _compensated(references.luma, motion, motion.block)
    (u, v), (u_apart, v_apart) = _compensated(references.chroma, motion, motion.block // 2)
    return (y, u, v), (y_apart, u_apart, v_apart)


def _compensated(tables: Tensor, motion: Motion, block: int) -> tuple[list[Tensor], list[Tensor]]:
    """Of each of the N planes of tables (R, B, N, P, P, H', W')."""
    count, phases, device = len(tables), tables.shape[3], tables.device
    height, width = (n - 2 * EDGE for n in tables.shape[-2:])
    (near_y, weight_y), (near_x, weight_x) = (
        _windows(n, block, blocks, device) for n, blocks in zip((height, width), motion.mode.shape[1:], strict=True)
    )
    place = near_y[:, None, :, None] * motion.mode.shape[2] + near_x[None, :, None, :]  # (2, 2, H, W): of which block
    weight = weight_y[:, None, :, None] * weight_x[None, :, None, :]
    vectors = motion.vectors.flatten(2, 3)[:, :, place]  # (R, B, 2, 2, H, W, 2)
    index = _index(vectors, torch.arange(height, device=device)[:, None], torch.arange(width, device=device), phases, tables)
    index = index.flatten(2)[:, :, None].expand(-1, -1, tables.shape[2], -1)
    p = tables.flatten(3).gather(3, index).unflatten(3, (4, height, width)).int()  # (R, B, N, 4, H, W)
    shift = (4 * block * block).bit_length() - 1
    weight = weight.flatten(0, 1)
    mode = motion.mode.flatten(1)[:, place.flatten(0, 1)][:, None]  # (B, 1, 4, H, W)
    if count == 1:
        total = 2 * (weight * p[0].where(mode != INTRA, GREY)).sum(2, dtype=torch.int32)
        apart = torch.zeros_like(total)
    else:
        shared = weight * (mode == BOTH)
        first, second = (shared + 2 * weight * (mode == only) for only in (FIRST, SECOND))
        total = (first * p[0] + second * p[1] + 2 * GREY * weight * (mode == INTRA)).sum(2, dtype=torch.int32)
        apart = (shared * (p[0] - p[1])).sum(2, dtype=torch.int32)
    base, apart = ((total + (1 << shift)) >> (shift + 1)) - (128 << 5), (apart + (1 << (shift - 1))) >> shift
    return list(base.unbind(1)), list(apart.unbind(1))


def _windows(pixels: int, block: int, blocks: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Along one axis: the two blocks whose windows a pixel lies under (2, pixels), and their weights, int32."""
    at = torch.arange(pixels, device=device) + block // 2
    cell, inside = at // block, (at % block).int()
    near = torch.stack(((cell - 1).clamp_min(0), cell.clamp_max(blocks - 1)))
    return near, torch.stack((2 * (block - inside) - 1, 2 * inside + 1))


def _index(vectors: Tensor, y: Tensor, x: Tensor, phases: int, tables: Tensor) -> Tensor:
    """Where the pixels (y, x) lie in a table after their vectors (..., 2) in 1/phases pixel: y and x go by broadcasting."""
    height, width = tables.shape[-2:]
    bits, mask = phases.bit_length() - 1, phases - 1
    v, u = vectors.unbind(-1)
    row = (y + (v >> bits)).clamp_(-EDGE, height - EDGE - 1) + EDGE
    column = (x + (u >> bits)).clamp_(-EDGE, width - EDGE - 1) + EDGE
    return (((v & mask) * phases + (u & mask)) * height + row) * width + column


# ---- search


def search(target: Tensor, references: Interpolated, lmbda: Tensor, block: int) -> Motion:
    """A good field for each of B pictures: target (B, H, W) uint8, H and W multiples of 32; lmbda (B,) as
    of `models.motion.search.search`.

    Against that search with prices, on crops of training clips, difference + lmbda * bits of two references is 1 to 3 % more
    with blocks of 16 and, at lmbda 4 and 12, 2 and 12 % more with blocks of 8: its fields are less smooth.
    """
    count, pictures = references.luma.shape[:2]
    around = block // 8
    side = block + 2 * around
    blocks = _Blocks(target, references.luma, block, around)
    price = (lmbda * (32 * side**2 / block**2)).repeat(count)[:, None, None, None]
    starts = _coarse(target, references.luma, block)
    tried = torch.cat((torch.zeros_like(starts[..., :1, :]), starts), 3)
    best, bits = _cheapest(blocks, tried, torch.zeros_like(tried[..., 0, :]), price)
    moves = torch.tensor(((0, 0), *AROUND), dtype=torch.int32).to(target.device, non_blocking=True)
    for step in STEPS:
        near = _beside(best)
        ordered = near.sort(3).values
        middle = (ordered[..., 1, :] + ordered[..., 2, :]) >> 1  # what the coding of fields tells a vector from
        tried = torch.cat((best[..., None, :] + step * moves, near, middle[..., None, :]), 3).clamp_(-LIMIT, LIMIT)
        best, bits = _cheapest(blocks, tried, middle, price)
    vectors, bits = best.unflatten(0, (count, pictures)), bits.unflatten(0, (count, pictures))
    wanted, price = blocks.target, price[:pictures, ..., 0]
    own = wanted.float()
    alone = (own - own.mean((4, 5), keepdim=True)).abs().sum((3, 4, 5)) + INTRA_BITS * price
    if count == 1:
        missed = blocks.differences(best[..., None, :])[..., 0] + price * bits[0]
        mode = torch.where(alone < missed, INTRA, FIRST)
        return Motion(block, mode, vectors * (mode != INTRA)[..., None])
    p = blocks.moved(best[..., None, :]).unflatten(0, (count, pictures))
    near, far = ((p[r] - wanted).abs().sum((3, 4, 5), dtype=torch.int32) for r in range(2))
    both = (p[0] + p[1] - 2 * wanted).abs().sum((3, 4, 5), dtype=torch.int32) / 2
    costs = near + price * (1 + bits[0]), far + price * (2 + bits[1]), both + price * (2 + bits[0] + bits[1])
    mode = torch.stack((*costs, alone)).argmin(0)
    used = (mode != INTRA) & torch.stack((mode != SECOND, mode != FIRST))
    return Motion(block, mode, vectors * used[..., None])


class _Blocks:
    """Blocks of target (B, H, W) with `around` pixels around them, and where they may have come from."""

    def __init__(self, target: Tensor, luma: Tensor, block: int, around: int):
        height, width = target.shape[1:]
        side = torch.arange(block + 2 * around, device=target.device, dtype=torch.int32) - around
        self.y, self.x = (
            torch.arange(0, n, block, device=target.device, dtype=torch.int32)[:, None] + side for n in (height, width)
        )  # (h, side), (w, side)
        inside_y, inside_x = self.y.clamp(0, height - 1), self.x.clamp(0, width - 1)
        patches = target[:, inside_y[:, None, :, None], inside_x[None, :, None, :]]
        self.target = (patches.to(torch.int16) << 5)[:, :, :, None]  # (B, h, w, 1, side, side)
        self.luma, self.count = luma, len(luma)

    def moved(self, vectors: Tensor) -> Tensor:
        """vectors (R * B, h, w, K, 2) -> what lies there, int16 (R * B, h, w, K, side, side) in 1/32 levels."""
        y, x = self.y[:, None, None, :, None], self.x[None, :, None, None, :]
        index = _index(vectors[..., None, None, :], y, x, 4, self.luma)
        return self.luma.flatten(2).flatten(0, 1).gather(1, index.long().flatten(1)).view(index.shape)

    def differences(self, vectors: Tensor) -> Tensor:
        """Their sums of absolute differences (R * B, h, w, K), in 1/32 levels."""
        found = self.moved(vectors).unflatten(0, (self.count, -1))
        return found.sub_(self.target).abs_().sum((-2, -1), dtype=torch.int32).flatten(0, 1)


def _cheapest(blocks: _Blocks, tried: Tensor, middle: Tensor, price: Tensor) -> tuple[Tensor, Tensor]:
    """The best of tried (N, h, w, K, 2) and its bits (N, h, w), told from middle (N, h, w, 2)."""
    away = (tried - middle[..., None, :]).abs()
    bits = 2 + 2 * torch.log2(1.0 + away).sum(-1)
    best = (blocks.differences(tried) + price * bits).argmin(3, keepdim=True)
    vectors = tried.gather(3, best[..., None].expand(*best.shape, 2))
    return vectors[..., 0, :], bits.gather(3, best)[..., 0]


def _beside(vectors: Tensor) -> Tensor:
    """(N, h, w, 2) -> those of the four blocks beside each (N, h, w, 4, 2); the edge stands in for what is outside."""
    up, down = (torch.cat(p, 1) for p in ((vectors[:, :1], vectors[:, :-1]), (vectors[:, 1:], vectors[:, -1:])))
    left, right = (torch.cat(p, 2) for p in ((vectors[:, :, :1], vectors[:, :, :-1]), (vectors[:, :, 1:], vectors[:, :, -1:])))
    return torch.stack((up, down, left, right), 3)


def _coarse(target: Tensor, luma: Tensor, block: int) -> Tensor:
    """The STARTS best vectors (R * B, h, w, STARTS, 2) of all within reach, on planes a quarter as wide."""
    count = len(luma)
    whole = luma[:, :, 0, 0, 0, EDGE:-EDGE, EDGE:-EDGE].flatten(0, 1)
    wanted, given = F.avg_pool2d(target.float(), 4), F.avg_pool2d(whole.float(), 4) / 32
    height, width = wanted.shape[1:]
    rows, columns = (torch.arange(-REACH, n + REACH, device=target.device).clamp(0, n - 1) for n in (height, width))
    moved = given[:, rows][:, :, columns].unfold(1, height, 1).unfold(2, width, 1)  # (R * B, 25, 25, h4, w4), a view
    apart = (moved.unflatten(0, (count, -1)) - wanted[:, None, None]).abs_().flatten(0, 1).flatten(1, 2)
    window = block // 4 + 2 * SURROUND
    costs = F.avg_pool2d(apart, window, block // 4, SURROUND, divisor_override=1)  # (R * B, 625, h, w)
    steps = torch.arange(-REACH, REACH + 1, device=target.device)
    places = torch.cartesian_prod(steps, steps)
    costs = costs + places.abs().sum(1)[:, None, None] / 8
    best = costs.topk(STARTS, 1, largest=False, sorted=False).indices
    return 16 * places[best.permute(0, 2, 3, 1)].int()
