"""An open clip is a sequence of frames: its length, single frames, slices, and what comes after them."""

from __future__ import annotations

import io
from fractions import Fraction

import numpy as np
import pytest
from movingclips import clip_info, encoded, frames_of, same, shipped

import calotype
from calotype.codecs import conformance
from calotype.codecs.header import FRAMES_UNKNOWN
from calotype.errors import UsageError

COUNT = 11


class Pipe(io.BytesIO):
    def seekable(self) -> bool:
        return False


@pytest.fixture(scope="module")
def clip() -> tuple[bytes, list]:
    """(a file of frames that come at 0, 3, 6, ... of 75 ticks a second, in segments of 4; its frames)."""
    frames = frames_of(COUNT, times=range(0, 3 * COUNT, 3))
    data = encoded(shipped(), frames, quality=20.0, clip=clip_info(ticks=Fraction(1, 75)), intra_period=4)
    return data, list(calotype.open(data))


def test_a_clip_has_a_length_whatever_was_read_of_it(clip) -> None:
    data, frames = clip
    video = calotype.open(data)
    assert len(video) == video.count == COUNT == len(frames) and video.header.frames == FRAMES_UNKNOWN
    next(iter(video))
    assert len(video) == COUNT and [frame.number for frame in video] == list(range(1, COUNT)) and video


def test_frames_are_taken_by_number_in_any_order_and_iteration_goes_on_after_them(clip) -> None:
    data, frames = clip
    video = calotype.open(data)
    for number in (7, 3, 4, -1, -COUNT, np.int64(5)):
        found = video[number]
        assert found.number == number % COUNT and same(found.planes, frames[number].planes)
    assert next(iter(video)).number == 6
    for number in (COUNT, -COUNT - 1):
        with pytest.raises(IndexError, match=f"the clip has {COUNT}"):
            video[number]


@pytest.mark.parametrize("part", [slice(2, 6), slice(None, None, 4), slice(-3, None), slice(5, 5), slice(9, 99)])
def test_a_slice_gives_its_frames_as_they_are_asked_for(clip, part) -> None:
    data, frames = clip
    found = calotype.open(data)[part]
    assert iter(found) is found and [frame.number for frame in found] == [frame.number for frame in frames[part]]
    with pytest.raises(UsageError, match="forwards"):
        calotype.open(data)[::-1]


def test_frames_say_when_they_are_shown(clip) -> None:
    video = calotype.open(clip[0])
    assert video.rate == 25 and video.seconds(video[10]) == 0.4


def test_a_pipe_has_no_length_before_its_end_and_is_read_all_the_same(clip) -> None:
    data, frames = clip
    video = calotype.open(Pipe(data))
    assert video.count is None and video
    with pytest.raises(TypeError, match="pipe"):
        len(video)
    assert len(list(video)) == COUNT == len(video)
    with pytest.raises(UsageError, match="pipe"):
        video[0]


def test_clips_with_their_own_networks_are_sequences_too() -> None:
    name = next(name for name in conformance.released() if name.startswith("hnerv"))
    data = (conformance.FOLDER / name).read_bytes()
    frames, video = list(calotype.open(data)), calotype.open(data)
    assert len(video) == len(frames) and same(video[-1].planes, frames[-1].planes)
    assert [frame.number for frame in video[1:3]] == [1, 2]
