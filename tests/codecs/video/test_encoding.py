"""`calotype.encode_video`: clips from files, streams and frames of a program, to files and streams."""

from __future__ import annotations

import io
from fractions import Fraction

import numpy as np
import pytest
from mediaclips import Pipe
from movingclips import COLOUR, moving, shipped
from PIL import Image

import calotype
from calotype.codecs import y4m
from calotype.codecs.video.colour import to_rgb
from calotype.errors import UsageError

COUNT, HEIGHT, WIDTH = 4, 32, 48


@pytest.fixture(scope="module", autouse=True)
def model() -> None:
    shipped()


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    return [to_rgb(moving(HEIGHT, WIDTH, number), COLOUR) for number in range(COUNT)]


def encoded(source, **settings) -> bytes:
    sink = io.BytesIO()
    summary = calotype.encode_video(source, sink, **settings)
    assert summary.size == len(sink.getvalue())
    return sink.getvalue()


def test_frames_of_a_program_become_a_clip_at_their_rate(frames) -> None:
    video = calotype.open(encoded((frame for frame in frames), quality=60, rate=29.97002997))
    assert video.rate == Fraction(30000, 1001) and len(video) == COUNT
    for frame, exact in zip(video, frames, strict=True):
        assert np.abs(video.rgb(frame).astype(int) - exact).mean() < 8


def test_one_clip_is_one_file_wherever_it_comes_from_and_goes(frames, tmp_path) -> None:
    pictures, clip, out = tmp_path / "frames", tmp_path / "clip.y4m", tmp_path / "out.calo"
    pictures.mkdir()
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(pictures / f"f{number:03d}.png")
    settings = {"quality": 20, "structure": "low-delay"}
    exact = encoded(np.stack(frames), rate=25, **settings)
    with pytest.warns(UserWarning, match="RGB frames"):
        summary = calotype.encode_video(str(pictures / "f%03d.png"), out, rate=25, **settings)
    assert out.read_bytes() == exact and summary.size == len(exact) and len(summary.records) == COUNT
    with clip.open("wb") as stream:
        y4m.write_header(stream, WIDTH, HEIGHT, Fraction(25), "limited")
        for number in range(COUNT):
            y4m.write_frame(stream, moving(HEIGHT, WIDTH, number))
    piped = encoded(Pipe(io.BytesIO(clip.read_bytes())), **settings)
    assert piped == encoded(clip, **settings) and len(calotype.open(piped)) == COUNT
    assert len(calotype.open(encoded(clip, start=0.08, frames=2, **settings))) == 2


def test_targets_need_frames_that_can_be_had_again(frames) -> None:
    assert len(encoded(frames, rate=25, size=1000)) <= 1000
    with pytest.raises(UsageError, match="more than once"):
        encoded(iter(frames), rate=25, size=1000)


@pytest.mark.parametrize(
    ("source", "settings", "said"),
    [
        ([], {"rate": 25}, "no frame"),
        ("frames", {}, "rate"),
        ("frames", {"rate": 0}, "above 0"),
        ("frames", {"rate": 25, "start": 1}, "start and frames"),
        ("frames", {"rate": 25, "quality": 101}, "0 to 100"),
        ("frames", {"rate": 25, "psnr": -1}, "above 0"),
        ("frames", {"rate": 25, "psnr": 30, "bitrate": 1000}, "not several"),
        ("frames", {"rate": 25, "structure": "nonsense"}, "nonsense"),
        ("frames", {"rate": 25, "model": "image-s.4"}, "video model"),
        ([np.zeros((4, 4), np.uint8)], {"rate": 25}, r"frame 0 is \(4, 4\) uint8"),
        ([np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3), np.uint8)], {"rate": 25}, "frames of one size"),
        ([np.zeros((4, 4, 3))], {"rate": 25}, "float64"),
        (["a.png"], {"rate": 25}, "frame 0 is str"),
        ("nowhere/%d.png", {}, "nowhere"),
        ("nowhere.mp4", {}, "no file"),
    ],
)
def test_what_makes_no_sense_is_refused_and_leaves_nothing(frames, tmp_path, source, settings, said) -> None:
    with pytest.raises(UsageError, match=said):
        calotype.encode_video(frames if source == "frames" else source, tmp_path / "out.calo", **settings)
    assert not list(tmp_path.iterdir())
