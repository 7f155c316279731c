"""`calotype train image`: every field of ImageRecipe is an option; a folder with a checkpoint is resumed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
import torch
import torch.distributed as dist

from ..errors import UsageError
from ..train import checkpoint
from ..train.data import Photos
from ..train.image import ImageRecipe
from ..train.loop import CHECKPOINT, Run
from . import options, terminal
from .recipes import changed, recipe_options


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
    "--init",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Start from the weights of this other run.",
)
@recipe_options(ImageRecipe)
@click.option(
    "--minutes", type=click.FloatRange(min=0), help="Stop (and checkpoint) after so long; the same command goes on."
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
    init: Path | None,
    minutes: float | None,
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

    The learning rate reaches zero at --steps: to train longer, give a new run more of them. An interrupted run goes on
    where its last checkpoint is; its recipe is then the checkpoint's, and options that contradict it are refused,
    except --steps. Under torchrun every process takes its share of each batch.
    """
    device = options.prepare(_join(device), threads)
    recipe = _recipe(ctx, out, fields)
    photos = Photos(list(data), max(recipe.crop, recipe.late_crop), device)
    first = not dist.is_initialized() or dist.get_rank() == 0
    run = Run(
        out, recipe, photos, device, compiled, init=init, report=lambda record: _report(record, as_json, recipe.steps)
    )
    if first:
        parameters = sum(p.numel() for p in run.model.parameters())
        span = f"from step {run.step} to {until or recipe.steps}"
        terminal.note(f"{parameters:,} parameters, {photos.megapixels:.0f} megapixels, on {device}, {span}")
    try:
        run.train(until, log_every, save_every, validate_every, None if minutes is None else 60 * minutes)
    except KeyboardInterrupt:
        terminal.note(f"stopped by hand at step {run.step}; the same command goes on from the last checkpoint")
        raise
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
    if first and run.step < recipe.steps:
        terminal.note(f"stopped at step {run.step} of {recipe.steps}; the same command goes on")


def _join(device: str) -> str:
    """Join the other processes that torchrun started, where it did; returns this process's own device."""
    if "RANK" not in os.environ:
        return device
    on_gpu = device.startswith("cuda")
    if on_gpu:
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if on_gpu else "gloo")
    return device


def _recipe(ctx: click.Context, out: Path, fields: dict[str, Any]) -> ImageRecipe:
    """The recipe of the options, or of the checkpoint where there is one. Raises UsageError where they contradict."""
    asked = ImageRecipe(**fields)
    if not (out / CHECKPOINT).exists():
        return asked
    stored = checkpoint.load_meta(out / CHECKPOINT)["recipe"]
    given = {
        name: fields[name]
        for name in fields
        if ctx.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE
    }
    differing = changed(stored, {name: value for name, value in given.items() if name != "steps"})
    if differing:
        raise UsageError(
            f"{out} holds a run with another recipe ({', '.join(differing)}); leave these out, or give another --out"
        )
    known = {name: value for name, value in stored.items() if name in fields}
    return ImageRecipe(**fields | known | {name: given[name] for name in given if name == "steps"})


def _report(record: dict[str, Any], as_json: bool, steps: int) -> None:
    terminal.row(_line(record, steps), record, as_json)


def _line(record: dict[str, Any], steps: int) -> str:
    head = f"step {record['step']}/{steps}"
    if "validation" in record:
        points = "  ".join(
            f"q{point['quality'] / 10:g} {point['bpp']:.3f} bpp {point['psnr']:.2f} dB"
            for point in record["validation"]
        )
        return f"{head}  validation  {points}"
    left = divmod(round(record.get("eta_s", 0)) // 60, 60)
    values = "  ".join(f"{key} {value:.4g}" for key, value in record.items() if key in ("loss", "bpp", "lr", "skipped"))
    return f"{head}  {values}  {record.get('steps_per_s', 0):.2f} steps/s  {left[0]}:{left[1]:02d} h left"
