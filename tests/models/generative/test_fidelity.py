"""Filters of generative pictures: they add what their taps say, by class, and every picture that is coded has a place."""

from __future__ import annotations

import numpy as np
import pytest

from calotype.models.generative import fidelity
from calotype.models.generative.dial import QUALITIES, SCALES, Coded, place
from calotype.models.overfit.sizes import LOOP_FRACTION, TAPS


def picture(seed: int = 0) -> np.ndarray:
    """(3, h, w) float32 in 0..1, rough on the left, flat on the right."""
    made = np.random.default_rng(seed).uniform(0, 1, (3, 40, 64)).astype(np.float32)
    made[..., 32:] = 0.25
    return made


def around(samples: np.ndarray) -> np.ndarray:
    """Left and right neighbours less twice the sample; edges repeated."""
    wide = np.pad(samples, ((0, 0), (0, 0), (1, 1)), mode="edge")
    return wide[..., :-2] + wide[..., 2:] - 2 * samples


def test_filters_of_zeros_add_nothing() -> None:
    assert not fidelity.corrections(picture(), np.zeros(fidelity.SHAPE[2:], np.int16)).any()


def test_a_filter_adds_its_weights_of_the_differences_to_samples_around() -> None:
    weights = np.zeros(fidelity.SHAPE[2:], np.int16)
    weights[:, TAPS.index((0, 1))] = (1 << LOOP_FRACTION) // 8
    found = fidelity.corrections(picture(), weights)
    assert np.abs(found - around(picture()) / 8).max() < 1 / 255 / 8


def test_flat_and_rough_samples_are_of_different_classes() -> None:
    weights = np.zeros(fidelity.SHAPE[2:], np.int16)
    weights[3:, TAPS.index((0, 1))] = 400  # all but the least active
    ramp = np.broadcast_to(np.square(np.linspace(0, 0.4, 64, dtype=np.float32)), (3, 40, 64))
    assert fidelity.corrections(picture(), weights)[..., :28].any() and not fidelity.corrections(ramp, weights).any()


@pytest.mark.parametrize("scale", range(1, SCALES + 1))
def test_every_picture_that_is_coded_has_weights(scale: int) -> None:
    places = {fidelity.place_of(Coded(scale, quality)) for quality in range(QUALITIES + 1)}
    assert places == {(scale - 1, number) for number in range(fidelity.RANGES)}


def test_the_dial_reaches_every_set_but_those_of_qualities_that_a_third_of_the_size_never_has() -> None:
    assert len({fidelity.place_of(place(dial)) for dial in range(1001)}) == 7
