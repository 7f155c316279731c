"""Adaptive structures: the more of a frame the one before tells, the further qualities lie apart."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from movingclips import clip_info, frames_of, shipped

from calotype.codecs.video.encoder import VideoEncoder
from calotype.codecs.video.hierarchy import EVEN, LEAST, MOST, SHRINKING, Spread
from calotype.codecs.video.rate import Constant
from calotype.codecs.video.structure import load, parse
from calotype.errors import UsageError

EVEN_360P = 10 * EVEN * 10**SHRINKING  # thumbnails have cells of 10 pixels there, and the gradients are 10
positive = st.floats(0.25, 200)


def test_offsets_are_as_they_are_at_middling_motion_and_grow_as_it_gets_less() -> None:
    spreads = [Spread(640, 360)(inter, 10.0, False) for inter in (40, 20, EVEN_360P, 3, 1, 0.3)]
    assert spreads[2] == pytest.approx(1) and spreads == sorted(spreads)
    assert spreads[0] == LEAST and spreads[-1] == MOST


@given(st.lists(st.tuples(positive, positive, st.booleans()), min_size=1))
def test_the_spread_is_always_within_its_bounds(frames) -> None:
    spread = Spread(640, 360)
    assert all(LEAST <= spread(*frame) <= MOST for frame in frames)


def test_a_new_scene_forgets_the_last_one() -> None:
    spread = Spread(640, 360)
    assert spread(0.3, 10, False) == MOST and spread(9.0, 9.0, True) == 1
    assert spread(EVEN_360P, 10, False) == pytest.approx(1)


def test_an_adaptive_structures_qualities_are_its_offsets_times_the_spread_and_others_are_as_listed() -> None:
    adaptive = load("low-delay")
    frames = frames_of(9)
    for structure in (adaptive, replace(adaptive, adaptive=False)):
        encoder = VideoEncoder(shipped(), clip_info(), structure)
        records = list(encoder.encode(iter(frames), Constant(50.0), io.BytesIO()))
        offsets = {e.show: e.quality for e in structure.frames}
        spreads = {r.spread for r in records[1:]}
        assert all(r.quality == pytest.approx(50 + offsets[r.number] * r.spread, abs=0.051) for r in records[1:])
        assert (spreads == {1.0}) == (not structure.adaptive)


def test_adaptive_is_true_or_false() -> None:
    assert not parse("x", {"intra": {"quality": 0}, "frames": []}).adaptive
    with pytest.raises(UsageError, match="adaptive"):
        parse("x", {"intra": {"quality": 0}, "frames": [], "adaptive": 1})
