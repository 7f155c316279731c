"""One large picture through the real command line: peak memory, and whether tile borders show.

    python scripts/large_picture.py PHOTOS_FOLDER [--megapixels 100]

Photos are scaled and cut at random (always the same) into a mosaic whose photo edges do not follow the tile borders. It is
encoded and decoded, and so is the same mosaic without its first half tile of rows and columns, whose tile borders
therefore lie in the middle of the first one's tiles. So the errors of the same pixels can be compared, beside a border
and inside a tile: bands of 8 pixels on each side of every inner border.

Exit code 1 where the PSNRs of the two differ by more than 0.1 dB, or a process takes more than 2 GiB. POSIX only.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from calotype.codecs.image import TILE_SIDE  # noqa: E402
from calotype.codecs.suffixes import PICTURE_SUFFIXES  # noqa: E402

BAND = 8  # pixels on each side of a border
SHIFT = TILE_SIDE // 2
LIMIT_DB = 0.1
LIMIT_BYTES = 2 << 30
CELL_SIDES = 500, 1100  # of the photos in the mosaic: neither divides a tile, nor are two alike
MAX_SCALE = 2.0  # a photo is cut from at most so many times its cell's side

Band = tuple[slice, slice]  # rows, columns


@dataclass(frozen=True)
class Coded:
    """A picture after encode and decode. seconds, peaks: of the two processes; peaks in bytes."""

    pixels: np.ndarray
    size: int
    seconds: tuple[float, float]
    peaks: tuple[int, int]


def mosaic(photos: Sequence[Path], height: int, width: int) -> np.ndarray:
    """(height, width, 3) uint8: rows of photos of random heights, each photo of a random width."""
    rng, canvas, number, top = np.random.default_rng(0), np.empty((height, width, 3), np.uint8), 0, 0
    while top < height:
        rows, left = int(rng.integers(*CELL_SIDES)), 0
        while left < width:
            columns = int(rng.integers(*CELL_SIDES))
            cell = _cut(photos[number % len(photos)], rows, columns, rng)
            part = canvas[top : top + rows, left : left + columns]
            part[...] = cell[: part.shape[0], : part.shape[1]]
            number, left = number + 1, left + columns
        top += rows
    return canvas


def _cut(path: Path, rows: int, columns: int, rng: np.random.Generator) -> np.ndarray:
    with Image.open(path) as photo:
        whole = photo.convert("RGB")
    most = min(MAX_SCALE, whole.width / columns, whole.height / rows)
    scale = float(rng.uniform(min(1.0, most), most))
    size = columns * scale, rows * scale
    left, top = (float(rng.uniform(0, room)) for room in (whole.width - size[0], whole.height - size[1]))
    box = left, top, min(left + size[0], whole.width), min(top + size[1], whole.height)
    return np.asarray(whole.resize((columns, rows), Image.Resampling.LANCZOS, box))


def code(pixels: np.ndarray, folder: Path, options: Sequence[str], threads: Sequence[str]) -> Coded:
    """Through `calotype encode` and `calotype decode`, a process each."""
    source, stream, shown = (folder / name for name in ("in.ppm", "coded.calo", "out.ppm"))
    Image.fromarray(pixels).save(source)
    encoded = _run("encode", str(source), str(stream), *options, *threads)
    decoded = _run("decode", str(stream), str(shown), *threads)
    Image.MAX_IMAGE_PIXELS = None  # our own file
    with Image.open(shown) as picture:
        found = np.asarray(picture.convert("RGB"))
    return Coded(found, stream.stat().st_size, (encoded[0], decoded[0]), (encoded[1], decoded[1]))


def _run(*arguments: str) -> tuple[float, int]:
    """(seconds, peak resident bytes) of a process of the command line."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
    start = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "calotype", *arguments], env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"calotype {arguments[0]} ended with exit code {process.returncode}")
    return time.monotonic() - start, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def bands(height: int, width: int) -> Iterator[Band]:
    """The pixels within BAND of an inner tile border of a picture of that size."""
    for side, along in ((height, 0), (width, 1)):
        for border in range(TILE_SIDE, side - BAND + 1, TILE_SIDE):
            near = slice(border - BAND, border + BAND)
            yield (near, slice(None)) if along == 0 else (slice(None), near)


def squared_error(a: np.ndarray, b: np.ndarray, found: Sequence[Band]) -> tuple[float, int]:
    """(sum of squares, samples) over bands."""
    parts = [a[band].astype(np.int32) - b[band] for band in found]
    return sum(float((part * part).sum(dtype=np.int64)) for part in parts), sum(part.size for part in parts)


def psnr(*errors: tuple[float, int]) -> float:
    """dB of several sums together."""
    total, count = (sum(column) for column in zip(*errors, strict=True))
    return 10 * math.log10(255**2 * count / max(total, 1e-9))


def judge(pixels: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple[float, float, float]:
    """PSNR of the bands beside borders, of the same pixels where they are inside tiles, and of other pixels inside tiles.

    first: `pixels` decoded; second: pixels[SHIFT:, SHIFT:] decoded. The third is that of bands half a tile off in `first`,
    where the photos are other ones.
    """
    pixels, first = pixels[SHIFT:, SHIFT:], first[SHIFT:, SHIFT:]
    height, width = pixels.shape[:2]
    borders_of_second = list(bands(height, width))
    borders_of_first = [_moved(band) for band in bands(height + SHIFT, width + SHIFT)]
    at_first, at_second = (squared_error(p, pixels, b) for p, b in ((first, borders_of_first), (second, borders_of_second)))
    in_first, in_second = (squared_error(p, pixels, b) for p, b in ((first, borders_of_second), (second, borders_of_first)))
    return psnr(at_first, at_second), psnr(in_first, in_second), psnr(in_first)


def _moved(band: Band) -> Band:
    """A band of the whole picture in the coordinates of the cut one."""
    rows, columns = (slice(None) if s.start is None else slice(s.start - SHIFT, s.stop - SHIFT) for s in band)
    return rows, columns


def main() -> int:
    """Run the check; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="folder of photos")
    parser.add_argument("--megapixels", type=float, default=100.0)
    parser.add_argument("--quality", type=float, default=50.0)
    parser.add_argument("--model", help="name or file, as for `calotype encode -m`")
    parser.add_argument("--threads", type=int, help="of each process")
    given = parser.parse_args()
    photos = sorted(path for path in given.photos.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES)
    side = round(math.sqrt(given.megapixels * 1e6))
    if not photos or side < 2 * TILE_SIDE:
        parser.error(f"needs photos, and {(2 * TILE_SIDE) ** 2 / 1e6:.1f} megapixels at least: {len(photos)} photos, {side}²")
    pixels = mosaic(photos, side, side)
    options = ["--quality", f"{given.quality:g}", *(["--model", given.model] if given.model else [])]
    threads = ["--threads", str(given.threads)] if given.threads else []
    print(f"mosaic of {side}x{side} pixels from {len(photos)} photos, quality {given.quality:g}", flush=True)
    with tempfile.TemporaryDirectory(prefix="large-picture-") as folder:
        first = code(pixels, Path(folder), options, threads)
        for verb, seconds, peak in zip(("encode", "decode"), first.seconds, first.peaks, strict=True):
            print(f"{verb}: {seconds:.1f} s, peak memory {peak / 2**20:.0f} MiB", flush=True)
        strips = [(slice(top, top + BAND), slice(None)) for top in range(0, side, BAND)]
        whole = psnr(squared_error(first.pixels, pixels, strips))
        print(f"{first.size} bytes, {8 * first.size / side**2:.3f} bpp, PSNR {whole:.3f} dB", flush=True)
        second = code(np.ascontiguousarray(pixels[SHIFT:, SHIFT:]), Path(folder), options, threads)
    at_border, inside, elsewhere = judge(pixels, first.pixels, second.pixels)
    print(f"within {BAND} pixels of inner tile borders: {at_border:.3f} dB; the same pixels inside tiles: {inside:.3f} dB")
    print(f"difference: {at_border - inside:+.3f} dB (other pixels, half a tile from the borders: {elsewhere:.3f} dB)")
    seam, large = abs(at_border - inside) > LIMIT_DB, max(first.peaks) > LIMIT_BYTES
    print(f"seams: {'yes' if seam else 'no'}; under {LIMIT_BYTES >> 30} GiB: {'no' if large else 'yes'}")
    return int(seam or large)


if __name__ == "__main__":
    sys.exit(main())
