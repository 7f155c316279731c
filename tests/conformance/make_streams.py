"""Makes the released streams that must decode for ever: python tests/conformance/make_streams.py, once a released model.

The pictures are drawn by arithmetic, so that nothing but the streams and digests needs keeping.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

STREAMS = Path(__file__).parent / "streams"
SHAPES = {"small": (96, 64), "odd": (131, 203), "tiled": (300, 280), "region": (160, 200)}
QUALITIES = (10, 55, 95, 70)


def picture(height: int, width: int, seed: int) -> np.ndarray:
    """(height, width, 3) uint8: smooth shapes, edges, texture and a little noise, the same everywhere."""
    y, x = np.mgrid[:height, :width]
    rng = np.random.default_rng(seed)
    noise = rng.integers(-6, 7, (height, width, 3))
    stripes = 40 * ((x // 7 + y // 11) % 2)
    disc = 70 * ((x - width // 2) ** 2 + (y - height // 3) ** 2 < (min(height, width) // 4) ** 2)
    planes = [(3 * x + y) % 256 // 2 + stripes, 255 - (x + 2 * y) % 256 // 2 - disc, 60 + stripes // 2 + disc]
    return np.clip(np.stack(planes, -1) + noise, 0, 255).astype(np.uint8)


def digests(data: bytes, execution: str | None = None) -> dict[str, object]:
    """What a decoder must find in a stream: SHA-256 of all symbols; mean of each 32x32 block of pixels, rounded."""
    from calotype.codecs.image import iter_tiles
    from calotype.codecs.registry import open_stream

    stream, codec = open_stream(data, execution=execution)
    h = hashlib.sha256()
    for tile in iter_tiles(stream):
        for symbols in codec.symbols(*tile)[0]:
            h.update(np.ascontiguousarray(symbols, "<i4").tobytes())
    pixels = codec.decode(stream).pixels.astype(np.float64)
    rows, columns = (np.arange(0, n, 32) for n in pixels.shape[:2])
    sums = np.add.reduceat(np.add.reduceat(pixels, rows, 0), columns, 1)
    counts = np.add.reduceat(np.add.reduceat(np.ones(pixels.shape), rows, 0), columns, 1)
    return {"symbols": h.hexdigest(), "blocks": (sums / counts).round(1).tolist()}


def main() -> None:
    """Write STREAMS/NAME.calo and STREAMS/digests.json."""
    from calotype.codecs.image import ImageCodec, Roi
    from calotype.models.zoo import load_model

    STREAMS.mkdir(exist_ok=True)
    found = {}
    for number, ((name, shape), quality) in enumerate(zip(SHAPES.items(), QUALITIES, strict=True)):
        codec = ImageCodec(load_model(), 128) if name == "tiled" else ImageCodec(load_model())
        pixels = picture(*shape, number)
        roi = Roi(np.tile(np.arange(shape[1], dtype=np.uint8), (shape[0], 1)), 40) if name == "region" else None  # 0 to 199
        data = codec.encode(pixels, quality, roi=roi).data
        file = f"{codec.bundle.name}-{name}.calo"
        (STREAMS / file).write_bytes(data)
        found[file] = digests(data)
    (STREAMS / "digests.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
