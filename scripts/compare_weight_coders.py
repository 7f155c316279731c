#!/usr/bin/env python
"""Bytes of trained weights by several coders: scripts/compare_weight_coders.py MODEL.safetensors...

MODEL: Calotype model files. Their int8 weights are taken as they are; int16 and float weights of two axes or more are
put on 8 bits, one step a tensor or one a row. Huffman has ideal integer code lengths for each tensor and pays for no
tables; zlib, lzma and zstd (where `zstandard` is installed) have all tensors in one piece. Then the same with the
smallest weights pruned. Then larger steps, their levels chosen by rate-distortion, beside the error: |w - w'|^2 / |w|^2
of each tensor, averaged over weights, in dB; and beside rounded levels of the same step, and what Huffman takes with
rounded levels at the same error, between the steps tried. (Steps that are no halves: int8 weights would be ties.) Last,
the integer tensors of the file as they are, by the coder of model files and by this one.
"""

from __future__ import annotations

import heapq
import lzma
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from calotype.entropy.weights import TARGET_UNIT, WeightDecoder, WeightEncoder
from calotype.models import checkpointcoder, modelfile, packedfile, weightcoder
from calotype.models.safetensorsfile import Checkpoint, Tensor

STEPS = (1.0, 1.3, 1.6, 1.9, 2.3, 3.0, 3.7, 5.0, 7.0, 9.0, 11.0, 15.0)
CHOSEN = ((1.0, 0.1), (1.6, 0.1), (1.9, 0.1), (3.0, 0.1), (5.0, 0.15), (9.0, 0.2))  # step, lmbda
PRUNED = (0.5, 0.9)
TOP = 127


def main(paths: Sequence[str]) -> None:
    for path in map(Path, paths):
        info, arrays, _ = modelfile.read(path)
        print(f"{info.name}, {info.bytes} bytes")
        for by_row in (False, True):
            compare(scaled(arrays, by_row), "a row" if by_row else "a tensor")
        shipped_integers(arrays)


def scaled(arrays: dict[str, np.ndarray], by_row: bool) -> list[np.ndarray]:
    """float64 (rows, columns) of each weight tensor, in 8-bit steps."""
    out = []
    for name, a in arrays.items():
        if a.ndim < 2 or a.dtype not in (np.int8, np.int16, np.float16) or name.endswith((".shift", ".cdf")):
            continue
        w = a.astype(np.float64).reshape(-1, a.shape[-1]) if a.dtype.kind == "i" else a.astype(np.float64).reshape(len(a), -1)
        if a.dtype != np.int8:
            w = w * (TOP / np.maximum(np.abs(w).max(axis=1 if by_row else None, keepdims=True), 1e-30))
        out.append(w)
    return out


def compare(weights: list[np.ndarray], unit: str) -> None:
    count = sum(w.size for w in weights)
    levels = [np.rint(w).astype(np.int64) for w in weights]
    rounding = error(weights, levels, 1)
    print(f"  {count} weights in {len(weights)} tensors, one 8-bit step {unit}, rounding error {rounding:.1f} dB")
    base = same_integers(levels)
    for share in PRUNED:
        print(f"  the same, {share:.0%} pruned")
        gone = [np.abs(w) <= np.quantile(np.abs(w), share) for w in weights]
        same_integers([np.where(zero, 0, q) for zero, q in zip(gone, levels, strict=True)])
    rounded = {step: [np.rint(w / step).astype(np.int64) for w in weights] for step in STEPS}
    curve = [(error(weights, rounded[step], step), huffman(rounded[step])) for step in STEPS]
    for step, lmbda in CHOSEN:
        chosen = choose(weights, step, lmbda)
        size, found = len(coded(chosen)), error(weights, chosen, step)
        equal = float(np.interp(found, *zip(*curve, strict=True)))
        print(
            f"    step x{step:<4g} lmbda {lmbda:<4g} {size:8} at {found:6.1f} dB, {change(size, base)} of 8-bit huffman; "
            f"rounded {len(coded(rounded[step])):8} at {error(weights, rounded[step], step):6.1f} dB; "
            f"huffman at the same error {equal:8.0f}, ours {change(size, equal)}"
        )


def same_integers(levels: list[np.ndarray]) -> int:
    """Print what each coder takes for the same integers; returns Huffman's bytes."""
    raw = b"".join(q.astype(np.int8).tobytes() for q in levels)
    sizes = {"huffman": huffman(levels), "zlib 9": len(zlib.compress(raw, 9)), "lzma 9": len(lzma.compress(raw, preset=9))}
    try:
        import zstandard

        sizes["zstd 19"] = len(zstandard.compress(raw, 19))
    except ImportError:
        print("    (zstandard is not installed)")
    best, ours = min(sizes.values()), len(coded(levels))
    print("    " + ", ".join(f"{name} {size}" for name, size in sizes.items()))
    print(f"    ours {ours}: {change(ours, sizes['huffman'])} of huffman, {change(ours, best)} of the best of these")
    return sizes["huffman"]


def change(size: float, base: float) -> str:
    return f"{100 * (size / base - 1):+.1f} %"


def huffman(levels: list[np.ndarray]) -> int:
    """Bytes with ideal integer code lengths, each tensor its own."""
    bits = 0
    for q in levels:
        heap = [n for n in np.bincount((q - q.min()).reshape(-1)).tolist() if n]
        if len(heap) == 1:
            bits += q.size
        heapq.heapify(heap)
        while len(heap) > 1:
            joined = heapq.heappop(heap) + heapq.heappop(heap)
            bits += joined
            heapq.heappush(heap, joined)
    return -(-bits // 8)


def coded(levels: list[np.ndarray]) -> bytes:
    """Our stream, decoded again to be sure."""
    encoder = WeightEncoder()
    for q in levels:
        encoder.encode(q)
    data = encoder.finish()
    decoder = WeightDecoder(data)
    if not all(np.array_equal(decoder.decode(*q.shape), q) for q in levels):
        raise SystemExit("the integers came back changed")
    decoder.finish()
    return data


def choose(weights: list[np.ndarray], step: float, lmbda: float) -> list[np.ndarray]:
    encoder, out = WeightEncoder(), []
    for w in weights:
        out.append(encoder.choose(np.rint(w / step * TARGET_UNIT).astype(np.int64), lmbda))
        encoder.encode(out[-1])
    return out


def error(weights: list[np.ndarray], levels: list[np.ndarray], step: float) -> float:
    """dB, averaged over the tensors by their size."""
    parts = [w.size * np.square(w - q * step).sum() / np.square(w).sum() for w, q in zip(weights, levels, strict=True)]
    return float(10 * np.log10(sum(parts) / sum(w.size for w in weights)))


def shipped_integers(arrays: dict[str, np.ndarray]) -> None:
    integers = {name: a for name, a in arrays.items() if a.dtype.kind in "iu"}
    names = {dtype: name for name, dtype in weightcoder.DTYPES.items()}
    tensors = {
        name: Tensor(names[a.dtype.name], a.shape, np.ascontiguousarray(a).reshape(-1).view(f"u{a.itemsize}"))
        for name, a in integers.items()
    }
    packed = checkpointcoder.encode(Checkpoint(tensors, {}), checkpointcoder.Options(exact=True))
    found = checkpointcoder.decode(packedfile.from_bytes(packedfile.to_bytes(packed))).tensors
    if any(found[name].bits.tobytes() != tensor.bits.tobytes() for name, tensor in tensors.items()):
        raise SystemExit("an integer tensor came back changed")
    old, new = len(weightcoder.encode(integers)), len(packed.levels) + len(packed.plain)
    print(f"  its {len(integers)} integer tensors exactly: weightcoder {old} bytes, this coder {new}, {change(new, old)}")


if __name__ == "__main__":
    main(sys.argv[1:] or sys.exit(__doc__))
