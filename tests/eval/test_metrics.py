from __future__ import annotations

import math

import numpy as np
import pytest

from calotype.errors import UsageError
from calotype.eval.metrics import differing_pixels, mse_rgb, psnr_rgb


def test_psnr_is_the_textbook_figure():
    a = np.zeros((2, 3, 3), np.uint8)
    b = a.copy()
    b[0, 0, 0] = 6  # 36 over 18 samples
    assert mse_rgb(a, b) == 2
    assert psnr_rgb(a, b) == pytest.approx(10 * math.log10(255**2 / 2))
    assert psnr_rgb(a, np.full_like(a, 255)) == 0


def test_psnr_equals_a_float64_computation():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 256, (2, 31, 17, 3), dtype=np.uint8)
    mse = np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2)
    assert psnr_rgb(a, b) == pytest.approx(10 * np.log10(255**2 / mse), rel=1e-12)


def test_equal_pictures_have_infinite_psnr_and_no_differing_pixel():
    a = np.random.default_rng(1).integers(0, 256, (8, 5, 3), dtype=np.uint8)
    assert psnr_rgb(a, a.copy()) == math.inf
    assert differing_pixels(a, a.copy()) == 0


def test_a_pixel_that_differs_in_two_channels_counts_once():
    a = np.zeros((4, 4, 3), np.uint8)
    b = a.copy()
    b[1, 1, :2], b[3, 0, 2] = 1, 255
    assert differing_pixels(a, b) == 2


@pytest.mark.parametrize("other", [np.zeros((4, 5, 3), np.uint8), np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8)])
def test_pictures_that_cannot_be_compared_are_refused(other):
    with pytest.raises(UsageError):
        psnr_rgb(np.zeros((4, 4, 3), np.uint8), other)
