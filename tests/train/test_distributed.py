"""Two processes train one model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import tiny
import torch
import two_processes
from safetensors import safe_open
from safetensors.torch import load_file

from calotype.train.loop import CHECKPOINT, LOG

PATIENCE = 600.0  # seconds


@pytest.fixture(scope="module")
def folder(at_zero: Path, photos: Path, processes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes left behind."""
    folder = tmp_path_factory.mktemp("two")
    for name in ("both", "bad", "timed"):
        shutil.copytree(at_zero, folder / name)
    both = [processes.Process(target=two_processes.main, args=(rank, folder, photos), daemon=True) for rank in (0, 1)]
    for process in both:
        process.start()
    for process in both:
        process.join(PATIENCE)
    assert [process.exitcode for process in both] == [0, 0]
    return folder


def ends(run: Path) -> list[tuple[int, int]]:
    """(step, skipped) of each process."""
    found = []
    for rank in (0, 1):
        with safe_open(run / f"rank{rank}.safetensors", "pt") as f:
            found.append((int(f.metadata()["step"]), int(f.metadata()["skipped"])))
    return found


def losses(run: Path) -> list[float]:
    records = map(json.loads, (run / LOG).read_text().splitlines())
    return [record["loss"] for record in records if "loss" in record]


def test_two_processes_end_with_the_same_weights(folder: Path, at_zero: Path) -> None:
    for name in ("both", "bad", "timed"):
        ranks = [load_file(folder / name / f"rank{r}.safetensors") for r in (0, 1)]
        saved, start = load_file(folder / name / CHECKPOINT), load_file(at_zero / CHECKPOINT)
        for key, value in ranks[0].items():
            assert torch.equal(value, ranks[1][key]), key
            assert torch.equal(value, saved[key]), key
        assert any(not torch.equal(v, start[k]) for k, v in ranks[0].items())


def test_two_processes_have_the_loss_curve_of_one_at_the_same_batch(folder: Path, begin, photos: Path) -> None:
    """All but the noise is the same: it is each process's own, and moves these tiny steps by less than 3 %."""
    alone = begin("alone")
    tiny.train(alone, photos, until=two_processes.STEPS)
    assert len(losses(alone)) == two_processes.STEPS
    assert losses(folder / "both") == pytest.approx(losses(alone), rel=0.03)


def test_a_bad_gradient_in_one_process_is_skipped_by_both(folder: Path) -> None:
    assert ends(folder / "bad") == [(3, 1), (3, 1)]
    assert len(losses(folder / "bad")) == 2


def test_one_clock_ends_a_budget_of_minutes_for_both(folder: Path) -> None:
    assert ends(folder / "timed") == [(5, 0), (5, 0)]


def test_a_batch_that_processes_cannot_share_is_refused_by_both(folder: Path) -> None:
    assert all("2 processes" in json.loads((folder / f"refused{rank}.json").read_text()) for rank in (0, 1))
