"""What a training run asks of the kind of model that it trains."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from .clips import Clips
from .data import Photos, Seen
from .fsq import FsqTask
from .generative import GenerativeTask
from .image import ImageTask
from .recipes import FsqRecipe, GenerativeRecipe, ImageRecipe, Recipe, StemRecipe, VideoRecipe
from .stem import StemTask
from .video import VideoTask

Data = Photos | Clips | Seen


class Task(Protocol):
    """scalars: names of what `loss` says of a step."""

    scalars: tuple[str, ...]

    def start(self, model: nn.Module) -> None:
        """Give a new model its first weights."""
        ...

    def initial(self, source: Path | str) -> tuple[Any, dict[str, Tensor]]:
        """(configuration, state) of a run's folder, a model file or a shipped model to start from. Raises ModelError."""
        ...

    def loss(self, forward: Callable, step: int, progress: float) -> tuple[Tensor, Tensor]:
        """The loss of a step, a function of the recipe's seed, the step and those before that it goes on from; scalars."""
        ...

    def whole(self, step: int) -> bool:
        """Whether that step goes on from none before it."""
        ...

    def validate(self, model: nn.Module) -> list[dict[str, float]]:
        """Rate-distortion points on held-out data: "quality", "bpp", "psnr", "cost"."""
        ...


def make_task(recipe: Recipe, data: Data, device: str, rank: int, world: int) -> Task:
    """The task of a recipe on its data, for process `rank` of `world`."""
    if isinstance(recipe, ImageRecipe):
        assert isinstance(data, Photos | Seen)
        return ImageTask(recipe, data, device, rank, world)
    if isinstance(recipe, GenerativeRecipe):
        assert isinstance(data, Seen)
        return GenerativeTask(recipe, data, device, rank, world)
    if isinstance(recipe, FsqRecipe):
        assert isinstance(data, Seen)
        return FsqTask(recipe, data, device, rank, world)
    assert isinstance(data, Clips)
    if isinstance(recipe, StemRecipe):
        return StemTask(recipe, data, device, rank, world)
    assert isinstance(recipe, VideoRecipe)
    return VideoTask(recipe, data, device, rank, world)
