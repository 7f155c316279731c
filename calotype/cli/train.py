"""`calotype train`: a group, so that a new kind of model is one line and one file."""

from __future__ import annotations

from .lazy import LazyGroup

RECIPES = {
    "image": ("calotype.cli.train_image:image", "Train an image model, or go on with a run."),
    "export": ("calotype.cli.train_export:export", "Make a model file of a run."),
}

train = LazyGroup("train", verbs=RECIPES, no_args_is_help=True, help="Train and export models.")
