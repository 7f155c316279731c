from __future__ import annotations

import hashlib
import socket
import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from metric_sources import make_picture, noisy

from calotype.eval.metrics import METRICS, find, learned

NAMES = {"lpips_alex": ("lpips", learned.ALEXNET), "dists": ("DISTS_pytorch", learned.VGG16)}


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("there was a try to reach the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.parametrize("name", NAMES)
def test_without_weights_it_is_not_available_and_no_network_is_tried(name, tmp_path, monkeypatch, no_network):
    package, weights = NAMES[name]
    monkeypatch.setitem(sys.modules, package, ModuleType(package))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    found, reasons = find([name], "picture")
    assert not found
    assert weights in reasons[name] and str(tmp_path) in reasons[name] and "TORCH_HOME" in reasons[name]


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_taken_from_torch_hubs_cache_if_they_are_whole(name, tmp_path, monkeypatch, no_network):
    package, weights = NAMES[name]
    monkeypatch.setitem(sys.modules, package, ModuleType(package))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = tmp_path / "hub" / "checkpoints" / weights
    path.parent.mkdir(parents=True)
    path.write_bytes(b"a download that stopped")
    assert "damaged" in METRICS[name].unavailable()
    whole = path.with_name(f"whole-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}.pth")
    path.rename(whole)
    monkeypatch.setattr(METRICS[name], "weights", whole.name)
    assert METRICS[name].unavailable() is None


@pytest.mark.parametrize("error", [ImportError("no module"), RuntimeError("operator torchvision::nms does not exist")])
@pytest.mark.parametrize("name", NAMES)
def test_a_package_that_cannot_be_imported_is_told(name, error, monkeypatch):
    def fail(_: str) -> None:
        raise error

    monkeypatch.setattr(learned.importlib, "import_module", fail)
    found, reasons = find([name, "psnr_rgb"], "picture")
    assert [metric.name for metric in found] == ["psnr_rgb"]
    assert str(error) in reasons[name]


@pytest.mark.parametrize("name", NAMES)
def test_it_is_the_packages_network_on_the_right_scale(name, peer, monkeypatch, no_network):
    """With a backbone of random weights: 0 for an equal picture, more for more noise, as the package itself gives."""
    package, models = peer(NAMES[name][0]), peer("torchvision").models
    torch.manual_seed(0)
    features = {"alexnet": models.alexnet().features, "vgg16": models.vgg.make_layers(models.vgg.cfgs["D"])}
    for backbone, layers in features.items():
        monkeypatch.setattr(models, backbone, lambda pretrained, layers=layers: SimpleNamespace(features=layers))
    metric = type(METRICS[name])()
    a = make_picture(48, 64)
    little, much = (metric.measure([a], [noisy(a, sigma, 1)])[name] for sigma in (3, 30))
    assert metric.measure([a], [a.copy()])[name] == pytest.approx(0, abs=1e-6)
    assert 0 < little < much
    x, y = (torch.from_numpy(picture).permute(2, 0, 1)[None] / 255 for picture in (a, noisy(a, 30, 1)))
    with torch.no_grad():
        if name == "lpips_alex":
            theirs = package.LPIPS(net="alex", verbose=False)(2 * x - 1, 2 * y - 1)
        else:
            theirs = package.DISTS()(x, y)
    assert much == pytest.approx(float(theirs), rel=1e-4)
