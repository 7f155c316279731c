from __future__ import annotations

import io
from fractions import Fraction

import av
import numpy as np
import pytest
from mediaclips import encoder, same, smooth_planes

from calotype.codecs.header import Colour
from calotype.codecs.pictures import read_picture
from calotype.codecs.video import colour as conversion
from calotype.codecs.video.media_in import open_video
from calotype.codecs.video.media_out import Clip, open_output
from calotype.errors import UsageError

LIMITED = Colour("bt709", "limited", "420", 8)


def clip_of(size=(34, 18), rate=Fraction(25), ticks=None, colour=LIMITED, **more):
    return Clip(*size, rate, ticks or 1 / rate, colour, **more)


def write(target, clip, times=range(4), form=None, **options):
    with open_output(target, form, clip, **options) as sink:
        for number, time in enumerate(times):
            sink.write(smooth_planes(clip.width, clip.height, number, clip.colour.chroma), time)
    return sink


def read(path, **options):
    with open_video(path, **options) as clip:
        return clip, list(clip.frames())


@pytest.mark.parametrize("size", [(34, 18), (33, 17)])
@pytest.mark.parametrize("colour", [LIMITED, Colour("bt601", "full", "420", 8)], ids=str)
@pytest.mark.parametrize("suffix", [".y4m", ".mkv", ".mp4", ".mov", ".webm"])
def test_what_is_written_is_read_back(tmp_path, suffix, size, colour):
    encoder({".mkv": "ffv1", ".webm": "libvpx-vp9"}.get(suffix, "libx264"))
    clip = clip_of(size, colour=colour)
    write(tmp_path / f"clip{suffix}", clip)
    found, frames = read(tmp_path / f"clip{suffix}")
    assert (found.width, found.height, found.rate, len(frames)) == (*size, 25, 4)
    assert [frame.time * found.ticks for frame in frames] == [Fraction(number, 25) for number in range(4)]
    assert found.colour.range == colour.range
    if suffix != ".y4m":  # which does not name the matrix
        assert found.colour == colour
    for number, frame in enumerate(frames):
        exact = smooth_planes(*size, number)
        if suffix in (".y4m", ".mkv"):
            assert same(frame.planes, exact)
        for plane, whole in zip(frame.planes, exact, strict=True):
            assert np.abs(plane.astype(int) - whole).mean() < 3


@pytest.mark.parametrize("suffix", [".y4m", ".mkv", ".mp4", ".webm"])
def test_full_size_chroma_is_written_as_such(tmp_path, suffix):
    encoder({".mkv": "ffv1", ".webm": "libvpx-vp9"}.get(suffix, "libx264"))
    colour = Colour("bt709", "full", "444", 8)
    write(tmp_path / f"clip{suffix}", clip_of((33, 17), colour=colour))
    found, frames = read(tmp_path / f"clip{suffix}", full_chroma=True)
    assert found.colour == colour and not any("converted" in note for note in found.notes)
    for number, frame in enumerate(frames):
        exact = smooth_planes(33, 17, number, "444")
        if suffix in (".y4m", ".mkv"):
            assert same(frame.planes, exact)
        for plane, whole in zip(frame.planes, exact, strict=True):
            assert plane.shape == whole.shape and np.abs(plane.astype(int) - whole).mean() < 3


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
@pytest.mark.parametrize(
    ("ticks", "times"),
    [
        (Fraction(1, 90000), [0, 1, 3003, 9000, 20000]),
        (Fraction(1001, 30000), [0, 1, 2, 5, 6]),
        (Fraction(1, 1000), [0, 33, 67, 100, 533]),
        (Fraction(1), [0, 1, 2, 9, 10]),
    ],
)
def test_times_are_kept_exactly(tmp_path, suffix, ticks, times):
    write(tmp_path / f"clip{suffix}", clip_of(ticks=ticks), times)
    found, frames = read(tmp_path / f"clip{suffix}")
    assert [frame.time * found.ticks for frame in frames] == [time * ticks for time in times]


def test_matroska_keeps_times_to_the_millisecond_and_says_so(tmp_path):
    sink = write(tmp_path / "clip.mkv", clip_of(ticks=Fraction(1, 90000)), [0, 1000, 3003, 9000])
    found, frames = read(tmp_path / "clip.mkv")
    assert [frame.time for frame in frames] == [0, 11, 33, 100] and any("milliseconds" in note for note in sink.notes)
    assert not write(tmp_path / "even.mkv", clip_of(ticks=Fraction(1, 12800)), [0, 512, 1024]).notes


def test_tags_of_colour_are_written(tmp_path):
    colour = Colour("bt2020", "limited", "420", 8)
    for suffix in (".mp4", ".mkv"):
        write(tmp_path / f"clip{suffix}", clip_of(colour=colour, primaries=9, transfer=16))
        found, _ = read(tmp_path / f"clip{suffix}")
        assert (found.colour, found.primaries, found.transfer) == (colour, 9, 16)


def test_a_lower_quality_makes_a_smaller_file_and_codecs_can_be_chosen(tmp_path):
    rng = np.random.default_rng(0)
    sizes = []
    for crf in (5, 40):
        with open_output(tmp_path / "clip.mp4", None, clip_of((64, 48)), quality=crf) as sink:
            for time in range(4):
                planes = tuple(rng.integers(0, 255, plane.shape, dtype=np.uint8) for plane in smooth_planes(64, 48))
                sink.write(planes, time)
        sizes.append((tmp_path / "clip.mp4").stat().st_size)
    assert sizes[1] < sizes[0] / 2
    write(tmp_path / "clip.mkv", clip_of(), codec="h264")
    with av.open(str(tmp_path / "clip.mkv")) as container:
        assert container.streams.video[0].codec_context.name == "h264"


def test_uneven_times_are_noted_where_they_are_lost(tmp_path):
    even = write(tmp_path / "even.y4m", clip_of(rate=Fraction(30), ticks=Fraction(1, 1000)), [0, 33, 67, 100])
    uneven = write(tmp_path / "uneven.y4m", clip_of(), [0, 1, 5, 6])
    assert not even.notes and any("unevenly" in note for note in uneven.notes)
    assert not any("unevenly" in note for note in write(tmp_path / "clip.mp4", clip_of(), [0, 1, 5, 6]).notes)


def test_streams_get_y4m_or_what_is_asked(tmp_path):
    for form in (None, "mkv", "mp4", "yuv"):
        stream = io.BytesIO()
        write(stream, clip_of(), form=form)
        if form == "yuv":
            expected = b"".join(plane.tobytes() for number in range(4) for plane in smooth_planes(34, 18, number))
            assert stream.getvalue() == expected
        else:
            found, frames = read(io.BytesIO(stream.getvalue()))
            assert len(frames) == 4 and not stream.closed


def test_raw_video_is_the_planes_in_turn(tmp_path):
    sink = write(tmp_path / "clip.yuv", clip_of((5, 3)), times=range(2))
    expected = b"".join(plane.tobytes() for number in range(2) for plane in smooth_planes(5, 3, number))
    assert (tmp_path / "clip.yuv").read_bytes() == expected and "5 x 3" in sink.notes[0]


@pytest.mark.parametrize(
    ("target", "first"),
    [("frames", "00001.png"), ("new.d/", "00001.png"), ("frames/f%03d.png", "f001.png"), (".", "00001.png")],
)
def test_folders_get_a_picture_a_frame(tmp_path, target, first):
    clip = clip_of((5, 3))
    write(f"{tmp_path}/{target}", clip, times=range(3))
    folder = tmp_path / (target.split("/")[0] if target != "." else "")
    names = sorted(file.name for file in folder.iterdir())
    assert len(names) == 3 and names[0] == first
    for number, name in enumerate(names):
        assert np.array_equal(read_picture(folder / name).pixels, conversion.to_rgb(smooth_planes(5, 3, number), clip.colour))


def test_folders_keep_what_else_is_in_them(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "00001.png").write_text("old")
    write(tmp_path, clip_of((5, 3)), times=range(2))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["00001.png", "00002.png", "notes.txt"]
    assert read_picture(tmp_path / "00001.png").pixels.shape == (3, 5, 3)


# ---- all or nothing


@pytest.mark.parametrize("target", ["clip.y4m", "clip.yuv", "clip.mp4", "clip.mkv", "clip.webm", "frames", "frames/%d.png"])
@pytest.mark.parametrize("written", [0, 1, 3])
def test_an_exception_leaves_nothing(tmp_path, target, written):
    with pytest.raises(KeyError):
        with open_output(tmp_path / target, None, clip_of()) as sink:
            for number in range(written):
                sink.write(smooth_planes(34, 18, number), number)
            raise KeyError
    assert not list(tmp_path.iterdir())
    sink.close()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("target", ["clip.y4m", "clip.mp4", "frames"])
def test_a_clip_without_a_frame_is_an_error_and_leaves_nothing(tmp_path, target):
    with pytest.raises(UsageError, match="no frame"):
        open_output(tmp_path / target, None, clip_of()).close()
    assert not list(tmp_path.iterdir())


def test_an_old_file_stays_until_the_new_one_is_complete(tmp_path):
    path = tmp_path / "clip.mkv"
    path.write_bytes(b"old")
    with pytest.raises(KeyError), open_output(path, None, clip_of()) as sink:
        sink.write(smooth_planes(34, 18), 0)
        raise KeyError
    assert path.read_bytes() == b"old"
    sink = open_output(path, None, clip_of())
    sink.write(smooth_planes(34, 18), 0)
    assert path.read_bytes() == b"old"
    sink.close()
    sink.close()
    assert len(read(path)[1]) == 1


@pytest.mark.parametrize(
    ("target", "options"),
    [
        ("clip.avi", {}),
        ("clip.png", {}),
        ("%d-%d.png", {}),
        ("none/clip.mp4", {}),
        ("clip.mp4", {"codec": "vp99"}),
        ("clip.webm", {"codec": "h264"}),
        ("clip.mkv", {"quality": 3}),
        ("clip.y4m", {"quality": 3}),
        ("frames", {"codec": "h264"}),
    ],
)
def test_what_cannot_be_written_is_said_before_anything_is(tmp_path, target, options):
    with pytest.raises(UsageError):
        open_output(tmp_path / target, None, clip_of(), **options)
    assert not list(tmp_path.iterdir())


def test_frames_of_another_size_or_time_are_refused(tmp_path):
    with open_output(tmp_path / "clip.y4m", None, clip_of()) as sink:
        sink.write(smooth_planes(34, 18), 0)
        for planes, time in ((smooth_planes(34, 18), 0), (smooth_planes(32, 18), 1)):
            with pytest.raises(UsageError):
                sink.write(planes, time)
    assert len(read(tmp_path / "clip.y4m")[1]) == 1
