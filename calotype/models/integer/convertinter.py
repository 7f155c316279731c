"""From a trained inter-frame model to the integers of its decoder, as `convert.py` does with a synthesis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ..image import knot_weights
from ..video import InterModel, Prediction
from .convert import (
    Net,
    Precision,
    block_layers,
    equalise,
    frac_of,
    gain_arrays,
    layer_arrays,
    observe,
    trunk_arrays,
    trunk_grids,
)
from .inter import CONTEXT, GIVEN_FRAC, SYNTHESIS
from .synthesis import COEFFICIENT_FRAC, PIXEL_FRAC

Sample = tuple[Prediction, Tensor, Tensor]  # prediction, y_hat (B, M, h, w) in steps, quality (B,) in 0..1000


def inter_net(model: InterModel) -> Net:
    """The decoder of an inter-frame model."""
    context, synthesis = model.context, model.synthesis
    layers = {
        "context.enter": context.enter,
        "context.difference": context.difference,
        "to_prior": model.to_prior,
        "from_latent": model.from_latent,
        "synthesis.enter": synthesis.enter,
        "synthesis.condition": synthesis.condition,
        "synthesis.leave": synthesis.leave,
    }
    layers |= block_layers(CONTEXT, context.blocks) | block_layers(SYNTHESIS, synthesis.blocks)
    return Net(layers, {CONTEXT: context.blocks, SYNTHESIS: synthesis.blocks}, {SYNTHESIS: synthesis.leave})


def wide(model: InterModel) -> Precision:
    """13-bit weights for all layers but those of the blocks."""
    return Precision(frozenset(name for name in inter_net(model).layers if ".blocks." not in name))


@torch.no_grad()
def convert_inter(
    model: InterModel, samples: Sequence[Sample], precision: Precision | None = None
) -> dict[str, np.ndarray]:
    """The arrays of `inter.inter_layout` for a trained model (whose trunks are rescaled on the way, not changed).

    samples: what the decoder gets, over all qualities.
    """
    precision, net = precision or wide(model), inter_net(model)

    def decode(prediction: Prediction, y_hat: Tensor, quality: Tensor) -> None:
        weights = knot_weights(quality)
        c, _ = model.known(prediction, weights)
        model.synthesise(y_hat, prediction.base, c, weights)

    def runs() -> list[Callable[[], object]]:
        return [partial(decode, *sample) for sample in samples]

    if precision.equalise:
        equalise(net, observe(net, runs()))
    seen = observe(net, runs())
    context, context_inner, ends = trunk_grids(net, CONTEXT, seen, precision)
    stream, synthesis_inner, more = trunk_grids(net, SYNTHESIS, seen, precision)
    both = max(seen["context.enter"].peak, seen["context.difference"].peak)  # their sum has the same grid
    context_entered, entered = frac_of(2 * both, headroom=1), frac_of(seen["synthesis.enter"].peak)
    leaving = frac_of(seen[f"{SYNTHESIS}leaving"].peak)
    ends |= more | {
        "context.enter": (PIXEL_FRAC, context_entered),
        "context.difference": (PIXEL_FRAC, context_entered),
        "to_prior": (context, GIVEN_FRAC),
        "from_latent": (COEFFICIENT_FRAC, PIXEL_FRAC),
        "synthesis.enter": (PIXEL_FRAC, entered),
        "synthesis.condition": (context, stream),
        "synthesis.leave": (leaving, PIXEL_FRAC),
    }
    arrays = layer_arrays(net, ends, precision, seen)
    arrays |= trunk_arrays(CONTEXT, [context_entered, context, *context_inner], len(model.context.blocks), precision)
    grids = [entered, stream, leaving, *synthesis_inner]
    arrays |= trunk_arrays(SYNTHESIS, grids, len(model.synthesis.blocks), precision)
    trunk = model.synthesis
    gains = {"synthesis.enter": trunk.log_enter, "synthesis.leave": trunk.log_leave}
    return arrays | gain_arrays(gains | {"latent": model.log_inverse_gain, "context.enter": model.context.log_enter})
