"""`calotype train image`: every field of ImageRecipe is an option, a named recipe their defaults; a folder with a
checkpoint is resumed."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import torch
import torch.distributed as dist

from ..errors import UsageError
from ..train import checkpoint
from ..train.checkpoint import CHECKPOINT
from ..train.data import Photos
from ..train.image import START_CROP
from ..train.loop import Run
from ..train.recipes import BUDGET, RECIPES, ImageRecipe
from . import options, terminal
from .recipes import changed, recipe_options
from .train_plot import PLOT, draw


@click.command(no_args_is_help=True)
@click.option(
    "--data",
    type=click.Path(exists=True, path_type=Path),
    multiple=True,
    required=True,
    help="A folder, tar or file of photos; may be given several times.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="The run's folder: checkpoint and log. One with a checkpoint is resumed.",
)
@click.option(
    "--recipe",
    "name",
    type=click.Choice(list(RECIPES)),
    help="Take the defaults of all options below from this recipe (default: image-s); `calotype train recipes` lists them.",
)
@click.option(
    "--init",
    metavar="RUN|FILE|NAME",
    help="Start from the weights of another run's folder, a model file or an installed model.",
)
@recipe_options(ImageRecipe)
@click.option(
    "--stop-after",
    type=click.FloatRange(min=0),
    help="Stop (and checkpoint) after so many minutes of this call; the same command goes on.",
)
@click.option("--until", type=click.IntRange(min=0), help="Stop (and checkpoint) at this step.")
@click.option(
    "--log-every", type=click.IntRange(min=1), default=100, help="Steps between log lines.", show_default=True
)
@click.option(
    "--save-every", type=click.IntRange(min=1), default=500, help="Steps between checkpoints.", show_default=True
)
@click.option(
    "--validate-every", type=click.IntRange(min=1), default=1000, help="Steps between validations.", show_default=True
)
@click.option("--compile", "compiled", is_flag=True, help="Compile the model first (pays on a GPU).")
@options.machine_options
@click.option("--json", "as_json", is_flag=True, help="Print each log record as a JSON object.")
@click.pass_context
def image(
    ctx: click.Context,
    data: tuple[Path, ...],
    out: Path,
    name: str | None,
    init: str | None,
    stop_after: float | None,
    until: int | None,
    log_every: int,
    save_every: int,
    validate_every: int,
    compiled: bool,
    device: str,
    threads: int | None,
    as_json: bool,
    **fields: Any,
) -> None:
    """Train an image model on photos (at least as large as the largest crop; each 16th is held out and validates).

    The learning rate reaches zero when the budget of --steps or, in their place, --minutes is spent: to train better, give
    a new run more of them. An interrupted run goes on where its last checkpoint is; its recipe is then the checkpoint's, and
    options that contradict it are refused, except --steps and --minutes. Under torchrun every process takes its share of
    each batch. The curves of all validations are drawn in the run's folder, validation.svg.
    """
    device = options.prepare(_join(device), threads)
    recipe = _recipe(ctx, out, name, fields)
    photos = Photos(list(data), max(recipe.crop, recipe.late_crop, START_CROP), device)
    first = not dist.is_initialized() or dist.get_rank() == 0

    def report(record: dict[str, Any]) -> None:
        if "validation" in record:
            draw(out, out / PLOT)
        terminal.row(_line(record, recipe), record, as_json)

    try:
        run = Run(out, recipe, photos, device, compiled, init=init, report=report)
        if first:
            parameters = sum(p.numel() for p in run.model.parameters())
            span = f"from step {run.step} to {until or recipe.steps}"
            if recipe.minutes:
                span = f"from step {run.step}, {run.seconds / 60:.1f} of {recipe.minutes:g} minutes spent"
            terminal.note(f"{parameters:,} parameters, {photos.megapixels:.0f} megapixels, on {device}, {span}")
        run.train(until, log_every, save_every, validate_every, None if stop_after is None else 60 * stop_after)
    except KeyboardInterrupt:
        terminal.note("stopped by hand; the same command goes on from the last checkpoint")
        raise
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
    if first and not run.finished:
        terminal.note(f"stopped at {_place(run.step, run.seconds, recipe)}; the same command goes on")


def _join(device: str) -> str:
    """Join the other processes that torchrun started, where it did; returns this process's own device."""
    if "RANK" not in os.environ:
        return device
    on_gpu = device.startswith("cuda")
    if on_gpu:
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(device)
    dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo")  # the clock's seconds go by gloo on a GPU too
    return device


def _recipe(ctx: click.Context, out: Path, name: str | None, fields: dict[str, Any]) -> ImageRecipe:
    """The recipe: what the command line gives, then a checkpoint's, then the named one's or the defaults.

    Raises UsageError where the command line and the checkpoint contradict each other.
    """
    given = {
        field: value
        for field, value in fields.items()
        if ctx.get_parameter_source(field) == click.core.ParameterSource.COMMANDLINE
    }
    if given.keys() >= set(BUDGET) and given["minutes"]:
        raise UsageError("the budget is --steps or --minutes; give one of them")
    if "steps" in given:
        given = {"minutes": 0.0} | given
    named = asdict(RECIPES[name]) if name else {}
    if not (out / CHECKPOINT).exists():
        return ImageRecipe(**fields | named | given)
    stored = asdict(ImageRecipe.restored(checkpoint.load_meta(out / CHECKPOINT)["recipe"]))
    differing = changed(stored, {field: value for field, value in (named | given).items() if field not in BUDGET})
    if differing:
        raise UsageError(
            f"{out} holds a run with another recipe ({', '.join(differing)}); leave these out, or give another --out"
        )
    budget = {field: value for field, value in given.items() if field in BUDGET}
    return ImageRecipe(**stored | budget)


def _place(step: int, seconds: float, recipe: ImageRecipe) -> str:
    if recipe.minutes:
        return f"step {step}, {seconds / 60:.1f} of {recipe.minutes:g} minutes"
    return f"step {step} of {recipe.steps}"


def _line(record: dict[str, Any], recipe: ImageRecipe) -> str:
    head = _place(record["step"], record["seconds"], recipe)
    if "validation" in record:
        points = "  ".join(
            f"q{point['quality'] / 10:g} {point['bpp']:.3f} bpp {point['psnr']:.2f} dB"
            for point in record["validation"]
        )
        return f"{head}  validation  {points}"
    left = divmod(round(record.get("eta_s", 0)) // 60, 60)
    values = "  ".join(f"{key} {value:.4g}" for key, value in record.items() if key in ("loss", "bpp", "lr", "skipped"))
    return f"{head}  {values}  {record.get('steps_per_s', 0):.2f} steps/s  {left[0]}:{left[1]:02d} h left"
