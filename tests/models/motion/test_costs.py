"""What the search says that prediction errors take."""

from __future__ import annotations

import numpy as np
import pytest
from motion_cases import random_field, textured

from calotype.entropy import RansEncoder
from calotype.models.motion.compensate import compensate, extended
from calotype.models.motion.field import FIRST, INTRA, Field
from calotype.models.motion.fieldcoding import encode_field, motion_banks
from calotype.models.motion.search import BIT, LARGEST, UNIT, Prices, Search, worth


def hadamard(rest: np.ndarray) -> np.ndarray:
    """Coefficients of all 8 x 8 of a plane, eight times those of an orthonormal transform."""
    one = np.array([[1, 1], [1, -1]])
    base, (h, w) = np.kron(one, np.kron(one, one)), rest.shape
    return np.einsum("ij,yjxk,lk->yixl", base, rest.reshape(h // 8, 8, w // 8, 8), base)


@pytest.mark.parametrize("block", [8, 16, 32])
def test_a_prediction_is_weighed_by_its_hadamard_coefficients_and_intra_blocks_by_what_they_vary(block):
    from calotype.models.motion import decide_kernels

    rng, shape = np.random.default_rng(0), (64, 96)
    target, base = rng.integers(0, 256, shape).astype(np.uint8), rng.integers(-4096, 4065, shape).astype(np.int16)
    mode = rng.choice(np.array([FIRST, INTRA], np.uint8), (shape[0] // block, shape[1] // block))
    rest = 4 * target.astype(np.int64) - ((base.astype(np.int64) + 4100) >> 3)
    blocks = rest.reshape(mode.shape[0], block, mode.shape[1], block)
    means = np.floor(blocks.mean((1, 3), keepdims=True)).astype(np.int64)
    rest = (blocks - means * (mode == INTRA)[:, None, :, None]).reshape(shape)
    plain = np.arange(LARGEST, dtype=np.int32)
    said = decide_kernels.coded_whole(extended(target), base, mode, block, plain)
    assert said == (np.abs(hadamard(rest)) >> 4).sum()


def test_the_largest_coefficient_of_an_intra_block_is_within_the_table():
    from calotype.models.motion import decide_kernels

    rest = np.full((32, 32), 1020, np.int64)  # quarters of a level: white, told as black
    rest[:8, :8] = -1020  # black, told as white
    target, base = np.where(rest > 0, 255, 0).astype(np.uint8), np.where(rest > 0, -4096, 4064).astype(np.int16)
    size = np.abs(hadamard(rest - rest.sum() // rest.size)) >> 4
    assert LARGEST // 2 < size.max() < LARGEST
    at = np.zeros(LARGEST, np.int32)
    at[size.max()] = 1
    assert decide_kernels.coded_whole(extended(target), base, np.full((1, 1), INTRA, np.uint8), 32, at) == 1


def test_a_coefficient_takes_its_square_while_it_is_left_out_and_an_octave_of_it_bits():
    costs = worth(10.0) / UNIT  # of halves of a level
    assert costs[0] == 0 and costs[8] == pytest.approx(0.4**2, abs=0.001) and (np.diff(costs) >= 0).all()
    assert costs[800] - costs[400] == pytest.approx(1.5 * BIT, abs=0.001)


def test_what_is_predicted_exactly_takes_its_bits_alone():
    planes = (textured(np.random.default_rng(1), 64, 96), *(np.full((32, 48), 128, np.uint8),) * 2)
    still = Field(16, np.zeros((4, 6), np.uint8), np.zeros((2, 4, 6, 2), np.int16))
    base = compensate([planes], still)[0][0]
    assert Search(planes, [planes]).cost(still, base, 40.0, 8.0) == pytest.approx(40 * BIT)


def test_coarser_steps_take_fewer_bits_of_motion():
    rng = np.random.default_rng(2)
    scene = textured(rng, 96, 128)
    noisy = np.clip(scene + rng.normal(0, 6, scene.shape), 0, 255).astype(np.uint8)
    chroma = np.full((48, 64), 128, np.uint8)
    target, reference = (noisy, chroma, chroma), (np.roll(scene, (1, 2), (0, 1)), chroma, chroma)
    calm = [(Field(8, np.zeros((12, 16), np.uint8), np.zeros((2, 12, 16, 2), np.int16)), 1)] * 4
    banks = motion_banks([*calm, (random_field(rng, references=1, largest=6), 1)])
    bits = []
    for steps in (0.5, 50.0):
        field = Search(target, [reference]).field(4.0, 8, prices=Prices.of(banks), steps=steps)
        counted = RansEncoder()
        encode_field(counted, banks, field, 1)
        counted.finish()
        bits.append(counted.bits)
    assert bits[1] < 0.8 * bits[0]
