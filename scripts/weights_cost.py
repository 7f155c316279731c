#!/usr/bin/env python
"""What fewer bytes of a decoder's weights cost in pictures: scripts/weights_cost.py MODEL PHOTOS...

MODEL: an image model, whose float synthesis (what its integers stand for) is the decoder. PHOTOS: folders, or .tar files. The
weights on 8 bits, one step a row, by ideal Huffman codes of each tensor and two bytes a row for its step, are the anchor; those
with one step a tensor stand beside it, then `entropy.weights` with the same integers, and whole files of `calotype weights
pack`, plain and by importance: mean squares of derivatives of pictures by each weight, over training photos. Held-out photos
(each 16th in order of name, which never trains) are coded by the model as it is; each set of weights makes pictures of the same
symbols, so curves differ in PSNR alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import torch
from compare_weight_coders import coded, huffman
from torch import nn

from calotype.codecs.dial import Dial
from calotype.codecs.image import SKIP, ImageCodec
from calotype.codecs.rdoq import Rounder
from calotype.codecs.registry import open_model
from calotype.eval.bdrate import Curve, compare
from calotype.models import packedfile
from calotype.models.bundle import ImageBundle
from calotype.models.checkpointcoder import Options, decode, encode
from calotype.models.priorgraph import MEAN_FRAC
from calotype.models.safetensorsfile import Checkpoint, tensor_of, values_of
from calotype.train.data import Photos

QUALITIES = (0, 250, 500, 750, 1000)
BITS = (8, 7, 6)
LMBDAS = (0.1, 0.3)
PROBES = 4  # random directions in pictures, of each
TOP = 127


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--side", type=int, default=384)
    parser.add_argument("--limit", type=int, default=10, help="the first so many held-out photos")
    asked = parser.parse_args()
    bundle = open_model(asked.model).bundle
    photos = Photos(asked.photos, asked.side)
    layers = list(decoder(bundle))
    trained = {name: layer.weight.numpy().copy() for name, layer in layers}
    felt = derivatives(bundle, layers, [middle(p, asked.side) for p in photos.train[: asked.limit]])
    work = [(pixels, symbols(bundle, pixels)) for pixels in (middle(p, asked.side) for p in photos.held_out[: asked.limit])]
    bpp = [np.mean([found[k][0] / pixels[..., 0].size for pixels, found in work]) for k in range(len(QUALITIES))]

    def curve(weights: dict[str, np.ndarray]) -> Curve:
        for name, layer in layers:
            layer.weight.data.copy_(torch.from_numpy(weights[name].astype(np.float32)).reshape(layer.weight.shape))
        db = [np.mean([psnr(bundle, found[k][1], q, p) for p, found in work]) for k, q in enumerate(QUALITIES)]
        return Curve("", bpp, db)

    rows = {name: w.reshape(len(w), -1).astype(np.float64) for name, w in trained.items()}
    as_trained, anchor = curve(trained), 0
    print(f"{bundle.name}: {sum(w.size for w in rows.values())} weights of {len(rows)} tensors, {len(work)} photos")
    for how, axis in (("row", 1), ("tensor", None)):
        units = {name: np.maximum(np.abs(w).max(axis, keepdims=True), 1e-12) / TOP for name, w in rows.items()}
        plain = {name: np.rint(w / units[name]).astype(np.int64) for name, w in rows.items()}
        steps = 2 * sum(unit.size for unit in units.values())
        size = huffman(list(plain.values())) + steps
        anchor = anchor or size
        lost = cost(as_trained, curve({name: levels * units[name] for name, levels in plain.items()}))
        print(f"  8 bits, a step a {how}, Huffman: {size} bytes, {change(size, anchor)}, {lost}")
        print(f"    the same integers here: {change(len(coded(list(plain.values()))) + steps, anchor)}", flush=True)
    checkpoint = Checkpoint({n: tensor_of("F32", w.shape, w.reshape(-1).astype(np.float64)) for n, w in trained.items()}, {})
    for how, importance in (("one step a tensor", None), ("by importance", felt)):
        for bits, lmbda in product(BITS, LMBDAS):
            data = packedfile.to_bytes(encode(checkpoint, Options(bits=bits, lmbda=lmbda), None, importance))
            found = {name: values_of(t) for name, t in decode(packedfile.from_bytes(data)).tensors.items()}
            told = f"{change(len(data), anchor)}, {cost(as_trained, curve(found))}"
            print(f"  {how}, {bits} bits, lmbda {lmbda:g}: {told}", flush=True)


def decoder(bundle: ImageBundle) -> Iterator[tuple[str, nn.Conv2d]]:
    """Layers of the synthesis, by name."""
    for name, layer in bundle.model.named_modules():
        if isinstance(layer, nn.Conv2d) and name.startswith(("synthesis.", "from_latent")):
            yield name, layer


def derivatives(bundle: ImageBundle, layers: list, pictures: list[np.ndarray]) -> dict[str, np.ndarray]:
    """By name, in their shapes: squares of derivatives of random sums of pictures' samples, over the squared error."""
    found = {name: np.zeros(layer.weight.shape) for name, layer in layers}
    generator = torch.Generator().manual_seed(0)
    for pixels in pictures:
        for q, (_, y_hat) in zip(QUALITIES, symbols(bundle, pixels), strict=True):
            with torch.inference_mode(False), torch.enable_grad():
                for _, layer in layers:
                    layer.weight.requires_grad_(True)
                made = shown(bundle, y_hat, q)
                goal = torch.from_numpy(pixels.copy()).permute(2, 0, 1)
                error = (made.detach()[:, : pixels.shape[0], : pixels.shape[1]] * 255 - goal).square().mean()
                for probe in range(PROBES):
                    direction = torch.randn(made.shape, generator=generator)
                    of = torch.autograd.grad(made, [layer.weight for _, layer in layers], direction, probe + 1 < PROBES)
                    for (name, _), derivative in zip(layers, of, strict=True):
                        found[name] += (derivative.double().square() / error).numpy()
                for _, layer in layers:
                    layer.weight.requires_grad_(False)
    return found


def middle(photo: torch.Tensor, side: int) -> np.ndarray:
    top, left = ((n - side) // 2 for n in photo.shape[:2])
    return photo[top : top + side, left : left + side].contiguous().numpy()


def symbols(bundle: ImageBundle, pixels: np.ndarray) -> list[tuple[float, np.ndarray]]:
    """(bits, y_hat (h, w, M) in 1/16) at each quality."""
    codec, found = ImageCodec(bundle), []
    for q in QUALITIES:
        y, dial = codec.analyse(pixels, q / 10).tiles[0]
        found.append(codec._trial(y, dial, Rounder(bundle.y_bank, bundle.worth((q,)), bundle.config.of_prior.plan, SKIP)))
    return found


def psnr(bundle: ImageBundle, y_hat: np.ndarray, q: int, pixels: np.ndarray) -> float:
    """dB of 8-bit RGB by the float synthesis."""
    x = (shown(bundle, y_hat, q) * 255).round().clamp(0, 255).permute(1, 2, 0).numpy()
    return float(10 * np.log10(255**2 / np.square(x[: pixels.shape[0], : pixels.shape[1]] - pixels.astype(np.float64)).mean()))


def shown(bundle: ImageBundle, y_hat: np.ndarray, q: int) -> torch.Tensor:
    """(3, H, W) of symbols."""
    y = torch.from_numpy(y_hat.copy()).permute(2, 0, 1)[None].float() / (1 << MEAN_FRAC)
    return bundle.model.synthesise(y, Dial((q,)).weights())[0]


def cost(before: Curve, after: Curve) -> str:
    lost = " ".join(f"{a - b:.3f}" for a, b in zip(before.psnrs, after.psnrs, strict=True))
    return f"BD-rate {compare(before, after).bd_rate:+.2f} %, dB lost at quality 0 to 100 by 25: {lost}"


def change(size: float, base: float) -> str:
    return f"{100 * (size / base - 1):+.1f} % of bytes"


if __name__ == "__main__":
    sys.exit(main())
