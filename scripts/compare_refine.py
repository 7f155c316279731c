#!/usr/bin/env python
"""What coded noise is worth: scripts/compare_refine.py PICTURES SQUEEZENET.safetensors [--quality 60] [--refine 0.02 0.1]

PICTURES: a folder of photos, of which each 16th in order of name, which never trains, is taken, the last --limit of these; with
--all every picture in it, the first --limit. The middle of each, --side pixels a side, is coded by a generative model as it is
and with paths of so many bits a pixel, and by it and by its image model alone in as many bytes as the file with a path has, or,
where that is out of reach, as few as there are. Means of bytes, PSNR-RGB at realism 0 and 1, SqueezeNet distance (not LPIPS)
and, of all patches at once, squeeze_kid (not KID); seconds of CPU time. At first, by time, the share of the squared residual
that the net leaves of it when it is shown a state of that time.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from calotype.codecs import container, noisepath
from calotype.codecs.registry import open_model
from calotype.codecs.targets import Target, encode_to, psnr
from calotype.errors import UsageError
from calotype.eval.metrics import measure
from calotype.eval.metrics.sets import measure_sets
from calotype.eval.metrics.squeeze import SqueezeDistance, SqueezeKid
from calotype.models.generative.net import SPREAD, Setting, enlarge

TIMES = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95)
HELD_OUT_EVERY = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("features", type=Path)
    parser.add_argument("--model", default="generative")
    parser.add_argument("--quality", type=float, default=60)
    parser.add_argument("--refine", type=float, nargs="+", default=[0.02, 0.1])
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--limit", type=int, default=6)
    parser.add_argument("--all", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    paths = sorted(p for p in options.pictures.iterdir() if p.is_file())
    paths = paths[: options.limit] if options.all else paths[::HELD_OUT_EVERY][-options.limit :]
    pictures = {path.name: _middle(path, options.side) for path in paths}
    print(", ".join(pictures))
    plain = open_model(options.model)
    print("left by time:", *(f"{t:g}: {v:.3f} " for t, v in zip(TIMES, _left(plain, pictures, options.quality), strict=True)))
    rows: dict[str, list[tuple[int, np.ndarray, np.ndarray, float, float]]] = {}
    alone = open_model(plain.bundle.image.name)
    for pixels in pictures.values():
        for bits in (0.0, *options.refine):
            codec = open_model(options.model, refine=bits)
            size = _row(rows, f"refine {bits:g}", codec, pixels, Target("quality", options.quality))
            if bits:
                _row(rows, f"bytes of refine {bits:g}", plain, pixels, Target("size", size))
                _row(rows, f"{alone.bundle.name}, bytes of refine {bits:g}", alone, pixels, Target("size", size))
    _print(rows, pictures, options.features)


def _middle(path: Path, side: int) -> np.ndarray:
    pixels = np.asarray(Image.open(path).convert("RGB"))
    top, left = (max(0, (n - side) // 2) for n in pixels.shape[:2])
    return np.ascontiguousarray(pixels[top : top + side, left : left + side])


def _left(codec, pictures: dict[str, np.ndarray], quality: float) -> np.ndarray:
    """Mean over pictures, for each of TIMES."""
    found = []
    for pixels in pictures.values():
        stream = container.read(codec.encode(pixels, quality).data)
        how = codec._inner(stream)[1]
        small = torch.from_numpy(codec.decode_exact(stream)).permute(2, 0, 1)[None].float() / 255
        height, width = (n // (8 * how.scale) * 8 * how.scale for n in pixels.shape[:2])
        given = enlarge(small, how.scale)[:, :, :height, :width]
        x = torch.from_numpy(pixels[:height, :width]).permute(2, 0, 1)[None].float() / 255
        residual, row = (x - given) / SPREAD, []
        noise = torch.randn(residual.shape, generator=torch.Generator().manual_seed(0))
        for at in TIMES:
            with torch.inference_mode():
                setting = Setting.of(1, how.scale, how.quality, 1.0, time=at)
                said = codec.bundle.net.residual(given, (1 - at) * residual + at * noise, setting)
            row.append(float((said - residual).square().mean() / residual.square().mean()))
        found.append(row)
    return np.mean(found, 0)


def _row(rows: dict, name: str, codec, pixels: np.ndarray, target: Target) -> int:
    start = time.process_time()
    try:
        data = encode_to(codec, pixels, target).data
    except UsageError as error:  # out of reach
        print(f"{name}: {error}")
        data = codec.encode(pixels, 0).data
    encoded = time.process_time()
    stream = container.read(data)
    shown = codec.decode(stream).pixels
    decoded = time.process_time()
    faithful = codec.decode(stream, realism=0.0).pixels if hasattr(codec, "realism") else shown
    rows.setdefault(name, []).append((len(data), shown, faithful, encoded - start, decoded - encoded))
    path = sum(len(p) for p in stream.payloads(noisepath.PATH))
    print(f"{name}: {len(data)} bytes, path {path}, {psnr(faithful, pixels):.2f} dB", flush=True)
    return len(data)


def _print(rows: dict, pictures: dict[str, np.ndarray], features: Path) -> None:
    distance = SqueezeDistance(features)
    sources = {name: partial(np.copy, pixels) for name, pixels in pictures.items()}
    sets = {name: {p: partial(np.copy, r[1]) for p, r in zip(pictures, own, strict=True)} for name, own in rows.items()}
    real = measure_sets([SqueezeKid(features)], sources, sets)
    print("| | bytes | dB, realism 0 | dB, realism 1 | distance | squeeze_kid | encode, s | decode, s |\n|" + "---|" * 8)
    for name, own in rows.items():
        pairs = list(zip(own, pictures.values(), strict=True))
        far = [measure([distance], [pixels], [row[1]]).values["squeeze_distance"] for row, pixels in pairs]
        db = [np.mean([psnr(row[k], pixels) for row, pixels in pairs]) for k in (2, 1)]
        size, *seconds = np.mean([(row[0], row[3], row[4]) for row in own], 0)
        kid = real[name]["squeeze_kid"]
        print(f"| {name} | {size:.0f} | {db[0]:.2f} | {db[1]:.2f} | {np.mean(far):.4f} | {kid:.0f} | "
              f"{seconds[0]:.1f} | {seconds[1]:.1f} |")


if __name__ == "__main__":
    main()
