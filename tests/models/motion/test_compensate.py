"""Compensation is the arithmetic of its docstring, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
from motion_cases import picture, random_field
from reference_compensation import compensate_slowly

from calotype.errors import UsageError
from calotype.models.motion import compensate as module
from calotype.models.motion.compensate import compensate, extended, weights
from calotype.models.motion.field import BOTH, LIMIT, Field


@pytest.mark.parametrize("block", [8, 16, 32])
@pytest.mark.parametrize("largest", [3, 90, LIMIT])
@pytest.mark.parametrize("references", [1, 2])
def test_it_is_the_slow_reference_bit_for_bit(block, largest, references):
    rng = np.random.default_rng(block + largest)
    pictures = [picture(rng) for _ in range(references)]
    field = random_field(rng, block=block, references=references, largest=largest)
    base, difference = compensate(pictures, field)
    slow_base, slow_difference = compensate_slowly(pictures, field)
    for k in range(3):
        assert base[k].dtype == difference[k].dtype == np.int16
        assert np.array_equal(base[k], slow_base[k]) and np.array_equal(difference[k], slow_difference[k])


def test_the_smallest_picture_works_at_the_largest_vectors():
    rng = np.random.default_rng(1)
    pictures = [picture(rng, 32, 32), picture(rng, 32, 32)]
    field = random_field(rng, 32, 32, 16)
    base, difference = compensate(pictures, field)
    slow = compensate_slowly(pictures, field)
    assert all(np.array_equal(a, b) for a, b in zip((*base, *difference), (*slow[0], *slow[1]), strict=True))


@pytest.mark.parametrize("block", [8, 16, 32])
def test_no_motion_gives_the_reference_itself(block):
    rng = np.random.default_rng(2)
    reference = picture(rng)
    h, w = 64 // block, 96 // block
    base, difference = compensate([reference], Field(block, np.zeros((h, w), np.uint8), np.zeros((2, h, w, 2), np.int16)))
    for k in range(3):
        assert np.array_equal(base[k], reference[k].astype(np.int16) * 32 - 4096) and not difference[k].any()


def test_values_stay_within_what_is_promised():
    rng = np.random.default_rng(3)
    pictures = [tuple(rng.integers(0, 2, p.shape, dtype=np.uint8) * 255 for p in picture(rng)) for _ in range(2)]
    base, difference = compensate(pictures, random_field(rng, block=8, largest=50))
    assert all(p.min() >= -4096 and p.max() <= 4064 for p in base)
    assert all(np.abs(p).max() <= 8160 for p in difference)


def test_rows_of_cells_can_be_made_in_parts():
    rng = np.random.default_rng(4)
    pictures = [picture(rng), picture(rng)]
    field = random_field(rng)
    whole = compensate(pictures, field)
    for plane in range(3):
        planes = [extended(p[plane]) for p in pictures]
        base, difference = (np.empty(pictures[0][plane].shape, np.int16) for _ in range(2))
        for start, end in ((3, 5), (0, 1), (1, 3)):
            module.compensate_plane(planes[0], planes[1], field, plane > 0, base, difference, start, end)
        assert np.array_equal(base, whole[0][plane]) and np.array_equal(difference, whole[1][plane])


@pytest.mark.parametrize("block", [8, 32])
def test_chroma_of_full_size_moves_as_luma_does(block):
    rng = np.random.default_rng(7)
    lumas = [picture(rng)[0] for _ in "12"]
    field = random_field(rng, block=block)
    base, difference = compensate([(luma, luma, luma[::-1].copy()) for luma in lumas], field)
    half = compensate([(luma, luma[::2, ::2].copy(), luma[::2, ::2].copy()) for luma in lumas], field)
    for whole, of_half in ((base, half[0]), (difference, half[1])):
        assert np.array_equal(whole[0], of_half[0]) and np.array_equal(whole[1], whole[0])
    assert not np.array_equal(base[2], base[0])


def test_planes_may_be_views_and_read_only():
    rng = np.random.default_rng(5)
    pictures, field = [picture(rng), picture(rng)], random_field(rng)
    views = [tuple(np.asfortranarray(p) for p in pictures[0]), tuple(p.copy() for p in pictures[1])]
    for p in views[1]:
        p.setflags(write=False)
    for a, b in zip(compensate(pictures, field)[0], compensate(views, field)[0], strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("block", [4, 8, 16, 32])
def test_the_weights_of_a_cell_sum_to_the_same_everywhere(block):
    assert (weights(block)[15] == (2 * block) ** 2).all()


def test_what_does_not_fit_is_refused():
    rng = np.random.default_rng(6)
    one, field = picture(rng), random_field(rng)
    both = Field(16, np.full((4, 6), BOTH, np.uint8), np.zeros((2, 4, 6, 2), np.int16))
    for references, motion in (
        ([], field),
        ([one] * 3, field),
        ([one], both),
        ([one, picture(rng, 32, 96)], field),
        ([picture(rng, 96, 64)], field),
        ([(one[0], one[0], one[1])], field),
    ):
        with pytest.raises(UsageError):
            compensate(references, motion)
    with pytest.raises(UsageError):
        Field(12, field.mode, field.vectors)
    with pytest.raises(UsageError):
        Field(16, field.mode, field.vectors[:1])
