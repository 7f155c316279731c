"""What a prior that mixes starts from: probabilities in several contexts of each bit, and the weights that mix them."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cache
from types import ModuleType

import numpy as np

from .sizes import MAPS, MIXED, NETS, NODES, TEMPORAL_MAPS, TEMPORAL_MIXED

# how many bits a probability is worth at most, and the rate of the mixers: of pictures, of inter frames
LIMITS, RATES = (255, 1023), (6, 3)


@dataclass(frozen=True)
class Mixing:
    """maps: int32 (contexts, NODES, 2), probabilities in 2^-22 and how many bits each is worth; weights: int32 (sets * NODES,
    MIXED) in 2^-15."""

    maps: np.ndarray
    weights: np.ndarray

    @staticmethod
    def even(contexts: int, sets: int, nodes: int, maps: int, mixed: int) -> Mixing:
        """One that knows nothing: each map alike."""
        k = kernels()
        chances = np.zeros((contexts, nodes, 2), np.int32)
        chances[..., 0] = 1 << (k.PROBABILITY - 1)
        weights = np.zeros((sets * nodes, mixed), np.int32)
        weights[:, :maps] = (2 << k.WEIGHT_FRACTION) // maps
        return Mixing(chances, weights)

    @staticmethod
    def blank(temporal: bool = False, trellis: bool = False) -> Mixing:
        """Of latents, of pictures or of inter frames. trellis: of pictures' priors that have one."""
        k, (maps, mixed) = kernels(), (TEMPORAL_MAPS, TEMPORAL_MIXED) if temporal else (MAPS, MIXED)
        contexts, sets = k.TRELLIS_CONTEXTS if trellis else k.STARTS[maps], (1 + trellis) * k.SETS + temporal * k.PAST_SETS
        return Mixing.even(NETS * contexts, NETS * sets, NODES, maps, mixed)

    def copy(self) -> Mixing:
        """One to learn in."""
        return Mixing(self.maps.copy(), self.weights.copy())

    def with_trellis(self) -> Mixing:
        """What a prior with a trellis may learn from: the same, whichever the quantiser."""
        k = kernels()
        maps = self.maps.reshape(NETS, k.STARTS[MAPS], NODES, 2)
        again = [maps[:, k.STARTS[i] : k.STARTS[i + 1]] for i in (0, 4)]
        return Mixing(np.concatenate([maps, *again], 1).reshape(-1, NODES, 2), np.concatenate([self.weights] * 2))

    def checked(self, blank: Mixing, limit: int) -> Mixing:
        """Itself. Raises ValueError where arrays have other shapes than those of `blank` or pass the bounds of the kernels.
        limit: bits that a probability is worth at most."""
        k = kernels()
        for mine, other in ((self.maps, blank.maps), (self.weights, blank.weights)):
            if mine.shape != other.shape or mine.dtype != np.int32:
                raise ValueError("the prior's maps or weights are none")
        p, n = self.maps[..., 0], self.maps[..., 1]
        if p.min() < 0 or p.max() >= 1 << k.PROBABILITY or n.min() < 0 or n.max() > limit:
            raise ValueError("the prior's maps are out of range")
        if np.abs(self.weights.astype(np.int64)).max() > k.WEIGHT_TOP:
            raise ValueError("the mixers' weights are out of range")
        return self


@cache
def tables(limit: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(stretch int16, squash, rates int32): those of the lossless codec, but stretch: of p / 65536 the least x whose squash is
    at least p; and rates up to a limit of their own."""
    squash = importlib.import_module("calotype.entropy.pixels").tables()[2]
    rates = np.minimum(131072 // (2 * np.arange(limit + 1, dtype=np.int32) + 3), 65535)
    top = kernels().STRETCHED
    places = np.searchsorted(squash, np.maximum(np.arange(1 << 16), 1)) - top - 1
    return np.clip(places, -top, top).astype(np.int16), squash, rates


@cache
def kernels() -> ModuleType:
    """The compiled loops; numba is imported here, at the first use."""
    return importlib.import_module("calotype.models.overfit.mixing_kernels")
