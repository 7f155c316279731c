"""Scene cuts: found where scenes are joined, not where things move, fade or flash; and complexity that follows content."""

from __future__ import annotations

import numpy as np
import pytest

from calotype.codecs.video.scenes import Cuts, complexity, is_cut
from calotype.errors import UsageError

SHAPE = (180, 320)


def world(seed: int) -> np.ndarray:
    """A large picture (380, 640) float with detail of every size, brightness and contrast of its own."""
    rng = np.random.default_rng(seed)
    total = np.zeros((380, 640))
    for size in (4, 10, 20, 95):
        small = rng.normal(0, 1, (380 // size + 1, 640 // size + 1))
        total += small.repeat(size, 0).repeat(size, 1)[:380, :640]
    return rng.uniform(70, 180) + rng.uniform(12, 25) * total


def clip(seed: int, frames: int, speed: int = 4) -> list[np.ndarray]:
    """A camera that pans by `speed` pixels a frame, with noise."""
    picture, rng = world(seed), np.random.default_rng(seed)
    views = [picture[i : i + SHAPE[0], speed * i : speed * i + SHAPE[1]] for i in range(frames)]
    return [(v + rng.normal(0, 3, SHAPE)).clip(0, 255).astype(np.uint8) for v in views]


def found(frames: list[np.ndarray]) -> list[int]:
    cuts = Cuts()
    return [number for number, frame in enumerate(frames) if cuts(frame)]


def test_cuts_are_found_where_clips_are_joined_and_nowhere_else() -> None:
    lengths = [3, 12, 2, 9, 20, 5, 14]
    frames = [frame for seed, n in enumerate(lengths) for frame in clip(seed, n)]
    assert found(frames) == np.cumsum(lengths)[:-1].tolist()


def test_a_fast_pan_is_no_cut() -> None:
    assert found(clip(3, 30, speed=9)) == []


def test_a_fade_is_no_cut() -> None:
    frames = [(frame * (1 - i / 24)).astype(np.uint8) for i, frame in enumerate(clip(4, 25))]
    assert found(frames) == []


@pytest.mark.parametrize("length", [1, 2, 3])
@pytest.mark.parametrize("gain,offset", [(1.5, 30), (0.1, 225), (0.3, 0)])
def test_a_flash_begins_one_scene_at_most(length, gain, offset) -> None:
    frames = clip(5, 20)
    frames[8 : 8 + length] = [(f * gain + offset).clip(0, 255).astype(np.uint8) for f in frames[8 : 8 + length]]
    assert found(frames) in ([], [8])


def test_a_scene_of_two_frames_is_no_flash() -> None:
    assert found(clip(0, 8) + clip(1, 2) + clip(2, 8)) == [8, 10]


def test_flat_and_tiny_frames_are_judged_too() -> None:
    flat = np.full((90, 160), 128, np.uint8)
    assert not is_cut(flat, flat) and is_cut(flat, clip(0, 1)[0][:90, :160])
    for shape in ((1, 1), (2, 7), (3, 500), (17, 5)):
        dot = np.zeros(shape, np.uint8)
        assert not is_cut(dot, dot) and complexity(dot) > 0 and complexity(dot, dot) > 0


def test_complexity_grows_with_detail_and_with_what_motion_leaves() -> None:
    rng = np.random.default_rng(0)
    picture = world(6).clip(0, 255).astype(np.uint8)
    still, pan = picture[: SHAPE[0], : SHAPE[1]], picture[: SHAPE[0], 10 : SHAPE[1] + 10]  # two cells
    chaos = clip(7, 1)[0]
    assert complexity(still, still) < complexity(pan, still) < complexity(chaos, still) / 2
    noisy = (still + rng.normal(0, 20, SHAPE)).clip(0, 255).astype(np.uint8)
    assert complexity(np.full(SHAPE, 9, np.uint8)) < complexity(still) < complexity(noisy)


def test_what_is_no_luma_is_refused() -> None:
    good = np.zeros((36, 64), np.uint8)
    for bad in (good.astype(np.float32), good[None], good[:0]):
        with pytest.raises(UsageError, match="uint8"):
            is_cut(good, bad)
        with pytest.raises(UsageError, match="uint8"):
            complexity(bad)
    with pytest.raises(UsageError, match="sizes"):
        is_cut(good, np.zeros((64, 36), np.uint8))
    with pytest.raises(UsageError, match="sizes"):
        complexity(good, np.zeros((64, 36), np.uint8))
