"""The whole synthesis in integers: one picture from every execution, the one that the formulas give and the float net means."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal, localcontext
from functools import lru_cache

import numpy as np
import pytest
import torch
from exact_layers import ACT, INT32_MAX, KNOTS, NARROW, OCTAVE, WIDE, Exact, random_layer, scaled, thread_count
from hypothesis import given, settings
from hypothesis import strategies as st

from calotype.errors import ModelError
from calotype.models.imageconfig import ImageConfig
from calotype.models.integer.executions import make_execution
from calotype.models.integer.layers import Rows, mantissa_table
from calotype.models.integer.places import Quality
from calotype.models.integer.synthesis import COEFFICIENT_FRAC, PIXEL_FRAC, IntegerSynthesis, synthesis_layout, wsilu_table
from calotype.models.priorgraph import MEAN_FRAC

SMALL = ImageConfig(width=16, analysis_blocks=1, synthesis_blocks=2, latents=16, side=8, hidden=16)
CONFIGS = [
    SMALL,
    replace(SMALL, width=9, synthesis_blocks=1, activation="wsilu"),  # sizes that no panel fits
    replace(SMALL, width=33, latents=20),
    replace(SMALL, width=48, synthesis_blocks=1, activation="wsilu"),
]
RUNS = ("kernel", "int8", "float", "reference")
STREAM, ENTERED, LEAVING = 9, 8, 10  # fractional bits of the residual stream, after enter, before leave


@lru_cache(maxsize=64)
def random_arrays(config: ImageConfig, seed: int, bits: int = 15) -> dict[str, np.ndarray]:
    """Integers of any synthesis: half of the layers with 13-bit weights, activations within blocks of `bits`."""
    rng, limit = np.random.default_rng(seed), ACT if bits == 15 else 127
    layout, arrays = synthesis_layout(config), {}
    for name in sorted(key[: -len(".weight")] for key in layout if key.endswith(".weight")):
        within, kind = name.startswith("blocks."), name.rsplit(".", 1)[-1]
        largest = limit if within and kind != "depthwise" else ACT
        layer, bias = random_layer(rng, *layout[f"{name}.weight"][1], bool(rng.integers(2)), largest)
        arrays |= {f"{name}.weight": layer.weight, f"{name}.bias": bias, f"{name}.shift": layer.shift}
    arrays["post.weight"] = rng.integers(-WIDE, WIDE + 1, (16, 16)).astype(np.int16)
    arrays["post.bias"], arrays["post.shift"] = np.zeros((1, 16), np.int32), np.full(16, 13, np.int8)
    for name, channels in (("latent", config.latents), ("enter", config.width), ("leave", config.width)):
        arrays[f"gain.{name}"] = rng.integers(-4 * OCTAVE, 2 * OCTAVE, (KNOTS, channels)).astype(np.int32)
    arrays["frac"] = np.array([STREAM, ENTERED, LEAVING, *rng.integers(5, 14, 2 * config.synthesis_blocks)], np.int8)
    arrays["limit"] = np.full(2 * config.synthesis_blocks, limit, np.int16)
    return arrays


def latents(rng: np.random.Generator, config: ImageConfig, batch: int, h: int, w: int) -> np.ndarray:
    """Of pictures, some beyond what 16 bits hold."""
    y = np.rint(rng.laplace(0, 40, (batch, h, w, config.latents)))
    y[rng.random(y.shape) < 0.02] = rng.choice([2**30, -(2**30), 2**15, -(2**15), 2**15 - 1])
    return y.astype(np.int32)


def quality_of(rng: np.random.Generator, several: bool, h: int, w: int) -> Quality:
    levels = tuple(int(v) for v in rng.integers(0, 1001, 3))
    return Quality(levels, None, rng.integers(0, 3, (h, w)).astype(np.uint8)) if several else Quality(levels[:1])


def exact_pixels(synthesis: IntegerSynthesis, y_hat: np.ndarray, quality: Quality) -> np.ndarray:
    """The synthesis's formula on plain int64."""
    arrays, exact = synthesis.arrays, Exact()
    b, h, w, _ = y_hat.shape
    which = np.zeros((h, w), int) if quality.latent is None else quality.latent
    at_latents = Rows(quality.levels, np.stack([which] * b))
    at_cells = Rows(quality.levels, np.stack([np.kron(which, np.ones((2, 2), int))] * b))
    x = scaled(synthesis.gains["latent"], np.clip(y_hat, -(2**15) + 1, 2**15 - 1), at_latents)
    whole, bias = exact.affine(synthesis.layers["from_latent"], arrays["from_latent.bias"], x, Rows((0,))), {}
    v = np.zeros((b, 2 * h, 2 * w, 192), np.int64)
    for channel in range(768):  # pixel shuffle: channel, row, column
        v[:, channel // 2 % 2 :: 2, channel % 2 :: 2, channel // 4] = whole[..., channel]
    x = exact.affine(synthesis.layers["enter"], arrays["enter.bias"], v, Rows((0,)))
    x = scaled(synthesis.gains["enter"], x, at_cells)
    for k, layers in enumerate(synthesis.blocks):
        bias = [arrays[f"blocks.{k}.{part}.bias"] for part in ("depthwise", "grow", "shrink")]
        x = exact.block(layers, bias, x)
    x = scaled(synthesis.gains["leave"], x, at_cells)
    x = exact.affine(synthesis.layers["leave"], arrays["leave.bias"], x, Rows((0,)), skip=v)
    return exact.paint(synthesis.layers["post"], arrays["post.bias"], PIXEL_FRAC, x)


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 15), config=st.sampled_from(CONFIGS), b=st.sampled_from([1, 2]), h=st.integers(1, 3),
    w=st.integers(1, 3), bits=st.sampled_from([15, 8]), several=st.booleans(), threads=st.integers(1, 3),
)  # fmt: skip
def test_every_execution_paints_what_the_formula_says(seed, config, b, h, w, bits, several, threads) -> None:
    rng, arrays = np.random.default_rng(seed), random_arrays(config, seed, bits)
    y_hat, quality = latents(rng, config, b, h, w), quality_of(rng, several, h, w)
    expected = exact_pixels(IntegerSynthesis(config, arrays, make_execution()), y_hat, quality)
    for name in RUNS:
        run = make_execution(name)
        run.LEAST = 1  # the kernels share even this little work
        for count in (1, 2, 3) if name == "kernel" else (threads,):
            with thread_count(count):
                got = IntegerSynthesis(config, arrays, run)(y_hat, quality)
            assert got.dtype == np.uint8 and got.shape == (b, 16 * h, 16 * w, 3)
            np.testing.assert_array_equal(got, expected, f"{name}, {count} threads")


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (5, 4)], ids="{0[0]}x{0[1]} latents".format)
@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c.width}-{c.activation}")
def test_four_pictures_at_once_are_four_pictures(config, shape) -> None:
    rng, arrays = np.random.default_rng(1), random_arrays(config, 1)
    y_hat, quality = latents(rng, config, 4, *shape), quality_of(rng, True, *shape)
    for name in RUNS[:3]:
        synthesis = IntegerSynthesis(config, arrays, make_execution(name))
        singly = np.concatenate([synthesis(y[None], quality) for y in y_hat])
        np.testing.assert_array_equal(synthesis(y_hat, quality), singly, name)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c.width}-{c.activation}")
def test_a_map_of_one_quality_is_that_quality_and_a_change_far_away_changes_nothing(config) -> None:
    rng, shape = np.random.default_rng(2), (8, 2)
    synthesis = IntegerSynthesis(config, random_arrays(config, 2), make_execution())
    y_hat = np.rint(rng.laplace(0, 40, (1, *shape, config.latents))).astype(np.int32)
    near = np.zeros(shape, np.uint8)
    near[6:] = 1
    uniform = synthesis(y_hat, Quality((300,)))
    for flat in (np.zeros(shape, np.uint8), np.ones(shape, np.uint8)):
        levels = (300, 900) if not flat.any() else (900, 300)
        np.testing.assert_array_equal(synthesis(y_hat, Quality(levels, None, flat)), uniform)
    varied = synthesis(y_hat, Quality((300, 900), None, near))
    seen = 8 + 8 * config.synthesis_blocks  # pixels beyond a latent's own that a change of it reaches
    np.testing.assert_array_equal(varied[:, : 96 - seen], uniform[:, : 96 - seen])
    assert (varied[:, 96:] != uniform[:, 96:]).any()


def test_latents_of_another_place_do_not_show_beyond_the_receptive_field() -> None:
    """What lets tiles be decoded with a halo: the change of one latent stays within 8 + 8 * blocks pixels around it."""
    rng, config = np.random.default_rng(3), SMALL
    synthesis = IntegerSynthesis(config, random_arrays(config, 3), make_execution())
    y_hat = np.rint(rng.laplace(0, 40, (1, 7, 7, config.latents))).astype(np.int32)
    other = y_hat.copy()
    other[0, 3, 3] += 50
    changed = (synthesis(other, Quality((500,))) != synthesis(y_hat, Quality((500,))))[0].any(2)
    seen = 8 + 8 * config.synthesis_blocks
    inside = np.zeros(changed.shape, bool)
    inside[48 - seen : 64 + seen, 48 - seen : 64 + seen] = True
    assert changed[inside].any() and not changed[~inside].any()


def test_the_integers_of_a_file_stay_as_they_are() -> None:
    arrays = random_arrays(SMALL, 4)
    before = {k: v.copy() for k, v in arrays.items()}
    IntegerSynthesis(SMALL, arrays, make_execution())(latents(np.random.default_rng(4), SMALL, 1, 2, 2), Quality((7,)))
    assert all(np.array_equal(arrays[k], v) for k, v in before.items()) and before.keys() == arrays.keys()


def damaged(key: str, change) -> dict[str, np.ndarray]:
    arrays = {k: v.copy() for k, v in random_arrays(SMALL, 5).items()}
    arrays[key] = change(arrays[key])
    return arrays


def with_value(value: int):
    """The first element changed; wide weights are int16."""

    def change(a: np.ndarray) -> np.ndarray:
        a = a.astype(np.int16) if a.dtype == np.int8 and abs(value) > 127 else a
        a.reshape(-1)[0] = value
        return a

    return change


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("enter.weight", lambda a: a[:-1]),
        ("enter.weight", lambda a: a.astype(np.int32)),
        ("enter.bias", lambda a: a.astype(np.int64)),
        ("enter.bias", lambda a: a[0]),
        ("blocks.1.grow.shift", lambda a: a.astype(np.int16)),
        ("blocks.0.depthwise.weight", lambda a: a.reshape(-1, 3, 3)),
        ("gain.leave", lambda a: a[1:]),
        ("gain.latent", lambda a: a.astype(np.int16)),
        ("frac", lambda a: a[1:]),
        ("limit", lambda a: np.append(a, a[:1])),
        ("limit", with_value(0)),
        ("limit", with_value(-127)),
        ("limit", with_value(ACT + 1)),
        ("leave.weight", with_value(WIDE + 1)),
        ("blocks.0.shrink.weight", with_value(-(2**15))),
        ("leave.shift", with_value(0)),
        ("leave.shift", with_value(25)),
        ("enter.shift", with_value(-1)),
        ("post.shift", with_value(-128)),
        ("from_latent.bias", with_value(INT32_MAX)),
        ("blocks.1.depthwise.bias", with_value(-INT32_MAX - 1)),
        ("leave.weight", lambda a: np.full(a.shape, -WIDE - 1, np.int16)),
        ("gain.latent", with_value(8 * OCTAVE)),
        ("gain.enter", with_value((14 + ENTERED - STREAM) * OCTAVE)),
        ("gain.leave", with_value((14 + STREAM - LEAVING) * OCTAVE)),
        ("other", lambda a: a),
    ],
)
def test_damaged_integers_are_a_model_error(key, change) -> None:
    good = random_arrays(SMALL, 5)
    IntegerSynthesis(SMALL, good, make_execution())
    with pytest.raises(ModelError, match="damaged"):
        arrays = damaged(key, change) if key in good else good | {key: np.zeros(1, np.int8)}
        IntegerSynthesis(SMALL, arrays, make_execution())


@pytest.mark.parametrize("key", ["post.shift", "post.bias"])
def test_a_border_filter_that_is_not_the_same_in_every_row_is_a_model_error(key) -> None:
    """It works on whole rows of pixels too, where each of its rows is one of the picture."""
    with pytest.raises(ModelError, match="damaged"):
        IntegerSynthesis(SMALL, damaged(key, with_value(9)), make_execution())


def test_missing_integers_are_a_model_error() -> None:
    good = random_arrays(SMALL, 5)
    for key in good:
        with pytest.raises(ModelError, match="damaged"):
            IntegerSynthesis(SMALL, {k: v for k, v in good.items() if k != key}, make_execution())
    with pytest.raises(ModelError, match="damaged"):
        IntegerSynthesis(replace(SMALL, synthesis_blocks=1), good, make_execution())


def test_the_mantissa_table_is_exact() -> None:
    table = mantissa_table()
    assert len(table) == OCTAVE and table.dtype == np.int32
    with localcontext() as context:
        context.prec = 40
        root, value, boundary = Decimal(2), Decimal(2**14), Decimal(1)
        for _ in range(OCTAVE.bit_length() - 1):
            root = root.sqrt()
        for i in range(OCTAVE):  # value: 2**14 * 2**(i / OCTAVE), but for 1e-30
            assert abs(value - int(table[i])) < Decimal("0.5"), i
            boundary = min(boundary, abs(value % 1 - Decimal("0.5")))
            value *= root
    assert abs(value - 2**15) < Decimal("1e-25")
    assert boundary > Decimal("1e-6"), "a value so near a rounding boundary may differ between maths libraries"


@pytest.mark.parametrize("frac", range(-8, 19))
def test_a_table_of_wsilu_is_exact(frac) -> None:
    """Every value is 1e-6 or more from a rounding boundary by float64, whose error is shown to be less than a thousandth of
    that where it matters: at the values nearest to one, and at many others."""
    table, n = wsilu_table(frac), np.arange(-(2**14), 2**14)
    assert table.shape == (2**15,) and table.dtype == np.int16
    with np.errstate(over="ignore"):
        value = n / (1 + np.exp(-4 * (n / 2.0**frac)))
    distance = np.abs(value - np.floor(value) - 0.5)
    assert distance.min() > 1e-6
    assert np.array_equal(table, np.clip(np.floor(value + 0.5), -ACT, ACT))
    with localcontext() as context:
        context.prec = 30
        for i in [*np.argsort(distance)[:50].tolist(), *range(0, 2**15, 331)]:
            exact = int(n[i]) / (1 + min(-4 * int(n[i]) / Decimal(2) ** frac, Decimal(1000)).exp())
            assert abs(exact - Decimal(float(value[i]))) < Decimal("1e-9")
            assert table[i] == -ACT or abs(exact - int(table[i])) < Decimal("0.5")


def test_pixels_are_rounded_halves_up_and_clipped() -> None:
    run = make_execution("reference")
    grey = run.pixels(np.array([[[[0, -ACT, ACT]]]], np.int16), PIXEL_FRAC)
    assert grey.tolist() == [[[[128, 0, 255]]]]  # 127.5 is 128
    for level in range(256):  # every level has its own coefficient
        x = round((level / 255 - 0.5) * 2**PIXEL_FRAC)
        assert run.pixels(np.full((1, 1, 1, 3), x, np.int16), PIXEL_FRAC).max() == level


def test_a_latent_of_one_step_times_its_gain_is_a_coefficient() -> None:
    """The grids fit together: y_hat in 1/16, gains in octaves, coefficients in 2**-10."""
    arrays = dict(random_arrays(SMALL, 6))
    arrays["gain.latent"] = np.zeros((KNOTS, SMALL.latents), np.int32)
    synthesis, run = IntegerSynthesis(SMALL, arrays, make_execution()), make_execution("reference")
    one = np.full((1, 1, 1, SMALL.latents), 1 << MEAN_FRAC, np.int16)
    assert (run.scale(synthesis.gains["latent"], one, Rows((0,))) == 1 << COEFFICIENT_FRAC).all()


def test_extreme_weights_and_latents_paint_one_picture() -> None:
    """Every weight and bias at its bound, every latent at an extreme."""
    config, arrays = SMALL, dict(random_arrays(SMALL, 7))
    rng = np.random.default_rng(7)
    for key in [k for k in arrays if k.endswith(".weight")]:
        name, (outputs, inputs) = key.rsplit(".", 1)[0], arrays[key].shape
        layer, bias = random_layer(rng, outputs, inputs, True, extreme=True)
        arrays |= {key: layer.weight, f"{name}.bias": bias, f"{name}.shift": layer.shift}
    arrays["post.weight"] = (WIDE * rng.choice([-1, 1], (16, 16))).astype(np.int16)
    arrays["post.bias"], arrays["post.shift"] = np.zeros((1, 16), np.int32), np.full(16, 16, np.int8)
    assert all(NARROW < np.abs(v).max() <= WIDE for k, v in arrays.items() if k.endswith(".weight"))
    y_hat = rng.choice(np.array([-INT32_MAX, -(2**15), -1, 0, 2**15 - 1, INT32_MAX], np.int32), (2, 3, 2, config.latents))
    pictures = [IntegerSynthesis(config, arrays, make_execution(name))(y_hat, Quality((1000,))) for name in RUNS]
    pictures.append(exact_pixels(IntegerSynthesis(config, arrays, make_execution()), y_hat, Quality((1000,))))
    assert len({p.astype(np.uint8).tobytes() for p in pictures}) == 1 and len(np.unique(pictures[0])) > 10


INSIDE = {"inference mode": torch.inference_mode, "autocast": lambda: torch.autocast("cpu", torch.bfloat16)}


@pytest.mark.parametrize(
    ("name", "inside"),
    [
        ("int8", "inference mode"),
        ("int8", "autocast"),
        ("float", "inference mode"),
        ("float", "autocast"),
    ],
)
def test_what_the_caller_told_torch_changes_no_picture(name, inside) -> None:
    rng, arrays = np.random.default_rng(8), random_arrays(SMALL, 8)
    y_hat = latents(rng, SMALL, 1, 3, 3)
    expected = IntegerSynthesis(SMALL, arrays, make_execution())(y_hat, Quality((123,)))
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        with INSIDE[inside]():
            got = IntegerSynthesis(SMALL, arrays, make_execution(name))(y_hat, Quality((123,)))
    finally:
        torch.set_default_dtype(before)
    np.testing.assert_array_equal(got, expected)
