#!/usr/bin/env python
"""What more steps do to generative pictures: scripts/generative_steps.py PHOTOS SQUEEZENET.safetensors [--steps 1 2 4 8]

PHOTOS: a folder, or .tar files, of photos; of each 16th in order of name, which never trains, the middle. It is coded once at a
position of the dial, and decoded by so many calls of the net: mean SqueezeNet distance (not LPIPS) and PSNR-RGB.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from calotype.codecs import container
from calotype.codecs.registry import open_model
from calotype.codecs.targets import psnr
from calotype.models.perceptual import SqueezeNet, distance
from calotype.train.data import Photos

POSITIONS = (7, 30, 60)  # one of each size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("features", type=Path)
    parser.add_argument("--model", default="generative")
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--realism", type=float, default=1.0)
    parser.add_argument("--side", type=int, default=384)
    parser.add_argument("--limit", type=int, help="the first so many photos")
    options = parser.parse_args()
    features, codec = SqueezeNet.read(options.features), open_model(options.model)
    photos = Photos(options.photos, options.side).held_out[: options.limit]
    print(f"{len(photos)} photos, {options.side} pixels a side, {codec.bundle.name}, realism {options.realism:g}")
    for position in POSITIONS:
        rows = []
        for photo in photos:
            top, left = ((n - options.side) // 2 for n in photo.shape[:2])
            pixels = photo[top : top + options.side, left : left + options.side].contiguous().numpy()
            stream = container.read(codec.encode(pixels, position).data)
            shown = [codec.decode(stream, realism=options.realism, steps=steps).pixels for steps in options.steps]
            rows.append([(_distance(features, picture, pixels), psnr(picture, pixels)) for picture in shown])
        for steps, (far, db) in zip(options.steps, np.mean(rows, 0), strict=True):
            print(f"{position:3}: {steps} steps {far:.4f} {db:.2f} dB", flush=True)


def _distance(features: SqueezeNet, shown: np.ndarray, source: np.ndarray) -> float:
    with torch.inference_mode():
        pair = [features(torch.from_numpy(p).permute(2, 0, 1)[None].float() / 255) for p in (shown, source)]
        return float(distance(*pair))


if __name__ == "__main__":
    main()
