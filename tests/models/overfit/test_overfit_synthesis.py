"""Latents to pixels: the integers do what the floats that were fitted do, and bounds hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from calotype import threads
from calotype.errors import CorruptStreamError
from calotype.models.overfit import layout, net, wavelet
from calotype.models.overfit.bundle import OverfitBundle
from calotype.models.overfit.cellnet import BIAS_TOP, COARSE, FINE, WEIGHT_TOP
from calotype.models.overfit.side import Side
from calotype.models.overfit.sizes import GRIDS
from calotype.models.overfit.synthesis import GAIN_TOP, STEP_TOP, Synthesis
from calotype.models.zoo import load_any_model


def bundle() -> OverfitBundle:
    return load_any_model("overfit")[1]


def test_analysis_and_lifting_are_inverse() -> None:
    planes = np.random.default_rng(0).normal(0, 100, (3, 64, 96)).astype(np.float32)
    back = net.lift([torch.from_numpy(g) for g in wavelet.analyse(planes)]).numpy()
    assert np.abs(back - planes).max() < 1e-2


def test_curvatures_are_squared_norms_of_what_a_latent_makes() -> None:
    rng = np.random.default_rng(0)
    for size in ((64, 96), (32, 1056)):
        curvatures = wavelet.curvatures(*size)
        for number in rng.integers(0, GRIDS, 6):
            grids = [torch.zeros(g.shape(*size)) for g in layout.order()]
            place = tuple(int(rng.integers(0, n)) for n in grids[number].shape)
            grids[number][place] = 1
            assert float(net.lift(grids).square().sum()) == pytest.approx(float(curvatures[number][place]), rel=1e-3)


@pytest.mark.parametrize("width", COARSE)
def test_integers_show_what_the_float_twin_shows(width: int) -> None:
    own, rng = Side.plain(64 * 16).applied(bundle())[1], np.random.default_rng(0)
    coarse = {k: rng.integers(-200, 200, shape).astype(np.int32) for k, shape in COARSE[width].shapes().items()}
    own = replace(own, arrays=own.arrays | coarse)
    grids = [rng.laplace(0, 1.5, g.shape(64, 96)).round().astype(np.int32) for g in layout.order()]
    twin = net.SynthesisNet()
    twin.from_integers(own.arrays)
    assert twin.coarse is not None
    assert all(np.array_equal(v, own.arrays[k]) for k, v in twin.to_integers().items())
    with torch.no_grad():
        planes = twin(net.lift(net.dequantised([torch.from_numpy(g).float() for g in grids], own.gains, own.shrinks))[None])[0]
    shown = np.einsum("cp,phw->hwc", own.colours / 4096, planes.double().numpy() * 16) + 128
    assert np.abs(own(grids, 64, 96) - np.clip(shown, 0, 255)).mean() < 0.6


def test_threads_do_not_change_pixels() -> None:
    own, rng = Side.plain(64 * 16).applied(bundle())[1], np.random.default_rng(0)
    coarse = {k: rng.integers(-200, 200, shape).astype(np.int32) for k, shape in COARSE[64].shapes().items()}
    own = replace(own, arrays=own.arrays | coarse)
    grids = [rng.laplace(0, 1.5, g.shape(96, 64)).round().astype(np.int32) for g in layout.order()]
    before = threads.set_count(1)
    try:
        alone = own(grids, 90, 60)
        threads.set_count(3)
        assert np.array_equal(alone, own(grids, 90, 60))
    finally:
        threads.set_count(before)


def test_extremes_within_the_bounds_give_pixels() -> None:
    shapes = COARSE[64].shapes() | FINE.shapes()
    arrays = {k: np.full(s, BIAS_TOP if k.endswith("bias") else WEIGHT_TOP, np.int32) for k, s in shapes.items()}
    gains = np.full(GRIDS, GAIN_TOP)
    wild = Synthesis(arrays, gains, gains - 1, np.full((3, 3), (1 << 13) - 1), STEP_TOP).checked()
    for value in (-(1 << 15), 1 << 15):
        pixels = wild([np.full(g.shape(32, 32), value, np.int32) for g in layout.order()], 32, 32)
        assert pixels.shape == (32, 32, 3)
    for name in ("enter", "leave_bias", "coarse.enter", "coarse.leave_bias"):
        with pytest.raises(ValueError, match=name):
            Synthesis(arrays | {name: arrays[name] + 1}, gains, gains - 1, wild.colours, 1).checked()
    with pytest.raises(ValueError, match="32 or 64 channels"):
        Synthesis(arrays | {"coarse.enter_bias": np.zeros(33, np.int32)}, gains, gains - 1, wild.colours, 1).checked()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.booleans())
def test_what_a_picture_states_of_its_own_comes_back(seed: int, networks: bool) -> None:
    rng = np.random.default_rng(seed)
    numbers = [rng.integers(-9, 10, n) for n in (GRIDS, GRIDS, 9)]
    own = {"filter.leave": rng.integers(-5, 6, (32, 12)), "prior.leave_bias": rng.integers(-5, 6, (12,))} if networks else {}
    strengths = tuple(rng.integers(0, 16, 3).tolist()) if seed % 2 else ()
    drawn = numbers[0], numbers[1], numbers[2].reshape(3, 3)
    side = Side(77, rng.random(GRIDS) < 0.5, *drawn, own, strengths, int(rng.integers(3)) if strengths else 0)
    back = Side.from_bytes(77, side.to_bytes(), bool(strengths))
    assert back.strengths == strengths and back.choice == side.choice and np.array_equal(back.numbers(True), side.numbers(True))
    assert np.array_equal(back.present, side.present) and np.array_equal(back.colours, side.colours)
    assert np.array_equal(back.gains, side.gains) and np.array_equal(back.shrinks, side.shrinks)
    assert back.networks.keys() == own.keys() and all(np.array_equal(back.networks[k], own[k]) for k in own)


def test_networks_past_the_bounds_of_integer_arithmetic_are_corrupt() -> None:
    side = Side.plain(64)
    for wrong in ({"gains": side.gains + 4000}, {"colours": side.colours + 4000}, {"shrinks": side.shrinks - 1000}):
        with pytest.raises(CorruptStreamError):
            Side(**{**side.__dict__, **wrong}).applied(bundle())
    for choice, strengths in ((len(bundle().filters), (0, 0, 0)), (-1, (0, 0, 0)), (0, (16, 0, 0)), (0, (0, -1, 0))):
        with pytest.raises(CorruptStreamError, match="choice|strengths"):
            replace(side, choice=choice, strengths=strengths).applied(bundle())
