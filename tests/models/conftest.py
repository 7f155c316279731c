"""Small priors with weights like those of a trained one, so that means, indices and saturation all vary."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from small_priors import SMALL

from calotype.models.prior import Prior
from calotype.models.priorgraph import PriorConfig


@pytest.fixture(scope="session")
def make_prior() -> Callable[..., Prior]:
    """make_prior(seed, spread, config): a fake-quantised Prior whose every parameter was moved by noise of that size."""

    def make(seed: int, spread: float = 0.3, config: PriorConfig = SMALL) -> Prior:
        generator = torch.Generator().manual_seed(seed)
        prior = Prior(config)
        with torch.no_grad():
            for name, p in sorted(prior.named_parameters()):
                p.copy_(
                    torch.randn(p.shape, generator=generator)
                    * (spread if name.endswith("bias") else spread / p.shape[-1] ** 0.5)
                )
                if name.endswith("_dw.weight"):
                    p[:, 4] += 1
                if name.endswith("_head.bias"):  # a scale index in the middle of the range, / 8
                    p[..., 0 if name.startswith("scales") else p.shape[-1] // 2 :] += 2.5
        return prior.requires_grad_(False)

    return make
