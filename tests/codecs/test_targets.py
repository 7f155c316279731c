"""Encoding to a size, a rate or a PSNR: reached, and by the last step of the dial that does."""

from __future__ import annotations

import math

import numpy as np
import pytest

from calotype.codecs import container
from calotype.codecs.image import ImageCodec
from calotype.codecs.targets import Target, encode_to, psnr
from calotype.errors import UsageError
from calotype.models.zoo import load_model


@pytest.fixture(scope="module")
def codec() -> ImageCodec:
    return ImageCodec(load_model())


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    y, x = np.mgrid[:48, :64]
    smooth = np.stack([2 * x + y, 255 - 3 * y, 4 * ((x + y) % 50)], 2)
    return (smooth + np.random.default_rng(0).normal(0, 8, smooth.shape)).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def ends(codec, pixels):
    """The encodings at quality 0 and 100."""
    return [codec.encode(pixels, q, reconstruct=True) for q in (0, 100)]


def test_quality_is_taken_as_it_is(codec, pixels) -> None:
    assert encode_to(codec, pixels, Target("quality", 33.3)).data == codec.encode(pixels, 33.3).data


@pytest.mark.parametrize("share", [0.02, 0.5])
@pytest.mark.parametrize("kind", ["size", "bpp"])
def test_the_best_quality_that_fits(codec, pixels, ends, kind, share) -> None:
    low, high = (len(e.data) for e in ends)
    budget = int(low + share * (high - low))
    value = budget if kind == "size" else budget * 8 / (48 * 64)
    encoded = encode_to(codec, pixels, Target(kind, value), b"icc", reconstruct=True)
    assert len(encoded.data) <= budget
    assert len(codec.encode(pixels, encoded.quality + 0.1, b"icc").data) > budget
    decoded = codec.decode(container.read(encoded.data))
    assert np.array_equal(decoded.pixels, encoded.reconstruction) and decoded.icc == b"icc"


@pytest.mark.parametrize("share", [0.02, 0.6])
def test_the_least_quality_that_reaches_a_psnr(codec, pixels, ends, share) -> None:
    low, high = (psnr(e.reconstruction, pixels) for e in ends)
    wanted = low + share * (high - low)
    encoded = encode_to(codec, pixels, Target("psnr", wanted))
    assert psnr(codec.decode(container.read(encoded.data)).pixels, pixels) >= wanted
    assert psnr(codec.encode(pixels, encoded.quality - 0.1, reconstruct=True).reconstruction, pixels) < wanted


def test_the_ends_of_the_dial_are_reached(codec, pixels, ends) -> None:
    smallest, largest = (len(e.data) for e in ends)
    assert encode_to(codec, pixels, Target("size", smallest)).quality >= 0
    assert encode_to(codec, pixels, Target("size", 10 * largest)).quality == 100
    assert encode_to(codec, pixels, Target("psnr", 1)).quality == 0


def test_out_of_reach_is_a_usage_error_that_says_what_is_reachable(codec, pixels, ends) -> None:
    smallest = len(ends[0].data)
    with pytest.raises(UsageError, match=f"{smallest} bytes"):
        encode_to(codec, pixels, Target("size", smallest - 1))
    with pytest.raises(UsageError, match=f"{smallest} bytes"):
        encode_to(codec, pixels, Target("bpp", 0.001))
    with pytest.raises(UsageError, match=f"{psnr(ends[1].reconstruction, pixels):.2f} dB"):
        encode_to(codec, pixels, Target("psnr", 99))
    for value in (0, -1, math.nan, math.inf):
        with pytest.raises(UsageError):
            encode_to(codec, pixels, Target("size", value))


def test_psnr_is_over_all_samples() -> None:
    a = np.zeros((2, 3, 3), np.uint8)
    b = a.copy()
    assert psnr(a, b) == math.inf
    b[0, 0, 0] = 255
    assert psnr(a, b) == pytest.approx(10 * math.log10(18))
    assert psnr(b, a) == psnr(a, b)
