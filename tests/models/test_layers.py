"""The layers of the exact nets: every execution gives what plain int64 gives, up to the proved bounds and never past them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from exact_layers import (
    ACT,
    INT32_MAX,
    KNOTS,
    NARROW,
    OCTAVE,
    WIDE,
    Exact,
    random_input,
    random_layer,
    random_rows,
    scaled,
    thread_count,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from calotype.errors import ModelError
from calotype.models.integer.executions import Execution, make_execution
from calotype.models.integer.layers import ONE, Affine, BlockLayers, Gains, Rows, mantissa_table
from calotype.models.integer.onnumpy import OnNumpy

RUNS = [("kernel", "cpu"), ("int8", "cpu"), ("float", "cpu"), ("reference", "cpu")]
RUNS += [("int8", "cuda"), ("float", "cuda")] if torch.cuda.is_available() else []
THREADS = (1, 2, 3)
SEEDS, SIZES, BATCHES = st.integers(0, 2**32 - 1), st.integers(1, 7), st.sampled_from([1, 4])
# odd and even, multiples of 16 and not
CHANNELS = st.one_of(st.integers(1, 40), st.sampled_from([16, 32, 48, 64]))
LARGEST = st.sampled_from([ACT, 127])


def executions() -> list[Execution]:
    """One of each; the kernels share even the smallest work among threads."""
    found = [make_execution(*run) for run in RUNS]
    found[0].LEAST = 1
    return found


def all_give(expected: np.ndarray, call: Callable[[Execution], Any]) -> None:
    """Every execution's call, on any number of threads, within int16 (or pixels) and equal to that."""
    for run, (name, device) in zip(executions(), RUNS, strict=True):
        for threads in THREADS:
            with thread_count(threads):
                got = call(run)
            got = got if isinstance(got, np.ndarray) else run.numpy(got)
            assert got.dtype in (np.int16, np.uint8) and got.shape == expected.shape
            np.testing.assert_array_equal(got, expected, f"{name} on {device}, {threads} threads")


def several(function: Callable) -> Callable:
    return settings(max_examples=15, deadline=None)(function)


@several
@given(
    seed=SEEDS, places=st.tuples(BATCHES, SIZES, SIZES), outputs=CHANNELS, inputs=CHANNELS, wide=st.booleans(), largest=LARGEST,
    high=st.sampled_from([ACT, 127, None]), after=st.sampled_from(["", "leaky", "skip", "leaky skip"]),
    qualities=st.sampled_from([0, 1, 3]),
)  # fmt: skip
def test_a_1x1_layer_is_its_sums_in_int64(seed, places, outputs, inputs, wide, largest, high, after, qualities) -> None:
    rng = np.random.default_rng(seed)
    if "skip" in after and high is None:
        high = ACT  # heads, whose outputs are no activations, have no skip
    layer, bias = random_layer(rng, outputs, inputs, wide, largest, high, KNOTS if qualities else 1)
    x, skip = random_input(rng, (*places, inputs), largest), random_input(rng, (*places, outputs))
    skip = skip if "skip" in after else None
    rows = random_rows(rng, places, qualities == 3) if qualities else ONE
    expected = Exact().affine(layer, bias, x, rows, "leaky" in after, skip)

    def call(run: Execution) -> Any:
        return run.affine(layer, run.array(x), rows, "leaky" in after, None if skip is None else run.array(skip))

    all_give(expected, call)


@several
@given(seed=SEEDS, b=BATCHES, h=SIZES, w=SIZES, channels=CHANNELS, wide=st.booleans(), high=st.sampled_from([ACT, 127]))
def test_a_depthwise_layer_is_its_taps_in_int64(seed, b, h, w, channels, wide, high) -> None:
    rng = np.random.default_rng(seed)
    layer, bias = random_layer(rng, channels, 9, wide, high=high)
    x = random_input(rng, (b, h, w, channels))
    all_give(Exact().depthwise(layer, bias, x), lambda run: run.depthwise(layer, run.array(x)))


@several
@given(
    seed=SEEDS, b=BATCHES, h=SIZES, w=SIZES, outputs=st.integers(1, 20), inputs=st.integers(1, 20), wide=st.booleans(),
    leaky=st.booleans(), largest=LARGEST,
)  # fmt: skip
def test_a_dense_3x3_layer_is_its_taps_in_int64(seed, b, h, w, outputs, inputs, wide, leaky, largest) -> None:
    rng = np.random.default_rng(seed)
    layer, bias = random_layer(rng, outputs, 9 * inputs, wide, largest)
    x = random_input(rng, (b, h, w, inputs), largest)
    expected = Exact().conv3x3(layer, bias, x, leaky)
    all_give(expected, lambda run: run.conv3x3(layer, run.array(x), leaky=leaky))


@several
@given(
    seed=SEEDS, places=st.tuples(BATCHES, SIZES, SIZES), channels=st.integers(1, 20), rise=st.integers(0, 6), maps=st.booleans()
)  # fmt: skip
def test_gains_are_factors_of_15_bits_rounded_halves_up(seed, places, channels, rise, maps) -> None:
    rng = np.random.default_rng(seed)
    log = rng.integers(-16 * OCTAVE, (14 - rise) * OCTAVE, (KNOTS, channels)).astype(np.int32)
    log[:, ::2] = log[:, ::2] // 8 + OCTAVE  # as in nets: near 1
    gains, rows = Gains(log, rise), random_rows(rng, places, maps)
    x = random_input(rng, (*places, channels), 2**15 - 1)
    all_give(scaled(gains, x, rows), lambda run: run.scale(gains, run.array(x), rows))


def activations(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """A table of any function of an activation."""
    return rng.integers(-ACT, ACT + 1, shape).astype(np.int16)


@several
@given(seed=SEEDS, places=st.tuples(BATCHES, SIZES, SIZES), channels=CHANNELS, shift=st.integers(1, 28))
def test_tables_products_and_sums_are_elementwise(seed, places, channels, shift) -> None:
    rng, shape = np.random.default_rng(seed), (*places, channels)
    table, a, b = activations(rng, (2**15,)), random_input(rng, shape), random_input(rng, shape)
    looked = np.array([table[int(v) + 2**14] for v in a.reshape(-1)]).reshape(shape)
    all_give(looked, lambda run: run.look_up(table, run.array(a)))
    product = np.clip(np.floor_divide(a.astype(np.int64) * b.astype(np.int64) + 2 ** (shift - 1), 2**shift), -ACT, ACT)
    all_give(product, lambda run: run.product(run.array(a), run.array(b), shift))
    all_give(np.clip(a.astype(np.int64) + b, -ACT, ACT), lambda run: run.add(run.array(a), run.array(b)))


def a_block(rng: np.random.Generator, width: int, inner: int, wide: bool, limit: int, table: bool, extreme: bool = False):
    """(layers, biases): activations within the block are at most `limit`."""
    dw, dw_bias = random_layer(rng, width, 9, wide, high=limit, extreme=extreme)
    grow, grow_bias = random_layer(rng, inner, width, wide, limit, limit, extreme=extreme)
    after = ACT if table else limit
    shrink, shrink_bias = random_layer(rng, width, inner, wide, after, extreme=extreme)
    layers = BlockLayers(dw, grow, shrink, activations(rng, (2**15,)) if table else None)
    return layers, [dw_bias, grow_bias, shrink_bias]


@several
@given(
    seed=SEEDS, b=BATCHES, h=SIZES, w=SIZES, width=CHANNELS, ratio=st.sampled_from([1, 2, 1.3]), wide=st.booleans(),
    limit=LARGEST, table=st.booleans(),
)  # fmt: skip
def test_a_block_is_its_layers_one_after_the_other(seed, b, h, w, width, ratio, wide, limit, table) -> None:
    rng = np.random.default_rng(seed)
    layers, biases = a_block(rng, width, round(ratio * width), wide, limit, table)
    x = random_input(rng, (b, h, w, width))
    all_give(Exact().block(layers, biases, x), lambda run: run.block(layers, run.array(x)))


@several
@given(seed=SEEDS, b=BATCHES, h=SIZES, w=SIZES, outputs=CHANNELS, inputs=CHANNELS, wide=st.booleans())
def test_expansion_deals_four_layers_to_the_places_of_a_cell(seed, b, h, w, outputs, inputs, wide) -> None:
    rng = np.random.default_rng(seed)
    layers, biases = zip(*(random_layer(rng, outputs, inputs, wide) for _ in range(4)), strict=True)
    x = random_input(rng, (b, h, w, inputs))
    all_give(Exact().expand(layers, biases, x), lambda run: run.expand(layers, run.array(x)))


def a_post(rng: np.random.Generator, top: int) -> tuple[Affine, np.ndarray]:
    """A border filter: any weights, one shift for all rows, no bias."""
    weight = rng.integers(-top, top + 1, (16, 16)).astype(np.int16)
    weight[rng.integers(0, 16)] = top * rng.choice([-1, 1], 16)
    bias = np.zeros((1, 16), np.int32)
    return Affine(weight, bias, np.full(16, max(1, int(top).bit_length()), np.int8)), bias


@settings(max_examples=8, deadline=None)
@given(
    seed=SEEDS, b=BATCHES, h=st.integers(1, 4), w=st.integers(1, 4), top=st.sampled_from([1, 63, 2048, WIDE]),
    frac=st.sampled_from([1, 8, 13, 14]),
)  # fmt: skip
def test_painting_shuffles_filters_borders_and_rounds_to_pixels(seed, b, h, w, top, frac) -> None:
    rng = np.random.default_rng(seed)
    post, bias = a_post(rng, top)
    x = (random_input(rng, (b, 2 * h, 2 * w, 192)) >> rng.integers(0, 8)).astype(np.int16)
    all_give(Exact().paint(post, bias, frac, x), lambda run: run.paint(post, frac, run.array(x)))


def test_large_layers_are_shared_among_threads_without_a_seam() -> None:
    """Enough work that the default kernel shares it, rows that no number of threads divides."""
    rng, run = np.random.default_rng(0), make_execution("kernel")
    layers, biases = a_block(rng, 64, 128, False, ACT, False)
    x = random_input(rng, (1, 13, 41, 64))
    assert 4 * x.size * 64 > 3 * run.LEAST
    np.testing.assert_array_equal(run.block(layers, x), Exact().block(layers, biases, x))


def aligned(layer: Affine, largest: int, row: int) -> np.ndarray:
    """The activations that take that row's sum furthest: (2, K), up and down."""
    sign = np.where(layer.weight[row] < 0, -1, 1)
    return np.stack([largest * sign, -largest * sign])


# inputs whose sums of |w| reach 2**17 - 1, and few inputs; odd numbers too
EXTREMES = [(NARROW, 2081), (WIDE, 33), (NARROW, 16), (WIDE, 16), (NARROW, 7), (32, 4096), (33, 3972)]


@pytest.mark.parametrize("largest", [ACT, 127])
@pytest.mark.parametrize(("top", "inputs"), EXTREMES)
def test_a_1x1_layer_reaches_its_bound_and_never_passes_it(top, inputs, largest) -> None:
    """Weights of the first sizes split into halves that are largest, or (32, 33) whose halves' sums are larger than they."""
    rng, k = np.random.default_rng(inputs), np.arange(inputs)
    sizes = np.full(inputs, top)
    sizes[-1] -= max(0, top * inputs - (2**17 - 1))
    signs = np.stack([0 * k + 1, 0 * k - 1, (-1) ** k, (-1) ** (k // 2), (-1) ** (k // 16), rng.choice([-1, 1], inputs)])
    weight = (sizes * signs).astype(np.int16 if top > 127 else np.int8)
    room = INT32_MAX - (largest + 1) * int(sizes.sum())
    shift = min(24, room.bit_length() - 1)
    bias = ((room - 2 ** (shift - 1)) * np.array([[1, 1, -1, -1, 1, -1]])).astype(np.int32)
    layer = Affine(weight, bias, np.full(6, shift, np.int8), largest=largest)
    assert layer.bound == INT32_MAX
    x = np.concatenate([aligned(layer, largest, row) for row in range(6)]).astype(np.int16)
    exact = Exact()
    all_give(exact.affine(layer, bias, x, ONE), lambda run: run.affine(layer, run.array(x)))
    assert layer.bound - layer.reach <= exact.largest, "the furthest sum is a step of every weight away, no more"
    beyond = np.where(x == -largest, -largest - 1, x).astype(np.int16)  # what halves of x may reach: the bound itself
    if largest == ACT:
        all_give(exact.affine(layer, bias, beyond, ONE), lambda run: run.affine(layer, run.array(beyond)))
        assert exact.largest == layer.bound == INT32_MAX


@pytest.mark.parametrize("top", [NARROW, WIDE])
def test_a_depthwise_layer_reaches_its_bound_and_never_passes_it(top) -> None:
    rng, channels = np.random.default_rng(top), 35
    weight = top * rng.choice([-1, 1], (channels, 9))
    weight[0], weight[1], weight[2] = top, -top, top * (-1) ** np.arange(9)
    room = INT32_MAX - (ACT + 1) * 9 * top
    bias = ((room - 2**23) * rng.choice([-1, 1], (1, channels))).astype(np.int32)
    bias[0, 1] = room - 2**23  # where all weights are below zero, and -16384 takes the sum to the bound
    layer = Affine(weight.astype(np.int16), bias, np.full(channels, 24, np.int8))
    assert layer.bound == INT32_MAX
    sign = np.where(weight < 0, -1, 1).T.reshape(3, 3, channels)
    x = np.stack([np.tile(end * sign, (2, 2, 1))[:5] for end in (ACT, -ACT, ACT + 1, -ACT - 1)])
    x = x.clip(-ACT - 1, ACT).astype(np.int16)
    exact = Exact()
    all_give(exact.depthwise(layer, bias, x), lambda run: run.depthwise(layer, run.array(x)))
    assert exact.largest == layer.bound


def test_a_dense_3x3_layer_reaches_its_bound_and_never_passes_it() -> None:
    rng, k = np.random.default_rng(1), 3
    layer, bias = random_layer(rng, 5, 9 * k, wide=True, extreme=True)
    assert layer.bound == INT32_MAX
    x = np.concatenate([aligned(layer, ACT + 1, row) for row in range(5)]).reshape(-1, 3, 3, k)
    x, exact = x.clip(-ACT - 1, ACT).astype(np.int16), Exact()
    all_give(exact.conv3x3(layer, bias, x), lambda run: run.conv3x3(layer, run.array(x)))
    assert exact.largest >= layer.bound - layer.reach


@pytest.mark.parametrize("table", [False, True], ids=["leaky", "table"])
@pytest.mark.parametrize(
    ("wide", "limit", "width"), [(False, ACT, 48), (True, ACT, 16), (False, 127, 64), (True, 127, 32), (True, ACT, 9)]
)
def test_blocks_of_extreme_weights_saturate_alike(wide, limit, width, table) -> None:
    rng = np.random.default_rng(width)
    layers, biases = a_block(rng, width, 2 * width, wide, limit, table, extreme=True)
    sign = np.where(layers.dw.weight < 0, -1, 1).T.reshape(3, 3, width)
    x = np.stack([np.tile(end * sign, (2, 2, 1)) for end in (ACT, -ACT)] + [random_input(rng, (6, 6, width))]).astype(np.int16)
    exact = Exact()
    expected = exact.block(layers, biases, x)
    assert np.abs(expected).max() == ACT
    all_give(expected, lambda run: run.block(layers, run.array(x)))


def test_expansion_of_extreme_weights_saturates_alike() -> None:
    rng = np.random.default_rng(3)
    layers, biases = zip(*(random_layer(rng, 32, 32, wide=True, extreme=True) for _ in range(4)), strict=True)
    x = np.concatenate([aligned(layer, ACT, row) for layer in layers for row in range(4)]).reshape(1, 4, 8, 32).astype(np.int16)
    exact = Exact()
    all_give(exact.expand(layers, biases, x), lambda run: run.expand(layers, run.array(x)))
    assert exact.largest >= INT32_MAX - max(layer.reach for layer in layers)


def test_a_border_filter_reaches_its_bound_and_never_passes_it() -> None:
    sign = np.where(np.arange(256).reshape(16, 16) * 37 % 11 < 5, -1, 1)
    sign[0], sign[1], sign[2] = 1, -1, (-1) ** np.arange(16)
    bias = np.zeros((1, 16), np.int32)
    post = Affine((WIDE * sign).astype(np.int16), bias, np.full(16, 24, np.int8))
    line = np.concatenate([np.zeros(8), ACT * sign[2], -ACT * sign[0], ACT * sign[5], np.zeros(8)])  # segments of a row
    picture = np.stack([line] * 64)
    x = picture.reshape(8, 8, 8, 8).transpose(0, 2, 1, 3).reshape(1, 8, 8, 64).repeat(3, -1)
    x = np.concatenate([x, x.transpose(0, 2, 1, 3), np.full_like(x, ACT), np.full_like(x, -ACT)]).astype(np.int16)
    exact = Exact()
    all_give(exact.paint(post, bias, 13, x), lambda run: run.paint(post, 13, run.array(x)))
    assert exact.largest >= post.bound - post.reach - 2**24


def test_the_largest_products_and_gains_stay_within_int32() -> None:
    a, b = np.array([ACT, -ACT, ACT, -ACT], np.int16), np.array([ACT, ACT, -ACT, -ACT], np.int16)
    for shift in (1, 14, 28, 30):
        exact = [(int(v) * int(w) + 2 ** (shift - 1)) >> shift for v, w in zip(a, b, strict=True)]
        all_give(np.clip(exact, -ACT, ACT), lambda run, s=shift: run.product(run.array(a), run.array(b), s))
    x = np.array([[2**15 - 1, -(2**15) + 1]], np.int16)
    for whole in range(-16, 14):  # the largest mantissa, every shift
        gains = Gains(np.full((KNOTS, 2), (whole + 1) * OCTAVE - 1, np.int32), 0)
        assert (2**15 - 1) * int(mantissa_table()[-1]) + 2**29 <= INT32_MAX
        all_give(scaled(gains, x, ONE), lambda run, g=gains: run.scale(g, run.array(x), ONE))


def test_layers_and_gains_past_their_bounds_are_refused() -> None:
    def layer(weight: np.ndarray, bias: int = 0, shift: int = 1, largest: int = ACT) -> Affine:
        o = len(weight)
        return Affine(weight.astype(np.int16), np.full((1, o), bias, np.int32), np.full(o, shift, np.int8), largest=largest)

    layer(np.full((1, 2), -WIDE))
    for value in (WIDE + 1, -WIDE - 1, 2**15 - 1, -(2**15)):
        with pytest.raises(ModelError, match=str(WIDE)):
            layer(np.array([[1, value]]))
    full = np.append(np.full(32, WIDE), 2**17 - 1 - 32 * WIDE)
    assert layer(full[None]).reach == 2**17 - 1
    for largest in (ACT, 1):  # float32 carries a half of an activation, whatever the whole is
        with pytest.raises(ModelError, match="overflow"):
            layer(np.append(full, 1)[None], largest=largest)
    room = INT32_MAX - (ACT + 1) * WIDE
    for bias in (room - 1, 1 - room):
        assert layer(np.array([[WIDE]]), bias).bound == INT32_MAX
        with pytest.raises(ModelError, match="overflow"):
            layer(np.array([[WIDE]]), bias + np.sign(bias))
        with pytest.raises(ModelError, match="overflow"):
            layer(np.array([[WIDE]]), bias, shift=2)
    assert Gains(np.full((KNOTS, 1), 14 * OCTAVE - 1, np.int32), 0).at((0,))[1].min() == 1
    for log, rise in ((14 * OCTAVE, 0), (8 * OCTAVE, 6)):
        with pytest.raises(ModelError, match="gain"):
            Gains(np.full((KNOTS, 1), log, np.int32), rise)


@pytest.mark.parametrize("name", ["int8", "float"])
def test_torch_behind_numpy_is_the_reference(name) -> None:
    rng, run = np.random.default_rng(5), OnNumpy(make_execution(name))
    layer, bias = random_layer(rng, 20, 16, knots=KNOTS)
    x, skip = random_input(rng, (2, 3, 5, 16)), random_input(rng, (2, 3, 5, 20))
    rows = Rows((3, 777), rng.integers(0, 2, (2, 3, 5)).astype(np.uint8))
    np.testing.assert_array_equal(run.affine(layer, x, rows, True, skip), Exact().affine(layer, bias, x, rows, True, skip))
    dw, dw_bias = random_layer(rng, 16, 9)
    np.testing.assert_array_equal(run.depthwise(dw, x), Exact().depthwise(dw, dw_bias, x))


@pytest.mark.skipif(shutil.which(os.environ.get("CXX", "g++")) is None, reason="torch.compile needs a C++ compiler")
def test_a_compiled_layer_is_its_sums_in_int64() -> None:
    rng, run = np.random.default_rng(7), make_execution("compiled")
    for wide, outputs, inputs in ((False, 20, 15), (True, 16, 33)):
        layer, bias = random_layer(rng, outputs, inputs, wide, extreme=wide, knots=KNOTS)
        x, rows = random_input(rng, (1, 5, 7, inputs)), Rows((450,))
        np.testing.assert_array_equal(run.numpy(run.affine(layer, run.array(x), rows)), Exact().affine(layer, bias, x, rows))
