"""Start, losses and validation of a generative decoder: what an image model leaves of photos, made real in one step.

Two parts of one budget, or runs of their own, one started from the other. (a) Flow matching on the residual (Lipman et al.
2022, arXiv 2210.02747; x in place of the velocity): the net learns to take noise away at every time t. (b) One step from t = 1,
as decoders take it: squared error, distance of SqueezeNet's features and a critic's score (hinge), the two last weighted by the
realism that the net is told (as CRDR does), so that 0 stays the least squared error. (b) starts at the high rates, whose
residual is small, and reaches all of them (rate annealing, SODEC) as the score reaches its weight.

(b) may be distilled: a share of its loss is towards what a teacher, such as (a) makes, samples from the same noise in several
steps, in place of towards the photo (Luhman and Luhman, "Knowledge Distillation in Iterative Generative Models", arXiv
2101.02388; a distance of features beside the squared error, as InstaFlow distils, arXiv 2309.06380). Different: the steps are
few. Or its pictures may be made to be spread as the teacher's are (`matching`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..errors import UsageError
from ..models.generative.dial import SCALES, place
from ..models.generative.net import SPREAD, Denoiser, Setting, enlarge, sampled, shrink
from ..models.imageconfig import QUALITY_MAX
from ..models.perceptual import distance
from .critic import Adversaries, Critic, slope
from .data import Seen
from .matching import matching
from .recipes import GenerativeRecipe
from .stem import Still

VALIDATION_DIALS = (50, 250, 500, 750)
# error: squared, of pixels in [0, 1]; then the critic's scores of both; apart: of the distributions, as `matching` has it
SCALARS = ("loss", "error", "distance", "real", "made", "apart")


class Batch(NamedTuple):
    """Crops x, their decoded pictures at their own size (B, 3, S, S) in [0, 1], what the net is told of them, bits (B,)."""

    x: Tensor
    given: Tensor
    setting: Setting
    bits: Tensor


class GenerativeTask:
    """How a run trains a net and its critic on photos (`tasks.Task`)."""

    scalars = SCALARS

    def __init__(self, recipe: GenerativeRecipe, data: Seen, device: str, rank: int, world: int):
        self.recipe, self.photos, self.device, self.rank, self.world = recipe, data.photos, device, rank, world
        self.features = data.features.to(device)
        self.still = Still(recipe.image, device)
        self.crops = data.photos.validation(recipe.crop).to(device)
        self.teacher = self._teacher() if recipe.teacher else None

    def start(self, model: Adversaries) -> None:
        """The net starts as what it is given, a fake one as the teacher."""
        model.load_state_dict(self._fake(), strict=False)

    def initial(self, source: Path | str) -> tuple[Any, dict[str, Tensor]]:
        from .initial import initial_generative_weights

        config, state = initial_generative_weights(source)
        return config, state | self._fake()

    def _fake(self) -> dict[str, Tensor]:
        if not self.recipe.matching:
            return {}
        return {f"fake.{name}": value.clone() for name, value in self.teacher.state_dict().items()}

    def _teacher(self) -> Denoiser:
        from .initial import initial_generative_weights

        config, state = initial_generative_weights(self.recipe.teacher)
        if self.recipe.matching and config != self.recipe.config():
            raise UsageError(f"the fake net starts as {self.recipe.teacher}: give a teacher of the recipe's sizes")
        pair = Adversaries(config)
        pair.load_state_dict(state)
        return pair.net.eval().requires_grad_(False).to(self.device, memory_format=torch.channels_last)

    def coded(self, x: Tensor, dial: Tensor, realism: Tensor, time: Tensor) -> Batch:
        """x (B, 3, S, S) as decoded at dial (B,) in 0..1000, one scale after another; the order of pictures changes."""
        places = [place(float(d)) for d in dial]
        parts = []
        for scale in range(1, SCALES + 1):
            chosen = [k for k, p in enumerate(places) if p.scale == scale]
            if not chosen:
                continue
            quality = torch.tensor([float(places[k].quality) for k in chosen], device=x.device)
            small, bits = self.still.decoded((shrink(x[chosen], scale) * 255).round() / 255, quality)
            setting = Setting(torch.full_like(quality, scale), quality, time[chosen], realism[chosen])
            parts.append(Batch(x[chosen], enlarge(small, scale), setting, bits))
        joined = [torch.cat([getattr(p, name) for p in parts]) for name in ("x", "given", "bits")]
        setting = Setting(*(torch.cat(v) for v in zip(*(p.setting for p in parts), strict=True)))
        return Batch(joined[0], joined[1], setting, joined[2])

    def whole(self, step: int) -> bool:
        return True

    def loss(self, forward: Callable, step: int, progress: float) -> tuple[Tensor, Tensor]:
        recipe = self.recipe
        size, crop = recipe.stage(progress)
        x, dial = self.photos.batch(recipe.seed, step, size, crop)
        rng = np.random.default_rng((recipe.seed, step, 1))
        drawn = torch.from_numpy((rng.permutation(size) + rng.random(size)) / size).float()  # time, or realism
        x, dial, drawn = (v[self.rank :: self.world].to(self.device) for v in (x, dial, drawn))
        fast = torch.autocast(x.device.type, torch.bfloat16, enabled=recipe.bfloat16 or forward.amp)
        if progress < recipe.flow:
            batch = self.coded(x, dial, torch.ones_like(drawn), drawn)
            with fast:
                return self.flow(forward, batch)
        late = min(1.0, (progress - recipe.flow) / max((1 - recipe.flow) * recipe.annealed, 1e-9))
        dial = QUALITY_MAX - (QUALITY_MAX - dial) * (1 + late) / 2
        realism = (1.8 * drawn - 0.1).clamp(0, 1)  # both ends of the dial are seen as such
        batch = self.coded(x, dial, realism, torch.ones_like(drawn))
        with fast:
            return self.one_step(forward, batch, late)

    def flow(self, forward: Callable, batch: Batch) -> tuple[Tensor, Tensor]:
        """Part (a): squared error of x found from a state at any time."""
        time = batch.setting.time[:, None, None, None]
        state = (1 - time) * (batch.x - batch.given) / SPREAD + time * torch.randn_like(batch.x)
        error = (forward(batch.given, state, batch.setting) - batch.x).square().mean()
        total = self.recipe.error * error
        return total, torch.stack((total, error, *torch.zeros(4, device=error.device))).detach()

    def one_step(self, forward: Callable, batch: Batch, late: float) -> tuple[Tensor, Tensor]:
        """Part (b): the losses of all players, of which none's gradient reaches the others' weights. The net's has the critic's
        score and the matching at `late` of their weights."""
        recipe, realism = self.recipe, batch.setting.realism
        noise = torch.randn_like(batch.x) * realism[:, None, None, None]
        made = forward(batch.given, noise, batch.setting)
        error = (made - batch.x).square().mean((1, 2, 3))
        seen = self.features(made)
        with torch.no_grad():
            real = self.features(batch.x)
        far = distance(seen, real)
        own = (recipe.error + (recipe.error_real - recipe.error) * realism) * error + realism * recipe.perceptual * far
        if recipe.distilled:
            own = (1 - recipe.distilled) * own + recipe.distilled * self.towards(batch, noise, made, seen)
        others, scores, apart = torch.zeros_like(own), torch.zeros(2, device=own.device), torch.zeros_like(own)
        if recipe.matching:
            apart, learnt = matching(self.teacher, forward.fake, batch.given, batch.setting, made)
            own, others = own + late * recipe.matching * realism * apart, others + recipe.error * learnt
        if recipe.adversarial * late:
            score, of_critic, scores = self.judged(forward.critic, batch, made, seen, real)
            own, others = own - late * recipe.adversarial * realism * score, others + of_critic
        total = own.mean() + others.mean()
        return total, torch.stack((total, error.mean(), far.mean(), *scores, apart.mean())).detach()

    def judged(
        self, critic: Critic, batch: Batch, made: Tensor, seen: list[Tensor], real: list[Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The score of what is made, for the net to raise, and the critic's own loss, (B,) each; mean scores (2,) of both."""
        frozen = {name: p.detach() for name, p in critic.named_parameters()}
        score = mean_score(torch.func.functional_call(critic, frozen, (made, batch.given, seen)))
        if self.recipe.penalty:
            of_real, steep = slope(critic, batch.x, batch.given, real)
        else:
            of_real, steep = critic(batch.x, batch.given, real), torch.zeros_like(score)
        of_made = critic(made.detach(), batch.given, [t.detach() for t in seen])
        hinge = mean_score([torch.relu(1 - s) for s in of_real])
        hinge = hinge + batch.setting.realism * mean_score([torch.relu(1 + s) for s in of_made])
        return score, hinge + self.recipe.penalty * steep, torch.stack((mean_score(of_real).mean(), score.mean()))

    def towards(self, batch: Batch, noise: Tensor, made: Tensor, seen: list[Tensor]) -> Tensor:
        """How far what is made of that noise, and its features, are from what the teacher makes of it: (B,)."""
        with torch.no_grad():
            target = sampled(self.teacher, batch.given, noise, batch.setting, self.recipe.teacher_steps)
            features = self.features(target)
        error = (made - target).square().mean((1, 2, 3))
        return self.recipe.error * error + self.recipe.perceptual * distance(seen, features)

    @torch.no_grad()
    def validate(self, model: Adversaries) -> list[dict[str, float]]:
        """On held-out crops, means: "bpp" (estimated), "psnr" at realism 0, "psnr_real" and "distance" at realism 1, and
        "distance_coded", of the decoded picture; "cost": the loss without a critic, at realism 1."""
        points = []
        for dial in VALIDATION_DIALS:
            rows = [self._row(model, x, dial) for x in self.crops.split(6)]
            bpp, zero, one, far, plain = torch.cat(rows, 1).mean(1).tolist()
            cost = self.recipe.perceptual * far + self.recipe.error_real * 10 ** (-one / 10)
            values = {"bpp": bpp, "psnr": zero, "psnr_real": one, "distance": far, "distance_coded": plain, "cost": cost}
            points.append({"quality": dial} | {k: round(v, 4) for k, v in values.items()})
        return points

    def _row(self, model: Adversaries, x: Tensor, dial: float) -> Tensor:
        count = len(x)
        ones = torch.ones(count, device=x.device)
        batch = self.coded(x, torch.full((count,), float(dial)), ones, ones)
        noise = torch.from_numpy(np.random.default_rng(count).standard_normal(x.shape, np.float32)).to(x.device)
        still = batch.setting._replace(realism=torch.zeros_like(ones))
        zero, one = model(batch.given, torch.zeros_like(noise), still), model(batch.given, noise, batch.setting)
        real, made, plain = (self.features(v.clamp(0, 1)) for v in (x, one, batch.given))
        db = [10 * torch.log10(1 / (v.clamp(0, 1) - x).square().mean((1, 2, 3))) for v in (zero, one)]
        return torch.stack((batch.bits / math.prod(x.shape[2:]), *db, distance(made, real), distance(plain, real)))


def mean_score(maps: list[Tensor]) -> Tensor:
    """Mean over places and heads: (B,)."""
    return torch.stack([m.float().mean((1, 2, 3)) for m in maps]).mean(0)
