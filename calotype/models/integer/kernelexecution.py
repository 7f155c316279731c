"""The fast execution: numba kernels around vector code (`kernels.py`, `tile.py`), layers fused, their rows shared by threads.

Import it at the first use only: numba takes a third of a second.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ... import threads
from ..priorgraph import LINEAR_CHANNELS
from . import kernels
from .executions import Execution
from .layers import ONE, Affine, BlockLayers, Gains, Packed, Rows
from .places import Places, log_table
from .team import team


class Kernel(Execution):
    """Numba kernels on as many threads as `calotype.threads` says, which share the rows of a layer."""

    LEAST = 1 << 21  # multiply-accumulates of a layer that are worth a second thread (some 30 us)

    def __init__(self) -> None:
        self.kernels, self.table = kernels, log_table()

    def _share(self, count: int, work: int, run: Callable[[int, int], None]) -> None:
        """run(start, end) over parts of range(count), on all threads where the work is worth it."""
        parts = min(threads.count(), max(1, work // self.LEAST), count)
        if parts == 1:
            run(0, count)
            return
        team(parts - 1).run(run, [count * (k + 1) // parts for k in range(parts)])

    def affine(self, layer: Affine, x: np.ndarray, rows: Rows = ONE, leaky: bool = False, skip: Any = None) -> np.ndarray:
        outputs, inputs = layer.weight.shape
        flat = np.ascontiguousarray(x).reshape(-1, inputs)
        if inputs % 2:
            flat = np.pad(flat, ((0, 0), (0, 1)))
        packed = layer.packed
        fits = packed.outputs == outputs
        out = np.empty((len(flat), packed.outputs), np.int16)
        fused = skip is not None and fits and not leaky
        other = np.ascontiguousarray(skip).reshape(-1) if fused else out.reshape(-1)
        mode = self.kernels.SKIP if fused else self.kernels.LEAKY if leaky else self.kernels.PLAIN
        arrays = packed.at(rows.levels)
        which = _places(rows if len(arrays[1]) > 1 else ONE)
        source, target, stride = flat.reshape(-1), out.reshape(-1), flat.shape[1]

        def run(start: int, end: int) -> None:
            part = arrays, stride // 2, which[start:end], mode
            at = start * packed.outputs
            self.kernels.linear(source, start * stride, stride, end - start, *part, other, target, at, packed.outputs)

        self._share(len(flat), out.size * stride, run)
        if not fits:
            out = np.ascontiguousarray(out[:, :outputs])
        out = out.reshape(*x.shape[:-1], outputs)
        return out if fused or skip is None else self.add(out, skip)

    def depthwise(self, layer: Affine, x: np.ndarray) -> np.ndarray:
        packed, (b, h, w, c) = layer.packed_depthwise, x.shape
        padded = (
            np.ascontiguousarray(x) if packed.outputs == c else np.pad(x, ((0, 0), (0, 0), (0, 0), (0, packed.outputs - c)))
        )
        out = np.empty(padded.shape, np.int16)
        arrays, flat, line = packed.at(), out.reshape(-1), w * packed.outputs

        def run(start: int, end: int) -> None:
            for image in range(b):
                self.kernels.depthwise(padded, image, start, end, arrays, flat, (image * h + start) * line)

        self._share(h, 16 * out.size, run)
        return out if packed.outputs == c else np.ascontiguousarray(out[..., :c])

    def scale(self, gains: Gains, x: np.ndarray, rows: Rows) -> np.ndarray:
        flat = np.ascontiguousarray(x).reshape(-1, x.shape[-1])
        out, which, factors = np.empty(flat.shape, np.int16), _places(rows), gains.at(rows.levels)
        self._share(len(flat), 8 * flat.size, lambda a, b: self.kernels.scale(flat, *factors, which, a, b, out))
        return out.reshape(x.shape)

    def look_up(self, table: np.ndarray, x: np.ndarray) -> np.ndarray:
        out = np.array(x, order="C").reshape(-1)
        self.kernels.look_up(out, out.size, table)
        return out.reshape(x.shape)

    def product(self, a: np.ndarray, b: np.ndarray, shift: int) -> np.ndarray:
        out = np.empty(a.size, np.int16)
        self.kernels.product(np.ascontiguousarray(a).reshape(-1), np.ascontiguousarray(b).reshape(-1), shift, out)
        return out.reshape(a.shape)

    def block(self, layers: BlockLayers, x: np.ndarray) -> np.ndarray:
        b, h, w, c = x.shape
        dw, grow, shrink = layers.dw.packed_depthwise, layers.grow.packed, layers.shrink.packed
        if c != shrink.outputs or grow.outputs != len(layers.grow.shift):
            return super().block(layers, x)  # sizes that no panel fits
        out = np.empty(x.shape, np.int16)
        table = np.empty(0, np.int16) if layers.table is None else layers.table
        parts, flat = (dw.at(), grow.at(), table, shrink.at()), out.reshape(-1)

        def run(start: int, end: int) -> None:
            for image in range(b):
                self.kernels.block(x, image, start, end, *parts, flat)

        self._share(h, 4 * out.size * c, run)
        return out

    def expand(self, layers: Sequence[Affine], x: np.ndarray) -> np.ndarray:
        b, h, w, k = x.shape
        packed = [layer.packed for layer in layers]
        o = len(layers[0].shift)
        if k % 2 or packed[0].outputs != o:
            return super().expand(layers, x)
        out = np.empty((b, 2 * h, 2 * w, o), np.int16)
        source, arrays = np.ascontiguousarray(x), tuple(p.at() for p in packed)
        self._share(b * h, out.size * k, lambda first, last: self.kernels.expand(source, first, last, arrays, out))
        return out

    def paint(self, post: Affine, frac: int, x: np.ndarray) -> np.ndarray:
        b, h, w, c = x.shape
        along = post.packed.at()
        # one shift and clamp in all rows: so too along columns, where every pixel of a row is an output
        across = (along[0], *(np.full((1, 8 * w) if v.ndim == 2 else 8 * w, v.flat[0], np.int32) for v in along[1:]))
        out, matrix = np.empty((b, 8 * h, 8 * w, c // 64), np.uint8), post.weight.astype(np.int16)
        for image in range(b):
            planes = np.empty((c // 64, 8 * h, 8 * w), np.int16)

            def rows(start: int, end: int, image: int = image, planes: np.ndarray = planes) -> None:
                self.kernels.to_planes(x, image, start, end, planes)
                if w > 2:
                    self.kernels.filter_rows(planes, 8 * start, 8 * end, along)

            def columns(start: int, end: int, image: int = image, planes: np.ndarray = planes) -> None:
                self.kernels.filter_columns(planes, start, end, matrix, across, frac, out[image])

            self._share(h, 32 * x.size, rows)
            self._share(h // 2 + 1, 32 * x.size, columns)
        return out

    def prior_step(
        self,
        layers: dict[str, Affine],
        enter: tuple[Packed, ...],
        heads: Sequence[Affine],
        at: Places,
        known: np.ndarray,
        phi: np.ndarray,
        context: np.ndarray,
        rows: Rows,
    ) -> np.ndarray:
        """One step of the prior, fused: `PriorGraph.step`. layers: "mix" and, not in the first step, "dw"; enter: "in" on the
        `known` columns of each position, the context being in order of time (`places.Order`).

        phi (1, h, w, H), context (h, w, C), rows: of the latents -> (G, 1, P h/2, w/2, O).
        """
        _, h, w, hidden = phi.shape
        which = _places(rows)
        levels = which.reshape(h, w) if which.size else which.reshape(0, 0)
        inner, mix = np.empty((0, 0, 0, 0), np.int16), layers["mix"].packed.at()
        dw = mix
        if enter:
            dw, inner = layers["dw"].packed_depthwise.at(), np.empty(phi.shape, np.int16)
            parts = tuple(packed.at(rows.levels) for packed in enter), known, levels, inner
            work = h * w * hidden * int(known.sum()) // 4
            self._share(h // 2, work, lambda first, last: self.kernels.context_rows(context, first, last, *parts))
        mixed = np.empty(phi.shape, np.int16)
        outputs = heads[0].packed.outputs
        out = np.empty((len(heads), at.offsets.shape[1] * (h // 2), w // 2, outputs), np.int16)

        def finish(first: int, last: int) -> None:
            self.kernels.mix_rows(phi, inner, 2 * first, 2 * last, dw, mix, mixed)
            for g, head in enumerate(heads):
                self.kernels.head_rows(mixed, first, last, head.packed.at(rows.levels), at.offsets[g], levels, out[g])

        self._share(h // 2, h * w * hidden * (hidden + 9) + out.size * hidden, finish)
        return out[:, None, ..., : len(heads[0].shift)]

    def absorb_in_order(
        self, at: Places, to: np.ndarray, mean: np.ndarray, symbol: np.ndarray, value: np.ndarray, context: np.ndarray
    ) -> None:
        """As `absorb`, the context in order of time (`places.Order`); to: this step's offsets."""
        places = at.start, at.stride, at.offsets, to, LINEAR_CHANNELS, self.table
        parts = np.ascontiguousarray(mean), symbol, *places, value, context
        self._share(mean.shape[1], 64 * mean.size, lambda first, last: self.kernels.absorb(*parts, first, last))


def _places(rows: Rows) -> np.ndarray:
    """The level of each row, flat uint8; empty where there is but one."""
    return np.empty(0, np.uint8) if rows.which is None else np.array(rows.which, np.uint8, order="C").reshape(-1)
