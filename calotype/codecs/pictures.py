"""Pictures to pixels and back, through Pillow: anything it reads becomes 8-bit RGB, and every loss is said in words.

file, bytes or PIL image --open, check, load--> mode --turn upright, flatten--> Picture(pixels, icc, notes)
"""

from __future__ import annotations

import io
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ..atomic import replacing
from ..errors import CalotypeError, CorruptStreamError, LimitError, UsageError
from . import signatures
from .header import MAGIC
from .limits import Limits
from .suffixes import PICTURE_FORMATS, PICTURE_SUFFIXES

__all__ = ["PICTURE_FORMATS", "PICTURE_SUFFIXES", "Picture", "read_picture", "write_picture"]

# What Pillow's readers raise on damaged files, besides UnidentifiedImageError, which is an OSError.
_DAMAGED = (OSError, SyntaxError, EOFError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError)
_DAMAGED += (RuntimeError, struct.error, zlib.error)
_ORIENTATION = 0x0112  # EXIF tag
_PILLOW_BOUND = threading.Lock()
_PNG_LEVEL = 3  # measured on Kodak: the files of level 6 and below differ by 1 %, level 3 takes half the time
_LOSSY = {"JPEG": {"quality": 95, "subsampling": 0}, "AVIF": {"quality": 95, "subsampling": "4:4:4"}}
_LOSSLESS = {
    "PNG": {"compress_level": _PNG_LEVEL},
    "WEBP": {"lossless": True},
    "TIFF": {"compression": "tiff_adobe_deflate"},
}
_WITHOUT_ICC = ("BMP", "PPM")
_TRANSPARENT = (
    "the picture has transparency, which .calo does not keep; drop it with --drop-alpha (in Python: .convert('RGB'))"
)


@dataclass(frozen=True)
class Picture:
    """pixels: (H, W, 3) uint8 RGB, C-contiguous. icc: the RGB colour profile, None for sRGB. notes: what was lost or
    changed on the way, one sentence each, for a person to read."""

    pixels: np.ndarray
    icc: bytes | None = None
    notes: list[str] = field(default_factory=list)


def read_picture(source: Path | bytes | Image.Image, drop_alpha: bool = False, limits: Limits | None = None) -> Picture:
    """Any picture that Pillow reads, as upright 8-bit RGB; plain RGB and grey keep their exact values.

    source: a path, a file's bytes, or a PIL image. Transparency is refused, unless the picture is opaque all over or
    `drop_alpha` is set (the colours under it are then kept as they are). CMYK is converted without its profile, samples
    of more than 8 bits lose the lower ones, of an animation the first frame is taken: `notes` says so.
    Raises UsageError (no such file, a directory, transparency, samples that are no colours), CorruptStreamError (empty,
    damaged, not a picture), LimitError (more pixels than `limits` allow, before they are allocated).
    """
    limits = limits or Limits()
    if isinstance(source, Image.Image):
        _check_size(source.size, limits)
        return _to_rgb(source, drop_alpha)
    if isinstance(source, bytes | bytearray | memoryview):
        return _read_stream(io.BytesIO(source), drop_alpha, limits)
    path = Path(source)
    if path.is_dir():
        raise UsageError(f"{path} is a directory; give a picture in it")
    try:
        with path.open("rb") as stream:
            return _read_stream(stream, drop_alpha, limits)
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"there is no file {path}; check the name") from None
    except PermissionError:
        raise UsageError(f"{path} may not be read; check its permissions") from None


def read_mask(source: Path, shape: tuple[int, int], limits: Limits | None = None) -> np.ndarray:
    """A mask for a picture of `shape` (H, W): the lightness of any picture of that size, upright, (H, W) uint8.

    Raises what `read_picture` does, UsageError for another size.
    """
    pixels = read_picture(source, drop_alpha=True, limits=limits).pixels
    if pixels.shape[:2] != shape:
        raise UsageError(
            f"the mask {source} is {pixels.shape[1]} x {pixels.shape[0]} and the picture {shape[1]} x {shape[0]}: "
            "give a mask of the picture's size"
        )
    return np.asarray(Image.fromarray(pixels).convert("L"))


def _read_stream(stream: BinaryIO, drop_alpha: bool, limits: Limits) -> Picture:
    start = stream.read(4096)
    stream.seek(0)
    if not start:
        raise CorruptStreamError("the picture is empty (0 bytes); get it again")
    if start.startswith(MAGIC):
        raise UsageError("this is a .calo file already; `calotype decode` makes a picture of it")
    with _opened(stream, start) as image:
        _check_size(image.size, limits)
        notes = ["samples of more than 8 bits are reduced to 8"] if _is_deep(image, start) else []
        try:
            image.load()
        except (MemoryError, Image.DecompressionBombError) as error:
            raise LimitError(
                f"a picture of {image.width} x {image.height} pixels is too large here ({error})"
            ) from error
        except _DAMAGED as error:
            raise CorruptStreamError(f"the picture is damaged or cut short ({error}); get it again") from error
        return _to_rgb(image, drop_alpha, notes)


@contextmanager
def _opened(stream: BinaryIO, start: bytes) -> Iterator[Image.Image]:
    """Pillow's image of a stream, not loaded yet. Pillow's bound on pixels, a global, gives way to ours meanwhile."""
    with _PILLOW_BOUND:
        bound = Image.MAX_IMAGE_PIXELS
        try:
            Image.MAX_IMAGE_PIXELS = None
            image = Image.open(stream)
        except UnidentifiedImageError:
            raise CorruptStreamError(
                f"this is no picture that Pillow can read (it starts with {signatures.describe(start[:16])}); "
                "give a PNG, JPEG, WebP, AVIF, TIFF or the like; if it is a clip, say so with --video (calotype.encode_video)"
            ) from None
        except _DAMAGED as error:
            raise CorruptStreamError(f"the picture is damaged or cut short ({error}); get it again") from error
        finally:
            Image.MAX_IMAGE_PIXELS = bound
    with image:
        yield image


def _check_size(size: tuple[int, int], limits: Limits) -> None:
    width, height = size
    if not width or not height:
        raise UsageError(f"a picture of {width} x {height} pixels has nothing to encode")
    limits.check_picture(width, height, 3 * width * height)


# ---- depth


def _is_deep(image: Image.Image, start: bytes) -> bool:
    """Whether the file's samples have more than 8 bits although Pillow's mode is one of 8; `start`: its first 4 KiB."""
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        return False  # seen, and said, when the mode is converted
    if image.format == "AVIF":
        at = start.find(b"pixi")  # | "pixi" | version and flags 4 | channels 1 | bits per channel |
        return 0 < at < len(start) - 9 and start[at + 9] > 8
    for tile in getattr(image, "tile", ()):
        arguments = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
        if any(isinstance(a, str) and ";16" in a for a in arguments):
            return True
        if image.format == "PPM" and any(isinstance(a, int) and a > 255 for a in arguments):
            return True
    return False


def _from_integers(image: Image.Image, notes: list[str]) -> Image.Image:
    """Modes "I" and "I;16..." to "L", rounded."""
    samples = np.asarray(image)
    if samples.min() < 0 or samples.max() > 65535:
        raise UsageError("the picture has 32-bit samples; convert it to 8 or 16 bits first")
    notes.append("samples of 16 bits are reduced to 8")
    return Image.fromarray(((samples.astype(np.uint32) + 128) // 257).astype(np.uint8))


# ---- to RGB


def _to_rgb(image: Image.Image, drop_alpha: bool, notes: list[str] | None = None) -> Picture:
    notes = notes if notes is not None else []
    icc = image.info.get("icc_profile") or None
    if getattr(image, "is_animated", False):
        notes.append(f"the file holds {getattr(image, 'n_frames', 'several')} pictures; only the first is taken")
    image = _upright(image, notes)
    if image.mode == "I" or image.mode.startswith("I;16"):
        if "transparency" in image.info and not drop_alpha:  # one grey value counts as transparent
            raise UsageError(_TRANSPARENT)
        image = _from_integers(image, notes)
    if image.mode == "CMYK":
        notes.append("CMYK is converted to RGB without a colour profile; colours may shift")
        icc = None
    elif image.mode in ("YCbCr", "HSV"):
        notes.append(f"{image.mode} is converted to RGB")
    elif image.mode not in ("1", "L", "P", "RGB", "LA", "La", "PA", "RGBA", "RGBa", "RGBX"):
        raise UsageError(
            f"the picture's samples are of a kind (Pillow mode {image.mode}) that has no RGB; convert it first"
        )
    if image.has_transparency_data:
        image = _without_alpha(image, drop_alpha, notes)
    if icc is not None and (not isinstance(icc, bytes) or icc[16:20] != b"RGB "):
        icc = None
        notes.append("the colour profile is not one of RGB and is left out")
    pixels = np.array(image if image.mode == "RGB" else image.convert("RGB"), dtype=np.uint8, order="C")
    return Picture(pixels, icc, notes)


def _upright(image: Image.Image, notes: list[str]) -> Image.Image:
    """Turned as the EXIF orientation asks. (Pillow itself turns TIFF pictures.)"""
    try:
        turned = image.getexif().get(_ORIENTATION, 1) in range(2, 9)
        if turned:
            image = ImageOps.exif_transpose(image)
            notes.append("turned upright as its EXIF orientation says")
    except _DAMAGED:
        notes.append("its EXIF data is damaged and is ignored")
    return image


def _without_alpha(image: Image.Image, drop_alpha: bool, notes: list[str]) -> Image.Image:
    image = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    if image.getchannel("A").getextrema()[0] == 255:
        notes.append("its alpha channel is opaque all over and is left out")
    elif drop_alpha:
        notes.append("transparency is dropped; the colours under it are kept")
    else:
        raise UsageError(_TRANSPARENT)
    return image.convert("RGB")


# ---- writing


def write_picture(
    target: Path | BinaryIO, pixels: np.ndarray, icc: bytes | None = None, format: str | None = None
) -> list[str]:
    """Write pixels (H, W, 3) uint8 RGB, or grey (H, W) uint8 or uint16; returns notes on what is lost, one sentence each.

    target: a path (written atomically) or a binary stream. format: a suffix ("png"), or None: by the path's suffix, PNG
    for a stream. Raises UsageError (unknown format, a picture too large for it, a path that cannot be written) and
    CalotypeError (disk full).
    """
    path = Path(target) if isinstance(target, str | Path) else None
    form = _format(path, format)
    options = dict(_LOSSY.get(form) or _LOSSLESS.get(form, {}))
    notes = [f"{form} loses some quality (written at quality 95); PNG keeps every pixel"] if form in _LOSSY else []
    if icc and form in _WITHOUT_ICC:
        notes.append(f"{form} cannot hold the colour profile; PNG can")
    elif icc:
        options["icc_profile"] = icc
    if pixels.ndim == 3 and pixels.dtype != np.uint8:
        raise UsageError("Pillow writes no picture of 16-bit RGB: calotype.codecs.lossless gives its samples as an array")
    image = Image.fromarray(pixels)
    if path is None:
        _save(image, target, form, options)
        return notes
    with replacing(path) as temporary, open(temporary, "wb") as stream:
        _save(image, stream, form, options)
    return notes


def _format(path: Path | None, format: str | None) -> str:
    name = (format or (path.suffix if path else "") or "png").lower().lstrip(".")
    if name in PICTURE_FORMATS:
        return PICTURE_FORMATS[name]
    raise UsageError(f"no picture format {name!r} to write; the suffixes are {', '.join(PICTURE_FORMATS)}")


def _save(image: Image.Image, stream: BinaryIO, form: str, options: dict[str, object]) -> None:
    try:
        image.save(stream, form, **options)
    except OSError as error:
        if error.errno is None:  # an encoder's own failure: mostly a side too long for the format
            raise UsageError(f"{form} cannot hold this picture ({error}); write PNG") from error
        if isinstance(error, BrokenPipeError):
            raise
        raise CalotypeError(
            f"cannot write the picture: {error.strerror}; free some space or write elsewhere"
        ) from error
    except (ValueError, RuntimeError, KeyError, struct.error) as error:
        raise UsageError(f"{form} cannot hold this picture ({error}); write PNG") from error
