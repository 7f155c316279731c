"""The picture codecs that Pillow holds: JPEG, WebP, AVIF, JPEG 2000.

JPEG and WebP have the settings of CompressAI's bench command (`compressai/utils/bench/codecs.py`: Pillow's defaults at
quality 5, 10, ..., 95), and `points` are some of its points, so that rates equal those of the curves it publishes.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import PIL
from PIL import Image, features

from calotype.errors import CalotypeError, UsageError
from calotype.eval.coders.base import PictureAnchor, Settings, one_of

FILE_RATE = "bytes of the whole file, which holds no metadata"
_FAILURES = (OSError, ValueError, RuntimeError, KeyError, SyntaxError, MemoryError)


class PillowCoder(PictureAnchor):
    """A format that Pillow writes and reads. codec: its name here; form: Pillow's; feature, library: for `features`."""

    codec: str
    form: str
    feature: str
    library: str
    rate = FILE_RATE

    def __init__(self, options: list[str], settings: Settings):
        if not features.check(self.feature):
            raise CalotypeError(f"this Pillow ({PIL.__version__}) has no {self.library}; install a newer one from PyPI")
        self.label = ":".join([self.codec, *options])
        self.settings = settings
        self.choose(options)

    def choose(self, options: list[str]) -> None:
        """Take the spec's options. Raises UsageError."""
        if options:
            raise UsageError(f"{self.label}: {self.codec} takes no options")

    def save_options(self, point: float) -> Mapping[str, Any]:
        """Pillow's arguments at a point of the dial."""
        return {"quality": int(point)}

    @property
    def library_version(self) -> str | None:
        """As Pillow gives it."""
        return features.version(self.feature)

    @property
    def configuration(self) -> str:
        """The settings, in words."""
        raise NotImplementedError

    @property
    def identity(self) -> dict[str, str | float]:
        return {
            "codec": self.codec,
            "version": f"Pillow {PIL.__version__}, {self.library} {self.library_version}",
            "configuration": self.configuration,
            "rate": self.rate,
        }

    def encode(self, pixels: np.ndarray, point: float) -> bytes:
        stream = io.BytesIO()
        try:
            Image.fromarray(pixels).save(stream, self.form, **self.save_options(point))
        except _FAILURES as error:
            raise CalotypeError(f"{self.label}: {self.library} cannot code this picture ({error})") from error
        return stream.getvalue()

    def decode(self, data: bytes) -> np.ndarray:
        try:
            with Image.open(io.BytesIO(data), formats=[self.form]) as image:
                return np.asarray(image.convert("RGB"))
        except _FAILURES as error:
            raise CalotypeError(f"{self.label}: {self.library} cannot decode its own file ({error})") from error


class Jpeg(PillowCoder):
    """JPEG, 4:2:0 as CompressAI's bench has it, or 4:4:4."""

    synopsis = "jpeg[:420|:444]"
    codec, form, feature, library = "jpeg", "JPEG", "jpg", "libjpeg-turbo"
    points = (5, 15, 30, 45, 60, 75, 85, 95)

    def choose(self, options: list[str]) -> None:
        """The subsampling of the chroma."""
        self.chroma = _chroma(self.label, options, "420")
        self.label = "jpeg" if self.chroma == "420" else f"jpeg:{self.chroma}"

    def save_options(self, point: float) -> Mapping[str, Any]:
        return {"quality": int(point), "subsampling": _colons(self.chroma)}

    @property
    def library_version(self) -> str | None:
        return features.version("libjpeg_turbo")  # that of "jpg" is of the interface, 6.2 for ever

    @property
    def configuration(self) -> str:
        return f"baseline, {_colons(self.chroma)}, standard Huffman tables (not optimised)"


class WebP(PillowCoder):
    """WebP, lossy: always 4:2:0."""

    synopsis = "webp"
    codec, form, feature, library = "webp", "WEBP", "webp", "libwebp"
    points = (5, 15, 30, 45, 60, 75, 85, 95)

    def save_options(self, point: float) -> Mapping[str, Any]:
        return {"quality": int(point), "method": 4}  # 4: Pillow's default, said so that it stays

    @property
    def configuration(self) -> str:
        return "lossy, 4:2:0, method 4"


class Avif(PillowCoder):
    """AVIF by libaom. Tuned for PSNR unless asked: libavif's own default, iq, costs some 3 dB of it at high rates."""

    synopsis = "avif[:444|:420][:psnr|:ssim|:iq]"
    codec, form, feature, library = "avif", "AVIF", "avif", "libavif"
    points = (5, 12, 20, 30, 40, 52, 65, 80)
    tunes = ("psnr", "ssim", "iq")

    def choose(self, options: list[str]) -> None:
        """The subsampling of the chroma, then what libaom tunes for."""
        rest = list(options)
        self.tune = rest.pop() if rest and rest[-1] in self.tunes else "psnr"
        self.chroma = _chroma(self.label, rest, "444")
        parts = [self.chroma] * (self.chroma != "444") + [self.tune] * (self.tune != "psnr")
        self.label = ":".join(["avif", *parts])

    def save_options(self, point: float) -> Mapping[str, Any]:
        return {
            "quality": int(point),
            "subsampling": _colons(self.chroma),
            "speed": 6,  # Pillow's and libavif's default
            "codec": "aom",
            "max_threads": self.settings.threads,
            "advanced": {"tune": self.tune},
        }

    @property
    def configuration(self) -> str:
        return f"libaom, {_colons(self.chroma)}, 8 bits, speed 6, tuned for {self.tune}"


class Jpeg2000(PillowCoder):
    """JPEG 2000 with the 9-7 wavelet. The dial is bits per pixel, which OpenJPEG meets at high rates."""

    synopsis = "jp2"
    codec, form, feature, library = "jp2", "JPEG2000", "jpg_2000", "OpenJPEG"
    points = (0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.5)
    rate = "bytes of the codestream, without the boxes of a .jp2 file"

    def save_options(self, point: float) -> Mapping[str, Any]:
        return {
            "quality_mode": "rates",
            "quality_layers": [24 / point],
            "irreversible": True,
            "mct": 1,  # without it R, G and B are coded as they are: some 3 dB less
            "no_jp2": True,
        }

    @property
    def configuration(self) -> str:
        return "9-7 wavelet, YCbCr 4:4:4, one layer, one tile"


def _chroma(label: str, options: list[str], default: str) -> str:
    if len(options) > 1:
        raise UsageError(f"{label}: too many options")
    return one_of(label, "option", options[0], ("444", "420")) if options else default


def _colons(chroma: str) -> str:
    return ":".join(chroma)
