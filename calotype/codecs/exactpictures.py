"""Pictures for the lossless codec: what `pictures.py` reads, but grey stays grey and 16-bit grey keeps its bits."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from ..errors import UsageError
from .limits import Limits
from .pictures import Picture, read_picture

_REDUCED = "reduced to 8"  # how the reader's notes say that bits are lost


def read_exact(source: Path | bytes | Image.Image, drop_alpha: bool = False, limits: Limits | None = None) -> Picture:
    """As `read_picture`, but pixels are (H, W) where all of them are grey and there is no colour profile, and uint16 where the
    picture is 16-bit grey. Raises what `read_picture` does, UsageError for deeper samples that Pillow does not give whole."""
    picture = read_picture(source, drop_alpha, limits)
    notes = [note for note in picture.notes if _REDUCED not in note]
    if len(notes) < len(picture.notes):
        return Picture(_sixteen_bits(source), None, notes)
    pixels = picture.pixels
    if picture.icc is None and (pixels == pixels[:, :, :1]).all():
        pixels = np.ascontiguousarray(pixels[:, :, 0])
    return Picture(pixels, picture.icc, notes)


def _sixteen_bits(source: Path | bytes | Image.Image) -> np.ndarray:
    """(H, W) uint16 of a picture that was found good. Raises UsageError unless it is 16-bit grey."""
    if isinstance(source, Image.Image):
        image = source
    else:
        image = Image.open(io.BytesIO(source) if isinstance(source, bytes | bytearray | memoryview) else source)
    if image.mode != "I" and not image.mode.startswith("I;16"):
        raise UsageError(
            "the picture has more than 8 bits a sample, of which Pillow gives 8: --lossless would lose the others; reduce it "
            "to 8 bits first, or give its samples to calotype.codecs.lossless as an array"
        )
    return np.ascontiguousarray(np.asarray(ImageOps.exif_transpose(image)).astype(np.uint16))
