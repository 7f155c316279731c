"""What decoding costs, counted from a model's configuration: no torch, so that `calotype models` stays quick."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from .fsq.config import FINE as PLACE
from .fsq.config import FsqConfig
from .generative.config import HALF_WIDTH
from .overfit.cellnet import COARSE, FINE, CellNet
from .overfit.sizes import FEATURES, HIDDEN, MAPS, MEAN_FEATURES, PLANES, TAPS, TEMPORAL, TEMPORAL_MAPS
from .plans import QUADTREE, plan
from .videoconfig import CELLS

BITS = 2  # coded for a latent of an overfitted picture; no bound: kodim21 has 1.5 at quality 100
CONTEXT_LINEAR = 16  # priorgraph.LINEAR_CHANNELS, of which a test holds the two equal


def model_kmac(kind: str, config: Mapping[str, Any]) -> float | None:
    """Thousands of multiply-accumulates a pixel of a model's decoder; None of a kind that is not counted."""
    counts = {
        "image": decoder_kmac,
        "video": inter_kmac,
        "overfit": overfit_kmac,
        "overfit-video": overfit_inter_kmac,
        "generative": generative_kmac,
        "fsq": fsq_kmac,
    }
    return None if kind not in counts else counts[kind](config)


def overfit_kmac(config: Mapping[str, Any]) -> float:
    """Thousands of multiply-accumulates a pixel of an overfitted picture's decoder, at most: where no grid is empty, no latent
    among zeros, for which its prior need not run, and where it chooses a net with a coarse one, if its start has one."""
    costs = overfit_costs(config)
    return (PLANES * (costs.latent + BITS * costs.bit) + costs.fine + costs.coarse + costs.rest) / 1000


class OverfitCosts(NamedTuple):
    """Multiply-accumulates of a latent, of a bit of it that is mixed; a pixel of the nets on cells and of the rest."""

    latent: int
    bit: int
    fine: float
    coarse: float
    rest: float


def overfit_costs(config: Mapping[str, Any]) -> OverfitCosts:
    """Of a start's decoder. The rest: lifting and filters by class; which class is told by sums alone."""
    latent = FEATURES * HIDDEN + HIDDEN * HIDDEN + HIDDEN + MEAN_FEATURES
    mixing = 2 * 2 * (MAPS + 1) if config.get("mixes") else 0  # two mixers, mixed and learnt
    lifting = PLANES * 2 * 3 * 4 / 3  # two axes, four steps and two scales for two samples, all levels
    classes = PLANES * len(TAPS) if config.get("classes") else 0
    coarse = max(map(net_cost, COARSE.values())) if config.get("coarse") else 0.0
    return OverfitCosts(latent, mixing, net_cost(FINE), coarse, lifting + classes)


def net_cost(net: CellNet) -> float:
    """Multiply-accumulates a pixel of a net on cells."""
    return sum(math.prod(shape) for name, shape in net.shapes().items() if not name.endswith("bias")) / net.side**2


def overfit_inter_kmac(config: Mapping[str, Any]) -> float:
    """The same a luma pixel of an overfitted clip's inter frame, whose 4:2:0 planes have 1.5 latents a pixel: prior, lifting of
    the residual and splitting of prediction and doubt; motion compensation and the filter, 18 more, are not counted."""
    latent = (FEATURES + 2 * config.get("seen", TEMPORAL[0])) * HIDDEN + HIDDEN * HIDDEN + HIDDEN + MEAN_FEATURES
    mixing = 2 * 3 * (TEMPORAL_MAPS + 1) if config.get("mixes") else 0  # of a bit: three mixers, mixed and learnt
    return 1.5 * (latent + BITS * mixing + 3 * 2 * 3 * 4 / 3) / 1000


def generative_kmac(config: Mapping[str, Any]) -> float:
    """Thousands of multiply-accumulates a pixel of a generative decoder's net; its image model's are not counted.

    config: `generative.config.GenerativeConfig.to_dict()`.
    """
    fine, width, half = config["fine"], config["width"], HALF_WIDTH
    blocks = 18 * fine * fine * (1 + config["fine_blocks"])
    quarter = 96 * fine + blocks + 4 * half * fine
    eighth = 8 * fine * width + config["blocks"] * (9 * width + 4 * width * width)
    return (quarter / 16 + eighth / 64 + 9 * half * 12 / 4) / 1000


def fsq_kmac(config: Mapping[str, Any]) -> float:
    """Thousands of multiply-accumulates a pixel of the decoder of few indices; mixing them is not counted.

    config: `fsq.config.FsqConfig.to_dict()`.
    """
    total, side = 0.0, PLACE
    for shape in FsqConfig(**config).shapes():
        total += shape.rows * shape.columns / side**2
        side //= shape.up
    return total / 1000


def inter_kmac(config: Mapping[str, Any]) -> float:
    """Thousands of multiply-accumulates a luma pixel of an inter frame: net and prior; motion compensation is not counted.

    config: `videoconfig.VideoConfig.to_dict()`.
    """
    w, m, h, side = (config[key] for key in ("width", "latents", "hidden", "side"))
    blocks = config["context_blocks"] + config["synthesis_blocks"]
    trunks = 4 * CELLS * w + w * w + blocks * (9 * w + 4 * w * w)  # at 1/8
    ends = 4 * w * h + 4 * CELLS * m  # at 1/16
    past = 2 * m * h + 9 * h + h * h
    return (trunks / 64 + (ends + past + _prior(m, h, side, QUADTREE)) / 256) / 1000


def _prior(m: int, h: int, side: int, kind: str) -> float:
    """Multiply-accumulates a latent."""
    count = len(plan(kind, m).steps)
    steps = (count - 1) * ((2 * m + CONTEXT_LINEAR) * h + 9 * h) + count * h * h + 2 * h * m
    return steps + side * 4 * h / 16 + (9 * h + 4 * h * h) / 4  # hyper at 1/64 and 1/32


def decoder_kmac(config: Mapping[str, Any]) -> float:
    """Thousands of multiply-accumulates a pixel of an image model's decoder: synthesis, post-filter and prior.

    config: `image.ImageConfig.to_dict()`. Biases, products by a vector and nonlinearities are not counted.
    """
    w, m, h, side = (config[key] for key in ("width", "latents", "hidden", "side"))
    trunk = 2 * 192 * w + config["synthesis_blocks"] * (9 * w + 4 * w * w)  # at 1/8
    up = 768 * m  # at 1/16
    filters = 2 * 16 * 3  # every pixel, two axes
    ahead = h * h if config.get("scales") == "side" else 0
    prior = _prior(m, h, side, config.get("prior", QUADTREE))  # at 1/16
    return (trunk / 64 + (up + prior + ahead) / 256 + filters) / 1000
