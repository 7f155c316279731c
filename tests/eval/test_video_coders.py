"""Each encoder of the ffmpeg binary once in each configuration, with its cheapest preset, on a clip of 64 x 48."""

from __future__ import annotations

import io
import stat
from pathlib import Path

import numpy as np
import pytest
from tiny_clips import write_y4m

from calotype.errors import CalotypeError, UsageError
from calotype.eval.coders import make
from calotype.eval.coders.ffmpeg import CONFIGURATIONS, X264, X265, Libaom, SvtAv1, Vvenc
from calotype.eval.metrics import psnr_of
from calotype.eval.sources import open_sources

pytest.importorskip("imageio_ffmpeg")
ENCODERS = {encoder.codec: encoder for encoder in (X264, X265, SvtAv1, Libaom, Vvenc)}


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clips") / "tiny.y4m"
    write_y4m(path)
    [source] = open_sources([path])
    return source


@pytest.fixture(scope="module")
def coded(clip):
    """Of each encoder and configuration: the coder, and what it made of the clip."""
    found = {}
    for name, encoder in ENCODERS.items():
        for configuration in CONFIGURATIONS:
            coder = make(f"{name}:{encoder.presets[0]}:{configuration}")
            found[coder.label] = coder, coder.code(clip, coder.points[2])
    return found


def keyframes(data: bytes, form: str) -> list[bool]:
    import av

    with av.open(io.BytesIO(data), format=form) as container:
        return [packet.is_keyframe for packet in container.demux(video=0) if packet.size]


def kinds(data: bytes, form: str) -> set[str]:
    import av

    with av.open(io.BytesIO(data), format=form) as container:
        return {av.video.frame.PictureType(frame.pict_type).name for frame in container.decode(video=0)}


def luma_psnr(a, b) -> float:
    pairs = zip(a.frames(), b.frames(), strict=True)
    return float(np.mean([psnr_of(np.mean((x[0].astype(float) - y[0]) ** 2)) for x, y in pairs]))


def test_every_encoder_codes_to_real_bytes_and_back_in_every_configuration(clip, coded):
    assert len(coded) == 10
    for label, (coder, made) in coded.items():
        assert coder.label == label and coder.kinds == ("clip",) and len(set(coder.points)) == 8
        assert made.data_bytes == len(made.stream) > 0
        seen = made.decoded
        assert (seen.width, seen.height, seen.count, seen.rate) == (64, 48, 5, clip.rate)
        assert luma_psnr(clip, seen) > 30, label
        assert made.encode_seconds["total"] > 0 and made.decode_seconds["total"] > 0
        assert 50_000 > made.data_bytes


def test_streams_have_one_intra_frame_unless_asked_and_no_text(coded):
    for label, (coder, made) in coded.items():
        assert sum(keyframes(made.stream, coder.suffix)) == 1, label
        assert b"options" not in made.stream and b"x265" not in made.stream


def test_low_delay_has_no_reordering_and_random_access_has(coded):
    for name in ("x264", "x265"):
        form = ENCODERS[name].suffix
        assert kinds(coded[f"{name}:ultrafast:low-delay"][1].stream, form) == {"I", "P"}
    assert coded["x265:ultrafast:random-access"][1].stream != coded["x265:ultrafast:low-delay"][1].stream
    assert "bframes=0" in coded["x265:ultrafast:low-delay"][0].identity["arguments"]


@pytest.mark.parametrize("name", list(ENCODERS))
def test_intra_frames_come_as_often_as_asked(name, tmp_path):
    write_y4m(tmp_path / "nine.y4m", count=9)
    [source] = open_sources([tmp_path / "nine.y4m"])
    coder = make(f"{name}:{ENCODERS[name].presets[0]}:low-delay", intra_period=4)
    assert coder.identity["intra_period"] == 4
    places = keyframes(coder.code(source, coder.points[4]).stream, coder.suffix)
    assert [place for place, is_key in enumerate(places) if is_key] == [0, 4, 8]


def test_what_came_back_is_kept_as_long_as_its_frames_and_no_longer(clip):
    made = make("x264:ultrafast").code(clip, 30)
    folder = made.decoded.opener.args[0].parent
    assert len(list(made.decoded.frames())) == 5 and folder.exists()
    del made
    assert not folder.exists()


def test_an_odd_size_that_an_encoder_refuses_names_it_and_says_why(tmp_path):
    write_y4m(tmp_path / "odd.y4m", 63, 47)
    [source] = open_sources([tmp_path / "odd.y4m"])
    with pytest.raises(CalotypeError, match="x264:ultrafast:random-access: ffmpeg failed .*divisible by 2"):
        make("x264:ultrafast").code(source, 30)


def fake_ffmpeg(path: Path, body: str) -> str:
    path.write_text(f'#!/bin/sh\nif [ "$1" = -version ]; then echo ffmpeg version 1.fake; exit 0; fi\n{body}\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_a_binary_that_fails_is_a_typed_error_with_its_last_line(clip, tmp_path, monkeypatch):
    binary = fake_ffmpeg(tmp_path / "ffmpeg", "echo first >&2; echo no such encoder >&2; exit 3")
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", binary)
    coder = make("x265:fast")
    assert coder.identity["version"] == "ffmpeg 1.fake"
    with pytest.raises(CalotypeError, match=r"x265:fast:random-access: .*exit code 3.*first ... no such encoder"):
        coder.code(clip, 30)


def test_a_decoder_that_loses_frames_is_a_typed_error(clip, tmp_path, monkeypatch):
    binary = fake_ffmpeg(tmp_path / "ffmpeg", 'for last; do :; done; printf 12345 > "$last"')
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", binary)
    with pytest.raises(CalotypeError, match="decoded 5 bytes of tiny.y4m where 5 frames"):
        make("svtav1:13").code(clip, 30)


def test_a_binary_that_is_not_there_is_a_typed_error(tmp_path, monkeypatch):
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "absent"))
    with pytest.raises(CalotypeError, match="ffmpeg does not run"):
        make("vvenc")


def test_presets_and_configurations_may_be_left_out():
    assert make("x265").label == "x265:medium:random-access"
    assert make("x264:low-delay").label == "x264:medium:low-delay"
    assert make("svtav1:8").label == "svtav1:8:random-access"
    for spec in ("x264:low-delay:fast", "vvenc:ultrafast", "libaom:9", "x264:fast:low-delay:4"):
        with pytest.raises(UsageError, match=spec):
            make(spec)
