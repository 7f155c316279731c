"""A run so small that a step takes milliseconds, importable by the processes that tests start."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

from calotype.train import checkpoint, image, loop
from calotype.train.data import Photos
from calotype.train.loop import CHECKPOINT, Run
from calotype.train.recipes import ImageRecipe

image.START_BATCHES = 1  # more crops make a better KLT, and take most of a test's time
RECIPE = ImageRecipe(
    width=8,
    synthesis_blocks=1,
    analysis_blocks=1,
    latents=16,
    hidden=16,
    steps=6,
    batch=2,
    crop=64,
    late_crop=96,
    late_batch=2,
    late=0.2,
    warmup=2,
    seed=3,
)


def write_photos(folder: Path, count: int = 3, side: int = 260) -> Path:
    """Coloured noise, enlarged: `count` pictures."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        small = Image.fromarray(rng.integers(0, 256, (20, 20, 3), np.uint8))
        small.resize((side, side + 8 * number)).save(folder / f"{number:03}.png")
    return folder


def changed(**changes: object) -> ImageRecipe:
    """The tiny recipe with other values."""
    return dataclasses.replace(RECIPE, **changes)


def make_run(folder: Path, photos: Path, **changes: object) -> Run:
    """The tiny run in `folder`, resumed where it has a checkpoint."""
    torch.set_num_threads(1)
    recipe = changed(**changes)
    return Run(folder, recipe, Photos([photos], max(recipe.crop, recipe.late_crop)))


def train(folder: Path, photos: Path, until: int | None = None, save_every: int = 100) -> None:
    """Start or resume, and train; for a process of its own."""
    make_run(folder, photos).train(until, log_every=1, save_every=save_every, validate_every=1000)


def train_aloud(folder: Path, photos: Path, events) -> None:
    """As `train` with a checkpoint each step; puts "step" before each step and "save" as each checkpoint is written."""
    run, step, write = make_run(folder, photos), Run._one_step, checkpoint.to_bytes

    def aloud(self: Run) -> dict:
        events.put("step")
        return step(self)

    def writing(*arguments: object) -> bytes:
        events.put("save")
        return write(*arguments)

    loop.Run._one_step, checkpoint.to_bytes = aloud, writing
    run.train(log_every=100, save_every=1, validate_every=1000)


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    """Every tensor of the run's checkpoint."""
    return load_file(folder / CHECKPOINT)


def same(a: Path, b: Path) -> bool:
    """Whether two runs' checkpoints hold the same bits: weights, moving average, optimiser states and step."""
    one, two = tensors(a), tensors(b)
    equal = one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)
    return equal and checkpoint.load_meta(a / CHECKPOINT)["step"] == checkpoint.load_meta(b / CHECKPOINT)["step"]
