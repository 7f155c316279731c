"""Tiles do not show: analysis and synthesis are those of the whole picture, and pixels beside a border are coded as well as
they are where there is no border."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from calotype.codecs import container, painter
from calotype.codecs.dial import Dial
from calotype.codecs.grid import HALO, LATENT
from calotype.codecs.image import Grid, ImageCodec, iter_tiles
from calotype.models.zoo import load_model

HEIGHT, WIDTH, TILE = 700, 900, 256
QUALITY = 50


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """Shading, edges of every slope and noise in half of it: (700, 900, 3) uint8, nothing in it aligned to tiles."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float64)
    shade = 120 + 60 * np.sin(x / 41 + y / 97) * np.cos(y / 67) + 40 * np.sin((x * x + y * y) / 9e3)
    edges = 50.0 * (np.floor(x / 53 + y / 171) % 2) + 30.0 * (np.floor(y / 83 - x / 211) % 2)
    noise = np.random.default_rng(0).normal(0, 9, shade.shape) * (np.sin(x / 61) > 0)
    picture = np.stack([shade + edges, 0.8 * shade + 0.5 * edges, 230 - shade], axis=2) + noise[..., None]
    return picture.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def coded(pixels):
    """{side of the tiles: (codec, encoding)}; with 1024 the picture is one tile."""
    codecs = {tile: ImageCodec(load_model(), tile=tile) for tile in (TILE, 1024)}
    return {tile: (codec, codec.encode(pixels, QUALITY, reconstruct=True)) for tile, codec in codecs.items()}


def test_latents_of_tiles_are_those_of_the_whole_picture(pixels, coded) -> None:
    """To the float error of sums in another order; the encoder rounds them to whole steps."""
    codec = coded[TILE][0]
    grid = Grid.of(HEIGHT, WIDTH, TILE)
    [(whole, _)] = coded[1024][0].analyse(pixels, QUALITY).tiles
    tiles = codec.analyse(pixels, QUALITY).tiles
    assert len(tiles) == len(grid) == 12
    for number, (y, _) in enumerate(tiles):
        top, bottom, left, right = grid.box(*divmod(number, grid.shape[1]))
        torch.testing.assert_close(y, whole[:, :, top:bottom, left:right], rtol=1e-4, atol=2e-3)


def test_the_picture_of_tiles_is_that_of_all_their_latents_at_once(coded) -> None:
    codec, encoded = coded[TILE]
    stream, grid = container.read(encoded.data), Grid.of(HEIGHT, WIDTH, TILE)
    whole = np.zeros((grid.height, grid.width, codec.bundle.config.latents), np.int32)
    for number, tile in enumerate(iter_tiles(stream)):
        top, bottom, left, right = grid.box(*divmod(number, grid.shape[1]))
        whole[top:bottom, left:right] = codec.symbols(*tile)[1]
    picture = codec.bundle.synthesis(whole[None], Dial((10 * QUALITY,)).quality)[0, :HEIGHT, :WIDTH]
    assert np.array_equal(picture, codec.decode(stream).pixels)


@pytest.mark.parametrize("part", [1 << 14, 1 << 17, 1 << 19, 1 << 22])
def test_a_picture_painted_in_parts_of_any_size_is_the_same(coded, monkeypatch, part) -> None:
    """From parts narrower than a tile to all at once."""
    codec, encoded = coded[TILE]
    monkeypatch.setattr(painter, "PART", part)
    assert np.array_equal(codec.decode(container.read(encoded.data)).pixels, encoded.reconstruction)


def test_what_is_painted_at_a_time_is_bounded_for_a_picture_of_any_size(coded, monkeypatch) -> None:
    codec, encoded = coded[TILE]
    sizes, synthesise = [], type(codec.bundle.synthesis).__call__

    def watched(self, y_hat, quality):
        sizes.append(y_hat.shape[1] * y_hat.shape[2] * LATENT**2)
        return synthesise(self, y_hat, quality)

    monkeypatch.setattr(painter, "PART", 1 << 16)
    monkeypatch.setattr(type(codec.bundle.synthesis), "__call__", watched)
    codec.decode(container.read(encoded.data))
    halo = 2 * HALO * LATENT
    rows = TILE + halo  # a row of tiles is known at a time
    assert len(sizes) > 4 and max(sizes) <= (rows + halo) * (2 * painter.PART // TILE + halo)


def test_pixels_beside_borders_are_within_a_tenth_of_a_decibel_of_what_they_are_without(pixels, coded) -> None:
    near = np.zeros((HEIGHT, WIDTH), bool)
    for border in range(TILE, HEIGHT, TILE):
        near[border - 8 : border + 8] = True
    for border in range(TILE, WIDTH, TILE):
        near[:, border - 8 : border + 8] = True
    found = {tile: (encoded.reconstruction - pixels.astype(float))[near] for tile, (_, encoded) in coded.items()}
    tiled, whole = (10 * np.log10(255**2 / np.mean(found[tile] ** 2)) for tile in (TILE, 1024))
    assert near.mean() > 0.05 and abs(tiled - whole) < 0.1


@pytest.fixture(scope="module")
def script():
    """scripts/large_picture.py, its tiles of 1024 pixels made 256."""
    path = Path(__file__).parents[2] / "scripts" / "large_picture.py"
    spec = importlib.util.spec_from_file_location("large_picture", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["large_picture"] = module  # its dataclass looks itself up there
    spec.loader.exec_module(module)
    module.TILE_SIDE, module.SHIFT = TILE, TILE // 2
    return module


def test_the_large_picture_script_sees_a_seam_and_nothing_where_there_is_none(pixels, script) -> None:
    rng = np.random.default_rng(0)

    def damaged(picture: np.ndarray, seam: float) -> np.ndarray:
        spread = np.full(picture.shape[:2], 2.0)
        for band in script.bands(*picture.shape[:2]):
            spread[band] = seam
        return (picture + rng.normal(size=picture.shape) * spread[..., None]).round().clip(0, 255).astype(np.uint8)

    cut = pixels[TILE // 2 :, TILE // 2 :]
    for seam, low, high in ((2.0, -0.05, 0.05), (2.2, -2, -0.3)):
        at_border, inside, _ = script.judge(pixels, damaged(pixels, seam), damaged(cut, seam))
        assert low < at_border - inside < high


def test_the_mosaic_of_the_same_photos_is_the_same_each_time(script, tmp_path, pixels) -> None:
    for number, part in enumerate((pixels, pixels[:60, :80], pixels[::-1])):
        Image.fromarray(part).save(tmp_path / f"{number}.png")
    photos = sorted(tmp_path.iterdir())
    made = script.mosaic(photos, 1300, 640)
    assert made.shape == (1300, 640, 3) and np.array_equal(made, script.mosaic(photos, 1300, 640))
    assert not np.array_equal(made, script.mosaic(photos[1:], 1300, 640))
