"""Released streams that must decode for ever, and what must come of them: SHA-256 of symbols and of pixels.

`tests/conformance/make_streams.py` makes what lies here, and nothing else does: NAME.calo, digests.json, and the latents of
some streams as NAME.npz (`nets.py`) for machines that have no entropy decoder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ..container import Container
    from ..image import ImageCodec
    from ..overfit import OverfitCodec
    from ..video.whole import VideoCodec

FOLDER = Path(__file__).parent


def released() -> dict[str, dict[str, str]]:
    """{file of a stream: {"symbols": ..., "pixels": ...}}, SHA-256 in hexadecimal; the files lie in FOLDER."""
    return _committed()["streams"]


def released_priors() -> dict[str, str]:
    """{model: `nets.walk_digest` of its prior}."""
    return _committed()["priors"]


def _committed() -> dict[str, Any]:
    return json.loads((FOLDER / "digests.json").read_text(encoding="utf-8"))


def symbol_digest(arrays: Iterable[np.ndarray]) -> str:
    """SHA-256 of integers as little-endian int32, array by array."""
    h = hashlib.sha256()
    for array in arrays:
        h.update(np.ascontiguousarray(array, "<i4").tobytes())
    return h.hexdigest()


def pixel_digest(pixels: np.ndarray) -> str:
    """SHA-256 of shape and bytes of (H, W, 3) uint8."""
    return hashlib.sha256(f"{pixels.dtype}{pixels.shape}".encode() + pixels.tobytes()).hexdigest()


def digests(stream: Container, codec: ImageCodec | VideoCodec | OverfitCodec, batch: int = 1) -> dict[str, str]:
    """{"symbols": ..., "pixels": ...} of a stream that was read, as `codec` decodes it.

    batch: how many pictures the synthesis paints at once: an image stream's tile is the last of them. Raises what decoding
    raises: CorruptStreamError, DesyncError.
    """
    from dataclasses import replace

    from ..image import ImageCodec

    if not isinstance(codec, ImageCodec):
        return codec.digests(stream)

    class Watched(ImageCodec):
        def symbols(self, *args: Any) -> Any:
            found = super().symbols(*args)
            seen.extend(found[0])
            return found

    seen: list[np.ndarray] = []
    bundle = codec.bundle if batch == 1 else replace(codec.bundle, synthesis=Batch(codec.bundle.synthesis, batch))
    pixels = Watched(bundle).decode(stream).pixels
    return {"symbols": symbol_digest(seen), "pixels": pixel_digest(pixels)}


class Batch:
    """A synthesis of one picture, done among `count` (up to 4): after it upside down, mirrored, and negated."""

    def __init__(self, inner: Any, count: int):
        self.inner, self.count = inner, count

    def __call__(self, y_hat: np.ndarray, quality: Any) -> np.ndarray:
        """As `IntegerSynthesis`, for y_hat (1, h, w, M)."""
        others = [y_hat[:, ::-1], y_hat[:, :, ::-1], -y_hat][: self.count - 1]
        return self.inner(np.concatenate([*others, y_hat]), quality)[-1:]
