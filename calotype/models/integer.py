"""The prior in exact integers: the same table indices and means on every machine.

Arithmetic, for each layer: int16 activations x (multiples of 2**-8, |x| <= 16383;
what a context step sees: of 2**-6, |x| <= 2047), int8 weights |w| <= 63 times 2**-f per
output row, one rounding: out = clamp((w . x + bias + 2**(s-1)) >> s). Bounds, asserted when a layer is made:

    max|x| * sum|w| + |bias| + 2**(s-1) < 2**31     one int32 holds every partial sum, in any order
    128 * sum|w| < 2**24                            each half of x = 128 hi + lo sums exactly in float32 too

Three executions of this one arithmetic: `blas` (products of integers in float32 where max|x| * sum|w| <= 2**24, as nearly
always, else in float64; numba between), `int8` (torch._int_mm on
halves of x, numba between) and `reference` (plain integers). Weights are the right operand of _int_mm and at most 63
because CPUs without VNNI add pairs of products in int16. Measured on two cores of an AVX2 CPU: _int_mm falls to 0.4
GMAC/s there, float32 products run at 60, float64 ones at 33.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from ..errors import ModelError
from .fakequant import ACT_FRAC, ACT_MAX, FEATURE_FRAC, FEATURE_MAX, LEAK_SHIFT, REACH_MAX, WEIGHT_MAX, weight_frac_bits
from .prior import (
    HEAD_SHIFT,
    KNOTS,
    LEVELS,
    LINEAR_CHANNELS,
    MEAN_FRAC,
    Prior,
    PriorConfig,
    PriorGraph,
)

KNOT_SPACING = 100  # of quality 0..1000
MEAN_MAX = (1 << 15) - 1
LOG_TABLE_SIZE = 1 << 14
SYMBOL_LIMIT = 1 << 26  # a larger symbol counts as this in y_hat, so that 1/16 steps stay within int32


def log_table() -> np.ndarray:
    """round(64 * log2(1 + i / 16)) for i < 2**14, int16.

    No value comes within 1e-6 of a rounding boundary (tested against exact integers), so any libm gives this table.
    """
    return np.round((1 << FEATURE_FRAC) * np.log2(1 + np.arange(LOG_TABLE_SIZE) / 16)).astype(np.int16)


Coder = Callable[[np.ndarray, np.ndarray, int], np.ndarray]
Ahead = Callable[[list[np.ndarray]], None]


@dataclass(frozen=True)
class Places:
    """Where a step writes: per group the first channel and the stride to the next, (G,); rows and columns of its positions
    within the 2x2 cells, (G, P, 2)."""

    start: np.ndarray
    stride: np.ndarray
    offsets: np.ndarray


@lru_cache
def places(config: PriorConfig, step: int) -> Places:
    """The places of one step of a plan."""
    order = config.plan
    channels = [order.channels(g) for g, _ in order.steps[step]]
    offsets = [[divmod(p, 2) for p in positions] for _, positions in order.steps[step]]
    return Places(np.array([c.start for c in channels]), np.array([c.step for c in channels]), np.array(offsets))


@dataclass(frozen=True)
class Quality:
    """The quality at each place: levels, each 0..1000, and the number of its level for every side latent (h/4, w/4) and
    latent (h, w), uint8, None where one level holds everywhere."""

    levels: tuple[int, ...]
    side: np.ndarray | None = None
    latent: np.ndarray | None = None


@dataclass(frozen=True)
class Rows:
    """The quality of each row of a product: levels, and each row's number of one, or None where there is but one."""

    levels: tuple[int, ...]
    which: np.ndarray | None = None

    def group(self, k: int) -> Rows:
        """The rows of one group of a head."""
        return self if self.which is None else Rows(self.levels, self.which[k])


class Affine:
    """Integers of one linear or depthwise layer and their bounds.

    weight: int8 (O, K), |w| <= 63; bias: int32 (knots, O) in units of the accumulator; shift: int8 (O,) >= 1;
    low, high: int32 (O,) clamps; largest: of |x|. Raises ModelError where a bound does not hold.
    """

    def __init__(
        self,
        weight: np.ndarray,
        bias: np.ndarray,
        shift: np.ndarray,
        low: np.ndarray,
        high: np.ndarray,
        largest: int = ACT_MAX,
    ):
        self.weight, self.bias, self.shift, self.low, self.high = weight, bias, shift, low, high
        reach = np.abs(weight.astype(np.int64)).sum(1)
        half = 1 << (shift.astype(np.int64) - 1)
        worst = (largest + 1) * reach + np.abs(bias.astype(np.int64)).max(0) + half
        if np.abs(weight.astype(np.int64)).max(initial=0) > WEIGHT_MAX or shift.min() < 1 or shift.max() > 24:
            raise ModelError(
                "integer layer with a weight beyond 63 or a shift outside 1..24: the model file is damaged"
            )
        if worst.max() >= 2**31 or reach.max() > REACH_MAX:
            raise ModelError("integer layer whose sums may overflow: the model file is damaged")
        self.bound = int(worst.max())
        self.rounded_bias = (bias.astype(np.int64) + half).astype(np.int32)
        self.right = torch.from_numpy(weight.T.copy())  # (K, O), right operand of _int_mm
        self.reach = int(reach.max())
        self.float_right = {t: torch.from_numpy(weight).to(t).T for t in (torch.float32, torch.float64)}

    def bias_at(self, levels: tuple[int, ...]) -> np.ndarray:
        """Bias with the rounding half, (levels, O) int32, interpolated in integers between quality knots."""
        if len(self.rounded_bias) == 1:
            return self.rounded_bias
        quality = np.array(levels)[:, None]
        knot = np.minimum(quality // KNOT_SPACING, KNOTS - 2)
        f = quality - KNOT_SPACING * knot
        a, b = (self.rounded_bias[k[:, 0]].astype(np.int64) for k in (knot, knot + 1))
        return ((a * (KNOT_SPACING - f) + b * f + KNOT_SPACING // 2) // KNOT_SPACING).astype(np.int32)


ONE = Rows((0,))  # for layers that do not depend on quality


class Fast:
    """Numba between matrix products; arrays between layers are int16 numpy, NHWC. See its two kinds of product."""

    def __init__(self) -> None:
        from . import integer_kernels  # numba is imported on first use

        self.kernels, self.table = integer_kernels, log_table()

    def product(self, layer: Affine, x: np.ndarray) -> np.ndarray:
        """x (R, K) int16 -> x @ weight.T, (R, O): integers, as int32 or floats."""
        raise NotImplementedError

    def affine(self, layer: Affine, x: np.ndarray, quality: Rows) -> np.ndarray:
        """int16 (..., K) -> int16 (..., O)."""
        acc = self.product(layer, x.reshape(-1, x.shape[-1]))
        out = np.empty(acc.shape, np.int16)
        bias = layer.bias_at(quality.levels)
        if quality.which is None:
            self.kernels.requantise(acc, bias[0], layer.shift, layer.low, layer.high, out)
        else:
            which = quality.which.reshape(-1)
            self.kernels.requantise_rows(acc, bias, which, layer.shift, layer.low, layer.high, out)
        return out.reshape(*x.shape[:-1], -1)

    def depthwise(self, layer: Affine, x: np.ndarray) -> np.ndarray:
        """(B, H, W, C) -> the same."""
        out = np.empty(x.shape, np.int16)
        self.kernels.depthwise(np.ascontiguousarray(x), layer.weight.T.astype(np.int32), layer.shift, out)
        return out

    def absorb(self, at: Places, mean: np.ndarray, symbol: np.ndarray, value: np.ndarray, context: np.ndarray) -> None:
        """Write a decoded step, (G, P h/2, w/2, C), into value (h, w, M) and context (h, w, 2 M + LINEAR_CHANNELS)."""
        mean = np.ascontiguousarray(mean)
        where = at.start, at.stride, at.offsets
        self.kernels.absorb(mean, symbol, *where, LINEAR_CHANNELS, self.table, value, context)


class Blas(Fast):
    """Products in floats that hold every partial sum exactly, in any order: float32 where max|x| allows it.

    By torch and not by numpy, whose BLAS has threads of its own: they spin for a while after each product and halve the
    speed of the synthesis that follows on a machine of two cores.
    """

    def product(self, layer: Affine, x: np.ndarray) -> np.ndarray:
        """One sgemm or dgemm."""
        largest = max(int(x.max()), -int(x.min()))
        exact = torch.float32 if largest * layer.reach <= 2**24 else torch.float64
        return (torch.from_numpy(x).to(exact) @ layer.float_right[exact]).numpy()


class Int8(Fast):
    """Products by torch._int_mm on the halves x = 128 hi + lo: the faster one where the CPU has VNNI."""

    def product(self, layer: Affine, x: np.ndarray) -> np.ndarray:
        """Two int8 products; the weight is the right operand."""
        hi, lo = torch.from_numpy((x >> 7).astype(np.int8)), torch.from_numpy((x & 127).astype(np.int8))
        return (torch._int_mm(hi, layer.right) * 128 + torch._int_mm(lo, layer.right)).numpy()


class Reference:
    """The same arithmetic in plain integers (numpy int64, no BLAS, no numba): slow, for reading and for checking."""

    def __init__(self) -> None:
        self.table = log_table()

    def affine(self, layer: Affine, x: np.ndarray, quality: Rows) -> np.ndarray:
        """int16 (..., K) -> int16 (..., O)."""
        bias = layer.bias_at(quality.levels)
        bias = bias[0] if quality.which is None else bias[quality.which].reshape(*x.shape[:-1], -1)
        total = x.astype(np.int64) @ layer.weight.T.astype(np.int64) + bias
        return np.clip(total >> layer.shift, layer.low, layer.high).astype(np.int16)

    def depthwise(self, layer: Affine, x: np.ndarray) -> np.ndarray:
        """(B, H, W, C) -> the same."""
        _, h, w, _ = x.shape
        padded = np.pad(x.astype(np.int64), ((0, 0), (1, 1), (1, 1), (0, 0)))
        total = sum(
            padded[:, i : i + h, j : j + w] * layer.weight[:, 3 * i + j].astype(np.int64)
            for i in range(3)
            for j in range(3)
        )
        return np.clip((total + layer.bias_at(ONE.levels)[0]) >> layer.shift, layer.low, layer.high).astype(np.int16)

    def absorb(self, at: Places, mean: np.ndarray, symbol: np.ndarray, value: np.ndarray, context: np.ndarray) -> None:
        """Write a decoded step, (G, P h/2, w/2, C), into value (h, w, M) and context (h, w, 2 M + LINEAR_CHANNELS)."""
        m, top = value.shape[-1], LOG_TABLE_SIZE - 1
        for g, offsets in enumerate(at.offsets):
            channels = at.start[g] + at.stride[g] * np.arange(mean.shape[-1])
            linear = channels[channels < LINEAR_CHANNELS]
            parts = zip(np.split(mean[g], len(offsets)), np.split(symbol[g], len(offsets)), offsets, strict=True)
            for part, count, (i, j) in parts:
                v = part.astype(np.int32) + (count << MEAN_FRAC)
                here = context[i::2, j::2]
                value[i::2, j::2, channels] = v
                here[..., channels] = np.sign(v) * self.table[np.minimum(np.abs(v), top)]
                here[..., m + channels] = self.table[np.minimum(np.abs(count), top >> MEAN_FRAC) << MEAN_FRAC]
                here[..., 2 * m + linear] = np.clip((v[..., : len(linear)] + 2) >> 2, -FEATURE_MAX, FEATURE_MAX)


EXECUTIONS: dict[str, type[Blas] | type[Int8] | type[Reference]] = {"blas": Blas, "int8": Int8, "reference": Reference}


def make_execution(name: str | None = None) -> Fast | Reference:
    """An execution by name; without one, what is fast on this CPU. Raises ModelError for an unknown name."""
    if name is None:
        name = "int8" if getattr(torch.cpu, "_is_vnni_supported", bool)() else "blas"
    if name not in EXECUTIONS:
        raise ModelError(f"no integer execution '{name}': there are {', '.join(EXECUTIONS)}")
    return EXECUTIONS[name]()


class IntegerPrior(PriorGraph):
    """A prior read from the integers of a model file. `execution` is a Fast or a Reference."""

    def __init__(self, config: PriorConfig, arrays: Mapping[str, np.ndarray], execution: Fast | Reference):
        self.config, self.execution = config, execution
        self.layers: dict[str, list[Affine]] = {}
        for name in sorted({key.rsplit(".", 1)[0] for key in arrays}):
            w, b, s = (arrays[f"{name}.{k}"] for k in ("weight", "bias", "shift"))
            outputs = w.shape[-2]
            low, high = np.full(outputs, -ACT_MAX, np.int32), np.full(outputs, ACT_MAX, np.int32)
            means, final = _means(name, outputs)
            if final:
                low[:means], high[:means], low[means:], high[means:] = -MEAN_MAX, MEAN_MAX, 0, LEVELS - 1
            parts = [(w[g], b[:, g], s[g]) for g in range(len(w))] if w.ndim == 3 else [(w, b, s)]
            largest = FEATURE_MAX if name.endswith("_in") else ACT_MAX
            self.layers[name] = [Affine(*part, low, high, largest) for part in parts]

    def __getattr__(self, name: str) -> Callable:
        layers = self.__dict__.get("layers", {}).get(name)
        if layers is None:
            raise AttributeError(name)
        run = self.execution
        if name.endswith("_dw"):
            return lambda x: run.depthwise(layers[0], x)
        if _means(name, 2)[1]:
            return lambda parts, q: np.stack(
                [run.affine(a, x, q.group(k)) for k, (a, x) in enumerate(zip(layers, parts, strict=True))]
            )
        return lambda x, q=None: run.affine(layers[0], x, q or ONE)

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
            [
                np.concatenate([x[i::2, j::2, k] for i, j in group])
                for group, k in zip(at.offsets, channels, strict=True)
            ]
        )

    def walk(
        self, z: np.ndarray, shape: tuple[int, int], quality: Quality, coder: Coder, ahead: Ahead | None = None
    ) -> np.ndarray:
        """Run all steps. z (h/4, w/4, Z) integers, |z| <= 63; shape (h, w) of y, both even.

        coder(mean, index, step) gets int16 means in 1/16 and scale indices, (G, P h/2, w/2, C) each, and returns the
        int32 symbols of that step: an encoder makes them, a decoder reads them. ahead: where scales do not depend on the
        context, called before the first step with the indices of all. Returns y_hat in 1/16, (h, w, M) int32.
        """
        h, w = shape
        side, rows = (Rows(quality.levels, None if m is None else m[None]) for m in (quality.side, quality.latent))
        phi = self.hyper((z.astype(np.int16) << ACT_FRAC)[None], side)[:, :h, :w]
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
            out = self.step(s, phi, context[None], rows)[:, 0]
            mean, index = (out, indices[s]) if indices else np.split(out, 2, -1)
            symbol = np.clip(coder(mean, index, s), -SYMBOL_LIMIT, SYMBOL_LIMIT)
            self.execution.absorb(places(self.config, s), mean, symbol, value, context)
        return value


def float_prior(prior: IntegerPrior) -> Prior:
    """The differentiable net of an integer prior: its very weights and biases, activations on its grids (torch)."""
    net = Prior(prior.config)
    for name, layer in net.named_children():
        parts = prior.layers[name]
        grid = _input_frac(name)
        frac = np.stack([p.shift.astype(np.float64) for p in parts]) - _shift_of(name, np.zeros(parts[0].shift.shape))
        half = [1 << (p.shift.astype(np.int64) - 1) for p in parts]
        weight = np.stack([p.weight for p in parts]) * 2.0 ** -frac[..., None]
        bias = np.stack([p.rounded_bias - h for p, h in zip(parts, half, strict=True)], 1) * 2.0 ** -(frac + grid)
        layer.weight.data = torch.from_numpy(weight).float().view(layer.weight.shape)
        if hasattr(layer, "bias"):
            layer.bias.data = torch.from_numpy(bias).float().view(layer.bias.shape)
    return net.requires_grad_(False)


def _input_frac(name: str) -> int:
    return FEATURE_FRAC if name.endswith("_in") else ACT_FRAC


def _shift_of(name: str, frac: np.ndarray) -> np.ndarray:
    """Right shift of each row from the accumulator, of frac + input bits, to what the layer gives."""
    shift = frac + _input_frac(name) - ACT_FRAC
    means, final = _means(name, frac.shape[-1])
    if final:
        shift[..., :means] += ACT_FRAC - HEAD_SHIFT - MEAN_FRAC
        shift[..., means:] += ACT_FRAC - HEAD_SHIFT
    return shift


def _means(name: str, outputs: int) -> tuple[int, bool]:
    """(outputs of a layer that are means, whether the layer gives means and scale indices at all)."""
    if name == "scales_head":
        return 0, True
    return (outputs, True) if name.endswith("_means") else (outputs // 2, name.endswith("_head"))


def integer_layout(prior: Prior) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
    """Type and shape of each of `integer_arrays`, without making them."""
    layout = {}
    for name, layer in prior.named_children():
        rows = tuple(layer.weight.shape[:-1])
        layout[f"{name}.weight"] = np.dtype(np.int8), tuple(layer.weight.shape)
        layout[f"{name}.bias"] = np.dtype(np.int32), tuple(layer.bias.shape) if hasattr(layer, "bias") else (1, *rows)
        layout[f"{name}.shift"] = np.dtype(np.int8), rows
    return layout


def integer_arrays(prior: Prior) -> dict[str, np.ndarray]:
    """Read the integers off a trained prior: `name.weight` int8, `name.bias` int32, `name.shift` int8.

    The scale of each row is a power of two, so requantisation is one shift; heads give means in 1/16 and whole indices.
    """
    arrays = {}
    names = [n for n, _ in prior.named_children()]
    for name in names:
        layer = getattr(prior, name)
        w = layer.weight.detach().double().cpu()
        frac = weight_frac_bits(layer.weight).double().cpu()  # (..., O, 1)
        integers = (w * torch.exp2(frac)).round().clamp(-WEIGHT_MAX, WEIGHT_MAX)
        frac = frac[..., 0]
        bias = getattr(layer, "bias", None)
        bias = torch.zeros(1, *frac.shape, dtype=torch.float64) if bias is None else bias.detach().double().cpu()
        arrays[f"{name}.weight"] = integers.numpy().astype(np.int8)
        arrays[f"{name}.bias"] = (bias * torch.exp2(frac + _input_frac(name))).round().numpy().astype(np.int32)
        arrays[f"{name}.shift"] = _shift_of(name, frac.numpy()).astype(np.int8)
    return arrays
