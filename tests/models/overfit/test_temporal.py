"""The prior of inter frames: latents of any frame come back, with what was learnt of them, by every start there is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calotype.entropy import binary
from calotype.errors import CorruptStreamError
from calotype.models.motion.field import BOTH, Field
from calotype.models.overfit import mixing, prior, residual, temporal
from calotype.models.overfit.layout import order
from calotype.models.overfit.mixing import Mixing
from calotype.models.overfit.prior import Prior
from calotype.models.overfit.temporal import Memory, Seen
from calotype.models.zoo import load_any_model

SIZE = 64, 96
STARTS = ("overfit-video-s.1", "overfit-video-s.2", "overfit-video-s.3")
MIXES = STARTS[-1]


def start(model: str) -> Prior:
    return load_any_model(model)[1].prior


def latents(seed: int, spread: float) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [
        np.rint(rng.laplace(0, spread, grid.shape(*SIZE)) * some).astype(np.int32)
        for grid, some in zip(order(), residual.possible(), strict=True)
    ]


def seen(own: Prior, seed: int, step: int = 640) -> Seen:
    rng = np.random.default_rng(seed)
    (h, w), top = SIZE, 1500
    base, doubt = (
        [rng.integers(-top, top, s).astype(np.int16) for s in ((h, w), (h // 2, w // 2), (h // 2, w // 2))] for _ in "12"
    )
    base[0][:, : w // 2] = 0  # flat, so that some latents are quiet
    vectors = rng.integers(-9, 9, (2, h // 16, w // 16, 2)).astype(np.int16)
    motion = residual.Motion(Field(16, np.full(vectors.shape[1:3], BOTH, np.uint8), vectors), 0) if own.seen == 4 else None
    doubt = [plane // 9 for plane in doubt] if seed % 2 else [0 * plane for plane in doubt]
    return residual.context(tuple(base), tuple(doubt), latents(seed, 0.2), step, motion, own.mixing is not None)


def coded(own: Prior, memory: Memory | None, grids: list[np.ndarray], told: Seen) -> tuple[bytes, temporal.Frame]:
    coder = binary.encoding()
    frame = temporal.encode(own, memory, coder, grids, told, *SIZE)
    return frame.data, frame


def read(own: Prior, memory: Memory | None, data: bytes, told: Seen) -> temporal.Frame:
    buffer = np.frombuffer(data, np.uint8).copy()
    return temporal.decode(own, memory, binary.decoding(buffer), buffer, told, *SIZE)


def same(a: Memory, b: Memory) -> bool:
    mixings = [[m.mixing.maps, m.mixing.weights] if m.mixing else [] for m in (a, b)]
    return all(np.array_equal(x, y) for x, y in zip([*a[:2], *mixings[0]], [*b[:2], *mixings[1]], strict=True))


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(STARTS), st.integers(0, 99), st.sampled_from((0.05, 0.6, 30.0, 2000.0)))
def test_frames_and_what_they_taught_come_back_one_after_the_other(model: str, seed: int, spread: float) -> None:
    own, sent, got = start(model), None, None
    for number in range(2):
        grids, told = latents(seed + number, spread), seen(own, seed + number)
        data, frame = coded(own, sent, grids, told)
        back = read(own, got, data, told)
        assert all(np.array_equal(a, b) for a, b in zip(back.grids, grids, strict=True))
        assert abs(8 * len(data) - frame.bits) < 0.01 * frame.bits + 64
        sent, got = frame.memory, back.memory
        assert same(sent, got)


@pytest.mark.parametrize("model", STARTS)
def test_what_is_learnt_of_a_frame_makes_one_like_it_cheaper(model: str) -> None:
    own, told = start(model), seen(start(model), 3)
    first = coded(own, None, latents(3, 0.6), told)[1]
    again = coded(own, first.memory, latents(4, 0.6), told)[1]
    assert again.bits < 0.99 * coded(own, None, latents(4, 0.6), told)[1].bits


def test_signs_of_latents_that_are_those_of_the_prediction_cost_little() -> None:
    own, costs = start(MIXES), []
    told = seen(own, 2)
    for sign in (1, -1):
        rng = np.random.default_rng(0)
        grids = []
        for number, grid in enumerate(latents(2, 0.7)):
            signs = told(number)[-1] % 3 if residual.possible()[number] else 0 * grid
            alike = np.where(
                signs == 0, np.sign(grid), np.where(signs == 1, 1, -1) * (1 if sign > 0 else rng.choice((1, -1), grid.shape))
            )
            grids.append((np.abs(grid) * alike).astype(np.int32))
        costs.append(coded(own, coded(own, None, grids, told)[1].memory, grids, told)[1].bits)
    assert costs[0] < 0.97 * costs[1]


def test_maps_of_another_kind_of_prior_are_refused() -> None:
    own, pictures = start(MIXES), load_any_model("overfit-s.2")[1].prior
    with pytest.raises(ValueError, match="none"):
        replace(own, mixing=pictures.mixing).checked()
    with pytest.raises(ValueError, match="probabilities"):
        replace(own, chances=own.chances[:-1]).checked()


def test_any_maps_within_the_bounds_code_alike() -> None:
    own, rng, blank = start(MIXES), np.random.default_rng(0), Mixing.blank(True)
    maps, top = blank.maps.copy(), mixing.kernels().WEIGHT_TOP
    maps[..., 0], maps[..., 1] = rng.integers(0, 1 << 22, maps.shape[:-1]), rng.integers(0, 1024, maps.shape[:-1])
    weights = rng.choice((-top, top), blank.weights.shape).astype(np.int32)
    wild, grids, told = replace(own, mixing=Mixing(maps, weights)).checked(), latents(0, 4.0), seen(own, 1)
    back = read(wild, None, coded(wild, None, grids, told)[0], told)
    assert all(np.array_equal(a, b) for a, b in zip(back.grids, grids, strict=True))


def test_latents_that_end_early_or_late_are_corrupt() -> None:
    own, grids = start(MIXES), latents(1, 2.0)
    told = seen(own, 1)
    data = coded(own, None, grids, told)[0]
    for damaged in (data[: len(data) // 2], data + b"\x01"):
        with pytest.raises(CorruptStreamError):
            read(own, None, damaged, told)


def test_a_prior_that_does_not_mix_has_no_contexts_of_one_that_does() -> None:
    k = prior.kernels()
    assert prior.contexts(4, True) - prior.contexts(4) == 12 * k.CALM and len(start(MIXES).chances) == prior.contexts(4, True)
