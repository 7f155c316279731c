from __future__ import annotations

import hashlib
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calotype.codecs.header import Colour
from calotype.codecs.video import colour
from calotype.codecs.y4m import plane_shapes
from calotype.errors import UsageError

COLOURS = [Colour(matrix, rng, "420", 8) for matrix in ("bt709", "bt601", "bt2020") for rng in ("limited", "full")]
FULL = [Colour(kind.matrix, kind.range, "444", 8) for kind in COLOURS]
KR_KB = {"bt709": (0.2126, 0.0722), "bt601": (0.299, 0.114), "bt2020": (0.2627, 0.0593)}  # ITU-T H.273


def constant_planes(width, height, values, chroma="420"):
    shapes = plane_shapes(width, height, chroma)
    return tuple(np.full(shape, value, np.uint8) for shape, value in zip(shapes, values, strict=True))


def formula(rgb, kind):
    """Y, U, V of one RGB colour by the equations of ITU-T H.273, exactly."""
    kr, kb = (Fraction(str(k)) for k in KR_KB[kind.matrix])
    r, g, b = (Fraction(int(value), 255) for value in rgb)
    y = kr * r + (1 - kr - kb) * g + kb * b
    scale, chroma, offset = (219, 224, 16) if kind.range == "limited" else (255, 255, 0)
    return offset + scale * y, 128 + chroma * (b - y) / (2 - 2 * kb), 128 + chroma * (r - y) / (2 - 2 * kr)


@pytest.mark.parametrize("kind", COLOURS + FULL, ids=str)
@settings(max_examples=60, deadline=None)
@given(rgb=st.tuples(*[st.integers(0, 255)] * 3))
def test_every_colour_is_that_of_the_standard_rounded(kind, rgb):
    planes = colour.to_planes(np.full((3, 5, 3), rgb, np.uint8), kind)
    for plane, exact in zip(planes, formula(rgb, kind), strict=True):
        assert (plane == plane[0, 0]).all()
        assert abs(min(exact, Fraction(255)) - int(plane[0, 0])) <= Fraction(503, 1000)  # half, and the weights' rounding


@pytest.mark.parametrize("kind", COLOURS, ids=str)
def test_greys_stay_grey_black_and_white_are_the_ends_and_come_back(kind):
    low, high = (16, 235) if kind.range == "limited" else (0, 255)
    for level in range(low, high + 1):
        planes = constant_planes(3, 3, (level, 128, 128))
        rgb = colour.to_rgb(planes, kind)
        assert (rgb == rgb[0, 0, 0]).all()
        assert all(map(np.array_equal, colour.to_planes(rgb, kind), planes))
    assert (colour.to_rgb(constant_planes(2, 2, (low, 128, 128)), kind) == 0).all()
    assert (colour.to_rgb(constant_planes(2, 2, (high, 128, 128)), kind) == 255).all()


@pytest.mark.parametrize("kind", COLOURS + FULL, ids=str)
@settings(max_examples=25, deadline=None)
@given(width=st.integers(1, 9), height=st.integers(1, 9), seed=st.integers(0, 2**32 - 1))
def test_planes_that_rgb_can_hold_come_back_within_one_step_at_any_size(kind, width, height, seed):
    rng = np.random.default_rng(seed)
    ranges = ((90, 166), (108, 149), (108, 149))  # inside the RGB cube for every matrix
    planes = tuple(
        rng.integers(*span, shape, dtype=np.uint8)
        for span, shape in zip(ranges, plane_shapes(width, height, kind.chroma), strict=True)
    )
    back = colour.to_planes(colour.to_rgb(planes, kind), kind)
    for plane, found in zip(planes, back, strict=True):
        assert plane.shape == found.shape
        assert np.abs(plane.astype(int) - found).max() <= 1


def test_rgb_comes_back_from_4_4_4_within_a_few_levels():
    rgb = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    kind = Colour("bt709", "full", "444", 8)
    left = colour.to_rgb(colour.to_planes(rgb, kind), kind).astype(int) - rgb
    assert np.abs(left).max() <= 2 and 10 * np.log10(255**2 / np.square(left).mean()) > 51


def test_the_bytes_are_pinned_so_that_no_machine_or_version_gets_others():
    rng = np.random.default_rng(7)
    planes = tuple(rng.integers(0, 256, shape, dtype=np.uint8) for shape in plane_shapes(5, 3))
    digest = hashlib.sha256()
    for kind in COLOURS:
        rgb = colour.to_rgb(planes, kind)
        for array in (rgb, *colour.to_planes(rgb, kind)):
            digest.update(array.tobytes())
    assert digest.hexdigest()[:16] == "9fd661f18ea25eda"


def test_read_only_and_strided_planes_are_taken():
    wide = np.arange(64, dtype=np.uint8).reshape(8, 8)
    planes = (wide[:4, ::2], wide[:2, :2], wide[2:4, 1:3])
    frozen = tuple(plane.copy() for plane in planes)
    for plane in frozen:
        plane.setflags(write=False)
    assert np.array_equal(colour.to_rgb(planes, COLOURS[0]), colour.to_rgb(frozen, COLOURS[0]))


@pytest.mark.parametrize("kind", [Colour(), Colour("ycgco", "full", "420"), Colour("bt709", "full", "422")], ids=str)
def test_other_colours_are_refused(kind):
    with pytest.raises(UsageError, match="bt2020"):
        colour.to_rgb(constant_planes(2, 2, (1, 2, 3)), kind)
    with pytest.raises(UsageError, match="bt2020"):
        colour.to_planes(np.zeros((2, 2, 3), np.uint8), kind)
