"""Sizes of an inter-frame model. No torch."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields

from .imageconfig import LMBDA, QUALITY_MAX
from .priorgraph import PriorConfig

CELL = 8  # luma pixels a side of a cell, the grid of features; chroma has half
CELLS = 96  # samples of a cell: 64 of Y, 16 each of U and V


@dataclass(frozen=True)
class VideoConfig:
    """width: of the trunks; context_blocks, analysis_blocks, synthesis_blocks: of each trunk; latents, side: channels of y
    and z; hidden: width of the prior. Raises ValueError for sizes that no model has."""

    width: int = 96
    context_blocks: int = 2
    analysis_blocks: int = 3
    synthesis_blocks: int = 4
    latents: int = 256
    side: int = 16
    hidden: int = 96

    def __post_init__(self) -> None:
        sizes = {f.name: getattr(self, f.name) for f in fields(self)}
        if any(type(v) is not int or not 1 <= v <= 4096 for v in sizes.values()):
            raise ValueError(f"sizes of a video model are integers from 1 to 4096: {sizes}")
        if self.latents % 4:
            raise ValueError(f"latents come in four groups: {self.latents} is no multiple of 4")

    def to_dict(self) -> dict[str, int]:
        """As JSON-able fields, in order."""
        return asdict(self)

    @property
    def of_prior(self) -> PriorConfig:
        """The prior's share."""
        return PriorConfig(self.latents, self.side, self.hidden, temporal=True)


def search_lmbda(quality: float) -> float:
    """Absolute error (levels of a sample) that a bit of motion is worth at quality 0..1000, for `motion.search`.

    A share of the quantisation step that is best at that quality, as x264 has it; twice as much or half costs 1 to 3 % on
    held-out clips.
    """
    lmbda = LMBDA[0] * (LMBDA[1] / LMBDA[0]) ** (quality / QUALITY_MAX)
    return 0.5 * math.sqrt(8 / (math.log(2) * lmbda))
