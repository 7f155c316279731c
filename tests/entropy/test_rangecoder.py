"""The binary range coder: lossless, bounded, adaptive, and one format."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calotype.entropy.rangecoder import INTEGER_CONTEXTS, MAX_INTEGER, BinaryDecoder, BinaryEncoder
from calotype.entropy.reference import reference_bits
from calotype.errors import CorruptStreamError, UsageError

CALLS = st.lists(
    st.one_of(
        st.lists(st.tuples(st.integers(0, 1), st.integers(0, 69)), max_size=80),
        st.lists(
            st.tuples(st.one_of(st.integers(0, 9), st.integers(0, MAX_INTEGER)), st.integers(0, 6)),
            min_size=1,
            max_size=20,
        ).map(tuple),
    ),
    max_size=6,
)


@settings(max_examples=80, deadline=None)
@given(CALLS)
def test_bits_and_integers_come_back_in_any_mixture(calls: list) -> None:
    encoder = BinaryEncoder(70)
    for call in calls:
        values, contexts = (np.array([pair[k] for pair in call], dtype=np.int64) for k in (0, 1))
        (encoder.encode_integers if isinstance(call, tuple) else encoder.encode)(values, contexts)
    data = encoder.finish()
    decoder = BinaryDecoder(data, 70)
    for call in calls:
        values, contexts = (np.array([pair[k] for pair in call], dtype=np.int64) for k in (0, 1))
        pulled = (decoder.decode_integers if isinstance(call, tuple) else decoder.decode)(contexts)
        assert (pulled == values).all()
    decoder.finish()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.003, 0.1, 0.5, 0.97, 1.0]), st.integers(0, 3000))
def test_the_reference_reads_the_same_bits(seed: int, share: float, size: int) -> None:
    rng = np.random.default_rng(seed)
    bits, contexts = (rng.random(size) < share).astype(np.uint8), rng.integers(0, 7, size)
    encoder = BinaryEncoder(7)
    encoder.encode(bits, contexts)
    assert (reference_bits(encoder.finish(), 7, contexts) == bits).all()


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_size_approaches_the_entropy(share: float) -> None:
    bits = np.random.default_rng(5).random(200_000) < share
    encoder = BinaryEncoder(1)
    encoder.encode(bits, np.zeros(len(bits), dtype=np.uint8))
    entropy = -share * np.log2(share) - (1 - share) * np.log2(1 - share)
    # The fast estimate never settles: that costs up to 0.5 % of a bit where the source does not change, and wins
    # where it does.
    assert len(encoder.finish()) <= len(bits) * (entropy + 0.012) / 8 + 8


def test_a_constant_source_costs_almost_nothing() -> None:
    for value in (0, 1):
        encoder = BinaryEncoder(1)
        encoder.encode(np.full(1000, value), np.zeros(1000, dtype=np.uint8))
        assert len(encoder.finish()) <= 6
    assert BinaryEncoder(0).finish() == b""


def test_truncation_and_trailing_bytes_are_refused() -> None:
    bits = np.random.default_rng(6).integers(0, 2, 4000)
    contexts = np.zeros(4000, dtype=np.uint8)
    encoder = BinaryEncoder(1)
    encoder.encode(bits, contexts)
    data = encoder.finish()
    for size in [*range(0, len(data) - 5, 7), len(data) - 6]:
        with pytest.raises(CorruptStreamError):
            BinaryDecoder(data[:size], 1).decode(contexts)
    for extra in (b"\0", b"\0\0\0\0\0\0", b"\1\1\1\1\1\1"):
        decoder = BinaryDecoder(data + extra, 1)
        decoder.decode(contexts)
        with pytest.raises(CorruptStreamError):
            decoder.finish()


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=120), st.integers(0, 400))
def test_any_bytes_give_bits_or_a_typed_error(data: bytes, size: int) -> None:
    decoder = BinaryDecoder(data, 2 * INTEGER_CONTEXTS)
    try:
        assert set(decoder.decode(np.arange(size) % 100).tolist()) <= {0, 1}
        assert len(decoder.decode_integers(np.arange(size) % 64)) == size
        decoder.finish()
    except CorruptStreamError:
        pass


def test_what_cannot_be_coded_is_refused() -> None:
    for call in (
        lambda: BinaryEncoder(-1),
        lambda: BinaryEncoder(65537),
        lambda: BinaryEncoder(2).encode(np.array([2]), np.array([0])),
        lambda: BinaryEncoder(2).encode(np.array([1]), np.array([2])),
        lambda: BinaryEncoder(2).encode(np.array([1]), np.array([-1])),
        lambda: BinaryEncoder(2).encode(np.array([1, 0]), np.array([0])),
        lambda: BinaryEncoder(2).encode(np.array([0.5]), np.array([0])),
        lambda: BinaryEncoder(64).encode_integers(np.array([MAX_INTEGER + 1]), np.array([0])),
        lambda: BinaryEncoder(64).encode_integers(np.array([-1]), np.array([0])),
        lambda: BinaryEncoder(64).encode_integers(np.array([1]), np.array([1])),
        lambda: BinaryDecoder(b"", 2).decode(np.array([2])),
        lambda: BinaryDecoder(b"", 64).decode_integers(np.array([1])),
    ):
        with pytest.raises(UsageError):
            call()
    encoder = BinaryEncoder(1)
    encoder.finish()
    for call in (encoder.finish, lambda: encoder.encode(np.array([1]), np.array([0]))):
        with pytest.raises(UsageError):
            call()


def test_the_byte_layout_has_not_drifted() -> None:
    place = np.arange(5000)
    encoder = BinaryEncoder(66)
    encoder.encode((place * 7919 % 31 < place % 7).astype(np.uint8), place % 7 % 2)
    encoder.encode_integers(place * place * 7919 % 2**32 >> (place % 32), np.full(5000, 2))
    assert hashlib.sha256(encoder.finish()).hexdigest()[:32] == "86d8d2d70269fb746b1da974239be410"
