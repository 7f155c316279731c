"""The codecs that can be measured, by spec: "ours", "jpeg:444", "x265:medium:low-delay". A further one is a class of its
own (of `base.PictureAnchor` or `ffmpeg.FfmpegCoder`) and its line in FAMILIES.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from calotype.errors import UsageError
from calotype.eval.coders.base import CodedSource, Coder, Settings
from calotype.eval.coders.compressai import CompressAi
from calotype.eval.coders.ffmpeg import X264, X265, Libaom, SvtAv1, Vvenc
from calotype.eval.coders.fsq import FsqCoder
from calotype.eval.coders.generative import GenerativeCoder
from calotype.eval.coders.jxl import JpegXl
from calotype.eval.coders.lossless import Lossless
from calotype.eval.coders.neural import NeuralCoder
from calotype.eval.coders.ours import CalotypeCoder, PictureCoder, code_picture
from calotype.eval.coders.ours_video import ClipCoder
from calotype.eval.coders.overfit import OverfitCoder
from calotype.eval.coders.pillow import Avif, Jpeg, Jpeg2000, WebP
from calotype.eval.frames import CLIP, PICTURE

__all__ = [
    "FAMILIES",
    "OURS",
    "CalotypeCoder",
    "ClipCoder",
    "CodedSource",
    "Coder",
    "FsqCoder",
    "GenerativeCoder",
    "NeuralCoder",
    "OverfitCoder",
    "PictureCoder",
    "Settings",
    "code_picture",
    "make",
    "synopses",
]

# name: (what specs it takes, what makes it of the spec's options and the settings)
FAMILIES: dict[str, tuple[str, Callable[[list[str], Settings], Coder]]] = {
    "ours": (CalotypeCoder.synopsis, CalotypeCoder.from_spec),
    "ours-video": (ClipCoder.synopsis, ClipCoder.from_spec),
    "overfit": (OverfitCoder.synopsis, OverfitCoder.from_spec),
    "inr-video": (NeuralCoder.synopsis, NeuralCoder.from_spec),
    "generative": (GenerativeCoder.synopsis, GenerativeCoder.from_spec),
    "fsq": (FsqCoder.synopsis, FsqCoder.from_spec),
    "lossless": (Lossless.synopsis, Lossless),
    "jpeg": (Jpeg.synopsis, Jpeg),
    "webp": (WebP.synopsis, WebP),
    "avif": (Avif.synopsis, Avif),
    "jp2": (Jpeg2000.synopsis, Jpeg2000),
    "jxl": (JpegXl.synopsis, JpegXl),
    "compressai": (CompressAi.synopsis, CompressAi),
    "x264": (X264.synopsis, X264),
    "x265": (X265.synopsis, X265),
    "svtav1": (SvtAv1.synopsis, SvtAv1),
    "libaom": (Libaom.synopsis, Libaom),
    "vvenc": (Vvenc.synopsis, Vvenc),
}
OURS = {PICTURE: "ours", CLIP: "ours-video"}


def synopses() -> list[str]:
    """The specs that `make` takes."""
    return [synopsis for synopsis, _ in FAMILIES.values()]


def make(
    spec: str,
    *,
    model: str | Path | None = None,
    device: str = "cpu",
    threads: int = 1,
    intra_period: int | None = None,
) -> Coder:
    """The codec of a spec.

    model, device: of our own codec; threads: of the others' encoders and decoders (1 at least); intra_period: frames
    from one intra frame of a clip to the next, 2 at least, None for one intra frame. Raises UsageError listing what
    there is, CalotypeError where the codec is not installed here, ModelError.
    """
    if threads < 1:
        raise UsageError(f"threads {threads} is below 1")
    if intra_period is not None and intra_period < 2:
        raise UsageError(f"intra period {intra_period}: give 2 frames at least")
    name, *options = spec.strip().split(":")
    if name not in FAMILIES:
        raise UsageError(f"no codec {spec!r}; there are {', '.join(synopses())}")
    return FAMILIES[name][1](options, Settings(model, device, threads, intra_period))
