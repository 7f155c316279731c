"""Groups of frames by HNeRV (models/neural/hnerv.py): every group a key group, of a network and a grid a frame.

plan varints | stream of the weight coder: the stack, differ, symbols        differ: 1 where they are differences in time
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ...errors import CorruptStreamError
from ...models.neural import hnerv, stack
from ...models.neural.cells import Planes, to_cells, to_planes
from ...models.neural.coding import Reader, Stack, Writer, read_stack, write_stack
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
        writer = Writer()
        write_stack(writer, layers, None)
        flat, steps = symbols.reshape(-1, plan.inputs), np.diff(symbols, axis=0, prepend=0).reshape(-1, plan.inputs)
        differ = writer.cost(steps) < writer.cost(flat)
        writer.put(np.array([[differ]], np.int64))
        writer.put(steps if differ else flat)
        data = encode_plan(plan) + writer.finish()
        return Group(data, writer.seen, _pictures(layers, symbols, place), None, writer.bits)

    def decode_group(self, data: memoryview, count: int, place: Place, before: object) -> Group:
        """As `Net.decode_group`."""
        plan, data = decode_plan(data)
        shapes = hnerv.shapes(plan)
        rows, columns = place.cells.grid(plan.stride)
        place.check(shapes, plan.stride, 8 * count * rows * columns * plan.inputs)
        reader = Reader(data)
        layers = read_stack(reader, shapes, None)
        differ = reader.pull(1, 1)[0, 0]
        symbols = reader.pull(count * rows * columns, plan.inputs).reshape(count, rows, columns, plan.inputs)
        reader.finish()
        if differ:
            symbols = np.cumsum(symbols, 0)
        if differ not in (0, 1) or np.abs(symbols).max() > hnerv.SYMBOL_TOP:
            raise CorruptStreamError("a frame's grid is out of range: the file is damaged")
        return Group(data, reader.seen, _pictures(layers, symbols, place))


def _pictures(layers: Stack, symbols: np.ndarray, place: Place) -> Iterator[Planes]:
    """One after the other: a group's frames need not fit in memory."""
    for grid in symbols:
        yield to_planes(stack.run(layers, hnerv.activations(grid)), place.height, place.width)
