#!/usr/bin/env python
"""Two starts of overfitted pictures: scripts/compare_overfit.py PHOTOS... OLD NEW

PHOTOS: folders, or .tar files, of photos; of each 16th in order of name, which never trains, the middle, of every other one
that is large enough at half its size. Each is coded by both at every quality; the change is of bits + squared error, weighed as
the encoder weighs it, over OLD's bits: at equal slope about what the rate changes at equal error. Real bytes of whole files.
--decode: then the seconds of decodings in memory, in turn, of a mosaic of 768x512 of those photos, encoded at effort 0.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from calotype import threads
from calotype.codecs import container
from calotype.codecs.overfit import OverfitCodec
from calotype.codecs.registry import open_model
from calotype.models.imageconfig import LMBDA
from calotype.train.data import Photos

HEIGHT, WIDTH = 384, 512
CELL = 256  # of the mosaic
DECODED = (50.0, 100.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("models", nargs=2, metavar="MODEL")
    parser.add_argument("--qualities", type=float, nargs="+", default=[10.0, 50.0, 90.0])
    parser.add_argument("--effort", type=int, default=1)
    parser.add_argument("--limit", type=int, help="the first so many photos")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--decode", type=int, default=0, help="decodings of each")
    options = parser.parse_args()
    threads.set_count(options.threads)
    photos = [p.numpy() for p in Photos(options.photos, WIDTH).held_out[: options.limit]]
    coders = [open_model(name, effort=options.effort) for name in options.models]
    print(f"{len(photos)} photos, effort {options.effort}: {options.models[1]} against {options.models[0]}, % at each quality")
    rows = []
    for number, photo in enumerate(photos):
        pixels = middle(photo, number % 2 == 1)
        rows.append([_change(coders, pixels, quality) for quality in options.qualities])
        print(f"{number:3}: " + "; ".join("{:+.2f} (bits {:+.2f}, {:+.2f} dB)".format(*r) for r in rows[-1]), flush=True)
    changes = np.array(rows)
    spread = 1.96 * changes.std(0, ddof=1) / np.sqrt(len(rows)) if len(rows) > 1 else np.full(changes.shape[1:], np.nan)
    for quality, mean, half, of in zip(options.qualities, changes.mean(0), spread, changes.transpose(1, 0, 2), strict=True):
        ends = f"{of[:, 0].min():+.2f} to {of[:, 0].max():+.2f}"
        print(f"q{quality:g}: {mean[0]:+.2f} +- {half[0]:.2f} %, {ends}; bits {mean[1]:+.2f} %, {mean[2]:+.3f} dB")
    if options.decode:
        _time_decodings(options.models, mosaic(photos), options.decode)


def middle(photo: np.ndarray, half: bool) -> np.ndarray:
    """uint8 (HEIGHT, WIDTH, 3) or less; half: at half its size, where there is so much of it."""
    times = 2 if half and photo.shape[0] >= 2 * HEIGHT and photo.shape[1] >= 2 * WIDTH else 1
    height, width = (min(n // times, most) for n, most in zip(photo.shape[:2], (HEIGHT, WIDTH), strict=True))
    top, left = ((n - times * own) // 2 for n, own in zip(photo.shape[:2], (height, width), strict=True))
    piece = photo[top : top + times * height, left : left + times * width].reshape(height, times, width, times, 3)
    return np.rint(piece.mean((1, 3))).astype(np.uint8)


def mosaic(photos: list[np.ndarray]) -> np.ndarray:
    """uint8 (512, 768, 3), of the middles' first corners."""
    cells = [middle(photos[k % len(photos)], k % 2 == 1)[:CELL, :CELL] for k in range(6)]
    return np.ascontiguousarray(np.vstack([np.hstack(cells[:3]), np.hstack(cells[3:])]))


def _change(coders: list[OverfitCodec], pixels: np.ndarray, quality: float) -> tuple[float, float, float]:
    """(% of bits and weighed error, % of bits, dB) of the second against the first."""
    worth = LMBDA[0] * (LMBDA[1] / LMBDA[0]) ** (quality / 100) / 3
    bits, errors = [], []
    for coder in coders:
        data = coder.encode(pixels, quality).data
        shown = coder.decode(container.read(data)).pixels
        bits.append(8 * len(data))
        errors.append(float(np.square(shown.astype(np.float64) - pixels).sum()))
    more = bits[1] - bits[0]
    change = (more + worth * (errors[1] - errors[0])) / bits[0]
    return 100 * change, 100 * more / bits[0], 10 * float(np.log10(errors[0] / errors[1]))


def _time_decodings(models: list[str], pixels: np.ndarray, times: int) -> None:
    coders = [open_model(name, effort=0) for name in models]
    for quality in DECODED:
        files = [container.read(coder.encode(pixels, quality).data) for coder in coders]
        seconds = np.zeros((len(models), times))
        for turn in range(times):
            for own, (coder, file) in enumerate(zip(coders, files, strict=True)):
                started = time.perf_counter()
                coder.decode(file)
                seconds[own, turn] = time.perf_counter() - started
        told = "; ".join(
            f"{n} {np.median(s):.2f} s, {s.min():.2f} to {s.max():.2f}" for n, s in zip(models, seconds, strict=True)
        )
        print(f"decode of {pixels.shape[1]}x{pixels.shape[0]} at q{quality:g}, {threads.count()} threads: {told}", flush=True)


if __name__ == "__main__":
    main()
