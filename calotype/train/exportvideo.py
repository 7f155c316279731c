"""From a finished video run to a model file: moving-average weights, integers, frozen tables, card."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch

from ..models.bundle import FLOAT, PRIOR, ImageBundle
from ..models.image import knot_weights
from ..models.integer.convertinter import Sample, convert_inter, wide
from ..models.integer.convertprior import integer_arrays
from ..models.integer.inter import inter_layout
from ..models.integer.prior import integer_layout
from ..models.motion.field import Field
from ..models.motion.fieldcoding import motion_banks
from ..models.video import InterModel
from ..models.videobundle import INTER, write_video_model
from ..models.zoo import DEFAULT_IMAGE_MODEL, find_model
from . import checkpoint
from .checkpoint import CHECKPOINT
from .clips import Clips
from .recipes import VideoRecipe
from .tables import LatentCounts, SideCounts
from .video import VideoTask

CHAINS, CHAIN_BATCH, CHAIN_CROP = 8, 8, 192  # what tables are counted on
CALIBRATION = 24  # frames of these that ranges come from, spread over all
ENCODER = ("analysis.", "to_latent.", "log_gain", "hyper.", "log_z_gain")  # what is no integer in a model file


def load_run(folder: Path) -> tuple[InterModel, VideoRecipe, dict[str, Any]]:
    """The moving-average model of a run, its recipe and its checkpoint's metadata. Raises ModelError."""
    meta = checkpoint.load_meta(folder / CHECKPOINT)
    recipe = VideoRecipe.restored(meta["recipe"])
    model = recipe.model()
    model.load_state_dict(checkpoint.load_ema(folder / CHECKPOINT))
    return model.eval(), recipe, meta


def exported_bytes(model: InterModel) -> int:
    """What the weights take before they are coded: float16 analysis, integers of prior and decoder. Tables add 50 kB or so."""
    whole = 2 * sum(v.numel() for k, v in model.state_dict().items() if k.startswith(ENCODER))
    whole += sum(kind.itemsize * math.prod(shape) for kind, shape in integer_layout(model.config.of_prior).values())
    for name, (kind, shape) in inter_layout(model.config).items():
        narrow = name.endswith(".weight") and name.removesuffix(".weight") not in wide(model).wide
        whole += (1 if narrow else kind.itemsize) * math.prod(shape)
    return whole


class Seen:
    """What a model codes on training chains, as an encoder does: counts, fields of motion, samples for calibration."""

    def __init__(self, model: InterModel):
        self.latents, self.side = LatentCounts(), SideCounts(model.z_mean, model.z_log_scale)
        self.fields: list[tuple[Field, int]] = []
        self.samples: list[Sample] = []


@torch.no_grad()
def watch(model: InterModel, recipe: VideoRecipe, clips: Clips) -> Seen:
    """Code training chains at all qualities, P and B frames alike."""
    task, seen = VideoTask(recipe, clips, "cpu", 0, 1), Seen(model)
    every = max(CHAINS * recipe.chain // CALIBRATION, 2) - 1  # no divisor of a chain: frames of all places
    for step in range(CHAINS * recipe.chain):
        if step % recipe.chain == 0:
            task.begin(10**6 + step, CHAIN_BATCH, CHAIN_CROP, recipe.chain)
        frame = task.frame(step % recipe.chain)
        weights = knot_weights(frame.quality)
        coded, parts = model.coded(frame.cells, frame.prediction, frame.quality)
        task.keep(frame, coded)
        seen.latents.add(parts.index, parts.symbols)
        seen.side.add(model.side(parts.y, weights))
        seen.fields += [(field, len(frame.references)) for field in frame.fields]
        if step % every == 0:
            seen.samples.append((frame.prediction, coded.y_hat, frame.quality))
    return seen


def export_run(folder: Path, out: Path, clips: Clips, card: dict[str, Any]) -> None:
    """Write the model file of a run; the model's name is the file's. clips: for counts and ranges. Raises ModelError."""
    model, recipe, meta = load_run(folder)
    seen = watch(model, recipe, clips)
    floats = {k: v.numpy() for k, v in model.state_dict().items() if k.startswith(ENCODER)}
    prior, integers = integer_arrays(model.prior), convert_inter(model, seen.samples)
    names = (k.removesuffix(".weight") for k in integers if k.endswith(".weight"))
    bits = {name: 13 if name in wide(model).wide else 7 for name in names}
    card = card | {"recipe": meta["recipe"], "steps": meta["step"], "seconds": round(meta["seconds"]), "weight_bits": bits}
    write_video_model(
        out,
        out.stem,
        model.config,
        ImageBundle.read(find_model(DEFAULT_IMAGE_MODEL)),
        {PRIOR: prior, INTER: integers, FLOAT: floats},
        (seen.side.bank(), seen.latents.bank()),
        motion_banks(seen.fields),
        card,
    )
