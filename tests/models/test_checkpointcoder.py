"""Coded checkpoints: exact ones come back bit for bit, others on their grid; every damage is a typed error."""

from __future__ import annotations

import json
import math
import struct
import zlib
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from crc32c import crc32c
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from safetensors.numpy import load_file, save_file

from calotype.errors import CalotypeError, CorruptStreamError, LimitError, ModelError, UsageError
from calotype.models import checkpointcoder, packedfile, safetensorsfile, stepscales
from calotype.models.checkpointcoder import Options, decode, encode
from calotype.models.safetensorsfile import FLOATS, SIZES, Checkpoint, Tensor, tensor_of, values_of


@st.composite
def tensor(draw) -> Tensor:
    """Any type, shape (0-d and empty too) and bits, NaNs and infinities among them."""
    dtype = draw(st.sampled_from(sorted(SIZES)))
    shape = draw(st.one_of(st.just(()), array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=6)))
    kind = f"u{SIZES[dtype]}"
    bits = draw(st.one_of(arrays(kind, shape), arrays(kind, shape, elements=st.integers(0, 3))))
    return Tensor(dtype, shape, bits.reshape(-1))


CHECKPOINTS = st.dictionaries(st.text(max_size=4).filter(lambda name: name != "__metadata__"), tensor(), max_size=4)


def same(a: Checkpoint, b: Checkpoint) -> bool:
    return a.metadata == b.metadata and [
        (name, t.dtype, tuple(t.shape), t.bits.tobytes()) for name, t in a.tensors.items()
    ] == [(name, t.dtype, tuple(t.shape), t.bits.tobytes()) for name, t in b.tensors.items()]


def through_file(packed: checkpointcoder.Packed) -> checkpointcoder.Packed:
    return packedfile.from_bytes(packedfile.to_bytes(packed))


def net(seed: int = 0, moved: float = 0.0) -> Checkpoint:
    """Weights like a small net's; `moved` away from those of 0."""
    rng, other = np.random.default_rng(seed), np.random.default_rng(99)

    def floats(dtype: str, *shape: int) -> Tensor:
        values = rng.laplace(0, 0.1, shape).reshape(-1)
        return tensor_of(dtype, shape, values + moved * other.normal(0, 0.1, len(values)))

    tensors = {
        "conv.weight": floats("F32", 24, 16, 3, 3),
        "conv.bias": floats("F32", 24),
        "head.weight": floats("BF16", 30, 40),
        "half": floats("F16", 50, 20),
        "double": floats("F64", 9, 9),
        "steps": Tensor("I64", (), np.array([12345], np.uint64)),
        "counts": Tensor("I32", (5, 30), np.cumsum(rng.integers(0, 9, 150)).astype(np.uint32)),
        "mask": Tensor("BOOL", (7,), np.array([1, 0, 1, 1, 0, 0, 1], np.uint8)),
    }
    return Checkpoint(tensors, {"epoch": "3"})


@settings(deadline=None, max_examples=60)
@given(CHECKPOINTS, CHECKPOINTS)
def test_any_tensors_come_back_bit_for_bit_when_exact(tensors, others) -> None:
    checkpoint = Checkpoint(tensors, {"a": "é"})
    previous = Checkpoint(others | {name: t._replace(bits=t.bits[::-1].copy()) for name, t in tensors.items()}, {})
    assert same(decode(through_file(encode(checkpoint, Options(exact=True)))), checkpoint)
    assert same(decode(through_file(encode(checkpoint, Options(exact=True), previous)), previous), checkpoint)


@settings(deadline=None, max_examples=40)
@given(CHECKPOINTS, st.integers(2, 16), st.sampled_from([0.0, 0.1, 3.0]), st.sampled_from([0.0, 0.5, 1.0]))
def test_any_tensors_come_back_on_their_grids(tensors, bits, lmbda, prune) -> None:
    packed = through_file(encode(Checkpoint(tensors, {}), Options(bits=bits, lmbda=lmbda, prune=prune)))
    found = decode(packed).tensors
    for record in packed.records:
        before, after = tensors[record.name], found[record.name]
        assert before[:2] == after[:2]
        if record.step is None:
            assert before.bits.tobytes() == after.bits.tobytes()
        elif not prune:
            levels = 3 if lmbda else 0.501
            room = np.abs(values_of(before)) * 2**-7 + 2**-24  # of the type itself
            assert (np.abs(values_of(after) - values_of(before)) <= levels * record.step + room).all()


def test_eight_bits_are_within_half_a_step_and_what_stays_exact_is_exact() -> None:
    checkpoint = net()
    packed = through_file(encode(checkpoint, Options(lmbda=0)))
    found, on_grid = decode(packed), {r.name: r.step for r in packed.records if r.step}
    assert set(on_grid) == {"conv.weight", "head.weight", "half", "double"}
    for name, before in checkpoint.tensors.items():
        if name not in on_grid:
            assert np.array_equal(before.bits, found.tensors[name].bits)
        else:
            error = np.abs(values_of(before) - values_of(found.tensors[name]))
            assert error.max() <= 0.5 * on_grid[name] * 1.001 + 2**-8 * np.abs(values_of(before)).max()


def test_rate_distortion_takes_fewer_bytes_and_pruned_weights_are_zero_and_cheap() -> None:
    checkpoint = net()
    sizes = [len(packedfile.to_bytes(encode(checkpoint, Options(step=0.05, lmbda=lmbda)))) for lmbda in (0, 0.1, 0.5)]
    assert sizes == sorted(sizes, reverse=True) and sizes[2] < 0.96 * sizes[0]
    packed = encode(checkpoint, Options(step=0.05, prune=0.9))
    assert len(packedfile.to_bytes(packed)) < 0.7 * sizes[1]
    for record in packed.records:
        if record.step:
            values = values_of(decode(packed).tensors[record.name])
            assert (values == 0).mean() >= 0.899


def test_pruned_weights_are_zero_even_where_the_previous_ones_are_not() -> None:
    old, new = net(), net(moved=0.003)
    packed = encode(new, Options(step=0.001, prune=0.25), old)
    assert packed.previous
    for record in packed.records:
        if record.step:
            assert (values_of(decode(packed, old).tensors[record.name]) == 0).mean() >= 0.24


@pytest.mark.parametrize("options", [Options(exact=True), Options(step=0.002), Options(bits=8)])
def test_a_previous_checkpoint_nearby_makes_the_file_smaller(options) -> None:
    old, new = net(), net(moved=0.003)
    alone, after = (packedfile.to_bytes(encode(new, options, previous)) for previous in (None, old))
    assert len(after) < 0.8 * len(alone)
    found = decode(packedfile.from_bytes(after), old)
    if options.exact:
        assert same(found, new)


def test_a_wrong_or_missing_previous_checkpoint_is_a_model_error() -> None:
    packed = encode(net(moved=0.003), Options(step=0.002), net())
    for wrong in (None, net(1), Checkpoint({}, {})):
        with pytest.raises(ModelError, match="--previous"):
            decode(packed, wrong)


def test_a_previous_checkpoint_that_is_no_help_is_not_needed() -> None:
    def floats(seed: int) -> Checkpoint:
        return Checkpoint({name: t for name, t in net(seed).tensors.items() if t.dtype in FLOATS}, {})

    packed = encode(floats(0), Options(), floats(5))
    assert packed.previous is None
    decode(packed)


def test_an_important_tensor_is_changed_less() -> None:
    checkpoint = net()
    errors = []
    for importance in (0.01, 1.0, 100.0):
        costs = {"conv.weight": np.array(importance), "head.weight": np.array(1.0)}
        found = decode(through_file(encode(checkpoint, Options(lmbda=0.5), importance=costs)))
        pairs = [(values_of(found.tensors[n]), values_of(checkpoint.tensors[n])) for n in costs]
        errors.append([np.square(a - b).sum() for a, b in pairs])
    conv, head = np.array(errors).T
    assert conv[0] > 2 * conv[1] > 4 * conv[2] and head[0] < 0.2 * head[1] < 0.04 * head[2]


def test_importance_says_steps_by_row_and_column_which_come_back() -> None:
    tensor, rng = net().tensors["head.weight"], np.random.default_rng(1)
    rows, columns = np.exp(3 * rng.normal(size=30)), np.exp(2 * rng.normal(size=40))
    costs, found = np.outer(rows, columns), []
    for importance in (None, {"w": costs}):
        packed = through_file(encode(Checkpoint({"w": tensor}, {}), None, None, importance))
        error = (values_of(decode(packed).tensors["w"]) - values_of(tensor)).reshape(30, 40)
        found.append((len(packed.levels), float((costs * np.square(error)).sum())))
    assert packed.records[0].scaled and found[1][1] < 0.05 * found[0][1] and found[1][0] < 1.2 * found[0][0]


@settings(deadline=None, max_examples=40)
@given(CHECKPOINTS, st.integers(0, 1 << 30), st.integers(2, 8))
def test_any_importance_gives_a_file_that_comes_back_the_same_twice(tensors, seed, bits) -> None:
    rng = np.random.default_rng(seed)
    costs = {name: np.exp(8 * rng.normal(size=t.shape)) * rng.integers(0, 2, t.shape) + 1e-9 for name, t in tensors.items()}
    first = through_file(encode(Checkpoint(tensors, {}), Options(bits=bits), None, costs))
    assert same(decode(first), decode(through_file(first)))
    again = encode(decode(first), Options(bits=bits), Checkpoint(tensors, {}), costs)
    decode(through_file(again), Checkpoint(tensors, {}))


def test_steps_by_row_and_column_are_those_of_the_specification_to_the_bit() -> None:
    rng, powers = np.random.default_rng(3), [Decimal(2) ** (Decimal(k) / 8) for k in range(8)]
    scales = stepscales.Scales(rng.integers(-120, 121, 9), rng.integers(-120, 121, 7))
    found = scales.steps(0.0375)
    for (row, column), step in np.ndenumerate(found):
        octaves, part = divmod(int(scales.rows[row] + scales.columns[column]), 8)
        assert step == math.ldexp(0.0375 * float(powers[part]), octaves)


def test_forged_steps_give_finite_weights_or_an_error() -> None:
    packed = encode(net(), None, None, {"head.weight": np.outer(np.exp(np.arange(30) / 2), np.ones(40))})
    for step in (1.7e308, 5e-324):
        records = [r._replace(step=step) if r.scaled else r for r in packed.records]
        back = values_of(decode(through_file(packed._replace(records=records))).tensors["head.weight"])
        assert np.isfinite(back).all()


def test_importance_of_tensors_in_other_units_is_a_usage_error() -> None:
    for far in (1e-30, 1e-300):
        costs = {"head.weight": np.array(far), "conv.weight": np.array(1 / far), "half": np.array(1.0)}
        with pytest.raises(UsageError, match="importance"):
            encode(net(), None, None, costs)


@pytest.mark.parametrize("bad", [np.ones(3), np.full((30, 40), -1.0), np.full((30, 40), np.nan), np.zeros((30, 40))])
def test_importance_that_is_none_is_a_usage_error(bad: np.ndarray) -> None:
    with pytest.raises(UsageError, match="importance"):
        encode(net(), None, None, {"head.weight": bad})


def test_a_reader_of_the_first_version_would_refuse_steps_by_row() -> None:
    plain = packedfile.to_bytes(encode(net()))
    scaled = packedfile.to_bytes(encode(net(), None, None, {"head.weight": np.ones((30, 40))}))
    assert (plain[4], scaled[4]) == (1, 2)


def test_every_flipped_and_every_missing_byte_is_corrupt() -> None:
    tensors = {name: net().tensors[name] for name in ("conv.bias", "counts", "mask")}
    tensors["w"] = Tensor("F32", (8, 8), net().tensors["conv.weight"].bits[:64])
    data = packedfile.to_bytes(encode(Checkpoint(tensors, {}), None, None, {"w": np.ones((8, 8))}))
    for at in range(len(data)):
        for damaged in (data[:at], data[:at] + bytes((data[at] ^ 1 << at % 8,)) + data[at + 1 :]):
            with pytest.raises(CorruptStreamError):
                packedfile.from_bytes(damaged)


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_bytes_changed_under_a_right_checksum_are_a_typed_error_or_decode(data) -> None:
    body = bytearray(packedfile.to_bytes(encode(Checkpoint({"a": net().tensors["counts"], "b": net().tensors["half"]}, {}))))
    (stored,) = struct.unpack_from("<I", body, 5)
    at = data.draw(st.integers(13 + stored, len(body) - 5))
    body[at] = data.draw(st.integers(0, 255))
    body[-4:] = struct.pack("<I", crc32c(bytes(body[:-4])))
    try:
        found = decode(packedfile.from_bytes(bytes(body)))
    except CalotypeError:
        return
    assert [(t.dtype, t.shape) for t in found.tensors.values()] == [("I32", (5, 30)), ("F16", (50, 20))]


def forged(header: object, length: int | None = None) -> bytes:
    text = json.dumps(header).encode()
    stored = zlib.compress(text)
    data = struct.pack("<4sBII", b"CALW", 1, len(stored), len(text) if length is None else length) + stored + bytes(16)
    return data + struct.pack("<I", crc32c(data))


RECORD = ["a", "F32", [2, 2], "direct", 0.5]


@pytest.mark.parametrize(
    "record",
    [
        *(RECORD[:i] + [wrong] + RECORD[i + 1 :] for i, wrong in [(0, 3), (0, "__metadata__"), (1, "F31"), (1, "I32")]),
        *(RECORD[:2] + [wrong, *RECORD[3:]] for wrong in [3, [-1], [2.0], [True], [0, 1 << 60], [1] * 40, [0, 2]]),
        *(RECORD[:3] + [wrong, 0.5] for wrong in ["above", "plain", "x", None, []]),
        *(RECORD[:4] + [wrong] for wrong in [0.0, -1.0, float("nan"), float("inf"), "1", 1, True]),
        *(["a", dtype, [2], "direct", None] for dtype in ("F64", "I64", "C64")),
        [],
        5,
    ],
)
def test_a_forged_header_is_corrupt(record) -> None:
    with pytest.raises(CorruptStreamError):
        packedfile.from_bytes(forged({"tensors": [record], "metadata": {}, "previous": None}))


def test_claims_beyond_the_limits_are_refused_before_anything_is_allocated() -> None:
    huge = {"tensors": [["a", "F32", [1 << 20, 1 << 20], "direct", 1.0]], "metadata": {}, "previous": None}
    with pytest.raises(LimitError, match="--max-bytes"):
        packedfile.from_bytes(forged(huge))
    for header, length in (({"x": "0" * (17 << 20)}, None), ({"x": "0" * 10**6}, 100), ([], None), ({"tensors": 3}, None)):
        with pytest.raises(CorruptStreamError):
            packedfile.from_bytes(forged(header, length))
    with pytest.raises(LimitError):
        packedfile.from_bytes(packedfile.to_bytes(encode(net())), limit=100)


@pytest.mark.parametrize("wrong", [{"bits": 1}, {"bits": 17}, {"step": 0.0}, {"step": float("nan")}, {"prune": 1.1}])
def test_impossible_options_are_refused(wrong) -> None:
    with pytest.raises(UsageError):
        Options(**wrong)
    with pytest.raises(UsageError, match="larger step"):
        encode(net(), Options(step=1e-12))


# ---- safetensors


def test_a_file_of_safetensors_is_read_and_written_back_byte_for_byte(tmp_path: Path) -> None:
    arrays_ = {"b": np.arange(6, dtype=np.float32).reshape(2, 3), "a": np.array(3, np.int64), "c": np.zeros((0, 2), np.float16)}
    save_file(arrays_, tmp_path / "in", {"k": "v é"})
    checkpoint = safetensorsfile.read(tmp_path / "in")
    safetensorsfile.write(tmp_path / "out", checkpoint)
    assert (tmp_path / "out").read_bytes() == (tmp_path / "in").read_bytes()
    assert checkpoint.metadata == {"k": "v é"} and np.array_equal(load_file(tmp_path / "out")["b"], arrays_["b"])


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_damaged_safetensors_are_a_typed_error_or_tensors(tmp_path_factory, data) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged"
    save_file({"b": np.arange(6, dtype=np.float32), "a": np.array(3, np.int8)}, path)
    body = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(body[: data.draw(st.integers(0, len(body)))]))
    try:
        safetensorsfile.read(path)
    except CalotypeError:
        pass


@pytest.mark.parametrize("dtype", sorted(FLOATS))
def test_floats_become_their_own_bits_and_never_overflow(dtype) -> None:
    rng = np.random.default_rng(0)
    values = values_of(tensor_of(dtype, (999,), rng.normal(0, 3, 999)))
    assert np.array_equal(values_of(tensor_of(dtype, (999,), values)), values)
    assert np.isfinite(values_of(tensor_of(dtype, (2,), np.array([1e308, -1e308])))).all()
