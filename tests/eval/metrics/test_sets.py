"""Figures of whole sets, with SqueezeNet of random weights: what they promise holds for any."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from metric_sources import make_picture
from safetensors.torch import save_file

from calotype.eval.metrics.sets import SETS, find_sets, measure_sets
from calotype.eval.metrics.squeeze import DATA_VARIABLE, PATCH, SqueezeKid
from calotype.models.perceptual import SqueezeNet


@pytest.fixture(scope="module")
def metric(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "squeezenet.safetensors"
    save_file(SqueezeNet().state_dict(), path)
    return SqueezeKid(path)


@pytest.fixture(scope="module")
def pictures():
    return {f"{seed}": make_picture(3 * PATCH, 4 * PATCH, seed) for seed in range(3)}


def shown(pictures: dict[str, np.ndarray]):
    return {name: lambda picture=picture: picture for name, picture in pictures.items()}


def test_what_is_made_up_may_be_anywhere_but_has_to_look_like_the_set(metric, pictures) -> None:
    def smooth(x):
        return ((x.astype(int) + np.roll(x, 1, 0) + np.roll(x, 1, 1) + np.roll(x, (1, 1), (0, 1))) // 4).astype(np.uint8)

    names = list(pictures)
    sets = {
        "same": pictures,
        "others": {name: pictures[names[k - 1]] for k, name in enumerate(names)},
        "smooth": {name: smooth(picture) for name, picture in pictures.items()},
    }
    found = measure_sets([metric], shown(pictures), {key: shown(some) for key, some in sets.items()})
    same, others, smoothed = (found[key]["squeeze_kid"] for key in sets)
    assert same == pytest.approx(0, abs=1e-6)
    assert others < smoothed and smoothed > 0


def test_features_are_those_of_patches_and_their_products_at_most_1(metric, pictures) -> None:
    features = metric.features(pictures["0"])
    assert features.shape == (12 + 6, 2240)
    assert 0 < (features @ features.T / 2240).max() <= 1 + 1e-6
    assert metric.features(pictures["0"][: PATCH - 1]).shape == (0, 2240)


def test_fewer_than_two_patches_have_no_figure(metric, pictures) -> None:
    one = {"a": pictures["0"][:PATCH, :PATCH]}
    assert measure_sets([metric], shown(one), {1: shown(one)}) == {1: {"squeeze_kid": None}}


def test_what_cannot_be_had_has_a_reason_and_is_only_there_when_asked_for(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    assert find_sets(None) == find_sets(["psnr_rgb"]) == ([], {})
    found, reasons = find_sets(["squeeze_kid"])
    assert found == [] and str(tmp_path) in reasons["squeeze_kid"]
    found, reasons = find_sets(["all"])
    assert {name for m in found for name in m.conventions} | set(reasons) == set(SETS)
