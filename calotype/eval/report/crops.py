"""Crops of kept pictures side by side at about equal bytes: for each source a target, each codec's nearest row to it, and
the window in which the codecs differ most from each other.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from calotype.codecs.pictures import read_picture
from calotype.errors import CalotypeError
from calotype.eval.report.inputs import Run

WIDTH, HEIGHT = 336, 252
MAX_SOURCES = 6
MAX_CHARACTERS = 4_500_000  # of base64 in all, so that the page stays below 6 MB
TARGET_BPP = 0.3  # where codecs can be told apart by eye
STEP = 12  # grid of window positions, and size of the blocks whose differences are summed
FAR = 0.1  # a picture whose bytes are further off the target than this is marked

Row = dict[str, Any]


def choose_crops(
    runs: Sequence[tuple[Path, Run]],
    originals: Path | None = None,
    target_bpp: float = TARGET_BPP,
    pictures: Path | None = None,
) -> tuple[list[Row], list[str]]:
    """Crops for the report, and what should be known (pictures that are missing, sources left out).

    runs: each with its file's path; a row's "picture" is relative to `pictures` (the folder of `eval --keep`), or to
    that file's folder.
    originals: folder of the sources, to show them too. The target of a source is the bytes of the first codec's kept
    row that is nearest to target_bpp.

    A crop: {"source", "x", "y", "width", "height", "target", "items": [{"codec", "point", "bytes", "bpp", "metrics",
    "far": bool, "image": data URI}]}; the original's item has codec "original" and no bytes.
    """
    kept: dict[str, dict[str, list[tuple[Row, Path]]]] = {}
    notes: list[str] = []
    absent = 0
    for path, run in runs:
        for row in run["rows"]:
            if not row.get("picture"):
                continue
            file = _find([pictures, path.parent], str(row["picture"]))
            if file is None:
                absent += 1
                continue
            kept.setdefault(row["source"], {}).setdefault(row["codec"], []).append((row, file))
    if absent:
        notes.append(f"{absent} kept pictures that the runs name are not where they say; their crops are left out")
    crops: list[Row] = []
    able = sorted((source for source, codecs in kept.items() if len(codecs) > 1 or originals), key=lambda s: (-len(kept[s]), s))
    size = 0
    for source in _spread(able):
        try:
            crop = _crop(source, kept[source], originals, target_bpp)
        except CalotypeError as error:
            notes.append(f"no crop of {source}: {error}")
            continue
        length = sum(len(item["image"]) for item in crop["items"])
        if size + length > MAX_CHARACTERS:
            notes.append(f"crops of {len(able) - len(crops)} sources are left out to keep the page small")
            break
        size += length
        crops.append(crop)
    return crops, notes


def _spread(names: Sequence[str]) -> list[str]:
    """At most MAX_SOURCES, evenly over the list: not the first few, and not picked for what they show."""
    if len(names) <= MAX_SOURCES:
        return list(names)
    return [names[round(i * (len(names) - 1) / (MAX_SOURCES - 1))] for i in range(MAX_SOURCES)]


def _find(folders: Sequence[Path | None], name: str) -> Path | None:
    return next((folder / name for folder in folders if folder is not None and (folder / name).is_file()), None)


def _crop(source: str, codecs: Mapping[str, list[tuple[Row, Path]]], originals: Path | None, target_bpp: float) -> Row:
    first = next(iter(codecs.values()))
    target = min((row for row, _ in first), key=lambda row: abs(math.log(row["bpp"] / target_bpp)))["bytes"]
    chosen = {
        codec: min(some, key=lambda pair: abs(math.log(pair[0]["bytes"] / target))) for codec, some in codecs.items()
    }
    pictures = {codec: read_picture(file).pixels for codec, (_, file) in chosen.items()}
    file = _original(originals, source)
    shown = ({"original": read_picture(file).pixels} if file else {}) | pictures
    shapes = {picture.shape for picture in shown.values()}
    if len(shapes) > 1:
        raise CalotypeError(f"its pictures differ in size ({', '.join(f'{s[1]}x{s[0]}' for s in sorted(shapes))})")
    x, y, width, height = _window(list(shown.values()))
    items = []
    for codec, picture in shown.items():
        row = chosen[codec][0] if codec in chosen else {}
        items.append(
            {
                "codec": codec,
                "point": row.get("point"),
                "bytes": row.get("bytes"),
                "bpp": row.get("bpp"),
                "metrics": {name: value for name, value in row.get("metrics", {}).items() if value is not None},
                "far": bool(row) and abs(math.log(row["bytes"] / target)) > math.log1p(FAR),
                "image": _data_uri(picture[y : y + height, x : x + width]),
            }
        )
    return {"source": source, "x": x, "y": y, "width": width, "height": height, "target": target, "items": items}


def _original(folder: Path | None, source: str) -> Path | None:
    if folder is None:
        return None
    return next((path for path in (folder / source, folder / f"{source}.png") if path.is_file()), None)


def _window(pictures: Sequence[np.ndarray]) -> tuple[int, int, int, int]:
    """x, y, width, height of the window with the largest sum of absolute differences from the pictures' mean."""
    height, width = pictures[0].shape[:2]
    mean = sum(picture.astype(np.float32) for picture in pictures) / len(pictures)
    spread = sum(np.abs(picture - mean).sum(axis=2) for picture in pictures)
    rows, columns = max(1, height // STEP), max(1, width // STEP)
    blocks = spread[: rows * STEP, : columns * STEP]
    if height >= STEP and width >= STEP:
        blocks = blocks.reshape(rows, STEP, columns, STEP).sum(axis=(1, 3))
    else:
        blocks = blocks.sum(keepdims=True)
    total = np.pad(blocks.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    high, wide = min(rows, HEIGHT // STEP), min(columns, WIDTH // STEP)
    sums = total[high:, wide:] - total[:-high, wide:] - total[high:, :-wide] + total[:-high, :-wide]
    y, x = np.unravel_index(int(np.argmax(sums)), sums.shape)
    crop_width, crop_height = min(WIDTH, width), min(HEIGHT, height)
    return min(int(x) * STEP, width - crop_width), min(int(y) * STEP, height - crop_height), crop_width, crop_height


def _data_uri(pixels: np.ndarray) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
