from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from metric_sources import make_picture, noisy

from calotype.errors import UsageError
from calotype.eval.metrics.fid import Inception, frechet, in_batches, inception, kernel, patches, unavailable


def features(pictures: np.ndarray) -> np.ndarray:
    """Six figures of each patch."""
    return np.concatenate([pictures.mean((1, 2)), pictures.std((1, 2))], axis=1)


def test_patches_are_two_grids_half_a_patch_apart():
    picture = np.arange(7 * 9)[:, None].repeat(3, 1).reshape(7, 9, 3)
    corners = [divmod(int(patch[0, 0, 0]), 9) for patch in patches(picture, 4)]
    assert corners == [(0, 0), (0, 4), (2, 2)]
    assert all(patch.shape == (4, 4, 3) for patch in patches(picture, 4))


def test_frechet_distance_of_known_gaussians():
    rng = np.random.default_rng(0)
    one = rng.normal(size=(400, 3))
    one = (one - one.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(one, rowvar=False))).T  # mean 0, covariance I
    assert frechet(one, one) == pytest.approx(0, abs=1e-9)
    assert frechet(one, one + [3, 0, 4]) == pytest.approx(25)
    assert frechet(one, one * 3) == pytest.approx(3 * (3 - 1) ** 2)


def test_fid_agrees_with_torchmetrics(peer):
    image = peer("torchmetrics.image.fid")
    rng = np.random.default_rng(1)
    one, two = rng.normal(size=(50, 8)), rng.normal(0.3, 1.4, (60, 8))
    moments = [(torch.from_numpy(x.mean(0)), torch.from_numpy(np.cov(x, rowvar=False))) for x in (one, two)]
    assert frechet(one, two) == pytest.approx(float(image._compute_fid(*moments[0], *moments[1])), rel=1e-9)


def test_kid_agrees_with_torchmetrics(peer):
    image = peer("torchmetrics.image.kid")
    rng = np.random.default_rng(2)
    one, two = rng.normal(size=(30, 8)), rng.normal(0.3, 1, (30, 8))
    theirs = image.poly_mmd(torch.from_numpy(one), torch.from_numpy(two))
    assert kernel(one, two) == pytest.approx(float(theirs), rel=1e-9)


def test_pairs_left_out_a_set_and_itself_are_at_no_distance_and_new_samples_about_as_near():
    rng = np.random.default_rng(4)
    one, two = rng.normal(size=(60, 8)), rng.normal(size=(60, 8))
    assert kernel(one, one, paired=True) == pytest.approx(0, abs=1e-9)
    assert kernel(one, one) < -0.01  # each beside itself counts as likeness
    pairs = [[(a @ b / 8 + 1) ** 3 for b in two] for a in one]
    left_out = (np.sum(pairs) - np.trace(pairs)) / (60 * 59) - np.mean(pairs)
    assert kernel(one, two, paired=True) == pytest.approx(kernel(one, two) - 2 * left_out)


def test_equal_pictures_have_a_distance_of_0_and_noise_adds_to_it():
    pictures = [make_picture(48, 64, seed) for seed in range(3)]

    def fid(decoded: list[np.ndarray]) -> float:
        sides = [[f for picture in some for f in in_batches(patches(picture, 16), features)] for some in (pictures, decoded)]
        return Inception().figures(*map(np.array, sides))["fid"]

    little, much = (fid([noisy(x, s, 1) for x in pictures]) for s in (5, 30))
    assert fid(pictures) == pytest.approx(0, abs=1e-3)
    assert fid(pictures) < little < much


def test_too_few_patches_have_no_figure():
    one = np.zeros((1, 6))
    assert Inception().figures(one, one) == {"fid": None, "kid": None}


def test_without_its_backbone_it_is_not_available(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert unavailable()
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    assert "torch-fidelity cannot be imported" in unavailable()
    with pytest.raises(UsageError, match="no FID: torch-fidelity"):
        inception()
