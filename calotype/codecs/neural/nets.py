"""The networks of codec `inr-video`, behind one interface. A further one is a class and its line in grouphead.NETS."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from ...models.neural import stack
from ...models.neural.cells import Planes
from ...models.neural.plan import Cells
from ...models.neural.stack import Shape
from ..header import Colour
from ..limits import Limits
from .grouphead import NETS

if TYPE_CHECKING:
    from .fitting import Budget


@dataclass(frozen=True)
class Place:
    """Of a clip: what a network must know to make frames. limits: what it may allocate."""

    height: int
    width: int
    colour: Colour
    limits: Limits

    @property
    def cells(self) -> Cells:
        """Of a frame."""
        return Cells.of(self.height, self.width)

    def check(self, shapes: Sequence[Shape], stride: int, held: int = 0) -> None:
        """Raise CorruptStreamError where a stack is larger than any may be, LimitError where running it takes more memory than
        is allowed, `held` bytes beside it."""
        stack.check(shapes)
        self.limits.check_picture(self.width, self.height, stack.memory(shapes, *self.cells.grid(stride)) + held)


@dataclass(frozen=True)
class Task:
    """What to make of a group. bits: that it may take, on average over its run; run: groups from its key group up to the next
    or the end; device: of torch."""

    bits: float
    run: int
    budget: Budget
    device: str


class Group(NamedTuple):
    """A group, coded or decoded. data: the network's bytes; symbols: what they hold, int32 arrays; frames: as they are
    decoded, to be gone through once; state: what the next group may start from; bits: estimated, of the data."""

    data: bytes | memoryview
    symbols: Sequence[np.ndarray]
    frames: Iterable[Planes]
    state: Any = None
    bits: float = 0.0


class Net(Protocol):
    """frames: most of a group; keys: groups from a key group to the next, 1 where all are; following: what another
    group takes of the time of a key group."""

    frames: int
    keys: int
    following: float

    def encode_group(self, frames: Sequence[Planes], place: Place, task: Task, before: Any) -> Group:
        """Fit a network to frames. before: the state of the group before, None for a key group."""

    def decode_group(self, data: memoryview, count: int, place: Place, before: Any) -> Group:
        """`count` frames. Raises CorruptStreamError, LimitError."""

    def steps(self, effort: int, frames: int, key: bool) -> int:
        """Steps of descent at an effort of 0 to 9."""


def net(name: str) -> Net:
    """The network of a name in NETS."""
    module, made = NETS[name].split(":")
    return getattr(import_module(module), made)()
