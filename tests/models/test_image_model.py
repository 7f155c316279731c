"""The trainable image model: sizes, the quality dial, and gradients that reach every parameter."""

from __future__ import annotations

import math

import pytest
import torch

from calotype.models.image import (
    DEAD_ZONE,
    LMBDA,
    QUALITY_MAX,
    ImageConfig,
    ImageModel,
    dead_zone,
    knot_weights,
    logistic_bits,
    quality_lmbda,
    quantise_fixed,
    quantise_hard,
    symbol_bits,
)
from calotype.models.priorgraph import KNOTS, LEVELS

SMALL = ImageConfig(width=8, analysis_blocks=1, synthesis_blocks=1, latents=16, side=8, hidden=16)


@pytest.fixture
def model() -> ImageModel:
    """A small model whose every parameter was moved, so that no gradient is zero because a weight is."""
    torch.manual_seed(0)
    model = ImageModel(SMALL)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn_like(p) * 0.05)
    return model


def test_parts_have_the_shapes_they_state(model) -> None:
    weights = knot_weights(torch.tensor([0.0, 730.0]))
    for h, w in ((32, 32), (96, 64), (32, 160), (144, 48)):
        y = model.analyse(torch.rand(2, 3, h, w), weights)
        assert y.shape == (2, 16, h // 16, w // 16)
        assert model.side(y, weights).shape == (2, 8, -(-h // 64), -(-w // 64))
        assert model.synthesise(y, weights).shape == (2, 3, h, w)
    x_hat, y_bits, z_bits = model(torch.rand(2, 3, 64, 96), torch.tensor([10.0, 990.0]))
    assert x_hat.shape == (2, 3, 64, 96) and y_bits.shape == z_bits.shape == (2,)
    assert (y_bits > 0).all() and (z_bits > 0).all()


@pytest.mark.parametrize("hard", [False, True])
def test_gradients_reach_every_parameter(model, hard) -> None:
    quality = torch.arange(KNOTS).float() * (QUALITY_MAX / (KNOTS - 1))  # each knot's parameters are used
    x_hat, y_bits, z_bits = model(torch.rand(KNOTS, 3, 64, 64), quality, hard)
    (y_bits.sum() + z_bits.sum() + 1000 * x_hat.square().sum()).backward()
    for name, p in model.named_parameters():
        assert p.grad is not None and p.grad.isfinite().all() and p.grad.abs().max() > 0, name


def test_a_fresh_model_is_an_orthonormal_codec() -> None:
    torch.manual_seed(0)
    model = ImageModel(ImageConfig(width=8, analysis_blocks=1, synthesis_blocks=1, latents=768, side=8, hidden=16))
    x = torch.rand(2, 3, 64, 48)
    for quality in (0.0, 333.3, 1000.0):
        weights = knot_weights(torch.tensor([quality, quality]))
        with torch.no_grad():
            y = model.analyse(x, weights)
            torch.testing.assert_close(model.synthesise(y, weights), x, rtol=0, atol=1e-4)
        gain = torch.exp(weights @ model.log_gain)[:, :, None, None]
        torch.testing.assert_close((y / gain).square().sum(), (x - 0.5).square().sum(), rtol=1e-4, atol=0)


def test_knot_weights_interpolate_linearly() -> None:
    knots = torch.arange(KNOTS).float() * 100
    assert torch.allclose(knot_weights(knots), torch.eye(KNOTS), atol=1e-6)
    quality = torch.linspace(0, QUALITY_MAX, 501)
    weights = knot_weights(quality)
    assert torch.allclose(weights.sum(1), torch.ones(501), atol=1e-5) and (weights >= 0).all()
    assert ((weights > 1e-6).sum(1) <= 2).all()
    assert torch.allclose(weights @ knots, quality, atol=1e-2)
    assert torch.equal(knot_weights(torch.tensor([250])), knot_weights(torch.tensor([250.0])))


def test_lmbda_is_log_linear_between_its_ends() -> None:
    lmbda = quality_lmbda(torch.tensor([0.0, 250.0, 500.0, 750.0, 1000.0]))
    assert lmbda[[0, -1]].tolist() == pytest.approx(LMBDA, rel=1e-5)
    ratios = (lmbda[1:] / lmbda[:-1]).tolist()
    assert ratios == pytest.approx([(LMBDA[1] / LMBDA[0]) ** 0.25] * 4, rel=1e-4)


def test_the_dead_zone_narrows_with_scale_and_stays_in_range() -> None:
    zone = dead_zone(torch.arange(LEVELS, dtype=torch.float32))
    assert (zone.diff() <= 1e-5).all()
    assert zone.min() >= 0.5 and zone.max() <= 0.9 and zone[0] > 0.8 and zone[-1] < 0.51


def test_the_dead_zone_only_sends_symbols_to_zero() -> None:
    residual = torch.linspace(-3, 3, 601)
    for index in (0.0, 20.0, 63.0):
        symbol = quantise_hard(residual, torch.zeros(()), torch.full_like(residual, index))
        assert torch.equal(symbol, symbol.round())
        assert ((symbol == residual.round()) | (symbol == 0)).all()


@pytest.mark.parametrize("index", [0.0, 17.5, 40.0, 63.0])
def test_symbol_probabilities_sum_to_one(index) -> None:
    values = torch.arange(-4000, 4001, dtype=torch.float64)
    bits = symbol_bits(values, torch.full_like(values, index))
    assert torch.exp2(-bits).sum().item() == pytest.approx(1, abs=1e-4)
    assert bits.argmin() == 4000 and torch.allclose(bits, bits.flip(0))


def test_side_probabilities_sum_to_one() -> None:
    values = torch.arange(-200, 201, dtype=torch.float64)[:, None]
    for mean, log_scale in ((0.0, 0.0), (2.3, 1.5)):
        p = torch.exp2(-logistic_bits(values, torch.tensor([mean]), torch.tensor([log_scale]))).sum()
        assert p.item() == pytest.approx(1, abs=1e-3)


def test_scales_start_where_the_klt_says() -> None:
    torch.manual_seed(0)
    model = ImageModel(SMALL)
    variance = torch.logspace(0, -4, 16)
    model.start_from_klt(torch.linalg.qr(torch.randn(768, 16))[0].T, variance)
    bias = model.prior.step0_head.bias.detach()[:, :, 4:]  # (KNOTS, 4 groups, M / 4): scale index / 8
    by_channel = bias.transpose(1, 2).reshape(KNOTS, 16)
    assert (by_channel.diff(dim=1) <= 0).all(), "a weaker coefficient has no larger scale"
    assert (by_channel.diff(dim=0) >= 0).all(), "a better quality has no smaller scale"
    assert math.isclose(float(by_channel.max()) * 8, LEVELS - 1, abs_tol=30)


def test_the_training_rate_is_that_of_the_symbols_and_latents_still_learn_from_it() -> None:
    torch.manual_seed(1)
    model, x, quality = ImageModel(SMALL), torch.rand(2, 3, 64, 64), torch.tensor([300.0, 800.0])
    seen = {}
    forward = model.prior.forward
    model.prior.forward = lambda *args: seen.setdefault("out", forward(*args))
    _, y_bits, _ = model.rate(x, quality)
    mean, index, y_hat = seen["out"]
    expected = symbol_bits((y_hat - mean).detach().round(), index).sum((1, 2, 3))
    assert torch.allclose(y_bits, expected, rtol=1e-5)
    y_bits.sum().backward()
    assert model.to_latent.weight.grad.abs().sum() > 0 and model.prior.step0_head.bias.grad.abs().sum() > 0


def test_the_training_dead_zone_does_not_move_with_the_scale_and_zeros_teach_the_mean() -> None:
    y = torch.linspace(-2, 2, 401, requires_grad=True)
    for index in (0.0, 63.0):
        mean = torch.zeros(401, requires_grad=True)
        y_hat = quantise_fixed(y, mean, torch.full_like(y, index))
        assert torch.equal(y_hat.detach().round() == 0, y.detach().abs() < DEAD_ZONE)
        to_y, to_mean = torch.autograd.grad(y_hat.sum(), (y, mean))
        assert (to_y == 1).all() and torch.equal(to_mean, (y.detach().abs() < DEAD_ZONE).float())
