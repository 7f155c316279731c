"""The transform of inter frames in integers is the encoder's in floats and inverts; what the prior sees is where it is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calotype.models.motion.field import SECOND, Field
from calotype.models.overfit import residual, wavelet
from calotype.models.overfit.layout import Grid, order
from calotype.models.overfit.loop import PLAIN
from calotype.models.overfit.residual import FULL, HALF
from calotype.models.overfit.sizes import LEVELS, PLANES, REST, TEMPORAL
from calotype.models.overfit.synthesis import merged

ROUNDING = 20  # of some sixty roundings on the way to the coarsest level, in 1/32 level: at most 16.1 of 1,000 seeds


def planes(
    seed: int, height: int = 64, width: int = 96, top: int = 4000, full: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = [(height >> p, width >> p) for p in ((0, 0, 0) if full else (0, 1, 1))]
    a, b, c = (rng.integers(-top, top + 1, shape).astype(np.int16) for shape in shapes)
    return a, b, c


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 999), st.sampled_from([(32, 32), (64, 96), (32, 160)]), st.booleans())
def test_splitting_is_the_floats_transform_and_merging_undoes_it(seed: int, size: tuple[int, int], full: bool) -> None:
    source, finest = planes(seed, *size, full=full), (FULL if full else HALF).finest
    parts = residual.split(source)
    for p in range(PLANES):
        floats = wavelet.analyse_plane(source[p].astype(np.float32), p, finest[p])
        assert {g for g in parts if g.plane == p} == floats.keys()
        assert all(np.abs(parts[g] - floats[g]).max() < ROUNDING for g in floats)
    for p in range(PLANES):
        assert np.abs(merged(parts, p, finest[p]) - source[p]).max() < ROUNDING


def test_no_latents_give_the_prediction_rounded_and_clipped() -> None:
    base = planes(1, 32, 64, 4096)
    wide = residual.synthesise(residual.empty(32, 64), base, 640)
    shown = residual.show(wide, base, 640, None, PLAIN)
    for plane, found in zip(base, shown, strict=True):
        assert np.array_equal(found, np.clip(((plane.astype(int) + 16) >> 5) + 128, 0, 255))


@pytest.mark.parametrize("form", [HALF, FULL])
@pytest.mark.parametrize("quality", [1, 64, 4000])
def test_a_latent_moves_its_plane_by_steps_over_scale(quality: int, form: residual.Form) -> None:
    side = 64 if form is FULL else 32
    base = tuple(np.zeros(shape, np.int16) for shape in ((64, 64), (side, side), (side, side)))
    for p in range(PLANES):
        grids = residual.empty(64, 64)
        number = order().index(Grid(p, LEVELS, REST))
        grids[number][:] = 2
        wanted = 2 * quality / 64 / form.scales[p] / 2 ** (LEVELS - form.finest[p] + 1)  # a constant grows twofold a level
        moved = residual.synthesise(grids, base, quality)[p] / 32
        assert np.abs(moved - np.clip(wanted, -128, 127)).max() <= 1 + 0.02 * wanted


def test_a_prior_sees_texture_doubt_and_the_frame_before_where_they_are() -> None:
    base, none = planes(3), tuple(np.zeros_like(p) for p in planes(3))
    number = order().index(Grid(0, 2, 1))
    before = residual.empty(64, 96)
    before[number][3, 4] = 9
    seen = residual.context(base, none, before, 64)(number)
    assert seen.shape == (2 * TEMPORAL[0], 16, 24) and seen[:2].any() and not seen[2:4].any()
    assert np.flatnonzero(seen[4]).tolist() == [3 * 24 + 4] and (seen[5] > 0).sum() == 8
    assert (
        residual.context(none, base, None, 64)(number)[2:4].any() and not residual.context(none, none, None, 64)(number).any()
    )


def test_latents_before_are_seen_from_where_motion_points_to_and_motion_where_it_changes() -> None:
    base = planes(3)
    number = order().index(Grid(0, 2, 1))
    before = residual.empty(64, 96)
    before[number][5, 7] = 9
    vectors = np.zeros((2, 4, 6, 2), np.int16)
    vectors[1, :, 3:] = (32, -16)  # of level 2: two places down, one to the left
    field = Field(16, np.full((4, 6), SECOND, np.uint8), vectors)
    seen = residual.context(base, base, before, 64, residual.Motion(field, 1))(number)
    assert seen.shape == (2 * TEMPORAL[1], 16, 24)
    assert np.flatnonzero(seen[4]).tolist() == [5 * 24 + 7]  # in a block that stands still
    assert np.flatnonzero(residual.Motion(field, 1).moved(np.roll(before[number], 8, 1), 2)).tolist() == [3 * 24 + 16]
    assert set(np.flatnonzero(seen[6].any(0))) == set(range(8, 16)) and (seen[7] == 64).all()
