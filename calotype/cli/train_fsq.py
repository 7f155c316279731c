"""`calotype train fsq`: every field of FsqRecipe is an option; a folder with a checkpoint is resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..models.perceptual import SqueezeNet
from ..train.data import Photos, Seen
from ..train.recipes import FsqRecipe
from . import train_run


@click.command(no_args_is_help=True)
@click.option(
    "--data",
    type=click.Path(exists=True, path_type=Path),
    multiple=True,
    required=True,
    help="A folder, tar or file of photos; may be given several times.",
)
@click.option(
    "--features",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="SqueezeNet 1.1's weights (safetensors, torchvision's names): what sees how like two pictures are.",
)
@train_run.run_options(FsqRecipe)
@click.pass_context
def fsq(ctx: click.Context, data: tuple[Path, ...], features: Path, **rest: Any) -> None:
    """Train a model of few indices: nets that code a photo in some thousands of bits, for what networks see of it.

    Each 16th photo is held out and validates. Budget, resuming and torchrun are as in `calotype train image`.
    """

    def load(recipe: FsqRecipe, device: str) -> tuple[Seen, str]:
        photos = Photos(list(data), max(recipe.crop, recipe.late_crop), device)
        return Seen(photos, SqueezeNet.read(features)), f"{photos.megapixels:.0f} megapixels"

    train_run.run(ctx, FsqRecipe, load, **rest)
