"""From a finished run to a model file: moving-average weights, integers, frozen tables, card."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..entropy import TableBank
from ..models.bundle import PRIOR, write_image_model
from ..models.image import ImageModel, knot_weights, quality_lmbda, quantise_hard
from ..models.integer.convert import Precision, convert
from ..models.integer.convertprior import integer_arrays
from ..models.integer.executions import make_execution
from ..models.integer.places import Quality
from ..models.integer.prior import integer_layout
from ..models.integer.synthesis import IntegerSynthesis, dequantised, synthesis_layout
from ..models.priorgraph import MEAN_FRAC
from . import checkpoint
from .checkpoint import CHECKPOINT
from .data import Photos
from .recipes import ImageRecipe
from .tables import LatentCounts, SideCounts

Z_QUALITIES = range(0, 1001, 100)


def load_run(folder: Path) -> tuple[ImageModel, dict[str, Any]]:
    """The moving-average model of a run and its checkpoint's metadata. Raises ModelError."""
    path = folder / CHECKPOINT
    meta = checkpoint.load_meta(path)
    model = ImageRecipe.restored(meta["recipe"]).model()
    model.load_state_dict(checkpoint.load_ema(path))
    return model.eval(), meta


def exported_bytes(model: ImageModel) -> int:
    """What the weights take before they are coded, at the default precision: float16 analysis, integers of prior and
    synthesis. The tables add 50 kB or so."""
    prior, synthesis = integer_layout(model.config.of_prior), synthesis_layout(model.config)
    whole = 2 * sum(v.size for v in encoder_floats(model).values())
    whole += sum(kind.itemsize * math.prod(shape) for kind, shape in prior.values())
    for name, (kind, shape) in synthesis.items():
        narrow = name.endswith(".weight") and name.removesuffix(".weight") not in Precision().wide
        whole += (1 if narrow else kind.itemsize) * math.prod(shape)
    return whole


def encoder_floats(model: ImageModel) -> dict[str, np.ndarray]:
    """The float part of a model file: all that neither the integer prior nor the integer synthesis stands for."""
    arrays = {f"{name}": np.zeros(shape, kind) for name, (kind, shape) in synthesis_layout(model.config).items()}
    integers = dequantised(arrays, model.config)
    state = model.state_dict().items()
    return {k: v.detach().cpu().numpy() for k, v in state if not k.startswith(PRIOR) and k not in integers}


@dataclass(frozen=True)
class Sample:
    """Training crops x (B, 3, S, S) in [0, 1], their qualities (B,) in whole thousandths, and what a codec decodes of them:
    y_hat (B, M, h, w) in steps."""

    x: Tensor
    quality: Tensor
    y_hat: Tensor

    @property
    def latents(self) -> tuple[Tensor, Tensor]:
        """(y_hat, knot weights (B, KNOTS)), as `convert` takes them."""
        return self.y_hat, knot_weights(self.quality)


@torch.no_grad()
def calibration(model: ImageModel, photos: Photos, batches: int = 8) -> list[Sample]:
    """Training crops over the whole dial."""
    samples = []
    for k in range(batches):
        x, quality = (v.cpu() for v in photos.batch(23, k, 8, 256))
        quality = quality.round()
        weights = knot_weights(quality)
        y = model.analyse(x, weights)
        z = model.side(y, weights).round().permute(0, 2, 3, 1)
        y_hat = model.prior(y.permute(0, 2, 3, 1), z, weights, quantise_hard)[2]
        samples.append(Sample(x, quality, y_hat.permute(0, 3, 1, 2)))
    return samples


def integer_synthesis(model: ImageModel, photos: Photos) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """(arrays, {"rounding", per layer {"weight_bits", "bound"}}) of the better of two conversions in lmbda MSE on training
    crops: reconstructed by layers, or the nearest integers, which is what training on rounded weights ends with."""
    samples = calibration(model, photos)
    latents = [sample.latents for sample in samples]
    best: tuple[float, dict[str, np.ndarray], dict[str, Any]] | None = None
    for precision in (Precision(), Precision(rounding="nearest", equalise=False, correct=False)):
        arrays = convert(copy.deepcopy(model), latents, precision)
        synthesis = IntegerSynthesis(model.config, arrays, make_execution())
        cost = sum(_cost(synthesis, sample) for sample in samples)
        if best is None or cost < best[0]:
            layers = {
                n: {"weight_bits": 13 if layer.wide else 7, "bound": layer.bound} for n, layer in synthesis.layers.items()
            }
            best = cost, arrays, {"rounding": precision.rounding, "layers": layers}
    assert best is not None
    return best[1:]


def _cost(synthesis: IntegerSynthesis, sample: Sample) -> float:
    """Sum of lmbda * MSE (0..255) over the crops."""
    total = 0.0
    for x, quality, y_hat in zip(sample.x, sample.quality, sample.y_hat, strict=True):
        latents = (y_hat * (1 << MEAN_FRAC)).round().permute(1, 2, 0)[None].numpy().astype(np.int32)
        pixels = torch.from_numpy(synthesis(latents, Quality((int(quality),)))[0]).permute(2, 0, 1)
        total += float(quality_lmbda(quality) * (pixels - x * 255).square().mean())
    return total


@torch.no_grad()
def y_tables(model: ImageModel, photos: Photos, batches: int = 12) -> TableBank:
    """One frozen table per scale level: what symbols of that level really were in training crops."""
    counts = LatentCounts()
    for k in range(batches):
        x, quality = photos.batch(19, k, 8, 256)
        weights = knot_weights(quality.cpu())
        y = model.analyse(x.cpu(), weights)
        z = model.side(y, weights).round().permute(0, 2, 3, 1)
        mean, index, y_hat = model.prior(y.permute(0, 2, 3, 1), z, weights, quantise_hard)
        counts.add(index, y_hat - mean)
    return counts.bank()


@torch.no_grad()
def z_tables(model: ImageModel, photos: Photos, batches: int = 8) -> TableBank:
    """One frozen table per channel of z: counts over training crops at all qualities."""
    counts = SideCounts(model.z_mean, model.z_log_scale)
    for k in range(batches):
        x, _ = photos.batch(17, k, 8, 256)
        for q in Z_QUALITIES:
            weights = knot_weights(torch.full((len(x),), float(q)))
            counts.add(model.side(model.analyse(x.cpu(), weights), weights))
    return counts.bank()


def export_run(folder: Path, out: Path, photos: Photos, card: dict[str, Any]) -> None:
    """Write the model file of a run; the model's name is the file's. photos: for the counts of z. Raises ModelError."""
    model, meta = load_run(folder)
    export_model(
        out, model, photos, card | {"recipe": meta["recipe"], "steps": meta["step"], "seconds": round(meta["seconds"])}
    )


def export_model(out: Path, model: ImageModel, photos: Photos, card: dict[str, Any]) -> None:
    """Write the model file of a trained model."""
    banks = z_tables(model, photos), y_tables(model, photos)
    synthesis, said = integer_synthesis(model, photos)
    card = card | {"integer": said}
    write_image_model(out, out.stem, model.config, encoder_floats(model), integer_arrays(model.prior), synthesis, banks, card)
