"""Reverse-channel coding: of candidates for noise that both sides can draw, the index of one that is as if drawn elsewhere.

Source: Theis, Salimans, Hoffman, Mentzer, "Lossy Compression with Gaussian Diffusion" (arXiv 2206.08889); the choice is ordered
random coding of Theis and Yosri, "Algorithms for the Communication of Samples" (arXiv 2110.12805). Taken: candidates z_j of the
proposal p, ordered exponential times T_j of the encoder's own, argmin T_j / (q(z_j) / p(z_j)); so small indices are likelier.
Different: a block is no part of a picture but samples strewn over all of it, so that all blocks hold about as much, and their
number is all that is stated (DiffC, arXiv 2501.09815, cuts what is coded into chunks of few bits as well).

    p = N(0, 1), q = N(shift, 1) of each sample  ->  log q / p = shift . z - const       KL = |shift|^2 / 2 nats

The candidates are `noise.candidates`: integers. Nothing but the encoder's choice takes floats.
"""

from __future__ import annotations

import importlib
import math
from functools import cache
from types import ModuleType

import numpy as np

from .noise import LANES, candidates, keys

CANDIDATES = 1 << 12  # that an encoder tries; q is met as far as they reach: with 8 bits of KL 0.89 of the shift
KL_BITS = 8  # a block, as `blocks` aims at
BLOCK = 64  # samples, at least, where there are so many
UNIT = 1 << 13  # of shifts in the kernel's integers, which are cut at 4 deviations


def most(samples: int) -> int:
    """Blocks of so many samples, at most."""
    return max(samples // BLOCK, 1)


def bounds(samples: int, blocks: int) -> np.ndarray:
    """Places at which blocks begin, and the end: int64 (blocks + 1,)."""
    return np.arange(blocks + 1) * samples // blocks


def order(samples: int) -> np.ndarray:
    """The sample at each place, int64: steps of the golden section, so that each block's are spread over all. samples:
    below 2**31, so that products are exact."""
    step = max(samples * 0x9E3779B9 >> 32, 1)
    while math.gcd(step, samples) > 1:
        step -= 1
    return np.arange(samples) * step % samples


def drawn(seed: int, step: int, indices: np.ndarray, samples: int) -> np.ndarray:
    """The chosen noise, int8 (samples,), of variance 4; indices: int (blocks,). The same on every machine."""
    starts = bounds(samples, len(indices))
    lengths = np.diff(starts)
    place = np.arange(samples) - np.repeat(starts[:-1], lengths)
    out = np.empty(samples, np.int8)
    each = (np.repeat(v, lengths) for v in (keys(seed, step, len(indices)), indices))
    out[order(samples)] = candidates(*each, place)
    return out


def choose(shift: np.ndarray, seed: int, step: int, blocks: int, tried: int = 0) -> np.ndarray:
    """Indices, int32 (blocks,) below `tried` (0: CANDIDATES), of noise that is as N(shift, 1) of each sample, as far as so many
    candidates reach; shift: float32 (samples,). The same for the same seed."""
    tried, rng = tried or CANDIDATES, np.random.default_rng((seed, step))
    fixed = np.rint(np.clip(shift[order(len(shift))], -4, 4) * UNIT).astype(np.int32)
    starts, found, sums = bounds(len(shift), blocks), np.empty(blocks, np.int32), np.empty(tried, np.int64)
    for block, key in enumerate(keys(seed, step, blocks)):
        part = fixed[starts[block] : starts[block + 1]]
        part = np.ascontiguousarray(np.pad(part, (0, -len(part) % LANES)).reshape(-1, LANES).T)
        _kernels().products(key, part, sums)
        ordered = np.cumsum(rng.standard_exponential(tried) / np.arange(tried, 0, -1))
        found[block] = np.argmin(np.log(ordered) - sums / (2 * UNIT))  # a count is two deviations
    return found


@cache
def _kernels() -> ModuleType:
    return importlib.import_module("calotype.models.generative.reverse_kernels")
