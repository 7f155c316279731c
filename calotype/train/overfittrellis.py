"""What pictures start from, learnt from latents that a trellis made (`overfit-s.4`, `overfit-s.5`).

    photos -> crops, coded by the former start -> nets and means -> probabilities, mixing
                                               -> a filter's net by range of qualities -> filters by class, of what it leaves

Each crop is a file of its own, so that an interrupted run goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from ..atomic import replacing
from ..codecs.overfit import State
from ..codecs.overfitting import first_fit, fit
from ..models.imageconfig import QUALITY_MAX
from ..models.overfit import classfilter
from ..models.overfit.bundle import OverfitBundle
from ..models.overfit.mixing import Mixing
from ..models.overfit.net import SynthesisNet
from ..models.overfit.prior import Prior
from ..models.overfit.sizes import GRIDS
from ..models.overfit.synthesis import COLOUR_FRACTION, STEP_UNIT, Synthesis
from . import overfit
from .data import Photos
from .overfit import Crop
from .wiener import ClassFit

NETS = 3  # by quality, each of a third of the dial and a sixth beyond it on either side


class Coded(NamedTuple):
    """A crop and its quality, 0..1000."""

    crop: Crop
    quality: int


def pieces(
    photos: Photos, count: int, side: int, seed: int, qualities: tuple[int, int] | None = None, held: bool = False
) -> Iterator[tuple[np.ndarray, int]]:
    """uint8 (side, side, 3), of each photo in turn, half of them at half its size, and a quality, 0..1000 or within
    `qualities`, both ends included. held: of the photos that are held out."""
    if qualities:
        drawn = np.random.default_rng(seed)
        for pixels, _ in pieces(photos, count, side, seed, held=held):
            yield pixels, int(drawn.integers(qualities[0], qualities[1] + 1))
        return
    rng, made, turn, given = np.random.default_rng(seed), 0, 0, photos.held_out if held else photos.train
    order = rng.permutation(len(given))
    while made < count:
        if turn and turn % len(order) == 0:
            order = rng.permutation(len(order))
        pixels = given[order[turn % len(order)]].cpu().numpy()
        half, turn = rng.random() < 0.5, turn + 1
        times = 2 if half and min(pixels.shape[:2]) >= 2 * side else 1
        top, left = (int(rng.integers(n - side * times + 1)) for n in pixels.shape[:2])
        piece = pixels[top : top + side * times, left : left + side * times].astype(np.float64)
        piece = piece.reshape(side, times, side, times, 3).mean((1, 3))
        yield np.rint(piece).astype(np.uint8), int(rng.integers(QUALITY_MAX + 1))
        made += 1


def coded(
    photos: Callable[[], Photos],
    bundle: OverfitBundle,
    count: int,
    side: int,
    effort: int,
    seed: int,
    work: Path,
    qualities: tuple[int, int] | None = None,
    held: bool = False,
) -> Iterator[Coded]:
    """Crops with the latents of an encode at that effort, at 0 without rounds, in their own colours; kept in `work`, all before
    the first is given. photos: asked for where some are missing; qualities, held: of `pieces`."""
    work.mkdir(parents=True, exist_ok=True)
    paths = [work / f"{number:04}.npz" for number in range(count)]
    missing = any(not path.exists() for path in paths)
    drawn = pieces(photos(), count, side, seed, qualities, held) if missing else ()
    for path, (pixels, quality) in zip(paths, drawn, strict=False):
        if not path.exists():
            made = fit(bundle, pixels, quality, effort, None, _untold) if effort else first_fit(bundle, pixels, quality)
            rest = {"pixels": pixels, "step": made.side.step, "colours": made.side.applied(bundle)[1].colours}
            with replacing(path) as file, file.open("wb") as out:
                np.savez_compressed(out, *made.grids, quality=quality, **rest)
    for path in paths:
        with np.load(path) as kept:
            inverse = np.linalg.inv(kept["colours"] / (1 << COLOUR_FRACTION)) * (STEP_UNIT / int(kept["step"]))
            planes = np.einsum("pc,hwc->phw", inverse, kept["pixels"] - 128.0).astype(np.float32)
            yield Coded(Crop(planes, [], [kept[f"arr_{k}"] for k in range(GRIDS)]), int(kept["quality"]))


def _untold(state: State) -> None:
    """Of a fit that nobody follows."""


def learn_prior(start: Prior, crops: list[Crop], steps: int, batch: int, passes: int, said: Callable[[str], None]) -> Prior:
    """Nets and means from those of `start`, which has a trellis; contexts anew, by the real coder."""
    means = overfit.fit_means(overfit.collect(crops[::3], start.arrays["means"], 1000, 0, True))
    rows = overfit.collect(crops, means, 1000, 1, True)
    said(f"{sum(len(r.values) for r in rows)} latents")
    arrays = overfit.fit_scales(start.arrays, rows, steps, batch, 3e-3, said)
    own, mixing = replace(start, arrays=arrays | {"means": means}, parted=True), Mixing.blank(trellis=True)
    for number in range(passes):
        own, bits = overfit.count(own, crops, mixing)
        mixing = own.mixing
        said(f"pass {number + 1}: {bits:.0f} bits")
    return own.checked()


def learn_net(
    start: OverfitBundle, crops: list[Coded], number: int, steps: int, rate: float, coarse: int, said: Callable[[str], None]
) -> dict[str, np.ndarray]:
    """Arrays of one of the NETS, from those of `start` on, learnt from crops of its range; coarse: channels of its coarse
    net, or 0."""
    share = QUALITY_MAX / NETS
    low, high = (number - 0.5) * share, (number + 1.5) * share
    of = overfit.both_planes(start.synthesis, [c.crop for c in crops if low <= c.quality <= high])
    said(f"net {number}: {len(of)} crops")
    return overfit.fit_filter(start.filters[min(number, len(start.more))], of, coarse, steps, rate, said)


def kept_net(work: Path, number: int, learn: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """A net that is in `work`, or is learnt and kept there."""
    path = work / f"net{number}.npz"
    if not path.exists():
        made = learn()
        with replacing(path) as file, file.open("wb") as out:
            np.savez_compressed(out, **made)
    with np.load(path) as kept:
        return dict(kept)


def by_class(start: Synthesis, nets: list[dict[str, np.ndarray]], crops: list[Coded], said: Callable[[str], None]) -> Synthesis:
    """With the first of the nets, and filters by class of what the best of them for each crop leaves."""
    fit = ClassFit(classfilter.SHAPE[0], classfilter.CLASSES)
    for crop, _ in crops:
        lifted, best = overfit.lifted(start, crop), None
        for arrays in nets:
            planes = filtered(arrays, lifted)
            error = float(np.square(crop.planes - planes).sum())
            best = (error, planes) if best is None or error < best[0] else best
        for p, plane in enumerate(best[1]):
            samples = classfilter.samples(np.rint(plane * 256.0).astype(np.int64))
            missing = crop.planes[p] * classfilter.UNIT - samples
            fit.add(p, samples, classfilter.classes(samples), missing, 1 / classfilter.UNIT)
    said("filters by class")
    shrinks = np.zeros_like(start.shrinks)
    made = replace(start, arrays=nets[0], classes=classfilter.checked(fit.solved()), shrinks=shrinks)
    return made.checked()


def filtered(arrays: dict[str, np.ndarray], planes: torch.Tensor) -> np.ndarray:
    """The planes through a net."""
    net = SynthesisNet().requires_grad_(False)
    net.from_integers(arrays)
    return net(planes[None])[0].numpy()
