"""What only a process of its own can show: binary pipes and being killed."""

from __future__ import annotations

import io
import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from gradients import gradient
from PIL import Image

pytestmark = pytest.mark.usefixtures("shipped")
KILLS = int(os.environ.get("CALOTYPE_KILLS", "3"))  # SIGKILLs during an encode; raise it for a long run

# Imports once, encodes once, then forks a child for each line on stdin, which encodes until it is killed.
NURSERY = """
import os, sys, calotype.cli.main as m
arguments = ["encode", "--json", "--threads", "1", *sys.argv[1:]]
sys.stdout = open(os.devnull, "w")
assert m.main(arguments) == 0
sys.stdout = sys.__stdout__
print("ready", flush=True)
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        sys.stdout = open(os.devnull, "w")
        while True:
            m.main(arguments)
    print(child, flush=True)
    os.waitpid(child, 0)
"""


def test_pipes_carry_the_file_and_nothing_else(spawn, run, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given, taken = io.TextIOWrapper(io.BytesIO(photo.read_bytes())), io.TextIOWrapper(io.BytesIO())
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdin", given)
        patch.setattr(sys, "stdout", taken)
        result = run("encode", "-", "-")
    assert (result.code, result.out) == (0, "")
    assert result.err.startswith("standard input -> -") and result.err.count("\n") == 1
    encoded = taken.buffer.getvalue()
    assert encoded[:4] == b"CALO"
    process = spawn("-m", "calotype", "decode", "--json", "-", "-")
    decoded, said = process.communicate(encoded, timeout=120)
    assert process.returncode == 0
    assert b'"output": "-"' in said and said.count(b"\n") == 1
    pixels = np.asarray(Image.open(io.BytesIO(decoded)))
    assert np.abs(pixels.astype(int) - gradient(50, 70)).mean() < 20


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_sigkill_during_encode_leaves_no_half_file(spawn, tmp_path: Path) -> None:
    source, out = tmp_path / "photo.png", tmp_path / "out" / "photo.calo"
    out.parent.mkdir()
    Image.fromarray(gradient(96, 96)).save(source)
    nursery = spawn("-c", NURSERY, source, out, text=True)
    assert nursery.stdout.readline() == "ready\n", nursery.stderr.read()
    whole = out.read_bytes()
    dice = random.Random(0)
    for number in range(KILLS):
        if number % 2:
            out.unlink()  # killed when there is no file yet, and when there is one
        nursery.stdin.write("\n")
        nursery.stdin.flush()
        child = int(nursery.stdout.readline())
        time.sleep(dice.uniform(0, 0.2))
        os.kill(child, signal.SIGKILL)
        if out.exists():
            assert out.read_bytes() == whole
        else:
            out.write_bytes(whole)
    nursery.stdin.close()
    assert nursery.wait(60) == 0
    left = [name for name in os.listdir(out.parent) if name != out.name]
    assert all(name.startswith(".photo.calo.calotype-tmp-") for name in left)
