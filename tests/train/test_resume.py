"""A run goes on where it stopped, to the bit, however it stopped. CALOTYPE_KILLS: how often it is killed (default 2)."""

from __future__ import annotations

import json
import os
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

from calotype.errors import ModelError
from calotype.train import checkpoint
from calotype.train.loop import CHECKPOINT, LOG

KILLS = int(os.environ.get("CALOTYPE_KILLS", "2"))
PATIENCE = 300.0  # seconds until a process that says nothing is given up


def finish(process) -> None:
    process.start()
    process.join(PATIENCE)
    assert process.exitcode == 0


def test_stopping_and_resuming_in_another_process_changes_no_bit(begin, uninterrupted, photos, processes) -> None:
    folder = begin("stopped")
    tiny.train(folder, photos, until=3)
    assert checkpoint.load_meta(folder / CHECKPOINT)["step"] == 3
    assert not tiny.same(folder, uninterrupted)
    finish(processes.Process(target=tiny.train, args=(folder, photos)))
    assert tiny.same(folder, uninterrupted)
    losses = [
        [r["loss"] for r in map(json.loads, (f / LOG).read_text().splitlines()) if "loss" in r] for f in (folder, uninterrupted)
    ]
    assert losses[0] == losses[1] and len(losses[0]) == tiny.RECIPE.steps


def test_random_numbers_drawn_between_two_runs_do_not_matter(begin, uninterrupted, photos) -> None:
    folder = begin("disturbed")
    for until in (2, 5, 6):
        torch.rand(until)
        np.random.rand(until)
        tiny.train(folder, photos, until=until)
    assert tiny.same(folder, uninterrupted)


def test_a_run_killed_anywhere_loads_and_resumes_to_the_same_bits(begin, uninterrupted, photos, processes) -> None:
    folder, rng = begin("killed"), np.random.default_rng(0)
    sizes = set()
    for kill in range(KILLS):
        events = processes.Queue()
        process = processes.Process(target=tiny.train_aloud, args=(folder, photos, events))
        process.start()
        wanted = ("save", "step")[kill % 2]
        while process.is_alive() and events.get(timeout=PATIENCE) != wanted:
            pass
        time.sleep(float(rng.uniform(0, 0.03)))  # anywhere in the writing, the fsync, the renaming or the step
        process.kill()
        process.join(PATIENCE)
        step = checkpoint.load_meta(folder / CHECKPOINT)["step"]
        assert 0 <= step <= tiny.RECIPE.steps
        sizes.add(len(tiny.tensors(folder)))
        if step == tiny.RECIPE.steps:  # it was done before the kill: once more from the start
            folder = begin(f"killed{kill}")
    finish(processes.Process(target=tiny.train, args=(folder, photos)))
    assert tiny.same(folder, uninterrupted)
    assert not list(folder.glob(".*")), "a killed process left something behind"
    assert len(sizes) <= 2  # before the first step there is no optimiser state


def test_a_damaged_or_foreign_checkpoint_is_a_model_error(begin, tmp_path: Path) -> None:
    whole = (begin("whole") / CHECKPOINT).read_bytes()
    path = tmp_path / "a.safetensors"
    for data in (b"", whole[:7], whole[:100], whole[: len(whole) // 2], b"\x80\x04pickle", bytes(4096), b"\xff" * 64):
        path.write_bytes(data)
        with pytest.raises(ModelError):
            checkpoint.load_meta(path)
    with pytest.raises(ModelError):
        checkpoint.load_meta(tmp_path / "missing")


def test_a_step_with_a_gradient_that_is_no_number_is_skipped(begin, photos) -> None:
    run = tiny.make_run(begin("nan"), photos)
    before = {k: v.clone() for k, v in run.model.state_dict().items()}
    handle = run.model.register_full_backward_pre_hook(lambda module, grads: tuple(g * float("nan") for g in grads))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch says that the hook fires late, which is what is wanted
        run.train(until=1)
    handle.remove()
    assert run.skipped == 1 and run.step == 1
    assert all(torch.equal(v, before[k]) for k, v in run.model.state_dict().items())
    run.train(until=2)
    assert run.skipped == 1 and not torch.equal(run.model.state_dict()["log_gain"], before["log_gain"])
