"""Independent frames: the image model's transforms, and a prior that also sees the latents of the frame before (STEM, Sun et
al. 2021, "Spatiotemporal Entropy Model is All You Need for Learned Video Compression", arXiv 2104.06083).

What differs: the hyperprior and the four-step context of the image model stay, and the prior is exact in integers. It is the
image model's with the layers of a temporal one, given nothing but these latents: there is no prediction of pixels, so a frame's
error never shows in another.

A video model file may hold one: `stem.*`, integers as of `prior.*`, and `tables.stem`, tables of y in place of the image
model's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..errors import UsageError
from . import modelfile
from .imageconfig import ImageConfig
from .priorgraph import PriorConfig

if TYPE_CHECKING:
    from ..entropy import TableBank
    from .bundle import ImageBundle
    from .integer.executions import Execution
    from .integer.prior import IntegerPrior
    from .prior import Prior

STEM, STEM_TABLES = "stem.", "tables.stem"


class Stem(NamedTuple):
    """What codes the latents of a frame given those of the frame before; all else is the image model's."""

    prior: IntegerPrior
    y_bank: TableBank


class Past(NamedTuple):
    """The latents (h, w, M) int32 in 1/16 of the frame before, and what codes by them."""

    stem: Stem
    latents: np.ndarray

    @property
    def temporal(self) -> tuple[np.ndarray, np.ndarray]:
        """As `IntegerPrior.walk` takes it: nothing but latents is known."""
        return np.zeros((*self.latents.shape[:2], self.stem.prior.config.hidden), np.int16), self.latents


def stem_config(image: ImageConfig) -> PriorConfig:
    """The prior's sizes beside that image model."""
    return replace(image.of_prior, temporal=True)


def read_stem(arrays: Mapping[str, np.ndarray], intra: ImageBundle, execution: Execution) -> Stem | None:
    """The stem prior among the arrays of a video model file, if there is one. Raises ValueError, ModelError."""
    from ..entropy import TableBank
    from .integer.prior import IntegerPrior, integer_layout

    found = {k[len(STEM) :]: v for k, v in arrays.items() if k.startswith(STEM)}
    if not found:
        return None
    config = stem_config(intra.config)
    if {k: (v.dtype, v.shape) for k, v in found.items()} != integer_layout(config):
        raise ValueError("the stem prior's arrays are not those of its image model")
    own = any(k.startswith(STEM_TABLES) for k in arrays)
    bank = TableBank.from_arrays(arrays, STEM_TABLES) if own else intra.y_bank
    if len(bank) != len(intra.y_bank):
        raise ValueError("the stem prior has no table per scale level")
    return Stem(IntegerPrior(config, found, execution), bank)


def add_stem(path: Path, prior: Mapping[str, np.ndarray], bank: TableBank | None, card: dict | None = None) -> None:
    """Give a video model file a stem prior, in place of one that it has: its integers, and its own tables of y if any. The
    model's hash is another one then. card: said of it. Raises ModelError, UsageError."""
    info, arrays, _ = modelfile.read(path)
    if info.kind != "video":
        raise UsageError(f"{path} is a model of kind '{info.kind}'; a stem prior is added to a video model file")
    arrays = {k: v for k, v in arrays.items() if not k.startswith((STEM, STEM_TABLES))}
    arrays |= {STEM + k: v for k, v in prior.items()}
    if bank is not None:
        arrays |= bank.to_arrays(STEM_TABLES)
    modelfile.write(path, info.name, info.kind, info.config, info.card | {"stem": card or {}}, arrays)


def start_stem(net: Prior, intra: ImageBundle) -> None:
    """Start a float stem prior (torch) as the image model's: what it sees of the past changes nothing yet."""
    import torch

    from .integer.convertprior import float_prior

    net.load_state_dict(float_prior(intra.prior).state_dict(), strict=False)
    torch.nn.init.zeros_(net.past_in.weight)
    torch.nn.init.zeros_(net.past_in.bias)
