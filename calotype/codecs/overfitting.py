"""Fitting a picture's latents and networks to it. Imports torch.

    latents --decoder in floats--> picture, its error --backwards--> what each latent should be
            <--rounding by what it costs in the real coder and what it does to the bits of others--

The transform is nearly orthonormal, so half a gradient is the way to the best value of a latent, all else as it is: a few
rounds of these two steps lower rate + lmbda * error as far as they can, where a descent from noise takes thousands.
(Cool-chic and C3 descend on a model of the rate with annealed noise; here the rate is the coder's own, and rounding is part
of every round.)
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pixel_unshuffle

from .. import threads
from ..models.imageconfig import LMBDA, QUALITY_MAX
from ..models.overfit import classfilter, layout, live, loop, prior, wavelet
from ..models.overfit.bundle import OverfitBundle
from ..models.overfit.cellnet import BIAS_FRACTION, FINE, WEIGHT_FRACTION
from ..models.overfit.modulation import moved
from ..models.overfit.net import HALF, SynthesisNet, dequantised, lift
from ..models.overfit.ratenet import side_effects
from ..models.overfit.side import STEP_TOP, Side, network_step
from ..models.overfit.sizes import LOOP_FRACTION
from ..models.overfit.synthesis import COLOUR_FRACTION, GAIN_UNIT, STEP_UNIT
from . import overfitnets
from . import overfitstarts as begin
from .overfit import Fitted, State
from .roi import Roi

STARTS = (1, 3, 8, 8, 8, 8, 8, 8, 8, 8)  # by effort, at most: colours and steps
ROUNDS = (0, 1, 2, 4, 8, 12, 16, 24, 40, 80)  # the same, of what starts best
EFFECT = 0.4  # of what a latent does to the bits of others is in its price: a whole gradient overshoots
PATIENCE = 4  # rounds without a gain that end a fit, each half as far as the one before
STEP = 5.0  # times lmbda^-1/2: the step, in levels
ROOM = 0.95  # zeros make what follows cheaper, so they cost less than they seem to; a trellis sees some of that itself
TRELLIS_ROOM = 1.0
COST_TOP = 2500.0  # multiplications a pixel, which a net is not chosen to pass
RATES = (0.0, 0.24, 0.24, 0.18, 0.12, 0.12)  # by level: of the way to the best value of a latent, at first


def fit(
    bundle: OverfitBundle,
    pixels: np.ndarray,
    quality: int,
    effort: int,
    minutes: float | None,
    told: Callable[[State], None],
    roi: Roi | None = None,
) -> Fitted:
    """The best latents and networks found for pixels (H, W, 3) uint8 at quality 0..1000. KeyboardInterrupt ends it early."""
    threads.apply()
    starts, rounds, started = STARTS[effort], ROUNDS[effort], time.monotonic()
    total, idle = starts + rounds, 0
    quality, weights = _weighed(quality, roi)
    best = _Fit(bundle, pixels, quality, weights=weights)

    def over(done: int) -> bool:
        """Tell of `done` starts and rounds; whether there is no time for one more, or nothing more to do."""
        seconds = time.monotonic() - started
        late = minutes is not None and seconds * (done + 1) / done > 60 * minutes
        end = late or done == total or idle == PATIENCE
        left = seconds / done * (total - done)
        left = left if minutes is None else min(left, max(60 * minutes - seconds, 0))
        told(State(best.db, best.bpp, done, total, seconds, 0.0 if end else left))
        return end

    try:
        ended = over(1)
        for done, (colours, share) in enumerate(begin.starts(bundle.synthesis.colours, pixels, starts - 1), 2):
            if ended:
                break
            colours = best.side.colours if colours is None else colours
            other = _Fit(bundle, pixels, quality, colours, weights, share, best.loss)
            best = other if other.loss < best.loss else best
            ended = over(done)
        if starts > 1:
            best.move(anew=True)
        for done in range(1, rounds + 1):
            if ended:
                break
            idle = 0 if best.improve() else idle + 1
            if done in (rounds // 2, rounds) or idle == PATIENCE // 2:
                best.move()
                best.tune()
            ended = over(starts + done)
    except KeyboardInterrupt:
        return replace(best.best, stopped=True)
    return best.best


def first_fit(bundle: OverfitBundle, pixels: np.ndarray, quality: int) -> Fitted:
    """Without rounds, in the picture's own colours: what networks are learnt from. As `fit`."""
    made = _Fit(bundle, pixels, quality, begin.own_colours(bundle.synthesis.colours, pixels)).best
    assert made is not None
    return made


class _Fit:
    """Latents and what is known of them. After `look`: their loss, and the best so far."""

    def __init__(
        self,
        bundle: OverfitBundle,
        pixels: np.ndarray,
        quality: int,
        colours: np.ndarray | None = None,
        weights: np.ndarray | None = None,
        share: float = 1.0,
        beat: float = math.inf,
    ):
        """colours: the picture's own, as of `Side`; weights: (H, W), 0..1, what squared errors count, 1 where None; share: of
        the step that the quality says; beat: a loss that is no less is not looked into."""
        self.bundle, self.pixels = bundle, pixels
        height, width = pixels.shape[:2]
        self.size = layout.padded(height, width)
        lmbda = LMBDA[0] * (LMBDA[1] / LMBDA[0]) ** (quality / QUALITY_MAX)
        step = min(max(round(share * STEP * STEP_UNIT / math.sqrt(lmbda)), 1), STEP_TOP)
        self.side = Side.plain(step) if colours is None else replace(Side.plain(step), colours=colours)
        self.prior, self.synthesis = self.side.applied(bundle)
        self.worth = 3 * (STEP_UNIT / step) ** 2 / lmbda  # squared steps that a bit is worth
        colours = self.synthesis.colours / (1 << COLOUR_FRACTION)
        levels = np.einsum("pc,hwc->phw", np.linalg.inv(colours), pixels.astype(np.float64) - 128) * (STEP_UNIT / step)
        pad = ((0, 0), (0, self.size[0] - height), (0, self.size[1] - width))
        planes = np.pad(levels, pad, mode="edge").astype(np.float32)
        self.device = torch.device(bundle.device)
        self.goal = torch.from_numpy(planes).to(self.device)
        self.net = SynthesisNet().to(self.device).requires_grad_(False)
        self.net.from_integers(self.synthesis.arrays)
        self.gains, self.shrinks = self.synthesis.gains / GAIN_UNIT, self.synthesis.shrinks / GAIN_UNIT
        self.targets = [t / g for t, g in zip(wavelet.analyse(planes), self.gains, strict=True)]
        self.curvatures = wavelet.curvatures(*self.size)
        inside = np.array([c[len(c) // 2, c.shape[1] // 2] for c in self.curvatures])
        self.lmbdas = self.worth / (self.gains**2 * inside)
        self.weights = torch.ones(1, 1, device=self.device)
        self.worths: list[np.ndarray] | None = None
        if weights is not None:
            self.weights = torch.from_numpy(weights.astype(np.float32)).to(self.device)
            self.worths = _of_latents(np.pad(weights, pad[1:], mode="edge"))
        self.loss, self.db, self.bpp, self.pace = beat, 0.0, 0.0, 1.0
        self.best: Fitted | None = None
        self.grids: list[np.ndarray] = []
        self.affordable: list[int] = []  # nets that decode in COST_TOP, or the cheapest
        self.bits = 0.0
        self.ways: list[Tensor] = []
        self.effects = [np.zeros(g.shape(*self.size), np.float32) for g in layout.order()]
        self.round_latents()
        self.look()

    def round_latents(self) -> None:
        """Targets to latents."""
        room = TRELLIS_ROOM if self.prior.trellis else ROOM
        given = self.targets, self.lmbdas, self.shrinks / self.gains, room, *self.size
        found = prior.choose(self.prior, *given, self.effects, self.worths)
        self.grids, self.bits = found.values, found.bits

    def look(self) -> bool:
        """The error of the latents and, if they are the best so far, which way they should go; whether they are."""
        grids = [torch.from_numpy(g).to(self.device, torch.float32) for g in self.grids]
        values = [v.requires_grad_() for v in dequantised(grids, self.synthesis.gains, self.synthesis.shrinks)]
        height, width = self.pixels.shape[:2]
        lifted = lift(values)
        if self.best is None:
            self._choose(lifted.detach())
        planes = self.net(lifted[None])[0]
        error = (planes + self._by_class(planes.detach()) - self.goal)[:, :height, :width]
        loss = (error.square() * self.weights).sum()
        squares = float(loss.detach())
        side = replace(self.side, present=prior.present_of(self.grids))
        bits = self.bits + 8 * len(side.to_bytes())
        total = bits + squares / self.worth
        better = total < self.loss
        if better:
            self.values, self.ways = values, torch.autograd.grad(loss, values)
            self.loss = total
            self.best = Fitted(self.grids, side, self.bits)
            area = height * width
            mse = squares * (self.side.step / STEP_UNIT) ** 2 / (3 * area * float(self.weights.mean()))
            self.db = 10 * math.log10(255**2 / max(mse, 1e-9))
            self.bpp = bits / area
        return better

    def _choose(self, planes: Tensor) -> None:
        """Take the net of least error of those that the start has and that decode in COST_TOP, or of the cheapest."""
        height, width = self.pixels.shape[:2]
        prior_cost, costs = live.multiplications(self.bundle, self.grids, height * width)
        most, errors = max(COST_TOP - prior_cost, min(costs)), {}
        self.affordable = [choice for choice, cost in enumerate(costs) if cost <= most]
        for choice in self.affordable:
            self._take(self._chosen(choice))
            error = (self.net(planes[None])[0] - self.goal)[:, :height, :width]
            errors[choice] = float((error.square() * self.weights).sum())
        self._take(self._chosen(min(errors, key=errors.__getitem__)))

    def _chosen(self, choice: int) -> Side:
        return replace(self.side, choice=choice, amounts=(0,) * self.bundle.counts[choice])

    def _by_class(self, planes: Tensor) -> Tensor:
        """What the filters by class add, at the strengths of least error. Gradients take it as it is."""
        weights, height, width = self.synthesis.classes, *self.pixels.shape[:2]
        if weights is None:
            return torch.zeros_like(planes)
        found, strengths = [], []
        for plane, missing, own in zip(planes.cpu().numpy(), (self.goal - planes).cpu().numpy(), weights, strict=True):
            samples = classfilter.samples(np.rint(plane.astype(np.float64) * 256).astype(np.int64))
            by = classfilter.corrections(samples, own) / (classfilter.UNIT << LOOP_FRACTION)
            inside = by[:height, :width]
            weighed = inside * self.weights.cpu().numpy()
            square = float((weighed * inside).sum())
            best = 8 * float((missing[:height, :width] * weighed).sum()) / max(square, 1e-9)
            strengths.append(min(max(round(best), 0), loop.STRONGEST))
            found.append(by * (strengths[-1] / 8))
        self.side = replace(self.side, strengths=tuple(strengths))
        return torch.from_numpy(np.stack(found).astype(np.float32)).to(self.device)

    def improve(self) -> bool:
        """Move the targets, and round them; whether that gained. Where not, all is as before and the next move shorter."""
        before = self.targets, self.effects, self.grids, self.bits
        moved = []
        for number, (target, value, way) in enumerate(zip(self.targets, self.values, self.ways, strict=True)):
            step = way.cpu().numpy() / (2 * self.curvatures[number])
            if self.worths:
                step /= self.worths[number]
            wanted = (value.detach().cpu().numpy() - step) / self.gains[number]
            moved.append(target + self.pace * RATES[layout.order()[number].level] * (wanted - target))
        found = side_effects(self.prior, self.grids, self.device)
        self.targets, self.effects = moved, [(a + EFFECT * b) / 2 for a, b in zip(self.effects, found, strict=True)]
        self.round_latents()
        if self.look():
            return True
        self.targets, self.effects, self.grids, self.bits = before
        self.pace /= 2
        return False

    def tune(self) -> None:
        """Fit the filter's last layer to the picture, if that gains."""
        height, width = (side // 2 for side in self.pixels.shape[:2])  # whole cells of the picture
        if not height * width:
            return
        with torch.no_grad():
            grids = [torch.from_numpy(g).to(self.device, torch.float32) for g in self.grids]
            planes = self.net.coarsened(lift(dequantised(grids, self.synthesis.gains, self.synthesis.shrinks))[None])
            hidden = self.net.fine.hidden(planes)[0, :, :height, :width].reshape(FINE.width, -1)
            wanted = pixel_unshuffle(self.goal - planes, 2)[0, :, :height, :width].reshape(FINE.inputs, -1)
            seen = torch.cat([hidden, torch.ones_like(hidden[:1])]).double()
            counted = self.weights.expand(*self.pixels.shape[:2])[: 2 * height, : 2 * width]
            weighed = seen * avg_pool2d(counted[None], 2).reshape(-1).double()
            square = (weighed @ seen.t()).cpu().numpy()
            cross = (weighed @ wanted.double().t()).cpu().numpy()
        choice = self.side.choice
        start, directions = self.bundle.filters[choice], self.bundle.directions[choice]
        start = moved(start, directions, self.side.amounts) if directions else start
        bias_unit = network_step("bias") / (1 << BIAS_FRACTION)
        units = np.full(FINE.width + 1, network_step("weight") / (1 << WEIGHT_FRACTION))
        units[-1] = bias_unit
        shipped = np.concatenate(
            [start["leave"] / (1 << WEIGHT_FRACTION), (start["leave_bias"][None] - HALF) / (1 << BIAS_FRACTION)]
        )
        levels = overfitnets.least(square * np.outer(units, units), (cross - square @ shipped) * units[:, None], self.worth)
        own = {"filter.leave": levels[:-1], "filter.leave_bias": levels[-1]}
        before = self.side
        self._take(replace(before, networks={name: array for name, array in own.items() if array.any()}))
        if not self.look():
            self._take(before)

    def move(self, anew: bool = False) -> None:
        """Move the filter's net in the directions of the start, if that gains. anew: or another net that has some."""
        height, width = self.pixels.shape[:2]
        with torch.no_grad():
            grids = [torch.from_numpy(g).to(self.device, torch.float32) for g in self.grids]
            planes = lift(dequantised(grids, self.synthesis.gains, self.synthesis.shrinks))
        given = planes, self.goal[:, :height, :width], self.weights, self.worth
        for choice in self.affordable if anew else (self.side.choice,):
            before, directions = self.side, self.bundle.directions[choice]
            if not directions:
                continue
            same = choice == before.choice
            still = self._chosen(choice) if same else replace(self._chosen(choice), networks={})
            net = SynthesisNet().to(self.device).requires_grad_(False)
            net.from_integers(still.applied(self.bundle)[1].arrays)
            now = before.amounts if same else still.amounts
            self._take(replace(still, amounts=overfitnets.amounts(net, net.from_directions(directions), *given, now)))
            if not self.look():
                self._take(before)

    def _take(self, side: Side) -> None:
        self.side, self.synthesis = side, side.applied(self.bundle)[1]
        self.net.from_integers(self.synthesis.arrays)


def _weighed(quality: int, roi: Roi | None) -> tuple[int, np.ndarray | None]:
    """The highest quality asked for, and what squared errors count beside it: (H, W), None where they count the same."""
    if roi is None:
        return quality, None
    wanted = roi.qualities(quality)
    top = round(wanted.max())
    weights = np.minimum((LMBDA[1] / LMBDA[0]) ** ((wanted - top) / QUALITY_MAX), 1)
    return top, None if weights.min() == 1 else weights


def _of_latents(weights: np.ndarray) -> list[np.ndarray]:
    """(h, w) a grid: the means of weights (H, W), sides multiples of PAD, where its latents lie."""
    found = []
    for grid in layout.order():
        h, w = grid.shape(*weights.shape)
        found.append(weights.reshape(h, 1 << grid.level, w, 1 << grid.level).mean((1, 3)).astype(np.float32))
    return found
