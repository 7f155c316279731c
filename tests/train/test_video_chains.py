"""Chains that inter-frame models train on, and what their loss weighs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from calotype.errors import UsageError
from calotype.models.video import CHROMA_WEIGHT, LUMA, Prediction
from calotype.models.videoconfig import CELLS
from calotype.train import video
from calotype.train.clips import Clips
from calotype.train.loop import CHECKPOINT, Run
from calotype.train.recipes import VideoRecipe
from calotype.train.video import B_FRAMES, LEVEL, P_FRAMES, VideoTask, chain_of, distortion


@pytest.mark.parametrize("frames", [1, 5, 8, 24, 31])
@pytest.mark.parametrize("structure", [P_FRAMES, *B_FRAMES])
def test_every_frame_of_a_chain_is_coded_once_and_after_its_references(structure: str, frames: int) -> None:
    coded = {0}
    for number, references, _ in chain_of(structure, frames):
        assert number not in coded and references and set(references) <= coded
        coded.add(number)
    assert coded == set(range(frames + 1))


def test_no_frame_of_a_p_chain_knows_a_later_one_and_some_of_b_chains_do() -> None:
    later = {s: any(max(r) > n for n, r, _ in chain_of(s, 16)) for s in (P_FRAMES, *B_FRAMES)}
    assert later == {P_FRAMES: False} | dict.fromkeys(B_FRAMES, True)


def test_a_spread_multiplies_what_lies_between_the_qualities_of_a_chain() -> None:
    plain, wide = (sorted({above for *_, above in chain_of(P_FRAMES, 8, spread)}) for spread in (1, 3))
    assert plain[-1] == wide[-1] and wide[-1] - wide[0] == 3 * (plain[-1] - plain[0]) > 0


def test_an_error_of_a_chroma_sample_weighs_as_the_transforms_scale_says() -> None:
    x = torch.zeros(1, CELLS, 4, 6)
    luma, chroma = x.clone(), x.clone()
    luma[0, 3, 1, 2] = chroma[0, LUMA + 5, 1, 2] = 1 / LEVEL
    assert distortion(luma, x).item() == pytest.approx(0.75 / (LUMA * 24))
    assert (distortion(chroma, x) / distortion(luma, x)).item() == pytest.approx(CHROMA_WEIGHT)


def test_a_chain_of_no_frames_is_refused() -> None:
    with pytest.raises(UsageError, match="chain is 0"):
        VideoRecipe(chain=0)


def clips() -> Clips:
    """Four clips in memory, each of its own grey."""
    made = object.__new__(Clips)
    planes = [[torch.full((9, 96 // s, 96 // s), 40 * k, dtype=torch.uint8) for s in (1, 2, 2)] for k in range(1, 5)]
    made.train, made.held_out, made.photos = planes, planes[:1], None
    made._cumulative = np.array([0.25, 0.5, 0.75, 1.0])
    return made


def test_a_cut_goes_on_with_another_scene_at_any_of_the_later_frames() -> None:
    starts = set()
    for sample in range(60):
        luma = clips().chain(0, 0, sample, 8, 64, 1.0, cut=1.0)[0][:, 0, 0].tolist()
        assert len(luma) == 8 and len(set(luma)) <= 2 and sorted(luma) in (luma, luma[::-1])
        starts |= {luma.index(luma[-1])} if len(set(luma)) == 2 else set()
        assert len(set(clips().chain(0, 0, sample, 8, 64, 1.0)[0][:, 0, 0].tolist())) == 1
    assert starts == set(range(1, 8))


@pytest.mark.parametrize("block", [8, 32])
def test_some_frames_lose_their_prediction_in_whole_blocks_the_same_every_time(block: int) -> None:
    task = object.__new__(VideoTask)
    task.recipe, task.rank, task.device, task._number, task._block = VideoRecipe(alone=0.5), 0, "cpu", 3, block
    whole = Prediction(*(torch.ones(16, CELLS, 16, 16) for _ in range(2)), torch.ones(16, 4, 8, 8))
    found, again = task._parted(whole, 5), task._parted(whole, 5)
    assert torch.equal(found.base, again.base) and torch.equal(found.base, found.difference) and found.past is whole.past
    share = found.base.mean((1, 2, 3))
    assert (share == 0).any() and (share == 1).any() and ((share > 0) & (share < 1)).any() and found.base.min() >= 0
    none = object.__new__(VideoTask)
    none.__dict__ |= task.__dict__ | {"recipe": VideoRecipe(alone=0.0)}
    assert none._parted(whole, 5) is whole


STAGED = VideoRecipe(
    **{"width": 8, "context_blocks": 1, "analysis_blocks": 1, "synthesis_blocks": 1, "latents": 16, "side": 8, "hidden": 16},
    **{"crop": 64, "late_crop": 64, "batch": 2, "late_batch": 2, "steps": 20, "warmup": 2, "chain": 4, "stages": "1:.1,3:.4"},
)


def test_a_chain_has_the_frames_of_the_stage_that_it_begins_in() -> None:
    assert [STAGED.frames(k / 20) for k in range(20)] == [1] * 2 + [3] * 8 + [4] * 10
    assert VideoRecipe().frames(0) == VideoRecipe().frames(0.99) == 24


@pytest.mark.parametrize("stages", ["2", "2:1", "0:.1", "2:.5,3:.5", "2:.1;3:.1", "a:.1", "2:-.1", "2:nan"])
def test_stages_that_are_none_are_refused(stages: str) -> None:
    with pytest.raises(UsageError, match="stages are"):
        VideoRecipe(stages=stages)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Clips:
    """Clips of noise, of which little is made."""
    monkeypatch.setattr(video, "VALIDATION_CROP", 64)
    monkeypatch.setattr(video, "VALIDATION_QUALITIES", (500,))
    monkeypatch.setattr(VideoTask, "_prices", lambda task: None)
    monkeypatch.setattr(video, "Intra", lambda device: lambda planes, quality: planes)
    made, noise = clips(), torch.Generator().manual_seed(0)
    for planes in made.train:
        for k, plane in enumerate(planes):
            planes[k] = torch.randint(0, 256, plane.shape, generator=noise, dtype=torch.uint8)
    return made


def train(folder: Path, data: Clips, until: tuple[int, ...]) -> tuple[list[int], list[float]]:
    """A run that is taken up again at each of those steps: where it was left, and its losses."""
    left, losses = [], []
    for step in until:
        run = Run(folder, STAGED, data, report=lambda record: losses.append(record.get("loss")))
        run.train(until=step, log_every=1, validate_every=1000)
        left.append(run.step)
    return left, [loss for loss in losses if loss is not None]


def test_a_run_is_taken_up_again_within_and_between_stages_to_the_bit(
    tmp_path: Path, small: Clips, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, begin = [], VideoTask.begin
    monkeypatch.setattr(VideoTask, "begin", lambda task, number, *rest: (begun.append(number), begin(task, number, *rest)))
    left, losses = train(tmp_path / "whole", small, (20,))
    assert begun == [0, 1, 2, 5, 8, 11, 15, 19] and left == [23] and len(losses) == 23
    # where it is to end within a chain, the chain goes on to its end
    assert train(tmp_path / "parts", small, (2, 7, 20)) == ([2, 8, 23], losses)
    assert begun[len(begun) // 2 :] == begun[: len(begun) // 2]
    states = [load_file(tmp_path / name / CHECKPOINT) for name in ("whole", "parts")]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_a_run_does_not_go_on_with_other_stages(tmp_path: Path, small: Clips) -> None:
    train(tmp_path / "run", small, (1,))
    with pytest.raises(UsageError, match="stages"):
        Run(tmp_path / "run", replace(STAGED, stages=""), small)
