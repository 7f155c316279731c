"""Frozen tables: what every table must satisfy, and that damaged ones are refused."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calotype.entropy.tables import TableBank, allocate, factorised_bank, gaussian_bank
from calotype.errors import ModelError, UsageError

Change = Callable[[np.ndarray], np.ndarray]


def check_complete(bank: TableBank) -> None:
    steps = np.diff(bank.cdf.astype(np.int64), axis=1)
    for table, size in enumerate(bank.sizes):
        assert 2 <= size <= 256
        assert (steps[table, :size] >= 1).all()
        assert steps[table].sum() == 1 << bank.precision


def test_gaussian_tables_sum_exactly_and_every_entry_counts(gaussians: TableBank) -> None:
    assert len(gaussians) == 64
    check_complete(gaussians)


def test_gaussian_tables_are_symmetric_and_fall_from_the_middle(gaussians: TableBank) -> None:
    for table in range(len(gaussians)):
        size = int(gaussians.sizes[table])
        body = np.diff(gaussians.cdf[table, :size].astype(np.int64))
        assert (body == body[::-1]).all()
        assert 2 * -int(gaussians.offsets[table]) == len(body) - (gaussians.shifts[table] == 0)
        # The middle entry may give up one unit so that the pairs beside it stay equal.
        assert (np.diff(body[len(body) // 2 :]) <= 1).all()


def test_gaussian_bank_is_the_same_each_time() -> None:
    first, second = gaussian_bank(precision=13), gaussian_bank(precision=13)
    assert all(
        (a == b).all() for a, b in zip(first.to_arrays("t").values(), second.to_arrays("t").values(), strict=True)
    )


def test_gaussian_tables_cost_little_more_than_the_gaussian(gaussians: TableBank) -> None:
    for level in range(20, 64, 6):
        sigma = 0.11 * (256 / 0.11) ** (level / 63)
        reach = int(10 * sigma)
        values = np.arange(-reach, reach + 1)
        upper = np.array([0.5 * math.erfc((v - 0.5) / (sigma * math.sqrt(2))) for v in range(-reach, reach + 2)])
        mass = upper[:-1] - upper[1:]
        entropy = -(mass * np.log2(np.maximum(mass, 1e-300))).sum()
        cost = (mass * gaussians.bits(values, np.full(len(values), level))).sum()
        # Below level 20 (sigma 1.3) the floor of one unit for the escape shows more, in relative terms.
        assert entropy - 1e-9 <= cost <= entropy * 1.004


def test_bits_count_escapes_and_raw_bits(hand_bank: TableBank) -> None:
    symbols = np.array([0, 5, -1, 2, 3, 2**31 - 1, -8, 8, 0])
    tables = np.array([0, 0, 1, 1, 1, 1, 2, 2, 2])
    escape = [1 + 1 + 2 * e for e in (2, 1, 30)]
    expected = [
        *(12 - math.log2(4095), 12 + escape[0], 12 - math.log2(1000)),
        *(12 - math.log2(96) + 2, 12 - math.log2(96) + escape[1], 12 - math.log2(96) + escape[2]),
        *(12 - math.log2(2048) + 3, 12 - math.log2(96) + 2 + 3, 12 - math.log2(1952) + 3),
    ]
    assert hand_bank.bits(symbols, tables) == pytest.approx(expected)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=400),
    st.integers(-(2**20), 2**20),
    st.sampled_from([12, 13, 14]),
    st.booleans(),
)
def test_factorised_tables_are_complete_for_any_pmf(
    weights: list[float], offset: int, precision: int, whole: bool
) -> None:
    pmf = np.array(weights)
    if pmf.sum() < 1e-9:
        pmf[0] = 1.0
    pmf /= pmf.sum() * (1.0 if whole else 2.0)
    bank = factorised_bank([pmf, np.array([1.0])], [offset, 3], precision)
    check_complete(bank)
    assert np.isfinite(bank.bits(np.array([offset, offset + len(pmf), 3, -(2**31)]), np.array([0, 0, 1, 1]))).all()


def test_factorised_tables_cost_little_more_than_the_entropy() -> None:
    rng = np.random.default_rng(3)
    pmfs = [rng.dirichlet(np.full(size, 2.0)) for size in (3, 20, 200, 255)]
    bank = factorised_bank(pmfs, [-1, -10, -100, 0], precision=14)
    for table, (pmf, offset) in enumerate(zip(pmfs, [-1, -10, -100, 0], strict=True)):
        bits = bank.bits(np.arange(offset, offset + len(pmf)), np.full(len(pmf), table))
        assert (pmf * bits).sum() <= -(pmf * np.log2(pmf)).sum() * 1.004


def test_a_wide_smooth_pmf_loses_nothing_to_its_raw_bits() -> None:
    values = np.arange(-900, 900)
    pmf = np.exp(-np.abs(values) / 90.0)
    pmf /= pmf.sum()
    bank = factorised_bank([pmf], [-900], precision=14)
    assert bank.shifts[0] > 0
    bits = bank.bits(values, np.zeros(len(values), dtype=np.uint8))
    assert (pmf * bits).sum() <= -(pmf * np.log2(pmf)).sum() * 1.006


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.sampled_from([1, 2])), max_size=120), st.floats(0, 1))
def test_allocation_meets_the_total_exactly(classes: list[tuple[float, int]], escape: float) -> None:
    masses = np.array([mass for mass, _ in classes] + [escape])
    times = np.array([times for _, times in classes] + [1])
    counts = allocate(masses / max(1.0, float((masses * times).sum())), times, 4096)
    assert (counts >= 1).all() and (counts * times).sum() == 4096


def test_a_bank_survives_its_arrays(gaussians: TableBank) -> None:
    arrays = gaussians.to_arrays("y")
    again = TableBank.from_arrays({"other": np.zeros(1), **arrays}, "y")
    assert again.precision == gaussians.precision
    assert all((arrays[name] == array).all() for name, array in again.to_arrays("y").items())


def test_a_bank_cannot_be_written_to(gaussians: TableBank) -> None:
    with pytest.raises(ValueError):
        gaussians.cdf[0, 0] = 1


def _put(where: object, value: int) -> Change:
    def change(array: np.ndarray) -> np.ndarray:
        array = array.astype(np.int64)
        array[where] = value
        return array

    return change


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("precision", lambda a: np.array([11])),
        ("precision", lambda a: np.array([15])),
        ("precision", lambda a: np.array([12, 12])),
        ("precision", lambda a: np.array([12.0])),
        ("cdf", lambda a: a.astype(np.float32)),
        ("cdf", lambda a: a[:-1]),
        ("cdf", lambda a: a[:, :-1]),
        ("cdf", lambda a: a[0]),
        ("cdf", lambda a: np.zeros((64, 0), dtype=np.uint16)),
        ("cdf", _put((5, 0), 1)),
        ("cdf", _put((5, 1), 0)),
        ("cdf", _put((5, 2), 5000)),
        ("cdf", _put((5, -1), 4095)),
        ("cdf", _put((5, -1), 4096 + 65536)),
        ("sizes", _put(5, 1)),
        ("sizes", _put(5, 257)),
        ("sizes", _put(5, 12)),
        ("sizes", lambda a: a[:0]),
        ("shifts", _put(5, 25)),
        ("shifts", _put(5, -1)),
        ("offsets", _put(5, 2**31 - 2)),
        ("offsets", _put(5, -(2**31) - 1)),
        ("offsets", lambda a: a[:3]),
    ],
)
def test_damaged_arrays_are_refused(name: str, change: Change) -> None:
    arrays = gaussian_bank(precision=12).to_arrays("y")
    arrays[f"y.{name}"] = change(arrays[f"y.{name}"])
    with pytest.raises(ModelError):
        TableBank.from_arrays(arrays, "y")


@pytest.mark.parametrize("name", ["precision", "cdf", "sizes", "offsets", "shifts"])
def test_missing_arrays_are_refused(name: str) -> None:
    arrays = gaussian_bank(levels=4).to_arrays("y")
    del arrays[f"y.{name}"]
    with pytest.raises(ModelError, match=name):
        TableBank.from_arrays(arrays, "y")


def test_impossible_parameters_are_refused() -> None:
    for call in (
        lambda: gaussian_bank(precision=16),
        lambda: gaussian_bank(levels=1),
        lambda: gaussian_bank(sigma_min=0.0),
        lambda: factorised_bank([], []),
        lambda: factorised_bank([np.ones(2) / 2], [0, 1]),
        lambda: factorised_bank([np.array([np.nan])], [0]),
        lambda: factorised_bank([np.zeros(3)], [0]),
        lambda: factorised_bank([np.array([-0.5, 1.5])], [0]),
        lambda: factorised_bank([np.ones(1)], [2**31]),
    ):
        with pytest.raises(UsageError):
            call()


def test_importing_the_package_imports_neither_numba_nor_torch() -> None:
    code = "import calotype.entropy, sys; sys.exit(any(name in sys.modules for name in ('numba', 'torch')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
