"""Options that several verbs share, and how their words become values."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import click

from .. import threads
from ..codecs.limits import Limits
from ..errors import UsageError
from .memory import keep_freed_memory

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}
_BITRATE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmg]?)(?:bps|bits?/s|bits?)?", re.IGNORECASE)
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmg]i?|)b?", re.IGNORECASE)


class Bytes(click.ParamType):
    """A number of bytes: 40000, 40k, 1.5M (powers of 1000), 40Ki (powers of 1024)."""

    name = "bytes"
    form, refusal = _SIZE, "is not a size; give bytes, 40k, 1.5M or 40Ki"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """To int; click.BadParameter for what is none."""
        if isinstance(value, int):
            return value
        found = self.form.fullmatch(value.strip())
        if not found:
            self.fail(f"{value!r} {self.refusal}", param, ctx)
        return round(float(found[1]) * _UNITS[found[2].lower()])


class Bits(Bytes):
    """Bits a second: 800000, 800k, 1.5M, 800kbit/s (powers of 1000)."""

    name = "bits"
    form, refusal = _BITRATE, "is no bitrate; give bits a second, as 800k or 1.5M"


class Rate(click.ParamType):
    """Frames a second: 25, 29.97, 30000/1001."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Fraction:
        """To a Fraction above 0; click.BadParameter for what is none."""
        try:
            rate = Fraction(value)
        except (ValueError, ZeroDivisionError):
            rate = Fraction(0)
        if rate <= 0:
            self.fail(f"{value!r} is no rate; give frames a second, as 25 or 30000/1001", param, ctx)
        return rate


def limit_options(command: Callable) -> Callable:
    """--max-width, --max-height, --max-pixels, --max-bytes; `limits` makes Limits of them."""
    for name, what in (
        ("bytes", "Refuse pictures that decode to more bytes, and longer chunks."),
        ("pixels", "Refuse pictures of more pixels."),
        ("height", "Refuse higher pictures."),
        ("width", "Refuse wider pictures."),
    ):
        default = getattr(Limits(), f"max_{name}")
        kind = Bytes() if name == "bytes" else click.IntRange(min=1)
        command = click.option(f"--max-{name}", type=kind, default=default, show_default=True, help=what)(command)
    return command


def limits(options: dict[str, Any]) -> Limits:
    """Take the four limits out of a verb's keyword arguments."""
    return Limits(**{name: options.pop(name) for name in ("max_width", "max_height", "max_pixels", "max_bytes")})


def inputs_and_out(command: Callable) -> Callable:
    """The arguments IN... and OUT. One word alone is IN, though click would take it for OUT."""

    def both(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
        if not ctx.params["inputs"]:
            inputs = next(p for p in ctx.command.params if p.name == "inputs")
            raise click.MissingParameter(ctx=ctx, param=inputs if value is None else param)
        return value

    out = click.argument("out", metavar="OUT", required=False, callback=both)
    return click.argument("inputs", metavar="IN...", nargs=-1)(out(command))


def machine_options(command: Callable) -> Callable:
    """--device and --threads; `prepare` puts them into force."""
    command = click.option(
        "--threads", type=click.IntRange(min=1), help="CPU threads to use (default: one a core, OMP_NUM_THREADS at most)."
    )(command)
    return click.option(
        "--device", default="cpu", show_default=True, help="Where the network runs: cpu, cuda, cuda:1, mps."
    )(command)


def prepare(device: str, count: int | None) -> str:
    """Check the device, set allocator and threads; returns the device. torch is imported for another device than the CPU
    only. Raises UsageError."""
    keep_freed_memory()
    threads.set_count(count)
    if device == "cpu":
        return device
    import torch

    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise UsageError(f"no device {device!r}; give cpu, or cuda where there is an NVIDIA GPU") from error
    missing = {"cuda": not torch.cuda.is_available(), "mps": not torch.backends.mps.is_available()}
    if missing.get(kind, kind != "cpu"):
        raise UsageError(f"this machine (or this build of torch) has no device {device!r}; use --device cpu")
    return device
