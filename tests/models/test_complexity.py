"""The decoder's cost, as counted from a configuration."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from calotype.models.complexity import CONTEXT_LINEAR, decoder_kmac
from calotype.models.fakequant import FakeQuantDepthwise
from calotype.models.image import ImageConfig, ImageModel, knot_weights
from calotype.models.plans import KINDS
from calotype.models.prior import Prior
from calotype.models.priorgraph import LINEAR_CHANNELS


def test_the_context_of_the_count_is_the_priors() -> None:
    assert CONTEXT_LINEAR == LINEAR_CHANNELS


def test_the_synthesis_is_counted_as_its_convolutions_run() -> None:
    """Two models that differ in synthesis blocks only: the difference is what the added block's layers do."""
    small, large = (ImageConfig(width=16, latents=32, side=8, hidden=16, synthesis_blocks=n) for n in (1, 2))
    counts = []
    for config in (small, large):
        model, count = ImageModel(config), [0]

        def add(layer: nn.Conv2d, _: object, out: torch.Tensor, count: list[int] = count) -> None:
            count[0] += out[0].numel() * layer.weight[0].numel()

        for layer in model.synthesis.modules():
            if isinstance(layer, nn.Conv2d):
                layer.register_forward_hook(add)
        with torch.no_grad():
            model.synthesise(torch.zeros(1, 32, 4, 4), knot_weights(torch.tensor([500.0])))
        counts.append(count[0])
    counted = decoder_kmac(large.to_dict()) - decoder_kmac(small.to_dict())
    assert 1000 * counted == pytest.approx((counts[1] - counts[0]) / 64**2)


@pytest.mark.parametrize("scales", ["context", "side"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_prior_is_counted_as_its_layers_run(kind, scales) -> None:
    config = ImageConfig(width=16, latents=40, side=8, hidden=16, prior=kind, scales=scales)
    prior, count = Prior(config.of_prior), 0

    def add(layer: nn.Module, inputs: tuple, out: torch.Tensor) -> None:
        nonlocal count
        count += out.numel() * (9 if isinstance(layer, FakeQuantDepthwise) else layer.weight.shape[-1])

    for layer in prior.children():
        layer.register_forward_hook(add)
    with torch.no_grad():
        y, z = torch.zeros(1, 16, 16, 40), torch.zeros(1, 4, 4, 8)
        prior(y, z, knot_weights(torch.tensor([500.0])), lambda y, mean, index: mean)
    rest = 2 * 192 * 16 / 64 + 6 * (9 * 16 + 4 * 16 * 16) / 64 + 768 * 40 / 256 + 2 * 16 * 3  # synthesis and post-filter
    assert 1000 * decoder_kmac(config.to_dict()) - rest == pytest.approx(count / 256**2)
