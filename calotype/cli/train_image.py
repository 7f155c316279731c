"""`calotype train image`: every field of ImageRecipe is an option, a named recipe their defaults; a folder with a
checkpoint is resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..models.perceptual import SqueezeNet
from ..train.data import Photos, Seen
from ..train.image import START_CROP
from ..train.recipes import ImageRecipe
from . import train_run


@click.command(no_args_is_help=True)
@train_run.PHOTOS
@train_run.features(False, ", for --perceptual.")
@train_run.run_options(ImageRecipe)
@click.pass_context
def image(ctx: click.Context, data: tuple[Path, ...], features: Path | None, **rest: Any) -> None:
    """Train an image model on photos (at least as large as the largest crop; each 16th is held out and validates).

    The learning rate reaches zero when the budget of --steps or, in their place, --minutes is spent: to train better, give
    a new run more of them. An interrupted run goes on where its last checkpoint is; its recipe is then the checkpoint's, and
    options that contradict it are refused, except --steps and --minutes. Under torchrun every process takes its share of
    each batch. The curves of all validations are drawn in the run's folder, validation.svg.
    """

    def load(recipe: ImageRecipe, device: str) -> tuple[Photos | Seen, str]:
        photos = Photos(list(data), max(recipe.reach, START_CROP), device)
        seen = photos if features is None else Seen(photos, SqueezeNet.read(features))
        return seen, f"{photos.megapixels:.0f} megapixels"

    train_run.run(ctx, ImageRecipe, load, **rest)
