"""From a finished run of a model of few indices to a model file: the moving average, and a prior's start from photos."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..models.fsq import prior
from ..models.fsq.bundle import write_fsq_model
from ..models.fsq.config import COARSE, FsqConfig
from ..models.fsq.net import Encoder
from ..models.neural.coding import levels
from ..models.neural.stack import FRACTION_TOP, Layer
from . import checkpoint
from .checkpoint import CHECKPOINT
from .data import Photos
from .recipes import FsqRecipe

ENCODER, DECODER = "net.encoder.", "net.decoder."
WEIGHT_BITS = 9  # of the largest weight of a layer, without its sign
SIDE = 1024  # pixels a side of a photo that are coded, at most: its middle


def export_run(folder: Path, out: Path, photos: Photos, card: dict[str, Any]) -> None:
    """Write the model file of a run; the model's name is the file's. photos: what it was trained on. Raises ModelError."""
    path = folder / CHECKPOINT
    meta, state = checkpoint.load_meta(path), checkpoint.load_ema(path)
    config = FsqRecipe.restored(meta["recipe"]).config()
    # as the model file will hold them, so that the prior learns what encoders will give
    floats = {k[len(ENCODER) :]: v.numpy().astype(np.float16) for k, v in state.items() if k.startswith(ENCODER)}
    encoder = Encoder(config)
    encoder.load_state_dict({k: torch.from_numpy(v).float() for k, v in floats.items()})
    start, bits = prior.learnt(config, coded(encoder.eval(), photos.train))
    pixels = sum(middle(photo).shape[1] * middle(photo).shape[2] for photo in photos.train)
    said = card | {"recipe": meta["recipe"], "steps": meta["step"], "seconds": round(meta["seconds"])}
    said |= {"prior": {"photos": len(photos.train), "bpp": round(bits / pixels, 5)}}
    write_fsq_model(out, out.stem, floats, integer_layers(config, state), start, said)


def integer_layers(config: FsqConfig, state: dict[str, Tensor]) -> list[Layer]:
    """The decoder's, each on the finest grid that its weights allow."""
    layers = []
    for number, shape in enumerate(config.shapes()):
        weights, bias = (state[f"{DECODER}{name}.{number}"].numpy() for name in ("weights", "biases"))
        most = max(float(np.abs(weights).max()), 1e-9)
        layers.append(levels(shape, weights, bias, min(math.floor(WEIGHT_BITS - math.log2(most)), FRACTION_TOP)))
    return layers


def middle(photo: Tensor) -> Tensor:
    """(H, W, 3) uint8 -> its middle (1, 3, h, w) in [0, 1], sides multiples of 32."""
    sides = [min(n, SIDE) // COARSE * COARSE for n in photo.shape[:2]]
    top, left = ((n - side) // 2 for n, side in zip(photo.shape[:2], sides, strict=True))
    part = photo[top : top + sides[0], left : left + sides[1]].permute(2, 0, 1)[None].float() / 255
    return part.contiguous(memory_format=torch.channels_last)


@torch.inference_mode()
def coded(encoder: Encoder, photos: list[Tensor]) -> Iterator[prior.Indices]:
    """All indices of each photo's middle."""
    for photo in photos:
        yield prior.Indices(*(part[0].numpy().astype(np.int32) for part in encoder(middle(photo))))
