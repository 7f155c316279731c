"""The layers of the synthesis one by one: what each costs, and a run of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from calotype.models.imageconfig import ImageConfig
from calotype.models.integer.layers import Rows
from calotype.models.integer.synthesis import PIXEL_FRAC, IntegerSynthesis

POINTWISE = ("expand", "enter", "grow", "shrink", "leave")  # the 1x1 layers


def layer_macs(config: ImageConfig, h: int, w: int) -> dict[str, tuple[int, int]]:
    """{layer: (multiply-accumulates of one, how many there are)} of the synthesis of h x w latents; "filter": both axes.

    As `complexity.decoder_kmac` counts, but for the border filter, which leaves out the outer 8 pixels.
    """
    width, places, blocks = config.width, 4 * h * w, config.synthesis_blocks
    rows, columns = 16 * h, 16 * w
    across = rows * (columns - 16) + (rows - 16) * columns
    return {
        "expand": (h * w * 768 * config.latents, 1),
        "enter": (places * 192 * width, 1),
        "depthwise": (places * 9 * width, blocks),
        "grow": (places * 2 * width * width, blocks),
        "shrink": (places * 2 * width * width, blocks),
        "leave": (places * 192 * width, 1),
        "filter": (3 * 16 * across, 1),
    }


def layer_runs(synthesis: IntegerSynthesis, y_hat: np.ndarray, quality: int) -> dict[str, Callable[[], Any]]:
    """{layer: what runs it} on the features of latents y_hat (1, h, w, M) in 1/16, at quality 0..1000.

    Of the blocks, the first; "block" and "paint" (border filter, pixels) are fused, as the net runs them.
    """
    run, block, layers, at = synthesis.execution, synthesis.blocks[0], synthesis.layers, Rows((quality,))
    coefficients = run.scale(synthesis.gains["latent"], run.array(y_hat.clip(-(2**15) + 1, 2**15 - 1).astype(np.int16)), at)
    v = run.expand(synthesis.expand, coefficients)
    x = run.scale(synthesis.gains["enter"], run.affine(layers["enter"], v), at)
    leaky = block.table is None
    narrow = run.depthwise(block.dw, x)
    wide = run.affine(block.grow, narrow, leaky=leaky)
    if block.table is not None:
        wide = run.look_up(block.table, wide)
    return {
        "expand": lambda: run.expand(synthesis.expand, coefficients),
        "enter": lambda: run.affine(layers["enter"], v),
        "depthwise": lambda: run.depthwise(block.dw, x),
        "grow": lambda: run.affine(block.grow, narrow, leaky=leaky),
        "shrink": lambda: run.affine(block.shrink, wide, skip=x),
        "leave": lambda: run.affine(layers["leave"], x, skip=v),
        "block": lambda: run.block(block, x),
        "paint": lambda: run.paint(layers["post"], PIXEL_FRAC, v),
    }
