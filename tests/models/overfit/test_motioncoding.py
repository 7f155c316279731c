"""Motion in the stream of latents: every field comes back, what is learnt goes on, damage is named."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calotype.entropy import RansEncoder, binary
from calotype.errors import CalotypeError, CorruptStreamError
from calotype.models.motion.field import BOTH, INTRA, LIMIT, SECOND, Field, field_shape
from calotype.models.motion.fieldcoding import encode_field
from calotype.models.overfit import mixing, motioncoding, prior
from calotype.models.overfit.mixing import Mixing
from calotype.models.zoo import load_any_model


def start() -> Mixing:
    return load_any_model("overfit-video-s.3")[1].start


def drawn(seed: int, height: int, width: int, block: int, references: int, largest: int, intra: float = 0.1) -> Field:
    """Any modes and vectors, some like their neighbours."""
    rng, (h, w) = np.random.default_rng(seed), field_shape(height, width, block)
    mode = rng.integers(0, BOTH + 1, (h, w)).astype(np.uint8) * (references == 2)
    vectors = rng.integers(-largest, largest + 1, (2, h, w, 2)).astype(np.int16)
    for x in range(1, w):
        same = rng.random(h) < 0.5
        mode[same, x], vectors[:, same, x] = mode[same, x - 1], vectors[:, same, x - 1]
    mode[rng.random((h, w)) < intra] = INTRA
    vectors[0, mode == SECOND] = vectors[1, mode == 0] = vectors[:, mode == INTRA] = 0
    return Field(block, mode, vectors)


def coded(begin: Mixing, field: Field, references: int, before: Field | None) -> tuple[bytes, motioncoding.Coded]:
    coder = binary.encoding()
    found = motioncoding.encode(begin, before, coder, field, references)
    return found.data + binary.ending(coder), found


def read(begin: Mixing, data: bytes, like: Field, references: int, before: Field | None) -> motioncoding.Coded:
    buffer = np.frombuffer(data, np.uint8).copy()
    return motioncoding.decode(
        begin, before, binary.decoding(buffer), buffer, like.shape, like.block, references, like.has_intra
    )


def alike(a: Mixing, b: Mixing) -> bool:
    return np.array_equal(a.maps, b.maps) and np.array_equal(a.weights, b.weights)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from([8, 16, 32]),
    st.sampled_from([None, 8, 16, 32]),
    st.sampled_from([1, 2]),
    st.sampled_from([0, 1, 9, 200, LIMIT]),
    st.integers(0, 2**32 - 1),
)
def test_a_field_and_what_it_taught_come_back_whatever_field_was_before(
    h: int, w: int, block: int, other: int | None, references: int, largest: int, seed: int
) -> None:
    field = drawn(seed, 32 * h, 32 * w, block, references, largest)
    before = None if other is None else drawn(seed + 1, 32 * h, 32 * w, other, 2, largest)
    data, sent = coded(start(), field, references, before)
    back = read(start(), data, field, references, before)
    assert np.array_equal(back.field.mode, field.mode) and np.array_equal(back.field.vectors, field.vectors)
    assert alike(back.learnt, sent.learnt) and not alike(sent.learnt, start())
    assert abs(8 * len(data) - sent.bits) < 0.01 * sent.bits + 40


def test_vectors_at_the_limits_come_back() -> None:
    vectors = np.where(np.indices((2, 8, 12, 2)).sum(0) % 2, LIMIT, -LIMIT).astype(np.int16)
    field = Field(8, np.full((8, 12), BOTH, np.uint8), vectors)
    back = read(start(), coded(start(), field, 2, field)[0], field, 2, field)
    assert np.array_equal(back.field.vectors, vectors)


def test_what_moves_as_before_costs_less_and_less() -> None:
    field = drawn(3, 256, 256, 16, 1, 9, 0.0)
    first, sent = coded(start(), field, 1, None)
    second, again = coded(sent.learnt, field, 1, field)
    third, _ = coded(again.learnt, field, 1, field)
    assert len(third) < len(second) < 0.8 * len(first)


def test_motion_that_is_smooth_costs_less_than_by_tables() -> None:
    """Slow turning, at the size and the noise of real fields: what the search finds of clips is not kept in the project."""
    bundle, sizes = load_any_model("overfit-video-s.3")[1], []
    y, x = np.mgrid[:24, :40]
    begin, before, tables = start(), None, 0
    for number in range(4):
        noise = np.random.default_rng(number).integers(0, 9, (2, 24, 40)) // 8
        vectors = np.zeros((2, 24, 40, 2), np.int16)
        vectors[0] = np.stack([(x - 20) * (3 + number) // 8, (12 - y) * (3 + number) // 8], -1) + np.moveaxis(noise, 0, -1)
        field, encoder = Field(16, np.zeros((24, 40), np.uint8), vectors), RansEncoder()
        encode_field(encoder, bundle.motion, field, 1)
        tables += len(encoder.finish())
        data, sent = coded(begin, field, 1, before)
        begin, before = sent.learnt, field
        sizes.append(len(data))
    assert sum(sizes) < 0.9 * tables


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([1, 2]), st.booleans())
def test_any_bytes_give_a_field_or_an_error_of_ours(data: bytes, references: int, intra: bool) -> None:
    like = drawn(0, 160, 224, 16, references, 3, 0.5 if intra else 0.0)
    try:
        found = read(start(), data, like, references, like).field
    except CalotypeError:
        return
    assert np.abs(found.vectors.astype(int)).max() <= LIMIT and found.mode.max() <= INTRA


def test_motion_that_ends_before_its_last_block_is_corrupt() -> None:
    field = drawn(5, 320, 320, 8, 2, 200)
    data, _ = coded(start(), field, 2, None)
    with pytest.raises(CorruptStreamError):
        read(start(), data[: len(data) // 2], field, 2, None)


def test_any_start_within_the_bounds_codes_alike_and_others_are_refused() -> None:
    rng, blank = np.random.default_rng(0), motioncoding.blank()
    maps, top = blank.maps.copy(), mixing.kernels().WEIGHT_TOP
    maps[..., 0], maps[..., 1] = rng.integers(0, 1 << 22, maps.shape[:-1]), rng.integers(0, 1024, maps.shape[:-1])
    wild = Mixing(maps, rng.choice((-top, top), blank.weights.shape).astype(np.int32))
    wild.checked(blank, motioncoding.LIMIT)
    field = drawn(1, 96, 160, 8, 2, 30)
    back = read(wild, coded(wild, field, 2, field)[0], field, 2, field)
    assert np.array_equal(back.field.vectors, field.vectors)
    with pytest.raises(ValueError, match="none"):
        start().checked(Mixing.blank(True), motioncoding.LIMIT)
    maps[0, 0, 1] = motioncoding.LIMIT + 1
    with pytest.raises(ValueError, match="out of range"):
        wild.checked(blank, motioncoding.LIMIT)


def test_the_compiled_loop_does_what_the_interpreter_does() -> None:
    """Numba's integers wrap where Python's do not: equal results show that nothing does."""
    k, rng, results = motioncoding.kernels(), np.random.default_rng(4), []
    symbols = rng.integers(-4094, 4095, 40).astype(np.int32)
    rows = rng.integers(0, 200, (40, 6)), k.NODES * rng.integers(0, motioncoding.SETS, (40, 2))
    for run in (k.code_symbols, k.code_symbols.py_func):
        learnt, coder, buffer = start().copy(), binary.encoding(), np.zeros(1 << 14, np.uint8)
        tables = mixing.tables(motioncoding.LIMIT)
        arrays = learnt.maps, learnt.weights, *tables, motioncoding.RATE
        cost = run(coder, buffer, prior.kernels().ENCODE, k.VECTOR, symbols.copy(), np.concatenate(rows, 1), *arrays)
        results.append((cost, coder.tolist(), buffer.tobytes(), learnt.maps.tobytes(), learnt.weights.tobytes()))
    assert results[0] == results[1]
