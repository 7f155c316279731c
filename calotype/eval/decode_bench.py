"""Time from pixels to bytes and back: our coder, and one of CompressAI's models on the same picture in the same run.

Repeats go round the coders in turn, so that a busy moment of the machine does not fall on one of them alone. All start
from (H, W, 3) uint8 pixels or from bytes in memory and end with the other; models are loaded and warm.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
import torch

from calotype.errors import CalotypeError, UsageError
from calotype.eval.coders import PictureCoder
from calotype.eval.coders.base import Settings
from calotype.eval.coders.compressai import MODELS, CompressAi
from calotype.eval.entropy_bench import import_compressai
from calotype.eval.turns import spread, thread_count

THREADS = 2
MIN_RUNS = 10
PEERS = tuple(MODELS)
PEER = "mbt2018-mean"
PEER_QUALITY = 3  # of 8, or 6: the smaller of each model's two sizes
VERBS = ("encode", "decode")
PARTS = ("total", "cpu", "network", "entropy")
INSTALL = "install it with `pip install calotype[compare]` (Python < 3.13)"
RANDOM_NOTE = (
    "random weights, real bytes: its times are those of the architecture, on which weights act only through the number of "
    "symbols outside its tables and of bytes; its size and its picture mean nothing"
)


class _Contestant(NamedTuple):
    """encode() -> bytes; decode(bytes) -> pixels; both with seconds by part ("network", "entropy"), where known."""

    encode: Callable[[], tuple[bytes, dict[str, float]]]
    decode: Callable[[bytes], tuple[np.ndarray, dict[str, float]]]


def bench_decode(
    coder: PictureCoder,
    pixels: np.ndarray,
    quality: float = 50.0,
    runs: int = MIN_RUNS,
    threads: int = THREADS,
    peer: str | None = PEER,
    pretrained: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Encode and decode one picture `runs` times (10 at least, after two to warm up) with each coder, on the CPU.

    pixels: (H, W, 3) uint8; quality: ours. peer: a name in PEERS to time as well, where CompressAI can be imported, at its
    quality 3; pretrained: with CompressAI's own weights, which it fetches, where they can be had, else with random ones.
    progress(done, runs). We, and torch, compute with `threads` threads meanwhile.

    Returns {"width", "height", "quality", "runs", "threads", "missing": {coder: why}, "notes": {coder: what to know},
    "coders": {name: {"bytes", "bpp", "encode" and "decode": {"total", "cpu" and, where known, "network", "entropy":
    {"median_ms", "min_ms", "max_ms"}}}}, "speedup": {coder: {"encode", "decode"} (ours against it by the medians of the
    total)}}. cpu: time of all threads, which other programs disturb less than they do the wall clock. network and entropy
    need not add up to the total. Raises UsageError for bad arguments, CalotypeError where our bytes or pixels change
    between runs.
    """
    if runs < MIN_RUNS:
        raise UsageError(f"runs {runs}: a median needs {MIN_RUNS} at least")
    if threads < 1:
        raise UsageError(f"threads {threads} is below 1")
    if peer is not None and peer not in PEERS:
        raise UsageError(f"there is no peer {peer!r}; there are {', '.join(PEERS)}")
    missing: dict[str, str] = {}
    notes: dict[str, str] = {}
    contestants = {"calotype": _ours(coder, pixels, quality)}
    with thread_count(threads):
        if peer:
            try:
                contestants[peer], notes[peer] = _compressai(peer, pixels, pretrained)
            except ImportError as error:
                missing[peer] = f"{error}; {INSTALL}"
        seconds, sizes = _take_turns(contestants, runs, progress)
    height, width = pixels.shape[:2]
    coders: dict[str, Any] = {}
    for name, verbs in seconds.items():
        coders[name] = {"bytes": sizes[name], "bpp": 8 * sizes[name] / (width * height)}
        coders[name] |= {verb: {part: spread(values) for part, values in parts.items()} for verb, parts in verbs.items()}
    ours = coders["calotype"]
    return {
        "width": width,
        "height": height,
        "quality": quality,
        "runs": runs,
        "threads": threads,
        "missing": missing,
        "notes": notes,
        "coders": coders,
        "speedup": {
            name: {verb: found[verb]["total"]["median_ms"] / ours[verb]["total"]["median_ms"] for verb in VERBS}
            for name, found in coders.items()
            if name != "calotype"
        },
    }


def _take_turns(
    contestants: dict[str, _Contestant], runs: int, progress: Callable[[int, int], None] | None
) -> tuple[dict[str, dict[str, dict[str, list[float]]]], dict[str, int]]:
    """(seconds of each run by coder, verb and part, bytes by coder); the first two turns are not kept."""
    seconds: dict[str, Any] = {name: {verb: {} for verb in VERBS} for name in contestants}
    first: dict[str, tuple[bytes, np.ndarray]] = {}
    for turn in range(-2, runs):
        for name, contestant in contestants.items():
            data, encoded = _timed(contestant.encode)
            pixels, decoded = _timed(contestant.decode, data)
            known, seen = first.setdefault(name, (data, pixels))
            if name == "calotype" and known != data:
                raise CalotypeError("encoding the same pixels twice gave different bytes; please report it")
            if name == "calotype" and not np.array_equal(seen, pixels):
                raise CalotypeError("decoding the same bytes twice gave different pixels; please report it")
            for verb, parts in zip(VERBS, (encoded, decoded), strict=True):
                for part, value in parts.items() if turn >= 0 else ():
                    seconds[name][verb].setdefault(part, []).append(value)
        if progress and turn >= 0:
            progress(turn + 1, runs)
    return seconds, {name: len(data) for name, (data, _) in first.items()}


def _timed(function: Callable[..., tuple[Any, dict[str, float]]], *arguments: Any) -> tuple[Any, dict[str, float]]:
    start, start_cpu = time.perf_counter(), time.process_time()
    result, parts = function(*arguments)
    cpu, total = time.process_time() - start_cpu, time.perf_counter() - start
    return result, {"total": total, "cpu": cpu, **parts}


def _ours(coder: PictureCoder, pixels: np.ndarray, quality: float) -> _Contestant:
    def encode() -> tuple[bytes, dict[str, float]]:
        coded = coder.encode(pixels, quality, False)
        return coded.data, dict(coded.seconds)

    def decode(data: bytes) -> tuple[np.ndarray, dict[str, float]]:
        seen = coder.decode(data)
        return seen.pixels, dict(seen.seconds)

    return _Contestant(encode, decode)


def _compressai(name: str, pixels: np.ndarray, pretrained: bool) -> tuple[_Contestant, str]:
    """(a model of the zoo, as CompressAI's users code with it, what to know of it). Raises ImportError."""
    import_compressai()
    note, peer = f"CompressAI's at quality {PEER_QUALITY}", None
    if pretrained:
        try:
            peer, note = _Peer(name, True), f"{note}, with its own weights"
        except CalotypeError as error:
            note = f"{note}; no weights of its own ({error})"
    if peer is None:
        peer, note = _Peer(name, False), f"{note}, {RANDOM_NOTE}"

    def encode() -> tuple[bytes, dict[str, float]]:
        return peer.charged(lambda: peer.encode(pixels, PEER_QUALITY))

    def decode(data: bytes) -> tuple[np.ndarray, dict[str, float]]:
        return peer.charged(lambda: peer.decode(data))

    return _Contestant(encode, decode), note


class _Peer(CompressAi):
    """A model of the zoo that says what its entropy coder takes; with random weights where not `pretrained`."""

    def __init__(self, name: str, pretrained: bool):
        self._pretrained = pretrained
        self._seconds = 0.0
        self._parallel = False
        super().__init__([name], Settings())

    def charged(self, call: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
        """What `call` gives, and its seconds by part; none where coder and network take turns at every position."""
        self._seconds, start = 0.0, time.perf_counter()
        result = call()
        total = time.perf_counter() - start
        return result, {"network": total - self._seconds, "entropy": self._seconds} if self._parallel else {}

    def _load(self, quality: int) -> Any:
        if self._pretrained:
            model = super()._load(quality)
        else:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                model = import_module("compressai.zoo").image_models[self._name](quality=quality, pretrained=False).eval()
        model.update()  # its coder's tables
        self._parallel = not hasattr(model, "context_prediction")
        for part in (model.entropy_bottleneck, getattr(model, "gaussian_conditional", None)):
            if part is not None:
                part.compress, part.decompress = self._charging(part.compress), self._charging(part.decompress)
        return model

    def _charging(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self._seconds += time.perf_counter() - start

        return timed
