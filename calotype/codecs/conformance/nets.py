"""The two integer nets of a decoder without its entropy decoder: fixed inputs, latents of released streams, digests.

Needs numpy only, and torch for the executions on devices; no numba and none of the packages that read model files, so that
it runs on a bare machine with a GPU (`scripts/cuda_digests.py`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...models.imageconfig import ImageConfig
from ...models.integer.executions import ON_DEVICE, make_execution
from ...models.integer.onnumpy import OnNumpy
from ...models.integer.places import Quality
from ...models.integer.prior import IntegerPrior
from ...models.integer.synthesis import IntegerSynthesis
from . import FOLDER, Batch, pixel_digest, symbol_digest

PRIOR, SYNTHESIS = "prior.", "synthesis."  # names of arrays begin so, here as in a model file
SIDE = 16  # latents a side of the fixed inputs
QUALITIES = (0, 333, 620, 1000)  # 0..1000


def numbers(shape: tuple[int, ...], largest: int, seed: int) -> np.ndarray:
    """int32 from -largest to largest, small ones oftener; from integer arithmetic alone, the same on every machine."""
    count = int(np.prod(shape))
    n = np.arange(seed << 32, (seed << 32) + count, dtype=np.uint64)
    n *= np.uint64(0x9E3779B97F4A7C15)  # Fibonacci hashing: products wrap at 2**64
    n ^= n >> np.uint64(29)
    n *= np.uint64(0xBF58476D1CE4E5B9)
    value = (n >> np.uint64(40)).astype(np.int64) % (2 * largest + 1) - largest
    divisor = 1 + (n >> np.uint64(20)).astype(np.int64) % 12
    return (np.sign(value) * (np.abs(value) // divisor)).astype(np.int32).reshape(shape)


def walk_digest(prior: IntegerPrior) -> str:
    """SHA-256 of all means, scale indices and values of the prior over fixed symbols, at several qualities."""
    plan, seen = prior.config.plan, []
    z = numbers((SIDE // 4, SIDE // 4, prior.config.side), 6, 1)
    steps = enumerate(plan.steps)
    shapes = [(len(groups), len(groups[0][1]) * SIDE // 2, SIDE // 2, plan.width(s)) for s, groups in steps]
    symbols = [numbers(shape, 9, 2 + s) for s, shape in enumerate(shapes)]

    def code(mean: np.ndarray, index: np.ndarray, step: int) -> np.ndarray:
        seen.extend((mean.copy(), index.copy()))
        return symbols[step]

    for quality in QUALITIES:
        seen.append(prior.walk(z, (SIDE, SIDE), Quality((quality,)), code))
    return symbol_digest(seen)


# ---- latents of released streams


@dataclass(frozen=True)
class Latents:
    """y_hat (h, w, M) int32 in 1/16 steps of a picture of one tile, its quality, and its size in pixels."""

    y_hat: np.ndarray
    quality: Quality
    height: int
    width: int

    def write(self, path: Path) -> None:
        """To an .npz file."""
        maps = {k: v for k, v in (("side", self.quality.side), ("latent", self.quality.latent)) if v is not None}
        size = np.array([self.height, self.width], np.int32)
        np.savez_compressed(path, y_hat=self.y_hat, levels=np.array(self.quality.levels, np.int32), size=size, **maps)

    @staticmethod
    def read(path: Path) -> Latents:
        """Back from it."""
        with np.load(path, allow_pickle=False) as file:
            maps = {k: file[k] for k in ("side", "latent") if k in file}
            levels, (height, width) = tuple(int(v) for v in file["levels"]), (int(v) for v in file["size"])
            return Latents(file["y_hat"], Quality(levels, **maps), height, width)

    def pixel_digest(self, synthesis: IntegerSynthesis, batch: int = 1) -> str:
        """What `released` says of the stream's pixels."""
        paint = synthesis if batch == 1 else Batch(synthesis, batch)
        return pixel_digest(paint(self.y_hat[None], self.quality)[0, : self.height, : self.width])


def released_latents() -> list[Path]:
    """The files with latents; each stands beside the stream of that name."""
    return sorted(FOLDER.glob("*.npz"))


# ---- nets without a model file


def pack(model: str | Path) -> dict[str, np.ndarray]:
    """The integers of both nets of a model as arrays for an .npz file, for machines that cannot read a model file.

    Raises ModelError.
    """
    from ...models import modelfile
    from ...models.zoo import find_model

    info, arrays, _ = modelfile.read(find_model(model))
    meta = np.frombuffer(json.dumps({"model": info.name, "config": info.config}).encode(), np.uint8)
    return {"meta": meta} | {k: v for k, v in arrays.items() if k.startswith((PRIOR, SYNTHESIS))}


def unpack(arrays: Mapping[str, np.ndarray], execution: str, device: str) -> tuple[str, IntegerPrior, IntegerSynthesis]:
    """(name of the model, its nets) of `pack`'s arrays, to be run by one execution. Raises ModelError."""
    meta = json.loads(bytes(arrays["meta"]))
    config, run = ImageConfig(**meta["config"]), make_execution(execution, device)
    parts = [{k[len(p) :]: v for k, v in arrays.items() if k.startswith(p)} for p in (PRIOR, SYNTHESIS)]
    prior = IntegerPrior(config.of_prior, parts[0], OnNumpy(run) if execution in ON_DEVICE else run)
    return meta["model"], prior, IntegerSynthesis(config, parts[1], run)
