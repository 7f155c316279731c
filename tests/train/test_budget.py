"""A budget of minutes: the schedule follows the training clock, which goes on where a checkpoint has it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny

from calotype.errors import UsageError
from calotype.train import checkpoint
from calotype.train.loop import CHECKPOINT, LOG, Run

STEPS = 6  # at a second a step, of a budget of six seconds
TIMED = {"minutes": STEPS / 60, "steps": 999}


@pytest.fixture
def timed(begin: Callable[[str], Path], tmp_path: Path, photos: Path) -> Callable[..., Run]:
    """timed(name): the run of that name, resumed or new, with a clock that moves by a second a step."""

    def make(name: str, **changes: object) -> Run:
        folder = tmp_path / name
        run = tiny.make_run(folder if folder.exists() else begin(name), photos, **TIMED | changes)
        run.clock = lambda: float(run.step)
        if run.step == 0:
            run.seconds = 0.0
        return run

    return make


def records(run: Run) -> list[dict]:
    return [json.loads(line) for line in (run.folder / LOG).read_text().splitlines()]


def test_a_run_of_minutes_ends_with_them_its_rate_at_zero_and_its_late_part_in_place(timed) -> None:
    run, crops = timed("whole"), []
    batch = run.task.photos.batch
    run.task.photos.batch = lambda seed, step, size, crop: crops.append(crop) or batch(seed, step, size, crop)
    run.train(log_every=1)
    assert run.finished and run.step == STEPS and run.seconds == STEPS
    assert crops == [64] * 5 + [96]  # late: the last fifth
    steps = [r for r in records(run) if "lr" in r]
    warm = [0.5, 1.0, 1.0, 1.0, 1.0, 1.0]
    assert [r["lr"] for r in steps] == pytest.approx([2e-3 * w * (1 - s / STEPS) for s, w in enumerate(warm)])
    assert [r["eta_s"] for r in steps] == [5, 4, 3, 2, 1, 0]
    assert [r["step"] for r in records(run) if "validation" in r] == [STEPS]
    run.train()
    assert run.step == STEPS


def test_a_resumed_run_spends_the_rest_of_its_minutes_and_ends_with_the_same_bits(timed) -> None:
    timed("whole").train()
    part = timed("parts")
    part.train(seconds=2.0)
    assert part.step == 2 and not part.finished and not any("validation" in r for r in records(part))
    again = timed("parts")
    assert again.seconds == 2.0
    again.train(until=3)
    again = timed("parts")
    again.train()
    assert again.finished and again.seconds == STEPS
    assert tiny.same(part.folder, timed("whole").folder)


def test_only_the_budget_may_change_on_resume(timed) -> None:
    timed("more").train(until=2)
    longer = timed("more", minutes=2 * TIMED["minutes"])
    longer.train()
    assert longer.step == 2 * STEPS
    counted = timed("more", minutes=0.0, steps=14)
    counted.train()
    assert counted.step == 14 and checkpoint.load_meta(counted.folder / CHECKPOINT)["recipe"]["steps"] == 14
    with pytest.raises(UsageError, match="lr"):
        timed("more", lr=1e-4)


def test_steps_left_are_told_by_the_pace_of_a_budget_of_steps(timed) -> None:
    run = timed("steps", minutes=0.0, steps=STEPS)
    run.train(until=4, log_every=2)
    assert [r["eta_s"] for r in records(run) if "lr" in r] == [2, 0]
    run.train(log_every=1)
    assert [r["eta_s"] for r in records(run) if "lr" in r][2:] == [1, 0]


@pytest.mark.parametrize("choice", [{"optimiser": "adamw"}, {"start": "random"}, {"schedule": "cosine"}, {"prior": "hyper"}])
def test_every_choice_trains_and_resumes_to_the_same_bits(choice: dict, photos: Path, tmp_path: Path) -> None:
    whole = tiny.make_run(tmp_path / "whole", photos, **choice)
    whole.train(until=1, log_every=1, validate_every=100)
    shutil.copytree(whole.folder, tmp_path / "parts")
    for run in (whole, tiny.make_run(tmp_path / "parts", photos, **choice)):
        run.train(until=3, log_every=1, validate_every=100)
    assert tiny.same(tmp_path / "whole", tmp_path / "parts")
    losses = [json.loads(line)["loss"] for line in (tmp_path / "whole" / LOG).read_text().splitlines() if "loss" in line]
    assert len(losses) == 3 and all(0 < loss < 100 for loss in losses)
