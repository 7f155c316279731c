"""The prior in exact integers: one result on every machine, and the one that the trained net means."""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_priors import EVERY, SMALL

from calotype.entropy import RansDecoder, RansEncoder, gaussian_bank
from calotype.errors import ModelError
from calotype.models import modelfile
from calotype.models.grids import ACT_MAX
from calotype.models.image import knot_weights
from calotype.models.integer.convertprior import float_prior, integer_arrays
from calotype.models.integer.executions import EXECUTIONS, ON_DEVICE, make_execution
from calotype.models.integer.layers import ONE, Affine
from calotype.models.integer.onnumpy import OnNumpy
from calotype.models.integer.places import LOG_TABLE_SIZE, Quality, log_table
from calotype.models.integer.prior import IntegerPrior
from calotype.models.priorgraph import LEVELS, LEVELS_PER_OCTAVE, SIGMA_MAX, SIGMA_MIN, Z_MAX, PriorConfig
from calotype.models.zoo import DEFAULT_IMAGE_MODEL, find_model, load_model

BANK = gaussian_bank(LEVELS, SIGMA_MIN, SIGMA_MAX, 12)
INT16, INT32 = np.iinfo(np.int16), np.iinfo(np.int32)
NAMES = [name for name in EXECUTIONS if name != "compiled"]  # that one starts slowly: `test_layers.py` has it
WIDE = 4063
SHAPES = st.tuples(st.integers(1, 6), st.integers(1, 6)).map(lambda s: (2 * s[0], 2 * s[1]))


@pytest.fixture(scope="module")
def priors(make_prior):
    """priors(seed, spread) -> {execution: IntegerPrior} of one small random prior."""

    @lru_cache(maxsize=32)
    def make(seed: int, spread: float = 0.3, config: PriorConfig = SMALL) -> dict[str, IntegerPrior]:
        prior = make_prior(seed, spread, config)
        arrays = integer_arrays(prior)
        return {name: IntegerPrior(prior.config, arrays, on_numpy(name)) for name in NAMES}

    return make


def on_numpy(name: str):
    """An execution as the prior takes it."""
    return OnNumpy(make_execution(name)) if name in ON_DEVICE else make_execution(name)


def side_latents(rng: np.random.Generator, shape: tuple[int, int], side: int, scale: float = 4) -> np.ndarray:
    """z for latents of that shape, within its range."""
    z = np.rint(rng.normal(0, scale, (-(-shape[0] // 4), -(-shape[1] // 4), side)))
    return z.clip(-Z_MAX, Z_MAX).astype(np.int32)


def sampler(rng: np.random.Generator, seen: list[np.ndarray]):
    """A coder that draws symbols of the scale it is told, and remembers (mean, index, symbol) of each step."""

    def code(mean: np.ndarray, index: np.ndarray, step: int) -> np.ndarray:
        sigma = SIGMA_MIN * 2 ** (index / LEVELS_PER_OCTAVE)
        symbol = np.rint(rng.normal(0, 1, index.shape) * sigma).astype(np.int32)
        seen.extend((mean.copy(), index.copy(), symbol))
        return symbol

    return code


def quality_map(rng: np.random.Generator, levels: tuple[int, ...], shape: tuple[int, int]) -> Quality:
    """One quality, or any level at any place."""
    if len(levels) == 1:
        return Quality(levels)
    side = rng.integers(0, len(levels), (-(-shape[0] // 4), -(-shape[1] // 4))).astype(np.uint8)
    return Quality(levels, side, rng.integers(0, len(levels), shape).astype(np.uint8))


def digest(arrays: list[np.ndarray]) -> str:
    """Over type, shape and bytes."""
    h = hashlib.sha256()
    for a in arrays:
        h.update(f"{a.dtype}{a.shape}".encode() + np.ascontiguousarray(a).tobytes())
    return h.hexdigest()


@settings(max_examples=25, deadline=None)
@given(shape=SHAPES, quality=st.integers(0, 1000), seed=st.integers(0, 7), spread=st.sampled_from([0.1, 0.3, 1.0, 4.0]))
def test_every_execution_gives_one_digest(priors, shape, quality, seed, spread) -> None:
    digests = set()
    for prior in priors(seed, spread).values():
        rng, seen = np.random.default_rng(seed), []
        z = side_latents(rng, shape, prior.config.side)
        seen.append(prior.walk(z, shape, Quality((quality,)), sampler(rng, seen)))
        digests.add(digest(seen))
    assert len(digests) == 1


@settings(max_examples=15, deadline=None)
@given(shape=SHAPES, quality=st.integers(0, 1000), seed=st.integers(0, 2**32 - 1), spread=st.sampled_from([0.3, 4.0]))
def test_extreme_symbols_saturate_and_stay_equal(priors, shape, quality, seed, spread) -> None:
    extremes = np.array(
        [INT32.min, INT32.min + 1, -(2**30), -(2**26), -(2**15), 0, 1, 2**15, 2**26, 2**30, INT32.max], np.int32
    )
    digests = set()
    for prior in priors(0, spread).values():
        rng, seen = np.random.default_rng(seed), []

        def code(mean: np.ndarray, index: np.ndarray, step: int, rng=rng, seen=seen) -> np.ndarray:
            seen.extend((mean.copy(), index.copy()))
            return rng.choice(extremes, index.shape)

        z = rng.choice(np.array([-Z_MAX, Z_MAX], np.int32), (-(-shape[0] // 4), -(-shape[1] // 4), prior.config.side))
        y_hat = prior.walk(z, shape, Quality((quality,)), code)
        assert y_hat.dtype == np.int32 and y_hat.shape == (*shape, prior.config.latents)
        assert all(0 <= i.min() and i.max() < LEVELS for i in seen[1::2])
        digests.add(digest([*seen, y_hat]))
    assert len(digests) == 1


@settings(max_examples=15, deadline=None)
@given(shape=SHAPES, quality=st.integers(0, 1000), seed=st.integers(0, 7))
def test_a_walk_decodes_what_a_walk_encoded(priors, shape, quality, seed) -> None:
    rng, coded, encoder = np.random.default_rng(seed), [], RansEncoder()
    executions = list(priors(seed).values())
    z = side_latents(rng, shape, executions[0].config.side)
    draw = sampler(rng, coded)

    def encode(mean: np.ndarray, index: np.ndarray, step: int) -> np.ndarray:
        symbol = draw(mean, index, step)
        encoder.push(BANK, symbol.reshape(-1), index.reshape(-1), scale_indexed=True)
        return symbol

    y_hat = executions[0].walk(z, shape, Quality((quality,)), encode)
    data = encoder.finish(6)
    for prior in executions:  # whichever execution decodes
        decoder, decoded = RansDecoder(data), []

        def decode(mean: np.ndarray, index: np.ndarray, step: int, decoder=decoder, decoded=decoded) -> np.ndarray:
            symbol = decoder.pull(BANK, index.reshape(-1), scale_indexed=True).reshape(index.shape)
            decoded.extend((mean.copy(), index.copy(), symbol))
            return symbol

        assert np.array_equal(prior.walk(z, shape, Quality((quality,)), decode), y_hat)
        decoder.finish()
        assert digest(decoded) == digest(coded)


@settings(max_examples=40, deadline=None)
@given(
    shape=SHAPES,
    config=st.sampled_from(EVERY),
    seed=st.integers(0, 3),
    levels=st.sampled_from([(1000,), (3, 700), (0, 1, 999)]),
)
def test_every_plan_and_map_of_qualities_gives_one_digest(priors, shape, config, seed, levels) -> None:
    rng = np.random.default_rng(seed)
    quality = quality_map(rng, levels, shape)
    digests = set()
    for prior in priors(seed, 0.3, config).values():
        rng, seen, told = np.random.default_rng(seed), [], []
        z = side_latents(rng, shape, config.side)
        seen.append(prior.walk(z, shape, quality, sampler(rng, seen), told.extend))
        if config.scales_ahead:
            assert digest(told) == digest(seen[1:-1:3]), "the indices told ahead are those of the steps"
        assert len(seen) == 3 * len(config.plan.steps) + 1
        digests.add(digest(seen))
    assert len(digests) == 1


@pytest.mark.parametrize("config", EVERY, ids=lambda c: f"{c.kind}-{c.scales_ahead}")
def test_each_latent_is_coded_once_and_no_step_sees_what_is_not_yet_decoded(priors, config) -> None:
    prior, rng, shape = priors(1, 0.3, config)["kernel"], np.random.default_rng(5), (8, 12)
    z = side_latents(rng, shape, config.side)
    seen: list[np.ndarray] = []
    prior.walk(z, shape, Quality((500,)), sampler(rng, seen))
    count = np.zeros((*shape, config.latents), int)
    for s in range(len(config.plan.steps)):
        number = np.arange(count.size).reshape(count.shape)
        coded = prior.cut(number, s)
        assert coded.shape == seen[3 * s].shape
        np.add.at(count.reshape(-1), coded.reshape(-1), 1)
        again: list[np.ndarray] = []

        def code(mean: np.ndarray, index: np.ndarray, step: int, s=s, again=again) -> np.ndarray:
            again.extend((mean.copy(), index.copy()))
            return seen[3 * step + 2] + (7 if step >= s else 0)  # other symbols from step s on

        prior.walk(z, shape, Quality((500,)), code)
        same = [
            np.array_equal(a, b)
            for a, b in zip(again[: 2 * s + 2], [x for i, x in enumerate(seen) if i % 3 < 2], strict=False)
        ]
        assert all(same)
    assert (count == 1).all()


def test_a_map_of_one_quality_is_that_quality_and_a_change_far_away_changes_nothing(priors) -> None:
    prior, rng, shape = priors(2)["kernel"], np.random.default_rng(6), (48, 8)
    z, runs = side_latents(rng, shape, prior.config.side), []
    for level in (0, 1):
        latent = np.zeros(shape, np.uint8)
        side = np.zeros((12, 2), np.uint8)
        latent[40:], side[10:] = level, level
        for quality in [Quality((300,))] * (1 - level) + [Quality((300, 900), side, latent)]:
            seen: list[np.ndarray] = []
            prior.walk(z, shape, quality, sampler(np.random.default_rng(1), seen))
            runs.append(seen)
    uniform, flat, varied = runs
    assert digest(uniform) == digest(flat) != digest(varied)
    assert np.array_equal(uniform[0][:, :10], varied[0][:, :10]) and not np.array_equal(
        uniform[0][:, 20:], varied[0][:, 20:]
    )


@pytest.mark.parametrize("quality", [0, 137, 500, 999, 1000])
@pytest.mark.parametrize("config", [SMALL, *EVERY], ids=lambda c: f"{c.kind}-{c.scales_ahead}")
def test_the_integer_prior_is_the_trained_one(make_prior, config, quality) -> None:
    shape, prior = (24, 16), make_prior(3, 0.3, config)
    rng, seen = np.random.default_rng(quality), []
    integer = IntegerPrior(prior.config, integer_arrays(prior), make_execution("reference"))
    z = side_latents(rng, shape, prior.config.side)
    y_hat = integer.walk(z, shape, Quality((quality,)), sampler(rng, seen))
    symbols = iter([torch.from_numpy(s.astype(np.float32))[:, None] for s in seen[2::3]])
    weights = knot_weights(torch.tensor([quality]))
    y = torch.from_numpy(y_hat / 16).float()[None]
    mean, index, _ = prior(y, torch.from_numpy(z).float()[None], weights, lambda y, mean, index: mean + next(symbols))
    expected = np.zeros((2, *y_hat.shape), np.float32)
    number = np.arange(y_hat.size).reshape(y_hat.shape)
    for s in range(len(config.plan.steps)):
        expected.reshape(2, -1)[:, integer.cut(number, s)] = seen[3 * s], seen[3 * s + 1]
    near_mean = np.abs(mean[0].numpy() - expected[0] / 16) <= 1 / 16 + 1e-6
    near_index = np.abs(index[0].clamp(0, LEVELS - 1).numpy() - expected[1]) <= 1
    assert near_mean.mean() > 0.999 and near_index.mean() > 0.999
    assert len(np.unique(expected[0])) > 20 and len(np.unique(expected[1])) > 6, "the prior says too little to compare"


def test_the_float_net_of_an_integer_prior_has_the_same_integers() -> None:
    bundle = load_model()
    arrays = modelfile.read(find_model(DEFAULT_IMAGE_MODEL))[1]
    for name, array in integer_arrays(float_prior(bundle.prior)).items():
        np.testing.assert_array_equal(array, arrays[f"prior.{name}"], name)


def test_the_log_table_is_exact() -> None:
    table, boundary = log_table(), np.inf
    for i in range(LOG_TABLE_SIZE):
        # 2 t - 1 <= floor(128 log2(n / 16)) <= 2 t, n = 16 + i, by the length of n**128 in bits
        assert int(table[i]) == ((16 + i) ** 128).bit_length() - 512 >> 1, i
        scaled = 64 * np.log2(1 + i / 16)
        boundary = min(boundary, abs(scaled - np.floor(scaled) - 0.5))
    assert boundary > 1e-6, "a value so near a rounding boundary may differ between maths libraries"


def affine(weight: np.ndarray | None = None, bias: int = 0, shift: int = 8, inputs: int = 4) -> Affine:
    """One layer with two outputs."""
    w = np.ones((2, inputs), np.int8) if weight is None else weight.astype(np.int16)
    clamp = np.full(2, ACT_MAX, np.int32)
    return Affine(w, np.array([[0, 0], [0, bias]], np.int32), np.array([1, shift], np.int8), -clamp, clamp)


def test_bounds_are_asserted_when_a_layer_is_made() -> None:
    affine()
    affine(np.array([[0, 0], [WIDE, -WIDE]]))
    for value in (WIDE + 1, -WIDE - 1, INT16.min):
        with pytest.raises(ModelError, match="4063"):
            affine(np.array([[0, 0], [0, value]]))
    for shift in (0, -1, 25):
        with pytest.raises(ModelError, match="shift"):
            affine(shift=shift)
    for bias in (INT32.max, INT32.min, INT32.max - 128 - 4 * (ACT_MAX + 1) + 1):
        with pytest.raises(ModelError, match="overflow"):
            affine(bias=bias)
    assert affine(bias=INT32.max - 128 - 4 * (ACT_MAX + 1)).bound == INT32.max
    full = 2**17 // 63  # weights of 63 whose sum is below 2**17
    assert affine(np.full((2, full), -63), inputs=full).bound < 2**31
    with pytest.raises(ModelError, match="overflow"):
        affine(np.full((2, full + 1), 63), inputs=full + 1)


@pytest.mark.parametrize("name", NAMES)
def test_sums_at_the_bound_do_not_overflow(name) -> None:
    full = 2**17 // 63
    x = np.stack([np.full(full, v, np.int16) for v in (ACT_MAX, -ACT_MAX, -1, 127, 128, -128, -129)])
    clamp = np.full(2, 2**15 - 1, np.int32)
    layer = Affine(
        np.stack([np.full(full, 63), np.full(full, -63)]).astype(np.int8),
        np.zeros((1, 2), np.int32),
        np.full(2, 16, np.int8),
        -clamp,
        clamp,
    )
    exact = [[min(max((s * 63 * full * int(v) + 2**15) >> 16, -clamp[0]), clamp[0]) for s in (1, -1)] for v in x[:, 0]]
    assert on_numpy(name).affine(layer, x, ONE).tolist() == exact


def test_an_unknown_execution_is_a_model_error() -> None:
    for name in ("cuda", "blas", "Kernel"):
        with pytest.raises(ModelError, match="kernel, int8, float, compiled, reference"):
            make_execution(name)
