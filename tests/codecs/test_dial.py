"""Regions of interest: bits go where the mask is white, the map survives in the stream, and damage to it is seen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calotype.codecs import container
from calotype.codecs.container import ROI, Chunk
from calotype.codecs.dial import CELL, MAX_LEVELS, Dial
from calotype.codecs.image import ImageCodec
from calotype.codecs.roi import Roi
from calotype.codecs.targets import Target, encode_to, psnr
from calotype.errors import CorruptStreamError, UsageError
from calotype.models.zoo import load_model


@pytest.fixture(scope="module")
def codec() -> ImageCodec:
    return ImageCodec(load_model(), tile=128)


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    y, x = np.mgrid[:150, :210]
    smooth = np.stack([2 * x + y, 255 - y, 4 * ((x + y) % 50)], 2)
    return (smooth + np.random.default_rng(0).normal(0, 8, smooth.shape)).clip(0, 255).astype(np.uint8)


def left_half(pixels: np.ndarray) -> np.ndarray:
    mask = np.zeros(pixels.shape[:2], np.uint8)
    mask[:, :96] = 255
    return mask


def test_bits_go_where_the_mask_is_white(codec, pixels) -> None:
    full, low = (codec.encode(pixels, q, reconstruct=True) for q in (80, 30))
    mixed = codec.encode(pixels, 80, reconstruct=True, roi=Roi(left_half(pixels), 50))
    assert len(low.data) < len(mixed.data) < len(full.data)
    inside, outside = slice(0, 80), slice(128, None)  # away from the seam
    for part, like in ((inside, full), (outside, low)):
        got, wanted = (psnr(e.reconstruction[:, part], pixels[:, part]) for e in (mixed, like))
        assert abs(got - wanted) < 0.5


@pytest.mark.parametrize("effort", [0, 1])
def test_the_decoder_gives_what_the_encoder_saw_over_several_tiles(pixels, effort) -> None:
    codec = ImageCodec(load_model(), tile=128, effort=effort)
    encoded = codec.encode(pixels, 70, b"icc", reconstruct=True, roi=Roi(left_half(pixels), 40))
    stream = container.read(encoded.data)
    assert len(stream.payloads(container.TILE)) == 4 and len(stream.payloads(ROI)) == 1
    assert np.array_equal(codec.decode(stream).pixels, encoded.reconstruction)
    assert abs(8 * len(encoded.data) - encoded.estimated_bits) < 0.01 * encoded.estimated_bits + 8 * 200


def test_a_white_mask_is_no_mask(codec, pixels) -> None:
    white = np.full(pixels.shape[:2], 255, np.uint8)
    assert codec.encode(pixels, 40, roi=Roi(white)).data == codec.encode(pixels, 40).data


def test_a_size_is_reached_with_a_mask_too(codec, pixels) -> None:
    budget = len(codec.encode(pixels, 50).data)
    encoded = encode_to(codec, pixels, Target("size", budget), roi=Roi(left_half(pixels), 30))
    assert 0.95 * budget < len(encoded.data) <= budget and encoded.quality > 50


def test_bad_masks_are_usage_errors(codec, pixels) -> None:
    for roi in (Roi(np.zeros((150, 211), np.uint8)), Roi(left_half(pixels), 101), Roi(left_half(pixels), -1)):
        with pytest.raises(UsageError):
            codec.encode(pixels, 50, roi=roi)
    with pytest.raises(UsageError):
        Dial.of_mask(np.zeros((4, 4)), 500, 100)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 9), columns=st.integers(1, 9), count=st.integers(2, MAX_LEVELS), seed=st.integers(0, 2**32 - 1)
)
def test_a_map_comes_back(rows, columns, count, seed) -> None:
    rng = np.random.default_rng(seed)
    levels = tuple(sorted(int(v) for v in rng.choice(1001, count, replace=False)))
    dial = Dial.of_cells(levels, rng.integers(0, count, (rows, columns)).astype(np.uint8))
    back = Dial.from_bytes(dial.to_bytes(), 2 * rows, 2 * columns)
    assert back.levels == levels and np.array_equal(back.latent, dial.latent)
    for height, width in ((2 * rows + 2, 2 * columns), (2 * rows, 2 * columns + 2)):
        with pytest.raises(CorruptStreamError):
            Dial.from_bytes(dial.to_bytes(), height, width)


@settings(max_examples=60, deadline=None)
@given(mask=st.integers(0, 2**32 - 1), quality=st.integers(0, 1000), drop=st.integers(0, 1000))
def test_a_cell_has_the_quality_of_its_whitest_pixel(mask, quality, drop) -> None:
    grey = np.random.default_rng(mask).choice([0, 1, 100, 254, 255], (70, 40)).astype(np.uint8)
    grey[:32, :32] = 0
    dial = Dial.of_mask(grey, quality, drop)
    latent = np.zeros((6, 4), np.uint8) if dial.latent is None else dial.latent
    found = np.array(dial.levels)[latent]
    assert found.max() <= quality and len(dial.levels) <= MAX_LEVELS and list(dial.levels) == sorted(set(dial.levels))
    assert (found[:2, :2] == max(quality - drop, 0)).all()
    white = np.pad(grey, ((0, 26), (0, 24))).reshape(3, CELL, 2, CELL).max((1, 3)) == 255
    assert (found[::2, ::2][white] == quality).all()


def test_a_damaged_map_is_refused(codec, pixels) -> None:
    encoded = codec.encode(pixels, 70, roi=Roi(left_half(pixels), 40))
    stream = container.read(encoded.data)
    good = bytes(stream.payloads(ROI)[0])
    assert np.array_equal(codec.decode(stream).pixels.shape, pixels.shape)
    bad = [b"", good[:1], good[:-1], good + b"\0", bytes([1]) + good[1:], bytes([17]) + good[1:], good[:4] + b"\xff" * 9]
    bad += [Dial((3, 2), np.array([[0, 1]] * 10, np.uint8).repeat(7, 1)).to_bytes()]
    for payload in bad:
        chunks = [Chunk(c.kind, payload if c.kind == ROI else c.payload) for c in stream.chunks]
        with pytest.raises(CorruptStreamError):
            codec.decode(container.read(container.write(stream.header, chunks)))
    twice = [Chunk(ROI, good), *stream.chunks]
    with pytest.raises(CorruptStreamError):
        codec.decode(container.read(container.write(stream.header, twice)))
