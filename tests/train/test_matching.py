"""Matching of distributions: towards the teacher's spread, each net by its own loss, resumed to the bit."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import tiny
import torch
from torch import Tensor, nn

from calotype.errors import UsageError
from calotype.models.generative.net import SPREAD, Setting
from calotype.train import exportgenerative
from calotype.train.generative import Seen
from calotype.train.loop import Run
from calotype.train.matching import matching
from calotype.train.recipes import GenerativeRecipe

RECIPE = GenerativeRecipe(
    steps=4, batch=2, late=0.0, flow=1.0, warmup=1, seed=3, width=8, fine=8, blocks=1, fine_blocks=1, lr=1e-3
)
MATCHING = {"flow": 0.0, "annealed": 0.0, "adversarial": 0.0, "matching": 10.0}


class Normal(nn.Module):
    """The best denoiser of residuals that are all normal with one deviation, which may learn."""

    def __init__(self, deviation: float):
        super().__init__()
        self.deviation = nn.Parameter(torch.tensor(deviation))

    def forward(self, given: Tensor, state: Tensor, setting: Setting) -> Tensor:
        left = 1 - setting.time[:, None, None, None]
        variance = self.deviation**2
        return given + SPREAD * state * left * variance / (left**2 * variance + (1 - left) ** 2)


@pytest.fixture(scope="module")
def flow(seen: Seen, tmp_path_factory) -> Run:
    torch.set_num_threads(1)
    made = Run(tmp_path_factory.mktemp("runs") / "flow", RECIPE, seen)
    made.train(log_every=1, validate_every=100)
    return made


def matched(flow: Run, seen: Seen, folder: Path, init: Path | None = None, **changes: object) -> Run:
    recipe = dataclasses.replace(RECIPE, **MATCHING | {"teacher": str(flow.folder)} | changes)
    return Run(folder, recipe, seen, init=init or flow.folder)


@pytest.mark.parametrize("start", [0.2, 2.5])
def test_what_is_made_takes_the_spread_that_the_teacher_knows(start: float) -> None:
    torch.manual_seed(0)
    teacher, fake, made_of = Normal(1.0), Normal(start), nn.Parameter(torch.tensor(start))
    optimiser = torch.optim.Adam([{"params": [made_of], "lr": 0.02}, {"params": fake.parameters(), "lr": 0.05}])
    given = torch.full((16, 3, 8, 8), 0.5)
    for _ in range(300):
        made = given + SPREAD * made_of * torch.randn_like(given)
        own, learnt = matching(teacher, fake, given, Setting.of(16, 1, 0, 1.0), made)
        optimiser.zero_grad()
        (own.mean() + 100 * learnt.mean() / SPREAD).backward()
        optimiser.step()
    assert teacher.deviation.grad is None
    assert made_of.item() == pytest.approx(1.0, abs=0.15)
    assert fake.deviation.item() == pytest.approx(made_of.item(), abs=0.15)


def test_each_loss_reaches_its_own_side_alone_and_where_both_nets_agree_nothing_moves() -> None:
    given = torch.full((2, 3, 8, 8), 0.5)
    made = (given + SPREAD * torch.randn_like(given)).requires_grad_()
    for deviation, moves in ((1.0, False), (0.5, True)):
        fake = Normal(deviation)
        own, learnt = matching(Normal(1.0), fake, given, Setting.of(2, 1, 0, 1.0), made)
        (pulled,) = torch.autograd.grad(own.sum(), made, retain_graph=True)
        assert bool(pulled.abs().max() > 1e-6) == moves
        assert torch.autograd.grad(own.sum(), fake.deviation, retain_graph=True, allow_unused=True) == (None,)
        assert torch.autograd.grad(learnt.sum(), made, retain_graph=True, allow_unused=True) == (None,)
        assert float(torch.autograd.grad(learnt.sum(), fake.deviation)[0].abs()) > 0


def test_the_net_learns_by_it_and_the_fake_one_starts_as_the_teacher(flow: Run, seen: Seen, tmp_path: Path) -> None:
    alone = {"error": 0.0, "error_real": 0.0, "perceptual": 0.0}
    run = matched(flow, seen, tmp_path / "run", **alone)
    assert all(map(torch.equal, run.model.fake.state_dict().values(), run.task.teacher.state_dict().values()))
    before = [p.clone() for p in run.task.teacher.parameters()]
    with torch.no_grad():  # at the start both nets say the same, so that there is nothing to learn
        run.model.fake.last.weight.add_(0.05)
    run.task.loss(run.model, 0, 0.9)[0].backward()
    assert sum(float(p.grad.abs().sum()) for p in run.model.net.parameters() if p.grad is not None) > 1e-6
    assert all(p.grad is None for p in run.model.critic.parameters())
    run.task.recipe = dataclasses.replace(run.recipe, error=100.0)
    run.model.zero_grad()
    run.task.loss(run.model, 0, 0.9)[0].backward()
    assert sum(float(p.grad.abs().sum()) for p in run.model.fake.parameters() if p.grad is not None) > 1e-6
    assert all(map(torch.equal, before, run.task.teacher.parameters()))


def test_a_matched_run_is_resumed_to_the_bit_exported_and_started_from(flow: Run, seen: Seen, tmp_path: Path) -> None:
    whole = matched(flow, seen, tmp_path / "whole")
    whole.train(log_every=1, validate_every=100)
    for until in (1, 3, None):
        matched(flow, seen, tmp_path / "parts").train(until, log_every=1, validate_every=100)
    assert tiny.same(tmp_path / "parts", whole.folder)
    assert not torch.equal(whole.ema["fake.last.weight"], whole.ema["net.last.weight"])
    exportgenerative.export_run(whole.folder, tmp_path / "net-x.1.safetensors", {"data": "noise"})
    plain = Run(tmp_path / "plain", RECIPE, seen, init=whole.folder)
    assert not any(name.startswith("fake.") for name in plain.model.state_dict())
    again = matched(flow, seen, tmp_path / "again", init=whole.folder)
    torch.testing.assert_close(again.model.net.state_dict(), plain.model.net.state_dict())
    torch.testing.assert_close(again.model.fake.state_dict(), whole.task.teacher.state_dict())


def test_a_teacher_of_other_sizes_or_none_is_a_usage_error(flow: Run, seen: Seen, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="teacher"):
        dataclasses.replace(RECIPE, matching=1.0)
    with pytest.raises(UsageError, match="matching is -1"):
        dataclasses.replace(RECIPE, matching=-1.0, teacher="x")
    with pytest.raises(UsageError, match="sizes"):
        matched(flow, seen, tmp_path / "run", width=16)
