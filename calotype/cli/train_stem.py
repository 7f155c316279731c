"""`calotype train stem`: every field of StemRecipe is an option; a folder with a checkpoint is resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..train.recipes import StemRecipe
from . import train_run
from .train_video import clip_options, load


@click.command(no_args_is_help=True)
@clip_options
@train_run.run_options(StemRecipe)
@click.pass_context
def stem(ctx: click.Context, paths: tuple[Path, ...], photos: tuple[Path, ...], **rest: Any) -> None:
    """Train the prior of independent frames (structure `stem`): image latents given those of the frame before.

    It starts as the image model's own; nothing else changes. Validations give bits with it and, beside them, with the image
    model's. `calotype train export RUN VIDEO.safetensors` puts it into a video model file.
    """
    train_run.run(ctx, StemRecipe, lambda recipe, device: load(recipe, paths, photos, device), **rest)
