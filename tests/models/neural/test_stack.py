"""Stacks of convolutions in integers, and their bytes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from calotype.errors import CorruptStreamError
from calotype.models.neural import hnerv, nirvana, stack
from calotype.models.neural.cells import to_cells, to_planes
from calotype.models.neural.coding import Reader, Writer, read_stack, write_stack
from calotype.models.neural.fitnet import FitNet, to_float
from calotype.models.neural.plan import Cells, Plan, plan_of
from calotype.models.neural.stack import ACT_TOP, BIAS_TOP, WEIGHT_TOP, Layer, Shape


def layers(shapes: list[Shape], seed: int, top: int = 40, bias: int = 200) -> list[Layer]:
    rng = np.random.default_rng(seed)
    return [
        Layer(s, 5, rng.integers(-top, top + 1, (s.rows, s.columns)), rng.integers(-bias, bias + 1, s.rows)) for s in shapes
    ]


def in_python(layer: Layer, x: np.ndarray, last: bool) -> np.ndarray:
    """Numbers of any size, sum by sum."""
    kernel, up, reach = layer.shape.kernel, layer.shape.up, layer.shape.kernel // 2
    height, width, inputs = x.shape
    out = np.zeros((height * up, width * up, layer.shape.outputs), object)
    for r, c, row in np.ndindex(height, width, layer.shape.rows):
        total = int(layer.bias[row]) << (layer.fraction + 1)
        for i, p, q in np.ndindex(inputs, kernel, kernel):
            y, z = r + p - reach, c + q - reach
            if 0 <= y < height and 0 <= z < width:
                total += int(layer.weights[row, (i * kernel + p) * kernel + q]) * int(x[y, z, i])
        shift = layer.fraction + (3 if last else 0)
        value = (total + ((1 << shift) >> 1)) >> shift
        more = int(x[r, c, row]) if layer.shape.skip and not last else 0
        value = min(max(value, 0), 255) if last else min(max(max(value, value >> 3) + more, -ACT_TOP - 1), ACT_TOP)
        channel, place = divmod(row, up * up)
        out[r * up + place // up, c * up + place % up, channel] = value
    return out


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([1, 3]), st.integers(1, 4), st.integers(1, 3), st.sampled_from([0, 1, 2]), st.booleans(), st.data())
def test_a_layer_is_what_integers_of_any_size_give(kernel, inputs, outputs, up, last, data) -> None:
    shape = Shape(kernel, inputs, outputs, up) if up else Shape(kernel, inputs, inputs, 1, True)
    top, seed = data.draw(st.sampled_from([3, WEIGHT_TOP])), data.draw(st.integers(0, 99))
    layer = layers([shape], seed, top, BIAS_TOP)[0]
    layer = Layer(shape, data.draw(st.integers(0, 14)), layer.weights, layer.bias)
    x = np.random.default_rng(seed).integers(-ACT_TOP - 1, ACT_TOP + 1, (3, 2, inputs))
    assert np.array_equal(layer(x.astype(np.float32), last), in_python(layer, x, last))


def test_single_and_double_precision_and_any_strip_give_the_same(monkeypatch) -> None:
    shapes = [Shape(1, 4, 6, 2), Shape(3, 6, 6, 1)]
    made, grid = layers(shapes, 1), np.random.default_rng(2).integers(-800, 800, (9, 7, 4))
    assert max(layer.bound for layer in made) < 1 << 24  # so that floats of 32 bits were used
    expected = stack.run(made, grid)
    monkeypatch.setattr(stack, "_STRIP_BYTES", 1)
    monkeypatch.setattr(Layer, "bound", 1 << 30)
    assert np.array_equal(stack.run(made, grid), expected)


def test_no_layer_that_a_file_may_have_passes_the_bound() -> None:
    widest = 25 * stack.WIDTH_TOP * WEIGHT_TOP * (ACT_TOP + 1) + (BIAS_TOP << 15) + (1 << 23)
    assert widest < 1 << 53
    with pytest.raises(CorruptStreamError, match="channels"):
        stack.check([Shape(3, stack.WIDTH_TOP + 1, 6, 1)])


def test_the_floats_that_are_fitted_are_the_integers_but_for_rounding() -> None:
    torch.manual_seed(0)
    net = FitNet([Shape(1, 8, 12, 2), Shape(3, 12, 12, 1, True), Shape(3, 12, 6, 1)])
    net.biases[-1].data.fill_(2.0)
    net.fix()
    grid = np.random.default_rng(0).integers(-400, 400, (5, 6, 8))
    with torch.no_grad():
        floats = net(to_float(grid))[0].permute(1, 2, 0).clamp(0, 255).numpy()
    whole = stack.run(net.layers(), grid)
    assert 10 < whole.std() and np.abs(floats - whole).max() < 2


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 999), st.booleans())
def test_layers_come_back_from_their_bytes_whole_and_as_differences(seed, follows) -> None:
    shapes = [Shape(1, 3, 7, 2), Shape(3, 7, 6, 1)]
    made, base = layers(shapes, seed), layers(shapes, seed + 1) if follows else None
    writer = Writer()
    write_stack(writer, made, base)
    data = writer.finish()
    assert abs(writer.bits - 8 * len(data)) < 0.01 * writer.bits + 64
    reader = Reader(data)
    back = read_stack(reader, shapes, base)
    reader.finish()
    assert all(np.array_equal(a, b) for a, b in zip(writer.seen, reader.seen, strict=True))
    for a, b in zip(made, back, strict=True):
        assert a.fraction == b.fraction and np.array_equal(a.weights, b.weights) and np.array_equal(a.bias, b.bias)


@pytest.mark.parametrize("change", [{"weights": WEIGHT_TOP + 1}, {"bias": BIAS_TOP + 1}, {"fraction": 15}])
def test_numbers_out_of_range_are_refused(change) -> None:
    shape = Shape(1, 2, 6, 1)
    values = {"fraction": 5, "weights": 1, "bias": 1} | change
    writer = Writer()
    write_stack(
        writer, [Layer(shape, values["fraction"], np.full((6, 2), values["weights"]), np.full(6, values["bias"]))], None
    )
    with pytest.raises(CorruptStreamError, match="range"):
        read_stack(Reader(writer.finish()), [shape], None)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 99))
def test_frames_of_any_size_come_back_from_cells(height, width, seed) -> None:
    rng = np.random.default_rng(seed)
    half = (height + 1) // 2, (width + 1) // 2
    planes = tuple(rng.integers(0, 256, shape, np.uint8) for shape in ((height, width), half, half))
    back = to_planes(to_cells(planes), height, width)
    assert all(np.array_equal(a, b) for a, b in zip(planes, back, strict=True))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 700), st.integers(1, 700), st.integers(1, 70), st.floats(10, 1e10))
def test_plans_keep_to_their_bits_and_come_back_from_their_numbers(height, width, frames, bits) -> None:
    cells = Cells.of(height, width)
    for plan, shapes, each in (
        ((p := hnerv.choose(cells, frames, bits)), hnerv.shapes(p), hnerv.WEIGHT_BITS),
        ((p := nirvana.choose(cells, 4, bits)), nirvana.shapes(p, 4), nirvana.WEIGHT_BITS),
    ):
        assert plan_of(plan.numbers()) == plan
        stack.check(shapes)
        assert plan.width == 6 or each * stack.parameters(shapes) <= bits


@pytest.mark.parametrize("numbers", [(5, 1, 1, 2), (6, 0, 1, 2), (6, 1, 2, 2), (6, 1, 1, 3), (6, 1, 0), (1 << 20, 1, 1, 2)])
def test_numbers_of_no_plan_are_refused(numbers) -> None:
    with pytest.raises(CorruptStreamError):
        plan_of(numbers)


def test_the_basis_is_cosines_of_rising_frequency_the_same_on_any_machine() -> None:
    found = nirvana.basis(6, 9, 20)
    assert found.shape == (6, 9, 20) and (found[..., 0] == 512).all()
    flat = found.reshape(-1, 20) / 512
    gram = flat.T @ flat
    assert np.abs(gram - np.diag(np.diag(gram))).max() < 0.1  # all but orthogonal
    for count in range(1, 200):  # no cosine is so near a tie that a machine's own could round otherwise
        angles = np.pi / (2 * count) * np.outer(np.arange(min(count, 40)), 2 * np.arange(count) + 1)
        assert np.abs((512 * np.cos(angles)) % 1 - 0.5).min() > 1e-6


def test_shuffle_and_kernel_order_are_those_of_torch() -> None:
    shape = Shape(3, 2, 3, 2)
    layer = layers([shape], 3, 9, 0)[0]
    x = np.random.default_rng(4).integers(-9, 9, (4, 5, 2))
    weights = torch.from_numpy(layer.weights.reshape(12, 2, 3, 3)).double()
    sums = F.conv2d(torch.from_numpy(x.transpose(2, 0, 1)[None]).double(), weights, padding=1)
    sums = torch.floor((sums + 16) / 32)
    wanted = F.pixel_shuffle(torch.maximum(sums, torch.floor(sums / 8)), 2)[0].permute(1, 2, 0).numpy()
    assert np.array_equal(layer(x.astype(np.float32), False), wanted)


def test_a_plan_has_a_stride_and_widths_that_fall() -> None:
    plan = Plan(30, 4, (4, 2, 2))
    assert plan.stride == 16 and plan.widths(4) == [30, 20, 13, 8]
