"""Groups of frames by NIRVANA (models/neural/nirvana.py): a network each, of which only key groups' are coded whole.

key group: plan varints | stream of the weight coder: the stack        following group: stream: differences to the last one
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ...errors import CorruptStreamError
from ...models.neural import nirvana, stack
from ...models.neural.cells import Planes, to_cells, to_planes
from ...models.neural.coding import Reader, Stack, Writer, read_stack, write_stack
from ...models.neural.plan import SAMPLES, Plan
from .nets import Group, Place, Task
from .planhead import decode_plan, encode_plan

STEPS = (20, 40, 80, 160, 320, 640, 1280, 2560, 5120, 10240)  # of a key group, by effort


class State(NamedTuple):
    """A group's network."""

    plan: Plan
    layers: Stack


class Nirvana:
    """As `nets.Net`."""

    frames, keys, following = 4, 8, 0.5

    def steps(self, effort: int, frames: int, key: bool) -> int:
        """As `Net.steps`."""
        return STEPS[effort] if key else round(STEPS[effort] * self.following)

    def encode_group(self, frames: Sequence[Planes], place: Place, task: Task, before: State | None) -> Group:
        """As `Net.encode_group`."""
        from .fitting import Fit

        share = max(nirvana.KEY_SHARE * task.run, 1.0)  # of a group's bits, for the key group
        if before is None:
            plan, bits = nirvana.choose(place.cells, self.frames, task.bits * share), task.bits * share
        else:
            plan, bits = before.plan, task.bits * max(task.run - share, 1) / max(task.run - 1, 1)
        shapes = nirvana.shapes(plan, self.frames)
        place.check(shapes, plan.stride)
        cells = [to_cells(planes) for planes in frames]
        cells += cells[-1:] * (self.frames - len(frames))  # a last group is not full
        grid = _grid(plan, place)
        start = None if before is None else before.layers
        floats = grid.transpose(2, 0, 1)[None] / (1 << stack.ACT_FRACTION)
        fit = Fit(shapes, np.concatenate(cells, -1)[None], place.colour, bits, task.device, grid=floats, base=start)
        fit.run(task.budget)
        layers = fit.net.layers()
        writer = Writer()
        write_stack(writer, layers, start)
        data = (encode_plan(plan) if before is None else b"") + writer.finish()
        return Group(data, writer.seen, _pictures(layers, grid, place, len(frames)), State(plan, layers), writer.bits)

    def decode_group(self, data: memoryview, count: int, place: Place, before: State | None) -> Group:
        """As `Net.decode_group`."""
        if count > self.frames:
            raise CorruptStreamError(f"a group has {count} frames, over {self.frames}: the file is damaged")
        plan, data = decode_plan(data) if before is None else (before.plan, data)
        if plan.inputs > nirvana.MOST_INPUTS:
            raise CorruptStreamError("a network's inputs are out of range: the file is damaged")
        shapes = nirvana.shapes(plan, self.frames)
        rows, columns = place.cells.grid(plan.stride)
        if plan.inputs > rows * columns:
            raise CorruptStreamError("a network has more inputs than places: the file is damaged")
        place.check(shapes, plan.stride)
        reader = Reader(data)
        layers = read_stack(reader, shapes, None if before is None else before.layers)
        reader.finish()
        return Group(data, reader.seen, _pictures(layers, _grid(plan, place), place, count), State(plan, layers))


def _grid(plan: Plan, place: Place) -> np.ndarray:
    return nirvana.basis(*place.cells.grid(plan.stride), plan.inputs)


def _pictures(layers: Stack, grid: np.ndarray, place: Place, count: int) -> list[Planes]:
    cells = stack.run(layers, grid)
    frames = [cells[..., SAMPLES * k : SAMPLES * (k + 1)] for k in range(count)]
    return [to_planes(frame, place.height, place.width) for frame in frames]
