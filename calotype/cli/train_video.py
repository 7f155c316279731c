"""`calotype train video`: every field of VideoRecipe is an option, a named recipe their defaults; a folder with a
checkpoint is resumed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ..train.clips import Clips
from ..train.data import Photos
from ..train.recipes import Recipe, VideoRecipe
from ..train.synthetic import MARGIN
from ..train.video import VALIDATION_CROP
from . import train_run


def clip_options(command: Callable) -> Callable:
    """Decorator: where clips and photos are, for `load`."""
    photos = click.option(
        "--photos",
        type=click.Path(exists=True, path_type=Path),
        multiple=True,
        help="A folder, tar or file of photos, for clips of synthetic motion; may be given several times.",
    )
    clips = click.option(
        "--clips",
        "paths",
        type=click.Path(exists=True, path_type=Path),
        multiple=True,
        required=True,
        help="A folder, tar or file of clips; may be given several times.",
    )
    return clips(photos(command))


def load(recipe: Recipe, paths: tuple[Path, ...], photos: tuple[Path, ...], device: str = "cpu") -> tuple[Clips, str]:
    """The clips of a run, on the device, and what there is of them, in words. Raises UsageError."""
    crop = max(recipe.crop, recipe.late_crop)
    pictures = Photos(list(photos), crop + 2 * MARGIN, device) if photos else None
    clips = Clips(list(paths), pictures, max(crop, VALIDATION_CROP), device=device)
    beside = f" and {pictures.megapixels:.0f} of photos" if pictures else ""
    return clips, f"{clips.megapixels:.0f} megapixels of clips{beside}"


@click.command(no_args_is_help=True)
@clip_options
@train_run.run_options(VideoRecipe)
@click.pass_context
def video(ctx: click.Context, paths: tuple[Path, ...], photos: tuple[Path, ...], **rest: Any) -> None:
    """Train an inter-frame model on chains of frames, from clips (each 6th is held out and validates) and photos in motion.

    --chain steps are one chain: a frame each, predicted from what the steps before decoded, after an intra frame by the shipped
    image model. Budget, resuming and torchrun are as in `calotype train image`.
    """
    train_run.run(ctx, VideoRecipe, lambda recipe, device: load(recipe, paths, photos, device), **rest)
