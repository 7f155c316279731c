"""From a trained float synthesis to its integers: calibration, equalisation, rounding, bias correction.

Ranges come from a pass over calibration latents. Channels are rescaled where the net allows it, so that a row's weights use
its step well (cross-layer equalisation: Nagel et al. 2019, arXiv 1906.04721, with the balance of activations and weights of
SmoothQuant, arXiv 2211.10438). Rows are rounded one input after the other, each error being made up for by the inputs still
to come (layer-wise reconstruction of GPTQ, Frantar et al. 2022, arXiv 2210.17323); steps are powers of two. What is left
of the outputs' mean error goes into the bias.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

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
    square: float = 0.0  # sum over calls
    calls: int = 0
    peaks: Tensor = field(default_factory=lambda: torch.zeros(1))


@dataclass(frozen=True)
class Net:
    """A float net as conversion sees it. layers: by name in the model file; trunks: blocks by prefix of their names; leaves:
    the layer behind each trunk, by the same prefix, where there is one; leaky: whether all activations are leaky ReLU."""

    layers: Mapping[str, nn.Module]
    trunks: Mapping[str, nn.Sequential]
    leaves: Mapping[str, nn.Module]
    leaky: bool = True


def image_net(model: ImageModel) -> Net:
    """The synthesis of an image model."""
    layers = {"from_latent": model.from_latent, "enter": model.synthesis.enter, "leave": model.synthesis.leave}
    blocks = model.synthesis.blocks
    return Net(
        layers | block_layers("", blocks), {"": blocks}, {"": model.synthesis.leave}, model.config.activation == "leaky"
    )


def block_layers(prefix: str, blocks: nn.Sequential) -> dict[str, nn.Module]:
    """The layers of a trunk's blocks by name."""
    parts = ("depthwise", "grow", "shrink")
    return {f"{prefix}blocks.{k}.{part}": getattr(block, part) for k, block in enumerate(blocks) for part in parts}


@torch.no_grad()
def observe(net: Net, runs: Iterable[Callable[[], object]]) -> dict[str, _Seen]:
    """What the layers see while each of `runs` calls the net once; trunks' streams and leaves' inputs as PREFIX + "stream",
    PREFIX + "leaving"."""
    seen: dict[str, _Seen] = {}
    handles = []
    for name, module in net.layers.items():

        def look(module: nn.Module, inputs: tuple[Tensor], output: Tensor, name: str = name) -> None:
            s = seen.setdefault(name, _Seen())
            s.peak = max(s.peak, float(output.abs().max()))
            s.square += float(output.square().mean())
            s.calls += 1
            s.peaks = torch.maximum(s.peaks, output.abs().amax((0, 2, 3)))
            if module.groups == 1:
                x = inputs[0].permute(0, 2, 3, 1).reshape(-1, inputs[0].shape[1]).double()
                s.moments = x.T @ x if s.moments is None else s.moments + x.T @ x
                s.total = x.sum(0) if s.total is None else s.total + x.sum(0)
                s.count += len(x)

        handles.append(module.register_forward_hook(look))
    peaks = {f"{prefix}{what}": 0.0 for prefix in net.trunks for what in ("stream", "leaving")}

    def watch(module: nn.Module, *values: Tensor, name: str) -> None:
        peaks[name] = max(peaks[name], *(float(v.abs().max()) for v in values))

    for prefix, blocks in net.trunks.items():
        stream, leaving = f"{prefix}stream", f"{prefix}leaving"
        for block in blocks:
            handles.append(block.register_forward_hook(lambda m, x, y, name=stream: watch(m, x[0], y, name=name)))
        if prefix in net.leaves:
            leave = net.leaves[prefix]
            handles.append(leave.register_forward_hook(lambda m, x, y, name=leaving: watch(m, x[0], name=name)))
    for run in runs:
        run()
    for handle in handles:
        handle.remove()
    return seen | {name: _Seen(peak=peak) for name, peak in peaks.items()}


@torch.no_grad()
def equalise(net: Net, seen: Mapping[str, _Seen]) -> None:
    """Rescale the channels between depthwise and grow, and where the activation is leaky ReLU between grow and shrink: the
    same net, with columns and activations of more even size."""
    for prefix, blocks in net.trunks.items():
        for k, block in enumerate(blocks):
            pairs = [(block.depthwise, block.grow, "depthwise")]
            if net.leaky:
                pairs.append((block.grow, block.shrink, "grow"))
            for first, second, part in pairs:
                column = second.weight.abs().amax((0, 2, 3)).clamp_min(1e-8)
                ratio = torch.sqrt(column / seen[f"{prefix}blocks.{k}.{part}"].peaks.clamp_min(1e-8))
                ratio = torch.exp2(torch.log2(ratio / torch.exp(torch.log(ratio).mean())).clamp(-4, 4))
                first.weight *= ratio[:, None, None, None]
                first.bias *= ratio
                second.weight /= ratio[None, :, None, None]


def trunk_grids(
    net: Net, prefix: str, seen: Mapping[str, _Seen], precision: Precision
) -> tuple[int, list[int], dict[str, tuple[int, int]]]:
    """Of one trunk: fractional bits of its stream, of each block's depthwise and grow, and (before, after) of each layer."""
    stream, inner = frac_of(seen[f"{prefix}stream"].peak), _inner_limit(precision)
    pairs = []
    for k, block in enumerate(net.trunks[prefix]):
        name = f"{prefix}blocks.{k}"
        pairs.append([_inner_frac(seen[f"{name}.{part}"], inner) for part in ("depthwise", "grow")])
        # a shift of 1 at least: the sums of the last layer are finer than the stream
        largest = WIDE_WEIGHT_MAX if f"{name}.shrink" in precision.wide else WEIGHT_MAX
        stream = min(stream, pairs[k][1] + math.floor(math.log2(largest / float(block.shrink.weight.abs().max()))) - 1)
    ends = {}
    for k, (a, b) in enumerate(pairs):
        name = f"{prefix}blocks.{k}"
        ends |= {f"{name}.depthwise": (stream, a), f"{name}.grow": (a, b), f"{name}.shrink": (b, stream)}
    return stream, [f for pair in pairs for f in pair], ends


def _inner_limit(precision: Precision) -> int:
    return (1 << 7) - 1 if precision.activations == 8 else ACT_MAX


def trunk_arrays(prefix: str, grids: Sequence[int], blocks: int, precision: Precision) -> dict[str, np.ndarray]:
    """The grids and ranges of a trunk as the model file has them."""
    limits = np.array([_inner_limit(precision)] * (2 * blocks), np.int16)
    return {f"{prefix}frac": np.array(grids, np.int8), f"{prefix}limit": limits}


def layer_arrays(
    net: Net, ends: Mapping[str, tuple[int, int]], precision: Precision, seen: Mapping[str, _Seen]
) -> dict[str, np.ndarray]:
    """Integers of all layers. ends: fractional bits of each one's inputs and outputs."""
    arrays: dict[str, np.ndarray] = {}
    for name, module in net.layers.items():
        weight = module.weight.flatten(1).double().cpu()
        bias = torch.zeros(len(weight)) if module.bias is None else module.bias
        _layer(arrays, name, weight, bias.double().cpu(), ends[name], precision, seen[name])
    return arrays


def gain_arrays(logs: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Natural logarithms of gains (KNOTS, C) as the model file has them."""
    scale = (1 << GAIN_FRAC) / math.log(2)
    return {f"gain.{k}": (v.detach().double().cpu() * scale).round().numpy().astype(np.int32) for k, v in logs.items()}


def frac_of(peak: float, limit: int = ACT_MAX, headroom: float = HEADROOM) -> int:
    """Fractional bits of the finest grid on which `limit` is at least headroom times the peak."""
    return math.floor(math.log2(limit / (max(peak, 1e-6) * headroom)))


def _inner_frac(seen: _Seen, limit: int) -> int:
    """Of a block's depthwise or grow. 8 bits do not reach from the rare peaks to the typical value: there, they are cut."""
    if limit == ACT_MAX:
        return frac_of(seen.peak)
    return frac_of(min(seen.peak, CUT * math.sqrt(seen.square / seen.calls)), limit, 1.0)


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
    h = moments + DAMP * moments.diagonal().mean().clamp_min(1e-12) * torch.eye(len(moments), dtype=torch.float64)
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
    net = image_net(model)

    def runs() -> list[Callable[[], object]]:
        return [partial(model.synthesise, *sample) for sample in latents]

    if precision.equalise:
        equalise(net, observe(net, runs()))
    seen = observe(net, runs())
    entered, leaving = frac_of(seen["enter"].peak), frac_of(seen["leaving"].peak)
    stream, inner, ends = trunk_grids(net, "", seen, precision)
    ends |= {"from_latent": (COEFFICIENT_FRAC, PIXEL_FRAC), "enter": (PIXEL_FRAC, entered), "leave": (leaving, PIXEL_FRAC)}
    arrays = layer_arrays(net, ends, precision, seen)
    _layer(arrays, "post", model.post.double().cpu(), torch.zeros(16), (PIXEL_FRAC, PIXEL_FRAC), precision, _Seen())
    trunk = model.synthesis
    arrays |= gain_arrays({"latent": model.log_inverse_gain, "enter": trunk.log_enter, "leave": trunk.log_leave})
    return arrays | trunk_arrays("", [stream, entered, leaving, *inner], len(trunk.blocks), precision)


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
