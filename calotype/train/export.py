"""From a finished run to a model file: moving-average weights, integers, frozen tables, card."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..entropy import TableBank, factorised_bank, gaussian_bank
from ..models.bundle import write_image_model
from ..models.image import ImageModel, knot_weights
from ..models.prior import LEVELS, SIGMA_MAX, SIGMA_MIN, Z_MAX
from . import checkpoint
from .data import Photos
from .image import ImageRecipe
from .loop import CHECKPOINT

Z_QUALITIES = range(0, 1001, 100)


def load_run(folder: Path) -> tuple[ImageModel, dict[str, Any]]:
    """The moving-average model of a run and its checkpoint's metadata. Raises ModelError."""
    path = folder / CHECKPOINT
    meta = checkpoint.load_meta(path)
    known = {f.name for f in fields(ImageRecipe)}
    model = ImageRecipe(**{k: v for k, v in meta["recipe"].items() if k in known}).model()
    model.load_state_dict(checkpoint.load_ema(path))
    return model.eval(), meta


@torch.no_grad()
def z_tables(model: ImageModel, photos: Photos, precision: int = 12, batches: int = 8) -> TableBank:
    """One frozen table per channel of z: counts over training crops at all qualities, smoothed by the trained logistic."""
    values = torch.arange(-Z_MAX, Z_MAX + 1, dtype=torch.float32)
    upper = torch.sigmoid((values[:, None] + 0.5 - model.z_mean) * torch.exp(-model.z_log_scale))
    lower = torch.sigmoid((values[:, None] - 0.5 - model.z_mean) * torch.exp(-model.z_log_scale))
    prior = (upper - lower).T.double().clamp_min(1e-9)
    counts = torch.zeros_like(prior)
    for k in range(batches):
        x, _ = photos.batch(17, k, 8, 256)
        for q in Z_QUALITIES:
            weights = knot_weights(torch.full((len(x),), float(q)))
            z = model.side(model.analyse(x.cpu(), weights), weights).round().long() + Z_MAX
            for channel, column in enumerate(z.transpose(0, 1).flatten(1)):
                counts[channel] += torch.bincount(column, minlength=2 * Z_MAX + 1)
    mixed = counts + 0.002 * counts.sum(1, keepdim=True) * prior / prior.sum(1, keepdim=True)
    pmfs, offsets = [], []
    for row in (mixed / mixed.sum(1, keepdim=True)).numpy():
        likely = np.flatnonzero(row > 2.0**-precision / 4)
        pmfs.append(row[likely[0] : likely[-1] + 1])
        offsets.append(int(likely[0]) - Z_MAX)
    return factorised_bank(pmfs, offsets, precision)


def export_run(folder: Path, out: Path, photos: Photos, card: dict[str, Any]) -> None:
    """Write the model file of a run; the model's name is the file's. photos: for the counts of z. Raises ModelError."""
    model, meta = load_run(folder)
    y_bank = gaussian_bank(LEVELS, SIGMA_MIN, SIGMA_MAX, 12)
    write_image_model(out, out.stem, model, z_tables(model, photos), y_bank, card | {"recipe": meta["recipe"], "steps": meta["step"], "seconds": round(meta["seconds"])})
