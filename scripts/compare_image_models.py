#!/usr/bin/env python
"""Two image models behind the generative codec's dial: scripts/compare_image_models.py PHOTOS SQUEEZENET.safetensors OLD NEW

PHOTOS: a folder, or .tar files, of photos; of each 16th in order of name, which never trains, the middle. It is coded whole, at
half and at a third of its size, at qualities of the dial there; real bytes of whole files. The SqueezeNet distance (not LPIPS)
and PSNR-RGB are of the pictures enlarged again. At the rate of each file of OLD those of NEW are interpolated, over the
logarithm of the rate; means over the photos of which NEW has rates on both sides. SIDE: a multiple of 96.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch

from calotype.codecs import container
from calotype.codecs.registry import open_model
from calotype.codecs.targets import psnr
from calotype.models.generative.dial import SCALES, highest
from calotype.models.generative.net import enlarge, shrink
from calotype.models.perceptual import SqueezeNet, distance
from calotype.train.data import Photos


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("features", type=Path)
    parser.add_argument("models", nargs=2, metavar="MODEL")
    parser.add_argument("--side", type=int, default=384, help="of the middles, a multiple of 96")
    parser.add_argument("--points", type=int, default=5, help="qualities of each size")
    parser.add_argument("--limit", type=int, help="the first so many photos")
    options = parser.parse_args()
    features = SqueezeNet.read(options.features)
    photos = Photos(options.photos, options.side).held_out[: options.limit]
    print(
        f"{len(photos)} photos, {options.side} pixels a side; {options.models[0]}, then {options.models[1]} in the same bytes"
    )
    for scale in range(1, SCALES + 1):
        qualities = np.linspace(0, highest(scale), options.points) / 10
        found = np.array([_curves(options.models, photo, qualities, scale, features, options.side) for photo in photos])
        changes = []
        for k, quality in enumerate(qualities):
            bits, far, db = found[:, 0, k].T
            other = np.array([_at(np.log(rate), curve) for rate, curve in zip(bits, found[:, 1], strict=True)])
            within = ~np.isnan(other[:, 0])
            line = f"1/{scale} q{quality:4.1f}: {bits.mean():.4f} bpp {far.mean():.4f} {db.mean():.2f} dB"
            if within.any():
                change = other[within, 0].mean() / far[within].mean() - 1
                changes.append(change)
                more = (other[within, 1] - db[within]).mean()
                line += f"; {100 * change:+.1f} % distance {more:+.2f} dB ({within.sum()} photos)"
            own = found[:, 1, k].mean(0)
            print(f"{line}; itself {own[0]:.4f} bpp {own[1]:.4f} {own[2]:.2f} dB", flush=True)
        print(f"1/{scale}: mean {100 * np.mean(changes):+.1f} %", flush=True)


def _at(rate: float, curve: np.ndarray) -> tuple[float, float]:
    """Distance and dB of a curve (points, 3) at a logarithm of a rate; NaN beyond its ends."""
    curve = curve[np.argsort(curve[:, 0])]
    inside = [float(np.interp(rate, np.log(curve[:, 0]), curve[:, k], math.nan, math.nan)) for k in (1, 2)]
    return inside[0], inside[1]


def _curves(
    models: list[str], photo: torch.Tensor, qualities: np.ndarray, scale: int, features: SqueezeNet, side: int
) -> list[list[tuple[float, float, float]]]:
    """Of each model and quality bits a pixel of the photo, distance, dB."""
    top, left = ((n - side) // 2 for n in photo.shape[:2])
    pixels = photo[top : top + side, left : left + side].contiguous()
    source = pixels.permute(2, 0, 1)[None]
    small = shrink(source, scale)[0].permute(1, 2, 0).contiguous().numpy()
    with torch.inference_mode():
        real, rows = features(source.float() / 255), []
        for name in models:
            codec, row = open_model(name), []
            for quality in qualities:
                data = codec.encode(small, float(quality)).data
                shown = torch.from_numpy(codec.decode(container.read(data)).pixels).permute(2, 0, 1)[None].float() / 255
                large = (enlarge(shown, scale) * 255).round()
                far = float(distance(features(large / 255), real))
                db = psnr(large[0].permute(1, 2, 0).byte().numpy(), pixels.numpy())
                row.append((8 * len(data) / side**2, far, db))
            rows.append(row)
    return rows


if __name__ == "__main__":
    main()
