"""Weights that a run may start from: another run's, or those of a model file."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..models.bundle import PRIOR, ImageBundle
from ..models.fsq.config import FsqConfig
from ..models.generative.bundle import GenerativeBundle
from ..models.generative.config import GenerativeConfig
from ..models.image import ImageConfig
from ..models.integer.convertprior import float_prior
from ..models.priorgraph import Z_MAX, PriorConfig
from ..models.videobundle import VideoBundle
from ..models.videoconfig import VideoConfig
from ..models.zoo import find_model
from . import checkpoint
from .critic import Adversaries
from .recipes import FsqRecipe, GenerativeRecipe, ImageRecipe, StemRecipe, VideoRecipe


def initial_weights(source: Path | str) -> tuple[ImageConfig, dict[str, Tensor]]:
    """(configuration, state of an `ImageModel` in float32) of a run's folder, a model file or a shipped model's name.

    A run gives its moving average. A model file gives its float16 analysis and the weights that its integer prior
    and synthesis stand for, so that training goes on from what the file codes with. Raises ModelError.
    """
    folder = Path(source)
    if folder.is_dir():
        path = folder / checkpoint.CHECKPOINT
        return ImageRecipe.restored(checkpoint.load_meta(path)["recipe"]).config(), checkpoint.load_ema(path)
    bundle = ImageBundle.read(find_model(source), execution="float")  # never executed here, and needs no numba
    prior = {PRIOR + name: value for name, value in float_prior(bundle.prior).state_dict().items()}
    return bundle.config, bundle.model.state_dict() | prior


def initial_video_weights(source: Path | str) -> tuple[VideoConfig, dict[str, Tensor]]:
    """As `initial_weights`, of an inter-frame model; the tables of a model file give the densities of side latents."""
    folder = Path(source)
    if folder.is_dir():
        path = folder / checkpoint.CHECKPOINT
        return VideoRecipe.restored(checkpoint.load_meta(path)["recipe"]).config(), checkpoint.load_ema(path)
    bundle = VideoBundle.read(find_model(source), execution="float")
    prior = {PRIOR + name: value for name, value in float_prior(bundle.prior).state_dict().items()}
    return bundle.config, bundle.model.state_dict() | prior | _side_density(bundle)


def _side_density(bundle: VideoBundle) -> dict[str, Tensor]:
    """The logistics that have the mean and the deviation of each side channel's table."""
    values, channels = np.arange(-Z_MAX, Z_MAX + 1), bundle.config.side
    symbols, tables = np.tile(values, channels).astype(np.int32), np.repeat(np.arange(channels), len(values))
    share = np.exp2(-bundle.z_bank.bits(symbols, tables)).reshape(channels, -1)
    share /= share.sum(1, keepdims=True)
    mean = share @ values
    deviation = np.sqrt((share * (values - mean[:, None]) ** 2).sum(1)).clip(0.1)
    found = {"z_mean": mean, "z_log_scale": np.log(deviation * math.sqrt(3) / math.pi)}
    return {name: torch.from_numpy(value).float() for name, value in found.items()}


def initial_stem_weights(source: Path | str) -> tuple[PriorConfig, dict[str, Tensor]]:
    """(configuration, moving average) of a run's folder of a stem prior. Raises ModelError."""
    path = Path(source) / checkpoint.CHECKPOINT
    return StemRecipe.restored(checkpoint.load_meta(path)["recipe"]).config(), checkpoint.load_ema(path)


def initial_fsq_weights(source: Path | str) -> tuple[FsqConfig, dict[str, Tensor]]:
    """(configuration, moving average) of a run's folder of a model of few indices. Raises ModelError."""
    path = Path(source) / checkpoint.CHECKPOINT
    return FsqRecipe.restored(checkpoint.load_meta(path)["recipe"]).config(), checkpoint.load_ema(path)


def initial_generative_weights(source: Path | str) -> tuple[GenerativeConfig, dict[str, Tensor]]:
    """(configuration, state of `Adversaries` without a fake net) of a run's folder; of a model file, whose critic is not kept,
    one that starts anew. Raises ModelError."""
    folder = Path(source)
    if folder.is_dir():
        path = folder / checkpoint.CHECKPOINT
        state = {k: v for k, v in checkpoint.load_ema(path).items() if not k.startswith("fake.")}
        return GenerativeRecipe.restored(checkpoint.load_meta(path)["recipe"]).config(), state
    bundle = GenerativeBundle.read(find_model(source), execution="float")
    pair = Adversaries(bundle.config)
    pair.net.load_state_dict(bundle.net.state_dict())
    return bundle.config, pair.state_dict()
