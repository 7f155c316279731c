"""From a finished run of a generative decoder to a model file: the moving average of the net, and its image model's hash."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..models.bundle import ImageBundle
from ..models.generative.bundle import write_generative_model
from ..models.zoo import find_model
from . import checkpoint
from .checkpoint import CHECKPOINT
from .recipes import GenerativeRecipe

NET = "net."


def export_run(folder: Path, out: Path, card: dict[str, Any]) -> None:
    """Write the model file of a run; the model's name is the file's. Raises ModelError."""
    path = folder / CHECKPOINT
    meta = checkpoint.load_meta(path)
    recipe = GenerativeRecipe.restored(meta["recipe"])
    floats = {k[len(NET) :]: v.numpy() for k, v in checkpoint.load_ema(path).items() if k.startswith(NET)}
    image = ImageBundle.read(find_model(recipe.image), execution="float")
    said = card | {"recipe": meta["recipe"], "steps": meta["step"], "seconds": round(meta["seconds"])}
    write_generative_model(out, out.stem, recipe.config(), image, floats, said)
