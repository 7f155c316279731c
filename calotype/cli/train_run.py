"""What `calotype train image` and `calotype train video` share: a run's options, its recipe, its lines."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import torch
import torch.distributed as dist

from ..errors import UsageError
from ..models.perceptual import SqueezeNet
from ..train import checkpoint
from ..train.checkpoint import CHECKPOINT
from ..train.data import Photos, Seen
from ..train.loop import Run
from ..train.recipes import BUDGET, RECIPES, Recipe
from ..train.tasks import Data
from . import options, terminal
from .recipes import changed, recipe_options
from .train_plot import PLOT, draw

SHOWN = ("loss", "bpp", "error", "distance", "real", "made", "apart", "lr", "skipped")  # of what steps say of themselves


PHOTOS = click.option(
    "--data",
    type=click.Path(exists=True, path_type=Path),
    multiple=True,
    required=True,
    help="A folder, tar or file of photos; may be given several times.",
)


def features(needed: bool, what_for: str) -> Callable[[Callable], Callable]:
    """Decorator: the option of the weights that see how like two pictures are."""
    return click.option(
        "--features",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        required=needed,
        help=f"SqueezeNet 1.1's weights (safetensors, torchvision's names){what_for}",
    )


def seen(data: tuple[Path, ...], weights: Path, side: int, device: str) -> tuple[Seen, str]:
    """Photos of at least that side and what sees them, and a word of how much that is."""
    photos = Photos(list(data), side, device)
    return Seen(photos, SqueezeNet.read(weights)), f"{photos.megapixels:.0f} megapixels"


def run_options(recipe: type[Recipe]) -> Callable[[Callable], Callable]:
    """Decorator: the options of a run, every field of `recipe` among them."""
    names = [name for name, known in RECIPES.items() if isinstance(known, recipe)]
    before = [
        click.option(
            "--out",
            type=click.Path(path_type=Path),
            required=True,
            help="The run's folder: checkpoint and log. One with a checkpoint is resumed.",
        ),
        *(
            click.option(
                "--recipe",
                "name",
                type=click.Choice(names),
                help=f"Take the defaults of all options below from this recipe (default: {first}); "
                "`calotype train recipes` lists them.",
            )
            for first in names[:1]
        ),
        click.option(
            "--init",
            metavar="RUN|FILE|NAME",
            help="Start from the weights of another run's folder, a model file or an installed model.",
        ),
        click.option(
            "--init-fitting",
            "fitting",
            is_flag=True,
            help="With --init, of a model of other sizes: take the weights whose shapes fit, start the others anew.",
        ),
        recipe_options(recipe),
    ]
    after = [
        click.option(
            "--stop-after",
            type=click.FloatRange(min=0),
            help="Stop (and checkpoint) after so many minutes of this call; the same command goes on.",
        ),
        click.option("--until", type=click.IntRange(min=0), help="Stop (and checkpoint) at this step."),
        _every("log", 100, "log lines"),
        _every("save", 500, "checkpoints"),
        _every("validate", 1000, "validations"),
        click.option("--compile", "compiled", is_flag=True, help="Compile the model first (pays on a GPU)."),
        options.machine_options,
        click.option("--json", "as_json", is_flag=True, help="Print each log record as a JSON object."),
    ]

    def decorate(command: Callable) -> Callable:
        for option in reversed([*before, *after]):
            command = option(command)
        return command

    return decorate


def _every(what: str, default: int, said: str) -> Callable[[Callable], Callable]:
    kind = click.IntRange(min=1)
    return click.option(f"--{what}-every", type=kind, default=default, help=f"Steps between {said}.", show_default=True)


def run(
    ctx: click.Context,
    kind: type[Recipe],
    load: Callable[[Any, str], tuple[Data, str]],
    out: Path,
    init: str | None,
    fitting: bool,
    stop_after: float | None,
    until: int | None,
    log_every: int,
    save_every: int,
    validate_every: int,
    compiled: bool,
    device: str,
    threads: int | None,
    as_json: bool,
    name: str | None = None,
    **fields: Any,
) -> None:
    """Start a run or go on with it. load(recipe, device) gives the data and what there is of them, in words."""
    device = options.prepare(_join(device), threads)
    if fitting and init is None:
        raise UsageError("--init-fitting says how --init is taken; give both")
    recipe = _recipe(ctx, kind, out, name, fields)
    data, amount = load(recipe, device)
    first = not dist.is_initialized() or dist.get_rank() == 0

    def report(record: dict[str, Any]) -> None:
        if "validation" in record:
            draw(out, out / PLOT)
        terminal.row(_line(record, recipe), record, as_json)

    try:
        made = Run(out, recipe, data, device, compiled, init=init, report=report, fitting=fitting)
        if first:
            parameters = sum(p.numel() for p in made.model.parameters())
            span = f"from step {made.step} to {until or recipe.steps}"
            if recipe.minutes:
                span = f"from step {made.step}, {made.seconds / 60:.1f} of {recipe.minutes:g} minutes spent"
            terminal.note(f"{parameters:,} parameters, {amount}, on {device}, {span}")
        made.train(until, log_every, save_every, validate_every, None if stop_after is None else 60 * stop_after)
    except KeyboardInterrupt:
        terminal.note("stopped by hand; the same command goes on from the last checkpoint")
        raise
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
    if first and not made.finished:
        terminal.note(f"stopped at {_place(made.step, made.seconds, recipe)}; the same command goes on")


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


def _recipe(ctx: click.Context, kind: type[Recipe], out: Path, name: str | None, fields: dict[str, Any]) -> Recipe:
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
        return kind(**fields | named | given)
    stored = _stored(kind, out)
    differing = changed(stored, {field: value for field, value in (named | given).items() if field not in BUDGET})
    if differing:
        raise UsageError(
            f"{out} holds a run with another recipe ({', '.join(differing)}); leave these out, or give another --out"
        )
    budget = {field: value for field, value in given.items() if field in BUDGET}
    return kind(**stored | budget)


def _stored(kind: type[Recipe], out: Path) -> dict[str, Any]:
    meta = checkpoint.load_meta(out / CHECKPOINT)
    if meta.get("kind", "image") != kind.kind:
        raise UsageError(f"{out} holds a run of a {meta['kind']} model; give another --out")
    return asdict(kind.restored(meta["recipe"]))


def _place(step: int, seconds: float, recipe: Recipe) -> str:
    if recipe.minutes:
        return f"step {step}, {seconds / 60:.1f} of {recipe.minutes:g} minutes"
    return f"step {step} of {recipe.steps}"


def _line(record: dict[str, Any], recipe: Recipe) -> str:
    head = _place(record["step"], record["seconds"], recipe)
    if "validation" in record:
        points = "  ".join(
            f"q{point['quality'] / 10:g} "
            + (f"at 1/{point['scale']} " if "scale" in point else "")
            + f"{point['bpp']:.3f} bpp "
            + (f"(plain {point['plain']:.3f}) " if "plain" in point else "")
            + f"{point['psnr']:.2f} dB"
            + (f" distance {point['distance']:.4f}" if "distance" in point else "")
            + (f" (coded {point['distance_coded']:.4f})" if "distance_coded" in point else "")
            for point in record["validation"]
        )
        return f"{head}  validation  {points}"
    left = divmod(round(record.get("eta_s", 0)) // 60, 60)
    values = "  ".join(f"{key} {value:.4g}" for key, value in record.items() if key in SHOWN)
    return f"{head}  {values}  {record.get('steps_per_s', 0):.2f} steps/s  {left[0]}:{left[1]:02d} h left"
