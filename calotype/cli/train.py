"""`calotype train`: a group, so that a new kind of model is one line and one file."""

from __future__ import annotations

from .lazy import LazyGroup

VERBS = {
    "image": ("calotype.cli.train_image:image", "Train an image model, or go on with a run."),
    "video": ("calotype.cli.train_video:video", "Train an inter-frame model for video, or go on with a run."),
    "stem": ("calotype.cli.train_stem:stem", "Train the prior of a video model's independent frames, or go on with a run."),
    "generative": ("calotype.cli.train_generative:generative", "Train a generative decoder, or go on with a run."),
    "fsq": ("calotype.cli.train_fsq:fsq", "Train a model of few indices, for the lowest rates, or go on with a run."),
    "recipes": ("calotype.cli.train_recipes:recipes", "The named recipes and what their models cost."),
    "plot": ("calotype.cli.train_plot:plot", "Draw a run's rate-distortion curves."),
    "export": ("calotype.cli.train_export:export", "Make a model file of a run."),
}

train = LazyGroup("train", verbs=VERBS, no_args_is_help=True, help="Train and export models.")
