#!/usr/bin/env python
"""What the integer synthesis costs against the trained float one, by bits of weights and activations.

scripts/synthesis_loss.py RUN PICTURES --data PHOTOS [--size N] [--layers] [--variant NAME ...]

RUN: folder of a training run (float weights). PICTURES: folder of pictures to measure on (--size: their centre N x N, 0 for all
of them). PHOTOS: training photos, for calibration. Each picture is coded at seven qualities; its symbols stay, and each variant
of the synthesis makes pixels of them, so curves differ in PSNR alone: BD-rate by PCHIP on averaged curves, PSNR-RGB of 8-bit
pixels. --layers narrows or widens the weights of one layer at a time.
"""

from __future__ import annotations

import argparse
import copy
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from calotype.codecs.dial import Dial
from calotype.codecs.image import SKIP, ImageCodec
from calotype.codecs.rdoq import Rounder
from calotype.eval.bdrate import Curve, CurveError, compare
from calotype.models.bundle import ImageBundle
from calotype.models.image import ImageModel
from calotype.models.integer.convert import Precision, convert, image_net
from calotype.models.integer.executions import make_execution
from calotype.models.integer.places import Quality
from calotype.models.integer.synthesis import IntegerSynthesis
from calotype.models.priorgraph import MEAN_FRAC
from calotype.train.data import Photos
from calotype.train.export import calibration, export_model, load_run

QUALITIES = (0, 150, 300, 450, 600, 800, 1000)
NONE = frozenset({"post"})  # the filter has 13 bits always: 16 x 16 weights
ENDS = Precision().wide


def variants(model: ImageModel) -> dict[str, Precision]:
    """What is compared: name -> precision. W7, W13: bits of weights; A15, A8: of what enters grow and shrink."""
    every = frozenset(image_net(model).layers) | NONE
    last = frozenset(name for name in every if name.endswith("shrink"))  # sums of 7-bit weights are coarser than the stream
    plain = {"rounding": "nearest", "equalise": False, "correct": False}
    return {
        "W13A15": Precision(every, **plain),
        "W7A15, nearest": Precision(NONE, **plain),
        "W7A15, nearest, equalised": Precision(NONE, rounding="nearest", correct=False),
        "W7A15, nearest, equalised, bias": Precision(NONE, rounding="nearest"),
        "W7A15, GPTQ, equalised, bias": Precision(NONE),
        "mixed (ends W13), nearest": Precision(ENDS, **plain),
        "mixed (ends W13), GPTQ, equalised, bias": Precision(),
        "mixed, A8, shrink W13, nearest": Precision(ENDS | last, 8, **plain),
        "mixed, A8, shrink W13, GPTQ, eq., bias": Precision(ENDS | last, 8),
        "A8, all W13": Precision(every, 8),
    }


def single_layers(model: ImageModel) -> dict[str, Precision]:
    """One layer at a time with 7-bit weights, all others with 13."""
    every = frozenset(image_net(model).layers) | NONE
    return {f"only {name} W7": Precision(every - {name}) for name in image_net(model).layers}


def coded(bundle: ImageBundle, pixels: np.ndarray) -> list[tuple[int, float, np.ndarray]]:
    """(quality, bits, y_hat (h, w, M) in 1/16) of a picture of one tile."""
    codec, found = ImageCodec(bundle), []
    for q in QUALITIES:
        y, dial = codec.analyse(pixels, q / 10).tiles[0]
        rounder = Rounder(bundle.y_bank, bundle.worth((q,)), bundle.config.of_prior.plan, SKIP)
        found.append((q, *codec._trial(y, dial, rounder)))
    return found


def psnr(x: np.ndarray, pixels: np.ndarray) -> float:
    """dB of 8-bit RGB."""
    height, width = pixels.shape[:2]
    return float(10 * np.log10(255**2 / np.square(x[:height, :width].astype(np.float64) - pixels).mean()))


def float_pixels(model: ImageModel, y_hat: np.ndarray, q: int) -> np.ndarray:
    """(H, W, 3) uint8 by the float synthesis."""
    y = torch.from_numpy(y_hat).permute(2, 0, 1)[None].float() / (1 << MEAN_FRAC)
    x = model.synthesise(y, Dial((q,)).weights())[0]
    return (x * 255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()


@torch.inference_mode()
def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--data", type=Path, action="append", required=True)
    parser.add_argument("--size", type=int, default=0)
    parser.add_argument("--layers", action="store_true")
    parser.add_argument("--variant", action="append")
    asked = parser.parse_args()
    model, _ = load_run(asked.run)
    photos = Photos(asked.data, 256)
    latents = [sample.latents for sample in calibration(model, photos)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image-trained.safetensors"
        export_model(path, copy.deepcopy(model), photos, {})
        bundle = ImageBundle.read(path)
    work = []
    for path in sorted(asked.pictures.iterdir()):
        pixels = np.asarray(Image.open(path).convert("RGB"))
        if asked.size:
            top, left = ((n - asked.size) // 2 for n in pixels.shape[:2])
            pixels = pixels[top : top + asked.size, left : left + asked.size]
        work.append((pixels, coded(bundle, pixels)))
    bpp = [np.mean([c[k][1] / p.shape[0] / p.shape[1] for p, c in work]) for k in range(len(QUALITIES))]

    def curve(name: str, paint: Any) -> Curve:
        db = [np.mean([psnr(paint(y, q), p) for p, c in work for q, _, y in [c[k]]]) for k in range(len(QUALITIES))]
        return Curve(name, bpp, db)

    anchor = curve("float", lambda y, q: float_pixels(model, y, q))
    print(
        f"{len(work)} pictures; float: " + "  ".join(f"{b:.3f} bpp {d:.3f} dB" for b, d in zip(bpp, anchor.psnrs, strict=True))
    )
    print(f"{'variant':<42}{'BD-rate':>9}  dB lost at quality " + " ".join(f"{q / 10:g}" for q in QUALITIES))
    table = variants(model) | (single_layers(model) if asked.layers else {})
    for name, precision in table.items():
        if asked.variant and name not in asked.variant:
            continue
        arrays = convert(copy.deepcopy(model), latents, precision)
        synthesis = IntegerSynthesis(model.config, arrays, make_execution())
        found = curve(name, lambda y, q, s=synthesis: s(y[None], Quality((q,)))[0])
        lost = " ".join(f"{a - b:6.3f}" for a, b in zip(anchor.psnrs, found.psnrs, strict=True))
        try:
            rate = f"{compare(anchor, found).bd_rate:>+8.2f} %"
        except CurveError:
            rate = f"{'none':>10}"  # the curves do not overlap
        print(f"{name:<42}{rate}  {lost}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
