"""The prior of few indices: what went in comes out, more channels never take fewer bytes, damage is an error."""

from __future__ import annotations

import bisect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calotype.entropy import binary, pixels
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


def by_the_book(start: Prior, made: Indices, count: int) -> bytes:
    """The stream as docs/FORMAT.md, section 5.11, has it, in Python's integers; the binary coder alone is the codec's."""
    squash, top = pixels.tables()[2].tolist(), 2815
    stretch = [min(max(bisect.bisect_left(squash, max(p, 1)) - top - 1, -top), top) for p in range(1 << 16)]
    rates = [min(131072 // (2 * n + 3), 65535) for n in range(256)]
    maps, mixers = start.start.maps.tolist(), start.start.weights.tolist()
    coder, buffer = binary.encoding(), np.zeros(1 << 14, np.uint8)

    def g(v: int, t: int) -> int:
        return min(max(v, -t), t) + t

    def put(bit: int, contexts: list[int], sets: list[int], node: int) -> None:
        seen = [maps[context][node] for context in contexts]
        rows = [mixers[4 * s + node] for s in sets]
        inputs = [stretch[p >> 6] for p, _ in seen] + [256]
        sums = [min(max(sum(i * w for i, w in zip(inputs, row, strict=True)) >> 15, -top), top) for row in rows]
        binary.code_bit(coder, buffer, squash[(sum(sums) >> 1) + top + 1], bit, 0)
        for row, x in zip(rows, sums, strict=True):
            e = (4 * (65536 * bit - squash[x + top + 1])) >> 4
            row[:] = [min(max(w + ((i * e + (1 << 14)) >> 15), -(1 << 16)), 1 << 16) for i, w in zip(inputs, row, strict=True)]
        for cell in seen:
            cell[:] = cell[0] + ((((2**22 - 1) * bit - cell[0]) * rates[cell[1]]) >> 16), min(cell[1] + 1, 255)

    for channel in range(count):
        fine = channel >= CONFIG.coarse
        planes, c = (made.fine, channel - CONFIG.coarse) if fine else (made.coarse, channel)
        height, width = planes.shape[1:]

        def q(k: int, y: int, x: int, planes: np.ndarray = planes, height: int = height, width: int = width) -> int:
            return int(planes[k, y, x]) if k >= 0 and 0 <= y < height and 0 <= x < width else 0

        for y, x in np.ndindex(height, width):
            left, up, corner, right = q(c, y, x - 1), q(c, y - 1, x), q(c, y - 1, x - 1), q(c, y - 1, x + 1)
            p, p2, p3 = (q(c - k, y, x) for k in (1, 2, 3))
            a = sum(map(abs, (left, up, corner, right, q(c, y, x - 2), q(c, y - 2, x))))
            b = sum(abs(q(c - 1, y + i, x + j)) for i in (-1, 0, 1) for j in (-1, 0, 1))
            d, parity, s, parent = sum(abs(q(k, y, x)) for k in range(c)), 0, 0, 0
            if fine:
                above = made.coarse[:, y // 2, x // 2].tolist()
                parity, s, parent = 2 * (y & 1) + (x & 1), sum(map(abs, above)), above[c % CONFIG.coarse]
            own = [g(left, 3) + 7 * g(up, 3), 49 + g(left + up - corner, 4) + 9 * g(right - up, 2), 94 + g(p, 3) + 7 * g(p2, 3)]
            own += [143 + g(p, 3) + 7 * g(left + up, 4), 206 + min(a, 11) + 12 * min(b >> 1, 7), 302 + min(d, 11) + 12 * parity]
            own += [350 + g(p3, 3) + 7 * (g(left, 1) + 3 * g(up, 1)), 413 + min(s, 15) + 16 * parity]
            own += [477 + g(parent, 3) + 7 * (g(left, 1) + 3 * parity)]
            told = [561 * channel + k for k in own], [8 * channel + min(a >> 1, 3), 8 * channel + 4 + min(b >> 1, 3)]
            value = q(c, y, x)
            put(int(value != 0), *told, 0)
            if value:
                put(int(value < 0), *told, 1)
            for size in range(1, FINE_TOP if fine else COARSE_TOP):
                if abs(value) >= size:
                    put(int(abs(value) > size), *told, 1 + size)
    return buffer[: coder[2]].tobytes() + binary.ending(coder)


@pytest.mark.parametrize("count", [2, 5, 7])
def test_streams_are_those_of_the_specification(learnt, count) -> None:
    made = indices(3, spread=1.5)
    assert learnt.encode(made, count).data == by_the_book(learnt, made, count)


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
