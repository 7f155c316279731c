#!/usr/bin/env python
"""What the integer prior costs against its float net: scripts/integer_loss.py PHOTO... [--model NAME]

Codes the centre of each picture twice with the same latents, the same frozen tables and the same rounding rule: once with means
and scale indices from the integer prior, once from the differentiable net of the same weights with its activations off the
integer grids. Prints bits and squared error of the latents (what the symbols leave of y) by quality.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from calotype.codecs.dial import Dial
from calotype.codecs.image import SKIP, ImageCodec
from calotype.codecs.rdoq import Rounder
from calotype.models import fakequant
from calotype.models import prior as prior_module
from calotype.models.integer.convertprior import float_prior
from calotype.models.priorgraph import LEVELS
from calotype.models.zoo import DEFAULT_IMAGE_MODEL, load_model

QUALITIES = (50, 250, 500, 750, 950)
SIDE = 512


def float_code(codec: ImageCodec, net: Any, y: torch.Tensor, q: int) -> tuple[float, np.ndarray]:
    """Bits of y (1, M, h, w) under the float prior, its indices rounded to tables, and y_hat (h, w, M)."""
    bundle, weights = codec.bundle, Dial((q,)).weights()
    rounder = Rounder(bundle.y_bank, bundle.worth((q,)), bundle.config.of_prior.plan, SKIP)
    z = bundle.model.side(y, weights).round().permute(0, 2, 3, 1)
    bits, step = 0.0, 0

    def quantise(target: torch.Tensor, mean: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        nonlocal bits, step
        level = index.clamp(0, LEVELS - 1).round().long().numpy()[:, 0]
        symbols = rounder((target - mean)[:, 0].numpy(), level, step, None)
        kept = level >= SKIP
        bits += float(bundle.y_bank.bits(symbols[kept], level[kept].astype(np.uint16)).sum())
        step += 1
        return mean + torch.from_numpy(symbols)[:, None]

    own, own_prior = fakequant.on_grid, prior_module.on_grid
    try:
        fakequant.on_grid = prior_module.on_grid = lambda x, *_: x
        _, _, y_hat = net(y.permute(0, 2, 3, 1), z, weights, quantise)
    finally:
        fakequant.on_grid, prior_module.on_grid = own, own_prior
    z_int = z[0].numpy().astype(np.int32)
    z_index = np.broadcast_to(np.arange(z_int.shape[-1], dtype=np.uint16), z_int.shape)
    return bits + float(bundle.z_bank.bits(z_int.reshape(-1), z_index.reshape(-1)).sum()), y_hat[0].numpy()


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--model", default=DEFAULT_IMAGE_MODEL)
    asked = parser.parse_args()
    codec = ImageCodec(load_model(asked.model))
    net = float_prior(codec.bundle.prior)
    print("quality   bits   squared error of the latents: integer prior against float prior")
    for q in QUALITIES:
        sums = np.zeros(4)
        for path in asked.photos:
            image = Image.open(path).convert("RGB")
            left, top = (max(0, (n - SIDE) // 2) for n in image.size)
            pixels = np.asarray(image.crop((left, top, left + SIDE, top + SIDE)))
            y, _ = codec.analyse(pixels, q / 10).tiles[0]
            rounder = Rounder(codec.bundle.y_bank, codec.bundle.worth((q,)), codec.bundle.config.of_prior.plan, SKIP)
            bits, coded = codec._trial(y, Dial((q,)), rounder)
            flat = y[0].permute(1, 2, 0).numpy()
            own = bits, np.square(coded / 16 - flat).sum()
            other_bits, other = float_code(codec, net, y, q)
            sums += (*own, other_bits, np.square(other - flat).sum())
        print(f"{q / 10:7g} {100 * (sums[0] / sums[2] - 1):+6.2f} % {100 * (sums[1] / sums[3] - 1):+6.2f} %")


if __name__ == "__main__":
    main()
