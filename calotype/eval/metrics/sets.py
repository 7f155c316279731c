"""Figures of whole sets of pictures: how all their decoded patches are spread beside those of all their sources.

What a metric of pictures cannot say: whether what was made up looks real, whatever was there. A new one is a class that fits
`SetMetric`, and its place in SET_METRICS.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Protocol, TypeVar

import numpy as np

from calotype.eval.metrics.fid import Inception
from calotype.eval.metrics.squeeze import SqueezeKid

ALL = "all"
Key = TypeVar("Key", bound=Hashable)
Shown = Callable[[], np.ndarray]  # gives an (H, W, 3) uint8 picture


class SetMetric(Protocol):
    """One figure or more of a set. conventions: by the figure's name, the sentence to be printed beside it."""

    conventions: dict[str, str]

    def unavailable(self) -> str | None:
        """Why it cannot be had here (a package or weights missing); None where it can."""

    def features(self, picture: np.ndarray) -> np.ndarray:
        """What it sees of an (H, W, 3) uint8 picture: (N, D) of N patches."""

    def figures(self, a: np.ndarray, b: np.ndarray) -> dict[str, float | None]:
        """By name, of the features of all sources and of all decoded pictures, patch beside patch."""


SET_METRICS: tuple[SetMetric, ...] = (Inception(), SqueezeKid())
SETS = {name: metric for metric in SET_METRICS for name in metric.conventions}


def find_sets(names: Sequence[str] | None) -> tuple[list[SetMetric], dict[str, str]]:
    """The metrics of those names, of which those of pictures are passed over, and {name: why one cannot be had}. names: None
    for none, "all" among them for all."""
    wanted, found, reasons = set(names or ()), [], dict[str, str]()
    for metric in SET_METRICS:
        asked = [name for name in metric.conventions if name in wanted or ALL in wanted]
        reason = metric.unavailable() if asked else None
        if reason:
            reasons |= dict.fromkeys(asked, reason)
        elif asked:
            found.append(metric)
    return found, reasons


def measure_sets(
    metrics: Sequence[SetMetric], sources: Mapping[str, Shown], sets: Mapping[Key, Mapping[str, Shown]]
) -> dict[Key, dict[str, float | None]]:
    """{key: {name: figure}} of sets of decoded pictures, each under its source's name. Only features are held in memory."""
    values: dict[Key, dict[str, float | None]] = {key: {} for key in sets}
    for metric in metrics:
        known: dict[str, np.ndarray] = {}
        for key, decoded in sets.items():
            known |= {name: metric.features(sources[name]()) for name in decoded if name not in known}
            pairs = [(known[name], metric.features(shown())) for name, shown in decoded.items()]
            values[key] |= metric.figures(*(np.concatenate(side) for side in zip(*pairs, strict=True)))
    return values
