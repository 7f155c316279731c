"""What overfitted pictures start from: the prior's weights and probabilities, and the filter, from crops of many photos.

    crops -> own colours, wavelet -> rounded by the prior so far -> what each latent's prior sees -> means, scales
                                                                 -> lifted again               -> filter, towards the crop

Latents are fixed while networks learn and networks while latents are rounded, as in an encode (codecs/overfitting.py). The
prior learns a Laplace distribution's scale; its contexts' probabilities are then counted by the real coder. So are the maps and
weights of a prior that mixes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..codecs.overfitstarts import own_colours
from ..codecs.overfitting import ROOM, STEP, fit
from ..models.imageconfig import QUALITY_MAX
from ..models.overfit import layout, prior, wavelet
from ..models.overfit.bundle import OverfitBundle
from ..models.overfit.cellnet import COARSE
from ..models.overfit.layout import Grid, order
from ..models.overfit.mixing import Mixing
from ..models.overfit.net import SynthesisNet, Twin, dequantised, lift
from ..models.overfit.prior import BIAS_TOP, FRACTIONS, SHAPES, WEIGHT_TOP, Prior
from ..models.overfit.ratenet import laplace_bits
from ..models.overfit.side import COLOUR_STEP
from ..models.overfit.sizes import (
    GRIDS,
    HIDDEN,
    LOG_TOP,
    MEAN_FEATURES,
    NEIGHBOURS,
    NETS,
    OTHERS,
    SIGNED,
)
from ..models.overfit.synthesis import COLOUR_FRACTION, STEP_UNIT, Synthesis
from .data import Photos

COLOURS = ((1, 1, 1), (1, 0, -1), (-0.5, 1, -0.5))  # planes, made orthonormal, that pictures' own are differences to
WORTH = 3 / STEP**2  # squared steps that a bit is worth, whatever the quality
STEPS = (8.0, 110.0)  # of crops, log-uniform, in levels
GAIN = 136  # of half steps, in 1/256 step: by trial on held-out crops
PHASE = 8  # of patches: what a wavelet and cells of samples look like depends on where they lie
SURE, SURE_MIXED = 40, 60  # how many bits a shipped probability is worth at most


@dataclass
class Crop:
    """planes: float32 (3, S, S) in steps, in the crop's own colours; targets, latents: a grid each."""

    planes: np.ndarray
    targets: list[np.ndarray]
    latents: list[np.ndarray]


@dataclass(frozen=True)
class Rows:
    """Latents of one net: features uint8 (n, F), signed int32 (n, MEAN_FEATURES), values, left float32 (n,): how far they are
    from their means, of a trellis in steps of their quantiser; levels from 0, weights (n,): for how many latents it stands."""

    features: np.ndarray
    signed: np.ndarray
    values: np.ndarray
    left: np.ndarray
    levels: np.ndarray
    weights: np.ndarray


def blank() -> tuple[Prior, Synthesis]:
    """A prior that knows nothing and a filter that does nothing."""
    k = prior.kernels()
    rng = np.random.default_rng(0)
    floats = {name: np.zeros(shape) for name, shape in SHAPES.items()}
    floats |= {name: rng.normal(0, 0.2, SHAPES[name]) for name in ("enter", "enter_bias", "middle")}
    floats |= {"leave": np.abs(rng.normal(0, 0.3, SHAPES["leave"])), "leave_bias": np.full(NETS, 8.0)}
    chances = np.zeros((NETS * k.CONTEXTS, 2), np.int32)
    chances[:, 0] = 1 << (k.PROBABILITY - 1)
    colours = np.array(COLOURS, float)
    colours = np.rint((colours / np.linalg.norm(colours, axis=1, keepdims=True)).T * (1 << COLOUR_FRACTION))
    torch.manual_seed(0)
    filters, ones = SynthesisNet().to_integers(), np.ones(GRIDS, np.int64)
    return Prior(integers(floats), chances), Synthesis(filters, 256 * ones, 0 * ones, colours.astype(np.int64), STEP_UNIT)


def integers(floats: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Weights of a prior, by name, to its arrays."""
    found = {}
    for name, values in floats.items():
        top = BIAS_TOP if name.endswith("bias") else WEIGHT_TOP
        found[name] = np.clip(np.rint(values * (1 << FRACTIONS[name])), -top, top).astype(np.int32)
    return found


def cut(photos: Photos, start: Synthesis, count: int, side: int, seed: int) -> list[Crop]:
    """Crops of (side, side), half of them of photos at half their size, without latents."""
    rng, crops = np.random.default_rng(seed), []
    for _ in range(count):
        pixels = _piece(photos, rng, side)
        own = own_colours(start.colours, pixels) if rng.random() < 0.8 else np.zeros((3, 3))
        colours = (start.colours + COLOUR_STEP * own) / (1 << COLOUR_FRACTION)
        step = math.exp(rng.uniform(*map(math.log, STEPS)))
        planes = (np.einsum("pc,hwc->phw", np.linalg.inv(colours), pixels - 128) / step).astype(np.float32)
        targets = wavelet.analyse(planes)
        dead = [(np.sign(t) * np.floor(np.abs(t) + 0.35)).astype(np.int32) for t in targets]
        crops.append(Crop(planes, targets, dead))
    return crops


def fitted(photos: Photos, bundle: OverfitBundle, count: int, side: int, seed: int) -> list[Crop]:
    """Crops of (side, side), half of them of photos at half their size, fitted as an encode of small effort does, at all
    qualities."""
    rng, crops = np.random.default_rng(seed), []
    for _ in range(count):
        pixels = _piece(photos, rng, side).astype(np.uint8)
        found = fit(bundle, pixels, int(rng.integers(QUALITY_MAX + 1)), 1, None, lambda state: None)
        own = found.side.applied(bundle)[1]
        inverse = np.linalg.inv(own.colours / (1 << COLOUR_FRACTION)) * (STEP_UNIT / own.step)
        planes = np.einsum("pc,hwc->phw", inverse, pixels - 128.0).astype(np.float32)
        crops.append(Crop(planes, [], found.grids))
    return crops


def _piece(photos: Photos, rng: np.random.Generator, side: int) -> np.ndarray:
    """float64 (side, side, 3), of a photo or, as often, of one at half its size."""
    small = rng.random() < 0.5
    try:
        piece = photos.piece(rng, 2 * side if small else side)
    except ValueError:  # a photo too small for it
        small, piece = False, photos.piece(rng, side)
    pixels = piece.cpu().numpy().astype(np.float64)
    return pixels.reshape(side, 2, side, 2, 3).mean((1, 3)) if small else pixels


def with_trellis(bundle: OverfitBundle) -> OverfitBundle:
    """A start whose prior mixes as one with a trellis: it knows as much of either quantiser; latents are of half steps. Raises
    ValueError where it does not mix."""
    own, k = bundle.prior, prior.kernels()
    if own.trellis:
        return bundle
    if not own.mixing:
        raise ValueError(f"{bundle.name} does not mix, and a trellis needs that")
    chances = own.chances.copy().reshape(NETS, k.CONTEXTS, 2)
    zeros = chances[:, k.ZERO : k.SIGN].reshape(NETS, -1, 4, 2)
    zeros[:, :, 1] = zeros[:, :, 0]  # where all around is zero: by quantiser, no phase
    found = replace(own, chances=chances.reshape(-1, 2), mixing=own.mixing.with_trellis(), trellis=True)
    gains = np.full_like(bundle.synthesis.gains, GAIN)
    return replace(bundle, prior=found.checked(), synthesis=replace(bundle.synthesis, gains=gains))


def round_crops(own: Prior, crops: list[Crop]) -> None:
    """Round every crop's targets as an encoder does."""
    lmbdas, none = np.full(GRIDS, WORTH), np.zeros(GRIDS)
    for crop in crops:
        crop.latents = prior.choose(own, crop.targets, lmbdas, none, ROOM, *crop.planes.shape[1:]).values


# ---- the prior


def collect(crops: list[Crop], means: np.ndarray, most: int, seed: int, trellis: bool = False) -> list[Rows]:
    """Rows of each net: of each grid at most so many latents among others not zero, and an eighth of that among zeros."""
    rng, rows = np.random.default_rng(seed), [[] for _ in range(NETS)]
    for crop in crops:
        known = dict(zip(order(), crop.latents, strict=True))
        for grid, values in known.items():
            if values.any():
                rows[grid.net].extend(rows_of(grid, known, means, most, rng, trellis=trellis))
    return [Rows(*(np.concatenate(parts) for parts in zip(*net, strict=True))) for net in rows]


def rows_of(
    grid: Grid,
    known: dict[Grid, np.ndarray],
    means: np.ndarray,
    most: int,
    rng: np.random.Generator,
    seen: np.ndarray | None = None,
    trellis: bool = False,
) -> list[tuple[np.ndarray, ...]]:
    """Parts of `Rows` of a grid. seen: uint8 (n, h, w), what a temporal prior sees besides."""
    values, logs = known[grid], layout.log_table(trellis)
    signed = np.zeros((MEAN_FEATURES, *values.shape), np.int32)
    others = np.zeros((2 * OTHERS, *values.shape), np.uint8)
    for i in range(SIGNED):
        signed[i] = _shifted(values, *NEIGHBOURS[i])
    for i, other in enumerate(layout.others(grid)):
        if other is not None:
            size = np.abs(known[other])
            wide = np.pad(size, 1)
            ring = sum(wide[a : a + size.shape[0], b : b + size.shape[1]] for a in range(3) for b in range(3)) - size
            times = (1 << (other.level - grid.level),) * 2
            others[2 * i] = np.kron(logs[np.minimum(size, LOG_TOP)], np.ones(times, np.uint8))
            others[2 * i + 1] = np.kron(logs[np.minimum(ring, LOG_TOP)], np.ones(times, np.uint8))
            if i in (0, 3, 4):
                signed[SIGNED + (0, 3, 4).index(i)] = np.kron(known[other], np.ones(times, np.int32))
    mean = (sum(int(m) * s.astype(np.int64) for m, s in zip(means[grid.net], signed, strict=True)) + 128) >> 8
    sizes = logs[np.minimum(np.abs(values - ((mean + 8) >> 4)), LOG_TOP)].astype(np.uint8)
    left = (values - mean / 16).astype(np.float32)
    if trellis:
        prior.trellis_kernels().missing(values, mean, left)
    near = np.stack([_shifted(sizes, *n) for n in NEIGHBOURS])
    parts = [near, others] if seen is None else [near, others, seen]
    features = np.concatenate(parts).reshape(-1, values.size)
    some, found = features.any(0), []
    for places, cap in ((np.flatnonzero(some), most), (np.flatnonzero(~some), most // 8)):
        if len(places):
            at = rng.choice(places, min(cap, len(places)), replace=False)
            level, weight = np.full(len(at), grid.level - 1), np.full(len(at), len(places) / len(at))
            flat = signed.reshape(MEAN_FEATURES, -1).T[at]
            found.append((features.T[at], flat, values.reshape(-1)[at], left.reshape(-1)[at], level, weight))
    return found


def _shifted(values: np.ndarray, up: int, right: int) -> np.ndarray:
    """At each place the neighbour so many rows up and columns to the right; zero outside."""
    h, w = values.shape
    return np.pad(values, 2)[2 - up : 2 - up + h, 2 + right : 2 + right + w]


def fit_means(rows: list[Rows]) -> np.ndarray:
    """int32 (NETS, MEAN_FEATURES): linear predictions of latents, least squares weighted by how calm it is around."""
    found = np.zeros((NETS, MEAN_FEATURES))
    for net, r in enumerate(rows):
        x, y = r.signed.astype(float), r.values.astype(float)
        weight = r.weights / (1 + np.abs(x[:, :SIGNED]).mean(1)) ** 2
        square = (x * weight[:, None]).T @ x + 0.02 * weight.sum() * np.eye(MEAN_FEATURES)
        found[net] = np.linalg.solve(square, (x * weight[:, None]).T @ y)
    return integers({"means": found})["means"]


def fit_scales(
    start: dict[str, np.ndarray], rows: list[Rows], steps: int, batch: int, lr: float, said: Callable[[str], None]
) -> dict[str, np.ndarray]:
    """The prior's other arrays, from those of `start` on: Adam on the bits of a Laplace distribution, all nets at once."""
    names = [name for name in SHAPES if name != "means"]
    weights = {n: torch.tensor(start[n] / (1 << FRACTIONS[n]), dtype=torch.float32, requires_grad=True) for n in names}
    optimiser = torch.optim.Adam(weights.values(), lr=lr, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, lr, total_steps=steps, pct_start=0.1)
    generator, mean = torch.Generator().manual_seed(0), None
    columns = [[torch.from_numpy(c) for c in (r.features, r.left, r.levels, r.weights)] for r in rows]
    for step in range(steps):
        drawn = [[c[i] for c in net] for net in columns for i in [torch.randint(len(net[0]), (batch,), generator=generator)]]
        features, left, levels, shares = (torch.stack(parts) for parts in zip(*drawn, strict=True))
        index = _scale(weights, features.float() / 16, levels)
        bits = laplace_bits(left, torch.exp2(index / 4 - 5))
        loss = (bits * shares).sum(1) / shares.sum(1)
        optimiser.zero_grad()
        loss.sum().backward()
        torch.nn.utils.clip_grad_norm_(weights.values(), 1.0)
        optimiser.step()
        schedule.step()
        mean = loss.detach() if mean is None else 0.99 * mean + 0.01 * loss.detach()
        if step % 500 == 499:
            said(f"scales, step {step + 1}: {' '.join(f'{v:.3f}' for v in mean)} bits")
    return integers({name: w.detach().double().numpy() for name, w in weights.items()})


def _scale(weights: dict[str, Tensor], features: Tensor, levels: Tensor) -> Tensor:
    """Scale index (NETS, n) of features (NETS, n, F) / 16 at levels (NETS, n)."""
    bias = torch.gather(weights["enter_bias"], 1, levels[:, :, None].expand(-1, -1, HIDDEN))
    h = F.leaky_relu(torch.bmm(features, weights["enter"]) + bias, 0.125)
    h = F.leaky_relu(torch.bmm(h, weights["middle"]) + weights["middle_bias"][:, None], 0.125)
    return (h * weights["leave"][:, None]).sum(2) + weights["leave_bias"][:, None]


def count(own: Prior, crops: list[Crop], mixing: Mixing | None = None) -> tuple[Prior, float]:
    """The prior with the probabilities that its contexts have after all crops, and the bits they took. mixing: where it mixes,
    what that begins with."""
    own, bits = replace(own, chances=blank()[0].chances, mixing=mixing), 0.0
    for crop in crops:
        present = prior.present_of(crop.latents)
        coded = prior.encode(own, crop.latents, present, *layout.padded(*crop.planes.shape[1:]))
        own, bits = replace(own, chances=coded.models, mixing=coded.mixing), bits + coded.bits
    chances = own.chances.copy()
    chances[:, 1] = np.minimum(chances[:, 1], SURE)
    if own.mixing:
        maps = own.mixing.maps.copy()
        maps[..., 1] = np.minimum(maps[..., 1], SURE_MIXED)
        mixing = Mixing(maps, own.mixing.weights)
    return replace(own, chances=chances, mixing=mixing), bits


# ---- the filter


def fit_filter(
    start: dict[str, np.ndarray],
    planes: list[tuple[Tensor, Tensor]],
    coarse: int,
    steps: int,
    lr: float,
    said: Callable[[str], None],
) -> dict[str, np.ndarray]:
    """The filter's arrays, from those of `start` on: Adam on the squared error of patches. planes: of crops before the filter
    and as they are, (3, H, W) each, in steps; coarse: channels of a coarse net, or 0; where `start` has none as wide, it
    adds nothing at first."""
    size, border, generator = 96, 12, torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    net, mean = SynthesisNet(), None
    net.from_integers(start)
    if not coarse:
        net.coarse = None
    elif net.coarse is None or net.coarse.net != COARSE[coarse]:
        net.coarse = Twin(COARSE[coarse])
    net.requires_grad_(True)
    optimiser = torch.optim.Adam(net.parameters(), lr=lr, betas=(0.9, 0.99))
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = lr * min(1, (step + 1) / 100) * (1 - step / steps)
        x, y = [], []
        for _ in range(8):
            i, top, left, turned = torch.randint(1 << 30, (4,), generator=generator).tolist()
            both = torch.stack(planes[i % len(planes)])
            top, left = (PHASE * (k % (max(both.shape[2] - size, 0) // PHASE + 1)) for k in (top, left))
            both = both[..., top : top + size, left : left + size].float()
            given, wanted = both.transpose(2, 3) if turned % 2 else both
            x.append(given)
            y.append(wanted)
        given, wanted = (torch.stack(z).to(memory_format=torch.channels_last) for z in (x, y))  # a seventh faster
        inside = (slice(None), slice(None), slice(border, -border), slice(border, -border))
        error = (net(given) - wanted)[inside].square().mean()
        optimiser.zero_grad()
        error.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        now = torch.stack([error.detach(), (given - wanted)[inside].square().mean()])
        mean = now if mean is None else 0.998 * mean + 0.002 * now
        if step % 500 == 499:
            said(f"filter, step {step + 1}: squared error {mean[0]:.5f} of {mean[1]:.5f} without it")
    return net.to_integers()


def lifted(start: Synthesis, crop: Crop) -> Tensor:
    """Float (3, H, W), in steps, before any filter."""
    return lift(dequantised([torch.from_numpy(v).float() for v in crop.latents], start.gains, start.shrinks))


def both_planes(start: Synthesis, crops: list[Crop]) -> list[tuple[Tensor, Tensor]]:
    """What `fit_filter` takes, half precision."""
    return [(lifted(start, c).half(), torch.from_numpy(c.planes).half()) for c in crops]
