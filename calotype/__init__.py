"""Calotype: learned image and video compression in real files.

data = calotype.encode(Image.open("photo.png"), quality=50)     # bytes of a .calo file
picture = calotype.decode(data)                                 # PIL.Image
calotype.encode_video("clip.mp4", "clip.calo", quality=50)      # or from frames, (H, W, 3) uint8, at a rate
for frame in calotype.open("clip.calo"): ...                    # frames of a video, 8-bit 4:2:0
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterable
    from fractions import Fraction

    import numpy as np
    from PIL import Image

    from .codecs.video.clip import Summary
    from .codecs.video.decoder import Video

__version__ = "0.1.0"
__all__ = ["decode", "encode", "encode_video", "info", "open", "register_pillow"]


def encode(
    image: Image.Image | np.ndarray | str | Path,
    quality: float = 50.0,
    *,
    bpp: float | None = None,
    size: int | None = None,
    psnr: float | None = None,
    effort: int | None = None,
    minutes: float | None = None,
    realism: float | None = None,
    refine: float | None = None,
    roi: np.ndarray | str | Path | None = None,
    roi_drop: float = 30.0,
    model: str | Path | None = None,
    device: str = "cpu",
    drop_alpha: bool = False,
    lossless: bool = False,
) -> bytes:
    """Encode a picture to the bytes of a .calo file.

    image: a PIL image, (H, W, 3) uint8 RGB pixels, or a path. quality: 0 (smallest) to 100 (best), steps of 0.1; or one
    target in its place: bits per pixel, bytes of the file, or dB of RGB PSNR. effort: 0 (fastest) to 9, by default 0, or 4
    of model "overfit", which fits networks to the picture; minutes: at most so long for that.
    realism: of model "generative", what the file is decoded with by default: 0 (closest to the source) to 1 (most real).
    refine: of the same, for research: bits a pixel, about, of coded noise besides; each trial of a target codes it anew.
    roi: a mask of the picture's size, (H, W) uint8 or a path: 255 or white has the quality asked for, 0 or black less by
    `roi_drop`, in between in between.
    lossless: every pixel as it is, without a model: also grey (H, W) and uint16 pixels; goes without quality, targets, effort,
    minutes, roi and model.
    model: a name that `calotype models` lists or a model file. What is lost besides (16 bits, a CMYK profile) is said as a
    UserWarning; alpha that is in use only goes with `drop_alpha`. Raises UsageError (bad arguments, target out of reach),
    ModelError.
    """
    import warnings

    import numpy as np

    from .codecs.pictures import Picture, read_mask, read_picture
    from .codecs.registry import open_model
    from .codecs.roi import Roi
    from .codecs.targets import Target, encode_to
    from .errors import UsageError

    if lossless:
        if quality != 50.0 or any(v is not None for v in (bpp, size, psnr, effort, minutes, realism, refine, roi, model)):
            raise UsageError("lossless keeps every pixel: leave out what asks for less, and settings and model")
        return _encode_lossless(image, drop_alpha)
    if isinstance(image, np.ndarray):
        picture = Picture(image, None, [])
    else:
        picture = read_picture(Path(image) if isinstance(image, str) else image, drop_alpha=drop_alpha)
    for note in picture.notes:
        warnings.warn(note, stacklevel=2)
    targets = [Target(k, v) for k, v in (("bpp", bpp), ("size", size), ("psnr", psnr)) if v is not None]  # type: ignore[arg-type]
    if len(targets) > 1:
        raise UsageError("give one of bpp, size and psnr, not several")
    settings = {"effort": effort, "minutes": minutes, "realism": realism, "refine": refine}
    codec = open_model(model, device, **{name: value for name, value in settings.items() if value is not None})
    target = targets[0] if targets else Target("quality", quality)
    if roi is not None and not getattr(codec, "dial", True):
        raise UsageError(f"model '{codec.bundle.name}' has one quality: leave roi out, or take an image model")
    if isinstance(roi, str | Path):
        roi = read_mask(Path(roi), picture.pixels.shape[:2])
    region = None if roi is None else Roi(roi, roi_drop)
    return encode_to(codec, picture.pixels, target, picture.icc, roi=region).data


def _encode_lossless(image: Image.Image | np.ndarray | str | Path, drop_alpha: bool) -> bytes:
    import warnings

    import numpy as np

    from .codecs.exactpictures import read_exact
    from .codecs.lossless import LosslessCodec
    from .codecs.pictures import Picture

    if isinstance(image, np.ndarray):
        picture = Picture(image, None, [])
    else:
        picture = read_exact(Path(image) if isinstance(image, str) else image, drop_alpha)
    for note in picture.notes:
        warnings.warn(note, stacklevel=3)
    return LosslessCodec().encode(picture.pixels, picture.icc).data


def decode(
    data: bytes,
    *,
    allow_partial: bool = False,
    model: str | Path | None = None,
    device: str = "cpu",
    realism: float | None = None,
    steps: int | None = None,
) -> Image.Image:
    """Decode the bytes of a .calo file to a PIL image (RGB, or the grey of a lossless one, with its ICC profile in `.info`).

    allow_partial: show what precedes a cut or damage. model: the model file, where the one that the stream names is not
    shipped. realism: of a generative picture, 0 to 1, in place of what the file says; steps: calls of its net, by default
    1. Raises CorruptStreamError, DesyncError, LimitError, ModelError, UsageError.
    """
    from PIL import Image

    from .codecs.registry import open_stream
    from .errors import UsageError

    stream, codec = open_stream(data, allow_partial=allow_partial, model=model, device=device)
    generating = {name: value for name, value in (("realism", realism), ("steps", steps)) if value is not None}
    if generating and stream.header.codec != "generative":
        given = " and ".join(generating)
        raise UsageError(f"the stream is of codec '{stream.header.codec}', which generates nothing: leave {given} out")
    decoded = codec.decode(stream, **generating)
    if decoded.pixels.ndim == 3 and decoded.pixels.dtype != "uint8":
        raise UsageError("PIL has no 16-bit RGB: LosslessCodec of calotype.codecs.lossless gives the samples as an array")
    picture = Image.fromarray(decoded.pixels)
    if decoded.icc:
        picture.info["icc_profile"] = decoded.icc
    return picture


def encode_video(
    source: str | Path | BinaryIO | Iterable[np.ndarray],
    target: str | Path | BinaryIO,
    quality: float = 50.0,
    *,
    bitrate: float | None = None,
    size: int | None = None,
    psnr: float | None = None,
    rate: float | Fraction | None = None,
    structure: str | Path = "random-access-16",
    intra_period: int | None = 250,
    passes: int = 1,
    start: float = 0.0,
    frames: int | None = None,
    audio: bool = True,
    effort: int | None = None,
    model: str | Path | None = None,
    device: str = "cpu",
) -> Summary:
    """Encode a clip to a .calo file, frame in and frame out; its Summary has `size` in bytes, `psnr`, and a record a frame.

    source: a path (all that PyAV reads, y4m, a folder of pictures or a pattern such as "frames/%04d.png"), a binary stream, or
    frames (H, W, 3) uint8 RGB, which may be made as they are asked for. target: a path, or a binary stream to write to; a file
    appears when it is whole. rate: frames a second; frames need it, pictures have 30 without it.
    quality: 0 to 100; or one target in its place: bitrate (bits a second of the video, in one or two `passes`), size (bytes of
    the file), psnr (dB of 6:1:1 PSNR). size, psnr and a second pass read the source again, which streams and iterators cannot.
    structure: as of `calotype encode --structure`; intra_period: most frames between intra frames, None: only where scenes
    begin. start, frames: seconds to leave out, at most so many frames, of a source that is no frames. audio: carry it through.
    RGB and 4:4:4 become 4:2:0, with model "overfit" 4:4:4.
    What is lost or assumed is said as a UserWarning. Raises UsageError, CorruptStreamError, LimitError, ModelError.
    """
    import warnings

    from .codecs.video.clip import Settings
    from .codecs.video.encoding import clip_model, encode_file
    from .codecs.video.framecodecs import default_effort
    from .codecs.video.structure import load
    from .errors import UsageError

    given = {"bitrate": bitrate, "size": size, "psnr": psnr}
    targets = [(kind, float(value)) for kind, value in given.items() if value is not None] or [("quality", quality)]
    if len(targets) > 1:
        raise UsageError("give one of bitrate, size and psnr, not several")
    kind, value = targets[0]
    bundle = clip_model(model, device)
    effort = default_effort(bundle) if effort is None else effort
    settings = Settings(load(structure), kind, value, passes, intra_period, audio=audio, effort=effort)  # type: ignore[arg-type]
    summary = encode_file(bundle, source, target, settings, rate, start, frames)
    for note in summary.notes:
        warnings.warn(note, stacklevel=2)
    return summary


def open(
    file: str | Path | bytes | BinaryIO, *, allow_partial: bool = False, model: str | Path | None = None, device: str = "cpu"
) -> Video:
    """Open a video .calo file: iterate over it for its frames, `seek` to any of them, or take video[10] and video[10:20]; `len`
    is how many there are, `rgb` gives their pixels, `seconds` when they are shown.

    file: a path, the bytes of a file, or a binary stream at its first byte. The other arguments are those of `decode`. A
    context manager. Raises CorruptStreamError, LimitError, ModelError, UsageError (a picture: that is for `decode`).
    """
    import io

    from .codecs.video.opening import open_clip

    if isinstance(file, bytes):
        file = io.BytesIO(file)
    return open_clip(Path(file) if isinstance(file, str) else file, None, allow_partial, model, device)


def info(data: bytes) -> dict[str, Any]:
    """What a .calo file says of itself, without decoding. Raises CorruptStreamError, LimitError."""
    from .codecs.container import read
    from .codecs.describe import describe

    return describe(read(data))


def register_pillow() -> None:
    """Teach Pillow to open and save .calo files."""
    from .codecs import pillow_plugin  # noqa: F401
