"""The classic architectures by name, and which of them a state dict is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from ...errors import ModelError
from .architecture import Architecture
from .cheng import Cheng2020Anchor
from .factorised import FactorisedPrior
from .hyperprior import ScaleHyperprior
from .joint import JointPrior
from .meanscale import MeanScaleHyperprior

# A model file's config holds the position in this table: add at its end only.
ARCHITECTURES: dict[str, type[Architecture]] = {
    "bmshj2018-factorized": FactorisedPrior,
    "bmshj2018-hyperprior": ScaleHyperprior,
    "mbt2018-mean": MeanScaleHyperprior,
    "mbt2018": JointPrior,
    "cheng2020-anchor": Cheng2020Anchor,
}
CHANNELS_MAX = 512


@dataclass(frozen=True)
class ClassicConfig:
    """architecture: position in ARCHITECTURES; N, M: channels of the transforms and of the latent."""

    architecture: int
    N: int
    M: int

    def __post_init__(self) -> None:
        sizes = all(type(v) is int and 1 <= v <= CHANNELS_MAX for v in (self.N, self.M))
        if type(self.architecture) is not int or not 0 <= self.architecture < len(ARCHITECTURES) or not sizes:
            raise ValueError(f"no classic architecture of 1 to {CHANNELS_MAX} channels: {asdict(self)}")

    @property
    def name(self) -> str:
        """Of the architecture, as CompressAI calls it."""
        return list(ARCHITECTURES)[self.architecture]

    def to_dict(self) -> dict[str, int]:
        """As JSON-able fields."""
        return asdict(self)

    def build(self) -> Architecture:
        """The net, with random weights; leaves the random state alone. Raises ValueError for sizes it cannot have."""
        with torch.random.fork_rng(devices=[]):
            return ARCHITECTURES[self.name](self.N, self.M)


def identify(state: Mapping[str, Tensor], architecture: str | None = None) -> ClassicConfig:
    """The architecture and sizes of a canonical state dict; `architecture` is taken instead of a guess.

    Raises ModelError where it is none of ours.
    """
    known = ", ".join(ARCHITECTURES)
    if architecture is not None and architecture not in ARCHITECTURES:
        raise ModelError(f"no architecture {architecture!r}: there are {known}")
    shapes = {key: tuple(value.shape) for key, value in state.items() if value.ndim == 4}
    first = shapes.get("g_a.0.conv1.weight", shapes.get("g_a.0.weight"))
    last = shapes.get("g_a.6.weight")
    if first is None or last is None:
        raise ModelError(f"the checkpoint is of no architecture that can be imported: there are {known}")
    n, m = first[0], last[0]
    name = architecture or _guess(shapes, m)
    if name is None:
        raise ModelError(
            f"the checkpoint's architecture cannot be told: name it with --architecture, one of {known}, if it is one"
        )
    try:
        return ClassicConfig(list(ARCHITECTURES).index(name), n, m)
    except ValueError as e:
        raise ModelError(f"the checkpoint has {n} channels and {m} latents: 1 to {CHANNELS_MAX} can be imported") from e


def _guess(shapes: Mapping[str, tuple[int, ...]], m: int) -> str | None:
    if "g_a.0.conv1.weight" in shapes:
        return "cheng2020-anchor"
    if "context_prediction.weight" in shapes:
        return "mbt2018"
    if "h_a.0.weight" not in shapes:
        return "bmshj2018-factorized"
    outputs = shapes.get("h_s.4.weight", (0,))[0]
    return {m: "bmshj2018-hyperprior", 2 * m: "mbt2018-mean"}.get(outputs)
