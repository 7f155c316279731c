"""From a trained synthesis to its integers: the same pictures, but for what rounding must lose."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from calotype.models.image import ImageModel, knot_weights
from calotype.models.imageconfig import ImageConfig
from calotype.models.integer.convert import REACH, Precision, convert, equalise, image_net, observe, round_rows, row_bits
from calotype.models.integer.executions import make_execution
from calotype.models.integer.places import Quality
from calotype.models.integer.synthesis import IntegerSynthesis, dequantised, synthesis_layout
from calotype.models.priorgraph import MEAN_FRAC

SMALL = ImageConfig(width=16, analysis_blocks=1, synthesis_blocks=2, latents=16, side=8, hidden=16)
QUALITIES = (0, 300, 650, 1000)
EVERY = frozenset(image_net(ImageModel(SMALL)).layers) | {"post"}
Latents = list[tuple[torch.Tensor, torch.Tensor]]


def model_of(seed: int, config: ImageConfig = SMALL, spread: float = 1.0) -> ImageModel:
    """A model whose every layer of the synthesis does something; spread: of the channels' sizes, in octaves."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = ImageModel(config).eval()
        for name, p in model.synthesis.named_parameters():
            if name.endswith("bias"):
                p.data = 0.1 * torch.randn(p.shape)
            elif name.startswith("log_"):
                p.data = 0.3 * torch.randn(p.shape[1]) + 0.1 * torch.randn(p.shape)
        for block in model.synthesis.blocks:
            block.grow.weight.data *= torch.exp2(spread * torch.randn(len(block.grow.weight), 1, 1, 1))
        model.synthesis.leave.weight.data = torch.randn(192, config.width, 1, 1) * 0.3 / config.width**0.5
        model.log_inverse_gain.data += 0.2 * torch.randn(config.latents)
    return model.requires_grad_(False)


def latents_of(model: ImageModel, seed: int, h: int = 4, w: int = 3) -> Latents:
    """(y_hat in steps of 1/16, knot weights) of two pictures a quality, as large as a picture's are."""
    generator, found = torch.Generator().manual_seed(seed), []
    for quality in QUALITIES:
        weights = knot_weights(torch.tensor([quality] * 2))
        gain = torch.exp(weights @ model.log_inverse_gain)[:, :, None, None]
        y = torch.randn(2, model.config.latents, h, w, generator=generator) / gain
        found.append(((y * 16).round() / 16, weights))
    return found


def seen_by(model: ImageModel, latents: Latents) -> dict:
    """What the layers see while the float synthesis runs over the latents."""
    return observe(image_net(model), [lambda sample=sample: model.synthesise(*sample) for sample in latents])


def pictures(model: ImageModel, latents: Latents) -> np.ndarray:
    """0..255, not rounded: (N, H, W, 3)."""
    found = [model.synthesise(y, weights).permute(0, 2, 3, 1).clamp(0, 1) * 255 for y, weights in latents]
    return torch.cat(found).numpy()


def painted(model: ImageModel, arrays: dict[str, np.ndarray], latents: Latents) -> np.ndarray:
    """The same in integers."""
    synthesis, found = IntegerSynthesis(model.config, arrays, make_execution()), []
    for (y, _), quality in zip(latents, QUALITIES, strict=True):
        y_hat = (y * (1 << MEAN_FRAC)).round().permute(0, 2, 3, 1).numpy().astype(np.int32)
        found.append(synthesis(y_hat, Quality((quality,))))
    return np.concatenate(found).astype(np.float64)


def weighted(model: ImageModel, arrays: dict[str, np.ndarray]) -> ImageModel:
    """The float model that the integers stand for."""
    other = copy.deepcopy(model)
    state = {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in dequantised(arrays, model.config).items()}
    missing, unexpected = other.load_state_dict(state, strict=False)
    assert not unexpected and not any(k.startswith(("synthesis.", "from_latent", "log_inverse", "post")) for k in missing)
    return other


PRECISIONS = {
    "as it ships": Precision(),
    "W13A15": Precision(wide=EVERY),
    "W7A15": Precision(wide=frozenset()),
    "W13A8": Precision(wide=EVERY, activations=8),
    "W7A8, nearest": Precision(wide=frozenset(), activations=8, rounding="nearest", equalise=False, correct=False),
}


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("activation", ["leaky", "wsilu"])
def test_integers_have_the_layout_and_widths_asked_for(precision, activation) -> None:
    asked, config = PRECISIONS[precision], replace(SMALL, activation=activation)
    model = model_of(1, config)
    arrays = convert(model, latents_of(model, 1), asked)
    IntegerSynthesis(config, arrays, make_execution())
    for key, (kind, shape) in synthesis_layout(config).items():
        assert arrays[key].shape == shape
        if key.endswith(".weight"):
            wide = key.removesuffix(".weight") in asked.wide
            assert arrays[key].dtype == (np.int16 if wide else np.int8)
            assert np.abs(arrays[key].astype(int)).max() <= (4063 if wide else 63)
        else:
            assert arrays[key].dtype == kind
    assert set(arrays["limit"].tolist()) == {127 if asked.activations == 8 else 16383}


@pytest.mark.parametrize("activation", ["leaky", "wsilu"])
@pytest.mark.parametrize("seed", range(3))
def test_integers_paint_what_the_float_net_of_their_weights_does(seed, activation) -> None:
    """What is left is the rounding of activations: pixels differ by a level where they are near a boundary, no more."""
    model = model_of(seed, replace(SMALL, activation=activation))
    latents = latents_of(model, seed)
    arrays = convert(model, latents)
    exact, integers = pictures(weighted(model, arrays), latents), painted(model, arrays, latents)
    assert np.abs(integers - exact).max() < 1
    assert np.sqrt(np.square(integers - exact).mean()) < 0.31  # rounding to levels alone: 0.289


@pytest.mark.parametrize(("precision", "loss"), [("W13A15", 0.32), ("as it ships", 0.5), ("W13A8", 1.0), ("W7A15", 4.0)])
def test_fewer_bits_lose_little(precision, loss) -> None:
    """Root mean squared error in levels, against the trained net; 0.289 is that of rounding to levels."""
    for seed in range(3):
        model = model_of(seed)
        latents = latents_of(model, seed)
        before = pictures(model, latents)
        error = painted(model, convert(model, latents, PRECISIONS[precision]), latents) - before
        assert np.sqrt(np.square(error).mean()) < loss


@pytest.mark.parametrize("activation", ["leaky", "wsilu"])
def test_equalising_leaves_the_net_as_it_is_and_its_weights_more_even(activation) -> None:
    model = model_of(4, replace(SMALL, activation=activation), spread=3.0)
    latents = latents_of(model, 4)
    before, columns = pictures(model, latents), uneven(model)
    equalise(image_net(model), seen_by(model, latents))
    assert np.abs(pictures(model, latents) - before).max() < 255 * 1e-4
    if activation == "leaky":
        assert uneven(model) < columns


def uneven(model: ImageModel) -> float:
    """Mean spread of what grow gives, in octaves."""
    latents = latents_of(model, 4)
    return float(np.mean([torch.log2(seen_by(model, latents)[f"blocks.{k}.grow"].peaks).std() for k in range(2)]))


@pytest.mark.parametrize("wide", [False, True], ids=["W7", "W13"])
def test_errors_made_up_for_are_half_of_those_of_the_nearest_integers(wide) -> None:
    """On what calibration saw: inputs that depend on each other, as the features of a net do."""
    ratios, largest = [], 4063 if wide else 63
    for seed in range(60):
        generator, inputs = torch.Generator().manual_seed(seed), 8 + seed % 33
        mixed = torch.randn(inputs // 4, inputs, generator=generator, dtype=torch.float64)
        x = torch.randn(500, inputs // 4, generator=generator, dtype=torch.float64) @ mixed
        x += 0.1 * torch.randn(x.shape, generator=generator, dtype=torch.float64)
        weight, errors = torch.randn(16, inputs, generator=generator, dtype=torch.float64), []
        step = torch.exp2(-row_bits(weight, torch.zeros(16), wide, 0, 0))
        for moments in (x.T @ x, None):
            integers = round_rows(weight, step, largest, moments)
            assert torch.equal(integers, integers.round()) and integers.abs().max() <= largest
            errors.append(float(((weight - integers * step[:, None]) @ x.T).square().sum()))
        ratios.append(errors[0] / errors[1])
    # one weight after the other is no optimum: a single row may come out worse, sixteen do not
    assert max(ratios) <= 1 and np.mean(ratios) < 0.5


def test_reconstruction_errs_less_than_the_nearest_integers_on_calibration_data() -> None:
    errors = {}
    for rounding in ("gptq", "nearest"):
        asked = replace(PRECISIONS["W7A15"], rounding=rounding)
        for seed in range(3):
            model = model_of(seed)
            latents = latents_of(model, seed)
            before = pictures(model, latents)
            found = painted(model, convert(model, latents, asked), latents)
            errors.setdefault(rounding, []).append(np.square(found - before).mean())
    assert np.mean(errors["gptq"]) <= np.mean(errors["nearest"])


def test_biases_make_up_for_the_mean_error_of_the_weights() -> None:
    model = model_of(6)
    latents = latents_of(model, 6)
    seen, off = seen_by(model, latents), {}
    for correct in (True, False):
        asked = Precision(frozenset(), rounding="nearest", equalise=False, correct=correct)
        other = weighted(model, convert(copy.deepcopy(model), latents, asked))
        for name, module in image_net(model).layers.items():
            if module.groups == 1 and module.bias is not None:
                mean, after = (seen[name].total / seen[name].count).float(), image_net(other).layers[name]
                error = (after.weight - module.weight).flatten(1) @ mean + after.bias - module.bias
                off.setdefault(correct, []).append(float(error.abs().max()))
    assert max(off[True]) < 1e-5 < 1e-3 < max(off[False])  # biases are rounded to steps of the accumulator


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), outputs=st.integers(1, 6), inputs=st.integers(1, 300), wide=st.booleans(),
    octaves=st.floats(-6, 6),
)  # fmt: skip
def test_rows_take_the_finest_step_that_the_bounds_allow(seed, outputs, inputs, wide, octaves) -> None:
    generator, shift_of = torch.Generator().manual_seed(seed), 13 - 9
    weight = torch.randn(outputs, inputs, generator=generator, dtype=torch.float64) * 2**octaves
    bits, largest = row_bits(weight, torch.zeros(outputs), wide, 13, 9), 4063 if wide else 63
    integers = (weight * torch.exp2(bits[:, None])).round()
    assert integers.abs().max() <= largest and integers.abs().sum(1).max() < 2**17
    assert bits.min() + shift_of >= 1 and bits.max() + shift_of <= 24
    finer = weight * torch.exp2(bits[:, None] + 1)
    coarse = (finer.abs().amax(1) > largest) | (finer.abs().sum(1) > REACH - inputs) | (bits + shift_of == 24)
    assert bool(coarse.all())


def test_a_large_bias_takes_bits_from_its_row_so_that_sums_stay_below_the_bound() -> None:
    weight, bias = torch.full((2, 4), 1e-3, dtype=torch.float64), torch.tensor([0.0, 50.0], dtype=torch.float64)
    small, large = row_bits(weight, bias, True, 13, 9)
    assert large < small and 50 * 2.0 ** (float(large) + 13) <= 2**27
