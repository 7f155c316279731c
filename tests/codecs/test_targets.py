"""Encoding to a size, a rate or a PSNR: reached, near it, and in few passes."""

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
    above = codec.encode(pixels, encoded.quality + 0.1, b"icc")
    assert len(encoded.data) <= budget and (len(encoded.data) > 0.985 * budget or len(above.data) > budget)
    decoded = codec.decode(container.read(encoded.data))
    assert np.array_equal(decoded.pixels, encoded.reconstruction) and decoded.icc == b"icc"


@pytest.mark.parametrize("share", [0.02, 0.6])
def test_the_least_quality_that_reaches_a_psnr(codec, pixels, ends, share) -> None:
    low, high = (psnr(e.reconstruction, pixels) for e in ends)
    wanted = low + share * (high - low)
    encoded = encode_to(codec, pixels, Target("psnr", wanted))
    reached = psnr(codec.decode(container.read(encoded.data)).pixels, pixels)
    below = codec.encode(pixels, encoded.quality - 0.1, reconstruct=True)
    assert reached >= wanted and (reached < wanted + 0.03 or psnr(below.reconstruction, pixels) < wanted)


@pytest.mark.parametrize("kind", ["size", "psnr"])
def test_a_search_takes_eight_entropy_stages_and_two_analyses_at_most(codec, pixels, ends, kind, monkeypatch) -> None:
    calls = {"encode": 0, "analyse": 0}
    for name in calls:
        real = getattr(codec, name)

        def counted(*args, name=name, real=real, **more):
            calls[name] += 1
            return real(*args, **more)

        monkeypatch.setattr(codec, name, counted)
    values = [psnr(e.reconstruction, pixels) if kind == "psnr" else len(e.data) for e in ends]
    for share in (0.1, 0.25, 0.4, 0.6, 0.75, 0.9):
        calls.update(encode=0, analyse=0)
        encode_to(codec, pixels, Target(kind, values[0] + share * (values[1] - values[0])))
        assert 1 <= calls["encode"] <= 8 and 1 <= calls["analyse"] <= 2


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
