"""Clips: every frame that a decoder gives is the encoder's, from the start, from anywhere, of a part, in any structure."""

from __future__ import annotations

import io
import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from movingclips import clip_info, encoded, frames_of, moving, same, shipped

import calotype
from calotype import threads
from calotype.codecs import container
from calotype.codecs.video.decoder import Video
from calotype.codecs.video.encoder import VideoEncoder
from calotype.codecs.video.frames import FrameCodec
from calotype.codecs.video.lookahead import MOST
from calotype.codecs.video.rate import LOOK_AHEAD, Constant, Controller
from calotype.codecs.video.splice import cut, join
from calotype.codecs.video.stream import Frame, StreamReader
from calotype.codecs.video.structure import load, names
from calotype.codecs.video.whole import VideoCodec
from calotype.errors import CorruptStreamError, LimitError, UsageError

INTER = [name for name in names() if not load(name).frames or not load(name).frames[0].independent]


@pytest.fixture(scope="module")
def bundle():
    return shipped()


def decode(data: bytes, bundle, **options) -> list:
    with Video(io.BytesIO(data), bundle=bundle, **options) as video:
        return list(video)


class Pipe(io.RawIOBase):
    """What gives bytes front to back, and tells how many."""

    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def read(self, size: int = -1) -> bytes:
        assert size >= 0, "a reader that asks for all there is"
        piece = self.data[self.at : self.at + min(size, 100)]
        self.at += len(piece)
        return piece


@pytest.fixture(scope="module")
def long(bundle):
    """(file of 20 frames in 3 segments with B frames, its decoded frames)."""
    data = encoded(bundle, frames_of(20, cut=13), "random-access-8", intra_period=10)
    return data, decode(data, bundle)


# ---- frames


@pytest.mark.parametrize("structure", INTER)
@pytest.mark.parametrize("count", [1, 7, 18])
def test_all_frames_are_the_encoders_in_every_structure_and_length(bundle, structure, count) -> None:
    frames, believed = frames_of(count, 33, 47, cut=5), {}
    data = encoded(bundle, frames, structure, intra_period=11, pictures=believed.__setitem__)
    found = decode(data, bundle)
    assert [(frame.number, frame.ticks) for frame in found] == [(n, n) for n in range(count)]
    for number, (frame, source) in enumerate(zip(found, frames, strict=True)):
        assert same(frame.planes, believed[number]) and [p.shape for p in frame.planes] == [(33, 47), (17, 24), (17, 24)]
        assert np.abs(frame.planes[0].astype(int) - source.planes[0]).mean() < 14
    kinds = [event.head.kind for event in StreamReader(io.BytesIO(data)) if isinstance(event, Frame)]
    assert kinds.count("I") == (count if structure == "intra" else 1 + (count > 5) + (count > 16))


@pytest.mark.parametrize(
    ("settings", "firsts"), [({}, [0, 6]), ({"cuts": False}, [0]), ({"intra_period": 4, "cuts": False}, [0, 4, 8])]
)
def test_intra_frames_stand_where_scenes_begin_and_periods_end(bundle, settings, firsts) -> None:
    data = encoded(bundle, frames_of(9, cut=6), "random-access-8", **settings)
    with Video(io.BytesIO(data), bundle=bundle) as video:
        assert [segment.first for segment in video.reader.index.segments] == firsts
        assert video.count == 9 == len(list(video))


@settings(max_examples=6, deadline=None)
@given(gaps=st.lists(st.integers(1, 400), min_size=1, max_size=12), period=st.sampled_from([None, 1, 5]))
def test_times_survive_whatever_the_rate(bundle, gaps, period) -> None:
    times = [0, *np.cumsum(gaps).tolist()]
    clip = clip_info(16, 16, Fraction(30000, 1001), Fraction(1, 1000))
    data = encoded(bundle, frames_of(len(times), 16, 16, times), "random-access-8", 0.0, clip, intra_period=period)
    with Video(io.BytesIO(data), bundle=bundle) as video:
        assert video.tick_rate == (1000, 1)
        assert [frame.ticks for frame in video] == times


def test_frames_of_another_size_and_empty_clips_are_usage_errors(bundle) -> None:
    frames = frames_of(3)
    frames[2] = frames[2]._replace(planes=moving(48, 66, 2))
    with pytest.raises(UsageError, match="66 x 48"):
        encoded(bundle, frames)
    with pytest.raises(UsageError):
        list(VideoEncoder(bundle, clip_info(), load("low-delay")).encode(iter(()), Constant(50.0), io.BytesIO()))
    with pytest.raises(LimitError, match="scale"):
        VideoEncoder(bundle, clip_info(64, 2**15), load("low-delay"))


# ---- places


def test_seeking_to_any_frame_gives_the_frames_that_decoding_from_the_start_does(bundle, long) -> None:
    data, straight = long
    with Video(io.BytesIO(data), bundle=bundle) as video:
        for number in (0, 19, 9, 10, 4, 14, 13):
            video.seek(number)
            most = 2 if number == 4 else 20
            found, expected = list(itertools.islice(video, most)), straight[number : number + most]
            assert [f.number for f in found] == [f.number for f in expected]
            assert all(same(a.planes, b.planes) and a.ticks == b.ticks for a, b in zip(found, expected, strict=True))
        for number in (-1, 20):
            with pytest.raises(UsageError):
                video.seek(number)


@pytest.mark.parametrize("count", [1, 5])
def test_frames_are_the_same_however_many_are_decoded_side_by_side(bundle, long, count) -> None:
    data, usual = long
    before = threads.set_count(count)
    try:
        found = decode(data, bundle)
    finally:
        threads.set_count(before)
    assert len(found) == len(usual) and all(same(a.planes, b.planes) for a, b in zip(found, usual, strict=True))


@pytest.mark.parametrize("structure", ["low-delay", "random-access-8", "intra", "stem"])
def test_a_file_is_the_same_however_many_frames_are_coded_side_by_side(bundle, structure) -> None:
    frames, before, files = frames_of(18, 48, 64), threads.set_count(None), []
    try:
        for count in (1, 2, 5):
            threads.set_count(count)
            files.append(encoded(bundle, frames, structure, intra_period=16))
    finally:
        threads.set_count(before)
    assert files[0] == files[1] == files[2]


def test_an_error_of_a_frame_that_is_coded_ahead_ends_the_encode(bundle, monkeypatch) -> None:
    def broken(*arguments):
        raise UsageError("the second frame")

    monkeypatch.setattr(FrameCodec, "encode", broken)
    with pytest.raises(UsageError, match="the second frame"):
        encoded(bundle, frames_of(9, 16, 16), "random-access-8")


def test_iteration_goes_on_where_it_was_left(bundle, long) -> None:
    data, straight = long
    with Video(io.BytesIO(data), bundle=bundle) as video:
        found = []
        for most in (1, 3, 8, 30):
            found += itertools.islice(video, most)
        assert [f.number for f in found] == list(range(20))
        assert all(same(a.planes, b.planes) for a, b in zip(found, straight, strict=True))


def test_seeking_to_a_time_gives_the_frame_that_is_shown_then(bundle) -> None:
    times = [0, 30, 70, 75, 160, 200, 210]
    clip = clip_info(16, 16, Fraction(25), Fraction(1, 1000))
    data = encoded(bundle, frames_of(7, 16, 16, times), "random-access-8", 0.0, clip, intra_period=4)
    with Video(io.BytesIO(data), bundle=bundle) as video:
        last = video.reader.duration
        assert last == 250
        for tick in (0, 29, 30, 74, 75, 76, 159, 160, 209, 210, last - 1):
            video.seek_time(tick)
            shown = max(n for n, time in enumerate(times) if time <= tick)
            assert [frame.number for frame in video] == list(range(shown, 7)), tick
        for tick in (-1, last):
            with pytest.raises(UsageError):
                video.seek_time(tick)


def test_a_pipe_is_decoded_from_its_start_alone(bundle, long) -> None:
    data, straight = long
    with Video(Pipe(data), bundle=bundle) as video:
        with pytest.raises(UsageError, match="pipe"):
            video.seek(3)
        assert video.count is None
        assert all(same(a.planes, b.planes) for a, b in zip(video, straight, strict=True)) and video.count == 20


def test_two_clips_joined_and_a_clip_cut_decode_to_the_frames_of_their_parts(bundle, long) -> None:
    data, straight = long
    other = encoded(bundle, frames_of(5), "low-delay", 60.0)
    sink = io.BytesIO()
    join([io.BytesIO(data), io.BytesIO(other)], sink)
    expected = [*straight, *decode(other, bundle)]
    found = decode(sink.getvalue(), bundle)
    assert [(f.number, f.ticks) for f in found] == [(n, n) for n in range(25)]
    assert all(same(a.planes, b.planes) for a, b in zip(found, expected, strict=True))
    part = io.BytesIO()
    assert cut(io.BytesIO(data), part, 10, 12) == range(10, 13)
    found = decode(part.getvalue(), bundle)
    assert [f.number for f in found] == [0, 1, 2]
    assert all(same(a.planes, b.planes) for a, b in zip(found, straight[10:13], strict=True))


# ---- parts


def test_of_a_cut_file_the_frames_before_the_cut_come_exactly(bundle, long) -> None:
    data, straight = long
    ends, reader = [], StreamReader(io.BytesIO(data))
    for event in reader:
        ends.append((reader._chunks.at, [shown.index for shown in event.shown]))
    for size in [*range(80, len(data), 149), len(data) - 1]:
        expected = sum((shown for end, shown in ends if end <= size), [])
        for source in (Pipe(data[:size]), io.BytesIO(data[:size])):
            with Video(source, bundle=bundle, allow_partial=True) as video:
                found = list(video)
            assert [f.number for f in found] == expected and "cut short" in video.damage, size
            assert all(same(a.planes, straight[n].planes) for n, a in zip(expected, found, strict=True))
        with pytest.raises(CorruptStreamError, match="cut short"):
            decode(data[:size], bundle)


def test_a_changed_byte_is_found_before_a_wrong_frame_is_given(bundle, long) -> None:
    data, straight = long
    for at in range(9, len(data) - 60, 197):
        changed = data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]
        found = []
        with pytest.raises(CorruptStreamError):
            for frame in Video(Pipe(changed), bundle=bundle):
                found.append(frame)
        assert all(same(a.planes, b.planes) for a, b in zip(found, straight, strict=False))
        try:
            whole = decode(changed, bundle, allow_partial=True)
        except CorruptStreamError:
            assert not found, "what comes before damage is there for who allows a part"
        else:
            assert [f.number for f in whole] == [f.number for f in found]


# ---- streaming


@pytest.mark.parametrize(("structure", "rate"), [("low-delay", False), ("random-access-8", False), ("random-access-8", True)])
def test_an_encoder_reads_no_further_than_it_plans_and_codes_side_by_side(bundle, structure, rate) -> None:
    asked, shape = 0, load(structure)

    def frames():
        nonlocal asked
        for frame in frames_of(60, 16, 16):
            asked += 1
            yield frame

    control = Controller(shape, 256, 300.0) if rate else Constant(0.0)
    encoder, sink = VideoEncoder(bundle, clip_info(16, 16), shape), io.BytesIO()
    for coded, record in enumerate(encoder.encode(frames(), control, sink), 1):
        planned = LOOK_AHEAD if rate else MOST if shape.parallel else 0
        assert record.number < asked <= min(coded + shape.length + planned, 60)
        if coded == 12:
            assert len(sink.getvalue()) > 100, "coded frames are written, a pack at most behind"
    assert coded == asked == 60


def test_a_decoder_gives_a_frame_as_soon_as_it_can_be_shown(bundle, long) -> None:
    data, _ = long
    pipe, ends, reader = Pipe(data), {}, StreamReader(Pipe(data))
    for event in reader:
        ends |= {shown.index: reader._chunks.at for shown in event.shown}
    with Video(pipe, bundle=bundle) as video:
        for frame in video:
            assert pipe.at <= ends[frame.number] + 100


# ---- use


def test_calotype_open_takes_paths_and_streams_and_gives_pixels(bundle, long, tmp_path) -> None:
    data, straight = long
    (tmp_path / "clip.calo").write_bytes(data)
    for source in (tmp_path / "clip.calo", str(tmp_path / "clip.calo"), io.BytesIO(data)):
        with calotype.open(source) as video:
            frame = next(iter(video))
            assert same(frame.planes, straight[0].planes)
            pixels = video.rgb(frame)
            assert pixels.shape == (48, 64, 3) and pixels.dtype == np.uint8 and pixels.std() > 10
        video.close()
    picture = calotype.encode(np.zeros((16, 16, 3), np.uint8))
    with pytest.raises(UsageError, match="picture"):
        calotype.open(io.BytesIO(picture))
    with pytest.raises(UsageError, match="clip"):
        calotype.decode(data)


def test_what_decodes_files_whole_sees_the_same_frames(bundle, long) -> None:
    data, straight = long
    stream = container.read(data)
    whole = VideoCodec(bundle)
    assert all(same(a.planes, b.planes) for a, b in zip(whole.open(stream), straight, strict=True))
    assert whole.digests(stream) == whole.digests(stream)
    other = container.read(encoded(bundle, frames_of(20, cut=13), "random-access-8", 31.0, intra_period=10))
    assert not set(whole.digests(other).values()) & set(whole.digests(stream).values())
    with pytest.raises(UsageError, match="image model"):
        whole.encode(None)
