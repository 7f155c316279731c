"""The prior of few indices: what went in comes out, more channels never take fewer bytes, damage is an error."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calotype.errors import CorruptStreamError
from calotype.models.fsq import prior
from calotype.models.fsq.config import COARSE_TOP, FINE_TOP, FsqConfig
from calotype.models.fsq.prior import Indices, Prior

CONFIG = FsqConfig(coarse=3, fine=4, width=8, analysis=8, blocks=1)


def indices(seed: int, height: int = 5, width: int = 7, spread: float = 1.0) -> Indices:
    """Smooth ones, that a prior can tell."""
    rng = np.random.default_rng(seed)

    def scale(channels: int, times: int, top: int) -> np.ndarray:
        values = rng.normal(0, spread, (channels, times * height, times * width)).cumsum(2) / 3
        return np.clip(np.rint(values), -top, top).astype(np.int32)

    return Indices(scale(CONFIG.coarse, 1, COARSE_TOP), scale(CONFIG.fine, 2, FINE_TOP))


@pytest.fixture(scope="module")
def learnt() -> Prior:
    return prior.learnt(CONFIG, [indices(seed) for seed in range(100, 140)])[0]


def same(found: Indices, coded: Indices, count: int) -> bool:
    """Whether the first channels are what was coded, and the others 0."""
    parts = zip(found, coded, (count, max(count - CONFIG.coarse, 0)), strict=True)
    return all(np.array_equal(a[:n], b[:n]) and not a[n:].any() for a, b, n in parts)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 99), st.integers(1, 9), st.integers(1, 9), st.integers(2, 7), st.sampled_from([0.0, 0.5, 9.0]))
def test_indices_come_back_at_any_size_and_number_of_channels(learnt, seed, height, width, count, spread) -> None:
    made = indices(seed, height, width, spread)
    coded = learnt.encode(made, count)
    assert same(learnt.decode(coded.data, (height, width), count), made, count)
    assert abs(8 * len(coded.data) - coded.bits) <= max(0.01 * coded.bits, 32)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 99))
def test_more_channels_never_take_fewer_bytes(learnt, seed) -> None:
    made = indices(seed)
    sizes = [len(learnt.encode(made, count).data) for count in range(2, CONFIG.channels + 1)]
    assert sizes == sorted(sizes)


def test_a_start_that_was_learnt_takes_fewer_bits_than_none_and_is_not_changed_by_coding(learnt) -> None:
    made = indices(0)
    before = learnt.start.copy()
    coded, plain = (p.encode(made, CONFIG.channels).bits for p in (learnt, Prior(CONFIG, prior.blank(CONFIG))))
    assert coded < 0.8 * plain
    assert np.array_equal(before.maps, learnt.start.maps) and np.array_equal(before.weights, learnt.start.weights)


def test_what_is_counted_while_learning_is_what_coding_takes() -> None:
    made = indices(5)
    first = Prior(CONFIG, prior.blank(CONFIG)).encode(made, CONFIG.channels).bits
    assert prior.learnt(CONFIG, [made])[1] < first  # of the second round, that knows them
    assert prior.learnt(CONFIG, [made] * 20)[1] < 20 * first


def test_streams_that_end_early_or_go_on_are_corrupt(learnt) -> None:
    coded = learnt.encode(indices(1, spread=9.0), CONFIG.channels).data
    for data in (coded[: len(coded) // 2], coded + b"\1", b""):
        with pytest.raises(CorruptStreamError):
            learnt.decode(data, (5, 7), CONFIG.channels)


@pytest.mark.parametrize("changes", [{"coarse": 1}, {"blocks": 0}, {"width": 5}, {"fine": 63}, {"blocks": 9}, {"width": 1.5}])
def test_sizes_that_cannot_be_are_refused(changes) -> None:
    with pytest.raises(ValueError):
        FsqConfig(**changes)


def test_a_start_of_other_sizes_is_refused(learnt) -> None:
    with pytest.raises(ValueError):
        Prior(FsqConfig(coarse=3, fine=5), learnt.start).checked()
