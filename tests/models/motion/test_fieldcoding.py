"""Whatever is encoded of a field is decoded, and damage is named."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from motion_cases import random_field

from calotype.entropy.rans import RansDecoder, RansEncoder
from calotype.errors import CalotypeError, CorruptStreamError, UsageError
from calotype.models.motion.field import LIMIT, Field
from calotype.models.motion.fieldcoding import (
    MODE_TABLES,
    VECTOR_TABLES,
    code,
    decode_field,
    encode_field,
    motion_banks,
)


@pytest.fixture(scope="module")
def banks():
    rng = np.random.default_rng(0)
    return motion_banks((random_field(rng, references=n, largest=6), n) for n in (1, 2, 2))


def round_trip(banks, field, references):
    encoder = RansEncoder()
    encode_field(encoder, banks, field, references)
    data = encoder.finish()
    decoder = RansDecoder(data)
    decoded = decode_field(decoder, banks, field.shape, field.block, references, field.has_intra)
    decoder.finish()
    assert decoded.block == field.block
    assert np.array_equal(decoded.mode, field.mode) and np.array_equal(decoded.vectors, field.vectors)
    return data


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 40), st.integers(1, 40), st.sampled_from([8, 16, 32]), st.sampled_from([1, 2]),
    st.sampled_from([0, 1, 9, 200, LIMIT]), st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_a_field_survives_coding(banks, h, w, block, references, largest, seed):
    round_trip(banks, random_field(np.random.default_rng(seed), h * block, w * block, block, references, largest), references)


def test_vectors_at_the_limits_survive(banks):
    vectors = np.where(np.indices((2, 9, 11, 2)).sum(0) % 2, LIMIT, -LIMIT).astype(np.int16)
    round_trip(banks, Field(8, np.full((9, 11), 2, np.uint8), vectors), 2)


def test_what_is_like_its_neighbours_costs_little(banks):
    rng = np.random.default_rng(1)
    rough = random_field(rng, 640, 640, 16, 1, 6, intra=0)
    smooth = Field(16, rough.mode, np.full_like(rough.vectors, 5) * np.array([1, 0], np.int16)[:, None, None, None])
    assert len(round_trip(banks, smooth, 1)) < len(round_trip(banks, rough, 1)) / 2


def test_every_table_is_there_and_counted_tables_beat_others():
    rng = np.random.default_rng(2)
    fields = [(random_field(rng, 320, 320, 16, 2, 3), 2) for _ in range(3)]
    own, other = motion_banks(fields), motion_banks([(random_field(rng, 320, 320, 16, 2, 300), 2)])
    assert len(own["mode"]) == MODE_TABLES and len(own["vector"]) == VECTOR_TABLES
    assert len(round_trip(own, *fields[0])) < len(round_trip(other, *fields[0]))


@settings(max_examples=40, deadline=None)
@given(st.binary(min_size=8, max_size=200))
def test_damaged_bytes_give_a_field_or_an_error_of_ours(banks, data):
    try:
        field = decode_field(RansDecoder(b"\x00" + data), banks, (5, 7), 16, 2)
    except CalotypeError:
        return
    assert np.abs(field.vectors.astype(int)).max() <= LIMIT and field.mode.max() <= 2


@pytest.mark.parametrize(("kind", "symbol"), [("mode", 3), ("mode", -1), ("vector", LIMIT + 1), ("vector", -(2**31))])
def test_symbols_that_make_no_field_are_named(kind, symbol):
    def coder(asked, _, indexes, about):
        return np.full(len(indexes), symbol if asked == kind else 0, np.int32)

    with pytest.raises(CorruptStreamError):
        code((4, 4), 16, 2, coder)


def test_a_field_of_another_shape_is_refused(banks):
    field = random_field(np.random.default_rng(3))
    two = Field(16, np.ones((4, 6), np.uint8), np.zeros((2, 4, 6, 2), np.int16))
    for shape, references, given_field in (((4, 5), 2, field), ((4, 6), 1, two)):
        with pytest.raises(UsageError):
            code(shape, 16, references, lambda kind, symbols, indexes, about: symbols, given_field)
