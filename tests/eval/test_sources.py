from __future__ import annotations

import hashlib
import pickle
from fractions import Fraction

import numpy as np
import pytest
from fake_coder import make_picture
from tiny_clips import RATE, make_frames, raw_bytes, write_pictures, write_y4m

from calotype.errors import CalotypeError, UsageError
from calotype.eval.colour import yuv420_of
from calotype.eval.frames import picture_frames
from calotype.eval.rawvideo import parse_name, read_raw
from calotype.eval.sources import Failure, Frames, open_sources


def only(*paths, **options) -> Frames:
    [found] = open_sources(paths, **options)
    assert isinstance(found, Frames), str(found)
    return found


def failure(path, *others, **options) -> str:
    """The first source's failure, with its name; `others` must open."""
    found = list(open_sources([path, *others], **options))
    assert isinstance(found[0], Failure) and isinstance(found[0].error, CalotypeError)
    assert all(isinstance(entry, Frames) for entry in found[1:]) and len(found) == 1 + len(others)
    return str(found[0])


def same(a, b) -> bool:
    return all(map(np.array_equal, a, b))


def test_pictures_of_a_folder_come_sorted_and_can_be_read_twice(folder):
    found = list(open_sources([folder]))
    assert [source.name for source in found] == ["p1.png", "p2.png", "p3.png"]
    for number, source in enumerate(found, 1):
        assert (source.kind, source.count, source.rate, source.format) == ("picture", 1, 1, "rgb24")
        assert (source.width, source.height) == ((40, 24), (24, 40), (40, 24))[number - 1]
        [first], [second] = source.frames(), source.frames()
        assert first.shape == (source.height, source.width, 3) and np.array_equal(first, second)
    assert [source.name for source in open_sources([folder], limit=2)] == ["p1.png", "p2.png"]


def test_a_sum_is_of_shape_and_samples_not_of_the_file(tmp_path):
    pixels = make_picture(tmp_path / "a.png", 20, 10, seed=1)
    source = only(tmp_path / "a.png")
    expected = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()
    assert source.sha256() == expected == picture_frames("b", pixels).sha256()
    frames = write_y4m(tmp_path / "clip.y4m")
    (tmp_path / "clip_64x48_25.yuv").write_bytes(raw_bytes(frames))
    sums = {source.sha256() for source in open_sources([tmp_path / "clip.y4m", tmp_path / "clip_64x48_25.yuv"])}
    assert sums == {hashlib.sha256(repr((5, 48, 64, "yuv420p")).encode() + raw_bytes(frames)).hexdigest()}


def test_clips_of_every_kind_give_the_frames_that_were_written(tmp_path):
    frames = write_y4m(tmp_path / "a.y4m", 63, 47)
    (tmp_path / "b_63x47_25.yuv").write_bytes(raw_bytes(frames))
    for source in open_sources([tmp_path]):
        assert (source.kind, source.width, source.height, source.count) == ("clip", 63, 47, 5)
        assert (source.rate, source.format) == (RATE, "yuv420p")
        assert all(map(same, source.frames(), frames)) and all(map(same, source.frames(), frames))
        assert all(map(same, pickle.loads(pickle.dumps(source)).frames(), frames))
    for source in open_sources([tmp_path], frames=3):
        assert source.count == len(list(source.frames())) == 3
    assert "fewer than the 9" in only(tmp_path / "a.y4m", frames=9).notes[0]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_movie_is_decoded_to_420(tmp_path, suffix):
    import av

    frames = make_frames()
    with av.open(str(tmp_path / f"m{suffix}"), "w") as container:
        stream = container.add_stream("mpeg4", rate=RATE)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 64, 48, "yuv420p", 4_000_000
        for frame in frames:
            packed = np.concatenate([plane.reshape(-1, 64) for plane in frame])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(packed, format="yuv420p")))
        container.mux(stream.encode())
    source = only(tmp_path / f"m{suffix}")
    assert (source.width, source.height, source.count, source.rate) == (64, 48, 5, RATE)
    for seen, frame in zip(source.frames(), frames, strict=True):
        assert [plane.shape for plane in seen] == [plane.shape for plane in frame]
        assert np.abs(seen[0].astype(int) - frame[0]).mean() < 8
    assert only(tmp_path / f"m{suffix}", frames=2).count == 2
    (tmp_path / f"cut{suffix}").write_bytes((tmp_path / f"m{suffix}").read_bytes()[:40])
    assert failure(tmp_path / f"cut{suffix}").startswith(f"cut{suffix}: ")


def test_frames_in_folders_are_clips_where_asked_sorted_by_number(tmp_path):
    sizes = [(16, 12)] * 11
    pixels = write_pictures(tmp_path / "walk", sizes)
    for path in (tmp_path, tmp_path / "walk"):
        source = only(path, frames_as_clip=True)
        assert (source.name, source.kind, source.count, source.format) == ("walk", "clip", 11, "yuv420p")
        assert all(map(same, source.frames(), map(yuv420_of, pixels)))
        assert any("BT.709" in note for note in source.notes)
    assert len(list(open_sources([tmp_path / "walk"]))) == 11


def test_rgb_becomes_bt709_of_limited_range():
    colours = {(0, 0, 0): (16, 128, 128), (255, 255, 255): (235, 128, 128), (255, 0, 0): (63, 102, 240)}
    colours[0, 0, 255] = (32, 240, 118)
    for rgb, yuv in colours.items():
        planes = yuv420_of(np.full((3, 5, 3), rgb, np.uint8))
        assert [plane.shape for plane in planes] == [(3, 5), (2, 3), (2, 3)]
        assert tuple(int(plane.min()) for plane in planes) == tuple(int(plane.max()) for plane in planes) == yuv


def test_ten_bit_samples_are_rounded_to_eight(tmp_path):
    samples = np.array([0, 1, 2, 5, 6, 1021, 1022, 1023] * 3, "<u2")
    (tmp_path / "x.yuv").write_bytes(samples.tobytes())
    [(y, u, v)] = read_raw(tmp_path / "x.yuv", 4, 4, 1, bits=10)
    assert np.concatenate([y.ravel(), u.ravel(), v.ravel()]).tolist() == [0, 0, 1, 1, 2, 255, 255, 255] * 3


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("Beauty_1920x1080_120fps_420_8bit_YUV", (1920, 1080, 120)),
        ("videoSRC05_1920x1080_25", (1920, 1080, 25)),
        ("FourPeople_1280x720_60", (1280, 720, 60)),
        ("clip_352x288_29.97", (352, 288, Fraction(30000, 1001))),
        ("clip-352x288-30", (352, 288, 30)),
    ],
)
def test_the_standard_names_give_size_and_rate(stem, expected):
    assert parse_name(stem) == expected


@pytest.mark.parametrize("stem", ["clip", "clip_352x288", "a_64x48_0", "a_64x48_30_10bit", "a_64x48_30_422", "a_0x48_30"])
def test_a_name_without_size_or_rate_or_of_other_samples_is_refused(stem):
    with pytest.raises(UsageError, match=stem):
        parse_name(stem)


def test_what_cannot_be_measured_is_a_failure_that_names_it_and_the_rest_goes_on(tmp_path):
    good = tmp_path / "good.y4m"
    frames = write_y4m(good)
    assert "there is no" in failure(tmp_path / "absent.png", good)
    (tmp_path / "none").mkdir()
    assert "no picture and no clip" in failure(tmp_path / "none", good)
    assert "no picture and no clip" in failure(tmp_path / "none", good, frames_as_clip=True)
    wrong = tmp_path / "wrong_64x46_25.yuv"
    wrong.write_bytes(raw_bytes(frames))
    assert failure(wrong, good).startswith("wrong_64x46_25.yuv: it has 23040 bytes")
    write_y4m(tmp_path / "one.y4m", count=1)
    assert "one frame" in failure(tmp_path / "one.y4m", good)
    write_y4m(tmp_path / "zero.y4m", count=0)
    assert "no frame" in failure(tmp_path / "zero.y4m", good)
    (tmp_path / "cut.y4m").write_bytes(good.read_bytes()[:-1])
    assert "cut short" in failure(tmp_path / "cut.y4m", good)
    (tmp_path / "text.png").write_text("no picture")
    assert "text.png: " in failure(tmp_path / "text.png", good)
    write_pictures(tmp_path / "mixed", [(16, 12), (16, 12), (16, 14)])
    assert "several sizes: frame3.png is 16 x 14" in failure(tmp_path / "mixed", good, frames_as_clip=True)
    found = list(open_sources([good, good]))
    assert isinstance(found[0], Frames) and "two sources are named good.y4m" in str(found[1])


def test_a_turned_frame_of_another_size_is_found_when_it_is_read(tmp_path):
    write_pictures(tmp_path / "turned", [(16, 12), (12, 16)])
    with pytest.raises(CalotypeError, match="turned: frame 2 is 12 x 16"):
        list(only(tmp_path / "turned", frames_as_clip=True).frames())


def test_a_file_that_changes_while_it_is_measured_is_an_error(tmp_path):
    write_y4m(tmp_path / "a.y4m")
    source = only(tmp_path / "a.y4m")
    write_y4m(tmp_path / "a.y4m", count=4)
    with pytest.raises(CalotypeError, match="gives 4 frames now"):
        list(source.frames())


def test_bad_arguments_are_refused_at_once(tmp_path):
    with pytest.raises(UsageError):
        open_sources([])
    with pytest.raises(UsageError):
        open_sources([tmp_path], frames=1)
