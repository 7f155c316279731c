"""Hyperprior with a context in steps: from side latent z and what is decoded so far to (mean, scale index).

Scale and mean hyperprior: Minnen et al. 2018 (arXiv 1809.02736). Which symbols a step codes is a plan (`plans.py`), by
default the quadtree of DCVC-DC (Li et al. 2023, arXiv 2302.14402); here each step has its own weights, sees magnitudes
besides values, and the whole graph runs in exact integers.

    z (h/4, w/4, Z) -> 1x1, up 2 -> dw3x3, 1x1, up 2 -> phi (h, w, H)
    step 0:  phi                                            -> 1x1 -> head -> (mean, index) of the first symbols
    step s:  phi + dw3x3(1x1(decoded values, magnitudes))   -> 1x1 -> head -> the next ones

A `temporal` prior also sees what earlier pictures say: features of the prediction and the latents of the picture before,

    phi + x + 1x1(dw3x3(x))      x = features (h, w, H) + 1x1(latents and magnitudes)

With `scales_ahead` one more head gives every scale index from phi alone and the steps give means only: then all symbols
of a tile are one call of the entropy decoder.

`PriorGraph` is written once and run by two sets of layers: the float, fake-quantised ones of `prior.py` (training) and
the integer ones of `integer/prior.py` (coding). Layout NHWC.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .grids import FEATURE_FRAC, FEATURE_MAX
from .plans import QUADTREE, Plan, plan

KNOTS = 11  # quality 0, 10, ... 100: everything that depends on quality is interpolated between these
LEVELS = 64  # scale levels of the frozen Gaussian tables
SIGMA_MIN = 0.05
LEVELS_PER_OCTAVE = 5
SIGMA_MAX = SIGMA_MIN * 2 ** ((LEVELS - 1) / LEVELS_PER_OCTAVE)
MEAN_FRAC = 4  # means are multiples of 1/16
HEAD_SHIFT = 3  # heads give value / 8
LINEAR_CHANNELS = 16  # the strongest latents also enter the context as they are, / 16
Z_MAX = 31
FEATURE_LIMIT = FEATURE_MAX / (1 << FEATURE_FRAC)


@dataclass(frozen=True)
class PriorConfig:
    """Sizes of a prior: channels of y, channels of z, hidden width; the kind of its plan; whether scales depend on z only;
    whether earlier pictures are known.

    Raises ValueError where there is no such plan.
    """

    latents: int = 320
    side: int = 64
    hidden: int = 128
    kind: str = QUADTREE
    scales_ahead: bool = False
    temporal: bool = False

    def __post_init__(self) -> None:
        plan(self.kind, self.latents)

    @property
    def plan(self) -> Plan:
        """In which order the latents are coded."""
        return plan(self.kind, self.latents)

    @property
    def context(self) -> int:
        """Channels that a context step sees: values and magnitudes, and the strongest values once more."""
        return 2 * self.latents + LINEAR_CHANNELS


class PriorGraph:
    """The net between bytes and table indices, over whatever arrays its layers understand.

    Layers: expand, up_dw, up; temporal: past_in, past_dw, past_mix; step{s}_in, step{s}_dw, step{s}_mix, step{s}_head; scales
    ahead: scales_mix, scales_head and step{s}_means in place of heads. Primitives: leaky, add, up2, gather, quality_at (of what
    a step codes).
    """

    config: PriorConfig

    def hyper(self, z: Any, quality: Any) -> Any:
        """z (B, h/4, w/4, Z) -> phi (B, h, w, H)."""
        x = self.up2(self.leaky(self.expand(z, quality)))
        x = self.leaky(self.up(self.up_dw(x)))
        return self.up2(x)

    def condition(self, phi: Any, given: Any, past: Any, quality: Any) -> Any:
        """phi (B, h, w, H) with what is known of the picture: given (B, h, w, H), past (B, h, w, 2 M) -> (B, h, w, H)."""
        x = self.leaky(self.add(given, self.past_in(past, quality)))
        return self.add(phi, self.add(x, self.leaky(self.past_mix(self.past_dw(x), None))))

    def scales(self, phi: Any, quality: Any) -> Any:
        """phi (B, h, w, H) -> all scale indices (1, B, h, w, M), where they come ahead."""
        x = self.leaky(phi)
        return self.scales_head(self.add(x, self.leaky(self.scales_mix(x, None)))[None], quality)

    def step(self, s: int, phi: Any, context: Any, quality: Any) -> Any:
        """phi (B, h, w, H), context (B, h, w, C) or None for step 0 -> head output per channel group."""
        x = phi
        if s:
            x = self.add(x, getattr(self, f"step{s}_dw")(self.leaky(getattr(self, f"step{s}_in")(context, quality))))
        x = self.leaky(x)
        x = self.add(x, self.leaky(getattr(self, f"step{s}_mix")(x, None)))
        head = getattr(self, f"step{s}_means" if self.config.scales_ahead else f"step{s}_head")
        return head(self.gather(x, s), self.quality_at(quality, s))
