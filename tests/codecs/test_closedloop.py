"""Encoder effort: lower rate + lmbda MSE, and nothing that a decoder would see."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner

from calotype.cli.encode import encode
from calotype.codecs import container
from calotype.codecs.image import EFFORT, MAX_EFFORT, ImageCodec
from calotype.codecs.targets import psnr
from calotype.errors import UsageError
from calotype.models.image import LMBDA
from calotype.models.zoo import load_model


def photo(height: int, width: int) -> np.ndarray:
    """Shading, edges and noise: (height, width, 3) uint8."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:height, :width]
    shade = 128 + 70 * np.sin(x / 23) * np.cos(y / 31) + 40 * ((x // 19 + y // 27) % 2)
    return (np.stack([shade, shade - 20, 255 - shade], 2) + rng.normal(0, 5, (height, width, 3))).clip(0, 255).astype(np.uint8)


def cost(quality: float, effort: int) -> float:
    """Bits per pixel + lmbda MSE of a picture, at that dial position."""
    pixels = photo(160, 192)
    coded = ImageCodec(load_model(), effort=effort).encode(pixels, quality, reconstruct=True)
    lmbda = LMBDA[0] * (LMBDA[1] / LMBDA[0]) ** (quality / 100)
    return 8 * len(coded.data) / (160 * 192) + lmbda * 255**2 / 10 ** (psnr(coded.reconstruction, pixels) / 10)


@pytest.mark.parametrize("quality", [10, 50, 90])
def test_effort_never_raises_rate_plus_lmbda_distortion(quality) -> None:
    assert cost(quality, 3) <= cost(quality, 0) * 1.0001  # framing apart, the best of four rounds


def test_the_decoder_shows_the_reconstruction_at_every_effort_also_in_tiles() -> None:
    pixels = photo(150, 200)
    for effort, tile in ((0, 1024), (1, 128), (3, 1024)):
        codec = ImageCodec(load_model(), tile=tile, effort=effort)
        coded = codec.encode(pixels, 55, reconstruct=True)
        seen = ImageCodec(load_model()).decode(container.read(coded.data))
        np.testing.assert_array_equal(seen.pixels, coded.reconstruction)
        assert codec.encode(pixels, 55).data == coded.data


def test_the_commands_default_is_the_codecs_and_other_efforts_are_refused(tmp_path) -> None:
    context = encode.make_context("encode", ["a.png", "b.calo"])
    assert context.params["effort"] is None  # each codec takes its own
    assert f"default: {EFFORT};" in " ".join(context.get_help().split())
    for effort in (-1, MAX_EFFORT + 1):
        with pytest.raises(UsageError):
            ImageCodec(load_model(), effort=effort)
        assert CliRunner().invoke(encode, ["a.png", "b.calo", "-e", str(effort)]).exit_code == 2
