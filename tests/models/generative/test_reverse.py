"""Reverse-channel coding: samples follow what they should, within bits of the theory, and are redrawn to the bit."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calotype.entropy.rangecoder import INTEGER_CONTEXTS, BinaryEncoder
from calotype.models.generative import reverse
from calotype.models.generative.noise import candidates, keys

SIZE = 96  # samples a block


def along(kl: float, tried: int, blocks: int = 300) -> np.ndarray:
    """How far each block's noise lies along its shift, whose length is that of so many bits of KL."""
    samples = SIZE * blocks
    shift = np.random.default_rng(5).standard_normal(samples)
    places = reverse.order(samples).reshape(blocks, SIZE)
    shift[places] *= (math.sqrt(2 * kl * math.log(2)) / np.linalg.norm(shift[places], axis=1))[:, None]
    indices = reverse.choose(shift.astype(np.float32), 7, 0, blocks, tried)
    noise = reverse.drawn(7, 0, indices, samples) / 2
    return (shift[places] * noise[places]).sum(1) / np.linalg.norm(shift[places], axis=1)


def kolmogorov_smirnov(found: np.ndarray, mean: float) -> float:
    """Largest distance to the distribution of N(mean, 1), times the root of the number."""
    ordered = np.sort(found) - mean
    of_normal = np.array([0.5 * (1 + math.erf(v / math.sqrt(2))) for v in ordered])
    count = len(found)
    steps = np.arange(count + 1) / count
    return math.sqrt(count) * max(np.abs(of_normal - steps[1:]).max(), np.abs(of_normal - steps[:-1]).max())


def test_coded_samples_follow_the_distribution_that_they_should_and_few_candidates_do_not() -> None:
    shift = math.sqrt(2 * 3 * math.log(2))
    assert kolmogorov_smirnov(along(3, 1 << 12), shift) < 1.36  # 5 % of truly normal samples go beyond
    assert kolmogorov_smirnov(along(3, 8), shift) > 3
    assert kolmogorov_smirnov(along(3, 1 << 12), 0) > 3


def test_as_shipped_candidates_reach_most_of_the_shift() -> None:
    found = along(reverse.KL_BITS, reverse.CANDIDATES, 60).mean() / math.sqrt(2 * reverse.KL_BITS * math.log(2))
    assert 0.83 < found < 0.95


@pytest.mark.parametrize(("kl", "least", "most"), [(0, 0, 3), (4, 4, 7.5), (8, 8, 11)])
def test_indices_take_the_bits_of_the_divergence_and_few_more(kl: float, least: float, most: float) -> None:
    blocks = 400
    shift = np.random.default_rng(1).standard_normal(SIZE * blocks)
    shift *= math.sqrt(2 * kl * math.log(2) * blocks) / np.linalg.norm(shift)
    encoder = BinaryEncoder(INTEGER_CONTEXTS)
    encoder.encode_integers(reverse.choose(shift.astype(np.float32), 3, 1, blocks), np.zeros(blocks, np.int64))
    assert least <= 8 * len(encoder.finish()) / blocks <= most


@settings(max_examples=30, deadline=None)
@given(st.integers(64, 3000), st.integers(0, 2**32 - 1), st.integers(0, 63), st.data())
def test_the_encoders_products_are_with_the_noise_that_is_drawn(samples: int, seed: int, step: int, data) -> None:
    blocks = data.draw(st.integers(1, reverse.most(samples)))
    shift = np.random.default_rng(samples).choice([-3.9, 3.9], samples)  # so far off that one of the best is chosen
    indices = reverse.choose(shift, seed, step, blocks, 32)
    noise = [reverse.drawn(seed, step, np.full(blocks, j), samples) for j in range(32)]
    places, starts = reverse.order(samples), reverse.bounds(samples, blocks)
    for block in range(blocks):
        own = places[starts[block] : starts[block + 1]]
        weights = [float(shift[own] @ one[own]) / 2 for one in noise]  # logarithms; their deviation is 31 or more
        assert weights[indices[block]] > max(weights) - 20
    assert np.array_equal(reverse.drawn(seed, step, indices, samples), reverse.drawn(seed, step, indices, samples))


@given(st.integers(1, 5000))
def test_each_sample_has_one_place(samples: int) -> None:
    assert np.array_equal(np.sort(reverse.order(samples)), np.arange(samples))


def test_the_noise_is_nearly_normal_and_the_same_everywhere() -> None:
    block, index, place = np.meshgrid(np.arange(8), np.arange(64), np.arange(256), indexing="ij")
    drawn = candidates(keys(3, 0, 8)[block], index, place)
    assert drawn.dtype == np.int8
    half = drawn.astype(np.float64) / 2
    assert abs(half.mean()) < 0.01 and abs(half.var() - 1) < 0.02 and abs((half**4).mean() - 3) < 0.25
    flat = half.reshape(-1, 256)
    between = flat.T @ flat / len(flat) - np.eye(256)
    assert np.abs(between).max() < 6 / math.sqrt(len(flat)) + 0.05
    assert hashlib.sha256(drawn.tobytes()).hexdigest()[:16] == "82a1e60d7eb308d1"
