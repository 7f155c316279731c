"""The prior of overfitted pictures: what is coded comes back, by compiled loops and by the interpreter alike."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from calotype import threads
from calotype.codecs.container import TILE
from calotype.codecs.overfit import from_payload
from calotype.codecs.registry import open_model, open_stream
from calotype.entropy import binary, pixels
from calotype.errors import CorruptStreamError
from calotype.models.overfit import layout, mixing, prior
from calotype.models.overfit.mixing import Mixing
from calotype.models.overfit.prior import Prior
from calotype.models.overfit.sizes import GRIDS, MARGIN, NEXT_STATE
from calotype.models.zoo import load_any_model

PLAIN, MIXES, TRELLIS, PARTED = "overfit-s.1", "overfit-s.2", "overfit-s.3", "overfit-s.4"
FORMER_CLIPS, CLIPS = "overfit-video-s.2", "overfit-video-s.3"


def start(model: str = MIXES) -> Prior:
    return load_any_model(model)[1].prior


def latents(height: int, width: int, spread: float, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    top = prior.kernels().VALUE_TOP
    drawn = [rng.laplace(0, spread, g.shape(height, width)).round() for g in layout.order()]
    return [np.clip(values, -top, top).astype(np.int32) for values in drawn]


def in_trellis(indices: np.ndarray) -> np.ndarray:
    """The latents of a grid of such indices, by the rule of docs/FORMAT.md."""
    found, state = np.empty(indices.size, np.int32), 0
    for i, index in enumerate(indices.reshape(-1).tolist()):
        found[i] = 2 * index - (state & 1) * ((index > 0) - (index < 0))
        state = NEXT_STATE[state][index & 1]
    return found.reshape(indices.shape)


@settings(max_examples=20, deadline=None)
@given(
    st.integers(1, 3),
    st.integers(1, 3),
    st.sampled_from((0.1, 1.0, 30.0, 3000.0)),
    st.integers(0, 9),
    st.sampled_from((PLAIN, MIXES, TRELLIS, PARTED)),
)
def test_latents_of_any_size_come_back_and_cost_what_was_said(
    rows: int, columns: int, spread: float, seed: int, model: str
) -> None:
    size = 32 * rows, 32 * columns
    grids = latents(*size, spread, seed)
    if start(model).trellis:
        grids = [in_trellis(g // 2) for g in grids]
    present = prior.present_of(grids)
    coded = prior.encode(start(model), grids, present, *size)
    back = prior.decode(start(model), coded.data, present, *size)
    assert all(np.array_equal(a, b) for a, b in zip(back, grids, strict=True))
    assert abs(8 * len(coded.data) - coded.bits) < 0.01 * coded.bits + (96 if start(model).trellis else 64)


def test_brightness_and_colours_decode_alike_on_one_thread_and_on_two() -> None:
    size, own = (96, 128), start(PARTED)
    grids = [in_trellis(g) for g in latents(*size, 2.0)]
    present = prior.present_of(grids)
    data = prior.encode(own, grids, present, *size).data
    before = threads.set_count(1)
    try:
        for count in (1, 2, 2, 2):
            threads.set_count(count)
            assert prior.encode(own, grids, present, *size).data == data
            back = prior.decode(own, data, present, *size)
            assert all(np.array_equal(a, b) for a, b in zip(back, grids, strict=True))
            for wrong in (data[:3], b"\xff" * 4 + data[4:], bytes([data[0] ^ 1]) + data[1:], data[:4] + bytes(len(data) - 4)):
                with pytest.raises(CorruptStreamError):
                    prior.decode(own, wrong, present, *size)
    finally:
        threads.set_count(before)


def test_rates_are_those_of_the_lossless_codec_and_go_on_alike() -> None:
    short, long = (mixing.tables(limit)[2] for limit in mixing.LIMITS)
    assert np.array_equal(short, pixels.tables()[4]) and np.array_equal(long[: len(short)], short) and long.min() > 0


@pytest.mark.parametrize("model", [MIXES, TRELLIS])
def test_any_weights_within_the_bounds_code_alike(model: str) -> None:
    rng, shipped = np.random.default_rng(3), start(model)
    tops = {name: prior.BIAS_TOP if name.endswith("bias") else prior.WEIGHT_TOP for name in prior.SHAPES}
    arrays = {k: rng.integers(-tops[k], tops[k] + 1, v.shape).astype(np.int32) for k, v in shipped.arrays.items()}
    maps, top = shipped.mixing.maps.copy(), mixing.kernels().WEIGHT_TOP
    maps[..., 0], maps[..., 1] = rng.integers(0, 1 << 22, maps.shape[:-1]), rng.integers(0, 256, maps.shape[:-1])
    weights = rng.choice((-top, top), shipped.mixing.weights.shape).astype(np.int32)
    wild = Prior(arrays, shipped.chances, mixing=Mixing(maps, weights), trellis=shipped.trellis).checked()
    grids = latents(32, 64, 40.0)
    grids = [in_trellis(g) for g in grids] if shipped.trellis else grids
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


@pytest.mark.parametrize("model", [PLAIN, MIXES, TRELLIS, FORMER_CLIPS, CLIPS])
def test_the_compiled_loop_does_what_the_interpreter_does(model: str) -> None:
    """Numba's integers wrap where Python's do not: equal results show that nothing does."""
    own, past = start(model), model in (FORMER_CLIPS, CLIPS)
    count = 10 + 2 * own.seen + 2 * bool(past and own.mixing)
    mixes = own.mixing or Mixing(np.zeros((1, 1, 2), np.int32), np.zeros((1, 1), np.int32))
    a, net, h, w = own.arrays, 0, 6, 7
    kernels, results = prior.kernels(), []
    for run in (kernels.code_grid, kernels.code_grid.py_func):
        values = np.zeros((h + 2 * MARGIN, w + 2 * MARGIN), np.int32)
        drawn = np.random.default_rng(1).laplace(0, 20, (h, w)).round().astype(np.int32)
        drawn[: 4 - MARGIN] = 0  # some are quiet
        values[MARGIN:-MARGIN, MARGIN:-MARGIN] = in_trellis(drawn) if own.trellis else drawn
        states, logs = np.zeros(int(own.trellis), np.int64), layout.log_table(own.trellis)
        others = np.random.default_rng(2).integers(0, 90, (count, h, w)).astype(np.uint8)
        others[:, :2] = 0
        signed = np.random.default_rng(3).integers(-90, 90, (3, h, w)).astype(np.int32)
        signed[:, :2] = 0
        coder, buffer, models = binary.encoding(), np.zeros(4096, np.uint8), own.chances.copy()
        means, learnt = a["means"][net].astype(np.int64) << kernels.MEAN_LEARNT, mixes.copy()
        cost = run(
            *(coder, buffer, kernels.ENCODE, models, 0, values, np.zeros_like(values), others, signed, logs),
            *(a["enter"][net], a["enter_bias"][net, 0], a["middle"][net], a["middle_bias"][net], a["leave"][net]),
            *(int(a["leave_bias"][net]), means, *np.zeros((3, 1, 1), np.int32), 0, 256, 0),
            *(net, 1, learnt.maps, learnt.weights, *mixing.tables(mixing.LIMITS[past]), mixing.RATES[past], 0, h, states),
        )
        state = models.tobytes(), means.tobytes(), learnt.maps.tobytes(), learnt.weights.tobytes(), states.tobytes()
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


def test_a_trellis_is_nearer_than_its_quantisers_and_finds_nearly_the_best_row() -> None:
    rng, size = np.random.default_rng(0), (32, 256)
    targets = [rng.normal(0, 9, g.shape(*size)) for g in layout.order()]
    found = prior.choose(start(TRELLIS), targets, np.zeros(GRIDS), np.zeros(GRIDS), 1.0, *size).values
    errors = [(v - t) ** 2 for v, t in zip(found, targets, strict=True)]
    assert np.mean(np.concatenate([e.reshape(-1) for e in errors])) < 0.3  # 1/3: that of a step of two
    for grid, target, error in zip(layout.order(), targets, errors, strict=True):
        if grid.level == 5:  # one row of eight
            near = np.rint(target[0] / 2).astype(int)
            ways = [in_trellis(near + np.array(by)) for by in itertools.product((-1, 0, 1), repeat=target.size)]
            best = min(((way - target[0]) ** 2).sum() for way in ways)
            assert error.sum() == pytest.approx(best, rel=0.04)  # not all are tried


def test_dear_bits_are_fewer_in_a_trellis_too() -> None:
    rng, nothing = np.random.default_rng(0), np.zeros(GRIDS)
    targets = [rng.normal(0, 3, g.shape(64, 64)) for g in layout.order()]
    free, some, dear = (prior.choose(start(TRELLIS), targets, nothing + k, nothing, 1.0, 64, 64) for k in (0.0, 4.0, 1000.0))
    assert sum(np.count_nonzero(v) for v in dear.values) < 10 and dear.bits < some.bits / 50
    assert some.bits < 0.8 * free.bits


def test_latents_that_no_trellis_allows_are_refused() -> None:
    grids = [np.zeros(g.shape(32, 32), np.int32) for g in layout.order()]
    grids[0][:] = 1  # a grid begins with the quantiser of even values
    with pytest.raises(CorruptStreamError, match="out of range"):
        prior.encode(start(TRELLIS), grids, prior.present_of(grids), 32, 32)


def test_a_trellis_without_mixing_is_none() -> None:
    with pytest.raises(ValueError, match="mixes"):
        replace(start(PLAIN), trellis=True).checked()
    with pytest.raises(ValueError, match="none"):
        replace(start(MIXES), trellis=True).checked()


def test_logarithms_are_exact() -> None:
    halves = layout.log_table(True)
    assert [halves[n] for n in (0, 1, 2, 8, 24)] == [0, 11, 18, 41, 64] and (np.diff(halves) >= 0).all()
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
