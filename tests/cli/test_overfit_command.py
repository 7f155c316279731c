"""`calotype encode -m overfit`: fitted to one picture, told of as any encode, never half a file."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from gradients import gradient
from PIL import Image

pytestmark = pytest.mark.usefixtures("shipped")


def test_a_picture_is_fitted_shown_and_verified(run, photo: Path, tmp_path: Path) -> None:
    out, back = tmp_path / "a.calo", tmp_path / "a.png"
    record = json.loads(run("encode", str(photo), str(out), "-m", "overfit", "-e", "1", "-q", "70", "--json").out)
    assert record["model"].startswith("overfit-") and record["bytes"] == out.stat().st_size and record["rounds"] == 4
    assert run("decode", str(out), str(back)).code == 0
    assert np.abs(np.asarray(Image.open(back)).astype(int) - gradient(50, 70)).mean() < 10
    said = run("info", str(out)).out
    assert "codec: overfit" in said and "network bytes:" in said and "quality: 70" in said
    assert "good" in run("verify", str(out), "--against", str(photo)).out


@pytest.mark.parametrize(
    "options",
    [
        ("-m", "overfit", "--size", "10"),
        ("-m", "overfit", "--psnr", "99"),
        ("-m", "overfit", "--bitrate", "1k"),
        ("-m", "overfit", "--minutes", "0"),
        ("--minutes", "1"),
        ("--lossless", "--minutes", "1"),
    ],
)
def test_options_without_meaning_are_usage_errors_that_write_nothing(run, photo: Path, tmp_path: Path, options) -> None:
    out = tmp_path / "a.calo"
    assert run("encode", str(photo), str(out), *options).code == 2
    assert not out.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_ctrl_c_writes_the_best_so_far_and_a_kill_writes_nothing(spawn, run, tmp_path: Path, how: signal.Signals) -> None:
    source, out = tmp_path / "photo.png", tmp_path / "out" / "a.calo"
    out.parent.mkdir()
    Image.fromarray(gradient(200, 200)).save(source)
    log = tmp_path / "rounds"
    watched = (
        "import sys, calotype.codecs.overfitting as o, calotype.cli.main as m; look = o._Fit.look\n"
        f"def told(self):\n    look(self)\n    open({str(log)!r}, 'a').write('.')\n"
        "o._Fit.look = told\n"
        f"sys.exit(m.main(['encode', {str(source)!r}, {str(out)!r}, '-m', 'overfit', '-e', '9']))"
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
        assert run("verify", str(out)).code == 0
    else:
        assert not list(out.parent.glob("*.calo"))
