"""From a trained float synthesis to its integers: calibration, equalisation, rounding, bias correction.

Ranges come from a pass over calibration latents. Channels are rescaled where the net allows it, so that a row's weights use
its step well (cross-layer equalisation: Nagel et al. 2019, arXiv 1906.04721, with the balance of activations and weights of
SmoothQuant, arXiv 2211.10438). Rows are rounded one input after the other, each error being made up for by the inputs still
to come (layer-wise reconstruction of GPTQ, Frantar et al. 2022, arXiv 2210.17323); steps are powers of two. What is left
of the outputs' mean error goes into the bias.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from ..grids import ACT_MAX, WEIGHT_MAX, WIDE_WEIGHT_MAX
from ..image import ImageModel
from .layers import GAIN_FRAC, MAX_SHIFT
from .synthesis import COEFFICIENT_FRAC, PIXEL_FRAC

HEADROOM = 1.5  # of an activation's range over what calibration saw
REACH = 120_000  # of a row's sum of |w|: with 15-bit activations below 2**31, and 10 % are left for its bias
CUT = 5  # deviations of an activation of 8 bits that its grid reaches, about
BIAS = 1 << 27  # of a bias: with REACH below 2**31
DAMP = 0.01  # of the mean diagonal, added to second moments


@dataclass(frozen=True)
class Precision:
    """wide: names of layers (as in the model file) whose weights have 13 bits, all others 7; activations: bits of what
    enters grow and shrink, 15 or 8; rounding: "gptq" or "nearest"; equalise: rescale channels first; correct: biases."""

    wide: frozenset[str] = frozenset({"from_latent", "leave", "enter", "post"})
    activations: int = 15
    rounding: str = "gptq"
    equalise: bool = True
    correct: bool = True


@dataclass
class _Seen:
    """What calibration saw of a layer: second moments and means of its inputs, largest output."""

    moments: Tensor | None = None
    total: Tensor | None = None
    count: int = 0
    peak: float = 0.0
    square: float = 0.0
    peaks: Tensor = field(default_factory=lambda: torch.zeros(1))


def names(model: ImageModel) -> dict[str, nn.Module]:
    """Layers by their name in the model file."""
    found: dict[str, nn.Module] = {
        "from_latent": model.from_latent,
        "enter": model.synthesis.enter,
        "leave": model.synthesis.leave,
    }
    for k, block in enumerate(model.synthesis.blocks):
        found |= {f"blocks.{k}.{part}": getattr(block, part) for part in ("depthwise", "grow", "shrink")}
    return found


@torch.no_grad()
def observe(model: ImageModel, latents: Sequence[tuple[Tensor, Tensor]]) -> dict[str, _Seen]:
    """Run the float synthesis over (y_hat (B, M, h, w), knot weights) pairs."""
    seen: dict[str, _Seen] = {}
    handles = []
    for name, module in names(model).items():

        def look(module: nn.Module, inputs: tuple[Tensor], output: Tensor, name: str = name) -> None:
            s = seen.setdefault(name, _Seen())
            s.peak = max(s.peak, float(output.abs().max()))
            s.square += float(output.square().mean()) / len(latents)
            s.peaks = torch.maximum(s.peaks, output.abs().amax((0, 2, 3)))
            if module.groups == 1:
                x = inputs[0].permute(0, 2, 3, 1).reshape(-1, inputs[0].shape[1]).double()
                s.moments = x.T @ x if s.moments is None else s.moments + x.T @ x
                s.total = x.sum(0) if s.total is None else s.total + x.sum(0)
                s.count += len(x)

        handles.append(module.register_forward_hook(look))
    peaks = {"stream": 0.0, "before leave": 0.0}

    def watch(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        peaks["stream"] = max(peaks["stream"], float(inputs[0].abs().max()), float(output.abs().max()))

    def watch_last(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        peaks["before leave"] = max(peaks["before leave"], float(inputs[0].abs().max()))

    handles += [block.register_forward_hook(watch) for block in model.synthesis.blocks]
    handles.append(model.synthesis.leave.register_forward_hook(watch_last))
    for y_hat, weights in latents:
        model.synthesise(y_hat, weights)
    for handle in handles:
        handle.remove()
    return seen | {name: _Seen(peak=peak) for name, peak in peaks.items()}


@torch.no_grad()
def equalise(model: ImageModel, seen: Mapping[str, _Seen]) -> None:
    """Rescale the channels between depthwise and grow, and where the activation is leaky ReLU between grow and shrink: the
    same net, with columns and activations of more even size."""
    for k, block in enumerate(model.synthesis.blocks):
        pairs = [(block.depthwise, block.grow, "depthwise")]
        if model.config.activation == "leaky":
            pairs.append((block.grow, block.shrink, "grow"))
        for first, second, part in pairs:
            column = second.weight.abs().amax((0, 2, 3)).clamp_min(1e-8)
            ratio = torch.sqrt(column / seen[f"blocks.{k}.{part}"].peaks.clamp_min(1e-8))
            ratio = torch.exp2(torch.log2(ratio / torch.exp(torch.log(ratio).mean())).clamp(-4, 4))
            first.weight *= ratio[:, None, None, None]
            first.bias *= ratio
            second.weight /= ratio[None, :, None, None]


def frac_of(peak: float, limit: int = ACT_MAX, headroom: float = HEADROOM) -> int:
    """Fractional bits of the finest grid on which `limit` is at least headroom times the peak."""
    return math.floor(math.log2(limit / (max(peak, 1e-6) * headroom)))


def _inner_frac(seen: _Seen, limit: int) -> int:
    """Of a block's depthwise or grow. 8 bits do not reach from the rare peaks to the typical value: there, they are cut."""
    if limit == ACT_MAX:
        return frac_of(seen.peak)
    return frac_of(min(seen.peak, CUT * math.sqrt(seen.square)), limit, 1.0)


def row_bits(weight: Tensor, bias: Tensor, wide: bool, before: int, after: int) -> Tensor:
    """Fractional bits of each row (O,) of weight (O, K), as many as its largest weight, its sum, its bias and its shift allow.

    before, after: fractional bits of inputs and outputs.
    """
    shift_of = before - after
    largest = WIDE_WEIGHT_MAX if wide else WEIGHT_MAX
    peak, reach = weight.abs().amax(1).clamp_min(1e-8), weight.abs().sum(1).clamp_min(1e-8)
    room = REACH - weight.shape[1]  # rounding may add a unit a weight
    own = BIAS / (bias.abs().clamp_min(1e-8) * 2.0**before)
    bits = torch.floor(torch.log2(torch.minimum(torch.minimum(largest / peak, room / reach), own)))
    return bits.clamp(1 - shift_of, MAX_SHIFT - shift_of)


def round_rows(weight: Tensor, step: Tensor, largest: int, moments: Tensor | None) -> Tensor:
    """Integers (O, K) of weight (O, K) in steps (O,): the nearest, or by GPTQ where second moments (K, K) are given."""
    if moments is None:
        return (weight / step[:, None]).round().clamp(-largest, largest)
    w, out = weight.clone().double(), torch.zeros_like(weight, dtype=torch.float64)
    h = moments + DAMP * moments.diagonal().mean() * torch.eye(len(moments), dtype=torch.float64)
    inverse = torch.linalg.cholesky(torch.linalg.inv(h), upper=True)
    for k in range(w.shape[1]):
        out[:, k] = (w[:, k] / step).round().clamp(-largest, largest)
        error = (w[:, k] - out[:, k] * step) / inverse[k, k]
        w[:, k + 1 :] -= error[:, None] * inverse[k, k + 1 :]
    return out


@torch.no_grad()
def convert(
    model: ImageModel, latents: Sequence[tuple[Tensor, Tensor]], precision: Precision = Precision()
) -> dict[str, np.ndarray]:
    """The arrays of `synthesis.synthesis_layout` for a trained model (whose synthesis is rescaled on the way, not changed).

    latents: (y_hat (B, M, h, w) in steps, knot weights (B, KNOTS)) pairs as the codec sees them, over all qualities.
    """
    if precision.equalise:
        equalise(model, observe(model, latents))
    seen = observe(model, latents)
    inner = (1 << 7) - 1 if precision.activations == 8 else ACT_MAX
    stream, entered, leaving = (frac_of(seen[name].peak) for name in ("stream", "enter", "before leave"))
    pairs = []
    for k, block in enumerate(model.synthesis.blocks):
        pairs.append([_inner_frac(seen[f"blocks.{k}.{part}"], inner) for part in ("depthwise", "grow")])
        # a shift of 1 at least: the sums of the last layer are finer than the stream
        largest = WIDE_WEIGHT_MAX if f"blocks.{k}.shrink" in precision.wide else WEIGHT_MAX
        stream = min(stream, pairs[k][1] + math.floor(math.log2(largest / float(block.shrink.weight.abs().max()))) - 1)
    frac = [stream, entered, leaving, *(f for pair in pairs for f in pair)]
    arrays: dict[str, np.ndarray] = {}
    ends = {"from_latent": (COEFFICIENT_FRAC, PIXEL_FRAC), "enter": (PIXEL_FRAC, entered), "leave": (leaving, PIXEL_FRAC)}
    for k, (a, b) in enumerate(pairs):
        ends |= {f"blocks.{k}.depthwise": (stream, a), f"blocks.{k}.grow": (a, b), f"blocks.{k}.shrink": (b, stream)}
    for name, module in names(model).items():
        weight = module.weight.flatten(1).double().cpu()
        bias = torch.zeros(len(weight)) if module.bias is None else module.bias
        _layer(arrays, name, weight, bias.double().cpu(), ends[name], precision, seen[name])
    _layer(arrays, "post", model.post.double().cpu(), torch.zeros(16), (PIXEL_FRAC, PIXEL_FRAC), precision, _Seen())
    for gain, log in (
        ("latent", model.log_inverse_gain),
        ("enter", model.synthesis.log_enter),
        ("leave", model.synthesis.log_leave),
    ):
        scaled = (log.double().cpu() * ((1 << GAIN_FRAC) / math.log(2))).round()
        arrays[f"gain.{gain}"] = scaled.numpy().astype(np.int32)
    arrays["frac"] = np.array(frac, np.int8)
    arrays["limit"] = np.array([inner] * (2 * len(pairs)), np.int16)
    return arrays


def _layer(
    arrays: dict[str, np.ndarray],
    name: str,
    weight: Tensor,
    bias: Tensor,
    ends: tuple[int, int],
    precision: Precision,
    seen: _Seen,
) -> None:
    """Integers of one layer. ends: fractional bits of its inputs and outputs."""
    before, after = ends
    wide = name in precision.wide
    largest = WIDE_WEIGHT_MAX if wide else WEIGHT_MAX
    bits = row_bits(weight, bias, wide, before, after)
    step = torch.exp2(-bits)
    moments = seen.moments if precision.rounding == "gptq" else None
    integers = round_rows(weight, step, largest, moments)
    if precision.correct and seen.total is not None:
        bias = bias + (weight - integers * step[:, None]) @ (seen.total / seen.count)
    if name == "post":  # one shift for all rows: the filter works on whole picture rows too
        assert bool((bits == bits.min()).all()) or moments is None
        bits = bits.min().expand_as(bits)
        integers = (weight * torch.exp2(bits[:, None])).round()
    kind = np.int16 if wide else np.int8
    arrays[f"{name}.weight"] = integers.numpy().astype(kind)
    arrays[f"{name}.bias"] = (bias * torch.exp2(bits + before)).round()[None].numpy().astype(np.int32)
    arrays[f"{name}.shift"] = (bits + before - after).numpy().astype(np.int8)
