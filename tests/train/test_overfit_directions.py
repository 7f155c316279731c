"""Directions of overfitted pictures' nets: learnt from crops, resumable, and worth something."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from calotype.models.overfit.cellnet import COARSE
from calotype.models.overfit.modulation import moved
from calotype.models.overfit.net import SynthesisNet, Twin
from calotype.train import checkpoint, overfitcells, overfitmodulation


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patches of a quarter of the area."""
    monkeypatch.setattr(overfitmodulation, "PATCH", 48)
    monkeypatch.setattr(overfitmodulation, "BORDER", 6)


def net() -> SynthesisNet:
    torch.manual_seed(3)
    return SynthesisNet()


def crops() -> list[tuple[Tensor, Tensor]]:
    """Of noise that is weaker by a share of its own in each."""
    rng = np.random.default_rng(0)
    noise = [torch.from_numpy(rng.normal(0, 2, (3, 96, 96)).astype(np.float32)) for _ in range(6)]
    return [(x, x * (0.95 - 0.1 * k)) for k, x in enumerate(noise)]


@pytest.mark.parametrize("width", [None, *COARSE])
def test_a_batch_with_weights_of_its_own_is_filtered_as_the_twin_filters_one_by_one(width: int | None) -> None:
    twin = net()
    twin.coarse = Twin(COARSE[width]) if width else None
    planes = 3 * torch.randn(2, 3, 32, 48)
    weights = {name: torch.randn(2, *value.shape) * 0.2 for name, value in twin.named_parameters()}
    found = overfitcells.filtered(twin, planes, weights)
    for k in range(2):
        wanted = functional_call(twin, {name: value[k] for name, value in weights.items()}, (planes[k : k + 1],))[0]
        assert (found[k] - wanted).abs().max() < 1e-3 < (planes[k] - wanted).abs().max()


def test_directions_and_amounts_lower_the_error_and_are_the_nearest_integers(tmp_path: Path) -> None:
    said: list[str] = []
    model = overfitmodulation.learn(net(), crops(), 2, 120, 3e-3, tmp_path / "state.safetensors", said.append)
    amounts = model.amounts.detach()
    assert amounts.shape == (6, 2)
    assert amounts.mean(0).abs().max() < 1e-5 and (amounts.std(0) - 1).abs().max() < 1e-3
    with torch.no_grad():
        own = [model(x[None], a[None])[0] for (x, _), a in zip(crops(), amounts, strict=True)]
        common = [model(x[None], torch.zeros(1, 2))[0] for x, _ in crops()]
    before, alike, moves = (
        sum(float((y - made).square().mean()) for (_, y), made in zip(crops(), shown, strict=True))
        for shown in ([x for x, _ in crops()], common, own)
    )
    assert moves < 0.8 * alike < 0.8 * before
    arrays, directions = overfitmodulation.integers(model)
    quarters = torch.round(4 * amounts[5])
    with torch.no_grad():
        wanted = model(crops()[5][0][None], quarters[None] / 4)[0]
    twin = SynthesisNet().requires_grad_(False)
    twin.from_integers(moved(arrays, directions, quarters.int().tolist()))
    assert float((twin(crops()[5][0][None])[0] - wanted).abs().mean()) < 0.02


def test_directions_that_are_known_go_on_from_where_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overfitmodulation, "KEPT", 1)
    first = overfitmodulation.learn(net(), crops(), 2, 120, 3e-3, tmp_path / "first.safetensors", lambda line: None)
    arrays, known = overfitmodulation.integers(first)
    start, said = SynthesisNet(), []
    start.from_integers(arrays)
    how = start, crops(), 2, 1, 0.0, tmp_path / "more.safetensors", said.append
    overfitmodulation.learn(*how, known=known, held=crops())
    kept = overfitmodulation.Modulated(start, 2, 6)
    checkpoint.load(tmp_path / "more.safetensors", kept, {}, {})
    assert all((value - kept.directions[name]).abs().max() < 2**-13 for name, value in first.directions.items())
    assert overfitmodulation.left(kept, crops()) < 0.9 * overfitmodulation.left(
        overfitmodulation.Modulated(start, 2, 6), crops()
    )
    assert "of held-out crops -" in said[-1]


def test_a_run_that_was_stopped_goes_on_to_the_same_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overfitmodulation, "KEPT", 5)

    def stopped(line: str) -> None:
        if line.startswith("step 10"):
            raise KeyboardInterrupt

    how = net(), crops(), 2, 15, 1e-3
    whole = overfitmodulation.learn(*how, tmp_path / "whole.safetensors", lambda line: None)
    with pytest.raises(KeyboardInterrupt):
        overfitmodulation.learn(*how, tmp_path / "parts.safetensors", stopped)
    again = overfitmodulation.learn(*how, tmp_path / "parts.safetensors", lambda line: None)
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in whole.state_dict().items())


def test_a_crop_that_went_astray_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overfitmodulation, "ASTRAY", 0.0)  # all of them
    model = overfitmodulation.learn(net(), crops(), 2, 40, 1e-3, tmp_path / "state.safetensors", lambda line: None)
    assert (model.amounts == 0).all()
