"""The shipped start of overfitted pictures: networks that a file states its own only as differences to. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ModelError
from .. import modelfile
from . import cellnet, modulation, synthesis
from .mixing import Mixing
from .modulation import Directions
from .prior import Prior
from .sizes import GRIDS
from .synthesis import Synthesis

KIND = "overfit"
PRIOR, FILTER = "prior.", "filter."
MORE = "filter{}."  # of filters but the first, from 1 on
MOVES = "directions{}."  # of those filters that have some, from 0 on
# in the configuration: 1 where the prior mixes several contexts of a bit, latents have a trellis, brightness has its own
# stream, there are filters by class, an array too, or coarse nets, where rests go on beyond their edges, an array too; how many
# nets there are more; how many directions nets have that have some
MIXES, TRELLIS, PARTED, CLASSES, HAS_COARSE, EDGES, NETS = "mixes", "trellis", "parted", "classes", "coarse", "edges", "nets"
DIRECTIONS = "directions"


@dataclass(frozen=True)
class OverfitBundle:
    """prior, synthesis: what pictures start from (the step is none of a picture's); more: nets that a picture may choose in the
    place of its filter's; hash: SHA-256 of weights and probabilities; device: of the encoder; parameters: values in the model
    file; directions: in which the filter's net and each of `more` moves, None where it does not."""

    name: str
    hash: bytes
    prior: Prior
    synthesis: Synthesis
    device: str
    parameters: int
    more: tuple[dict[str, np.ndarray], ...] = ()
    directions: tuple[Directions | None, ...] = (None,)

    @property
    def counts(self) -> tuple[int, ...]:
        """How many directions each of the filters has."""
        return tuple(len(next(iter(d.values()))) if d else 0 for d in self.directions)

    @property
    def filters(self) -> tuple[dict[str, np.ndarray], ...]:
        """Arrays of all nets that a picture chooses from."""
        return (self.synthesis.arrays, *self.more)

    @property
    def coarse(self) -> bool:
        """Whether a net has a coarse one before it."""
        return HAS_COARSE in self.config

    @property
    def config(self) -> dict[str, int]:
        """As in the model file."""
        return configuration(self.prior, self.synthesis, self.more, self.directions)

    @staticmethod
    def read(path: Path, device: str = "cpu", execution: str | None = None) -> OverfitBundle:
        """Load a model file; there is one execution. Raises ModelError."""
        info, arrays, digest = modelfile.read(path)
        if info.kind != KIND:
            raise ModelError(f"{path} is a model of kind '{info.kind}', not a start of overfitted pictures")
        try:
            parts = {p: _part(arrays, p) for p in (PRIOR, FILTER)}
            more = tuple(_part(arrays, MORE.format(k)) for k in range(1, 1 + int(info.config.get(NETS, 0))))
            mixing = Mixing(arrays["maps"], arrays["mixers"]) if info.config.get(MIXES) else None
            flags = {name: bool(info.config.get(name)) for name in (TRELLIS, PARTED)}
            edges = arrays[EDGES] if info.config.get(EDGES) else None
            prior = Prior(parts[PRIOR], arrays["chances"].astype(np.int32), mixing=mixing, edges=edges, **flags).checked()
            gains, shrinks = arrays["gains"].astype(np.int64), arrays["shrinks"].astype(np.int64)
            if gains.shape != (GRIDS,) or shrinks.shape != (GRIDS,) or arrays["colours"].shape != (3, 3):
                raise ValueError("gains or colours are none")
            colours = arrays["colours"].astype(np.int64)
            classes = arrays[CLASSES] if info.config.get(CLASSES) else None
            start = Synthesis(parts[FILTER], gains, shrinks, colours, synthesis.STEP_UNIT, classes).checked()
            for filters in more:
                replace(start, arrays=filters).checked()
            directions = _directions(arrays, (start.arrays, *more), int(info.config.get(DIRECTIONS, 0)))
        except (TypeError, ValueError, KeyError) as e:
            raise ModelError(f"{path} does not hold a whole start of overfitted pictures ({e}); export it again") from e
        return OverfitBundle(info.name, digest, prior, start, device, info.parameters, more, directions)


def _part(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {k[len(prefix) :]: v for k, v in arrays.items() if k.startswith(prefix)}


def _directions(
    arrays: dict[str, np.ndarray], filters: Sequence[dict[str, np.ndarray]], count: int
) -> tuple[Directions | None, ...]:
    found = [_part(arrays, MOVES.format(k)) for k in range(len(filters))]
    return tuple(modulation.checked(own, f, count) if own else None for own, f in zip(found, filters, strict=True))


def configuration(
    prior: Prior, start: Synthesis, more: Sequence[dict[str, np.ndarray]], directions: Sequence[Directions | None] = ()
) -> dict[str, int]:
    """What a model file says of what is in it."""
    coarse = any(cellnet.coarse(filters) for filters in (start.arrays, *more))
    flags = {MIXES: prior.mixing is not None, TRELLIS: prior.trellis, PARTED: prior.parted, CLASSES: start.classes is not None}
    flags |= {HAS_COARSE: coarse, EDGES: prior.edges is not None}
    counts = {len(array) for own in directions if own for array in own.values()}
    numbers = {NETS: len(more)} | {DIRECTIONS: max(counts, default=0)}
    return {name: 1 for name, flag in flags.items() if flag} | {name: n for name, n in numbers.items() if n}


def write_overfit_model(
    path: Path,
    name: str,
    prior: Prior,
    start: Synthesis,
    card: dict[str, Any],
    more: Sequence[dict[str, np.ndarray]] = (),
    directions: Sequence[Directions | None] = (),
) -> None:
    """Write a model file; more, directions: of `OverfitBundle`. Atomic."""
    arrays = {PRIOR + k: v for k, v in prior.arrays.items()} | {FILTER + k: v for k, v in start.arrays.items()}
    arrays |= {"chances": prior.chances, "gains": start.gains.astype(np.int32), "shrinks": start.shrinks.astype(np.int32)}
    arrays["colours"] = start.colours.astype(np.int32)
    if prior.mixing:
        arrays |= {"maps": prior.mixing.maps, "mixers": prior.mixing.weights}
    if start.classes is not None:
        arrays[CLASSES] = start.classes
    if prior.edges is not None:
        arrays[EDGES] = prior.edges
    for number, filters in enumerate(more, 1):
        arrays |= {MORE.format(number) + k: v for k, v in filters.items()}
    for number, own in enumerate(directions):
        arrays |= {MOVES.format(number) + k: v for k, v in (own or {}).items()}
    config = configuration(prior, start, more, directions)
    modelfile.write(path, name, KIND, config, card, arrays)
