"""Sizes and choices of an image model, and what its quality dial means. No torch."""

from __future__ import annotations

from dataclasses import dataclass, fields

from .plans import KINDS, QUADTREE
from .priorgraph import PriorConfig

QUALITY_MAX = 1000  # quality in the stream: thousandths of the dial's range, knots every 100
LMBDA = (0.001, 0.2)  # rate (bits per pixel) + lmbda * MSE (0..255): lmbda at quality 0 and 1000, log-linear between
CELL = 8
# fields of a configuration that are no sizes
CHOICES = {"prior": KINDS, "scales": ("context", "side"), "activation": ("leaky", "wsilu")}


@dataclass(frozen=True)
class ImageConfig:
    """Sizes and choices of an image model. `width` is the size dial: trunk channels.

    analysis_blocks, synthesis_blocks: of the trunks; latents, side: channels of y and z; hidden: width of the prior; prior:
    a kind of plan (`plans.py`); scales: "context", or "side" for scales that depend on z alone; activation: of the trunks'
    blocks.
    """

    width: int = 96
    analysis_blocks: int = 2
    synthesis_blocks: int = 6
    latents: int = 320
    side: int = 64
    hidden: int = 128
    prior: str = QUADTREE
    scales: str = "context"
    activation: str = "leaky"

    def __post_init__(self) -> None:
        sizes = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in CHOICES}
        if any(type(v) is not int or not 1 <= v <= 4096 for v in sizes.values()):
            raise ValueError(f"sizes of an image model are integers from 1 to 4096: {sizes}")
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} of an image model is one of {', '.join(allowed)}: {getattr(self, name)!r}")

    def to_dict(self) -> dict[str, int | str]:
        """As JSON-able fields, in order: all sizes, and the choices that are not the default."""
        return {f.name: v for f in fields(self) if (v := getattr(self, f.name)) != f.default or f.name not in CHOICES}

    @property
    def of_prior(self) -> PriorConfig:
        """The prior's share. Raises ValueError where its plan does not suit the number of latents."""
        return PriorConfig(self.latents, self.side, self.hidden, self.prior, self.scales == "side")
