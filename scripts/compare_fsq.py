#!/usr/bin/env python
"""Pictures below 0.03 bits a pixel, by codec: scripts/compare_fsq.py PICTURES_DIR SQUEEZENET.safetensors OUT [--model fsq]

Each picture by the model of few indices at three positions of its dial, and in no more bytes than each of these files: by
`-m generative` at realism 1, where its least file is no larger; and by the image model behind that one, of the picture at
1/3, 1/4 and 1/6 of its size, enlarged (cubic), of these the one of the least distance. Real bytes of whole files. Means
over pictures of PSNR-RGB and of the SqueezeNet distance (not LPIPS), of those that both codecs have; of all pictures at once
how real patches look (squeeze_kid, not KID). Decoded pictures go to the folder OUT, the tables to OUT.md. --every N: each Nth
picture in order of name; --crop W H: the middle of each, at most so large.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from calotype.codecs import container
from calotype.codecs.registry import open_model
from calotype.codecs.targets import Target, encode_to, psnr
from calotype.errors import UsageError
from calotype.eval.metrics.sets import measure_sets
from calotype.eval.metrics.squeeze import SqueezeDistance, SqueezeKid
from calotype.models.generative.net import enlarge, shrink

DIALS = (0, 50, 100)
SCALES = (3, 4, 6)
OURS, GENERATIVE = "fsq", "generative"
Shown = tuple[int, np.ndarray]  # bytes of the file, pixels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("features", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default="fsq")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--crop", type=int, nargs=2, default=(1 << 16, 1 << 16))
    options = parser.parse_args()
    ours, generative = open_model(options.model), open_model("generative")
    still = open_model(generative.bundle.image.name)
    distance, rows, sources = SqueezeDistance(options.features), [], {}
    for path in sorted(p for p in options.pictures.iterdir() if p.is_file())[:: options.every]:
        read = partial(_middle, path, *options.crop)
        pixels, sources[path.name] = read(), read
        found = ours.analyse(pixels, 0)
        for dial in DIALS:
            data = ours.encode(pixels, dial, analysis=found).data
            shown = {OURS: (len(data), ours.decode(container.read(data)).pixels)}
            shown[GENERATIVE] = _within(generative, pixels, len(data))
            small = [s for scale in SCALES if (s := _enlarged(still, pixels, scale, len(data)))]
            shown[still.bundle.name] = min(small, key=lambda s: distance.of_frame(pixels, s[1]), default=None)
            for codec, one in shown.items():
                if one is None:
                    continue
                kept = options.out / f"{dial:03}" / codec / f"{path.stem}.png"
                kept.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(one[1]).save(kept)
                row = {"picture": path.name, "dial": dial, "codec": codec, "kept": kept, "bpp": 8 * one[0] / (pixels.size // 3)}
                rows.append(row | {"psnr": psnr(one[1], pixels), "distance": distance.of_frame(pixels, one[1])})
        print(path.name, flush=True)
    table = "\n".join(_table(rows, sources, SqueezeKid(options.features)))
    Path(f"{options.out}.md").write_text(table + "\n")
    print(table)


def _middle(path: Path, width: int, height: int) -> np.ndarray:
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    top, left = (max(0, (n - most) // 2) for n, most in zip(pixels.shape[:2], (height, width), strict=True))
    return np.ascontiguousarray(pixels[top : top + height, left : left + width])


def _within(codec: Any, pixels: np.ndarray, size: int) -> Shown | None:
    """The largest file of no more bytes; None where there is none."""
    try:
        data = encode_to(codec, pixels, Target("size", size)).data
    except UsageError:
        return None
    return len(data), codec.decode(container.read(data)).pixels


def _enlarged(codec: Any, pixels: np.ndarray, scale: int, size: int) -> Shown | None:
    """The same of the picture at 1 / scale of its size."""
    height, width = (-(-n // scale) * scale for n in pixels.shape[:2])
    whole = np.pad(pixels, ((0, height - pixels.shape[0]), (0, width - pixels.shape[1]), (0, 0)), mode="edge")
    small = shrink(torch.from_numpy(whole).permute(2, 0, 1)[None], scale)[0].permute(1, 2, 0).contiguous().numpy()
    coded = _within(codec, small, size)
    if coded is None:
        return None
    large = enlarge(torch.from_numpy(coded[1]).permute(2, 0, 1)[None].float() / 255, scale)[0].permute(1, 2, 0)
    return coded[0], (large * 255).round().byte().numpy()[: pixels.shape[0], : pixels.shape[1]]


def _table(rows: list[dict[str, Any]], sources: dict[str, Any], kid: SqueezeKid) -> list[str]:
    """Markdown: ours alone, then against each of the others, by position of the dial."""
    text, heads = [], "dial | pictures | bpp | dB | distance | squeeze_kid"
    for other in dict.fromkeys(r["codec"] for r in rows):
        pair = [OURS] if other == OURS else [OURS, other]
        title = OURS if other == OURS else f"{OURS} / {other}, in no more bytes"
        text += [title, "", f"| {heads} |", "|---|---|---|---|---|---|"]
        for dial in DIALS:
            names = {r["picture"] for r in rows if r["dial"] == dial and r["codec"] == other}
            if not names:
                continue
            here = [r for r in rows if r["dial"] == dial and r["picture"] in names]
            own = {c: [r for r in here if r["codec"] == c] for c in pair}
            means = [[np.mean([r[key] for r in of]) for key in ("bpp", "psnr", "distance")] for of in own.values()]
            sets = {c: {r["picture"]: partial(_middle, r["kept"], 1 << 16, 1 << 16) for r in of} for c, of in own.items()}
            real = measure_sets([kid], {name: sources[name] for name in names}, sets) if len(names) > 1 else {}
            kids = [f"{real[c]['squeeze_kid']:.0f}" if real else "" for c in pair]
            cells = [" / ".join(f"{v:.{d}f}" for v in values) for *values, d in zip(*means, (4, 2, 4), strict=True)]
            text.append(f"| {dial} | {len(names)} | {' | '.join(cells)} | {' / '.join(kids)} |")
        text.append("")
    return text[:-1]


if __name__ == "__main__":
    main()
