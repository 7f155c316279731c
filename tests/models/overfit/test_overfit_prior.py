"""The prior of overfitted pictures: what is coded comes back, by compiled loops and by the interpreter alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from calotype.codecs.container import TILE
from calotype.codecs.overfit import from_payload
from calotype.codecs.registry import open_model, open_stream
from calotype.entropy import binary, pixels
from calotype.errors import CorruptStreamError
from calotype.models.overfit import layout, mixing, prior
from calotype.models.overfit.mixing import Mixing
from calotype.models.overfit.prior import Prior
from calotype.models.overfit.sizes import GRIDS, MARGIN
from calotype.models.zoo import load_any_model

kernels = prior.kernels()
PLAIN, MIXES = "overfit-s.1", "overfit-s.2"
FORMER_CLIPS, CLIPS = "overfit-video-s.2", "overfit-video-s.3"


def start(model: str = MIXES) -> Prior:
    return load_any_model(model)[1].prior


def latents(height: int, width: int, spread: float, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    top = kernels.VALUE_TOP
    drawn = [rng.laplace(0, spread, g.shape(height, width)).round() for g in layout.order()]
    return [np.clip(values, -top, top).astype(np.int32) for values in drawn]


@settings(max_examples=15, deadline=None)
@given(
    st.integers(1, 3),
    st.integers(1, 3),
    st.sampled_from((0.1, 1.0, 30.0, 3000.0)),
    st.integers(0, 9),
    st.sampled_from((PLAIN, MIXES)),
)
def test_latents_of_any_size_come_back_and_cost_what_was_said(
    rows: int, columns: int, spread: float, seed: int, model: str
) -> None:
    size = 32 * rows, 32 * columns
    grids = latents(*size, spread, seed)
    present = prior.present_of(grids)
    coded = prior.encode(start(model), grids, present, *size)
    back = prior.decode(start(model), coded.data, present, *size)
    assert all(np.array_equal(a, b) for a, b in zip(back, grids, strict=True))
    assert abs(8 * len(coded.data) - coded.bits) < 0.01 * coded.bits + 64


def test_rates_are_those_of_the_lossless_codec_and_go_on_alike() -> None:
    short, long = (mixing.tables(limit)[2] for limit in mixing.LIMITS)
    assert np.array_equal(short, pixels.tables()[4]) and np.array_equal(long[: len(short)], short) and long.min() > 0


def test_any_weights_within_the_bounds_code_alike() -> None:
    rng, shipped = np.random.default_rng(3), start()
    tops = {name: prior.BIAS_TOP if name.endswith("bias") else prior.WEIGHT_TOP for name in prior.SHAPES}
    arrays = {k: rng.integers(-tops[k], tops[k] + 1, v.shape).astype(np.int32) for k, v in shipped.arrays.items()}
    maps, top = shipped.mixing.maps.copy(), mixing.kernels().WEIGHT_TOP
    maps[..., 0], maps[..., 1] = rng.integers(0, 1 << 22, maps.shape[:-1]), rng.integers(0, 256, maps.shape[:-1])
    weights = rng.choice((-top, top), shipped.mixing.weights.shape).astype(np.int32)
    wild = Prior(arrays, shipped.chances, mixing=Mixing(maps, weights)).checked()
    grids = latents(32, 64, 40.0)
    present = np.ones(GRIDS, bool)
    coded = prior.encode(wild, grids, present, 32, 64)
    assert all(np.array_equal(a, b) for a, b in zip(prior.decode(wild, coded.data, present, 32, 64), grids, strict=True))
    arrays["enter"][0, 0, 0] = prior.WEIGHT_TOP + 1
    with pytest.raises(ValueError, match="enter"):
        wild.checked()


@pytest.mark.parametrize("part", ["maps", "weights"])
def test_maps_and_mixers_beyond_the_bounds_are_refused(part: str) -> None:
    array = getattr(start().mixing, part).copy()
    array[0, 0] = mixing.kernels().WEIGHT_TOP + 1  # more than a map's count of bits, too
    with pytest.raises(ValueError, match="out of range"):
        replace(start(), mixing=replace(start().mixing, **{part: array})).checked()
    with pytest.raises(ValueError, match="none"):
        replace(start(), mixing=replace(start().mixing, **{part: array[1:]})).checked()


def test_stretching_undoes_squashing() -> None:
    stretch, squash, _ = mixing.tables(mixing.LIMITS[0])
    top = mixing.kernels().STRETCHED
    assert (np.diff(stretch.astype(int)) >= 0).all() and abs(int(stretch[1 << 15])) <= 1
    inside = np.arange(200, 65336)
    assert (squash[stretch[inside] + top + 1] >= inside).all() and (squash[stretch[inside] + top] < inside).all()


def test_a_prior_that_mixes_takes_fewer_bits_for_latents_that_were_fitted_without_it() -> None:
    y, x = np.mgrid[:128, :160]
    waves = [60 * np.sin((x + k * y) / (3 + k) * (y / 128)) + 40 * ((x // 9 + y // 13) % 2) + 90 for k in (1, 2, 3)]
    pixels = np.clip(np.stack(waves, -1) + np.random.default_rng(0).normal(0, 5, (128, 160, 3)), 0, 255).astype(np.uint8)
    stream, codec = open_stream(open_model(PLAIN, effort=1).encode(pixels, 60).data)
    grids = from_payload(codec.bundle, stream.payloads(TILE)[0], (128, 160))[0]
    present = prior.present_of(grids)
    bits = [prior.encode(start(model), grids, present, 128, 160).bits for model in (PLAIN, MIXES)]
    assert bits[1] < 0.995 * bits[0]


@pytest.mark.parametrize("model", [PLAIN, MIXES, FORMER_CLIPS, CLIPS])
def test_the_compiled_loop_does_what_the_interpreter_does(model: str) -> None:
    """Numba's integers wrap where Python's do not: equal results show that nothing does."""
    own, past = start(model), model in (FORMER_CLIPS, CLIPS)
    count = 10 + 2 * own.seen + 2 * bool(past and own.mixing)
    mixes = own.mixing or Mixing(np.zeros((1, 1, 2), np.int32), np.zeros((1, 1), np.int32))
    a, net, h, w = own.arrays, 0, 6, 7
    results = []
    for run in (kernels.code_grid, kernels.code_grid.py_func):
        values = np.zeros((h + 2 * MARGIN, w + 2 * MARGIN), np.int32)
        values[MARGIN:-MARGIN, MARGIN:-MARGIN] = np.random.default_rng(1).laplace(0, 20, (h, w)).round()
        others = np.random.default_rng(2).integers(0, 90, (count, h, w)).astype(np.uint8)
        others[:, :2] = 0  # some are quiet
        values[:4] = 0
        signed = np.random.default_rng(3).integers(-90, 90, (3, h, w)).astype(np.int32)
        signed[:, :2] = 0
        coder, buffer, models = binary.encoding(), np.zeros(4096, np.uint8), own.chances.copy()
        means, learnt = a["means"][net].astype(np.int64) << kernels.MEAN_LEARNT, mixes.copy()
        cost = run(
            *(coder, buffer, kernels.ENCODE, models, 0, values, np.zeros_like(values), others, signed, layout.log_table()),
            *(a["enter"][net], a["enter_bias"][net, 0], a["middle"][net], a["middle_bias"][net], a["leave"][net]),
            *(int(a["leave_bias"][net]), means, np.zeros((1, 1), np.int32), np.zeros((1, 1), np.int32), 0, 256, 0),
            *(net, 1, learnt.maps, learnt.weights, *mixing.tables(mixing.LIMITS[past]), mixing.RATES[past]),
        )
        state = models.tobytes(), means.tobytes(), learnt.maps.tobytes(), learnt.weights.tobytes()
        results.append((cost, coder.tolist(), buffer.tobytes(), state))
    assert results[0] == results[1]


def test_a_cut_stream_is_corrupt_or_gives_other_latents() -> None:
    """A cut may end as other latents would; the symbol hash tells those (tests/codecs/test_overfit.py)."""
    grids = latents(32, 32, 5.0)
    present = np.ones(GRIDS, bool)
    data = prior.encode(start(), grids, present, 32, 32).data
    corrupt, lengths = 0, range(0, len(data), 5)
    for length in lengths:
        try:
            back = prior.decode(start(), data[:length], present, 32, 32)
            assert not all(np.array_equal(a, b) for a, b in zip(back, grids, strict=True))
        except CorruptStreamError:
            corrupt += 1
    assert corrupt > 0.9 * len(lengths)


def test_rounding_takes_the_nearest_where_bits_are_free_and_zeros_where_they_are_dear() -> None:
    rng = np.random.default_rng(0)
    targets = [rng.normal(0, 3, g.shape(64, 64)) for g in layout.order()]
    nothing = np.zeros(GRIDS)
    free = prior.choose(start(), targets, nothing, nothing, 1.0, 64, 64)
    assert all(np.abs(v - t).max() <= 0.51 for v, t in zip(free.values, targets, strict=True))
    dear = prior.choose(start(), targets, nothing + 1000.0, nothing, 1.0, 64, 64)
    assert sum(np.count_nonzero(v) for v in dear.values) < 10 and dear.bits < free.bits / 50


def test_logarithms_are_exact() -> None:
    table = layout.log_table()
    assert table[0] == 0 and table[1] == 16 and table[3] == 32 and table[4095] == 192 and (np.diff(table) >= 0).all()


def test_a_latent_alone_makes_others_dearer_and_one_among_many_does_not() -> None:
    from calotype.models.overfit.ratenet import side_effects

    grids = [np.zeros(g.shape(128, 128), np.int32) for g in layout.order()]
    number = layout.order().index(layout.Grid(0, 1, 0))
    grids[number][10, 10] = 1
    grids[number][30:60, 30:60] = np.random.default_rng(0).integers(-3, 4, (30, 30))
    effects = side_effects(start(), grids, torch.device("cpu"))
    assert [e.shape for e in effects] == [g.shape for g in grids]
    assert effects[number][10, 10] > 0.2 > float(np.median(effects[number][35:55, 35:55]))
    assert not effects[0].any()
