"""Bytes and seconds of lossless coders: python scripts/compare_lossless.py PICTURE... [--coders ours,inr,png,webp,jxl7,jxl9]

Each picture is read as 8-bit RGB, coded, decoded and compared pixel by pixel, one thread each. Seconds are CPU
seconds of this process. inr: --lossless --net bitplane, fitted for --minutes, or as long as its default effort takes.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from calotype import threads
from calotype.codecs.bitplane import BitplaneCodec
from calotype.codecs.container import read
from calotype.codecs.lossless import LosslessCodec
from calotype.codecs.pictures import read_picture

Pair = tuple[Callable[[np.ndarray], bytes], Callable[[bytes], np.ndarray]]


def pillow(form: str, **options: object) -> Pair:
    """A coder that Pillow, or a plugin of it, holds."""

    def encode(pixels: np.ndarray) -> bytes:
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, form, **options)
        return stream.getvalue()

    return encode, lambda data: np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def ours(codec: LosslessCodec | BitplaneCodec) -> Pair:
    """One of this package."""
    return lambda pixels: codec.encode(pixels).data, lambda data: codec.decode(read(data)).pixels


CODERS: dict[str, Pair] = {
    "ours": ours(LosslessCodec()),
    "inr": ours(BitplaneCodec()),
    "png": pillow("PNG", optimize=True),
    "webp": pillow("WEBP", lossless=True, quality=100, method=6),
    "jxl7": pillow("JXL", lossless=True, effort=7, num_threads=1),
    "jxl9": pillow("JXL", lossless=True, effort=9, num_threads=1),
}


def middle(pixels: np.ndarray, side: int | None) -> np.ndarray:
    """At most `side` x `side` pixels."""
    top, left = ((0 if side is None else max(size - side, 0) // 2) for size in pixels.shape[:2])
    return np.ascontiguousarray(pixels[top:, left:][:side, :side])


def main() -> None:
    """Print a line a picture and coder as it goes, then the sums."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("--coders", default=",".join(CODERS))
    parser.add_argument("--crop", type=int, help="code the middle of each picture, so many pixels a side at most")
    parser.add_argument("--minutes", type=float, help="of inr, a picture")
    arguments = parser.parse_args()
    CODERS["inr"] = ours(BitplaneCodec(minutes=arguments.minutes))
    threads.set_count(1)
    names = arguments.coders.split(",")
    if any(name.startswith("jxl") for name in names):
        import pillow_jxl  # noqa: F401
    for name, codec in (("ours", LosslessCodec()), ("inr", BitplaneCodec(effort=0))):
        if name in names:  # compile before anything is timed
            codec.encode(np.zeros((8, 8, 3), np.uint8))
    sums = {name: np.zeros(3) for name in names}
    for path in arguments.pictures:
        pixels = middle(read_picture(path).pixels, arguments.crop)
        for name in names:
            encode, decode = CODERS[name]
            start = time.process_time()
            data = encode(pixels)
            coded = time.process_time()
            seen = decode(data)
            seconds = (coded - start, time.process_time() - coded)
            if not np.array_equal(seen, pixels) and not np.array_equal(seen, pixels[..., 0]):
                raise SystemExit(f"{name} is not lossless on {path}")
            sums[name] += (len(data), *seconds)
            print(f"{path.name} {name} {len(data)} bytes, {seconds[0]:.2f} s and {seconds[1]:.2f} s", flush=True)
    count = len(arguments.pictures)
    for name, (size, encoding, decoding) in sums.items():
        print(f"{name:5} {int(size):10} bytes, {encoding / count:.2f} s to encode, {decoding / count:.2f} s to decode each")


if __name__ == "__main__":
    main()
