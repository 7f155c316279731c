#!/usr/bin/env python
"""How near and in how many passes `--bpp`, `--size` and `--psnr` end: scripts/check_targets.py PICTURES_DIR

For each picture: the bytes or dB of its encodes at quality 15, 40, 65 and 90 plus a little, as targets that it can reach.
Prints for each kind the largest distance to a target, passes of the entropy stage and of the analysis, and what starting
from an analysis at another quality costs; exit code 1 where a target was missed by more than 3 %, or took more than
eight passes.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from calotype.codecs.image import ImageCodec
from calotype.codecs.targets import Target, encode_to, psnr
from calotype.models.zoo import load_model

QUALITIES = (15, 40, 65, 90)
BYTES, DB = 1.013, 0.11  # beyond the encode that the target is taken from


class Counting(ImageCodec):
    """Counts its passes."""

    encodes = analyses = 0

    def encode(self, *args: Any, **more: Any) -> Any:
        self.encodes += 1
        return super().encode(*args, **more)

    def analyse(self, *args: Any, **more: Any) -> Any:
        self.analyses += 1
        return super().analyse(*args, **more)


def main() -> int:
    pictures = sorted(Path(sys.argv[1]).glob("*.png"))
    codec = Counting(load_model())
    rows: dict[str, list[tuple[float, int, int, float]]] = {"bpp": [], "size": [], "psnr": []}
    for path in pictures:
        pixels = np.asarray(Image.open(path).convert("RGB"))
        for quality in QUALITIES:
            base = codec.encode(pixels, quality, reconstruct=True)
            budget = len(base.data) * BYTES
            wanted = {"bpp": budget * 8 / (pixels.size // 3), "size": int(budget)}
            wanted["psnr"] = psnr(base.reconstruction, pixels) + DB
            for kind, value in wanted.items():
                codec.encodes = codec.analyses = 0
                found = encode_to(codec, pixels, Target(kind, value), reconstruct=True)
                passes = codec.encodes, codec.analyses
                fresh = codec.encode(pixels, found.quality)
                reached = psnr(found.reconstruction, pixels) / value if kind == "psnr" else len(found.data) / budget
                rows[kind].append((abs(reached - 1), *passes, len(found.data) / len(fresh.data) - 1))
    failed = False
    for kind, values in rows.items():
        off, encodes, analyses, extra = (np.array(column) for column in zip(*values, strict=True))
        failed |= bool(off.max() > 0.03 or encodes.max() > 8)
        print(
            f"--{kind}: {len(off)} targets, off by {100 * off.mean():.2f} % on average and {100 * off.max():.2f} % at most; "
            f"entropy passes {encodes.mean():.1f}, at most {encodes.max()}; analyses {analyses.mean():.2f}, at most "
            f"{analyses.max()}; bytes against a fresh analysis at that quality {100 * extra.mean():+.2f} %"
        )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
