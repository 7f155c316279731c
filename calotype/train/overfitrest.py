"""How the coarsest latents of overfitted pictures are expected, learnt from whole photos: crops have hardly any of them.

    photos, whole, smaller, mirrored -> own colours, wavelet -> rests, by the trellis -> means of first rows and of others
                                                             -> scales -> probabilities and mixing, by the real coder

A rest is a small picture, not a detail: beyond its edges it goes on (`prior.go_on`), where all other grids are zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from torch import Tensor

from ..codecs.overfitstarts import own_colours
from ..codecs.overfitting import STEP, TRELLIS_ROOM
from ..models.imageconfig import LMBDA, QUALITY_MAX
from ..models.overfit import layout, prior, wavelet
from ..models.overfit.bundle import OverfitBundle
from ..models.overfit.mixing import Mixing
from ..models.overfit.prior import Prior
from ..models.overfit.side import COLOUR_STEP
from ..models.overfit.sizes import GRIDS, LOG_TOP, MARGIN, MEAN_FEATURES, NEIGHBOURS, NETS, OTHERS, PAD, PLANES, REST, SIGNED
from ..models.overfit.synthesis import COLOUR_FRACTION, GAIN_UNIT
from .overfit import SURE, SURE_MIXED, Rows, blank, fit_scales, integers

SCALES = (1, 2, 3)  # a photo is coded whole and made so much smaller
SIDE_MIN = 256
REST_NETS = [4 * plane + REST for plane in range(PLANES)]
PRESENT = np.arange(GRIDS) < PLANES  # rests come first

Rests = list[np.ndarray]  # int32 (h, w), one a plane


def rests(photos: list[Tensor], bundle: OverfitBundle, seed: int) -> Iterator[Rests]:
    """Of each photo, uint8 (H, W, 3), in each of the SCALES that leaves it SIDE_MIN, at a quality of its own."""
    rng, start, values = np.random.default_rng(seed), bundle.synthesis, bundle.prior
    gains = start.gains / GAIN_UNIT
    for photo in photos:
        for times in SCALES:
            h, w = (side // (PAD * times) * PAD for side in photo.shape[:2])
            if min(h, w) < SIDE_MIN:
                continue
            quality = rng.integers(QUALITY_MAX + 1)
            pixels = photo[: h * times, : w * times].cpu().numpy().astype(np.float32)
            pixels = pixels.reshape(h, times, w, times, 3).mean((1, 3))[:, :: 1 - 2 * int(rng.integers(2))]
            colours = (start.colours + COLOUR_STEP * own_colours(start.colours, pixels)) / (1 << COLOUR_FRACTION)
            lmbda = LMBDA[0] * (LMBDA[1] / LMBDA[0]) ** (quality / QUALITY_MAX)
            step = STEP / math.sqrt(lmbda)
            planes = np.einsum("pc,hwc->phw", np.linalg.inv(colours), pixels - 128) / step
            targets = [t / g for t, g in zip(wavelet.analyse(planes.astype(np.float32)), gains, strict=True)]
            middle = wavelet.curvatures(h, w)[0][h // PAD // 2, w // PAD // 2]
            weights = 3 / (step**2 * lmbda * gains**2 * middle)
            walk = prior.Walk(values, PRESENT, h, w)
            yield prior.chosen(walk, targets, weights, np.zeros(GRIDS), TRELLIS_ROOM, None)[0][:PLANES]


def learn_rests(start: Prior, found: list[Rests], steps: int, batch: int, said: Callable[[str], None]) -> Prior:
    """A prior whose rests go on beyond their edges; all that it knows of other grids stays. steps: of the scales, of so many
    latents of each plane."""
    means, edges = start.arrays["means"].copy(), np.zeros((PLANES, MEAN_FEATURES), np.int32)
    for plane, net in enumerate(REST_NETS):
        signed, values, first = (np.concatenate(parts) for parts in zip(*(_signed(r, plane) for r in found), strict=True))
        means[net], edges[plane] = _means(signed[~first], values[~first]), _means(signed[first], values[first])
    rows = [_rows(found, plane, means[net], edges[plane]) for plane, net in enumerate(REST_NETS)]
    said(f"{sum(len(r.values) for r in rows)} latents of rests")
    # all nets are learnt at once: each plane's four on its rest
    arrays = fit_scales(start.arrays, [rows[net // 4] for net in range(NETS)], steps, batch, 3e-3, said)
    made = {k: v.copy() for k, v in start.arrays.items()} | {"means": means}
    for name in arrays:
        made[name][REST_NETS] = arrays[name][REST_NETS]
    return _counted(replace(start, arrays=made, edges=edges), found, said).checked()


def _counted(own: Prior, found: list[Rests], said: Callable[[str], None]) -> Prior:
    """With what the coder has learnt of rests after all of them, twice, from nothing."""
    nothing, unknown = blank()[0].chances, Mixing.blank(trellis=True)
    assert own.mixing is not None
    k, size = prior.kernels(), len(own.mixing.weights) // NETS // 2
    ranges = [slice(k.CONTEXTS * net, k.CONTEXTS * (net + 1)) for net in REST_NETS]
    mixers = [slice(size * (net + NETS * second), size * (net + NETS * second + 1)) for net in REST_NETS for second in (0, 1)]
    for _ in range(2):
        chances, maps, weights, bits = own.chances.copy(), own.mixing.maps.copy(), own.mixing.weights.copy(), 0.0
        of_maps = [slice(len(maps) // NETS * net, len(maps) // NETS * (net + 1)) for net in REST_NETS]
        for at in ranges:
            chances[at] = nothing[at]
        for at in of_maps:
            maps[at] = unknown.maps[at]
        now = replace(own, chances=chances, mixing=Mixing(maps, weights))
        for planes in found:
            h, w = (PAD * side for side in planes[0].shape)
            grids = [*planes, *(np.broadcast_to(np.int32(0), g.shape(h, w)) for g in layout.order()[PLANES:])]
            coded = prior.encode(now, grids, PRESENT, h, w)
            now, bits = replace(now, chances=coded.models, mixing=coded.mixing), bits + coded.bits
        said(f"rests: {bits / sum(p.size for planes in found for p in planes):.3f} bits a latent")
        assert now.mixing is not None
        chances, maps, weights = own.chances.copy(), own.mixing.maps.copy(), own.mixing.weights.copy()
        for at in ranges:
            chances[at] = now.chances[at]
            chances[at, 1] = np.minimum(chances[at, 1], SURE)
        for at in of_maps:
            maps[at] = now.mixing.maps[at]
            maps[at][..., 1] = np.minimum(maps[at][..., 1], SURE_MIXED)
        for at in mixers:
            weights[at] = now.mixing.weights[at]
        own = replace(own, chances=chances, mixing=Mixing(maps, weights))
    return own


def _means(signed: np.ndarray, values: np.ndarray) -> np.ndarray:
    """int32 (MEAN_FEATURES,): a linear prediction, least squares weighted by how calm it is around."""
    x, y = signed.astype(float), values.astype(float)
    weight = 1 / (1 + np.abs(x[:, :SIGNED] - x[:, :1]).mean(1)) ** 2
    square = (x * weight[:, None]).T @ x + 0.02 * weight.sum() * np.eye(MEAN_FEATURES)
    return integers({"means": np.linalg.solve(square, (x * weight[:, None]).T @ y)})["means"]


def _signed(planes: Rests, plane: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(what the mean of each latent of a plane is of (n, MEAN_FEATURES), the latents (n,), which are in the first row)."""
    near, values = _near(planes[plane]), planes[plane]
    others = [np.zeros_like(values), *(planes[p] if p < plane else np.zeros_like(values) for p in (0, 1))]
    signed = np.concatenate([near[:SIGNED], np.stack(others)]).reshape(MEAN_FEATURES, -1).T
    return signed, values.reshape(-1), np.arange(values.size) < values.shape[1]


def _rows(found: list[Rests], plane: int, means: np.ndarray, first: np.ndarray) -> Rows:
    """Of a plane's rests, for `fit_scales`."""
    logs, parts = layout.log_table(trellis=True), []
    for planes in found:
        signed, flat, top = _signed(planes, plane)
        values = planes[plane]
        mean = (np.where(top[:, None], first, means) * signed.astype(np.int64)).sum(1)
        mean = ((mean + 128) >> 8).reshape(values.shape)
        left = np.empty(values.shape, np.float32)
        prior.trellis_kernels().missing(values, mean, left)
        near = _near(logs[np.minimum(np.abs(values - ((mean + 8) >> 4)), LOG_TOP)])
        others = np.zeros((2 * OTHERS, *values.shape), np.uint8)
        for i, p in ((3, 0), (4, 1)):
            if p < plane:
                size = np.abs(planes[p])
                wide = np.pad(size, 1)
                ring = sum(wide[a : a + size.shape[0], b : b + size.shape[1]] for a in range(3) for b in range(3)) - size
                others[2 * i], others[2 * i + 1] = logs[np.minimum(size, LOG_TOP)], logs[np.minimum(ring, LOG_TOP)]
        features = np.concatenate([near, others]).reshape(-1, values.size).T.astype(np.uint8)
        parts.append((features, signed, flat, left.reshape(-1), np.full(flat.size, 4), np.ones(flat.size)))
    return Rows(*(np.concatenate(p) for p in zip(*parts, strict=True)))


def _near(values: np.ndarray) -> np.ndarray:
    """The neighbours of each, as a rest's prior sees them beyond its edges: (NEIGHBOURS, h, w)."""
    h, w = values.shape
    found = np.empty((len(NEIGHBOURS), h, w), np.int32)
    wide = np.pad(values.astype(np.int32), MARGIN)
    for row in range(h):
        if row:
            prior.go_on(wide, row)
        for i, (up, right) in enumerate(NEIGHBOURS):
            found[i, row] = wide[MARGIN + row - up, MARGIN + right : MARGIN + right + w]
    return found
