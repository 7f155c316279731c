"""Time of the synthesis net from latents to pixels: our executions of its integers, and the same net in other runtimes.

All in one run, taking turns (`turns.py`), beside the int8 matrix products that this machine can do and the net's layers one
by one. GMAC/s count the multiply-accumulates of the architecture. They, and so the peak and shares of it, are of the
minimum times, which other programs disturb least.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from calotype.codecs import container
from calotype.codecs.image import Grid, ImageCodec, iter_tiles, tile_side
from calotype.errors import CalotypeError, UsageError
from calotype.models.imageconfig import ImageConfig
from calotype.models.integer.executions import EXECUTIONS, make_execution
from calotype.models.integer.places import Quality
from calotype.models.integer.synthesis import IntegerSynthesis

from . import int8_peak
from .synthesis_layers import POINTWISE, layer_macs, layer_runs
from .synthesis_rivals import EXCEPTIONS, RIVALS, Net
from .turns import Contestant, Turns, spread, take_turns, thread_count

RUNS, THREADS = 10, 2
OURS, ALONE, BASE = "kernel", "kernel, 1 thread", "eager"
NETS = (OURS, ALONE, *(name for name in EXECUTIONS if name != OURS), *RIVALS)
DEFAULT = tuple(name for name in NETS if name != "reference")  # which is for reading, not for speed
NOTES = {
    "onnxruntime-int8": "static QDQ quantisation, calibrated on this picture's own latents",
    "openvino-int8": "quantised by NNCF, else as onnxruntime's, calibrated on this picture's own latents",
}


def bench_synthesis(
    codec: ImageCodec,
    pixels: np.ndarray,
    quality: float = 50.0,
    runs: int = RUNS,
    threads: int = THREADS,
    nets: Collection[str] = DEFAULT,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Encode a picture, then time its decoding: the synthesis in each of `nets` (of NETS), its layers, int8 matrix products,
    and the whole from bytes to pixels.

    pixels: (H, W, 3) uint8. What takes long runs fewer times (`take_turns`). progress(done, runs).

    Returns {"width", "height", "quality", "bpp", "threads", "runs", "macs" (of the synthesis), "peak": {"name", "gmac_s"},
    "nets": {name: figures, "threads", "psnr" (dB of its pixels against ours, None where they are the same), "faster" (than
    BASE, where that ran, by {"median_ms", "min_ms"})}, "products": {name: {"RxKxO": figures}}, "layers": {name: figures,
    "times" (in the net)}, "pointwise" (all 1x1 layers together): {"gmac_s", "share"}, "decode": {name: {"median_ms",
    "min_ms", "max_ms", "runs", "parts": {"network", "entropy": median ms}}}, "missing": {name: why}, "notes": {name: what to
    know}}; figures: {"macs", "median_ms", "min_ms", "max_ms", "runs", "gmac_s", "share" (of the peak)}. Raises UsageError
    for bad arguments, CalotypeError where two executions of ours give different pixels.
    """
    unknown = sorted(set(nets) - set(NETS))
    if unknown:
        raise UsageError(f"there is no {unknown[0]!r} to time; there are {', '.join(NETS)}")
    if runs < 1 or threads < 1:
        raise UsageError(f"{runs} runs on {threads} threads: give 1 of each at least")
    if not isinstance(codec, ImageCodec):
        raise UsageError("this model is no image model of ours: it has no integer synthesis to time")
    bundle = codec.bundle
    data = codec.encode(pixels, quality).data
    y_hat, level = whole_latents(codec, container.read(data)), round(quality * 10)
    net = Net(bundle, y_hat[None], level, threads)
    missing: dict[str, str] = {}
    with thread_count(threads):
        contestants = {("net", name): runner for name, runner in _nets(net, nets, missing).items()}
        contestants |= {("product", *key): runner for key, runner in _products(threads, missing).items()}
        synthesis = IntegerSynthesis(bundle.config, bundle.synthesis.arrays, make_execution(OURS))
        contestants |= {
            ("layer", name): Contestant(run, threads) for name, run in layer_runs(synthesis, net.y_hat, level).items()
        }
        for count in sorted({threads, 1}, reverse=True):
            decode = Contestant(lambda: codec.decode(container.read(data)), count, lambda seen: seen.seconds)
            contestants["decode", _threads_said(count)] = decode
        psnr = _compared(net, synthesis, contestants, codec.decode(container.read(data)).pixels)
        turns = take_turns(contestants, runs, progress=progress)
    figures = _figures(turns, bundle.config, y_hat.shape[:2])
    for name, found in figures["nets"].items():
        found |= {"threads": contestants["net", name].threads, "psnr": psnr[name]}
    return {
        "width": pixels.shape[1],
        "height": pixels.shape[0],
        "quality": quality,
        "bpp": 8 * len(data) / (pixels.shape[0] * pixels.shape[1]),
        "threads": threads,
        "runs": runs,
        **figures,
        "missing": missing,
        "notes": {name: note for name, note in NOTES.items() if ("net", name) in contestants},
    }


def whole_latents(codec: ImageCodec, stream: container.Container) -> np.ndarray:
    """y_hat (h, w, M) int32 in 1/16 of all tiles of an image stream."""
    header = stream.header
    grid = Grid.of(header.height, header.width, tile_side(header))
    whole = np.empty((grid.height, grid.width, codec.bundle.config.latents), np.int32)
    for number, tile in enumerate(iter_tiles(stream)):
        top, bottom, left, right = grid.box(*divmod(number, grid.shape[1]))
        whole[top:bottom, left:right] = codec.symbols(*tile)[1]
    return whole


def _threads_said(count: int) -> str:
    return f"{count} threads" if count > 1 else "1 thread"


def _nets(net: Net, wanted: Collection[str], missing: dict[str, str]) -> dict[str, Contestant]:
    found, quality = {}, Quality((net.quality,))
    for name in NETS:
        if name not in wanted or (name == ALONE and net.threads == 1 and OURS in wanted):
            continue
        if name in RIVALS:
            try:
                found[name] = Contestant(RIVALS[name](net), net.threads)
            except EXCEPTIONS as error:
                missing[name] = str(error)
            continue
        run = make_execution(OURS if name == ALONE else name)
        own = IntegerSynthesis(net.bundle.config, net.bundle.synthesis.arrays, run)
        found[name] = Contestant(lambda own=own: own(net.y_hat, quality)[0], 1 if name == ALONE else net.threads)
    return found


def _products(threads: int, missing: dict[str, str]) -> dict[tuple[str, str], Contestant]:
    found = {}
    for name, make in int8_peak.PRODUCTS.items():
        for size in int8_peak.SIZES:
            try:
                found[name, "x".join(map(str, size))] = Contestant(make(*int8_peak.operands(size), threads), threads)
            except EXCEPTIONS as error:
                missing[name] = str(error)
    return found


def _compared(
    net: Net, synthesis: IntegerSynthesis, contestants: dict[tuple[str, ...], Contestant], decoded: np.ndarray
) -> dict[str, float | None]:
    """PSNR of each net's pixels against ours; None for the same. Raises CalotypeError where two of ours differ."""
    ours = synthesis(net.y_hat, Quality((net.quality,)))[0]
    if not np.array_equal(ours[: decoded.shape[0], : decoded.shape[1]], decoded):
        raise CalotypeError("the whole picture at once and its tiles gave different pixels; please report it")
    found: dict[str, float | None] = {}
    for kind, name, *_ in contestants:
        if kind != "net":
            continue
        error = float(np.mean((contestants[kind, name].run().astype(np.float32) - ours) ** 2))
        if error and name not in RIVALS:
            raise CalotypeError(f"execution '{name}' gave other pixels than '{OURS}'; please report it")
        found[name] = 10 * float(np.log10(255**2 / error)) if error else None
    return found


def _figures(turns: dict[tuple[str, ...], Turns], config: ImageConfig, shape: tuple[int, int]) -> dict[str, Any]:
    macs = layer_macs(config, *shape)
    whole = sum(count * times for count, times in macs.values())
    block = sum(macs[name][0] for name in ("depthwise", "grow", "shrink"))
    counts = {"block": (block, config.synthesis_blocks), "paint": macs["filter"]} | macs
    nets: dict[str, Any] = {}
    layers: dict[str, Any] = {}
    products: dict[str, dict[str, Any]] = {}
    decode: dict[str, Any] = {}
    for (kind, name, *size), turn in turns.items():
        if kind == "net":
            nets[name] = _speed(turn, whole)
        elif kind == "product":
            products.setdefault(name, {})[size[0]] = _speed(turn, math.prod(int(v) for v in size[0].split("x")))
        elif kind == "layer":
            layers[name] = _speed(turn, counts[name][0]) | {"times": counts[name][1]}
        else:
            decode[name] = _decode(turn)
    best = max(products, key=lambda name: max(v["gmac_s"] for v in products[name].values()))
    peak = max(v["gmac_s"] for v in products[best].values())
    for figures in [*nets.values(), *layers.values(), *(v for sizes in products.values() for v in sizes.values())]:
        figures["share"] = figures["gmac_s"] / peak
    for figures in nets.values() if BASE in nets else ():
        figures["faster"] = {part: nets[BASE][part] / figures[part] for part in ("median_ms", "min_ms")}
    done = sum(layers[name]["macs"] * layers[name]["times"] for name in POINTWISE)
    took = sum(layers[name]["min_ms"] * layers[name]["times"] for name in POINTWISE)
    return {
        "macs": whole,
        "peak": {"name": best, "gmac_s": peak},
        "nets": nets,
        "products": products,
        "layers": layers,
        "pointwise": {"gmac_s": 1e-6 * done / took, "share": 1e-6 * done / took / peak},
        "decode": decode,
    }


def _speed(turn: Turns, macs: int) -> dict[str, Any]:
    times = spread(turn.seconds)
    return {"macs": macs, **times, "runs": len(turn.seconds), "gmac_s": 1e-6 * macs / times["min_ms"]}


def _decode(turn: Turns) -> dict[str, Any]:
    parts = {name: 1e3 * statistics.median([kept[name] for kept in turn.kept]) for name in turn.kept[0]}
    return {**spread(turn.seconds), "runs": len(turn.seconds), "parts": parts}
