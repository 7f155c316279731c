"""In which order a prior codes the latents: steps over channel groups and over the four positions of each 2x2 cell.

What is coded in one step is independent given all steps before it. No torch, no numpy: `calotype models` counts with these.

    hyper         one step, no context (Balle et al. 2018, arXiv 1802.01436)
    checkerboard  half of the positions, then the other half (He et al. 2021, arXiv 2103.15306)
    quadtree      four steps; each codes a quarter of the channels at each position (Li et al. 2023, arXiv 2302.14402)
    channels      five slices of the channels, one after the other (Minnen and Singh 2020, arXiv 2007.08739)
    elic          slices that grow from M / 20 channels on, each in two checkerboard steps (He et al. 2022, arXiv 2203.10886)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

QUADTREE, CHECKERBOARD, CHANNELS, ELIC, HYPER = "quadtree", "checkerboard", "channels", "elic", "hyper"
KINDS = (QUADTREE, CHECKERBOARD, CHANNELS, ELIC, HYPER)
DIAGONAL, OTHERS, ALL = (0, 3), (1, 2), (0, 1, 2, 3)  # positions of a cell: 2 * row + column
SLICES = 5


@dataclass(frozen=True)
class Plan:
    """sizes: channels of each group. stride: 1 where groups are consecutive channels, n where group g is every n-th channel
    from g on. steps: for each step its (group, positions) pairs, all with as many channels and positions."""

    sizes: tuple[int, ...]
    stride: int
    steps: tuple[tuple[tuple[int, tuple[int, ...]], ...], ...]

    def channels(self, group: int) -> slice:
        """The channels of a group."""
        if self.stride > 1:
            return slice(group, sum(self.sizes), self.stride)
        start = sum(self.sizes[:group])
        return slice(start, start + self.sizes[group], 1)

    def width(self, step: int) -> int:
        """Channels that a step codes at each of its positions, per group."""
        return self.sizes[self.steps[step][0][0]]


@lru_cache
def plan(kind: str, latents: int) -> Plan:
    """The plan of that kind for so many latent channels. Raises ValueError where there is none."""
    if kind == QUADTREE:
        if latents % 4:
            raise ValueError(f"latents come in four groups: {latents} is no multiple of 4")
        order = (0, 3, 1, 2)
        steps = tuple(tuple((g, (order[(s + g) % 4],)) for g in range(4)) for s in range(4))
        return Plan((latents // 4,) * 4, 4, steps)
    if kind == HYPER:
        return Plan((latents,), 1, (((0, ALL),),))
    if kind == CHECKERBOARD:
        return Plan((latents,), 1, (((0, DIAGONAL),), ((0, OTHERS),)))
    if latents < 20:
        raise ValueError(f"prior '{kind}' slices the channels: {latents} are too few, give 20 or more")
    if kind == CHANNELS:
        ends = [latents * (k + 1) // SLICES for k in range(SLICES)]
        sizes = tuple(b - a for a, b in zip([0, *ends], ends, strict=False))
        return Plan(sizes, 1, tuple(((g, ALL),) for g in range(SLICES)))
    if kind == ELIC:
        first = [latents // 20, latents // 20, latents // 10, latents // 5]
        sizes = (*first, latents - sum(first))
        return Plan(sizes, 1, tuple(((g, half),) for g in range(len(sizes)) for half in (DIAGONAL, OTHERS)))
    raise ValueError(f"no prior '{kind}': there are {', '.join(KINDS)}")
