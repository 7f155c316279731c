"""`calotype bench`: speed of the entropy coder, of the whole codec and of its net, beside others' in the same run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from calotype.cli.terminal import Progress

if TYPE_CHECKING:
    import numpy as np

PARTS = ("total", "network", "entropy", "cpu")


class Size(click.ParamType):
    """A picture's size: 1920x1080."""

    name = "WxH"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """To (width, height); click.BadParameter for what is no size."""
        if isinstance(value, tuple):
            return value
        found = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", value)
        if not found:
            self.fail(f"{value!r} is not a size; give one like 1920x1080", param, ctx)
        return int(found[1]), int(found[2])


MODEL = click.option("-m", "--model", help="A shipped model's name, or a model file.")
THREADS = click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True, help="CPU threads.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON in place of the table.")
SIZE = click.option("--size", type=Size(), help="Cut the picture to this size, or continue it by its mirror image.")


@click.group("bench")
def command() -> None:
    """Time parts of Calotype beside those of others, in the same run."""


@command.command("entropy")
@click.option("--repeats", type=click.IntRange(min=1), default=5, show_default=True, help="Runs of each coder.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the synthetic latents.")
@JSON
def entropy(repeats: int, seed: int, as_json: bool) -> None:
    """Our rANS coder, constriction's and CompressAI's on the same synthetic latents of a 768x512 picture."""
    from calotype.eval.entropy_bench import bench_entropy

    result = bench_entropy(seed=seed, repeats=repeats)
    _show(result, entropy_lines(result), as_json)


@command.command("decode")
@click.argument("picture", type=click.Path(path_type=Path))
@click.option("-q", "--quality", type=click.FloatRange(0, 100), default=50.0, show_default=True, help="Ours.")
@MODEL
@click.option("--runs", type=click.IntRange(min=10), default=10, show_default=True, help="Runs of each coder.")
@THREADS
@SIZE
@click.option("--peer", metavar="NAME", default="mbt2018-mean", show_default=True, help="CompressAI's model to time too.")
@click.option("--no-peer", is_flag=True, help="Time ours alone.")
@click.option("--pretrained", is_flag=True, help="Fetch that model's own weights; else, and where it fails, random ones.")
@JSON
def decode(
    picture: Path,
    quality: float,
    model: str | None,
    runs: int,
    threads: int,
    size: tuple[int, int] | None,
    peer: str,
    no_peer: bool,
    pretrained: bool,
    as_json: bool,
) -> None:
    """Pixels to bytes and back of one picture on the CPU, network and entropy coding apart, beside CompressAI's."""
    from calotype.cli.options import prepare
    from calotype.codecs.registry import open_model
    from calotype.eval.coders import CalotypeCoder
    from calotype.eval.decode_bench import bench_decode

    pixels = _picture(picture, size)
    coder = CalotypeCoder(open_model(model))
    with Progress(runs, "timing") as bar:
        prepare("cpu", threads)  # allocator and threads as the other verbs set them
        other = None if no_peer else peer
        result = bench_decode(coder, pixels, quality, runs, threads, other, pretrained, lambda done, total: bar.end())
    _show({**result, "picture": picture.name, "codec": coder.identity}, decode_lines(result, picture.name), as_json)


@command.command("synthesis")
@click.argument("picture", type=click.Path(path_type=Path))
@click.option("-q", "--quality", type=click.FloatRange(0, 100), default=50.0, show_default=True)
@MODEL
@click.option("--runs", type=click.IntRange(min=1), default=10, show_default=True, help="Runs of each, fewer of the slowest.")
@THREADS
@SIZE
@click.option(
    "--net",
    "nets",
    metavar="NAME",
    multiple=True,
    help="Time this one, by its name in the table; repeat for more. Default: all but `reference`, which takes minutes.",
)
@JSON
def synthesis(
    picture: Path,
    quality: float,
    model: str | None,
    runs: int,
    threads: int,
    size: tuple[int, int] | None,
    nets: tuple[str, ...],
    as_json: bool,
) -> None:
    """The decoder's net on the CPU: our executions beside the same net in eager torch, torch.compile, onnxruntime, OpenVINO.

    The picture is encoded; what is timed starts from its latents (int32) and ends with pixels (uint8). Then the layers of
    our kernel, one by one, as a share of the best int8 matrix product measured in the same run (torch._int_mm, onnxruntime's
    and our own), and the whole decoder from bytes to pixels. All take turns; times are medians and minima.

    onnxruntime and OpenVINO come with `pip install calotype[bench]`. Their int8 nets are quantised for this one picture.
    """
    from calotype.cli.bench_synthesis import synthesis_lines
    from calotype.cli.options import prepare
    from calotype.codecs.registry import open_model
    from calotype.eval.synthesis_bench import DEFAULT, bench_synthesis

    pixels = _picture(picture, size)
    codec = open_model(model)
    with Progress(runs, "timing") as bar:
        prepare("cpu", threads)
        result = bench_synthesis(codec, pixels, quality, runs, threads, nets or DEFAULT, lambda done, total: bar.end())
    result |= {"picture": picture.name, "model": codec.bundle.name, "model_hash": codec.bundle.hash.hex()}
    _show(result, synthesis_lines(result) + _missing(result), as_json)


def _picture(path: Path, size: tuple[int, int] | None) -> np.ndarray:
    """(H, W, 3) uint8, cut at the bottom and right, or continued there by mirroring, to size (width, height)."""
    import numpy as np

    from calotype.codecs.pictures import read_picture

    pixels = read_picture(path).pixels
    if size is None:
        return pixels
    pixels = pixels[: size[1], : size[0]]
    return np.pad(pixels, ((0, size[1] - pixels.shape[0]), (0, size[0] - pixels.shape[1]), (0, 0)), "symmetric")


def _show(result: dict[str, Any], lines: list[str], as_json: bool) -> None:
    from calotype.eval.environment import environment

    if as_json:
        click.echo(json.dumps({**result, "environment": environment()}, indent=1))
        return
    for line in lines:
        click.echo(line)


def entropy_lines(result: dict[str, Any]) -> list[str]:
    """The table of a `bench_entropy` result."""
    lines = [f"minimum of {result['repeats']} runs each, in turn; ours with {result['precision']}-bit tables"]
    for name, rate in result["rates"].items():
        lines += [
            "",
            f"{name}: {rate['symbols']} symbols, {rate['bpp']:.3f} bpp, ideal {rate['ideal_bytes']:.0f} bytes",
            f"  {'coder':<14}{'bytes':>8}{'over ideal':>12}{'encode':>11}{'decode':>11}{'Msymbol/s':>16}"
            f"{'ours against it':>22}",
        ]
        for coder, figures in rate["coders"].items():
            encode, decode = figures["encode"], figures["decode"]
            speed = f"{encode['msymbols_per_s']:.1f} / {decode['msymbols_per_s']:.1f}"
            faster = rate["speedup"].get(coder)
            ratio = f"{faster['encode']:.1f}x / {faster['decode']:.1f}x faster" if faster else ""
            lines.append(
                f"  {coder:<14}{figures['bytes']:>8}{figures['over_ideal_percent']:>+10.2f} %"
                f"{encode['min_ms']:>8.2f} ms{decode['min_ms']:>8.2f} ms{speed:>16}{ratio:>22}"
            )
    return lines + _missing(result)


def decode_lines(result: dict[str, Any], picture: str) -> list[str]:
    """The table of a `bench_decode` result."""
    lines = [
        f"{picture}, {result['width']}x{result['height']}, {result['threads']} threads, {result['runs']} runs each in"
        f" turn, ours at quality {result['quality']:g}; medians in ms of wall clock and of CPU time",
        "",
        f"{'coder':<22}{'bpp':>8}{'':>9}{'total':>10}{'network':>10}{'entropy':>10}{'CPU':>10}{'slower than ours':>18}",
    ]
    for name, figures in result["coders"].items():
        ratios = result["speedup"].get(name, {})
        for verb in ("encode", "decode"):
            head = f"{name:<22}{figures['bpp']:>8.3f}" if verb == "encode" else f"{'':<30}"
            parts = [f"{figures[verb][part]['median_ms']:.1f}" if part in figures[verb] else "n/a" for part in PARTS]
            cells = "".join(f"{part:>10}" for part in parts)
            ratio = f"{ratios[verb]:.1f}x" if verb in ratios else ""
            lines.append(f"{head}{verb:>9}{cells}{ratio:>18}".rstrip())
    lines += [f"{name}: {note}" for name, note in result["notes"].items()]
    return lines + _missing(result)


def _missing(result: dict[str, Any]) -> list[str]:
    return [f"{name} is not here, so not measured: {why}" for name, why in result["missing"].items()]
