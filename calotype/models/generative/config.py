"""Sizes of a generative decoder. No torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass

HALF_WIDTH = 32  # channels at 1/2
CELL = 8  # the net's parts have sides that are multiples of this
HALO = 96  # pixels around a part of a picture, beyond what the net sees (`reach`); a multiple of 24


@dataclass(frozen=True)
class GenerativeConfig:
    """width, fine: channels at 1/8 and at 1/4; blocks, fine_blocks: residual blocks there (these after the coarse ones; one is
    before). Raises ValueError for a net that sees further than HALO."""

    width: int = 192
    fine: int = 64
    blocks: int = 6
    fine_blocks: int = 2

    def __post_init__(self) -> None:
        if any(type(v) is not int or not 1 <= v <= 1024 for v in asdict(self).values()):
            raise ValueError(f"sizes of a generative decoder are integers from 1 to 1024: {asdict(self)}")
        if self.reach > HALO:
            raise ValueError(f"a net that sees {self.reach} pixels to each side; {HALO} at most")

    @property
    def reach(self) -> int:
        """Pixels to each side that a pixel depends on, at most: blocks, the last layer, cells of 8, cubic enlargement."""
        return 8 * self.blocks + 8 * (1 + self.fine_blocks) + 2 + 8 + 6

    def to_dict(self) -> dict[str, int]:
        return asdict(self)
