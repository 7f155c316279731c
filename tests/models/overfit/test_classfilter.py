"""The filters by class of pictures: classes tell activity and direction, and least squares find what planes were made with."""

from __future__ import annotations

import numpy as np
import pytest

from calotype import threads
from calotype.models.overfit import classfilter
from calotype.models.overfit.sizes import BUSY, LOOP_FRACTION, TAP_REACH, TAPS
from calotype.train.wiener import ClassFit


def rough(seed: int, spread: float = 40, shape: tuple[int, int] = (70, 90)) -> np.ndarray:
    return classfilter.samples(np.random.default_rng(seed).normal(0, 8 * spread, shape).astype(np.int64))


def test_flat_samples_have_the_first_class_and_noise_the_last_activity() -> None:
    assert not classfilter.classes(np.full((40, 50), 700, np.int16)).any()
    loud = classfilter.classes(rough(0, 3000)) // 9
    assert (loud == len(BUSY)).all()


@pytest.mark.parametrize(("down", "right"), [(0, 1), (1, 0), (1, 1), (1, -1)])
def test_stripes_have_the_class_of_the_direction_they_change_along(down: int, right: int) -> None:
    y, x = np.mgrid[:60, :60]
    stripes = (200 * np.sin((down * y + right * x) * 0.9)).astype(np.int16)
    axis = ((0, 1), (1, 0), (1, 1), (1, -1)).index((down, right))
    found = classfilter.classes(stripes)[8:-8, 8:-8] % 9
    across, down_too, falling, rising = range(4)
    expected = {across: 1, down_too: 0, falling: 2 + 1, rising: 2}[axis]
    assert (found == 5 + expected).mean() > 0.9


def test_the_compiled_loop_does_what_the_interpreter_does_whatever_the_samples() -> None:
    from calotype.models.overfit import class_kernels

    wide = np.random.default_rng(0).integers(-(1 << 15), 1 << 15, (7 + 2 * TAP_REACH, 9 + 2 * TAP_REACH)).astype(np.int16)
    found = [np.zeros((7, 9), np.uint8) for _ in range(2)]
    class_kernels.classify(wide, 2, 6, found[0])
    class_kernels.classify.py_func(wide, 2, 6, found[1])
    assert np.array_equal(*found)


def test_strips_and_threads_change_nothing() -> None:
    weights = np.random.default_rng(1).integers(-900, 900, classfilter.SHAPE[1:]).astype(np.int32)
    plane, before, found = rough(2), threads.set_count(1), []
    try:
        for count in (1, 2):
            threads.set_count(count)
            found.append(classfilter.corrections(plane, weights))
    finally:
        threads.set_count(before)
    wide, of = np.pad(plane.astype(np.int64), TAP_REACH, mode="edge"), classfilter.classes(plane)
    h, w = plane.shape
    around = [[wide[TAP_REACH + s * d :, TAP_REACH + s * r :][:h, :w] for s in (1, -1)] for d, r in TAPS]
    expected = sum(weights[of, k] * (a + b - 2 * plane.astype(np.int64)) for k, (a, b) in enumerate(around))
    assert np.array_equal(found[0], expected) and np.array_equal(found[1], expected)


def test_the_filters_that_planes_were_made_with_are_found() -> None:
    made = np.zeros(classfilter.SHAPE[1:], np.int32)
    made[:, TAPS.index((0, 1))] = (1 << LOOP_FRACTION) // 8
    made[40:, TAPS.index((1, 1))] = (1 << LOOP_FRACTION) // 16
    fit, often = ClassFit(1, classfilter.CLASSES), np.zeros(classfilter.CLASSES, int)
    for spread in (2, 10, 40, 100):
        plane = rough(spread, spread, (160, 160))
        missing = classfilter.corrections(plane, made) / (1 << LOOP_FRACTION)
        fit.add(0, plane, classfilter.classes(plane), missing.astype(np.float32), 1 / classfilter.UNIT)
        often += np.bincount(classfilter.classes(plane).ravel(), minlength=classfilter.CLASSES)
    seen = often > 300  # of fewer samples twelve weights are not told apart
    assert seen.sum() > 10 and np.abs(fit.solved()[0] - made)[seen].max() < 0.02 * (1 << LOOP_FRACTION)


def test_weights_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="class"):
        classfilter.checked(np.zeros(classfilter.SHAPE[1:], np.int32))
    with pytest.raises(ValueError, match="class"):
        classfilter.checked(np.full(classfilter.SHAPE, 1 << 15, np.int32))
