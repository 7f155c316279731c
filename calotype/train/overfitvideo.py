"""What overfitted clips start from: the prior of inter frames, from frames that the codec makes of training clips.

    clips -> encoded with the prior so far -> latents, what the prior saw of each -> means, scales; then by the real coder
                                              fields                              -> probabilities, mixing

As overfit.py, whose fitting this runs with the features of the prediction added.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..codecs.video.gridframes import GridFrameCodec, remembers
from ..entropy import binary
from ..models.imageconfig import LMBDA, QUALITY_MAX
from ..models.motion.compensate import Int16Planes, compensate
from ..models.motion.field import Field
from ..models.overfit import loop, motioncoding, prior, residual, temporal
from ..models.overfit.layout import order
from ..models.overfit.mixing import Mixing
from ..models.overfit.prior import Prior
from ..models.overfit.sizes import FEATURES, GRIDS, HIDDEN, NETS, TEMPORAL
from ..models.overfit.synthesis import STEP_TOP, STEP_UNIT
from ..models.overfit.temporal import Memory
from .clips import Planes
from .overfit import STEP, SURE_MIXED, Rows, rows_of
from .wiener import ClassFit

SURE_MOTION = 30  # how many bits a shipped probability of motion is worth at most


class Sample(NamedTuple):
    """An inter frame as it was coded: latents of all grids, what its prior saw by grid, padded sides; its field, how many
    references that has, and the field of what its prior goes on from."""

    grids: list[np.ndarray]
    seen: list[np.ndarray]
    size: tuple[int, int]
    field: Field
    references: int
    before: Field | None


def first(start: Prior) -> Prior:
    """The prior of pictures, or an earlier one of inter frames, as one that does not look at what that one did not see; it does
    not mix."""
    k = prior.kernels()
    enter = np.zeros((NETS, FEATURES + 2 * TEMPORAL[1], HIDDEN), np.int32)
    enter[:, : start.arrays["enter"].shape[1]] = start.arrays["enter"]
    flags = np.tile(np.array([[1 << (k.PROBABILITY - 1), 0]], np.int32), (GRIDS, 1))
    chances = np.concatenate([start.chances[: NETS * k.CONTEXTS], flags])
    return Prior(start.arrays | {"enter": enter}, chances, seen=TEMPORAL[1]).checked()


def steps() -> np.ndarray:
    """(1001,) int64: the step in 1/64 level of each quality."""
    quality = np.arange(QUALITY_MAX + 1)
    lmbda = LMBDA[0] * (LMBDA[1] / LMBDA[0]) ** (quality / QUALITY_MAX)
    return np.clip(np.rint(STEP * STEP_UNIT / np.sqrt(lmbda)), 1, STEP_TOP).astype(np.int64)


def collect(samples: list[Sample], means: np.ndarray, most: int, seed: int) -> list[Rows]:
    """As `overfit.collect`, with what the prior saw."""
    rng, rows = np.random.default_rng(seed), [[] for _ in range(NETS)]
    for sample in samples:
        known = dict(zip(order(), sample.grids, strict=True))
        for number, (grid, values) in enumerate(known.items()):
            if values.any():
                seen = sample.seen[number][: 2 * TEMPORAL[1]]  # what is behind is not for nets
                rows[grid.net].extend(rows_of(grid, known, means, most, rng, seen))
    return [Rows(*(np.concatenate(parts) for parts in zip(*net, strict=True))) for net in rows]


def learn(own: Prior, samples: list[Sample]) -> tuple[Prior, Mixing, float]:
    """The prior with the mixing and the probabilities that coding all samples, one after the other, leaves; what it leaves for
    motion; and the bits of all that."""
    k, mean, bits = prior.kernels(), own.arrays["means"].astype(np.int64) << prior.kernels().MEAN_LEARNT, 0.0
    chances = np.tile(np.array([[1 << (k.PROBABILITY - 1), 0]], np.int32), (prior.contexts(own.seen, True), 1))
    chances[: len(own.chances)] = own.chances
    memory, start = Memory(chances, mean, Mixing.blank(True)), motioncoding.blank()
    for sample in samples:
        coder = binary.encoding()
        motion = motioncoding.encode(start, sample.before, coder, sample.field, sample.references)
        seen = sample.seen.__getitem__
        coded = temporal.encode(own, memory._replace(means=mean), coder, sample.grids, seen, *sample.size)
        memory, start, bits = coded.memory, motion.learnt, bits + motion.bits + coded.bits
    mixing = _started(memory.mixing, SURE_MIXED)
    return replace(own, chances=memory.chances, mixing=mixing), _started(start, SURE_MOTION), bits


def _started(learnt: Mixing, sure: int) -> Mixing:
    """Whose probabilities are worth no more bits than that."""
    maps = learnt.maps.copy()
    maps[..., 1] = np.minimum(maps[..., 1], sure)
    return replace(learnt, maps=maps)


class LoopFit:
    """The filter of inter frames by least squares, errors in steps."""

    def __init__(self) -> None:
        self.fit = ClassFit(loop.SHAPE[0])

    def add(self, wide: Int16Planes, base: Int16Planes, step: int, wanted: tuple[np.ndarray, ...]) -> None:
        """wide: of `residual.synthesise`; wanted: 8-bit planes."""
        for p, (plane, goal) in enumerate(zip(wide, wanted, strict=True)):
            missing = (goal.astype(np.float32) - 128) * 32 - plane
            self.fit.add(min(p, 1), plane, loop.classes(plane, base[p], residual.unit(p, step)), missing, 1 / step)

    def solved(self) -> np.ndarray:
        """int32, as `loop.checked` has them; zero for classes that were not seen."""
        return loop.checked(self.fit.solved())


def chain(codec: GridFrameCodec, planes: Planes, quality: int, both_ways: bool, fit: LoopFit) -> list[Sample]:
    """The inter frames of a crop of a clip, Y (n, h, w) uint8, U, V, sides multiples of 32, coded at quality 0..1000 one after
    the other, or the last first and then those between, halving, with offsets of quality as structures have them. fit: told of
    each."""
    frames = [tuple(plane[k].numpy() for plane in planes) for k in range(len(planes[0]))]
    held = {0: codec.encode_intra(frames[0], quality).picture}
    found: list[Sample] = []
    for number, references, offset in _order(len(frames), both_ways):
        of = [held[k] for k in references]
        q = max(quality - offset, 0)
        picture = codec.encode(frames[number], of, q).picture
        base, doubt = compensate([p.planes for p in of], picture.field)
        number_of = remembers(of)
        step, before = int(codec.bundle.steps[q]), of[number_of].latents
        seen = residual.context(base, doubt, before, step, residual.Motion(picture.field, number_of), True)
        parts = [seen(k) if g.any() else np.zeros((0, *g.shape), np.uint8) for k, g in enumerate(picture.latents)]
        fit.add(residual.synthesise(picture.latents, base, step), base, step, frames[number])
        before = of[number_of].field
        found.append(Sample(picture.latents, parts, frames[0][0].shape, picture.field, len(of), before))
        held[number] = picture
    return found


def _order(count: int, both_ways: bool) -> list[tuple[int, tuple[int, ...], int]]:
    """(frame, references, tenths of quality less) in order of coding."""
    if not both_ways:
        return [(k, (k - 1,) if k == 1 else (k - 1, 0), 80) for k in range(1, count)]
    found: list[tuple[int, tuple[int, ...], int]] = [(count - 1, (0,), 0)]
    spans, offset = [(0, count - 1)], 50
    while spans:
        halves = [(a, (a + b) // 2, b) for a, b in spans if b - a > 1]
        found += [(middle, (a, b), offset) for a, middle, b in halves]
        spans, offset = [span for a, m, b in halves for span in ((a, m), (m, b))], offset + 30
    return found
