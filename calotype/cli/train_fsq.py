"""`calotype train fsq`: every field of FsqRecipe is an option; a folder with a checkpoint is resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..train.data import Seen
from ..train.recipes import FsqRecipe
from . import train_run


@click.command(no_args_is_help=True)
@train_run.PHOTOS
@train_run.features(True, ": what sees how like two pictures are.")
@train_run.run_options(FsqRecipe)
@click.pass_context
def fsq(ctx: click.Context, data: tuple[Path, ...], features: Path, **rest: Any) -> None:
    """Train a model of few indices: nets that code a photo in some thousands of bits, for what networks see of it.

    Each 16th photo is held out and validates. Budget, resuming and torchrun are as in `calotype train image`.
    """

    def load(recipe: FsqRecipe, device: str) -> tuple[Seen, str]:
        return train_run.seen(data, features, max(recipe.crop, recipe.late_crop), device)

    train_run.run(ctx, FsqRecipe, load, **rest)
