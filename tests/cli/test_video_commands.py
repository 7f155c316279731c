"""Clips through the command line: files, folders, pipes, sound, and exit codes; pipes in processes of their own."""

from __future__ import annotations

import io
import json
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from calotype.cli import terminal
from calotype.codecs import conformance, y4m
from calotype.models import zoo
from calotype.models.integer import executions

FRAMES, WIDTH, HEIGHT = 20, 64, 48


@pytest.fixture(scope="module", autouse=True)
def shipped_video() -> None:
    if not (zoo.WEIGHTS / f"{zoo.DEFAULT_VIDEO_MODEL}.safetensors").is_file():
        pytest.skip(f"needs the shipped model {zoo.DEFAULT_VIDEO_MODEL}: calotype/models/weights has none")


@pytest.fixture
def calotype(spawn):
    """calotype(arguments..., given=bytes) -> (exit code, bytes on stdout, text on stderr), of a process of its own."""

    def call(*arguments: object, given: bytes | None = None) -> tuple[int, bytes, str]:
        process = spawn("-m", "calotype", *arguments)
        out, err = process.communicate(given, timeout=120)
        return process.returncode, out, err.decode()

    return call


def picture(number: int) -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    wave = 110 + 60 * np.sin((x + 2 * number) / 7) * np.cos(y / 6) + number
    return np.stack([wave, 230 - wave, wave / 2 + 60], 2).clip(0, 255).astype(np.uint8)


def write_clip(path: Path, audio: str | None, codec: str) -> Path:
    """25 frames a second; with sound, noise."""
    for name in filter(None, (audio, codec)):
        try:
            av.Codec(name, "w")
        except Exception:
            pytest.skip(f"this PyAV has no encoder {name}")
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=25)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        sound = None if audio is None else container.add_stream(audio, rate=48000)
        for number in range(FRAMES):
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture(number), format="rgb24")))
        container.mux(video.encode(None))
        for start in range(0, FRAMES * 48000 // 25 if sound else 0, 1024):
            noise = np.random.default_rng(start).normal(0, 0.1, (1, 1024)).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(noise, "fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
            container.mux(sound.encode(frame))
        if sound:
            container.mux(sound.encode(None))
    return path


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """An mp4 with sound."""
    return write_clip(tmp_path_factory.mktemp("source") / "in.mp4", "aac", "libx264")


@pytest.fixture(scope="module")
def silent(tmp_path_factory) -> bytes:
    """The clip as y4m."""
    from calotype.codecs.header import Colour
    from calotype.codecs.video.colour import to_planes

    colour, out = Colour("bt709", "limited", "420", 8), io.BytesIO()
    out.write(b"YUV4MPEG2 W64 H48 F25:1 Ip A1:1 C420 XCOLORRANGE=LIMITED\n")
    for number in range(FRAMES):
        out.write(b"FRAME\n" + b"".join(plane.tobytes() for plane in to_planes(picture(number), colour)))
    return out.getvalue()


def frames_of(data: bytes) -> list[list[np.ndarray]]:
    stream = io.BytesIO(data)
    header = y4m.read_header(stream)
    return [list(planes) for planes in iter(lambda: y4m.read_frame(stream, header), None)]


def same(first: list, second: list) -> bool:
    return len(first) == len(second) and all(all(map(np.array_equal, a, b)) for a, b in zip(first, second, strict=True))


def sound_of(path: Path) -> list[tuple[float, bytes]]:
    """(seconds after the first frame of the video, bytes) of each packet."""
    with av.open(str(path)) as container:
        found = [(p.stream.type, p.pts * p.time_base, bytes(p)) for p in container.demux() if p.size]
    start = min(at for kind, at, _ in found if kind == "video")
    return [(float(at - start), data) for kind, at, data in found if kind == "audio"]


def test_a_clip_and_its_sound_through_every_command(calotype, run, source, tmp_path) -> None:
    calo, log = tmp_path / "clip.calo", tmp_path / "log.jsonl"
    code, out, err = calotype("encode", source, calo, "-q", 40, "--intra-period", 8, "--log", log, "--json")
    assert code == 0, err
    record = json.loads(out)
    assert (record["frames"], record["width"], record["bytes"]) == (FRAMES, WIDTH, calo.stat().st_size)
    assert record["psnr"] > 28 and record["audio_bytes"] > 1000 and record["kbps"] > 1
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert sorted(line["number"] for line in lines) == list(range(FRAMES)) and sum("I" == line["kind"] for line in lines) == 3
    assert np.mean([line["psnr"] for line in lines]) == pytest.approx(record["psnr"], abs=1e-3)

    clip = json.loads(run("info", "--json", calo).out)["clip"]
    assert (clip["frames"], clip["segments"]) == (FRAMES, 3) and clip["audio_bytes"] >= record["audio_bytes"]
    assert clip["intra"] == [0, 0.32, 0.64] and clip["audio"] == [{"codec": "aac", "sample_rate": 48000, "channels": 2}]
    said = run("info", calo).out
    assert "at 0, 0.32, 0.64 s" in said and "audio: aac, 48000 Hz, 2 channels" in said and "25 a second, 0.800 s" in said
    assert run("verify", calo).code == 0
    assert run("decode", calo, tmp_path / "out.y4m").code == 0
    frames = frames_of((tmp_path / "out.y4m").read_bytes())
    assert len(frames) == FRAMES
    code, _, err = calotype("decode", calo, tmp_path / "out.mp4")
    assert code == 0, err
    assert sound_of(tmp_path / "out.mp4") == sound_of(source)

    # the part that begins within the second segment, as at a frame of it
    assert run("decode", calo, tmp_path / "part.mkv", "--start", "0.44", "--frames", 6).code == 0
    with av.open(str(tmp_path / "part.mkv")) as container:
        kept = [[f.to_ndarray()] for f in container.decode(video=0)]
    assert same(kept, [[np.concatenate([p.reshape(-1, WIDTH) for p in planes])] for planes in frames[11:17]])
    times = {data: at for at, data in sound_of(source)}
    part = sound_of(tmp_path / "part.mkv")
    assert part and all(at == pytest.approx(times[data] - 0.44, abs=2e-3) for at, data in part)
    assert min(at for at, _ in part) < 0.024 and 6 / 25 - 0.024 < max(at for at, _ in part) < 6 / 25  # a packet: 21 or 23 ms

    for _ in range(2):  # a folder that is there is as one that is not
        assert run("decode", calo, tmp_path / "frames", "--format", "png").code == 0
    pictures = sorted((tmp_path / "frames").iterdir())
    assert len(pictures) == FRAMES
    error = np.abs(np.asarray(Image.open(pictures[5])).astype(int) - picture(5)).mean()
    assert error < 12


def test_clips_go_through_pipes_both_ways_and_are_those_of_files(calotype, run, silent, tmp_path) -> None:
    (tmp_path / "in.y4m").write_bytes(silent)
    code, calo, err = calotype("encode", "-", "-", "-q", 30, "--structure", "low-delay", given=silent)
    assert code == 0 and b"CALO" == calo[:4], err
    assert run("encode", tmp_path / "in.y4m", tmp_path / "a.calo", "-q", 30, "--structure", "low-delay").code == 0
    assert (tmp_path / "a.calo").read_bytes() == calo
    code, out, err = calotype("decode", "-", "-", given=calo)
    assert code == 0 and len(frames_of(out)) == FRAMES, err
    assert run("decode", tmp_path / "a.calo", tmp_path / "part.y4m", "--start", "0.5", "--frames", 3).code == 0
    assert same(frames_of((tmp_path / "part.y4m").read_bytes()), frames_of(out)[12:15])


def test_damage_after_the_frames_wanted_costs_no_more_than_their_sound(run, source, tmp_path) -> None:
    assert run("encode", source, tmp_path / "a.calo", "--structure", "low-delay", "--intra-period", 4).code == 0
    data = bytearray((tmp_path / "a.calo").read_bytes())
    data[len(data) * 2 // 3] ^= 16
    (tmp_path / "a.calo").write_bytes(data)
    assert run("decode", tmp_path / "a.calo", tmp_path / "all.mp4").code == 3
    assert run("decode", tmp_path / "a.calo", tmp_path / "part.mp4", "--frames", 4).code == 0
    with av.open(str(tmp_path / "part.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 4 and sound_of(tmp_path / "part.mp4")


def test_a_terminated_encode_leaves_nothing(spawn, silent, tmp_path) -> None:
    process = spawn("-m", "calotype", "encode", "-", tmp_path / "out.calo")
    process.stdin.write(silent[: len(silent) // 2])
    process.stdin.flush()  # it waits for the rest
    while not list(tmp_path.iterdir()):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    process.terminate()
    assert process.wait(60) == 143 and not list(tmp_path.iterdir())


def test_targets_that_make_no_sense_exit_with_2(calotype, run, silent, photo, tmp_path) -> None:
    clip = tmp_path / "in.y4m"
    clip.write_bytes(silent)
    out = tmp_path / "out.calo"
    for arguments, word in (
        ((clip, out, "--bpp", 1), "--bpp"),
        ((photo, out, "--bitrate", "100k"), "--bitrate"),
        ((clip, out, "--size", 20), "size"),
        ((clip, out, "--structure", "nonsense"), "nonsense"),
        ((clip, out, "-q", 50, "--bitrate", "1M"), "several"),
        ((clip, out, "--start", 5), "5"),
        ((clip, out, "-m", zoo.DEFAULT_IMAGE_MODEL), "video model"),
        ((photo, out, "-m", zoo.DEFAULT_VIDEO_MODEL), "image model"),
    ):
        result = run("encode", *arguments)
        assert result.code == 2 and word in result.err, (arguments, result)
        assert not out.exists()
    code, data, err = calotype("encode", "-", "-", "--size", "10k", given=silent)
    assert (code, data) == (2, b"") and "pipe" in err


def test_a_bitrate_is_reached(run, silent, tmp_path) -> None:
    (tmp_path / "in.y4m").write_bytes(silent)
    result = run("encode", tmp_path / "in.y4m", tmp_path / "a.calo", "--bitrate", "15k", "--passes", 2, "--json")
    assert result.code == 0 and json.loads(result.out)["kbps"] == pytest.approx(15, rel=0.15)
    result = run("encode", tmp_path / "in.y4m", tmp_path / "b.calo", "--size", 1500, "--json", "--start", 0.2, "--frames", 9)
    assert result.code == 0 and (tmp_path / "b.calo").stat().st_size <= 1500 and json.loads(result.out)["frames"] == 9


def test_damage_exits_with_3_and_a_part_can_be_had(run, silent, tmp_path) -> None:
    (tmp_path / "in.y4m").write_bytes(silent)
    calo, out = tmp_path / "a.calo", tmp_path / "out.y4m"
    assert run("encode", tmp_path / "in.y4m", calo, "-q", 30, "--structure", "low-delay").code == 0
    assert run("decode", calo, out).code == 0
    whole, data = frames_of(out.read_bytes()), calo.read_bytes()
    out.unlink()
    calo.write_bytes(data[: len(data) * 2 // 3])
    result = run("decode", calo, out)
    assert result.code == 3 and "cut short" in result.err and not out.exists()
    result = run("decode", calo, out, "--allow-partial", "--json")
    part = frames_of(out.read_bytes())
    assert result.code == 0 and 2 < len(part) < FRAMES and same(part, whole[: len(part)])
    assert json.loads(result.out)["partial"] and "cut short" in result.err
    assert run("verify", calo).code == 3
    calo.write_bytes(data[:200] + bytes([data[200] ^ 1]) + data[201:])
    assert run("decode", calo, out).code == 3


def test_a_clip_does_not_fit_one_picture_nor_a_picture_a_clip(run, silent, photo, tmp_path) -> None:
    (tmp_path / "in.y4m").write_bytes(silent)
    assert run("encode", tmp_path / "in.y4m", tmp_path / "a.calo", "-q", 10, "--frames", 3).code == 0
    result = run("decode", tmp_path / "a.calo", tmp_path / "a.png")
    assert result.code == 2 and ".png" in result.err and not (tmp_path / "a.png").exists()
    assert run("encode", photo, tmp_path / "b.calo").code == 0
    result = run("decode", tmp_path / "b.calo", tmp_path / "b.mp4")
    assert result.code == 2 and not (tmp_path / "b.mp4").exists()
    (tmp_path / "in.mp4").write_bytes(b"\0\0\0\x20ftypisom" + bytes(64))
    result = run("decode", tmp_path / "in.mp4", tmp_path / "b.mkv")
    assert result.code == 3 and "not a .calo file" in result.err


def test_a_folder_of_pictures_and_clips_goes_both_ways(run, silent, photo, tmp_path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "deep" / "clip.y4m").write_bytes(silent)
    photo.rename(tmp_path / "in" / "photo.png")
    result = run("encode", tmp_path / "in", tmp_path / "calo", "-q", 20, "--frames", 4)
    assert result.code == 0, result.err
    result = run("decode", tmp_path / "calo", tmp_path / "out")
    assert result.code == 0, result.err
    found = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*")}
    assert found == {"photo.png", "deep/clip.y4m"}
    assert len(frames_of((tmp_path / "out" / "deep" / "clip.y4m").read_bytes())) == 4


def test_a_folder_of_frames_is_a_clip_where_the_command_line_says_so(run, tmp_path) -> None:
    (tmp_path / "frames").mkdir()
    for number in range(4):
        Image.fromarray(picture(number)).save(tmp_path / "frames" / f"{number}.png")
    result = run("encode", tmp_path / "frames", tmp_path / "a.calo", "--video", "-q", 20, "--json")
    assert result.code == 0 and json.loads(result.out)["frames"] == 4, result.err


def test_frames_go_to_a_folder_and_back_by_a_pattern(run, tmp_path) -> None:
    (tmp_path / "frames").mkdir()
    for number in range(3):
        Image.fromarray(picture(number)).save(tmp_path / "frames" / f"{number}.png")
    result = run("encode", tmp_path / "frames" / "%d.png", tmp_path / "a.calo", "-q", 20, "--rate", "24000/1001")
    assert result.code == 0 and "x 3" in result.out, result.err
    assert "23.976 (24000/1001) a second" in run("info", tmp_path / "a.calo").out
    for arguments, word in (
        ((tmp_path / "frames", tmp_path / "b.calo"), "--video"),
        ((*sorted((tmp_path / "frames").iterdir()), tmp_path / "b.calo"), "--video"),
        ((tmp_path / "frames" / "a%d.png", tmp_path / "b.calo"), "a1.png"),
        ((tmp_path / "frames" / "%d.png", tmp_path / "b.calo", "--rate", "0"), "--rate"),
    ):
        result = run("encode", *arguments)
        assert result.code == 2 and word in result.err and not (tmp_path / "b.calo").exists(), result


def test_clips_are_known_by_their_first_bytes_where_the_name_does_not_tell(run, source, tmp_path) -> None:
    source.rename(tmp_path / "clip")
    result = run("encode", tmp_path / "clip", tmp_path / "a.calo", "-q", 20, "--frames", 2)
    (tmp_path / "clip").rename(source)
    assert result.code == 0 and "x 2" in result.out, result.err
    (tmp_path / "strange.ts").write_bytes(b"G" + bytes(500))
    result = run("encode", tmp_path / "strange.ts", tmp_path / "b.calo")
    assert result.code == 3 and "--video" in result.err


def test_verify_shows_how_far_it_is(run, monkeypatch) -> None:
    clip = conformance.FOLDER / next(name for name in conformance.released() if name.startswith("video-s.4-low-delay"))
    shown = []
    monkeypatch.setattr(terminal.Progress, "frames", lambda _, done, total, speed, *stage: shown.append((done, total, *stage)))
    monkeypatch.setattr(executions, "EXECUTIONS", ("kernel", "reference"))
    result = run("verify", clip, "--executions", "--json")
    record = json.loads(result.out)
    assert result.code == 0 and record["executions"] == ["kernel", "reference"]
    total = record["frames"]
    assert shown == [(n, total, (k, 2, name)) for k, name in enumerate(record["executions"]) for n in range(1, total + 1)]
    shown.clear()
    assert json.loads(run("verify", clip, "--json").out)["symbols"] == record["symbols"]
    assert shown == [(n, total) for n in range(1, total + 1)]
