"""Measure a picture codec on a folder: a row per picture and quality, in a JSON run that can be stopped and resumed.

A row: picture, width, height, sha256 (of the pixels), quality, bytes (of the whole file), estimated_bits, mse, psnr_rgb
(null where mse is 0), encode_seconds and decode_seconds ({"total": ..., and by part where the codec says}),
differing_pixels (encoder's reconstruction against the decoder's picture), repeatable (a second encoding gave the same
bytes).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from calotype.codecs.pictures import read_picture
from calotype.codecs.suffixes import PICTURE_SUFFIXES
from calotype.errors import CalotypeError, UsageError
from calotype.eval.bdrate import Curve
from calotype.eval.coders import PictureCoder
from calotype.eval.metrics import CONVENTIONS, differing_pixels, mse_rgb, psnr_of
from calotype.eval.runs import Row, Run, start_run, write_run

KODAK = tuple(f"kodim{i:02d}.png" for i in range(1, 25))
# real bytes may be off the estimate by 1 %, or by this many, which framing and coder states take
MAX_EXCESS, MAX_EXCESS_BYTES = 0.01, 64
RATE = "rate: bytes of the whole file, without a colour profile; mean over pictures of each one's bits per pixel"
TIMING = "seconds: wall clock from pixels in memory to bytes in memory and back, one run each after one to warm up"

Progress = Callable[[int, int, str], None]


def find_pictures(sources: Iterable[Path], limit: int | None = None) -> list[Path]:
    """The picture files among `sources` (files, or folders whose files count, not those of folders below), sorted by
    name within each, the first `limit` of them. Raises UsageError: nothing there, or two of one name.
    """
    found: list[Path] = []
    for source in sources:
        if source.is_dir():
            inside = sorted(path for path in source.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES)
            if not inside:
                raise UsageError(f"there is no picture in {source}; give the folder that holds them")
            found += inside
        elif source.is_file():
            found.append(source)
        else:
            raise UsageError(f"there is no {source}; give a folder of pictures, or picture files")
    if not found:
        raise UsageError("no pictures to measure; give a folder of pictures, or picture files")
    names = [path.name for path in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise UsageError(f"two pictures are named {twice}: a run tells them apart by name; rename one")
    return found[:limit]


def evaluate(
    coder: PictureCoder,
    pictures: Sequence[Path],
    qualities: Sequence[float],
    environment: dict[str, str | int],
    command: str = "",
    out: Path | None = None,
    progress: Progress | None = None,
) -> Run:
    """Encode and decode each picture at each quality; give the run, and keep it in `out` after each picture.

    Where `out` exists, it must be a run of the same codec and environment: its rows of these pictures (same pixels)
    are not measured again, and its other rows stay. The summary covers the given pictures and qualities only. A picture
    that cannot be read or coded becomes a failure and the rest goes on. progress(done, total, name) is called before
    each measurement and at the end. Raises UsageError.
    """
    if not pictures or not qualities:
        raise UsageError("nothing to measure: give at least one picture and one quality")
    run = start_run(dict(coder.identity), environment, CONVENTIONS | {"rate": RATE, "timing": TIMING}, command, out)
    known = {(row["picture"], row["quality"]): row for row in run["rows"]}
    total, done, warm = len(pictures) * len(qualities), 0, False
    for path in pictures:
        try:
            pixels = read_picture(path).pixels
        except CalotypeError as error:
            run["failures"].append({"picture": path.name, "error": str(error)})
            done += len(qualities)
            continue
        digest = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()
        for quality in map(float, qualities):
            if progress:
                progress(done, total, path.name)
            done += 1
            old = known.get((path.name, quality))
            if old and old["sha256"] == digest:
                continue
            try:
                if not warm:
                    coder.decode(coder.encode(pixels, quality, False).data)
                    warm = True
                row = {"picture": path.name, "sha256": digest, **measure(coder, pixels, quality)}
            except CalotypeError as error:
                run["failures"].append({"picture": path.name, "quality": quality, "error": str(error)})
                continue
            known[path.name, quality] = row
        run["rows"] = list(known.values())
        run["summary"] = summarise(run, [path.name for path in pictures], qualities)
        if out is not None:
            write_run(out, run)
    if progress:
        progress(total, total, "")
    run["summary"] = summarise(run, [path.name for path in pictures], qualities)
    if out is not None:
        write_run(out, run)
    return run


def measure(coder: PictureCoder, pixels: np.ndarray, quality: float) -> Row:
    """One row, without the picture's name: encode (timed), decode (timed), then encode again with its reconstruction.

    pixels: (H, W, 3) uint8. Raises CalotypeError where the codec does, or where the picture changes its size.
    """
    start = time.perf_counter()
    coded = coder.encode(pixels, quality, False)
    encoded = time.perf_counter()
    seen = coder.decode(coded.data)
    decoded = time.perf_counter()
    again = coder.encode(pixels, quality, True)
    mse = mse_rgb(pixels, seen.pixels)
    reconstruction = again.reconstruction
    return {
        "width": pixels.shape[1],
        "height": pixels.shape[0],
        "quality": quality,
        "bytes": len(coded.data),
        "estimated_bits": coded.estimated_bits,
        "mse": mse,
        "psnr_rgb": psnr_of(mse) if mse else None,
        "encode_seconds": {"total": encoded - start, **coded.seconds},
        "decode_seconds": {"total": decoded - encoded, **seen.seconds},
        "differing_pixels": None if reconstruction is None else differing_pixels(reconstruction, seen.pixels),
        "repeatable": again.data == coded.data,
    }


def summarise(run: Run, pictures: Sequence[str], qualities: Sequence[float]) -> dict[str, Any]:
    """Means over the pictures that have a row at every quality, and the worst cases over the same rows.

    {"pictures": names, "points": [{"quality", "bpp", "estimated_bpp", "psnr_rgb", "encode_seconds", "decode_seconds"}],
    "checks": {...}}; a mean is null where one of its values is.
    """
    rows = {(row["picture"], row["quality"]): row for row in run["rows"]}
    whole = [name for name in pictures if all((name, float(quality)) in rows for quality in qualities)]
    points = []
    for quality in map(float, qualities if whole else ()):
        some = [rows[name, quality] for name in whole]
        sizes = [row["width"] * row["height"] for row in some]
        points.append(
            {
                "quality": quality,
                "bpp": _mean([8 * row["bytes"] / size for row, size in zip(some, sizes, strict=True)]),
                "estimated_bpp": _mean(
                    [
                        None if row["estimated_bits"] is None else row["estimated_bits"] / size
                        for row, size in zip(some, sizes, strict=True)
                    ]
                ),
                "psnr_rgb": _mean([row["psnr_rgb"] for row in some]),
                "encode_seconds": _mean([row["encode_seconds"]["total"] for row in some]),
                "decode_seconds": _mean([row["decode_seconds"]["total"] for row in some]),
            }
        )
    used = [rows[name, float(quality)] for name in whole for quality in qualities]
    return {"pictures": whole, "points": points, "checks": _checks(used)}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None


def _checks(rows: Sequence[Row]) -> dict[str, Any]:
    """Real bytes against estimated ones, and the encoder's reconstruction against the decoder's picture.

    over_bytes, over_percent: the row with the largest |real - estimated| by each measure ({"picture", "quality",
    "value"}), null without estimates; outside: rows beyond both bounds; differing_pixels: sum, null where no row knows;
    unrepeatable: rows whose second encoding gave other bytes.
    """

    def worst(excess: Callable[[Row], float]) -> dict[str, Any] | None:
        row = max(estimated, key=lambda row: abs(excess(row)), default=None)
        return row and {"picture": row["picture"], "quality": row["quality"], "value": excess(row)}

    estimated = [row for row in rows if row["estimated_bits"]]
    compared = [row["differing_pixels"] for row in rows if row["differing_pixels"] is not None]
    return {
        "rows": len(rows),
        "estimated": len(estimated),
        "over_bytes": worst(_over_bytes),
        "over_percent": worst(_over_percent),
        "outside": sum(
            abs(_over_bytes(row)) > MAX_EXCESS_BYTES and abs(_over_percent(row)) > 100 * MAX_EXCESS for row in estimated
        ),
        "compared": len(compared),
        "differing_pixels": sum(compared) if compared else None,
        "unrepeatable": sum(not row["repeatable"] for row in rows),
    }


def _over_bytes(row: Row) -> float:
    return row["bytes"] - row["estimated_bits"] / 8


def _over_percent(row: Row) -> float:
    return 100 * (8 * row["bytes"] / row["estimated_bits"] - 1)


def curve(run: Run, name: str) -> Curve:
    """The averaged rate-distortion curve of a run's summary; points without a PSNR (lossless) are left out."""
    points = [point for point in run["summary"]["points"] if point["psnr_rgb"] is not None]
    return Curve(name, [point["bpp"] for point in points], [point["psnr_rgb"] for point in points])
