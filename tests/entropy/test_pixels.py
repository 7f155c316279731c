"""Samples go through the pixel coder and come back, whatever they are; what is not such a stream is refused."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calotype.entropy.pixels import PixelDecoder, PixelEncoder, rules_hash, tables
from calotype.errors import CorruptStreamError, UsageError


def coded(rows: np.ndarray, depth: int) -> bytes:
    encoder = PixelEncoder(rows.shape[1], rows.shape[2], depth)
    for row in rows:
        encoder.encode(np.ascontiguousarray(row))
    return encoder.finish()


def decoded(data: bytes, shape: tuple[int, int, int], depth: int) -> np.ndarray:
    decoder = PixelDecoder(data, shape[1], shape[2], depth)
    rows = np.stack([decoder.decode() for _ in range(shape[0])])
    decoder.finish()
    return rows


def samples(shape: tuple[int, int, int], depth: int, kind: str, seed: int) -> np.ndarray:
    rng, top = np.random.default_rng(seed), (1 << depth) - 1
    if kind == "noise":
        return rng.integers(0, top + 1, shape, dtype=np.int32)
    if kind == "extremes":
        return rng.integers(0, 2, shape, dtype=np.int32) * top
    ramp = np.add.outer(np.arange(shape[0]) * 3, np.arange(shape[1]))[:, :, None] * (top // 255 or 1) % (top + 1)
    return np.ascontiguousarray(np.broadcast_to(ramp, shape), np.int32)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 12), st.integers(1, 20), st.sampled_from((1, 3)), st.sampled_from((8, 16)),
    st.sampled_from(("noise", "extremes", "ramp")), st.integers(0, 999),
)  # fmt: skip
def test_samples_of_any_size_come_back(height: int, width: int, planes: int, depth: int, kind: str, seed: int) -> None:
    rows = samples((height, width, planes), depth, kind, seed)
    assert np.array_equal(decoded(coded(rows, depth), rows.shape, depth), rows)


def test_noise_costs_little_more_than_its_bits() -> None:
    rows = samples((64, 64, 3), 8, "noise", 1)
    assert len(coded(rows, 8)) < 1.06 * rows.size


def test_a_stream_that_goes_on_is_corrupt_and_a_cut_one_never_gives_the_same_samples() -> None:
    rows = samples((6, 7, 3), 8, "noise", 2)
    data = coded(rows, 8)
    for other in (data + b"\0", data + b"x"):
        with pytest.raises(CorruptStreamError):
            decoded(other, rows.shape, 8)
    for length in range(len(data)):
        try:
            assert not np.array_equal(decoded(data[:length], rows.shape, 8), rows)
        except CorruptStreamError:
            continue


def test_any_bytes_decode_to_samples_within_their_depth_or_are_corrupt() -> None:
    for seed in range(30):
        data = np.random.default_rng(seed).bytes(40)
        try:
            rows = decoded(data, (5, 5, 3), 8)
        except CorruptStreamError:
            continue
        assert rows.min() >= 0 and rows.max() <= 255


def test_tables_and_rules_are_what_they_were_when_the_format_was_released() -> None:
    assert rules_hash().hex()[:16] == "448c1e4d056d6a13"
    assert hashlib.sha256(b"".join(t.astype("<i4").tobytes() for t in tables())).hexdigest()[:16] == "ec0a21513ee25aa2"
    softplus, hazard, squash, stretch, _ = tables()
    assert np.abs(softplus - 2048 * np.log1p(np.exp(np.arange(-2048, 5120) / 256))).max() < 0.51
    assert np.abs(squash - 65536 / (1 + np.exp(-np.arange(-2816, 2817) / 256))).max() < 1.01
    assert stretch[2048] == 0 and (np.diff(stretch) >= 0).all() and (np.diff(hazard) <= 0).all()


@pytest.mark.parametrize(("width", "planes", "depth"), [(0, 1, 8), (5, 2, 8), (5, 3, 12)])
def test_other_planes_and_depths_are_refused(width: int, planes: int, depth: int) -> None:
    with pytest.raises(UsageError):
        PixelEncoder(width, planes, depth)


def test_samples_out_of_range_are_refused() -> None:
    with pytest.raises(UsageError, match="outside 8 bits"):
        PixelEncoder(4, 1, 8).encode(np.full((4, 1), 256, np.int32))
