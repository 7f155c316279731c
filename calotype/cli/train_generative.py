"""`calotype train generative`: every field of GenerativeRecipe is an option; a folder with a checkpoint is resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..train.data import Seen
from ..train.recipes import GenerativeRecipe
from . import train_run


@click.command(no_args_is_help=True)
@train_run.PHOTOS
@train_run.features(True, ": what sees how like two pictures are.")
@train_run.run_options(GenerativeRecipe)
@click.pass_context
def generative(ctx: click.Context, data: tuple[Path, ...], features: Path, **rest: Any) -> None:
    """Train a generative decoder: photos as an image model decodes them, made to look real by one call of a net.

    The first --flow of the budget is flow matching, the rest one step against a critic. Each 16th photo is held out and
    validates. Budget, resuming and torchrun are as in `calotype train image`.
    """

    def load(recipe: GenerativeRecipe, device: str) -> tuple[Seen, str]:
        return train_run.seen(data, features, max(recipe.crop, recipe.late_crop), device)

    train_run.run(ctx, GenerativeRecipe, load, **rest)
