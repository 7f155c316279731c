"""The weight coder: every tensor comes back bit for bit, coded weights are smaller, and no bytes make it do worse than a
ModelError."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from calotype.errors import ModelError
from calotype.models import weightcoder
from calotype.models.weightcoder import DTYPES

LIMIT = 1 << 24
NAMES = {dtype: name for name, dtype in DTYPES.items()}


def layout_of(tensors: dict[str, np.ndarray]) -> dict[str, tuple[str, tuple[int, ...]]]:
    return {name: (NAMES[a.dtype.name], a.shape) for name, a in tensors.items()}


def check_round_trip(tensors: dict[str, np.ndarray]) -> bytes:
    coded = weightcoder.encode(tensors)
    found = weightcoder.decode(coded, layout_of(tensors), LIMIT)
    assert list(found) == list(tensors)
    for name, a in tensors.items():
        little = np.asarray(a, dtype=a.dtype.newbyteorder("<"))
        assert (found[name].shape, found[name].dtype.name) == (a.shape, a.dtype.name)
        assert found[name].tobytes() == little.tobytes() == found[name].astype(little.dtype).tobytes()
        assert found[name].flags.writeable
    return coded


@st.composite
def tensor(draw) -> np.ndarray:
    """Any type, shape (0-d and empty too) and bits, NaNs with payloads among them; or a few values often."""
    dtype = np.dtype(draw(st.sampled_from(sorted(NAMES))))
    shape = draw(st.one_of(st.just(()), array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=9)))
    bits = draw(
        st.one_of(
            arrays(f"u{dtype.itemsize}", shape),
            arrays(f"u{dtype.itemsize}", shape, elements=st.integers(0, 3)),
            st.integers(0, 255).map(lambda value: np.full(shape, value, f"u{dtype.itemsize}")),
        )
    )
    return bits.view(dtype)


@settings(deadline=None, max_examples=150)
@given(st.dictionaries(st.text(max_size=4), tensor(), max_size=5))
def test_any_tensors_come_back_bit_for_bit(tensors) -> None:
    check_round_trip(tensors)


@settings(deadline=None, max_examples=30)
@given(
    st.sampled_from(["float16", "float32", "int8", "int16", "int32", "uint16"]),
    st.integers(1, 3000),
    st.floats(0.001, 30),
    st.integers(0, 2**32 - 1),
)
def test_values_like_weights_come_back_and_take_fewer_bytes(dtype, count, scale, seed) -> None:
    values = np.random.default_rng(seed).normal(0, scale, (count, 3))
    values = values.astype(dtype) if dtype[0] == "f" else np.abs(np.rint(values)).astype(dtype)
    coded = check_round_trip({"a": values})
    assert len(coded) <= values.nbytes + 16
    if count > 1500 and values.itemsize > 1:
        assert len(coded) < 0.93 * values.nbytes


def test_other_byte_orders_and_memory_layouts_are_the_same_tensor() -> None:
    a = np.random.default_rng(0).normal(size=(40, 30)).astype(np.float16)
    for other in (a.astype(">f2"), np.asfortranarray(a), np.repeat(a, 2, axis=1)[:, ::2]):
        assert check_round_trip({"a": other}) == check_round_trip({"a": a})


def test_a_tensor_of_more_symbols_than_one_pull_comes_back() -> None:
    a = np.random.default_rng(0).normal(0, 20, (1 << 20) + 7).astype(np.int8)
    assert len(check_round_trip({"a": a})) < 0.85 * a.nbytes


def test_slowly_changing_integers_are_coded_by_their_differences() -> None:
    rng = np.random.default_rng(0)
    rows = np.cumsum(rng.integers(-3, 4, (60, 50)), axis=0).astype(np.int32) + rng.integers(-(10**6), 10**6, 50, np.int32)
    assert max(len(check_round_trip({"a": a})) for a in (rows, rows.T.copy())) < 0.2 * rows.nbytes


def test_tensors_share_tables_where_own_ones_would_take_more() -> None:
    rng = np.random.default_rng(0)
    parts = {f"{i:02}": rng.normal(0, 10, 400).astype(np.int8) for i in range(40)}
    coded = check_round_trip(parts)
    assert coded[0] < 4 and len(coded) < sum(len(weightcoder.encode({"a": part})) for part in parts.values())


@pytest.fixture(scope="module")
def sample() -> tuple[bytes, dict]:
    rng = np.random.default_rng(3)
    tensors = {
        "a": rng.normal(0, 1, (20, 9)).astype(np.float16),
        "b": rng.normal(0, 9, (30, 8)).astype(np.int8),
        "c": np.cumsum(rng.integers(0, 9, (5, 30)), axis=1).astype(np.int32),
        "d": np.zeros((0, 3), np.uint16),
    }
    coded = weightcoder.encode(tensors)
    assert coded[0] and len(coded) < sum(a.nbytes for a in tensors.values())
    return coded, layout_of(tensors)


def decodes(data: bytes, layout: dict) -> bool:
    """Whether it decodes; then to tensors of the layout. Anything else than ModelError fails the test."""
    try:
        found = weightcoder.decode(data, layout, LIMIT)
    except ModelError:
        return False
    assert layout_of(found) == layout
    return True


def test_every_cut_and_every_byte_more_is_a_model_error(sample) -> None:
    coded, layout = sample
    assert not any(decodes(coded[:length], layout) for length in range(len(coded)))
    assert not decodes(coded + b"\0", layout)


def test_a_flipped_bit_is_a_model_error_or_other_weights(sample) -> None:
    coded, layout = sample
    for bit in range(8 * len(coded)):
        damaged = bytearray(coded)
        damaged[bit // 8] ^= 1 << bit % 8
        decodes(bytes(damaged), layout)


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_no_bytes_do_worse_than_a_model_error(sample, data) -> None:
    coded, layout = sample
    if data.draw(st.booleans()):
        decodes(data.draw(st.binary(max_size=200)), layout)
        return
    start = data.draw(st.integers(0, len(coded)))
    decodes(coded[:start] + data.draw(st.binary(max_size=8)) + coded[start + data.draw(st.integers(0, 8)) :], layout)


@pytest.mark.parametrize("shape", [(1 << 30, 1 << 30), (LIMIT,), (1, LIMIT // 2 + 1)])
def test_weights_over_the_limit_are_refused_before_they_take_memory(shape) -> None:
    with pytest.raises(ModelError, match="at most"):
        weightcoder.decode(weightcoder.encode({}), {"a": ("F16", shape)}, LIMIT)


def test_another_layout_or_an_unknown_type_is_a_model_error(sample) -> None:
    coded, layout = sample
    assert not decodes(coded, dict(list(layout.items())[:-2]))
    assert not decodes(coded, layout | {"e": ("U8", (4,))})
    with pytest.raises(ModelError, match="BF16"):
        weightcoder.decode(coded, layout | {"a": ("BF16", (20, 9))}, LIMIT)
