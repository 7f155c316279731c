#!/usr/bin/env python
"""Bits a pixel of generative files over the dial: scripts/generative_rates.py DIR [--model NAME] [--every N] [--crop S]

Real bytes of whole files; the picture that the net is given, enlarged, against the source (PSNR-RGB); and for how many pictures
the file is smaller than at the position before. --every N: each Nth picture in order of name; --crop S:
its middle, at most S x S pixels.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from calotype.codecs import container
from calotype.codecs.registry import open_model
from calotype.codecs.targets import psnr
from calotype.models.generative.net import enlarge

POSITIONS = (0, 7, 14.9, 15, 20, 25, 30, 37, 44.9, 45, 52, 60, 70, 80, 90, 100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--model", default="generative")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--crop", type=int, default=1 << 16)
    options = parser.parse_args()
    codec, rows = open_model(options.model), []
    for path in sorted(p for p in options.pictures.iterdir() if p.is_file())[:: options.every]:
        with Image.open(path) as image:
            pixels = _middle(np.asarray(image.convert("RGB")), options.crop)
        rows.append([_coded(codec, pixels, position) for position in POSITIONS])
    found = np.array(rows)
    print(f"{len(rows)} pictures; position: scale, mean bpp (least to most), mean dB as given to the net, smaller than before")
    for k, position in enumerate(POSITIONS):
        bpp, db, scale = found[:, k].T
        smaller = int((found[:, k, 0] < found[:, k - 1, 0]).sum()) if k else 0
        span = f"({bpp.min():.4f} to {bpp.max():.4f})"
        print(f"{position:5g}: 1/{scale[0]:g}  {bpp.mean():.4f} {span}  {db.mean():.2f} dB  {smaller}")


def _middle(pixels: np.ndarray, side: int) -> np.ndarray:
    top, left = (max(0, (n - side) // 2) for n in pixels.shape[:2])
    return np.ascontiguousarray(pixels[top : top + side, left : left + side])


def _coded(codec: object, pixels: np.ndarray, position: float) -> tuple[float, float, int]:
    """bpp, dB, scale."""
    data = codec.encode(pixels, position).data
    stream = container.read(data)
    scale = stream.header.params.get("scale", 1)
    given = torch.from_numpy(codec.decode_exact(stream)).permute(2, 0, 1)[None].float() / 255
    larger = (enlarge(given, scale)[0].permute(1, 2, 0) * 255).round().byte().numpy()
    return 8 * len(data) / (pixels.size // 3), psnr(larger[: pixels.shape[0], : pixels.shape[1]], pixels), scale


if __name__ == "__main__":
    main()
