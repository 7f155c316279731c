"""Groups of frames by HNeRV (models/neural/hnerv.py): every group a key group, of a network and a grid a frame.

plan varints | stream of the weight coder: the stack, differ, symbols        differ: 1 where they are differences in time
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...entropy.weights import WeightDecoder, WeightEncoder
from ...errors import CorruptStreamError
from ...models.neural import hnerv, stack
from ...models.neural.cells import Planes, to_cells, to_planes
from ...models.neural.coding import clipped, decode_stack, encode_stack
from ...models.neural.plan import checked
from .nets import Group, Place, Task
from .planhead import decode_plan, encode_plan

BATCH = 2  # frames a step
PASSES = (10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5120)  # by effort


class HNeRV:
    """As `nets.Net`."""

    frames, keys, following = 64, 1, 1.0

    def steps(self, effort: int, frames: int, key: bool) -> int:
        """As `Net.steps`."""
        return -(-PASSES[effort] * frames // BATCH)

    def encode_group(self, frames: Sequence[Planes], place: Place, task: Task, before: object) -> Group:
        """As `Net.encode_group`."""
        from .fitting import Fit, first_symbols

        cells = np.stack([to_cells(planes) for planes in frames])
        plan = hnerv.choose(place.cells, len(frames), task.bits)
        shapes = hnerv.shapes(plan)
        place.check(shapes, plan.stride)
        start = first_symbols(cells, plan.stride, plan.inputs)
        fit = Fit(shapes, cells, place.colour, task.bits, task.device, symbols=start)
        fit.run(task.budget, BATCH)
        layers, symbols = fit.net.layers(), fit.chosen_symbols()
        encoder = WeightEncoder()
        seen = list(encode_stack(encoder, layers, None))
        flat, steps = symbols.reshape(-1, plan.inputs), np.diff(symbols, axis=0, prepend=0).reshape(-1, plan.inputs)
        differ = np.array([[encoder.bits(steps) < encoder.bits(flat)]], np.int64)
        encoder.encode(differ)
        encoder.encode(steps if differ else flat)
        seen += [clipped(differ), clipped(steps if differ else flat)]
        pictures = _pictures(layers, symbols, place)
        return Group(encode_plan(plan) + encoder.finish(), seen, pictures, None, float(fit.bits().detach()))

    def decode_group(self, data: memoryview, count: int, place: Place, before: object) -> Group:
        """As `Net.decode_group`."""
        plan, data = decode_plan(data)
        shapes = checked(hnerv.shapes(plan))
        rows, columns = place.cells.grid(plan.stride)
        place.check(shapes, plan.stride, 8 * count * rows * columns * plan.inputs)
        decoder = WeightDecoder(bytes(data))
        layers, seen = decode_stack(decoder, shapes, None)
        differ = decoder.decode(1, 1)
        symbols = decoder.decode(count * rows * columns, plan.inputs)
        decoder.finish()
        seen += [clipped(differ), clipped(symbols)]
        symbols = symbols.reshape(count, rows, columns, plan.inputs)
        if differ[0, 0]:
            symbols = np.cumsum(symbols, 0)
        if differ[0, 0] not in (0, 1) or np.abs(symbols).max() > hnerv.SYMBOL_TOP:
            raise CorruptStreamError("a frame's grid is out of range: the file is damaged")
        return Group(data, seen, _pictures(layers, symbols, place))


def _pictures(layers: list[stack.Layer], symbols: np.ndarray, place: Place) -> list[Planes]:
    return [to_planes(stack.run(layers, hnerv.activations(grid)), place.height, place.width) for grid in symbols]
