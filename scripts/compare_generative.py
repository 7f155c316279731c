#!/usr/bin/env python
"""Pictures of equal bytes, by codec: scripts/compare_generative.py PICTURES_DIR SQUEEZENET.safetensors OUT [--bpp 0.06 0.12]

Each picture is coded by the generative model at no more than so many bits a pixel, and decoded at five settings of realism; the
picture that its net is given, enlarged, is the row "coded". The others get the bytes of that file: the largest file that is no
larger, or, where a codec has none, its smallest, and the table says of how many pictures that is so. Means over pictures of
PSNR-RGB, MS-SSIM, the SqueezeNet distance (not LPIPS), LPIPS and DISTS where their weights are; of all pictures at once, how
real patches look (by SqueezeNet, not KID; FID and KID where Inception is). Decoded pictures go to the folder OUT, figures of
each to OUT.json, tables to OUT.md; what is there is not measured again. --limit N: the first N only.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from calotype.atomic import write_bytes
from calotype.codecs import container
from calotype.codecs.registry import open_model
from calotype.codecs.targets import Target, encode_to
from calotype.errors import UsageError
from calotype.eval import coders
from calotype.eval.metrics import METRICS, measure
from calotype.eval.metrics.fid import Inception
from calotype.eval.metrics.sets import measure_sets
from calotype.eval.metrics.squeeze import SqueezeDistance, SqueezeKid
from calotype.models.generative.net import enlarge
from calotype.models.zoo import DEFAULT_IMAGE_MODEL

REALISM = (0.0, 0.25, 0.5, 0.75, 1.0)
OTHERS = {"avif": 100, "avif:iq": 100, "jxl": 100}  # of `calotype eval`; the top of the dial, which is of integers from 1 on
Shown = tuple[int, np.ndarray]  # bytes of the file, pixels


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("features", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--bpp", type=float, nargs="+", default=[0.06, 0.12])
    parser.add_argument("--model", default="generative")
    parser.add_argument("--limit", type=int)
    options = parser.parse_args()
    distance, inception = SqueezeDistance(options.features), Inception()
    learnt = [METRICS[name] for name in ("lpips_alex", "dists") if METRICS[name].unavailable() is None]
    metrics = [METRICS["psnr_rgb"], METRICS["ms_ssim_rgb"], *learnt, distance]
    record = Path(f"{options.out}.json")
    rows: list[dict[str, Any]] = json.loads(record.read_text()) if record.exists() else []
    known = {(r["picture"], r["target"]) for r in rows}
    paths = sorted(options.pictures.glob("*.png"))[: options.limit]
    for path in paths:
        pixels = _read(path)
        for bpp in (b for b in options.bpp if (path.name, b) not in known):
            for name, (size, shown) in _all(options.model, pixels, bpp).items():
                values = measure(metrics, [pixels], [shown]).values
                kept = options.out / f"{bpp:g}" / name.replace(":", "-").replace(" ", "-") / path.name
                kept.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(shown).save(kept)
                at = {"picture": path.name, "target": bpp, "codec": name, "bytes": size, "pixels": pixels.size // 3}
                rows.append(at | {"kept": str(kept)} | values)
            write_bytes(record, (json.dumps(rows, indent=1) + "\n").encode())
        print(path.name, file=sys.stderr)
    sets: dict[tuple[float, str], dict[str, Any]] = {}
    rows = [r for r in rows if r["target"] in options.bpp and r["picture"] in {path.name for path in paths}]
    for r in rows:
        sets.setdefault((r["target"], r["codec"]), {})[r["picture"]] = partial(_read, Path(r["kept"]))
    of_sets = [SqueezeKid(options.features), *([inception] if inception.unavailable() is None else [])]
    real = measure_sets(of_sets, {path.name: partial(_read, path) for path in paths}, sets)
    table = "\n".join(_table(rows, [m.name for m in metrics], real))
    Path(f"{options.out}.md").write_text(table + "\n")
    print(table)
    return 0


def _read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def _all(model: str, pixels: np.ndarray, bpp: float) -> dict[str, Shown]:
    """What each codec makes of one picture, the first ones of one file."""
    codec = open_model(model)
    data = encode_to(codec, pixels, Target("bpp", bpp)).data
    stream, started = container.read(data), time.perf_counter()
    found = {f"realism {b:g}": (len(data), codec.decode(stream, realism=b).pixels) for b in REALISM}
    print(f"  {(time.perf_counter() - started) / len(REALISM):.2f} s a decode", file=sys.stderr)
    exact = torch.from_numpy(codec.decode_exact(stream)).permute(2, 0, 1)[None].float() / 255
    scale = stream.header.params.get("scale", 1)
    larger = (enlarge(exact, scale)[0].permute(1, 2, 0) * 255).round().byte().numpy()[: pixels.shape[0], : pixels.shape[1]]
    found["coded"] = (len(data), larger)
    found[DEFAULT_IMAGE_MODEL] = _by_size(DEFAULT_IMAGE_MODEL, pixels, len(data))
    return found | {spec: _anchor(spec, top, pixels, len(data)) for spec, top in OTHERS.items()}


def _by_size(model: str, pixels: np.ndarray, size: int) -> Shown:
    codec = open_model(model)
    try:
        data = encode_to(codec, pixels, Target("size", size)).data
    except UsageError:  # its smallest file is larger
        data = codec.encode(pixels, 0).data
    return len(data), codec.decode(container.read(data)).pixels


def _anchor(spec: str, top: int, pixels: np.ndarray, size: int) -> Shown:
    """The largest file of that coder that is no larger, by halving."""
    coder = coders.make(spec)
    low, high, best = 1, top, coder.encode(pixels, 1)
    while low < high:
        middle = (low + high + 1) // 2
        data = coder.encode(pixels, middle)
        if len(data) <= size:
            low, best = middle, data
        else:
            high = middle - 1
    return len(best), coder.decode(best)


def _table(rows: list[dict[str, Any]], names: list[str], real: dict[tuple[float, str], dict[str, float | None]]) -> list[str]:
    """Markdown: means by target and codec, figures of the set, distance against the image model, files over the bytes."""
    text, distance, of_sets = [], names[-1], list(next(iter(real.values())))
    for target in dict.fromkeys(r["target"] for r in rows):
        here = [r for r in rows if r["target"] == target]
        allowed = {r["picture"]: r["bytes"] for r in here if r["codec"] == "coded"}
        by_codec = {codec: [r for r in here if r["codec"] == codec] for codec in dict.fromkeys(r["codec"] for r in here)}
        ours = next(np.mean([r[distance] for r in own]) for codec, own in by_codec.items() if codec.startswith("image-"))
        heads = ["codec", "bpp", *names, *of_sets, "distance against image model", "files over"]
        text += [f"At most {target:g} bpp, {len(allowed)} pictures", "", f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
        for codec, own in by_codec.items():
            means = {name: np.mean([r[name] for r in own]) for name in names}
            cells = [codec, f"{np.mean([8 * r['bytes'] / r['pixels'] for r in own]):.4f}"]
            cells += [f"{value:.{2 if name == 'psnr_rgb' else 4}f}" for name, value in means.items()]
            cells += ["n/a" if v is None else f"{v:.4g}" for v in real[target, codec].values()]
            over = sum(r["bytes"] > allowed[r["picture"]] for r in own)
            text.append(f"| {' | '.join([*cells, f'{100 * (means[distance] / ours - 1):+.1f} %', str(over)])} |")
        text += ["", _equal(here, distance), ""]
    return text[:-1]


def _equal(rows: list[dict[str, Any]], distance: str) -> str:
    """At bytes that the image model can reach, realism 1 and 0 against it; and how many pictures' dial never goes back."""
    pictures: dict[str, dict[str, Any]] = {}
    for r in rows:
        pictures.setdefault(r["picture"], {})["ours" if r["codec"].startswith("image-") else r["codec"]] = r
    dial = [[p[f"realism {b:g}"][distance] for b in REALISM] for p in pictures.values()]
    falling = sum(values == sorted(values, reverse=True) for values in dial)
    within = [p for p in pictures.values() if p["ours"]["bytes"] <= p["coded"]["bytes"]]
    text = f"The distance falls along the dial for {falling} of {len(dial)} pictures."
    if within:
        one, ours = (np.mean([p[name][distance] for p in within]) for name in ("realism 1", "ours"))
        db = np.mean([p["realism 0"]["psnr_rgb"] - p["ours"]["psnr_rgb"] for p in within])
        text += (
            f" The image model's file fits for {len(within)}: of these, distance {100 * (one / ours - 1):+.1f} % at realism 1,"
        )
        text += f" PSNR {db:+.2f} dB at realism 0."
    return text


if __name__ == "__main__":
    sys.exit(main())
