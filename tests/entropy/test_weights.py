"""The coder of integer weights: any tensors come back, the bytes are the same everywhere, levels are chosen for less."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from calotype.entropy import weights
from calotype.entropy.reference import decode_weights
from calotype.entropy.weights import MAX_IMPORTANCE, MAX_VALUE, WeightDecoder, WeightEncoder
from calotype.errors import CorruptStreamError, UsageError

ROOT = Path(__file__).parents[2]
PINNED = "71c040e0db8b737b"  # SHA-256 of a stream
MAGNITUDES = st.sampled_from([0, 1, 3, 11, 12, 13, 100, 2**15, 2**31, MAX_VALUE])


@st.composite
def tensor(draw) -> np.ndarray:
    """Empty ones too; of all magnitudes, the largest possible among them."""
    shape = draw(st.tuples(st.integers(0, 9), st.integers(0, 9)))
    top = draw(MAGNITUDES)
    return draw(arrays(np.int64, shape, elements=st.integers(-top, top)))


def coded(*tensors: np.ndarray) -> bytes:
    encoder = WeightEncoder()
    for values in tensors:
        encoder.encode(values)
    return encoder.finish()


def laplace(scale: float, shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.rint(np.random.default_rng(seed).laplace(0, scale, shape)).astype(np.int64)


@settings(deadline=None, max_examples=100)
@given(st.lists(tensor(), max_size=4))
def test_any_integer_tensors_come_back(tensors) -> None:
    decoder = WeightDecoder(coded(*tensors))
    for values in tensors:
        assert np.array_equal(decoder.decode(*values.shape), values)
    decoder.finish()


def test_a_tensor_of_more_values_than_one_piece_comes_back() -> None:
    values = laplace(3, (37, 1001))
    decoder = WeightDecoder(coded(values, values))
    assert np.array_equal(decoder.decode(37, 1001), values) and np.array_equal(decoder.decode(37, 1001), values)
    decoder.finish()


def test_bytes_are_those_of_another_process_and_of_the_pinned_stream() -> None:
    program = (
        "import numpy as np; from calotype.entropy.weights import WeightEncoder; e = WeightEncoder();"
        "e.encode(np.arange(-600, 600).reshape(30, 40) ** 3 // 99991); import sys; sys.stdout.write(e.finish().hex())"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    found = [coded(np.arange(-600, 600).reshape(30, 40) ** 3 // 99991).hex()]
    found.append(subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True).stdout)
    assert found[0] == found[1]
    assert hashlib.sha256(bytes.fromhex(found[0])).hexdigest()[:16] == PINNED


def test_the_plain_python_of_the_specification_reads_the_same() -> None:
    values = np.concatenate([laplace(2, (6, 15)), laplace(200, (4, 15)), laplace(1e6, (2, 15))])
    assert np.array_equal(decode_weights(coded(values), 12, 15), values)


def test_zeros_are_nearly_free() -> None:
    assert len(coded(np.zeros((300, 300), np.int64))) < 80


def test_rows_of_different_scale_take_less_than_their_common_entropy() -> None:
    scales = np.random.default_rng(5).permutation(np.geomspace(0.003, 1, 200))[:, None]
    values = np.rint(laplace(300, (200, 100)) * scales).astype(np.int64)
    counts = np.unique(values, return_counts=True)[1]
    entropy = float((counts * np.log2(values.size / counts)).sum()) / 8
    assert len(coded(values)) < 0.97 * entropy


@pytest.mark.parametrize("scale", [0.2, 5, 300])
def test_the_estimate_is_within_two_percent_and_changes_nothing(scale) -> None:
    values = laplace(scale, (80, 120))
    encoder = WeightEncoder()
    estimate = encoder.bits(values) / 8
    encoder.encode(values)
    data = encoder.finish()
    assert data == coded(values) and estimate == pytest.approx(len(data), rel=0.02, abs=8)


@settings(deadline=None, max_examples=25)
@given(st.floats(0.1, 20), st.floats(0.01, 4), st.integers(0, 2**32 - 1))
def test_chosen_levels_cost_no_more_than_rounded_ones(scale, lmbda, seed) -> None:
    targets = np.rint(np.random.default_rng(seed).laplace(0, scale * 256, (40, 50))).astype(np.int64)
    encoder = WeightEncoder()

    def total(levels: np.ndarray) -> float:
        return float((((targets - 256 * levels) / 256) ** 2).sum()) + lmbda * encoder.bits(levels)

    rounded, chosen = (targets + 128) >> 8, encoder.choose(targets, lmbda)
    assert total(chosen) <= 1.01 * total(rounded)
    assert np.abs(chosen - rounded).max() <= 2 and (np.abs(chosen) <= np.abs(rounded)).all()


def test_without_lmbda_the_nearest_levels_are_chosen_and_weighty_ones_stay() -> None:
    rng = np.random.default_rng(1)
    nearest = rng.integers(-3, 4, (30, 30))
    targets = 256 * nearest + rng.integers(-100, 101, (30, 30))
    encoder = WeightEncoder()
    assert np.array_equal(encoder.choose(targets, 0.0), nearest)
    important = np.full((30, 30), 1, np.int64)
    important[::2] = MAX_IMPORTANCE
    chosen = encoder.choose(targets, 1.0, important)
    assert np.array_equal(chosen[::2], nearest[::2]) and not np.array_equal(chosen[1::2], nearest[1::2])


def test_cut_and_lengthened_streams_are_corrupt() -> None:
    values = laplace(9, (20, 20))
    data = coded(values)
    for wrong in (data[:-12], data[: len(data) // 2], b"", data + b"123456"):
        decoder = WeightDecoder(wrong)
        with pytest.raises(CorruptStreamError):
            decoder.decode(20, 20)
            decoder.finish()


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=60), st.integers(0, 40), st.integers(0, 40))
def test_no_bytes_do_worse_than_a_typed_error(data, rows, columns) -> None:
    decoder = WeightDecoder(data)
    try:
        assert decoder.decode(rows, columns).shape == (rows, columns)
        decoder.finish()
    except CorruptStreamError:
        pass


@pytest.mark.parametrize(
    "wrong", [np.zeros(3, int), np.zeros((2, 2)), np.full((1, 1), MAX_VALUE + 1), np.full((1, 1), -MAX_VALUE - 1)]
)
def test_what_is_no_integer_matrix_is_refused(wrong) -> None:
    with pytest.raises(UsageError):
        WeightEncoder().encode(wrong)


def test_impossible_choices_are_refused() -> None:
    targets = np.zeros((2, 2), np.int64)
    for lmbda, importance in ((-1.0, 256), (17.0, 256), (float("nan"), 256), (1.0, 0), (1.0, np.ones((3, 2), int)), (1.0, 1.5)):
        with pytest.raises(UsageError):
            WeightEncoder().choose(targets, lmbda, importance)


def test_the_number_of_contexts_is_known_without_numba() -> None:
    from calotype.entropy import weights_kernels

    assert weights._CONTEXTS == weights_kernels.CONTEXTS
