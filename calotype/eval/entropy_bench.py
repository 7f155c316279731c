"""Our rANS coder against constriction's and CompressAI's on the same latents, in one run.

Each coder is timed from arrays (tensors for CompressAI) to bytes and back, as its users call it, and its output is
compared with the input. Repeats go round the coders in turn, so that a busy moment of the machine does not fall on
one of them alone.
"""

from __future__ import annotations

import importlib
import math
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from calotype.entropy import RansDecoder, RansEncoder, TableBank, gaussian_bank
from calotype.errors import UsageError

SHAPE = (320, 32, 48)
PIXELS = 768 * 512
LEVELS, SIGMA_MIN, SIGMA_MAX = 64, 0.11, 256.0
# name: (lowest, highest) scale; the logarithm of a symbol's scale is uniform between them. Scales under SIGMA_MIN,
# where a network puts most of what it predicts well, share the lowest level.
RATES = {"0.1 bpp": (0.01, 0.348), "0.3 bpp": (0.01, 0.62), "0.7 bpp": (0.02, 1.18)}


class _Coder(NamedTuple):
    """encode() -> bytes; decode(bytes) -> int32 symbols in the shape of the latents."""

    encode: Callable[[], bytes]
    decode: Callable[[bytes], np.ndarray]


def bench_entropy(
    latents: np.ndarray | None = None, seed: int = 0, repeats: int = 5, precision: int = 12, skip: int = 1
) -> dict[str, Any]:
    """Time and size of each coder at three rates, or on the given latents.

    latents: int32 (C, H, W), coded with one scale level per channel, that of its RMS; None: Gaussian latents (320,
    32, 48) of a 768x512 picture at about 0.1, 0.3 and 0.7 bpp. repeats: runs of each coder after one to warm up.
    precision, skip: ours.

    Returns {"repeats", "precision", "missing": {coder: why}, "rates": {name: {"symbols", "bpp", "ideal_bytes",
    "coders": {coder: {"bytes", "over_ideal_percent", and for "encode" and "decode": {"min_ms", "median_ms",
    "msymbols_per_s" (of the minimum)}}}, "speedup": {coder: {"encode", "decode"} (ours against it, by the
    minima)}}}}. ideal_bytes is the entropy under the Gaussian of each symbol's level; bpp counts our bytes over
    768x512 pixels. Raises UsageError for bad arguments, and RuntimeError where a coder does not give the latents back.
    """
    if repeats < 1:
        raise UsageError(f"repeats {repeats} is below 1")
    if latents is None:
        rng = np.random.default_rng(seed)
        inputs = {name: _synthetic(rng, *scales) for name, scales in RATES.items()}
    else:
        inputs = {"given": _with_levels(latents)}
    missing: dict[str, str] = {}
    rates = {}
    bank = gaussian_bank(LEVELS, SIGMA_MIN, SIGMA_MAX, precision)
    for name, (symbols, levels) in inputs.items():
        coders = {"calotype": _ours(bank, symbols, levels, skip)}
        for other, make in (("constriction", _constriction), ("compressai", _compressai)):
            try:
                coders[other] = make(symbols, levels)
            except ImportError as error:
                missing[other] = str(error)
        rates[name] = _measure(coders, symbols, levels, repeats)
    return {"repeats": repeats, "precision": precision, "missing": missing, "rates": rates}


def _measure(coders: dict[str, _Coder], symbols: np.ndarray, levels: np.ndarray, repeats: int) -> dict[str, Any]:
    times: dict[str, dict[str, list[float]]] = {name: {"encode": [], "decode": []} for name in coders}
    sizes: dict[str, int] = {}
    for turn in range(repeats + 1):
        for name, coder in coders.items():
            start = time.perf_counter()
            data = coder.encode()
            middle = time.perf_counter()
            back = coder.decode(data)
            end = time.perf_counter()
            if not np.array_equal(back, symbols):
                raise RuntimeError(f"{name} did not give back what it was given: its figures mean nothing")
            sizes[name] = len(data)
            if turn:
                times[name]["encode"].append(middle - start)
                times[name]["decode"].append(end - middle)
    ideal = ideal_bytes(symbols, levels)
    figures: dict[str, dict[str, Any]] = {}
    for name, runs in times.items():
        figures[name] = {"bytes": sizes[name], "over_ideal_percent": 100 * (sizes[name] / ideal - 1) if ideal else 0.0}
        for verb, seconds in runs.items():
            figures[name][verb] = {
                "min_ms": 1e3 * min(seconds),
                "median_ms": 1e3 * statistics.median(seconds),
                "msymbols_per_s": symbols.size / min(seconds) / 1e6,
            }
    ours = figures["calotype"]
    speedup = {
        name: {verb: figure[verb]["min_ms"] / ours[verb]["min_ms"] for verb in ("encode", "decode")}
        for name, figure in figures.items()
        if name != "calotype"
    }
    bpp = 8 * sizes["calotype"] / PIXELS
    return {"symbols": symbols.size, "bpp": bpp, "ideal_bytes": ideal, "coders": figures, "speedup": speedup}


def sigmas() -> np.ndarray:
    """The scale of each level, float64 (64,)."""
    return SIGMA_MIN * (SIGMA_MAX / SIGMA_MIN) ** (np.arange(LEVELS) / (LEVELS - 1))


def ideal_bytes(symbols: np.ndarray, levels: np.ndarray) -> float:
    """Bytes of the symbols at -log2 of the Gaussian's mass on each integer, with the scale of each symbol's level."""
    pairs = np.stack([levels.ravel().astype(np.int64), np.abs(symbols.ravel().astype(np.int64))])
    kinds, counts = np.unique(pairs, axis=1, return_counts=True)
    scale = sigmas() * math.sqrt(2)
    bits = 0.0
    for level, size, count in zip(*kinds.tolist(), counts.tolist(), strict=True):
        mass = 0.5 * (math.erfc((size - 0.5) / scale[level]) - math.erfc((size + 0.5) / scale[level]))
        bits -= count * math.log2(max(mass, 5e-324))
    return bits / 8


def _synthetic(rng: np.random.Generator, lowest: float, highest: float) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian int32 symbols and their uint8 levels, both of SHAPE."""
    sigma = np.exp(rng.uniform(math.log(lowest), math.log(highest), SHAPE))
    levels = _levels(sigma)
    sigma = np.where(levels > 0, sigmas()[levels], sigma)
    return np.rint(rng.normal(size=SHAPE) * sigma).astype(np.int32), levels


def _with_levels(latents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    latents = np.asarray(latents)
    if latents.ndim != 3 or latents.dtype.kind not in "iu" or not latents.size:
        raise UsageError("latents must be a (C, H, W) integer array that is not empty")
    symbols = np.ascontiguousarray(latents, dtype=np.int32)
    rms = np.sqrt(np.mean(np.square(symbols.astype(np.float64)), axis=(1, 2)))
    return symbols, np.broadcast_to(_levels(np.maximum(rms, 1e-6))[:, None, None], symbols.shape).copy()


def _levels(sigma: np.ndarray) -> np.ndarray:
    """The level with the nearest scale at or above, uint8."""
    place = np.log(sigma / SIGMA_MIN) / math.log(SIGMA_MAX / SIGMA_MIN) * (LEVELS - 1)
    return np.clip(np.ceil(place), 0, LEVELS - 1).astype(np.uint8)


def _ours(bank: TableBank, symbols: np.ndarray, levels: np.ndarray, skip: int) -> _Coder:
    flat, indexes = symbols.ravel(), levels.ravel()

    def encode() -> bytes:
        encoder = RansEncoder()
        encoder.push(bank, flat, indexes, scale_indexed=True)
        return encoder.finish(skip)

    def decode(data: bytes) -> np.ndarray:
        decoder = RansDecoder(data)
        pulled = decoder.pull(bank, indexes, scale_indexed=True)
        decoder.finish()
        return pulled.reshape(symbols.shape)

    return _Coder(encode, decode)


def _constriction(symbols: np.ndarray, levels: np.ndarray) -> _Coder:
    """ANS with one quantised Gaussian per symbol, constriction's usual way to code a latent with predicted scales."""
    import constriction

    stream = constriction.stream
    flat = symbols.ravel()
    reach = int(max(1, np.abs(flat.astype(np.int64)).max()))
    model = stream.model.QuantizedGaussian(-reach, reach)
    scales = sigmas()[levels.ravel()]
    means = np.zeros_like(scales)

    def encode() -> bytes:
        coder = stream.stack.AnsCoder()
        coder.encode_reverse(flat, model, means, scales)
        return coder.get_compressed().tobytes()

    def decode(data: bytes) -> np.ndarray:
        coder = stream.stack.AnsCoder(np.frombuffer(data, dtype=np.uint32))
        return coder.decode(model, means, scales).reshape(symbols.shape)

    return _Coder(encode, decode)


def _compressai(symbols: np.ndarray, levels: np.ndarray) -> _Coder:
    """compressai.ans through GaussianConditional.compress and decompress, its models' way in: tensors to lists to
    bytes.
    """
    models = import_compressai()
    import torch

    conditional = models.GaussianConditional(sigmas().tolist())
    conditional.update()
    inputs = torch.from_numpy(symbols.astype(np.float32))[None]
    indexes = torch.from_numpy(levels.astype(np.int32))[None]

    def encode() -> bytes:
        return conditional.compress(inputs, indexes)[0]

    def decode(data: bytes) -> np.ndarray:
        return conditional.decompress([data], indexes)[0].numpy().astype(np.int32)

    return _Coder(encode, decode)


def import_compressai() -> Any:
    """compressai.entropy_models. Raises ImportError where it is not installed (`pip install compressai`, Python <
    3.13).

    compressai imports torchvision, whose default build does not find its operators beside a CPU build of torch:
    there, and only there, their names are declared first (they are never called).
    """
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        _declare_torchvision_operators()
        importlib.import_module("torchvision")
    return importlib.import_module("compressai.entropy_models")


def _declare_torchvision_operators() -> None:
    import torch

    for name in [name for name in sys.modules if name == "torchvision" or name.startswith("torchvision.")]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "FRAGMENT")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    # A library's names live as long as the object does.
    _LIBRARIES.append(library)


_LIBRARIES: list[Any] = []
