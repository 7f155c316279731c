"""A run of a model of few indices: rates that see no future, resuming to the bit, and its model file."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from click.testing import CliRunner
from safetensors.torch import save_file

from calotype.cli.train_export import export
from calotype.cli.train_fsq import fsq
from calotype.codecs.registry import open_model
from calotype.errors import UsageError
from calotype.models.fsq.config import FsqConfig
from calotype.models.fsq.net import FsqNet, Indices, quantised
from calotype.models.perceptual import SqueezeNet
from calotype.train import exportfsq
from calotype.train.data import Seen
from calotype.train.fsq import SCALARS
from calotype.train.fsqrates import Rates
from calotype.train.loop import LOG, Run
from calotype.train.recipes import FsqRecipe

SIZES = {"coarse": 2, "fine": 2, "width": 12, "analysis": 8, "blocks": 1}
RECIPE = FsqRecipe(steps=4, batch=2, crop=64, late_crop=96, late_batch=2, late=0.5, warmup=1, seed=3, **SIZES)
CONFIG = RECIPE.config()


@pytest.fixture(scope="module")
def run(seen: Seen, tmp_path_factory) -> Run:
    """A run that took its four steps."""
    torch.set_num_threads(1)
    made = Run(tmp_path_factory.mktemp("runs") / "run", RECIPE, seen)
    made.train(log_every=1, validate_every=100)
    return made


def indices(seed: int, batch: int = 2) -> Indices:
    draw = torch.Generator().manual_seed(seed)
    shapes = ((batch, CONFIG.coarse, 3, 4), (batch, CONFIG.fine, 6, 8))
    return Indices(*(torch.randint(-2, 3, shape, generator=draw).float() for shape in shapes))


def test_steps_and_the_held_out_photos_are_logged(run: Run) -> None:
    records = [json.loads(line) for line in (run.folder / LOG).read_text().splitlines()]
    steps = [r for r in records if "loss" in r]
    assert len(steps) == 4 and set(SCALARS) <= steps[0].keys() and "eta_s" in steps[0]
    (validation,) = (r["validation"] for r in records if "validation" in r)
    assert [p["bpp"] for p in validation] == sorted(p["bpp"] for p in validation)
    assert all(p["distance"] > 0 and p["psnr"] > 3 for p in validation)


def test_indices_are_integers_within_their_levels_and_gradients_pass(seen: Seen) -> None:
    z = torch.linspace(-9, 9, 101, requires_grad=True)
    for top in (2, 3):
        found = quantised(z, top)
        torch.testing.assert_close(found.detach(), found.detach().round(), atol=1e-5, rtol=0)
        assert sorted(set(found.detach().round().tolist())) == list(range(-top, top + 1))
    found.sum().backward()
    assert bool((z.grad[40:61] > 0).all())


@pytest.mark.parametrize(("channel", "row", "column"), [(0, 0, 0), (0, 1, 2), (1, 0, 3), (1, 2, 1)])
def test_the_guess_of_an_index_sees_nothing_that_a_decoder_does_not_know(channel: int, row: int, column: int) -> None:
    torch.manual_seed(0)
    rates, made = Rates(CONFIG), indices(1)
    known = torch.zeros(2, CONFIG.coarse, 6, 8)
    for scale, values, given in ((rates.coarse, made.coarse, None), (rates.fine, made.fine, known)):
        other = values.clone()
        other[:, channel, row, column] += 1
        changed = (scale(values, given) != scale(other, given)).any(0)
        assert not changed[:channel].any() and changed[channel, row, column]
        before = torch.zeros_like(changed[channel])
        before.view(-1)[: row * before.shape[1] + column] = True
        assert not (changed[channel] & before).any()


def test_channels_that_are_not_coded_cost_nothing_and_change_nothing() -> None:
    torch.manual_seed(0)
    net, rates, made = FsqNet(CONFIG), Rates(CONFIG), indices(2)
    other = Indices(made.coarse, made.fine.clone())
    other.fine[:, 1:] += 1
    three, all_ = torch.tensor([3, 3]), torch.tensor([4, 4])
    with torch.no_grad():
        assert torch.equal(net.decode(made, three), net.decode(other, three))
        assert not torch.equal(net.decode(made, all_), net.decode(other, all_))
        assert torch.equal(rates(made, three), rates(other, three)) and bool((rates(made, all_) > rates(made, three)).all())


def test_the_price_of_bits_rises_over_the_ramp_and_reaches_the_encoder(seen: Seen, tmp_path: Path) -> None:
    fresh = Run(tmp_path / "run", dataclasses.replace(RECIPE, error=0.0, perceptual=0.0), seen)
    found = []
    for progress in (0.0, 0.05, 0.4):
        for p in fresh.model.parameters():
            p.grad = None
        fresh.task.loss(fresh.model, 0, progress)[0].backward()
        found.append(float(fresh.model.net.encoder.enter.weight.grad.abs().sum()))
    assert found[0] == 0 < found[1] < found[2]


def test_a_bit_is_worth_less_the_more_channels_are_coded(run: Run) -> None:
    prices = run.task.price(torch.arange(2, CONFIG.channels + 1))
    assert float(prices[0]) == pytest.approx(RECIPE.rate) and float(prices[-1]) == pytest.approx(RECIPE.rate_top)
    assert bool((prices.diff() < 0).all())


def test_colours_weigh_more_than_as_much_brightness(seen: Seen, tmp_path: Path) -> None:
    fresh = Run(tmp_path / "run", dataclasses.replace(RECIPE, perceptual=0.0, rate=0.0, rate_top=0.0), seen)
    x = seen.photos.batch(RECIPE.seed, 0, 2, 64)[0]
    losses = []
    for change in ([0.1, 0.1, 0.1], [0.1, -0.2, 0.1]):

        def forward(x: torch.Tensor, count: torch.Tensor, change: list[float] = change) -> tuple[torch.Tensor, torch.Tensor]:
            return x + torch.tensor(change)[:, None, None], torch.zeros(len(x))

        forward.amp = False
        losses.append(float(fresh.task.loss(forward, 0, 0.0)[0]))
    assert len(x) == 2 and losses[0] == pytest.approx(100 * 0.01, rel=1e-3)
    assert losses[1] == pytest.approx(100 * 0.02 * (1 + RECIPE.colour), rel=1e-3)


def test_an_interrupted_run_ends_with_the_same_bits(run: Run, seen: Seen, tmp_path: Path) -> None:
    for until in (1, 3, None):
        Run(tmp_path / "run", RECIPE, seen).train(until, log_every=1, validate_every=100)
    assert tiny.same(tmp_path / "run", run.folder)


def test_a_run_is_exported_coded_with_and_started_from(run: Run, seen: Seen, tmp_path: Path) -> None:
    exportfsq.export_run(run.folder, out := tmp_path / "net-x.1.safetensors", seen.photos, {"data": "noise"})
    codec = open_model(out)
    assert codec.bundle.config == CONFIG
    stored = codec.bundle.encoder.state_dict()
    for name, value in stored.items():
        torch.testing.assert_close(value, run.ema[f"{exportfsq.ENCODER}{name}"], atol=1e-3, rtol=1e-3)
    for number, layer in enumerate(codec.bundle.layers):
        weights = run.ema[f"{exportfsq.DECODER}weights.{number}"].numpy()
        assert np.abs(layer.weights * 2.0**-layer.fraction - weights).max() <= np.abs(weights).max() / 500
    pixels = np.full((40, 40, 3), 90, np.uint8)
    assert codec.encode(pixels, 50, reconstruct=True).reconstruction.shape == pixels.shape
    again = Run(tmp_path / "again", RECIPE, seen, init=run.folder)
    assert torch.equal(again.model.net.encoder.enter.weight, run.ema["net.encoder.enter.weight"])


@pytest.mark.parametrize("changes", [{"rate": -1.0}, {"error": float("nan")}, {"coarse": 1}, {"blocks": 20}, {"judged": 0.0}])
def test_recipes_that_cannot_be_are_usage_errors(changes: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        dataclasses.replace(RECIPE, **changes)


def test_the_command_trains_goes_on_and_is_exported(tmp_path: Path) -> None:
    photos = tiny.write_photos(tmp_path / "photos")
    torch.manual_seed(0)
    save_file(SqueezeNet().state_dict(), features := tmp_path / "features.safetensors")
    sizes = SIZES | {"batch": 2, "late-batch": 2, "crop": 64}
    common = ["--data", photos, "--features", features, "--out", tmp_path / "run", "--threads", "1", "--late-crop", "96"]
    common += [word for name, value in sizes.items() for word in (f"--{name}", value)]
    for until in (1, 2):
        done = CliRunner().invoke(fsq, [str(a) for a in (*common, "--steps", 2, "--until", until)])
        assert done.exit_code == 0, done.output
    assert "distance" in done.output and "steps/s" in done.output and "left" in done.output
    out = tmp_path / "net-x.1.safetensors"
    done = CliRunner().invoke(export, [str(a) for a in (tmp_path / "run", out, "--data", photos)])
    assert done.exit_code == 0 and open_model(out).bundle.config == FsqConfig(2, 2, 12, 8, 1), done.output
