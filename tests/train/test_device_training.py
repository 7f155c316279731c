"""`scripts/train_on_device.py`: the whole chain of a lent GPU, on a CPU without numba, PyAV, click and crc32c."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from calotype.train import checkpoint
from calotype.train.exportvideo import load_run
from calotype.train.loop import CHECKPOINT, LOG

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "train_on_device.py"
# Clips come by OpenCV there; here a stand-in with its one class that is used plays raw frames.
BARE = """
import runpy, sys, types
import numpy as np
for name in ("numba", "llvmlite", "click", "crc32c", "av", "tqdm"):
    sys.modules[name] = None
class VideoCapture:
    def __init__(self, path): self.frames = iter(np.load(path))
    def read(self):
        frame = next(self.frames, None)
        return frame is not None, frame
sys.modules["cv2"] = types.SimpleNamespace(VideoCapture=VideoCapture)
import torch
torch.set_num_threads(1)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
VIDEO = "crop=64 late_crop=64 batch=2 late_batch=2 width=16 context_blocks=1 analysis_blocks=1 synthesis_blocks=1 latents=16"
VIDEO += " hidden=16 minutes=0 steps=24 warmup=2"
IMAGE = "crop=64 late_crop=64 batch=2 late_batch=2 width=8 synthesis_blocks=1 analysis_blocks=1 latents=16 hidden=16 steps=4"


def bare(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", BARE, str(SCRIPT), "--device", "cpu", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


def fields(text: str) -> list[str]:
    return [part for field in text.split() for part in ("--set", field)]


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("device") / "models"
    subprocess.run([sys.executable, str(SCRIPT), "--pack", str(folder)], check=True, timeout=600)
    return folder


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    """Two clips of a texture that moves, 192 x 194 pixels."""
    folder, rng = tmp_path_factory.mktemp("clips"), np.random.default_rng(0)
    for number in range(2):
        scene = np.kron(rng.integers(0, 256, (30, 30, 3), np.uint8), np.ones((8, 8, 1), np.uint8))
        frames = [scene[k : 192 + k, 2 * k : 194 + 2 * k] for k in range(10)]
        with (folder / f"{number}.mp4").open("wb") as file:
            np.save(file, np.stack(frames))
    return folder


def test_a_video_run_goes_in_slices_and_its_weights_come_back(models: Path, clips: Path, photos: Path, tmp_path: Path) -> None:
    run, back = tmp_path / "run", tmp_path / "back"
    command = ["--models", models, "--recipe", "video-m", *fields(VIDEO), "--clips", clips, "--photos", photos, "--out", run]
    steps = []
    for slice_ in (["--stop-after", 1e-6], ["--stop-after", 1e-6], []):
        done = bare(*command, *slice_, "--log-every", 4, "--validate-every", 24)
        assert done.returncode == 0, done.stdout + done.stderr
        steps.append(checkpoint.load_meta(run / CHECKPOINT)["step"])
    assert done.stdout.splitlines()[-1].startswith("finished at step 24")
    assert steps[-1] == 24 and all(step % 8 == 0 for step in steps)
    records = [json.loads(line) for line in (run / LOG).read_text().splitlines()]
    assert sum("validation" in record for record in records) == 1 and all(r.get("skipped", 0) == 0 for r in records)

    back.mkdir()  # as the parts of a split file, put together again
    (back / CHECKPOINT).write_bytes((run / "weights.safetensors").read_bytes())
    model, recipe, meta = load_run(back)
    assert meta["step"] == 24 and recipe.width == 16
    ema = checkpoint.load_ema(run / CHECKPOINT)
    assert all(value.equal(ema[name]) for name, value in model.state_dict().items())


def test_a_video_run_starts_from_weights_that_came_back(models: Path, clips: Path, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    command = ["--models", models, "--recipe", "video-m", *fields(VIDEO), "--clips", clips, "--stop-after", 0]
    assert bare(*command, "--out", old).returncode == 0
    (old / CHECKPOINT).write_bytes((old / "weights.safetensors").read_bytes())
    done = bare(*command, "--out", new, "--init", old)
    assert done.returncode == 0, done.stderr
    before, after = (checkpoint.load_ema(folder / CHECKPOINT) for folder in (old, new))
    assert all(value.equal(after[name]) for name, value in before.items())


def test_an_image_run_trains_there_too(photos: Path, tmp_path: Path) -> None:
    done = bare("--recipe", "image-m", *fields(IMAGE), "--photos", photos, "--out", tmp_path / "run", "--log-every", 2)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "finished at step 4, of 4"


def test_what_no_run_can_have_is_said_in_one_line(models: Path, clips: Path, tmp_path: Path) -> None:
    done = bare("--recipe", "video-m", "--set", "crop=100", "--clips", clips, "--out", tmp_path / "run")
    assert done.returncode == 1 and "crop is 100" in done.stderr and "Traceback" not in done.stderr
