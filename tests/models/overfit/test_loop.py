"""The filter of inter frames is the formula of docs/FORMAT.md, leaves flat samples alone, and is as strong as helps most."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calotype.models.overfit import loop, residual
from calotype.models.overfit.sizes import ACTIVITIES, CHANGES, LOOP_FRACTION, TAPS


def wide(seed: int, height: int, width: int, top: int = 4000) -> np.ndarray:
    return np.random.default_rng(seed).integers(-top, top, (height, width)).astype(np.int16)


def weights(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-300, 301, loop.SHAPE).astype(np.int32)


def box(plane: np.ndarray) -> np.ndarray:
    h, w = plane.shape
    padded = np.pad(plane, 2, mode="edge")
    return sum(padded[y : y + h, x : x + w] for y in range(5) for x in range(5))


def at(plane: np.ndarray, down: int, right: int) -> np.ndarray:
    h, w = plane.shape
    return np.pad(plane.astype(np.int64), 3, mode="edge")[3 + down : 3 + down + h, 3 + right : 3 + right + w]


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 99), st.sampled_from([(32, 32), (16, 48), (1, 3)]), st.sampled_from([5, 300, 4000]), st.integers(1, 3000))
def test_classes_and_corrections_are_the_specifications(seed: int, size: tuple[int, int], top: int, step: int) -> None:
    plane, base, w = wide(seed, *size, top), wide(seed + 1, *size, top), weights(seed)[0]
    unit = residual.unit(0, step)
    across = box(np.abs(2 * at(plane, 0, 0) - at(plane, 0, 1) - at(plane, 0, -1)))
    down = box(np.abs(2 * at(plane, 0, 0) - at(plane, 1, 0) - at(plane, -1, 0)))
    change = box(np.abs(plane.astype(np.int64) - base))
    active = sum((8192 * (across + down) >= bound * unit).astype(int) for bound in ACTIVITIES)
    changed = sum((8192 * change >= bound * unit).astype(int) for bound in CHANGES)
    along = np.where(2 * across <= down, 0, np.where(across >= 2 * (down + 1), 2, 1))
    classes = (3 * active + along) * 3 + changed
    assert np.array_equal(loop.classes(plane, base, unit), classes)
    wanted = sum(w[classes, k] * (at(plane, y, x) + at(plane, -y, -x) - 2 * at(plane, 0, 0)) for k, (y, x) in enumerate(TAPS))
    assert np.array_equal(loop.corrections(plane, base, unit, w), wanted)


def test_a_flat_plane_stays_and_strength_none_is_no_filter() -> None:
    flat, rough = np.full((32, 32), 777, np.int16), wide(1, 32, 32)
    assert not loop.corrections(flat, flat, 100, weights(0)[0]).any()
    more = loop.corrections(rough, flat, 100, weights(0)[0])
    assert np.array_equal(loop.shown(rough, more, 0), loop.shown(rough, None, 0))
    assert not np.array_equal(loop.shown(rough, more, 8), loop.shown(rough, None, 0))


@pytest.mark.parametrize("strength", [0, 3, 8, 15])
def test_the_best_strength_is_that_with_which_the_frame_was_made(strength: int) -> None:
    plane, w = wide(2, 64, 64, 2000), weights(3)[0]
    more = loop.corrections(plane, np.zeros_like(plane), 640, w)
    assert np.abs(more >> LOOP_FRACTION).max() > 1000
    assert loop.best([loop.shown(plane, more, strength)], [plane], [more]) == strength


def test_weights_out_of_bounds_are_none() -> None:
    with pytest.raises(ValueError, match="weights"):
        loop.checked(weights(0)[:1])
    with pytest.raises(ValueError, match="weights"):
        loop.checked(weights(0) * 200)
