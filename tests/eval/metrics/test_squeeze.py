"""The distance of SqueezeNet's features, with random weights: its promises hold for any."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from calotype.eval.metrics.squeeze import DATA_VARIABLE, WEIGHTS, SqueezeDistance
from calotype.models.perceptual import SqueezeNet


@pytest.fixture(scope="module")
def metric(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "squeezenet.safetensors"
    save_file({k: v.half().contiguous() for k, v in SqueezeNet().state_dict().items()}, path)
    return SqueezeDistance(path)


@pytest.fixture(scope="module")
def photo():
    y, x = np.mgrid[:48, :64]
    planes = (4 * x % 256, 5 * y % 256, (x * y) % 256)
    return np.stack(planes, -1).astype(np.uint8)


def test_a_picture_is_at_no_distance_from_itself_and_further_the_more_it_is_changed(metric, photo) -> None:
    noise = np.random.default_rng(0).normal(0, 1, photo.shape)
    far = [metric.of_frame(photo, np.clip(photo + s * noise, 0, 255).astype(np.uint8)) for s in (0, 8, 40)]
    assert far[0] == 0 and 0 < far[1] < far[2] <= 4


def test_the_distance_is_the_same_both_ways(metric, photo) -> None:
    other = photo[::-1]
    assert metric.of_frame(photo, other) == pytest.approx(metric.of_frame(other, photo), rel=1e-5)


def test_pictures_too_small_for_the_network_have_none(metric) -> None:
    assert metric.limit(16, 400) and metric.limit(17, 17) is None


def test_without_weights_it_says_where_they_are_looked_for(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    reason = SqueezeDistance().unavailable()
    assert reason is not None and str(WEIGHTS) in reason
    monkeypatch.delenv(DATA_VARIABLE)
    assert DATA_VARIABLE in SqueezeDistance().unavailable()
