"""Gives a generative model its filters for realism below 1: scripts/train_fidelity.py PHOTOS OUT.safetensors [--model NAME]

PHOTOS: a folder, or .tar files, of photos; each 16th is left out, and at the end their middles are shown with the filters and
without (PSNR-RGB at realism 0). OUT is the model again, under its name; a few minutes on one core.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from calotype.codecs.generative import GenerativeCodec
from calotype.codecs.targets import psnr
from calotype.models.generative.bundle import GenerativeBundle, with_fidelity
from calotype.models.zoo import find_model
from calotype.train import fidelity
from calotype.train.data import Photos

POSITIONS = (7, 20, 32, 42, 52, 70, 90)  # of the dial: one of each scale and range of qualities


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default="generative")
    parser.add_argument("--crops", type=int, default=280)
    parser.add_argument("--side", type=int, default=384)
    options, started = parser.parse_args(), time.monotonic()
    path = find_model(options.model).resolve()
    bundle, photos = GenerativeBundle.read(path), Photos(options.photos, options.side)
    filters = fidelity.solve(bundle, photos, options.crops, options.side)
    card = {"fidelity": {"crops": options.crops, "side": options.side, "photos": len(photos.train)}}
    with_fidelity(path, options.out, filters, card)
    print(f"{options.crops} crops in {time.monotonic() - started:.0f} s", flush=True)
    for position in POSITIONS:
        rows = []
        for photo in photos.held_out:
            top, left = ((side - options.side) // 2 for side in photo.shape[:2])
            pixels = photo[top : top + options.side, left : left + options.side].contiguous().numpy()
            shown = [
                fidelity.coded(GenerativeCodec(replace(bundle, fidelity=of), realism=0), pixels, position)[1]
                for of in (None, filters)
            ]
            rows.append([psnr(pixels, picture) for picture in shown])
        without, with_ = np.mean(rows, 0)
        print(f"{position:3}: {without:.2f} dB, with filters {with_:.2f} ({len(rows)} photos)", flush=True)


if __name__ == "__main__":
    main()
