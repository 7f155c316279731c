"""Rate control against simulated coders: rates and sizes are met whatever the clip, calmly; a PSNR in few encodes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from calotype.codecs.video.rate import (
    LOOK_AHEAD,
    Constant,
    Controller,
    Info,
    Record,
    Result,
    look_ahead,
    read_log,
    search,
)
from calotype.codecs.video.structure import load, schedule
from calotype.errors import UsageError

PIXELS = 640 * 360


class Clip:
    """Frames whose log2 bits are a line in quality: slopes, levels by kind and layer, scenes and noise by seed."""

    def __init__(
        self,
        seed: int,
        frames: int,
        name: str = "low-delay",
        period: int | None = None,
        cuts: tuple[int, ...] = (),
        slope: float = 4.8,
        moving: bool = False,
        spread: float = 1.0,
    ) -> None:
        rng = np.random.default_rng(seed)
        self.structure, self.period, self.frames, self.rng = load(name), period, frames, rng
        slopes = {kind: slope + rng.normal(0, 0.55) for kind in "IPB"}
        level, behind, deeper = rng.normal(-4, 0.7), -rng.uniform(1, 3.5), -rng.uniform(0, 0.6)
        scenes = np.cumsum(np.isin(np.arange(frames), cuts))
        hard, unseen = rng.normal(0, 0.7, len(cuts) + 1), rng.normal(0, 0.25, len(cuts) + 1)
        self.infos, self.lines = [], {}
        flags = np.isin(np.arange(frames), cuts)
        for coded in schedule(self.structure, range(frames), period, flags, lambda _: moving):
            scene, inter = scenes[coded.number], coded.kind != "I"
            complexity = 2 ** ((2.3 if inter else 3.7) + hard[scene] + rng.normal(0, 0.1))
            bits = math.log2(PIXELS) + level + 0.8 * hard[scene] + unseen[scene] + inter * behind + deeper * coded.layer
            self.infos.append(Info.of(coded, complexity, spread if inter else 1.0))
            self.lines[coded.number] = bits + rng.normal(0, 0.2), slopes[coded.kind]

    def code(self, controller, ahead: int = LOOK_AHEAD, noise: float = 0.0) -> list[Record]:
        records = []
        for info, coming in look_ahead(self.infos, ahead):
            level, slope = self.lines[info.number]
            quality = controller.quality(info, coming)
            assert 0 <= quality <= 100
            bits = 2 ** (level + slope * quality / 100 + self.rng.normal(0, noise))
            records.append(controller.spent(info, math.ceil(bits)))
        return records

    def bits_at(self, quality: float) -> float:
        """A frame, on average."""
        return total(self.code(Constant(quality))) / self.frames


def total(records: list[Record]) -> int:
    return sum(record.bits for record in records)


def bases(records: list[Record]) -> np.ndarray:
    """The clip's quality at each frame that is at neither end of the dial."""
    return np.array([r.quality - r.offset for r in records if 0 < r.quality < 100])


CASES = [("low-delay", 60, None, ()), ("low-delay", 120, 32, (50,)), ("low-delay", 200, None, (40, 90, 160))]
CASES += [("random-access-16", 60, None, ()), ("random-access-16", 120, 48, (50,)), ("random-access-8", 200, None, (40, 150))]
CASES += [("intra", 60, None, ())]


def test_what_quality_rises_by_along_a_chain_of_p_frames_is_the_same_however_far_its_qualities_lie_apart() -> None:
    coded = list(schedule(load("low-delay"), range(100)))
    assert [c.rise for c in coded] == [0] * 24 + [1] * 24 + [2] * 52
    assert all(Info.of(c, 8.0, spread).offset == c.quality * spread + c.rise for c in coded for spread in (0.25, 4.0))



@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name,frames,period,cuts", CASES)
def test_one_pass_meets_a_rate_within_5_percent_unless_it_ends_at_the_end_of_the_dial(name, frames, period, cuts, seed) -> None:
    clip = Clip(seed, frames, name, period, cuts)
    target = clip.bits_at(30 + 7 * seed)
    records = clip.code(Controller(clip.structure, PIXELS, target, frames, period))
    assert not len(bases(records[-20:])) or total(records) == pytest.approx(target * frames, rel=0.05)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "name,moving,spread", [("random-access-16", True, 0.3), ("random-access-8", True, 1), ("low-delay", False, 4)]
)
def test_one_pass_meets_a_rate_also_where_the_encoder_fits_the_structure_to_the_clip(name, moving, spread, seed) -> None:
    clip = Clip(seed, 150, name, moving=moving, spread=spread)
    assert any(i.kind == "B" for i in clip.infos) == ("random" in name and not moving)
    target = clip.bits_at(40 + 8 * seed)
    records = clip.code(Controller(clip.structure, PIXELS, target, 150))
    assert total(records) == pytest.approx(target * 150, rel=0.05)
    streamed = clip.code(Controller(clip.structure, PIXELS, target))
    assert total(streamed) == pytest.approx(target * 150, rel=0.05)


@pytest.mark.parametrize("slope", [3.0, 6.5])
@pytest.mark.parametrize("name", ["low-delay", "random-access-16"])
def test_a_dial_that_is_steeper_or_flatter_than_expected_is_learnt(name, slope) -> None:
    for seed in range(4):
        clip = Clip(seed, 90, name, slope=slope)
        target, first = clip.bits_at(35 + 10 * seed), clip.code(Constant(50))
        for controller, within in (
            (Controller(clip.structure, PIXELS, target, 90), 0.05),
            (Controller(clip.structure, PIXELS, target, first=first), 0.02),
        ):
            assert total(clip.code(controller)) == pytest.approx(target * 90, rel=within)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name,frames,period,cuts", CASES)
def test_two_passes_meet_a_rate_within_2_percent_at_a_near_constant_quality(name, frames, period, cuts, seed) -> None:
    clip = Clip(seed, frames, name, period, cuts)
    wanted = 30 + 7 * seed
    target = clip.bits_at(wanted)
    first = clip.code(Constant(50) if seed % 2 else Controller(clip.structure, PIXELS, target, frames, period))
    records = clip.code(Controller(clip.structure, PIXELS, target, None, period, first), 0, 0.03)
    assert total(records) == pytest.approx(target * frames, rel=0.02)
    assert abs(bases(records)[frames // 2 : -10] - wanted).max() < 5


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["low-delay", "random-access-16"])
def test_a_clip_of_unknown_length_keeps_its_rate(name, seed) -> None:
    clip = Clip(seed, 480, name, 96, (130, 300))
    target = clip.bits_at(50)
    records = clip.code(Controller(clip.structure, PIXELS, target, None, 96))
    assert total(records[:240]) == pytest.approx(target * 240, rel=0.25)
    assert total(records) == pytest.approx(target * 480, rel=0.1)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("frames", [50, 72, 110])
@pytest.mark.parametrize("name", ["low-delay", "random-access-16"])
def test_a_short_clip_of_unknown_length_meets_its_rate_within_5_percent(name, frames, seed) -> None:
    clip = Clip(seed, frames, name, 250)
    target = clip.bits_at(40 + 7 * seed)
    assert total(clip.code(Controller(clip.structure, PIXELS, target, None, 250))) == pytest.approx(target * frames, rel=0.05)


@pytest.mark.parametrize("name", ["low-delay", "random-access-16"])
def test_quality_is_calm_in_a_calm_clip_and_moves_at_once_at_a_scene(name) -> None:
    calm = Clip(1, 150, name)
    records = calm.code(Controller(calm.structure, PIXELS, calm.bits_at(50), 150))
    assert abs(np.diff(bases(records)[20:])).max() <= 4 and bases(records)[30:120].std() < 4
    changed = Clip(1, 150, name, None, (75,))
    changed.lines = {n: (level + 2 * (n >= 75), slope) for n, (level, slope) in changed.lines.items()}
    changed.infos = [replace(i, complexity=i.complexity * (4 if i.number >= 75 else 1)) for i in changed.infos]
    target = changed.bits_at(45)
    records = changed.code(Controller(changed.structure, PIXELS, target, 150))
    before = [r.quality - r.offset for r in records if 60 <= r.number < 75]
    after = [r.quality - r.offset for r in records if 80 <= r.number < 95]
    assert np.mean(after) < np.mean(before) - 10 and total(records) == pytest.approx(target * 150, rel=0.05)


def test_what_the_dial_cannot_reach_ends_at_its_end() -> None:
    clip = Clip(0, 60)
    assert {r.quality for r in clip.code(Controller(clip.structure, PIXELS, 1e9, 60))[2:]} == {100.0}
    assert {r.quality for r in clip.code(Controller(clip.structure, PIXELS, 1.0, 60))[2:]} == {0.0}


def test_more_or_fewer_frames_than_were_said_are_coded_calmly() -> None:
    clip = Clip(3, 120)
    for said in (1, 60, 400):
        records = clip.code(Controller(clip.structure, PIXELS, clip.bits_at(50), said))
        assert len(records) == 120 and all(math.isfinite(r.quality) for r in records)


def test_constant_quality_is_the_clips_and_the_structures() -> None:
    clip = Clip(2, 20, "random-access-8")
    assert all(r.quality == min(max(r.offset + 89, 0), 100) for r in clip.code(Constant(89)))


@pytest.mark.parametrize("offset", [-8.0, -32.0, 3.0])
def test_at_the_end_of_the_dial_every_frame_is_the_best_there_is_and_none_falls_on_the_way(offset) -> None:
    found = [Constant(base).quality(Info(3, "P", 1, offset, 1)) for base in (85.0, 90.0, 92.5, 95.0, 97.5, 100.0)]
    assert found == sorted(found) and found[-1] == 100 and found[1] == min(90 + offset, 100)


def test_a_log_gives_the_first_pass_back(tmp_path) -> None:
    clip = Clip(2, 60)
    controller, path = Constant(40), tmp_path / "log.jsonl"
    records = [controller.spent(info, 100 + info.number, 30.5 if info.number else math.inf) for info in clip.infos]
    path.write_text("".join(record.line() for record in records))
    assert read_log(path) == records and records[0].psnr is None and records[1].psnr == 30.5


def test_what_makes_no_sense_is_refused(tmp_path) -> None:
    structure, path = load("low-delay"), tmp_path / "log.jsonl"
    for bits in (0, -1, math.nan, math.inf):
        with pytest.raises(UsageError, match="above 0"):
            Controller(structure, PIXELS, bits, 10)
    first = Clip(0, 20).code(Constant(50))
    other = Controller(structure, PIXELS, 1000, None, None, first)
    for info in (Info(0, "P", 0, 0, 1), Info(20, "I", 0, 0, 1)):
        with pytest.raises(UsageError, match="not as in the first pass"):
            other.quality(info)
    for text in ("{", "[]", '{"number": 1}'):
        path.write_text(text)
        with pytest.raises(UsageError, match="no log"):
            read_log(path)


def test_look_ahead_gives_every_item_and_what_follows() -> None:
    assert list(look_ahead("abcd", 2)) == [("a", ("b", "c")), ("b", ("c", "d")), ("c", ("d",)), ("d", ())]
    assert list(look_ahead("ab", 0)) == [("a", ()), ("b", ())]


@pytest.mark.parametrize("target", [20.0, 24.7, 31.0, 36.3, 39.9])
def test_a_psnr_is_reached_by_the_least_quality_in_few_encodes(target) -> None:
    asked = []

    def encode(quality: float) -> Result[float]:
        asked.append(quality)
        return Result(24 + 0.19 * quality - 0.0003 * quality**2, quality)

    found = search(encode, target)
    below = encode(found.coded - 0.1).value
    assert found.value >= target and (found.value <= target + 0.02 or below < target or found.coded == 0)
    assert len(asked) - 1 <= (8 if target == 20 else 5) and len(set(asked)) == len(asked)


def test_a_psnr_that_steps_is_reached_and_one_out_of_reach_refused() -> None:
    assert search(lambda q: Result(20 + 10 * (q > 43.2), q), 25).value == 30
    with pytest.raises(UsageError, match="quality 100 reaches 40.00; ask for less"):
        search(lambda q: Result(20 + q / 5, q), 41)
