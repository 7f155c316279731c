"""`calotype encode -m inr-video`: clips with their own networks, by processes of their own."""

from __future__ import annotations

import io
import json
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from calotype.codecs import y4m

FRAMES, WIDTH, HEIGHT = 9, 34, 26


def clip(path: Path) -> Path:
    """Waves that move, at 25 frames a second."""
    with path.open("wb") as sink:
        sink.write(f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F25:1 Ip A1:1 C420jpeg XCOLORRANGE=LIMITED\n".encode())
        y, x = np.mgrid[:HEIGHT, :WIDTH]
        for number in range(FRAMES):
            wave = (120 + 60 * np.sin((x + 2 * number) / 5) * np.cos(y / 4)).astype(np.uint8)
            sink.write(
                b"FRAME\n" + wave.tobytes() + bytes([110]) * (WIDTH * HEIGHT // 4) + bytes([140]) * (WIDTH * HEIGHT // 4)
            )
    return path


def planes_of(data: bytes) -> list[bytes]:
    stream = io.BytesIO(data)
    header = y4m.read_header(stream)
    found = iter(lambda: y4m.read_frame(stream, header), None)
    return [b"".join(plane.tobytes() for plane in planes) for planes in found]


@pytest.mark.parametrize("net", ["hnerv", "nirvana"])
def test_a_clip_is_fitted_shown_verified_and_decoded_in_every_form(run, tmp_path: Path, net: str) -> None:
    source, out = clip(tmp_path / "a.y4m"), tmp_path / "a.calo"
    said = run("encode", source, out, "-m", "inr-video", "--net", net, "-e", "2", "-q", "90", "--json")
    record = json.loads(said.out)
    assert record["model"] == f"{net}.1" and record["frames"] == FRAMES and record["bytes"] == out.stat().st_size
    shown = run("info", out).out
    assert "codec: inr-video" in shown and f"frames: {FRAMES} at 25 a second" in shown and "quality: 90" in shown
    assert f"good ({FRAMES} frames" in run("verify", out).out
    assert run("verify", out, "--executions").code == 2
    assert run("decode", out, tmp_path / "b.y4m").code == 0
    before, after = (planes_of(path.read_bytes()) for path in (source, tmp_path / "b.y4m"))
    seen = [np.frombuffer(b"".join(frames), np.uint8).astype(float) for frames in (before, after)]
    assert len(after) == FRAMES and np.square(seen[0] - seen[1]).mean() < 700
    assert run("decode", out, tmp_path / "c.mkv", "--start", "0.2", "--frames", "3").code == 0
    assert run("decode", out, f"{tmp_path / 'frames'}/", "--format", "png").code == 0
    assert len(list((tmp_path / "frames").glob("*.png"))) == FRAMES
    part = run("decode", out, tmp_path / "d.y4m", "--start", "0.2", "--frames", "3")
    assert part.code == 0 and planes_of((tmp_path / "d.y4m").read_bytes()) == after[5:8]


def test_pipes_carry_clips_both_ways_and_decoding_takes_no_torch(spawn, tmp_path: Path) -> None:
    source = clip(tmp_path / "a.y4m").read_bytes()
    encode = spawn("-m", "calotype", "encode", "-", "-", "-m", "inr-video", "-e", "0")
    data = encode.communicate(source, timeout=120)[0]
    lean = "import sys, calotype.cli.main as m; code = m.main(['decode', '-', '-']); sys.exit(code or 'torch' in sys.modules)"
    decode = spawn("-c", lean)
    decoded = decode.communicate(data, timeout=120)[0]
    assert (encode.returncode, decode.returncode) == (0, 0) and len(planes_of(decoded)) == FRAMES


@pytest.mark.parametrize(
    "options",
    [
        ("-m", "inr-video", "--bitrate", "100k"),
        ("-m", "inr-video", "--size", "1k"),
        ("-m", "inr-video", "--psnr", "30"),
        ("-m", "inr-video", "--minutes", "0"),
        ("--net", "hnerv"),
        ("--minutes", "1"),
        ("--realism", "1"),
        ("--roi", __file__),
    ],
)
def test_options_without_meaning_are_usage_errors_that_write_nothing(run, tmp_path: Path, options) -> None:
    out = tmp_path / "a.calo"
    assert run("encode", clip(tmp_path / "a.y4m"), out, *options).code == 2
    assert not out.exists()


def test_a_picture_is_refused(run, photo: Path, tmp_path: Path) -> None:
    assert run("encode", photo, tmp_path / "a.calo", "-m", "inr-video").code == 2


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_ctrl_c_writes_the_fit_as_it_is_and_a_kill_writes_nothing(spawn, run, tmp_path: Path, how: signal.Signals) -> None:
    source, out, log = clip(tmp_path / "a.y4m"), tmp_path / "out" / "a.calo", tmp_path / "steps"
    out.parent.mkdir()
    watched = (
        "import sys, calotype.codecs.neural.fitting as f, calotype.cli.main as m; error = f.Fit.error\n"
        f"def told(self, chosen):\n    open({str(log)!r}, 'a').write('.')\n    return error(self, chosen)\n"
        "f.Fit.error = told\n"
        f"sys.exit(m.main(['encode', {str(source)!r}, {str(out)!r}, '-m', 'inr-video', '-e', '9']))"
    )
    process = spawn("-c", watched)
    deadline = time.monotonic() + 240
    while not (log.exists() and log.stat().st_size > 4):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(how)
    process.communicate(timeout=120)
    if how == signal.SIGINT:
        assert process.returncode == 0
        assert f"good ({FRAMES} frames" in run("verify", out).out
    else:
        assert not list(out.parent.glob("*.calo"))
