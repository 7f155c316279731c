"""Where fits start: the colours of a picture's large areas, or of its details."""

from __future__ import annotations

import numpy as np
import pytest

from calotype.codecs.overfitstarts import REACHES, SHARES, own_colours, starts
from calotype.codecs.overfitting import STARTS, fit
from calotype.codecs.registry import open_model
from calotype.models.overfit.side import COLOUR_STEP
from calotype.models.overfit.synthesis import COLOUR_FRACTION

SHIPPED = np.rint(np.eye(3) * (1 << COLOUR_FRACTION)).astype(np.int64)
AREAS, DETAILS = np.array([0.6, 0.8, 0.0]), np.array([0.8, -0.6, 0.0])


def picture() -> np.ndarray:
    """Wide stripes along AREAS, and weaker single pixels along DETAILS, which is at right angles to it."""
    wide = np.where(np.arange(96) // 48, 70.0, -70.0)[None, :, None] * AREAS
    fine = np.where(np.add.outer(np.arange(64), np.arange(96)) % 2, 20.0, -20.0)[..., None] * DETAILS
    return np.rint(128 + wide + fine).astype(np.uint8)


def first_axis(reach: int) -> np.ndarray:
    return (SHIPPED + COLOUR_STEP * own_colours(SHIPPED, picture(), reach))[:, 0] / (1 << COLOUR_FRACTION)


def test_the_first_plane_is_the_areas_colour_or_that_of_the_details() -> None:
    assert abs(first_axis(0) @ AREAS) > 0.99
    assert abs(first_axis(2) @ DETAILS) > 0.99


@pytest.mark.parametrize("reach", REACHES)
def test_colours_are_a_rotation(reach: int) -> None:
    rng = np.random.default_rng(reach)
    pixels = rng.integers(0, 256, (9, 7, 3), np.uint8)
    axes = (SHIPPED + COLOUR_STEP * own_colours(SHIPPED, pixels, reach)) / (1 << COLOUR_FRACTION)
    assert np.abs(axes.T @ axes - np.eye(3)).max() < 0.01


def test_a_picture_of_one_pixel_or_one_colour_has_starts() -> None:
    for pixels in (np.zeros((1, 1, 3), np.uint8), np.full((5, 4, 3), 7, np.uint8)):
        assert all(np.isfinite(colours).all() for colours, _ in starts(SHIPPED, pixels, len(REACHES)))


def test_starts_are_as_many_as_asked_for_colours_first() -> None:
    for count in range(len(REACHES) + len(SHARES) + 1):
        found = list(starts(SHIPPED, picture(), count))
        assert len(found) == count
        assert [colours is not None for colours, _ in found] == [k < len(REACHES) for k in range(count)]


def test_a_fit_goes_on_from_the_cheapest_of_its_starts() -> None:
    """Details alone cost bits here, so theirs are the colours that it takes; one start has the shipped ones."""
    bundle = open_model("overfit").bundle
    shipped, made = bundle.synthesis.colours, {}
    for effort in (0, 1):
        made[effort] = fit(bundle, picture(), 600, effort, None, lambda state: None).side.colours
    assert STARTS[0] == 1 and not made[0].any()
    tried = [colours for colours, _ in starts(shipped, picture(), STARTS[1] - 1)]
    assert any((made[1] == colours).all() for colours in tried)
    assert (made[1] == own_colours(shipped, picture(), REACHES[1])).all()
