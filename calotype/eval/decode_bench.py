"""Time from bytes to pixels: our decoder, and CompressAI's bmshj2018-hyperprior on the same picture in the same run.

Repeats go round the decoders in turn, so that a busy moment of the machine does not fall on one of them alone. Both
start from bytes in memory and end with (H, W, 3) uint8 pixels; models are loaded and warm.
"""

from __future__ import annotations

import importlib
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from calotype.errors import CalotypeError, UsageError
from calotype.eval.coders import PictureCoder
from calotype.eval.entropy_bench import import_compressai

THREADS = 2
MIN_RUNS = 10
PEER = "bmshj2018-hyperprior"
PEER_QUALITY = 3
PEER_NOTE = (
    f"CompressAI's {PEER} at quality {PEER_QUALITY}, not trained (random weights, real bytes): its decoding time is "
    "that of the architecture, its size and its picture mean nothing"
)


class _Contestant(NamedTuple):
    """size: bytes; decode() -> pixels and seconds by part ("network", "entropy")."""

    size: int
    decode: Callable[[], tuple[np.ndarray, dict[str, float]]]


def bench_decode(
    coder: PictureCoder,
    pixels: np.ndarray,
    quality: float = 50.0,
    runs: int = MIN_RUNS,
    threads: int = THREADS,
    peer: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Decode one picture `runs` times (10 at least, after two to warm up) with each decoder.

    pixels: (H, W, 3) uint8; quality: ours. peer: time CompressAI's model as well, where it can be imported.
    progress(done, runs). torch's thread count is `threads` meanwhile.

    Returns {"width", "height", "quality", "runs", "threads", "missing": {decoder: why}, "notes": {decoder: what to
    know}, "decoders": {name: {"bytes", "bpp", and for "total", "cpu", "network", "entropy" {"median_ms", "min_ms",
    "max_ms"}}}, "speedup": {decoder: ours against it by the medians of the total}}. cpu: time of all threads, which
    other programs disturb less than they do the wall clock. network and entropy need not add up to the total.
    Raises UsageError for bad arguments, CalotypeError where our decoder's pixels change between runs.
    """
    if runs < MIN_RUNS:
        raise UsageError(f"runs {runs}: a median needs {MIN_RUNS} at least")
    if threads < 1:
        raise UsageError(f"threads {threads} is below 1")
    missing: dict[str, str] = {}
    notes: dict[str, str] = {}
    with _threads(threads):
        contestants = {"calotype": _ours(coder, pixels, quality)}
        if peer:
            try:
                contestants[PEER] = _compressai(pixels)
                notes[PEER] = PEER_NOTE
            except ImportError as error:
                missing[PEER] = str(error)
        seconds = _take_turns(contestants, runs, progress)
    height, width = pixels.shape[:2]
    decoders: dict[str, Any] = {}
    for name, parts in seconds.items():
        size = contestants[name].size
        decoders[name] = {"bytes": size, "bpp": 8 * size / (width * height)}
        decoders[name] |= {part: _spread(values) for part, values in parts.items()}
    ours = decoders["calotype"]["total"]["median_ms"]
    return {
        "width": width,
        "height": height,
        "quality": quality,
        "runs": runs,
        "threads": threads,
        "missing": missing,
        "notes": notes,
        "decoders": decoders,
        "speedup": {name: d["total"]["median_ms"] / ours for name, d in decoders.items() if name != "calotype"},
    }


def _take_turns(
    contestants: dict[str, _Contestant], runs: int, progress: Callable[[int, int], None] | None
) -> dict[str, dict[str, list[float]]]:
    """Seconds of each run by decoder and part; the first two turns are not kept."""
    seconds: dict[str, dict[str, list[float]]] = {name: {} for name in contestants}
    first: np.ndarray | None = None
    for turn in range(-2, runs):
        for name, contestant in contestants.items():
            start, start_cpu = time.perf_counter(), time.process_time()
            pixels, parts = contestant.decode()
            cpu, total = time.process_time() - start_cpu, time.perf_counter() - start
            if name == "calotype":
                first = pixels if first is None else first
                if not np.array_equal(first, pixels):
                    raise CalotypeError("decoding the same bytes twice gave different pixels; please report it")
            if turn >= 0:
                for part, value in {"total": total, "cpu": cpu, **parts}.items():
                    seconds[name].setdefault(part, []).append(value)
        if progress and turn >= 0:
            progress(turn + 1, runs)
    return seconds


def _spread(seconds: list[float]) -> dict[str, float]:
    values = {"median_ms": statistics.median(seconds), "min_ms": min(seconds), "max_ms": max(seconds)}
    return {name: 1e3 * value for name, value in values.items()}


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _ours(coder: PictureCoder, pixels: np.ndarray, quality: float) -> _Contestant:
    data = coder.encode(pixels, quality, False).data

    def decode() -> tuple[np.ndarray, dict[str, float]]:
        seen = coder.decode(data)
        return seen.pixels, dict(seen.seconds)

    return _Contestant(len(data), decode)


def _compressai(pixels: np.ndarray) -> _Contestant:
    """ScaleHyperprior (Ballé et al. 2018, arXiv 1802.01436), coded as CompressAI's users do: compress, decompress."""
    import_compressai()
    zoo = importlib.import_module("compressai.zoo")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = zoo.bmshj2018_hyperprior(quality=PEER_QUALITY, pretrained=False).eval()
    model.update()  # its coder's tables
    clock = _Clock()
    for part in (model.entropy_bottleneck, model.gaussian_conditional):
        part.decompress = clock.charging(part.decompress)
    height, width = pixels.shape[:2]
    side = 64  # it halves the picture six times
    x = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        coded = model.compress(F.pad(x, (0, -width % side, 0, -height % side)))

    def decode() -> tuple[np.ndarray, dict[str, float]]:
        clock.seconds = 0.0
        start = time.perf_counter()
        with torch.inference_mode():
            x_hat = model.decompress(coded["strings"], coded["shape"])["x_hat"][0, :, :height, :width]
            seen = (x_hat * 255).round_().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
        return seen, {"network": time.perf_counter() - start - clock.seconds, "entropy": clock.seconds}

    return _Contestant(sum(len(string) for strings in coded["strings"] for string in strings), decode)


class _Clock:
    """Adds up the seconds spent in the functions that it charges."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def charging(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - start

        return timed
