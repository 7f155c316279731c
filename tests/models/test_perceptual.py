"""The distance on SqueezeNet's features: zero for equal pictures, larger for worse ones; its file is checked."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from calotype.errors import ModelError
from calotype.models.perceptual import SIDE_MIN, TAP_WIDTHS, SqueezeNet, distance


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random ones, in half precision, with a classifier beside them."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "squeezenet.safetensors"
    tensors = {k: v.half().contiguous() for k, v in SqueezeNet().state_dict().items()}
    save_file(tensors | {"classifier.1.bias": torch.zeros(1000)}, path)
    return path


def test_equal_pictures_have_no_distance_and_worse_ones_more(weights: Path) -> None:
    net, x = SqueezeNet.read(weights), torch.rand(2, 3, 64, 72)
    noise = torch.randn_like(x)
    far = [distance(net(x), net((x + s * noise).clamp(0, 1))) for s in (0, 0.05, 0.1, 0.3)]
    assert far[0].eq(0).all() and far[0].shape == (2,)
    assert all((a < b).all() for a, b in zip(far, far[1:], strict=False)) and (far[-1] < 4).all()


def test_taps_are_of_unit_length_at_every_place_and_of_torchvisions_widths(weights: Path) -> None:
    taps = SqueezeNet.read(weights)(torch.rand(1, 3, 65, 80))
    assert tuple(t.shape[1] for t in taps) == TAP_WIDTHS
    assert [t.shape[2:] for t in taps][0] == (32, 39)
    for tap in taps:
        length = tap.norm(dim=1)
        assert torch.allclose(length[length > 0], torch.ones(()), atol=1e-4)


def test_the_smallest_picture_has_a_distance(weights: Path) -> None:
    net, x = SqueezeNet.read(weights), torch.rand(1, 3, SIDE_MIN, SIDE_MIN)
    assert distance(net(x), net(1 - x)).isfinite().all()


def test_the_gradient_reaches_pixels_and_never_the_weights(weights: Path) -> None:
    net, x = SqueezeNet.read(weights), torch.rand(1, 3, 40, 40, requires_grad=True)
    distance(net(x), net(torch.rand(1, 3, 40, 40))).sum().backward()
    assert x.grad.abs().sum() > 0 and not any(p.requires_grad for p in net.parameters())


def test_a_file_that_holds_other_things_is_a_model_error(weights: Path, tmp_path: Path) -> None:
    tensors = load_file(weights)
    del tensors["features.9.squeeze.bias"]
    save_file(tensors, less := tmp_path / "less.safetensors")
    (broken := tmp_path / "broken.safetensors").write_bytes(weights.read_bytes()[:1000])
    for path in (less, broken, tmp_path / "none.safetensors"):
        with pytest.raises(ModelError):
            SqueezeNet.read(path)
