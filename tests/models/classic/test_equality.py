"""CompressAI's own nets and ours are one function of one state dict (where CompressAI is installed)."""

from __future__ import annotations

import importlib
import warnings

import pytest
import torch
from random_nets import CONFIGS, perturb, picture

from calotype.eval.entropy_bench import import_compressai
from calotype.models.classic.density import EntropyBottleneck, GaussianConditional

TOLERANCE = {"rtol": 0, "atol": 1e-5}


@pytest.fixture(scope="module")
def peer():
    """compressai.models, with a seeded, perturbed net of each architecture by name."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import_compressai()
            models = importlib.import_module("compressai.models")
    except ImportError as error:
        pytest.skip(f"needs CompressAI: {error}")
    classes = {
        "bmshj2018-factorized": models.FactorizedPrior,
        "bmshj2018-hyperprior": models.ScaleHyperprior,
        "mbt2018-mean": models.MeanScaleHyperprior,
        "mbt2018": models.JointAutoregressiveHierarchicalPriors,
        "cheng2020-anchor": models.Cheng2020Anchor,
    }

    def make(name: str, seed: int):
        torch.manual_seed(seed)
        config = CONFIGS[name]
        sizes = (config.N,) if name.startswith("cheng") else (config.N, config.M)
        return perturb(classes[name](*sizes), seed)

    return make


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", list(CONFIGS))
@torch.no_grad()
def test_latents_likelihoods_and_pictures_are_compressais(peer, name: str, seed: int) -> None:
    theirs, ours, x = peer(name, seed), CONFIGS[name].build().eval(), picture(seed)
    assert not ours.load_state_dict(theirs.state_dict(), strict=True).missing_keys
    y, z = ours.analyse(x)
    torch.testing.assert_close(y, theirs.g_a(x), **TOLERANCE)
    if z is not None:
        torch.testing.assert_close(z, theirs.h_a(y.abs() if name == "bmshj2018-hyperprior" else y), **TOLERANCE)
    here, there = ours(x), theirs(x)
    assert here["likelihoods"].keys() == there["likelihoods"].keys()
    for key, likelihood in there["likelihoods"].items():
        torch.testing.assert_close(here["likelihoods"][key], likelihood, **TOLERANCE)
    torch.testing.assert_close(here["x_hat"], there["x_hat"], rtol=1e-5, atol=1e-5)
    assert float(y.std()) > 0.5 and len(y.round().unique()) > 4  # latents that are no mere zeros


@pytest.mark.parametrize("name", list(CONFIGS))
def test_our_parameter_names_and_shapes_are_compressais(peer, name: str) -> None:
    theirs = {key: value.shape for key, value in peer(name, 0).named_parameters()}
    assert {key: value.shape for key, value in CONFIGS[name].build().named_parameters()} == theirs


@torch.no_grad()
def test_a_checkpoint_that_was_updated_for_coding_loads_as_well(peer) -> None:
    theirs = peer("mbt2018-mean", 3)
    theirs.update()
    ours = CONFIGS["mbt2018-mean"].build().eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    torch.testing.assert_close(ours(picture())["likelihoods"], theirs(picture())["likelihoods"], **TOLERANCE)


@torch.no_grad()
def test_the_layers_alone_are_compressais(peer) -> None:
    models, generator = import_compressai(), torch.Generator().manual_seed(5)
    theirs, ours = perturb(models.EntropyBottleneck(6)), EntropyBottleneck(6)
    ours.load_state_dict({key: value for key, value in theirs.state_dict().items() if key in ours.state_dict()})
    x = 20 * torch.randn(2, 6, 5, 7, generator=generator)
    for mine, other in zip(ours(x), theirs(x), strict=True):
        torch.testing.assert_close(mine, other, **TOLERANCE)
    table = (0.11 * (256 / 0.11) ** (torch.arange(64, dtype=torch.float64) / 63)).tolist()
    conditional = models.GaussianConditional(table).eval()
    scale = torch.exp(6 * torch.rand(2, 6, 5, 7, generator=generator) - 3)
    mean = torch.randn(x.shape, generator=generator)
    value, likelihood = conditional(x, scale, mean)
    torch.testing.assert_close(GaussianConditional.likelihood(value, scale, mean), likelihood, **TOLERANCE)
    assert torch.equal(GaussianConditional.level(scale), conditional.build_indexes(scale).long())
