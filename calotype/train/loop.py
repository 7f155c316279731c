"""The training loop: resumable to the bit on CPU, within a budget, with moving average, logs and validation."""

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
from . import checkpoint
from .checkpoint import CHECKPOINT
from .logs import LOG, RunLog
from .optimiser import optimisers, set_rate, step_where, world
from .recipes import BUDGET, Recipe
from .tasks import Data, make_task

__all__ = ["CHECKPOINT", "LOG", "Run"]


class Run:
    """A run in a folder. Making one resumes it when the folder has a checkpoint.

    recipe: what to train; on resume the budget may change, all else must stay. data: Photos, or Clips for a video model.
    compiled: by torch.compile, once for each size of crop.
    init: a run's folder, a model file or a shipped model's name, from whose weights a new run starts. fitting: of a model of
    other sizes take the weights whose shapes are those of the recipe's, and start the others anew.
    report: called with each log record (a dict), for progress on a terminal.
    clock: seconds from any moment on.
    """

    def __init__(
        self,
        folder: Path,
        recipe: Recipe,
        data: Data,
        device: str = "cpu",
        compiled: bool = False,
        init: Path | str | None = None,
        report: Callable[[dict[str, Any]], None] = lambda record: None,
        clock: Callable[[], float] = time.monotonic,
        fitting: bool = False,
    ):
        self.folder, self.recipe, self.device = folder, recipe, device
        self.report, self.clock = report, clock
        self.rank, self.world = (dist.get_rank() if dist.is_initialized() else 0), world()
        if recipe.batch % self.world or recipe.late_batch % self.world:
            raise UsageError(
                f"{self.world} processes cannot share batches of {recipe.batch} and {recipe.late_batch} crops evenly; "
                "give multiples"
            )
        folder.mkdir(parents=True, exist_ok=True)
        self.task = make_task(recipe, data, device, self.rank, self.world)
        torch.manual_seed(recipe.seed)
        self.model = recipe.model()
        self.step, self.seconds, self.rate = 0, 0.0, 0.0
        on_gpu = device.startswith("cuda")
        resumed = (folder / CHECKPOINT).exists()
        if not resumed:
            self._start(init, fitting)
        self.model.to(device, memory_format=torch.channels_last)
        self.model.amp, self.model.integer_weights = on_gpu, False
        self.ema = {k: v.clone() for k, v in self.model.state_dict().items()}
        self.optimisers = optimisers(self.model, recipe.lr, recipe.muon_lr, recipe.optimiser, fused=on_gpu)
        self._skipped = torch.zeros((), dtype=torch.int64, device=device)
        self._sums = torch.zeros(len(self.task.scalars) + 2, device=device)  # scalars, gradient's norm, good steps
        if resumed:
            self._check_recipe(checkpoint.load_meta(folder / CHECKPOINT)["recipe"])
            meta = checkpoint.load(folder / CHECKPOINT, self.model, self.ema, self.optimisers)
            self.step, self.seconds = meta["step"], meta["seconds"]
            self._skipped += meta["skipped"]
        self.forward = torch.compile(self.model, dynamic=False) if compiled else self.model
        self.log = RunLog(folder)

    @property
    def skipped(self) -> int:
        """Steps that were left out because their gradient was no finite number."""
        return int(self._skipped)

    @property
    def finished(self) -> bool:
        """Whether the budget is spent."""
        return self.recipe.progress(self.step, self.seconds) >= 1

    def _start(self, init: Path | str | None, fitting: bool) -> None:
        if init is None or fitting:
            self.task.start(self.model)
        if init is None:
            return
        config, state = self.task.initial(init)
        if fitting:
            own = self.model.state_dict()
            state = own | {k: v for k, v in state.items() if k in own and v.shape == own[k].shape}
        elif config != self.model.config:
            ours = asdict(self.model.config)
            differing = ", ".join(f"{k} {v}, not {ours[k]}" for k, v in asdict(config).items() if v != ours[k])
            raise UsageError(
                f"{init} holds a model of {differing}; give the recipe the same, or --init-fitting to take what fits"
            )
        self.model.load_state_dict(state)

    def _check_recipe(self, stored: dict[str, Any]) -> None:
        before = asdict(self.recipe.restored(stored))
        changed = [k for k, v in asdict(self.recipe).items() if k not in BUDGET and before[k] != v]
        if changed:
            raise UsageError(
                f"{self.folder} holds a run with other {', '.join(changed)}: only {' and '.join(BUDGET)} may change on "
                "resume; use another folder (and `init` to start from these weights)"
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
            "kind": self.recipe.kind,
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
        """Go on to the end of the budget, at most to step `until` or for `seconds` of this call; then checkpoint.

        Time in here counts as training time, validation and checkpoints too; a budget of minutes is of the whole run. Ends and
        checkpoints are before steps that go on from none.
        """
        begun, base = self.clock(), self.seconds
        mark = (begun, self.step)
        timed = seconds is not None or self.recipe.minutes > 0
        validated = saved = self.step
        while True:
            spent = self.clock() - begun
            spent = self._first_of_all(spent) if timed else spent
            self.seconds = base + spent
            whole = self.task.whole(self.step)
            over = self.finished or (until is not None and self.step >= until) or (seconds is not None and spent >= seconds)
            if over and whole:
                break
            if self.step // save_every > saved // save_every and whole:
                self.save()
                saved = self.step
            self._one_step()
            self.step += 1
            self.seconds = base + self.clock() - begun
            if self.step % log_every == 0:
                mark = self._log_progress(mark, until)
            if self.step % validate_every == 0:
                validated = self._log_validation()
        if mark[1] < self.step:
            self._log_progress(mark, until)
        if validated < self.step and (seconds is None or spent < seconds):
            self._log_validation()
        self.save()

    @torch.no_grad()
    def validate(self) -> list[dict[str, float]]:
        """Rate-distortion points of the moving-average weights on the held-out photos."""
        with torch.random.fork_rng(devices=[]):
            model = self.recipe.model().to(self.device, memory_format=torch.channels_last)
            model.load_state_dict(self.ema)
            model.integer_weights = self.model.integer_weights
            return self.task.validate(model)

    def _one_step(self) -> None:
        """Nothing in here waits for a GPU: what a step says of itself is summed there until the log wants it."""
        recipe = self.recipe
        progress = recipe.progress(self.step, self.seconds)
        self.model.integer_weights = progress >= 1 - recipe.integer
        torch.manual_seed(
            (recipe.seed << 40) + (self.rank << 32) + self.step
        )  # noise too is a function of (seed, step)
        value, scalars = self.task.loss(self.forward, self.step, progress)
        value.backward()
        parameters = [p for p in self.model.parameters() if p.grad is not None]
        self._average([p.grad for p in parameters])
        norm = nn.utils.clip_grad_norm_(parameters, recipe.clip)
        good = norm.isfinite()  # of the averaged gradient: all processes agree
        self.rate = recipe.lr * recipe.lr_factor(self.step, progress)
        set_rate(self.optimisers, self.rate)
        step_where(self.optimisers, good)
        decay = min(recipe.ema, (self.step + 1) / (self.step + 10))
        state = self.model.state_dict()
        torch._foreach_lerp_(list(self.ema.values()), [state[k] for k in self.ema], 1 - decay)
        self._skipped += ~good
        self._sums += torch.where(good, torch.cat((scalars, torch.stack((norm, torch.ones_like(norm))))), 0.0)
        for p in parameters:
            p.grad = None

    def _first_of_all(self, value: float) -> float:
        """The first process's value: one clock decides, or the processes would part."""
        if self.world == 1:
            return value
        shared = torch.tensor(value, dtype=torch.float64)
        dist.broadcast(shared, 0)
        return shared.item()

    def _average(self, gradients: list[Tensor]) -> None:
        if self.world > 1:
            flat = torch.cat([g.flatten() for g in gradients])
            dist.all_reduce(flat)
            parts = (flat / self.world).split([g.numel() for g in gradients])
            torch._foreach_copy_(gradients, [f.view_as(g) for f, g in zip(parts, gradients, strict=True)])

    def _log_progress(self, mark: tuple[float, int], until: int | None) -> tuple[float, int]:
        """Log the means over the good steps since `mark`, a (time, step), and over processes; returns the new mark."""
        if self.world > 1:
            dist.all_reduce(self._sums)
        *sums, good = self._sums.tolist()
        self._sums.zero_()
        means = {k: v / good for k, v in zip((*self.task.scalars, "grad_norm"), sums, strict=True)} if good else {}
        now = self.clock()
        rate = (self.step - mark[1]) / max(now - mark[0], 1e-9)
        left = 60 * self.recipe.minutes - self.seconds if self.recipe.minutes else (self.recipe.steps - self.step) / rate
        if until is not None:
            left = min(left, (until - self.step) / rate)
        counts = {"lr": self.rate, "skipped": self.skipped, "steps_per_s": round(rate, 3), "eta_s": round(max(left, 0))}
        self._log(means | counts)
        return now, self.step

    def _log_validation(self) -> int:
        """The first process validates, for all have the same weights; returns the step."""
        if self.rank == 0:
            self._log({"validation": self.validate()})
        return self.step

    def _log(self, record: dict[str, Any]) -> None:
        if self.rank:
            return
        record = {"step": self.step, "seconds": round(self.seconds, 1)} | record
        self.log.add(record)
        self.report(record)
