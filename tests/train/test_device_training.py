"""`scripts/train_on_device.py`: the whole chain of a lent GPU, on a CPU without numba, PyAV, click and crc32c."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import tiny

from calotype.train import checkpoint
from calotype.train.exportvideo import load_run
from calotype.train.loop import CHECKPOINT, LOG
from calotype.train.recipes import ImageRecipe

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
VIDEO += " side=8 hidden=16 chain=4 minutes=0 steps=8 warmup=2"
IMAGE = " ".join(f"{name}={value}" for name, value in asdict(tiny.RECIPE).items() if value != getattr(ImageRecipe(), name))


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


def video(models: Path, clips: Path, out: Path, *more: object) -> subprocess.CompletedProcess:
    return bare("--models", models, "--recipe", "video-m", *fields(VIDEO), "--clips", clips, "--out", out, *more)


@pytest.fixture(scope="module")
def back(models: Path, clips: Path, photos: Path, tmp_path_factory) -> Path:
    """The folder of a run, of two slices, whose weights came back."""
    folder = tmp_path_factory.mktemp("runs")
    run, steps = folder / "run", []
    for slice_ in (["--stop-after", 1e-6], []):
        done = video(models, clips, run, "--photos", photos, "--log-every", 4, "--validate-every", 8, *slice_)
        assert done.returncode == 0, done.stdout + done.stderr
        steps.append(checkpoint.load_meta(run / CHECKPOINT)["step"])
    assert steps[0] in (0, 4) and steps[1] == 8 and done.stdout.splitlines()[-1].startswith("finished at step 8")
    (folder / "back").mkdir()
    shutil.copy(run / "weights.safetensors", folder / "back" / CHECKPOINT)  # as the parts of a split file, put together
    shutil.copy(run / LOG, folder / "back")
    return folder / "back"


def test_a_video_run_goes_in_slices_and_what_comes_back_can_be_exported(back: Path) -> None:
    records = [json.loads(line) for line in (back / LOG).read_text().splitlines()]
    assert sum("validation" in record for record in records) == 1 and all(r.get("skipped", 0) == 0 for r in records)
    model, recipe, meta = load_run(back)
    ema = checkpoint.load_ema(back.parent / "run" / CHECKPOINT)
    assert meta["step"] == 8 and recipe.width == 16
    assert all(value.equal(ema[name]) for name, value in model.state_dict().items())


def test_a_video_run_starts_from_weights_that_came_back(back: Path, models: Path, clips: Path, tmp_path: Path) -> None:
    done = video(models, clips, tmp_path / "new", "--init", back, "--stop-after", 0)
    assert done.returncode == 0, done.stdout + done.stderr
    before, after = (checkpoint.load_ema(folder / CHECKPOINT) for folder in (back, tmp_path / "new"))
    assert all(value.equal(after[name]) for name, value in before.items())


def test_an_image_run_goes_on_there(begin, photos: Path) -> None:
    done = bare("--recipe", "image-s", *fields(IMAGE), "--photos", photos, "--out", begin("device"), "--log-every", 2)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == f"finished at step {tiny.RECIPE.steps}, of {tiny.RECIPE.steps}"


def test_what_no_run_can_have_is_said_in_one_line(tmp_path: Path) -> None:
    done = bare("--recipe", "video-m", "--set", "crop=100", "--out", tmp_path / "run")
    assert done.returncode == 1 and "crop is 100" in done.stderr and "Traceback" not in done.stderr
