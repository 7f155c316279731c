"""The decoder of inter frames and the temporal prior in exact integers: one result everywhere, near what the float net is."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
import torch
from exact_layers import thread_count
from hypothesis import given, settings
from hypothesis import strategies as st
from small_inter import QUALITIES, SMALL, arrays_of, latents_of, model_of, planes_of, prediction_of, to_torch

from calotype.entropy import RansDecoder, RansEncoder, gaussian_bank
from calotype.errors import ModelError
from calotype.models import video
from calotype.models.image import knot_weights
from calotype.models.integer.executions import ON_DEVICE, make_execution
from calotype.models.integer.inter import IntegerInter, inter_layout, to_cells, to_planes
from calotype.models.integer.onnumpy import OnNumpy
from calotype.models.integer.places import Quality
from calotype.models.integer.prior import IntegerPrior, integer_layout
from calotype.models.priorgraph import LEVELS, SIGMA_MAX, SIGMA_MIN, Z_MAX

RUNS = ("kernel", "int8", "float", "reference")
CONFIGS = [SMALL, replace(SMALL, width=9, context_blocks=2), replace(SMALL, width=33, latents=20, hidden=20)]
BANK = gaussian_bank(LEVELS, SIGMA_MIN, SIGMA_MAX, 12)
INT16 = np.iinfo(np.int16)
sizes = st.tuples(st.integers(1, 3), st.integers(1, 3)).map(lambda s: (32 * s[0], 32 * s[1]))


@lru_cache
def decoder(execution: str, seed: int = 0, config=SMALL) -> IntegerInter:
    run = make_execution(execution)
    run.LEAST = 1  # the kernels share even this little work
    return IntegerInter(config, arrays_of(seed, config)[1], run)


@lru_cache
def prior(execution: str, seed: int = 0, config=SMALL) -> IntegerPrior:
    run = make_execution(execution)
    return IntegerPrior(config.of_prior, arrays_of(seed, config)[0], OnNumpy(run) if execution in ON_DEVICE else run)


def run(by: IntegerInter, base, difference, y_hat, quality) -> list[np.ndarray]:
    """Everything that comes out: c, given, planes."""
    c, given = by.known(base, difference, quality)
    return [by.execution.numpy(c), given, *by(y_hat, c, base, quality)]


def assert_alike(found: list[np.ndarray], expected: list[np.ndarray], what: str) -> None:
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b, what)


# ---- the order of cells


@given(sizes, st.integers(0, 99))
def test_cells_and_planes_are_each_others_reverse_in_the_order_that_training_has(size, seed) -> None:
    rng = np.random.default_rng(seed)
    planes = tuple(rng.integers(-4096, 4065, (size[0] // s, size[1] // s)).astype(np.int16) for s in (1, 2, 2))
    cells = to_cells(planes)
    assert cells.shape == (1, size[0] // 8, size[1] // 8, 96)
    assert_alike(list(to_planes(cells)), list(planes), "planes")
    trained = video.to_cells(*(torch.from_numpy(p)[None] for p in planes))
    np.testing.assert_array_equal(trained.permute(0, 2, 3, 1).numpy(), cells)
    assert_alike([p[0].numpy() for p in video.to_planes(trained)], list(planes), "training")


# ---- one result


@settings(max_examples=10, deadline=None)
@given(size=sizes, config=st.sampled_from(CONFIGS), seed=st.integers(0, 1), quality=st.integers(0, 1000))
def test_every_execution_and_number_of_threads_gives_the_same_planes_and_features(size, config, seed, quality) -> None:
    rng = np.random.default_rng(seed)
    base, difference = prediction_of(rng, *size)
    y_hat = latents_of(rng, model_of(seed, config), size[0] // 16, size[1] // 16, quality)
    expected = run(decoder("reference", seed, config), base, difference, y_hat, quality)
    assert [a.dtype for a in expected] == [np.int16] * 2 + [np.uint8] * 3
    assert expected[1].shape == (size[0] // 16, size[1] // 16, config.hidden)
    assert [p.shape for p in expected[2:]] == [size, *[(size[0] // 2, size[1] // 2)] * 2]
    for name in RUNS[:3]:
        for count in (1, 3) if name == "kernel" else (1,):
            with thread_count(count):
                assert_alike(run(decoder(name, seed, config), base, difference, y_hat, quality), expected, f"{name} {count}")


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 99), quality=st.sampled_from([0, 999, 1000]), spread=st.sampled_from([1, 100, 4000]))
def test_extreme_inputs_saturate_and_stay_equal(seed, quality, spread) -> None:
    """Whatever a hostile stream can say: latents of 32 bits, references of black and white."""
    rng = np.random.default_rng(seed)
    base = tuple(rng.choice([-4096, 4064], p.shape).astype(np.int16) for p in planes_of(rng, 32, 64))
    difference = tuple(rng.choice([-8160, 0, 8160], p.shape).astype(np.int16) for p in base)
    y_hat = rng.choice([-(2**31), -(2**15), -spread, 0, spread, 2**15, 2**31 - 1], (2, 4, SMALL.latents)).astype(np.int32)
    expected = run(decoder("reference"), base, difference, y_hat, quality)
    for name in RUNS[:3]:
        assert_alike(run(decoder(name), base, difference, y_hat, quality), expected, name)


@settings(max_examples=12, deadline=None)
@given(size=sizes, config=st.sampled_from(CONFIGS), seed=st.integers(0, 1), quality=st.integers(0, 1000), far=st.booleans())
def test_a_temporal_walk_decodes_by_any_execution_what_another_encoded(size, config, seed, quality, far) -> None:
    rng, (h, w) = np.random.default_rng(seed), (size[0] // 16, size[1] // 16)
    z = rng.integers(-Z_MAX, Z_MAX + 1, (-(-h // 4), -(-w // 4), config.side)).astype(np.int32)
    given_ = rng.integers(-16383, 16384, (h, w, config.hidden)).astype(np.int16) >> (0 if far else 6)
    past = np.rint(rng.laplace(0, 40, (h, w, config.latents))).astype(np.int32)
    past[rng.random(past.shape) < 0.05] = 2**30
    encoder, seen = RansEncoder(), []

    def encode(mean, index, step):
        symbol = np.rint(rng.laplace(0, 2, index.shape)).astype(np.int32)
        seen.extend((mean.copy(), index.copy(), symbol))
        encoder.push(BANK, symbol.reshape(-1), index.reshape(-1), scale_indexed=True)
        return symbol

    y_hat = prior("kernel", seed, config).walk(z, (h, w), Quality((quality,)), encode, temporal=(given_, past))
    data = encoder.finish(6)
    for name in RUNS:
        source, told = RansDecoder(data), []

        def decode(mean, index, step, source=source, told=told):
            symbol = source.pull(BANK, index.reshape(-1), scale_indexed=True).reshape(index.shape)
            told.extend((mean.copy(), index.copy(), symbol))
            return symbol

        found = prior(name, seed, config).walk(z, (h, w), Quality((quality,)), decode, temporal=(given_, past))
        source.finish()
        assert_alike([found, *told], [y_hat, *seen], name)


def test_the_prior_sees_the_prediction_and_the_picture_before() -> None:
    rng, first = np.random.default_rng(1), []
    z = np.zeros((1, 1, SMALL.side), np.int32)
    given_ = rng.integers(-500, 500, (4, 4, SMALL.hidden)).astype(np.int16)
    past = rng.integers(-200, 200, (4, 4, SMALL.latents)).astype(np.int32)
    for temporal in ((given_, past), (given_, 0 * past), (0 * given_, past), (given_, past)):
        told: list[np.ndarray] = []
        prior("kernel").walk(
            z, (4, 4), Quality((500,)), lambda m, i, s, t=told: t.extend((m.copy(), i.copy())) or np.zeros(m.shape, np.int32),
            temporal=temporal,
        )  # fmt: skip
        first.append(np.concatenate(told[:2]))
    assert np.array_equal(first[0], first[3])
    assert not any(np.array_equal(first[0], other) for other in first[1:3])


# ---- near the float net


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("seed", range(2))
def test_integers_stay_close_to_the_float_net(seed, quality) -> None:
    model, rng = model_of(seed), np.random.default_rng(10 + seed)
    base, difference = prediction_of(rng)
    y_hat, weights = latents_of(rng, model, 4, 6, quality), knot_weights(torch.tensor([float(quality)]))
    _, given_, *planes = run(decoder("kernel", seed), base, difference, y_hat, quality)
    prediction = video.Prediction(to_torch(base), to_torch(difference), torch.zeros(1))
    c, wanted = model.known(prediction, weights)
    assert np.abs(given_ / 256 - wanted[0].numpy()).max() < 0.06 * np.abs(wanted.numpy()).max()
    y = torch.from_numpy(y_hat / 16).float().permute(2, 0, 1)[None]
    exact = [128 + 256 * p[0].numpy() for p in video.to_planes(model.synthesise(y, prediction.base, c, weights))]
    errors = [found - sought.clip(0, 255) for found, sought in zip(planes, exact, strict=True)]
    worst = [float(np.sqrt(np.square(e).mean())) for e in errors]
    assert max(worst) < 1.0, worst  # levels; rounding to levels alone: 0.289
    changed = 128 + to_torch(base)[0, 0].numpy() * 256 - exact[0][::8, ::8]
    assert np.abs(changed).mean() > 3, "a net that leaves its prediction as it is would show nothing"


# ---- damaged model files


def with_value(value: int):
    def change(a: np.ndarray) -> np.ndarray:
        a = a.astype(np.int16) if a.dtype == np.int8 and abs(value) > 127 else a
        a.reshape(-1)[0] = value
        return a

    return change


DAMAGE = [
    ("context.enter.weight", lambda a: a[:-1]),
    ("synthesis.condition.weight", lambda a: a.astype(np.int32)),
    ("to_prior.bias", lambda a: a.astype(np.int64)),
    ("gain.context.enter", lambda a: a[1:]),
    ("gain.latent", with_value(8 << 16)),
    ("context.frac", lambda a: a[1:]),
    ("context.frac", with_value(-128)),
    ("synthesis.frac", with_value(127)),
    ("context.limit", with_value(0)),
    ("synthesis.limit", with_value(16384)),
    ("synthesis.leave.shift", with_value(0)),
    ("context.difference.shift", with_value(25)),
    ("from_latent.bias", with_value(2**31 - 1)),
    ("synthesis.blocks.0.grow.weight", with_value(-(2**15))),
    ("context.blocks.0.depthwise.bias", with_value(-(2**31))),
]


@pytest.mark.parametrize(("key", "change"), DAMAGE, ids=[f"{n} {key}" for n, (key, _) in enumerate(DAMAGE)])
def test_arrays_whose_bounds_do_not_hold_are_a_model_error(key, change) -> None:
    arrays = {k: v.copy() for k, v in arrays_of(0)[1].items()}
    arrays[key] = change(arrays[key])
    with pytest.raises(ModelError):
        IntegerInter(SMALL, arrays, make_execution())


def test_arrays_that_lack_one_or_have_one_more_are_a_model_error() -> None:
    for arrays in ({"more": np.zeros(1, np.int8)}, {}):
        whole = dict(arrays_of(0)[1]) | arrays
        if not arrays:
            del whole["to_prior.shift"]
        with pytest.raises(ModelError):
            IntegerInter(SMALL, whole, make_execution())


def test_conversion_gives_the_layout_and_leaves_the_model_as_it_means() -> None:
    for config in CONFIGS:
        of_prior, integers = arrays_of(1, config)
        assert {k: (v.dtype, v.shape) for k, v in of_prior.items()} == integer_layout(config.of_prior)
        assert {k: v.shape for k, v in integers.items()} == {k: shape for k, (_, shape) in inter_layout(config).items()}
    before = {k: v.copy() for k, v in arrays_of(1)[1].items()}
    rng = np.random.default_rng(0)
    run(decoder("kernel", 1), *prediction_of(rng), latents_of(rng, model_of(1), 4, 6, 0), 0)
    assert all(np.array_equal(v, before[k]) for k, v in arrays_of(1)[1].items())
