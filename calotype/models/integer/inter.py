"""The decoder of inter frames in exact integers: prediction and latents to 8-bit planes, the same ones on every machine.

The net of `video.InterModel` on fixed grids: latents in 1/16 steps, coefficients in 2**-10, cells (256 levels are 1) in 2**-13,
what the prior is given in 2**-8, features on grids that calibration chose.

    base, difference --1x1, sum, * gain, blocks--> c;  c --unshuffle 2, 1x1--> given
    y_hat * gain --1x1, shuffle 2--> v;  v --1x1, * gain, + 1x1(c), blocks, * gain, 1x1, + v, + base--> uint8
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..grids import ACT_FRAC
from ..priorgraph import MEAN_FRAC
from ..videoconfig import CELL, CELLS, VideoConfig
from .executions import Execution
from .layers import Gains, Rows
from .synthesis import COEFFICIENT_FRAC, PIXEL_FRAC
from .trunk import (
    Layout,
    block_shapes,
    blocks_of,
    check,
    expanding,
    float_blocks,
    float_gain,
    float_layer,
    layout_of,
    read_layers,
)

CONTEXT, SYNTHESIS = "context.", "synthesis."
LEVEL_SHIFT = PIXEL_FRAC - 8  # a level is 2**5 units of a cell
GIVEN_FRAC = ACT_FRAC
SIDES = (CELL, CELL // 2, CELL // 2)  # of a cell, in samples of Y, U and V

Planes = tuple[np.ndarray, np.ndarray, np.ndarray]


def inter_layout(config: VideoConfig) -> Layout:
    """Type and shape of each array of an inter-frame decoder."""
    w, m = config.width, config.latents
    layers = {
        "context.enter": (w, CELLS),
        "context.difference": (w, CELLS),
        "to_prior": (config.hidden, 4 * w),
        "from_latent": (4 * CELLS, m),
        "synthesis.enter": (w, CELLS),
        "synthesis.condition": (w, w),
        "synthesis.leave": (CELLS, w),
    }
    layers |= block_shapes(CONTEXT, w, config.context_blocks) | block_shapes(SYNTHESIS, w, config.synthesis_blocks)
    gains = {"latent": m, "context.enter": w, "synthesis.enter": w, "synthesis.leave": w}
    return layout_of(layers, gains, {CONTEXT: (config.context_blocks, 2), SYNTHESIS: (config.synthesis_blocks, 3)})


def to_cells(planes: Planes) -> np.ndarray:
    """int16 planes (H, W), (H/2, W/2) twice -> (1, H/8, W/8, 96), each plane's samples row by row."""
    h, w = (side // CELL for side in planes[0].shape)
    parts = (p.reshape(h, s, w, s).transpose(0, 2, 1, 3).reshape(h, w, s * s) for p, s in zip(planes, SIDES, strict=True))
    return np.concatenate(list(parts), -1)[None]


def to_planes(cells: np.ndarray) -> Planes:
    """The reverse of `to_cells`."""
    _, h, w, _ = cells.shape
    ends = np.cumsum([s * s for s in SIDES])[:-1]
    parts = zip(np.split(cells[0], ends, -1), SIDES, strict=True)
    y, u, v = (p.reshape(h, w, s, s).transpose(0, 2, 1, 3).reshape(h * s, w * s) for p, s in parts)
    return y, u, v


class IntegerInter:
    """An inter-frame decoder read from the integers of a model file (`inter_layout`). Raises ModelError where they are none."""

    def __init__(self, config: VideoConfig, arrays: Mapping[str, np.ndarray], execution: Execution):
        self.config, self.execution, self.arrays = config, execution, dict(arrays)
        check(arrays, inter_layout(config))
        self.layers = read_layers(arrays, {CONTEXT: config.context_blocks, SYNTHESIS: config.synthesis_blocks})
        entered, self.context_frac = (int(v) for v in arrays["context.frac"][:2])
        synthesis_entered, stream, leaving = (int(v) for v in arrays["synthesis.frac"][:3])
        rises = {
            "latent": COEFFICIENT_FRAC - MEAN_FRAC,
            "context.enter": self.context_frac - entered,
            "synthesis.enter": stream - synthesis_entered,
            "synthesis.leave": leaving - stream,
        }
        self.gains = {name: Gains(arrays[f"gain.{name}"], rise) for name, rise in rises.items()}
        self.expand = expanding(self.layers["from_latent"])
        self.context_blocks = blocks_of(self.layers, CONTEXT, config.context_blocks)
        self.synthesis_blocks = blocks_of(self.layers, SYNTHESIS, config.synthesis_blocks)

    def known(self, base: Planes, difference: Planes, quality: int) -> tuple[Any, np.ndarray]:
        """int16 planes of a prediction in 1/32 levels (`motion.compensate`), quality 0..1000 -> c, an array of the execution
        (1, H/8, W/8, C), and what the prior is given, (H/16, W/16, H) int16. H and W are multiples of 32."""
        run, layers, rows = self.execution, self.layers, Rows((quality,))
        x = run.affine(layers["context.difference"], run.array(to_cells(difference)))
        x = run.affine(layers["context.enter"], run.array(to_cells(base)), skip=x)
        x = run.scale(self.gains["context.enter"], x, rows)
        for block in self.context_blocks:
            x = run.block(block, x)
        _, h, w, c = x.shape
        cells = run.permute(x.reshape(1, h // 2, 2, w // 2, 2, c), (0, 1, 3, 5, 2, 4)).reshape(1, h // 2, w // 2, 4 * c)
        return x, run.numpy(run.affine(layers["to_prior"], cells))[0]

    def __call__(self, y_hat: np.ndarray, c: Any, base: Planes, quality: int) -> Planes:
        """y_hat (h, w, M) int32 in 1/16 steps, c and base as of `known` -> uint8 planes."""
        run, layers, rows = self.execution, self.layers, Rows((quality,))
        latents = run.array(y_hat.clip(-(2**15) + 1, 2**15 - 1).astype(np.int16)[None])
        v = run.expand(self.expand, run.scale(self.gains["latent"], latents, rows))
        x = run.scale(self.gains["synthesis.enter"], run.affine(layers["synthesis.enter"], v), rows)
        x = run.affine(layers["synthesis.condition"], c, skip=x)
        for block in self.synthesis_blocks:
            x = run.block(block, x)
        x = run.affine(layers["synthesis.leave"], run.scale(self.gains["synthesis.leave"], x, rows), skip=v)
        half, middle = 1 << (LEVEL_SHIFT - 1), 128
        found = zip(to_planes(run.numpy(x)), base, strict=True)
        y, u, v = ((((p.astype(np.int32) + b + half) >> LEVEL_SHIFT) + middle).clip(0, 255).astype(np.uint8) for p, b in found)
        return y, u, v


def dequantised(arrays: Mapping[str, np.ndarray], config: VideoConfig) -> dict[str, np.ndarray]:
    """The float decoder that the integers stand for: names of `InterModel.state_dict()` -> float32 arrays."""
    entered, context, *context_inner = (int(v) for v in arrays["context.frac"])
    synthesis_entered, stream, leaving, *inner = (int(v) for v in arrays["synthesis.frac"])
    w, m = config.width, config.latents
    out: dict[str, np.ndarray] = {}
    for name, before, after, shape in (
        ("context.enter", PIXEL_FRAC, entered, (w, CELLS, 1, 1)),
        ("context.difference", PIXEL_FRAC, entered, (w, CELLS, 1, 1)),
        ("to_prior", context, GIVEN_FRAC, (config.hidden, 4 * w, 1, 1)),
        ("from_latent", COEFFICIENT_FRAC, PIXEL_FRAC, (4 * CELLS, m, 1, 1)),
        ("synthesis.enter", PIXEL_FRAC, synthesis_entered, (w, CELLS, 1, 1)),
        ("synthesis.condition", context, stream, (w, w, 1, 1)),
        ("synthesis.leave", leaving, PIXEL_FRAC, (CELLS, w, 1, 1)),
    ):
        out[f"{name}.weight"], out[f"{name}.bias"] = float_layer(arrays, name, before, after, shape)
    del out["from_latent.bias"]
    out |= float_blocks(arrays, CONTEXT, CONTEXT, w, context, context_inner)
    out |= float_blocks(arrays, SYNTHESIS, SYNTHESIS, w, stream, inner)
    for name in ("context.enter", "synthesis.enter", "synthesis.leave"):
        out[name.replace(".", ".log_")] = float_gain(arrays[f"gain.{name}"])
    return out | {"log_inverse_gain": float_gain(arrays["gain.latent"])}
