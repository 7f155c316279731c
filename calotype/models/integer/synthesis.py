"""The synthesis transform in exact integers: latents to 8-bit pixels, the same ones on every machine.

The net of `image.ImageModel.synthesise` on fixed grids: latents in 1/16 steps, coefficients of the lapped KLT in 2**-10,
pixels and features of the 1/8 grid in 2**-13, the trunk's features on grids that calibration chose (`convert.py`).

    y_hat * gain --1x1, shuffle 2--> v (B, h/8, w/8, 192)
    v --1x1, * gain, blocks, * gain, 1x1, + v--> shuffle 8, border filter --> uint8
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ...errors import ModelError
from ..imageconfig import ImageConfig
from ..priorgraph import MEAN_FRAC
from .executions import TABLE_MIDDLE, Execution
from .layers import Gains, Rows
from .places import Quality
from .trunk import block_shapes, blocks_of, check, expanding, float_blocks, float_gain, float_layer, layout_of, read_layers

COEFFICIENT_FRAC = 10  # in [-16, 16): a grey block of 16 x 16 x 3 pixels has 13.9 at most
PIXEL_FRAC = 13  # in [-2, 2): pixels less 1/2, before the border filter


def synthesis_layout(config: ImageConfig) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
    """Type and shape of each array of a synthesis; weights may be int8 or int16, and are int16 here."""
    w, m, count = config.width, config.latents, config.synthesis_blocks
    layers = {"from_latent": (768, m), "enter": (w, 192), "leave": (192, w), "post": (16, 16)} | block_shapes("", w, count)
    return layout_of(layers, {"latent": m, "enter": w, "leave": w}, {"": (count, 3)})


class IntegerSynthesis:
    """A synthesis read from the integers of a model file (`synthesis_layout`). Raises ModelError where they are none."""

    def __init__(self, config: ImageConfig, arrays: Mapping[str, np.ndarray], execution: Execution):
        self.config, self.execution, self.arrays = config, execution, dict(arrays)
        check(arrays, synthesis_layout(config))
        # fractional bits of the residual stream, of what enter gives and leave takes, of each block's depthwise and grow
        stream, entered, leaving, *inner_frac = (int(v) for v in arrays["frac"])
        if len(np.unique(arrays["post.shift"])) > 1 or arrays["post.bias"].any():
            # along columns its rows are rows of the picture, its outputs whole rows of pixels: one shift for all
            raise ModelError("the border filter is not the same in every row: the model file is damaged")
        self.layers = read_layers(arrays, {"": config.synthesis_blocks})
        self.gains = {
            "latent": Gains(arrays["gain.latent"], COEFFICIENT_FRAC - MEAN_FRAC),
            "enter": Gains(arrays["gain.enter"], stream - entered),
            "leave": Gains(arrays["gain.leave"], leaving - stream),
        }
        self.expand = expanding(self.layers["from_latent"])
        self.blocks = blocks_of(self.layers, "", config.synthesis_blocks)
        if config.activation == "wsilu":
            tables = (wsilu_table(inner_frac[1 + 2 * k]) for k in range(config.synthesis_blocks))
            self.blocks = [replace(block, table=table) for block, table in zip(self.blocks, tables, strict=True)]

    def __call__(self, y_hat: np.ndarray, quality: Quality) -> np.ndarray:
        """y_hat (B, h, w, M) int32 in 1/16 steps, quality the same for all B -> (B, 16 h, 16 w, 3) uint8."""
        run = self.execution
        latents = run.array(y_hat.clip(-(2**15) + 1, 2**15 - 1).astype(np.int16))
        at_latents = _repeated(quality, len(y_hat), 1)
        at_cells = _repeated(quality, len(y_hat), 2)
        v = run.expand(self.expand, run.scale(self.gains["latent"], latents, at_latents))
        x = run.scale(self.gains["enter"], run.affine(self.layers["enter"], v), at_cells)
        for layers in self.blocks:
            x = run.block(layers, x)
        x = run.affine(self.layers["leave"], run.scale(self.gains["leave"], x, at_cells), skip=v)
        return run.paint(self.layers["post"], PIXEL_FRAC, x)


def _repeated(quality: Quality, count: int, times: int) -> Rows:
    """The quality of each place of `count` pictures, on a grid `times` as fine as the latents'."""
    if quality.latent is None:
        return Rows(quality.levels)
    which = quality.latent.repeat(times, 0).repeat(times, 1)
    return Rows(quality.levels, np.broadcast_to(which, (count, *which.shape)))


def wsilu_table(frac: int) -> np.ndarray:
    """round(2**frac * x * sigmoid(4 x)) for x = (i - 2**14) / 2**frac, i < 2**15, int16.

    Far from rounding boundaries for the grids in use, or at values that float64 has exactly (tested).
    """
    x = (np.arange(1 << 15) - TABLE_MIDDLE) / 2.0**frac
    with np.errstate(over="ignore"):
        value = x / (1 + np.exp(-4 * x))
    return np.floor(value * 2.0**frac + 0.5).clip(-16383, 16383).astype(np.int16)


def dequantised(arrays: Mapping[str, np.ndarray], config: ImageConfig) -> dict[str, Any]:
    """The float synthesis that the integers stand for: names of `ImageModel.state_dict()` -> float32 arrays."""
    stream, entered, leaving, *inner = (int(v) for v in arrays["frac"])
    w, m = config.width, config.latents
    out: dict[str, Any] = {}
    for name, target, before, after, shape in (
        ("from_latent", "from_latent", COEFFICIENT_FRAC, PIXEL_FRAC, (768, m, 1, 1)),
        ("enter", "synthesis.enter", PIXEL_FRAC, entered, (w, 192, 1, 1)),
        ("leave", "synthesis.leave", leaving, PIXEL_FRAC, (192, w, 1, 1)),
        ("post", "post", PIXEL_FRAC, PIXEL_FRAC, (16, 16)),
    ):
        out[f"{target}.weight"], out[f"{target}.bias"] = float_layer(arrays, name, before, after, shape)
    out |= float_blocks(arrays, "", "synthesis.", w, stream, inner)
    out["post"] = out.pop("post.weight")
    del out["post.bias"], out["from_latent.bias"]
    for gain, target in (("latent", "log_inverse_gain"), ("enter", "synthesis.log_enter"), ("leave", "synthesis.log_leave")):
        out[target] = float_gain(arrays[f"gain.{gain}"])
    return out
