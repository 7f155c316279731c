"""Whole clips to a target, and with their sound."""

from __future__ import annotations

import io
from fractions import Fraction

import pytest
from mediaclips import make
from movingclips import COLOUR, frames_of, same, shipped

from calotype.codecs.video.clip import Settings, encode_clip
from calotype.codecs.video.decoder import Video
from calotype.codecs.video.media_in import open_video
from calotype.codecs.video.source import VideoSource
from calotype.codecs.video.splice import cut
from calotype.codecs.video.structure import load
from calotype.errors import UsageError

STRUCTURE = load("random-access-8")


@pytest.fixture(scope="module")
def bundle():
    return shipped()


def encode(bundle, count: int, kind: str, value: float, pipe: bool = False, scene: int | None = None, **more):
    """(summary, file) of a clip of 25 frames a second."""

    def source() -> VideoSource:
        opened.append(1)
        frames = iter(frames_of(count, cut=scene))
        return VideoSource(width=64, height=48, rate=Fraction(25), ticks=Fraction(1, 25), _frames=frames, colour=COLOUR)

    opened, sink = [], io.BytesIO()
    again = None if pipe else source
    summary = encode_clip(bundle, again, source(), sink, Settings(STRUCTURE, kind, value, **more))
    assert summary.size == len(sink.getvalue()) and len(opened) <= 8
    assert len(summary.records) == count and summary.seconds == Fraction(count, 25)
    return summary, sink.getvalue()


def rate_of(summary) -> float:
    return float(sum(record.bits for record in summary.records) / summary.seconds)


# ---- targets


@pytest.mark.parametrize("quality", [0.0, 55.5, 90.0])
def test_a_quality_is_that_of_the_frames_with_the_structures_offsets(bundle, quality) -> None:
    summary, _ = encode(bundle, 9, "quality", quality, pipe=True)
    offsets = {entry.show % STRUCTURE.length: entry.quality for entry in STRUCTURE.frames}
    for r in summary.records:
        offset = STRUCTURE.intra if r.kind == "I" else offsets[r.number % STRUCTURE.length] * r.spread
        assert r.quality == pytest.approx(min(max(quality + offset, 0), 100), abs=0.051)


@pytest.mark.parametrize(("count", "size", "scene"), [(1, 500, None), (2, 800, None), (20, 1400, 9), (20, 3000, None)])
def test_a_size_is_never_passed_and_well_used(bundle, count, size, scene) -> None:
    summary, data = encode(bundle, count, "size", size, scene=scene)
    assert 0.85 * size < len(data) <= size
    with Video(io.BytesIO(data), bundle=bundle) as video:
        assert len(list(video)) == count


def test_a_size_that_quality_100_does_not_fill_takes_quality_100(bundle) -> None:
    summary, data = encode(bundle, 2, "size", 10**6)
    assert {record.quality for record in summary.records} == {100.0} and len(data) < 10**5


@pytest.mark.parametrize("size", [50, 200])
def test_a_size_out_of_reach_is_a_usage_error(bundle, size) -> None:
    with pytest.raises(UsageError, match="size"):
        encode(bundle, 8, "size", size)


def test_a_bitrate_is_met_in_two_passes_and_nearly_in_one(bundle) -> None:
    two, _ = encode(bundle, 20, "bitrate", 30_000, passes=2)
    one, _ = encode(bundle, 20, "bitrate", 30_000)
    piped, _ = encode(bundle, 20, "bitrate", 30_000, pipe=True)
    assert rate_of(two) == pytest.approx(30_000, rel=0.1)
    assert rate_of(one) == pytest.approx(30_000, rel=0.4)
    assert rate_of(piped) == pytest.approx(30_000, rel=0.6)


def test_a_psnr_is_reached_and_not_by_far_passed(bundle) -> None:
    summary, data = encode(bundle, 5, "psnr", 36.0)
    assert 36 <= summary.psnr < 36.3
    with pytest.raises(UsageError, match="ask for less"):
        encode(bundle, 2, "psnr", 70.0)


@pytest.mark.parametrize(("kind", "more"), [("size", {}), ("psnr", {}), ("bitrate", {"passes": 2})])
def test_a_pipe_has_no_second_pass(bundle, kind, more) -> None:
    with pytest.raises(UsageError, match="pipe"):
        encode(bundle, 2, kind, 40.0, pipe=True, **more)


# ---- sound


@pytest.fixture(scope="module")
def sounding(tmp_path_factory):
    """A clip of 24 frames and as much sound."""
    return make(tmp_path_factory.mktemp("clip") / "in.mkv", codec="ffv1", audio="flac", count=24, size=(32, 16))


@pytest.fixture(scope="module", params=["quality", "bitrate"])
def spoken(request, bundle, sounding):
    """(its file, in segments of 6 frames; its packets)."""
    settings = Settings(STRUCTURE, request.param, 20.0 if request.param == "quality" else 50_000, intra_period=6, cuts=False)
    sink = io.BytesIO()
    with open_video(sounding, audio=True) as source:
        encode_clip(bundle, lambda: open_video(sounding), source, sink, settings)
    with open_video(sounding, audio=True) as source:
        for _ in source.frames():
            pass
        return sink.getvalue(), source.audio.take()


def spans(packets, video) -> list[tuple[Fraction, Fraction]]:
    base = video.audio.streams[0].time_base
    return [(p.pts * base, (p.pts + p.duration) * base) for p in packets]


def test_sound_comes_through_as_it_was(bundle, spoken) -> None:
    data, packets = spoken
    with Video(io.BytesIO(data), bundle=bundle) as video:
        assert len(list(video)) == 24
        assert video.take_audio() == packets and video.take_audio() == []


def test_every_segment_holds_the_sound_that_is_heard_in_it(bundle, spoken) -> None:
    """What begins before the segment may be cut off with it; all that begins within is there, at its time."""
    data, packets = spoken
    with Video(io.BytesIO(data), bundle=bundle) as video:
        list(video)
        for number in (0, 6, 12, 18):
            video.seek(number)
            list(video)
            start = Fraction(number, 25)
            found, wanted = video.take_audio(), packets
            heard = [p for p, (begin, _) in zip(wanted, spans(wanted, video), strict=True) if begin >= start]
            assert [p for p, (begin, _) in zip(found, spans(found, video), strict=True) if begin >= start] == heard
            assert all(end > start - Fraction(1, 10) for _, end in spans(found, video))


def test_a_part_cut_out_keeps_its_sound_in_time(bundle, spoken) -> None:
    data, packets = spoken
    part = io.BytesIO()
    cut(io.BytesIO(data), part, 6, 17)
    with Video(io.BytesIO(data), bundle=bundle) as whole, Video(io.BytesIO(part.getvalue()), bundle=bundle) as video:
        shown, found = list(video), video.take_audio()
        assert all(same(a.planes, b.planes) for a, b in zip(shown, list(whole)[6:18], strict=True))
        wanted = [p.data for p, (begin, _) in zip(packets, spans(packets, video), strict=True) if 6 <= 25 * begin < 18]
        kept = [(p.data, begin) for p, (begin, _) in zip(found, spans(found, video), strict=True) if begin >= 0]
        assert [data for data, _ in kept] == wanted and all(begin < Fraction(12, 25) for _, begin in kept)


def test_seeking_leaves_the_sound_that_was_read_before_behind(bundle, spoken) -> None:
    data, _ = spoken
    with Video(io.BytesIO(data), bundle=bundle) as video:
        list(video)
        video.seek(18)
        assert video.take_audio() == []
