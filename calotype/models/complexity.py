"""What decoding costs, counted from a model's configuration: no torch, so that `calotype models` stays quick."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .plans import QUADTREE, plan

CONTEXT_LINEAR = 16  # priorgraph.LINEAR_CHANNELS, of which a test holds the two equal


def decoder_kmac(config: Mapping[str, Any]) -> float:
    """Thousands of multiply-accumulates a pixel of an image model's decoder: synthesis, post-filter and prior.

    config: `image.ImageConfig.to_dict()`. Biases, products by a vector and nonlinearities are not counted.
    """
    w, m, h, side = (config[key] for key in ("width", "latents", "hidden", "side"))
    trunk = 2 * 192 * w + config["synthesis_blocks"] * (9 * w + 4 * w * w)  # at 1/8
    up = 768 * m  # at 1/16
    filters = 2 * 16 * 3  # every pixel, two axes
    count = len(plan(config.get("prior", QUADTREE), m).steps)
    steps = (count - 1) * ((2 * m + CONTEXT_LINEAR) * h + 9 * h) + count * h * h + 2 * h * m  # at 1/16
    steps += h * h if config.get("scales") == "side" else 0
    hyper = side * 4 * h / 16 + (9 * h + 4 * h * h) / 4  # at 1/64 and 1/32, in units of 1/16
    return (trunk / 64 + (up + steps + hyper) / 256 + filters) / 1000
