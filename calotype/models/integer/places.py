"""Where and at which quality a step of a plan codes, and the table that its context sees values through."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..grids import FEATURE_FRAC
from ..priorgraph import PriorConfig

LOG_TABLE_SIZE = 1 << 14


def log_table() -> np.ndarray:
    """round(64 * log2(1 + i / 16)) for i < 2**14, int16.

    No value comes within 1e-6 of a rounding boundary (tested against exact integers), so any libm gives this table.
    """
    return np.round((1 << FEATURE_FRAC) * np.log2(1 + np.arange(LOG_TABLE_SIZE) / 16)).astype(np.int16)


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
class Order:
    """The context in order of time, as the kernels keep it: what is known at a position before a step is a run of columns.

    columns: for each position, its columns as the layers number them, (4, C): strongest values, then for one group after the
    other values and magnitudes. known: how many of them are decoded before each step, (steps, 4). offsets: for each step the
    column that its values go to, magnitudes behind them, (G, P).
    """

    columns: np.ndarray
    known: np.ndarray
    offsets: list[np.ndarray]


@lru_cache
def order(config: PriorConfig) -> Order:
    """The order of a plan's context."""
    m, plan = config.latents, config.plan
    columns = [[*range(2 * m, config.context)] for _ in range(4)]
    known, offsets = [], []
    for groups in plan.steps:
        known.append([len(c) for c in columns])
        offsets.append(np.array([[len(columns[p]) for p in positions] for _, positions in groups]))
        for g, positions in groups:
            channels = list(range(m))[plan.channels(g)]
            for p in positions:
                columns[p] += [*channels, *(m + c for c in channels)]
    return Order(np.array(columns), np.array(known), offsets)


@dataclass(frozen=True)
class Quality:
    """The quality at each place: levels, each 0..1000, and the number of its level for every side latent (h/4, w/4) and
    latent (h, w), uint8, None where one level holds everywhere."""

    levels: tuple[int, ...]
    side: np.ndarray | None = None
    latent: np.ndarray | None = None
