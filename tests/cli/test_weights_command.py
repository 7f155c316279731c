"""`calotype weights` as people call it: files in and out, errors with their exit codes, never half a file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file


@pytest.fixture
def checkpoints(tmp_path: Path) -> tuple[Path, Path]:
    """(old, new): the new one a little away from the old one."""
    rng = np.random.default_rng(0)
    old = {"w": rng.laplace(0, 0.1, (60, 50)).astype(np.float32), "b": rng.normal(size=60).astype(np.float32)}
    new = {name: (a + 0.001 * rng.normal(size=a.shape)).astype(np.float32) for name, a in old.items()}
    save_file(old, tmp_path / "old.safetensors")
    save_file(new, tmp_path / "new.safetensors", {"epoch": "2"})
    return tmp_path / "old.safetensors", tmp_path / "new.safetensors"


def test_a_checkpoint_goes_through_processes_of_its_own(spawn, checkpoints, tmp_path) -> None:
    old, new = checkpoints
    calls = (
        ("pack", new, tmp_path / "p", "--exact", "--previous", old, "--json"),
        ("unpack", tmp_path / "p", tmp_path / "out", "--previous", old),
    )
    outs = []
    for call in calls:
        process = spawn("-m", "calotype", "weights", *call)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, b"")
        outs.append(out)
    assert json.loads(outs[0])["bytes"] == (tmp_path / "p").stat().st_size
    assert (tmp_path / "out").read_bytes() == new.read_bytes()
    process = spawn("-m", "calotype", "weights", "unpack", tmp_path / "p", tmp_path / "out2")
    assert b"--previous" in process.communicate(timeout=60)[1]
    assert process.returncode == 5 and not (tmp_path / "out2").exists()


def test_eight_bits_take_less_than_a_quarter_and_come_back_near(run, checkpoints, tmp_path) -> None:
    _, new = checkpoints
    assert run("weights", "pack", new, tmp_path / "p").code == 0
    assert (tmp_path / "p").stat().st_size < 0.25 * new.stat().st_size
    assert run("weights", "unpack", tmp_path / "p", tmp_path / "out").code == 0
    before, after = load_file(new), load_file(tmp_path / "out")
    step = np.abs(before["w"]).max() / 127
    assert np.abs(before["w"] - after["w"]).max() <= 2 * step and np.array_equal(before["b"], after["b"])
    shown = run("weights", "info", tmp_path / "p")
    assert shown.code == 0 and "w: F32 [60, 50], step" in shown.out and "b: F32 [60], exact" in shown.out
    record = json.loads(run("weights", "info", tmp_path / "p", "--json").out)
    assert record["metadata"] == {"epoch": "2"} and record["previous"] is None


def test_importance_from_a_file_says_steps(run, checkpoints, tmp_path) -> None:
    _, new = checkpoints
    costs = np.where(np.arange(60)[:, None] < 30, 1e4, 1.0).astype(np.float32) * np.ones((60, 50), np.float32)
    save_file({"w": costs}, tmp_path / "costs.safetensors")
    assert run("weights", "pack", new, tmp_path / "p", "--importance", tmp_path / "costs.safetensors").code == 0
    assert run("weights", "unpack", tmp_path / "p", tmp_path / "out").code == 0
    errors = np.abs(load_file(tmp_path / "out")["w"] - load_file(new)["w"]).mean(1)
    assert errors[:30].mean() < 0.1 * errors[30:].mean()
    assert "by row and column" in run("weights", "info", tmp_path / "p").out
    save_file({"other": costs}, tmp_path / "none.safetensors")
    shown = run("weights", "pack", new, tmp_path / "q", "--importance", tmp_path / "none.safetensors")
    assert shown.code == 0 and "names no tensor" in shown.err
    save_file({"w": np.ones((60, 50), np.int32)}, tmp_path / "whole.safetensors")
    for more in (("--importance", tmp_path / "whole.safetensors"), ("--exact", "--importance", tmp_path / "costs.safetensors")):
        assert run("weights", "pack", new, tmp_path / "r", *more).code == 2


def test_step_lmbda_and_prune_change_the_size(run, checkpoints, tmp_path) -> None:
    _, new = checkpoints
    sizes = []
    for more in (("--step", "0.004", "--lmbda", "0"), ("--step", "0.004", "--lmbda", "1"), ("--prune", "0.9")):
        assert run("weights", "pack", new, tmp_path / "p", *more).code == 0
        sizes.append((tmp_path / "p").stat().st_size)
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize(
    "options", [("--exact", "--bits", "8"), ("--exact", "--prune", "0.5"), ("--bits", "8", "--step", "1"), ("--bits", "40")]
)
def test_options_that_exclude_each_other_are_usage_errors(run, checkpoints, tmp_path, options) -> None:
    assert run("weights", "pack", checkpoints[1], tmp_path / "p", *options).code == 2
    assert not (tmp_path / "p").exists()


def test_damaged_and_foreign_files_are_exit_code_3_and_leave_no_output(run, checkpoints, tmp_path) -> None:
    _, new = checkpoints
    assert run("weights", "pack", new, tmp_path / "p").code == 0
    data = (tmp_path / "p").read_bytes()
    damaged = (data[:100], data[:-1] + bytes((data[-1] ^ 1,)), b"", new.read_bytes())
    for body in damaged:
        (tmp_path / "bad").write_bytes(body)
        for verb in (("unpack", tmp_path / "bad", tmp_path / "out"), ("info", tmp_path / "bad")):
            result = run("weights", *verb)
            assert result.code == 3 and result.err.startswith("calotype: error: ") and result.err.count("\n") == 1
    assert run("weights", "pack", tmp_path / "p", tmp_path / "out").code == 3
    assert not (tmp_path / "out").exists()


def test_missing_files_are_usage_errors_and_limits_are_exit_code_4(run, checkpoints, tmp_path) -> None:
    _, new = checkpoints
    assert run("weights", "pack", tmp_path / "none", tmp_path / "p").code == 2
    assert run("weights", "unpack", tmp_path / "none", tmp_path / "p").code == 2
    assert run("weights", "pack", new, tmp_path / "p", "--max-bytes", "1k").code == 4
    assert run("weights", "pack", new, tmp_path / "p").code == 0
    assert run("weights", "unpack", tmp_path / "p", tmp_path / "out", "--max-bytes", "1k").code == 4
