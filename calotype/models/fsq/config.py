"""Sizes of a model of few indices, and its dial: how many channels of them are coded. No torch.

Bits of a photo of 768 x 512 pixels: 384 places at 1/32, of some 2 bits a channel, .002 bits a pixel each; 1536 at 1/16, of some
half a bit a channel, .002 to .003 each. So 6 and 8 channels end near .03, and two of the coarse ones begin near .005.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from ..imageconfig import QUALITY_MAX
from ..neural.stack import Shape

FINE, COARSE = 16, 32  # pixels a side of a place
COARSE_TOP, FINE_TOP = 3, 2  # indices are integers within these: 7 and 5 levels
FEWEST = 2  # channels that are coded at least
HALO = 192  # pixels around a part of a picture, beyond what either net sees; a multiple of COARSE


@dataclass(frozen=True)
class FsqConfig:
    """coarse, fine: channels at 1/32 and at 1/16; width: of the decoder at 1/16; analysis: of the encoder there; blocks: of the
    encoder. Raises ValueError for sizes that none has, or a net that sees further than HALO."""

    coarse: int = 6
    fine: int = 8
    width: int = 96
    analysis: int = 128
    blocks: int = 3

    def __post_init__(self) -> None:
        if any(type(v) is not int or not 1 <= v <= 512 for v in asdict(self).values()):
            raise ValueError(f"sizes of a model of few indices are integers from 1 to 512: {asdict(self)}")
        if self.coarse < FEWEST or self.coarse + self.fine > 64 or self.width < 6:
            raise ValueError(f"at least {FEWEST} coarse channels, at most 64 in all, and a width of 6 or more")
        if self.reach > HALO:
            raise ValueError(f"a net that sees {self.reach} pixels to each side; {HALO} at most")

    @property
    def channels(self) -> int:
        """Of indices, coarse ones first: the order in which they are coded."""
        return self.coarse + self.fine

    @property
    def tops(self) -> tuple[int, ...]:
        """Of each channel."""
        return (COARSE_TOP,) * self.coarse + (FINE_TOP,) * self.fine

    @property
    def reach(self) -> int:
        """Pixels to each side that an index or a pixel depends on, at most."""
        encoder = COARSE * 2 + FINE * (self.blocks + 1) + 8 + 4
        decoder = sum(FINE * s for s in (1, 1, 1, 1, 1)) + 8 * 3 + 4 * 2 + 2 + COARSE
        return max(encoder, decoder)

    def shapes(self) -> list[Shape]:
        """The decoder's layers: from a value and a flag of each channel at 1/16 to pixels."""
        w, eighth, quarter, half = self.width, self.width * 2 // 3, self.width // 3, self.width // 6
        return [
            Shape(3, 2 * self.channels, w, 1),
            *[Shape(3, w, w, 1, True)] * 3,
            Shape(3, w, eighth, 2),
            *[Shape(3, eighth, eighth, 1, True)] * 2,
            Shape(3, eighth, quarter, 2),
            Shape(3, quarter, quarter, 1, True),
            Shape(3, quarter, half, 2),
            Shape(3, half, 3, 2),
        ]

    def counted(self, dial: float) -> int:
        """How many channels are coded at 0..1000."""
        return FEWEST + round((self.channels - FEWEST) * dial / QUALITY_MAX)

    def to_dict(self) -> dict[str, int]:
        return asdict(self)
