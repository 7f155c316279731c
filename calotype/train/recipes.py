"""What a training run is made of: the recipe's fields, its schedule over a budget of steps or of minutes, the named ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, TypeVar, get_args, get_type_hints

from torch import nn

from ..errors import UsageError
from ..models import modelfile
from ..models.fsq.config import FsqConfig
from ..models.generative.config import GenerativeConfig
from ..models.generative.dial import SCALES
from ..models.generative.flow import STEPS_MAX
from ..models.image import ImageConfig, ImageModel
from ..models.imageconfig import QUALITY_MAX
from ..models.prior import Prior
from ..models.priorgraph import PriorConfig
from ..models.stem import stem_config
from ..models.video import InterModel
from ..models.videoconfig import VideoConfig
from ..models.zoo import DEFAULT_IMAGE_MODEL, find_model
from .critic import Adversaries
from .fsqrates import FsqTrained

CROP_UNIT = 32  # the training pass takes sides that are multiples of this
BUDGET = ("steps", "minutes")  # what a resumed run may change

R = TypeVar("R", bound="Recipe")


@dataclass(frozen=True)
class Recipe:
    """What all training runs have; every field is an option of `calotype train`.

    kind: of the model. Raises UsageError for a value that no run can have.
    """

    kind: ClassVar[str]

    steps: int = 30_000  # the budget: the learning rate reaches zero here
    minutes: float = 0.0  # the budget as minutes of training, in place of steps
    schedule: Literal["linear", "cosine"] = "linear"  # how the learning rate falls to zero over the budget
    optimiser: Literal["muon", "adamw"] = "muon"  # of the inner matrices; all else is AdamW's
    batch: int = 16  # crops a step, over all processes
    crop: int = 128  # side of a crop in pixels
    late_crop: int = 256  # crop and batch of the last `late` part of the run
    late_batch: int = 6  # crops a step in the late part
    late: float = 0.15  # share of the budget that is the late part
    integer: float = 0.1  # share of the budget, at its end, in which the synthesis sees the int8 weights of its execution
    lr: float = 2e-3  # AdamW
    muon_lr: float = 0.015  # Muon
    warmup: int = 200  # steps in which the rates rise
    clip: float = 2.0  # norm that a gradient is cut to
    ema: float = 0.999  # decay of the moving average of weights
    rate_balance: float = 0.5  # loss of a sample is scaled by lmbda ** -rate_balance, so that all rates pull alike
    seed: int = 0  # of crops, noise and first weights

    def __post_init__(self) -> None:
        kinds = get_type_hints(type(self))
        for field in fields(self):
            choices = get_args(kinds[field.name])
            if choices and getattr(self, field.name) not in choices:
                raise UsageError(f"{field.name} is one of {', '.join(choices)}, not {getattr(self, field.name)!r}")
        for name in ("steps", "batch", "late_batch", "warmup"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}; give 1 or more")
        for name in ("crop", "late_crop"):
            if getattr(self, name) < 2 * CROP_UNIT or getattr(self, name) % CROP_UNIT:
                raise UsageError(f"{name} is {getattr(self, name)}; give a multiple of {CROP_UNIT} from {2 * CROP_UNIT} on")
        if not (math.isfinite(self.minutes) and self.minutes >= 0):
            raise UsageError(f"minutes is {self.minutes}; give a positive number, or 0 for a budget of steps")
        for name in ("late", "integer"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} is {getattr(self, name)}; give a share of the budget, 0 to 1")
        self.config()

    @classmethod
    def restored(cls: type[R], stored: Mapping[str, Any]) -> R:
        """The recipe of a checkpoint; fields that were not there when it was made have their defaults."""
        return cls(**{f.name: stored[f.name] for f in fields(cls) if f.name in stored})

    def config(self) -> Any:
        """The model's configuration. Raises UsageError where there is no such model."""
        raise NotImplementedError

    def model(self) -> nn.Module:
        """A freshly initialised model of these sizes."""
        raise NotImplementedError

    def progress(self, step: int, seconds: float) -> float:
        """Share of the budget that is spent after so many steps and seconds of training: the schedule's only clock."""
        return seconds / (60 * self.minutes) if self.minutes else step / self.steps

    def stage(self, progress: float) -> tuple[int, int]:
        """(batch, crop) at that share of the budget."""
        return (self.late_batch, self.late_crop) if progress >= 1 - self.late else (self.batch, self.crop)

    def lr_factor(self, step: int, progress: float) -> float:
        """Linear warm-up in steps; then to zero at the end of the budget, in a line or in half a cosine."""
        left = max(0.0, 1 - progress)
        if self.schedule == "cosine":
            left = (1 - math.cos(math.pi * left)) / 2
        return min((step + 1) / self.warmup, 1.0) * left


@dataclass(frozen=True)
class ImageRecipe(Recipe):
    """One training run of the image model."""

    kind = "image"

    width: int = 96  # channels of the trunks: the size dial
    synthesis_blocks: int = 6  # in the decoder's trunk; 7 at most, or tiles would show
    analysis_blocks: int = 3  # in the encoder's trunk
    latents: int = 320  # channels of the latent
    hidden: int = 128  # width of the prior
    prior: str = "quadtree"  # order in which latents are coded: quadtree, checkerboard, channels, elic, hyper
    scales: str = "context"  # what predicts scales: context (of coded latents) or side (all known before the first latent)
    activation: str = "leaky"  # of the trunks' blocks: leaky or wsilu
    start: Literal["klt", "random"] = "klt"  # linear part of the transforms: that of the photos, or random and orthonormal
    top: int = 1000  # the highest quality that is trained, 0..1000
    squared: float = 1.0  # share of the squared error's weight that stays
    perceptual: float = 0.0  # bits a pixel that a distance of 1 between SqueezeNet's features is worth
    shrunk: float = 0.0  # share of steps on photos at half or a third of their size, as the generative codec codes them

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.top <= QUALITY_MAX:
            raise UsageError(f"top is {self.top}; give a quality from 1 to {QUALITY_MAX}")
        for name in ("squared", "perceptual"):
            if not getattr(self, name) >= 0 or not math.isfinite(getattr(self, name)):
                raise UsageError(f"{name} is {getattr(self, name)}; give 0 or more")
        if not 0 <= self.shrunk <= 1:
            raise UsageError(f"shrunk is {self.shrunk}; give a share of steps, 0 to 1")

    @property
    def reach(self) -> int:
        """Pixels a side that photos must have: the largest crop of them before it is made smaller."""
        return max(self.crop, self.late_crop) * (SCALES if self.shrunk else 1)

    def config(self) -> ImageConfig:
        own = {f.name for f in fields(self)}
        try:
            config = ImageConfig(**{f.name: getattr(self, f.name) for f in fields(ImageConfig) if f.name in own})
            config.of_prior  # noqa: B018 (it says where prior and latents do not suit each other)
        except ValueError as error:
            raise UsageError(f"there is no such model: {error}") from error
        return config

    def model(self) -> ImageModel:
        return ImageModel(self.config())


@dataclass(frozen=True)
class VideoRecipe(Recipe):
    """One training run of the inter-frame model, on chains of frames as the codec codes them."""

    kind = "video"

    batch: int = 8  # crops a step, over all processes
    late_crop: int = 192  # crop and batch of the last `late` part of the run
    late_batch: int = 4  # crops a step in the late part
    rate_balance: float = 0.5  # loss of a sample is scaled by lmbda ** -rate_balance, so that all rates pull alike
    width: int = 96  # channels of the trunks: the size dial
    context_blocks: int = 2  # of the trunk that reads the prediction
    analysis_blocks: int = 3  # in the encoder's trunk
    synthesis_blocks: int = 4  # in the decoder's trunk
    latents: int = 256  # channels of the latent
    side: int = 16  # of the side latent
    hidden: int = 96  # width of the prior
    real: float = 0.6  # share of samples from clips; the others are photos in synthetic motion
    bidirectional: float = 0.35  # share of chains that are groups of B frames; the others are chains of P frames
    cut: float = 0.2  # share of samples with a scene cut
    alone: float = 0.05  # share of frames that lose their prediction, half of them in part: as intra blocks do
    chain: int = 24  # frames after an intra frame that are coded from one another, a step each
    stages: str = ""  # of other chains before those: frames of each and share of the budget, as in 2:.1,3:.1,6:.2

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("real", "bidirectional", "cut", "alone"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} is {getattr(self, name)}; give a share, 0 to 1")
        if self.chain < 1:
            raise UsageError(f"chain is {self.chain}; give 1 frame or more")
        found = self._stages()
        shares = [share for _, share in found]
        if any(frames < 1 for frames, _ in found) or not all(0 < share < 1 for share in shares) or sum(shares) >= 1:
            raise UsageError(f"stages are {self.stages!r}; give 1 frame or more each, and shares that leave some for chain")

    def _stages(self) -> list[tuple[int, float]]:
        try:
            pairs = [part.split(":") for part in self.stages.split(",") if part]
            return [(int(frames), float(share)) for frames, share in pairs]
        except ValueError:
            raise UsageError(f"stages are {self.stages!r}; give each frames and a share of the budget, 2:.1,6:.2") from None

    def frames(self, progress: float) -> int:
        """Of a chain that begins at that share of the budget."""
        end = 0.0
        for frames, share in self._stages():
            end += share
            if progress < end:
                return frames
        return self.chain

    def config(self) -> VideoConfig:
        own = {f.name for f in fields(self)}
        try:
            return VideoConfig(**{f.name: getattr(self, f.name) for f in fields(VideoConfig) if f.name in own})
        except ValueError as error:
            raise UsageError(f"there is no such model: {error}") from error

    def model(self) -> InterModel:
        return InterModel(self.config())


@dataclass(frozen=True)
class StemRecipe(Recipe):
    """One training run of a stem prior (`models.stem`), on pairs of frames: nothing of the image model changes."""

    kind = "stem"

    image: str = DEFAULT_IMAGE_MODEL  # the image model whose latents it codes
    optimiser: Literal["muon", "adamw"] = "adamw"  # of the inner matrices; all else is AdamW's
    late_crop: int = 192  # crop and batch of the last `late` part of the run
    late_batch: int = 8  # crops a step in the late part
    real: float = 0.8  # share of samples from clips; the others are photos in synthetic motion, where there are photos

    def config(self) -> PriorConfig:
        return stem_config(ImageConfig(**modelfile.read_info(find_model(self.image)).config))

    def model(self) -> Prior:
        return Prior(self.config())


@dataclass(frozen=True)
class GenerativeRecipe(Recipe):
    """One training run of a generative decoder on what an image model, which does not learn, leaves of photos: flow matching,
    then one step against a critic."""

    kind = "generative"

    image: str = DEFAULT_IMAGE_MODEL  # the image model whose pictures it makes real
    batch: int = 4  # crops a step, over all processes
    crop: int = 192  # side of a crop in pixels, a multiple of 192
    late_crop: int = 192  # crop and batch of the last `late` part of the run
    late_batch: int = 8  # crops a step in the late part
    late: float = 0.2  # share of the budget that is the late part
    integer: float = 0.0  # no part: this net has no integer execution
    lr: float = 1e-3  # AdamW
    muon_lr: float = 0.01  # Muon
    width: int = 192  # channels at 1/8
    fine: int = 64  # channels at 1/4
    blocks: int = 6  # residual blocks at 1/8
    fine_blocks: int = 2  # residual blocks at 1/4 after these
    flow: float = 0.08  # share of the budget, at its start, that is flow matching
    annealed: float = 0.25  # share of the rest after which all rates are seen, and the critic's score weighs in full
    error: float = 100.0  # weight of the squared error of pixels in [0, 1], at realism 0
    error_real: float = 100.0  # the same at realism 1
    perceptual: float = 1.0  # weight of the distance of features, at realism 1
    adversarial: float = 0.02  # weight of the critic's score, at realism 1
    penalty: float = 0.0  # of the slope of the critic's score at photos (R1), in the critic's own loss
    teacher: str = ""  # a run's folder or a model file: a flow that one step learns from
    teacher_steps: int = 8  # calls of its net for a picture that is distilled
    distilled: float = 0.0  # share of the loss of one step, the critic's aside, that is towards the teacher's pictures
    matching: float = 0.0  # weight, at realism 1, of being spread as the teacher's pictures are (DMD)
    bfloat16: bool = False  # nets in bfloat16 on a CPU too: pays where it has AMX

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.crop % 192 or self.late_crop % 192:
            raise UsageError(f"crops of {self.crop} and {self.late_crop} pixels; give multiples of 192, whose thirds suit")
        for name in ("flow", "annealed", "error", "error_real", "perceptual", "adversarial", "penalty", "matching"):
            if not getattr(self, name) >= 0 or not math.isfinite(getattr(self, name)):
                raise UsageError(f"{name} is {getattr(self, name)}; give 0 or more")
        if not 0 <= self.distilled <= 1 or not 1 <= self.teacher_steps <= STEPS_MAX:
            said = f"distilled is {self.distilled} and teacher_steps {self.teacher_steps}"
            raise UsageError(f"{said}; give a share, 0 to 1, and 1 to {STEPS_MAX} steps")
        if (self.distilled > 0 or self.matching > 0) != bool(self.teacher):
            raise UsageError("learning from a flow takes --teacher, and --distilled or --matching; give both, or neither")

    def config(self) -> GenerativeConfig:
        try:
            return GenerativeConfig(**{f.name: getattr(self, f.name) for f in fields(GenerativeConfig)})
        except ValueError as error:
            raise UsageError(f"there is no such model: {error}") from error

    def model(self) -> Adversaries:
        return Adversaries(self.config(), self.matching > 0)


@dataclass(frozen=True)
class FsqRecipe(Recipe):
    """One training run of a model of few indices."""

    kind = "fsq"

    steps: int = 10_000  # the budget: the learning rate reaches zero here
    batch: int = 8  # crops a step, over all processes
    late_crop: int = 192  # crop and batch of the last `late` part of the run
    late_batch: int = 8  # crops a step in the late part
    integer: float = 0.0  # no part: integers of ten bits a weight need no training
    optimiser: Literal["muon", "adamw"] = "muon"  # of the encoder's inner matrices; all else is AdamW's
    lr: float = 1e-3  # AdamW
    muon_lr: float = 0.01  # Muon
    coarse: int = 6  # channels of indices at 1/32
    fine: int = 8  # and at 1/16
    width: int = 96  # of the decoder at 1/16
    analysis: int = 128  # of the encoder at 1/16
    blocks: int = 3  # of the encoder at 1/16
    error: float = 100.0  # weight of the squared error of pixels in [0, 1]
    colour: float = 4.0  # so many times it, besides, of what is left of pixels without their brightness
    perceptual: float = 1.0  # weight of the distance of features
    judged: float = 1.0  # share of a step's crops whose distance is measured, which is most of a step's time
    rate: float = 20.0  # weight of a bit a pixel, where the fewest channels are coded
    rate_top: float = 4.0  # the same where all are; in between it falls evenly, by a factor each channel
    ramp: float = 0.15  # share of the budget over which these weights rise from zero
    bfloat16: bool = False  # nets in bfloat16 on a CPU too: pays where it has AVX-512 BF16 or AMX

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.judged <= 1:
            raise UsageError(f"judged is {self.judged}; give a share of crops, above 0 and at most 1")
        for name in ("error", "colour", "perceptual", "rate", "rate_top", "ramp"):
            if not getattr(self, name) >= 0 or not math.isfinite(getattr(self, name)):
                raise UsageError(f"{name} is {getattr(self, name)}; give 0 or more")

    def config(self) -> FsqConfig:
        try:
            return FsqConfig(**{f.name: getattr(self, f.name) for f in fields(FsqConfig)})
        except ValueError as error:
            raise UsageError(f"there is no such model: {error}") from error

    def model(self) -> FsqTrained:
        return FsqTrained(self.config())


# Decoders of at most 20, 45 and 120 kMAC a pixel, files of at most 16 MiB (tested). Muon's step has one spectral norm at any
# width, so the rates stay. Crops of 256 pixels and batches of 16 are DCVC-UF's (image-m, image-l: meant for a GPU). video-m is
# meant for a GPU too: at most 16 kMAC a pixel, and its minutes leave those that a lease of half an hour spends otherwise.
RECIPES: dict[str, Recipe] = {
    "image-s": ImageRecipe(),
    "image-m": ImageRecipe(width=288, synthesis_blocks=7, analysis_blocks=3, hidden=160, crop=256, late_batch=16),
    "image-l": ImageRecipe(width=384, synthesis_blocks=7, analysis_blocks=3, hidden=192, crop=256, late_batch=16),
    "video-s": VideoRecipe(),
    "video-m": VideoRecipe(
        minutes=24,
        batch=16,
        crop=256,
        late_crop=256,
        late_batch=16,
        width=160,
        analysis_blocks=4,
        synthesis_blocks=5,
        hidden=128,
    ),
}
