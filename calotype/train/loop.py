"""The training loop: resumable to the bit on CPU, bounded by steps, with moving average, logs and validation."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..errors import UsageError
from . import checkpoint, image
from .data import Photos
from .image import ImageRecipe
from .logs import LOG, RunLog
from .optimiser import optimisers, set_rate

CHECKPOINT = "checkpoint.safetensors"
__all__ = ["CHECKPOINT", "LOG", "Run"]


class Run:
    """A run in a folder. Making one resumes it when the folder has a checkpoint.

    recipe: what to train; on resume the schedule may be given a new `steps`, all else must stay.
    init: a run whose moving-average weights a new run starts from, in place of the KLT.
    report: called with each log record (a dict), for progress on a terminal.
    """

    def __init__(
        self,
        folder: Path,
        recipe: ImageRecipe,
        photos: Photos,
        device: str = "cpu",
        compiled: bool = False,
        init: Path | None = None,
        report: Callable[[dict[str, Any]], None] = lambda record: None,
    ):
        self.folder, self.recipe, self.photos, self.device, self.report = folder, recipe, photos, device, report
        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(recipe.seed)
        self.model = recipe.model()
        self.step = self.skipped = 0
        self.seconds = 0.0
        resumed = (folder / CHECKPOINT).exists()
        if init is not None and not resumed:
            self.model.load_state_dict(checkpoint.load_ema(init / CHECKPOINT))
        elif not resumed:
            image.start(self.model, photos, recipe.seed)
        self.model.to(device, memory_format=torch.channels_last)
        self.model.amp = device.startswith("cuda")
        self.ema = {k: v.clone() for k, v in self.model.state_dict().items()}
        self.optimisers = optimisers(self.model, recipe.lr, recipe.muon_lr)
        if resumed:
            self._check_recipe(checkpoint.load_meta(folder / CHECKPOINT)["recipe"])
            meta = checkpoint.load(folder / CHECKPOINT, self.model, self.ema, self.optimisers)
            self.step, self.seconds, self.skipped = meta["step"], meta["seconds"], meta["skipped"]
        self.validation = photos.validation(max(recipe.crop, recipe.late_crop)).to(device)
        self.forward = torch.compile(self.model) if compiled else self.model
        self.log = RunLog(folder)
        self.rank, self.world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)

    def _check_recipe(self, stored: dict[str, Any]) -> None:
        changed = [k for k, v in asdict(self.recipe).items() if k != "steps" and stored.get(k, v) != v]
        if changed:
            raise UsageError(
                f"{self.folder} holds a run with other {', '.join(changed)}: only `steps` may change on resume; "
                "use another folder (and `init` to start from these weights)"
            )

    def save(self) -> None:
        """Checkpoint, atomically (the first process only)."""
        if self.rank:
            return
        meta = {
            "step": self.step,
            "seconds": self.seconds,
            "skipped": self.skipped,
            "recipe": asdict(self.recipe),
            "kind": "image",
        }
        checkpoint.save(self.folder / CHECKPOINT, self.model, self.ema, self.optimisers, meta)

    def train(
        self,
        until: int | None = None,
        log_every: int = 100,
        save_every: int = 500,
        validate_every: int = 1000,
        seconds: float | None = None,
    ) -> None:
        """Go on to step `until` (default: the recipe's last) or for `seconds` of wall time, then checkpoint."""
        last = min(self.recipe.steps, until if until is not None else self.recipe.steps)
        started, mark, base = time.monotonic(), (time.monotonic(), self.step), self.seconds
        while self.step < last and not self._out_of_time(started, seconds):
            record = self._one_step()
            self.step += 1
            self.seconds = base + time.monotonic() - started
            if self.step % log_every == 0 or self.step == last:
                now = time.monotonic()
                rate = (self.step - mark[1]) / max(now - mark[0], 1e-9)
                mark = (now, self.step)
                self._log(record | {"steps_per_s": round(rate, 3), "eta_s": round((last - self.step) / rate)})
            if self.rank == 0 and (self.step % validate_every == 0 or self.step == last):
                self._log({"validation": self.validate()})
            if self.step % save_every == 0:
                self.save()
        self.save()

    def validate(self) -> list[dict[str, float]]:
        """Rate-distortion points of the moving-average weights on the held-out photos."""
        model = self.recipe.model().to(self.device, memory_format=torch.channels_last)
        model.load_state_dict(self.ema)
        with torch.random.fork_rng(devices=[]):
            return image.validate(model, self.validation)

    def _one_step(self) -> dict[str, Any]:
        recipe = self.recipe
        batch, crop = recipe.stage(self.step)
        x, quality = self.photos.batch(recipe.seed, self.step, batch, crop)
        x, quality = x[self.rank :: self.world], quality[self.rank :: self.world]
        torch.manual_seed(
            (recipe.seed << 40) + (self.rank << 32) + self.step
        )  # noise too is a function of (seed, step)
        value, record = image.loss(self.forward, recipe, x.to(self.device), quality.to(self.device))
        value.backward()
        parameters = [p for p in self.model.parameters() if p.grad is not None]
        self._average([p.grad for p in parameters])
        norm = float(nn.utils.clip_grad_norm_(parameters, recipe.clip))
        factor = recipe.lr_factor(self.step)
        if norm == norm and norm != float("inf"):
            set_rate(self.optimisers, recipe.lr * factor)
            for optimiser in self.optimisers.values():
                optimiser.step()
            decay = min(recipe.ema, (self.step + 1) / (self.step + 10))
            state = self.model.state_dict()
            torch._foreach_lerp_(list(self.ema.values()), [state[k] for k in self.ema], 1 - decay)
        else:
            self.skipped += 1
        for p in parameters:
            p.grad = None
        return record | {"grad_norm": round(norm, 3), "lr": recipe.lr * factor, "skipped": self.skipped}

    def _out_of_time(self, started: float, seconds: float | None) -> bool:
        if seconds is None:
            return False
        spent = torch.tensor(time.monotonic() - started)
        if self.world > 1:
            dist.broadcast(spent, 0)  # one clock decides, or the processes would stop at different steps
        return spent.item() >= seconds

    def _average(self, gradients: list[Tensor]) -> None:
        if self.world > 1:
            flat = torch.cat([g.flatten() for g in gradients])
            dist.all_reduce(flat)
            parts = (flat / self.world).split([g.numel() for g in gradients])
            torch._foreach_copy_(gradients, [f.view_as(g) for f, g in zip(parts, gradients, strict=True)])

    def _log(self, record: dict[str, Any]) -> None:
        if self.rank:
            return
        record = {"step": self.step, "seconds": round(self.seconds, 1)} | record
        self.log.add(record)
        self.report(record)
