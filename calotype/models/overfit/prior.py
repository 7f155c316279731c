"""The prior of an overfitted picture's latents: which bits they take, exactly the same for encoder and decoder.

Source: Ladune et al., "COOL-CHIC: Coordinate-based Low Complexity Hierarchical Image Codec" (arXiv 2212.05458): an
autoregressive net over causal neighbours, carried in the file; Wu, "High-order context modeling and embedded conditional
entropy coding of wavelet coefficients" (1997): a prediction of magnitudes picks one of few contexts. Different: the net is
integers, it only sorts latents by scale, and the probabilities of the contexts, and the weights of the means, are learnt on
both sides as the picture goes, from shipped ones; of pictures from `overfit-s.2` on, several contexts are mixed (mixing.py);
from `overfit-s.3` on latents are quantised in a trellis (trellis_kernels.py finds them).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from threading import Event
from types import ModuleType
from typing import NamedTuple

import numpy as np

from ... import threads
from ...errors import CorruptStreamError
from . import layout
from .layout import Grid
from .mixing import LIMITS, RATES, Mixing, tables
from .sizes import (
    FEATURES,
    GRIDS,
    HIDDEN,
    LEVELS,
    MARGIN,
    MEAN_FEATURES,
    NETS,
    OTHERS,
    PLANES,
    REST,
    SIGNED_OTHERS,
    TEMPORAL,
)
from .synthesis import check_array

WEIGHT_TOP = (1 << 15) - 1
BIAS_TOP = (1 << 29) - 1
# name of an array: its shape
SHAPES = {
    "enter": (NETS, FEATURES, HIDDEN),
    "enter_bias": (NETS, LEVELS, HIDDEN),
    "middle": (NETS, HIDDEN, HIDDEN),
    "middle_bias": (NETS, HIDDEN),
    "leave": (NETS, HIDDEN),
    "leave_bias": (NETS,),
    "means": (NETS, MEAN_FEATURES),
}
FRACTIONS = {"enter": 10, "enter_bias": 14, "middle": 10, "middle_bias": 16, "leave": 10, "leave_bias": 16, "means": 12}
ALL = tuple(range(PLANES))
LENGTH_BYTES = 4  # of a stream of latents behind which another follows
BYTES_A_LATENT = 256  # room for the longest: fewer than 64 bits, at most 4 bytes each


@dataclass(frozen=True)
class Prior:
    """arrays: int32, by name as in SHAPES, in units of 2^-FRACTIONS. chances: int32 (NETS * CONTEXTS, 2), the probabilities
    that a picture starts from, in 2^-22, and how many bits each is worth; of a temporal prior, with a row more a grid: whether
    it is present. seen: of an inter frame's, grids besides that it sees, one of TEMPORAL; each is two features. mixing: of
    one that mixes several contexts of a bit. trellis: whether latents are of half steps, of which a state allows each second;
    only where it mixes. parted: whether brightness has a stream of its own. edges: int32 (PLANES, MEAN_FEATURES), the weights
    of means in first rows of a prior whose rests go on beyond their edges; None: all is zero there."""

    arrays: dict[str, np.ndarray]
    chances: np.ndarray
    seen: int = 0
    mixing: Mixing | None = None
    trellis: bool = False
    parted: bool = False
    edges: np.ndarray | None = None

    @property
    def parts(self) -> tuple[tuple[int, ...], ...]:
        """Planes of each stream of latents; of two streams two threads decode one each."""
        return ((0,), (1, 2)) if self.parted else (ALL,)

    def checked(self) -> Prior:
        """Itself. Raises ValueError where arrays are missing, of other shapes, or pass the bounds of the kernel."""
        k = kernels()
        if self.seen not in (0, *TEMPORAL):
            raise ValueError(f"no prior sees {self.seen} grids besides")
        for name, shape in shapes(self.seen).items():
            check_array(name, self.arrays[name], shape, BIAS_TOP if name.endswith("bias") else WEIGHT_TOP)
        if self.chances.shape != (contexts(self.seen, bool(self.mixing)), 2) or self.chances.dtype != np.int32:
            raise ValueError("the prior's probabilities are none")
        p, n = self.chances[:, 0], self.chances[:, 1]
        if p.min() < 0 or p.max() >= 1 << k.PROBABILITY or n.min() < 0 or n.max() > k.LIMIT:
            raise ValueError("the prior's probabilities are out of range")
        if self.mixing:
            self.mixing.checked(Mixing.blank(bool(self.seen), self.trellis), LIMITS[bool(self.seen)])
        if self.trellis and (self.seen or not self.mixing):
            raise ValueError("a prior with a trellis mixes, and is of pictures")
        if self.edges is not None:
            if self.seen:
                raise ValueError("rests of inter frames do not go on beyond their edges")
            check_array("edges", self.edges, (PLANES, MEAN_FEATURES), WEIGHT_TOP)
        return self


def shapes(seen: int = 0) -> dict[str, tuple[int, ...]]:
    """Of a prior's arrays."""
    return SHAPES | {"enter": (NETS, FEATURES + 2 * seen, HIDDEN)}


def contexts(seen: int = 0, mixes: bool = False) -> int:
    """How many probabilities a prior has besides maps: those of inter frames have one a grid, where they mix of quiet latents
    besides."""
    k = kernels()
    return NETS * k.CONTEXTS + bool(seen) * (GRIDS + mixes * NETS * k.CALM)


class Coded(NamedTuple):
    """values: a grid each in the order of `layout.order`, int32 (h, w). bits: their cost; data: what codes them; models,
    mixing: the probabilities then."""

    values: list[np.ndarray]
    bits: float
    data: bytes
    models: np.ndarray
    mixing: Mixing | None


def encode(prior: Prior, grids: list[np.ndarray], present: np.ndarray, height: int, width: int) -> Coded:
    """Code the grids of a padded picture; those that are not `present`, (GRIDS,) bool, are zero and left out."""
    binary, walk = _binary(), Walk(prior, present, height, width)

    def part(planes: tuple[int, ...]) -> tuple[list[np.ndarray], float, bytes]:
        coder, mine = binary.encoding(), zip(layout.order(), grids, present, strict=True)
        size = sum(values.size for grid, values, there in mine if there and grid.plane in planes)
        buffer = np.zeros(BYTES_A_LATENT * size + 8, np.uint8)
        values, bits = walk.run(coder, buffer, kernels().ENCODE, lambda number: grids[number], planes=planes)
        return values, bits, buffer[: coder[2]].tobytes() + binary.ending(coder)

    values, bits, data = zip(*threads.side_by_side(part, prior.parts), strict=True)
    head = b"".join(len(d).to_bytes(LENGTH_BYTES, "little") for d in data[:-1])
    return Coded(_joined(prior, values), sum(bits) + 8 * len(head), head + b"".join(data), walk.models, walk.mixing)


def decode(prior: Prior, data: bytes | memoryview, present: np.ndarray, height: int, width: int) -> list[np.ndarray]:
    """What was encoded. Raises CorruptStreamError where a stream does not end as it must."""
    binary, walk = _binary(), Walk(prior, present, height, width)

    def part(job: tuple[tuple[int, ...], memoryview]) -> list[np.ndarray]:
        planes, buffer = job[0], np.frombuffer(job[1], np.uint8).copy()
        coder = binary.decoding(buffer)

        def check() -> None:
            if coder[2] - len(buffer) > binary.REGISTER_BYTES:
                raise CorruptStreamError("a stream of latents ends before its last one: the file is damaged")

        values, _ = walk.run(coder, buffer, kernels().DECODE, planes=planes, check=check)
        if not binary.ended(coder, buffer):
            raise CorruptStreamError("a stream of latents does not end with its last one: the file is damaged")
        return values

    return _joined(prior, threads.side_by_side(part, list(zip(prior.parts, _streams(prior, data), strict=True))))


def _streams(prior: Prior, data: bytes | memoryview) -> list[memoryview]:
    """Of each part. Raises CorruptStreamError."""
    rest, found = memoryview(data), []
    for _ in prior.parts[1:]:
        length = int.from_bytes(rest[:LENGTH_BYTES], "little")
        if len(rest) < LENGTH_BYTES + length:
            raise CorruptStreamError("a stream of latents is longer than what holds it: the file is damaged")
        found.append(rest[LENGTH_BYTES : LENGTH_BYTES + length])
        rest = rest[LENGTH_BYTES + length :]
    return [*found, rest]


def _joined(prior: Prior, values: Sequence[list[np.ndarray]]) -> list[np.ndarray]:
    """Grids of all parts, in order."""
    parts = list(zip(prior.parts, map(iter, values), strict=True))
    return [next(part) for grid in layout.order() for planes, part in parts if grid.plane in planes]


def choose(
    prior: Prior,
    targets: list[np.ndarray],
    lmbda: np.ndarray,
    shrinks: np.ndarray,
    room: float,
    height: int,
    width: int,
    effects: list[np.ndarray] | None = None,
    worths: list[np.ndarray] | None = None,
) -> Coded:
    """Round targets, float (h, w), to latents of least squared error + lmbda * bits, greedily in the order of coding.

    lmbda: (GRIDS,) squared latents a bit; shrinks: (GRIDS,) by how much a latent's value is nearer to 0 than it says; room:
    zeros cost so much of what they do; effects: (h, w) a grid, bits that a larger magnitude costs besides; worths: (h, w) a
    grid, 0..1, what squared errors count, 1 where None.
    """
    walk = Walk(prior, np.ones(GRIDS, bool), height, width)
    return Coded(*chosen(walk, targets, lmbda, shrinks, room, effects, worths), b"", walk.models, walk.mixing)


def chosen(
    walk: Walk,
    targets: list[np.ndarray],
    lmbda: np.ndarray,
    shrinks: np.ndarray,
    room: float,
    effects: list[np.ndarray] | None = None,
    worths: list[np.ndarray] | None = None,
) -> tuple[list[np.ndarray], float]:
    """As `choose`, in a walk of its own: (latents, bits)."""
    coder, buffer = np.zeros(4, np.int64), np.zeros(1, np.uint8)
    scaled = [np.clip(np.rint(t * 256), -(1 << 22), 1 << 22).astype(np.int32) for t in targets]
    weights = np.rint(lmbda * 65536).astype(np.int64)
    nearer = np.rint(shrinks * 256).astype(np.int64)
    besides = None if effects is None else [np.clip(np.rint(256 * e), -1 << 14, 1 << 14).astype(np.int32) for e in effects]
    counts = None if worths is None else [np.rint(w * (1 << kernels().WORTH_FRACTION)).astype(np.int32) for w in worths]
    return walk.run(coder, buffer, kernels().CHOOSE, None, scaled, weights, round(room * 256), nearer, besides, counts)


class Walk:
    """One pass over the grids, which learns its probabilities."""

    def __init__(
        self,
        prior: Prior,
        present: np.ndarray,
        height: int,
        width: int,
        seen: Callable[[int], np.ndarray] | None = None,
    ):
        """seen: of a temporal prior, by number of a grid uint8 (2 seen, h, w)."""
        self.prior, self.present, self.size = prior, present, (height, width)
        self.seen = seen
        self.models = prior.chances.copy()
        self.mixing = prior.mixing.copy() if prior.mixing else None
        self.means = prior.arrays["means"].astype(np.int64) << kernels().MEAN_LEARNT
        self.edges = None if prior.edges is None else prior.edges.astype(np.int64) << kernels().MEAN_LEARNT
        self._values: dict[Grid, np.ndarray] = {}
        self._done = {grid: Event() for grid in layout.order() if not grid.plane}
        self._looks: dict[tuple[Grid, int], tuple[np.ndarray, np.ndarray, np.ndarray] | None] = {}

    def run(
        self,
        coder: np.ndarray,
        buffer: np.ndarray,
        mode: int,
        given: Callable[[int], np.ndarray] | None = None,
        targets: list[np.ndarray] | None = None,
        lmbda: np.ndarray | None = None,
        room: int = 256,
        shrinks: np.ndarray | None = None,
        effects: list[np.ndarray] | None = None,
        worths: list[np.ndarray] | None = None,
        planes: tuple[int, ...] = ALL,
        check: Callable[[], None] | None = None,
    ) -> tuple[list[np.ndarray], float]:
        """(values of each grid of the planes, bits). One thread may walk colours while another walks brightness. check: called
        after each grid."""
        logs, nothing = layout.log_table(self.prior.trellis), np.zeros((1, 1), np.int32)
        whole = np.full((1, 1), 1 << kernels().WORTH_FRACTION, np.int32)
        found, cost = [], 0
        try:
            for number, grid in enumerate(layout.order()):
                if grid.plane not in planes:
                    continue
                h, w = grid.shape(*self.size)
                values = np.zeros((h + 2 * MARGIN, w + 2 * MARGIN), np.int32)
                inner = values[MARGIN:-MARGIN, MARGIN:-MARGIN]
                if grid.plane and 0 not in planes:
                    self._done[Grid(0, grid.level, grid.orientation)].wait()
                if self.present[number]:
                    if given:
                        inner[:] = given(number)
                    what = (
                        nothing if targets is None else targets[number],
                        nothing if effects is None else effects[number],
                        whole if worths is None else worths[number],
                        *(0 if lmbda is None else int(lmbda[number]), room, 0 if shrinks is None else int(shrinks[number])),
                    )
                    for spent in self._coded(coder, buffer, mode, number, grid, values, logs, what):
                        if check:
                            check()
                        if spent < 0:
                            raise CorruptStreamError("a latent is out of range: the file is damaged")
                        cost += spent
                    self._values[grid] = values
                if not grid.plane:
                    self._done[grid].set()
                found.append(np.ascontiguousarray(inner))
        finally:  # who waits goes on, if only to fail
            for event in self._done.values() if 0 in planes else ():
                event.set()
        return found, cost / 256

    def _coded(
        self,
        coder: np.ndarray,
        buffer: np.ndarray,
        mode: int,
        number: int,
        grid: Grid,
        values: np.ndarray,
        logs: np.ndarray,
        what: tuple[object, ...],
    ) -> Iterator[int]:
        """Code a grid, or row by row where a trellis chooses or rows go on beyond their edges; yields what that cost. what:
        arguments of the choice."""
        k, a, net, (h, w) = kernels(), self.prior.arrays, grid.net, grid.shape(*self.size)
        # priors of inter frames have learnt half-size chroma, which has no level 1
        level = max(grid.level, 2) if self.seen and grid.plane else grid.level
        others, signed = self._others(grid, h, w)
        if self.seen:
            others = np.concatenate([others, self.seen(number)])
        nothing, past = np.zeros((1, 1), np.int32), bool(self.seen)
        mixing = self.mixing or Mixing(np.zeros((1, 1, 2), np.int32), nothing)
        sizes = np.zeros_like(values)
        given = (
            *(self.models, net * k.CONTEXTS, values, sizes, others, signed),
            *(logs, a["enter"][net], a["enter_bias"][net, level - 1], a["middle"][net], a["middle_bias"][net]),
            *(a["leave"][net], int(a["leave_bias"][net])),
        )
        told = *what, net, level, mixing.maps, mixing.weights, *tables(LIMITS[past]), RATES[past]
        states = np.zeros(1 if self.prior.trellis else 0, np.int64)
        chooses, beyond = self.prior.trellis and mode == k.CHOOSE, self.edges is not None and grid.orientation == REST
        rows = 1 if chooses or beyond else h
        for top in range(0, h, rows):
            means = self.means[net]
            if beyond and top:
                go_on(values, top)
                go_on(sizes, top)
            elif beyond:
                means = self.edges[grid.plane]
            if chooses:
                trellis_kernels().choose_row(top, int(states[0]), *given, means, *told[:-2])
            yield k.code_grid(coder, buffer, mode, *given, means, *told, top, top + rows, states)
        if beyond:
            values[:] = np.pad(values[MARGIN:-MARGIN, MARGIN:-MARGIN], MARGIN)

    def _others(self, grid: Grid, h: int, w: int) -> tuple[np.ndarray, np.ndarray]:
        """What the net sees of the grids that are known: (2 OTHERS, h, w) and, signed, (SIGNED_OTHERS, h, w)."""
        others, signed = np.zeros((2 * OTHERS, h, w), np.uint8), np.zeros((SIGNED_OTHERS, h, w), np.int32)
        place = {0: 0, 3: 1, 4: 2}  # of OTHERS among SIGNED_OTHERS
        for i, other in enumerate(layout.others(grid)):
            if other is None or other not in self._values:
                continue
            seen = self._look(other, other.level - grid.level, h, w)
            others[2 * i], others[2 * i + 1] = seen[0], seen[1]
            if i in place:
                signed[place[i]] = seen[2]
        return others, signed

    def _look(self, grid: Grid, shift: int, h: int, w: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        seen = self._looks.get((grid, shift))
        if seen is None:
            seen = np.empty((h, w), np.uint8), np.empty((h, w), np.uint8), np.empty((h, w), np.int32)
            kernels().look(self._values[grid], layout.log_table(self.prior.trellis), shift, *seen)
            self._looks[grid, shift] = seen
        return seen


def go_on(values: np.ndarray, row: int) -> None:
    """Outside of a grid (h + 2 MARGIN, w + 2 MARGIN) its nearest of the row above, as the neighbours of a row >= 1 see it."""
    own, above = values[MARGIN + row], values[MARGIN + row - 1]
    own[:MARGIN] = above[:MARGIN] = above[MARGIN]
    above[-MARGIN:] = above[-MARGIN - 1]
    if row == 1:
        values[MARGIN - 1] = above


def present_of(grids: list[np.ndarray]) -> np.ndarray:
    """(GRIDS,) bool: which are not all zero."""
    return np.array([bool(g.any()) for g in grids])


@cache
def kernels() -> ModuleType:
    """The compiled loops; numba is imported here, at the first use."""
    return importlib.import_module("calotype.models.overfit.prior_kernels")


@cache
def trellis_kernels() -> ModuleType:
    """The compiled search; as `kernels`."""
    return importlib.import_module("calotype.models.overfit.trellis_kernels")


@cache
def _binary() -> ModuleType:
    return importlib.import_module("calotype.entropy.binary")
