"""What decoding costs, counted from a model's configuration: no torch, so that `calotype models` stays quick."""

from __future__ import annotations

from collections.abc import Mapping

CONTEXT_LINEAR = 16  # prior.LINEAR_CHANNELS, of which a test holds the two equal


def decoder_kmac(config: Mapping[str, int]) -> float:
    """Thousands of multiply-accumulates a pixel of an image model's decoder: synthesis, post-filter and prior.

    config: the fields of `image.ImageConfig`. Biases, products by a vector and nonlinearities are not counted.
    """
    w, m, h, side = (config[key] for key in ("width", "latents", "hidden", "side"))
    trunk = 2 * 192 * w + config["synthesis_blocks"] * (9 * w + 4 * w * w)  # at 1/8
    up = 768 * m  # at 1/16
    filters = 2 * 16 * 3  # every pixel, two axes
    steps = 3 * ((2 * m + CONTEXT_LINEAR) * h + 9 * h) + 4 * h * h + 4 * h * m // 2  # at 1/16
    hyper = side * 4 * h / 16 + (9 * h + 4 * h * h) / 4  # at 1/64 and 1/32, in units of 1/16
    return (trunk / 64 + (up + steps + hyper) / 256 + filters) / 1000
