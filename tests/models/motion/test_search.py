"""The search finds motion that is there, the same every time, within the limits."""

from __future__ import annotations

import numpy as np
import pytest
from motion_cases import picture, random_field, textured

from calotype.errors import UsageError
from calotype.models.motion.compensate import compensate
from calotype.models.motion.field import BOTH, FIRST, INTRA, LIMIT, SECOND, Field
from calotype.models.motion.fieldcoding import motion_banks
from calotype.models.motion.search import Prices, search


def moved(scene, dy, dx, height=96, width=128, edge=64):
    """Planes cut from a scene, so that what was at (y + dy, x + dx) is at (y, x)."""
    luma = np.ascontiguousarray(scene[edge + dy : edge + dy + height, edge + dx : edge + dx + width])
    chroma = np.full((height // 2, width // 2), 128, np.uint8)
    return luma, chroma, chroma


@pytest.mark.parametrize("block", [8, 16, 32])
@pytest.mark.parametrize("motion", [(0, 0), (3, -5), (-17, 22), (31, 40)])
def test_a_translation_is_found_and_compensated_exactly_inside(block, motion):
    scene = textured(np.random.default_rng(7), 224, 256)
    target, reference = moved(scene, *motion), moved(scene, 0, 0)
    field = search(target, [reference], 4.0, block)
    inside = (slice(32, 64), slice(32, 80))
    blocks = tuple(slice(s.start // block, s.stop // block) for s in inside)
    assert (field.vectors[0][blocks] == 4 * np.array(motion)).all()
    deep = tuple(slice(s.start + block // 2, s.stop - block // 2) for s in inside)  # beyond the neighbours' windows
    base = compensate([reference], field)[0][0]
    assert np.array_equal(base[deep], target[0][deep].astype(np.int16) * 32 - 4096)


def test_a_half_pixel_translation_is_found():
    scene = textured(np.random.default_rng(8), 448, 512).astype(np.float64)
    fine = np.fft.irfft2(np.fft.rfft2(scene) * (np.hypot(np.fft.fftfreq(448)[:, None], np.fft.rfftfreq(512)) < 0.1), (448, 512))
    fine = np.clip(fine, 0, 255).round().astype(np.uint8)
    target, reference = moved(fine[1::2, ::2], 0, 0), moved(fine[::2, ::2], 0, 0)
    field = search(target, [reference], 1.0)
    assert (np.abs(field.vectors[0, 1:-1, 1:-1] - (2, 0)) <= 1).all()


def test_each_block_takes_the_reference_that_shows_it():
    rng = np.random.default_rng(9)
    scene = textured(rng, 224, 256)
    target = moved(scene, 0, 0)
    first, second = (tuple(p.copy() for p in target) for _ in range(2))
    first[0][:, 64:], second[0][:, :64] = 0, 0
    field = search(target, [first, second], 4.0)
    assert (field.mode[:, :3] == FIRST).all() and (field.mode[:, 5:] == SECOND).all()
    assert not field.vectors[1, :, :3].any() and not field.vectors[0, :, 5:].any()


def test_noise_in_both_references_is_averaged_out():
    rng = np.random.default_rng(10)
    target = moved(textured(rng, 224, 256), 0, 0)
    noisy = [(np.clip(target[0] + rng.normal(0, 12, target[0].shape), 0, 255).astype(np.uint8), *target[1:]) for _ in range(2)]
    assert (search(target, noisy, 1.0).mode == BOTH).mean() > 0.9


@pytest.mark.parametrize("block", [8, 16, 32])
def test_any_pictures_give_a_valid_field_the_same_every_time(block):
    rng = np.random.default_rng(11)
    target, references = picture(rng), [picture(rng), picture(rng)]
    far = np.full((2, 64 // block, 96 // block, 2), LIMIT, np.int16)
    previous = Field(block, np.zeros(far.shape[1:3], np.uint8), far)
    field, again = (search(target, references, 0.0, block, previous) for _ in range(2))
    assert np.array_equal(field.mode, again.mode) and np.array_equal(field.vectors, again.vectors)
    assert np.abs(field.vectors.astype(int)).max() <= LIMIT and field.mode.max() <= BOTH
    assert not field.vectors[0, field.mode == SECOND].any() and not field.vectors[1, field.mode == FIRST].any()


def test_dear_bits_make_a_flat_field():
    rng = np.random.default_rng(12)
    target, reference = picture(rng), picture(rng)
    assert not search(target, [reference], 1e6).vectors.any()


def test_planes_that_do_not_fit_are_refused():
    rng = np.random.default_rng(13)
    one = picture(rng)
    for target, references in ((one, []), (one, [picture(rng, 32, 96)]), (picture(rng, 48, 80), [picture(rng, 48, 80)])):
        with pytest.raises(UsageError):
            search(target, references, 4.0)


@pytest.mark.parametrize("references", [1, 2])
def test_blocks_that_no_reference_shows_are_intra_where_those_have_prices(references):
    rng = np.random.default_rng(14)
    scene = textured(rng, 224, 256)
    target = moved(scene, 0, 0)
    shown = [tuple(p.copy() for p in target) for _ in range(references)]
    for planes in shown:
        planes[0][:, 64:] = rng.integers(0, 2, (96, 64)) * 255
    fields = [(random_field(rng, references=n, largest=6), n) for n in (1, 2)]
    with_intra = motion_banks(fields)
    without = {kind: bank for kind, bank in with_intra.items() if kind != "intra"}
    mode = search(target, shown, 1.0, prices=Prices.of(with_intra)).mode
    assert (mode[:, 5:] == INTRA).mean() > 0.7 and not (mode[:, :3] == INTRA).any()  # some find their like on the left
    assert not search(target, shown, 1.0, prices=Prices.of(without)).has_intra
    assert not search(target, shown, 1.0).has_intra
