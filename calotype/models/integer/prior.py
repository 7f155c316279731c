"""The prior in exact integers: the same table indices and means on every machine.

Activations are multiples of 2**-8, |x| <= 16383; what a context step sees is of 2**-6, |x| <= 2047; weights int8,
by training at most 63. Heads give means in 1/16 and whole scale indices. The graph is `priorgraph.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ..grids import ACT_FRAC, ACT_MAX, FEATURE_FRAC, FEATURE_MAX, LEAK_SHIFT
from ..priorgraph import HEAD_SHIFT, KNOTS, LEVELS, MEAN_FRAC, PriorConfig, PriorGraph
from .executions import Execution
from .layers import ONE, Affine, Packed, Rows
from .places import LOG_TABLE_SIZE, Quality, log_table, order, places

MEAN_MAX = (1 << 15) - 1
SYMBOL_LIMIT = 1 << 26  # a larger symbol counts as this in y_hat, so that 1/16 steps stay within int32
Coder = Callable[[np.ndarray, np.ndarray, int], np.ndarray]
Ahead = Callable[[list[np.ndarray]], None]


class IntegerPrior(PriorGraph):
    """A prior read from the integers of a model file. `execution` runs on numpy arrays: kernels or the
    reference, or any other behind `OnNumpy`."""

    def __init__(self, config: PriorConfig, arrays: Mapping[str, np.ndarray], execution: Execution):
        self.config, self.execution = config, execution
        self._entering: dict[int, tuple[Packed, ...]] = {}
        self.layers: dict[str, list[Affine]] = {}
        for name in sorted({key.rsplit(".", 1)[0] for key in arrays}):
            w, b, s = (arrays[f"{name}.{k}"] for k in ("weight", "bias", "shift"))
            outputs = w.shape[-2]
            low, high = np.full(outputs, -ACT_MAX, np.int32), np.full(outputs, ACT_MAX, np.int32)
            means, final = means_of(name, outputs)
            if final:
                low[:means], high[:means], low[means:], high[means:] = -MEAN_MAX, MEAN_MAX, 0, LEVELS - 1
            parts = [(w[g], b[:, g], s[g]) for g in range(len(w))] if w.ndim == 3 else [(w, b, s)]
            largest = FEATURE_MAX if name.endswith("_in") else ACT_MAX
            self.layers[name] = [Affine(*part, low, high, largest) for part in parts]

    @property
    def fused(self) -> bool:
        """Whether the steps run fused: on the kernels, whose panels this width fits."""
        return hasattr(self.execution, "prior_step") and self.config.hidden % 16 == 0

    def __getattr__(self, name: str) -> Callable:
        layers = self.__dict__.get("layers", {}).get(name)
        if layers is None:
            raise AttributeError(name)
        run = self.execution
        if name.endswith("_dw"):
            return lambda x: run.depthwise(layers[0], x)
        if means_of(name, 2)[1]:
            return lambda parts, q: np.stack(
                [run.affine(a, x, q.group(k)) for k, (a, x) in enumerate(zip(layers, parts, strict=True))]
            )
        return lambda x, q=None: run.affine(layers[0], x, q or ONE)

    def step(self, s: int, phi: np.ndarray, context: np.ndarray, quality: Rows) -> np.ndarray:
        """As the graph says; in one go, on a context in order of time, where the execution can."""
        if not self.fused:
            return super().step(s, phi, context[None], quality)
        heads = self.layers[f"step{s}_means" if self.config.scales_ahead else f"step{s}_head"]
        layers = {part: self.layers[f"step{s}_{part}"][0] for part in (("dw", "mix") if s else ("mix",))}
        known = order(self.config).known[s]
        return self.execution.prior_step(
            layers, self._enter(s) if s else (), heads, places(self.config, s), known, phi, context, quality
        )

    def _enter(self, s: int) -> tuple[Packed, ...]:
        """`step_in` on what is known at each of the four positions."""
        if s not in self._entering:
            from .tile import pack

            layer, time = self.layers[f"step{s}_in"][0], order(self.config)
            parts = [layer.weight[:, c[:n]] for c, n in zip(time.columns, time.known[s], strict=True)]
            self._entering[s] = tuple(Packed(layer, pack(part)) for part in parts)
        return self._entering[s]

    def _absorb(self, s: int, mean: np.ndarray, symbol: np.ndarray, value: np.ndarray, context: np.ndarray) -> None:
        at = places(self.config, s)
        if self.fused:
            self.execution.absorb_in_order(at, order(self.config).offsets[s], mean, symbol, value, context)
        else:
            self.execution.absorb(at, mean, symbol, value, context)

    @staticmethod
    def leaky(x: np.ndarray) -> np.ndarray:
        """Leaky ReLU, slope 1/8."""
        return np.maximum(x, x >> LEAK_SHIFT)

    @staticmethod
    def add(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Saturating sum: two 15-bit activations never pass int16."""
        return np.clip(a + b, -ACT_MAX, ACT_MAX)

    @staticmethod
    def up2(x: np.ndarray) -> np.ndarray:
        """(B, h, w, 4 C) -> (B, 2 h, 2 w, C)."""
        b, h, w, c = x.shape
        return x.reshape(b, h, w, 2, 2, c // 4).transpose(0, 1, 3, 2, 4, 5).reshape(b, 2 * h, 2 * w, c // 4)

    def gather(self, x: np.ndarray, s: int) -> np.ndarray:
        """(B, h, w, H) -> (G, B, P h/2, w/2, H): for each group of step s, the features at its P positions."""
        offsets = places(self.config, s).offsets
        return np.stack([np.concatenate([x[:, i::2, j::2] for i, j in group], 1) for group in offsets])

    def quality_at(self, quality: Rows, s: int) -> Rows:
        """The quality of each of the positions that a step codes."""
        if quality.which is None:
            return quality
        return Rows(quality.levels, self.gather(quality.which[..., None], s)[:, 0, ..., 0])

    def level_at(self, quality: Quality, s: int) -> np.ndarray | None:
        """The number of the quality level at each place that a step codes, (G, P h/2, w/2); None where there is but one."""
        return self.quality_at(Rows(quality.levels, None if quality.latent is None else quality.latent[None]), s).which

    def cut(self, x: np.ndarray, s: int) -> np.ndarray:
        """(h, w, M) -> (G, P h/2, w/2, C): the elements that step s codes."""
        at, c = places(self.config, s), self.config.plan.width(s)
        channels = [start + stride * np.arange(c) for start, stride in zip(at.start, at.stride, strict=True)]
        return np.stack(
            [np.concatenate([x[i::2, j::2, k] for i, j in group]) for group, k in zip(at.offsets, channels, strict=True)]
        )

    def walk(
        self,
        z: np.ndarray,
        shape: tuple[int, int],
        quality: Quality,
        coder: Coder,
        ahead: Ahead | None = None,
        temporal: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> np.ndarray:
        """Run all steps. z (h/4, w/4, Z) integers, |z| <= 31; shape (h, w) of y, both even.

        coder(mean, index, step) gets int16 means in 1/16 and scale indices, (G, P h/2, w/2, C) each, and returns the
        int32 symbols of that step: an encoder makes them, a decoder reads them. ahead: where scales do not depend on the
        context, called before the first step with the indices of all. temporal: of a temporal prior, features (h, w, H) int16
        in 2**-8 and the latents (h, w, M) int32 of an earlier picture. Returns y_hat in 1/16, (h, w, M) int32.
        """
        h, w = shape
        side, rows = (Rows(quality.levels, None if m is None else m[None]) for m in (quality.side, quality.latent))
        phi = np.ascontiguousarray(self.hyper((z.astype(np.int16) << ACT_FRAC)[None], side)[:, :h, :w])
        if temporal is not None:
            given, past = temporal
            phi = np.ascontiguousarray(self.condition(phi, given[None], past_features(past)[None], rows))
        value = np.zeros((h, w, self.config.latents), np.int32)
        context = np.zeros((h, w, self.config.context), np.int16)
        steps = range(len(self.config.plan.steps))
        indices: list[np.ndarray] = []
        if self.config.scales_ahead:
            index = self.scales(phi, rows)[0, 0]
            indices = [self.cut(index, s) for s in steps]
            if ahead:
                ahead(indices)
        for s in steps:
            out = self.step(s, phi, context, rows)[:, 0]
            mean, index = (out, indices[s]) if indices else np.split(out, 2, -1)
            symbol = np.clip(coder(mean, index, s), -SYMBOL_LIMIT, SYMBOL_LIMIT)
            self._absorb(s, mean, symbol, value, context)
        return value


def past_features(y_hat: np.ndarray) -> np.ndarray:
    """What a temporal prior sees of an earlier picture's latents: (h, w, M) int32 in 1/16 -> (h, w, 2 M) int16 in 2**-6."""
    size = log_table()[np.minimum(np.abs(y_hat), LOG_TABLE_SIZE - 1)]
    return np.concatenate((np.where(y_hat < 0, -size, size), size), -1)


def input_frac(name: str) -> int:
    return FEATURE_FRAC if name.endswith("_in") else ACT_FRAC


def shift_of(name: str, frac: np.ndarray) -> np.ndarray:
    """Right shift of each row from the accumulator, of frac + input bits, to what the layer gives."""
    shift = frac + input_frac(name) - ACT_FRAC
    means, final = means_of(name, frac.shape[-1])
    if final:
        shift[..., :means] += ACT_FRAC - HEAD_SHIFT - MEAN_FRAC
        shift[..., means:] += ACT_FRAC - HEAD_SHIFT
    return shift


def means_of(name: str, outputs: int) -> tuple[int, bool]:
    """(outputs of a layer that are means, whether the layer gives means and scale indices at all)."""
    if name == "scales_head":
        return 0, True
    return (outputs, True) if name.endswith("_means") else (outputs // 2, name.endswith("_head"))


def integer_layout(config: PriorConfig) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
    """Type and shape of each array of a prior: `name.weight` int8, `name.bias` int32, `name.shift` int8."""
    side, h, order = config.side, config.hidden, config.plan
    # name: (rows of weights, biases)
    shapes: dict[str, tuple[tuple[int, ...], int]] = {
        "expand": ((4 * h, side), KNOTS),
        "up_dw": ((h, 9), 1),
        "up": ((4 * h, h), 1),
    }
    if config.temporal:
        shapes |= {"past_in": ((h, 2 * config.latents), KNOTS), "past_dw": ((h, 9), 1), "past_mix": ((h, h), 1)}
    for s, groups in enumerate(order.steps):
        if s:
            shapes |= {f"step{s}_in": ((h, config.context), KNOTS), f"step{s}_dw": ((h, 9), 1)}
        shapes[f"step{s}_mix"] = (h, h), 1
        head, outputs = ("means", 1) if config.scales_ahead else ("head", 2)
        shapes[f"step{s}_{head}"] = (len(groups), outputs * order.width(s), h), KNOTS
    if config.scales_ahead:
        shapes |= {"scales_mix": ((h, h), 1), "scales_head": ((1, config.latents, h), KNOTS)}
    layout = {}
    for name, (shape, biases) in shapes.items():
        layout[f"{name}.weight"] = np.dtype(np.int8), shape
        layout[f"{name}.bias"] = np.dtype(np.int32), (biases, *shape[:-1])
        layout[f"{name}.shift"] = np.dtype(np.int8), shape[:-1]
    return layout
