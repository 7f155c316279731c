"""JPEG XL, by libjxl as the package pillow-jxl-plugin holds it."""

from __future__ import annotations

import io
from importlib import metadata

import numpy as np
from PIL import Image

from calotype.errors import CalotypeError, UsageError
from calotype.eval.coders.base import PictureAnchor, Settings
from calotype.eval.coders.pillow import FILE_RATE

EFFORT = 7  # libjxl's default
PACKAGE = "pillow-jxl-plugin"


class JpegXl(PictureAnchor):
    """Lossy JPEG XL (VarDCT, XYB). It aims at what eyes see: its PSNR is under that of codecs that aim at PSNR."""

    synopsis = "jxl"
    label = "jxl"
    points = (5, 15, 30, 50, 68, 80, 88, 94)

    def __init__(self, options: list[str], settings: Settings):
        if options:
            raise UsageError(f"jxl:{':'.join(options)}: jxl takes no options")
        try:
            import pillow_jxl
        except ImportError as error:
            raise CalotypeError(f"jxl needs {PACKAGE} ({error}); install it: pip install 'calotype[anchors]'") from error
        self._decoder = pillow_jxl.Decoder(num_threads=settings.threads)
        self._threads = settings.threads

    @property
    def identity(self) -> dict[str, str | float]:
        return {
            "codec": "jxl",
            "version": f"{PACKAGE} {metadata.version(PACKAGE)}",
            "configuration": f"lossy, effort {EFFORT}",
            "rate": FILE_RATE,
        }

    def encode(self, pixels: np.ndarray, point: float) -> bytes:
        stream = io.BytesIO()
        try:
            Image.fromarray(pixels).save(stream, "JXL", quality=int(point), effort=EFFORT, num_threads=self._threads)
        except (OSError, ValueError, RuntimeError) as error:
            raise CalotypeError(f"jxl: libjxl cannot code this picture ({error})") from error
        return stream.getvalue()

    def decode(self, data: bytes) -> np.ndarray:
        # not through Image.open: the plugin decodes with all the machine's threads there
        try:
            _, info, samples, *_ = self._decoder(data)
        except (OSError, ValueError, RuntimeError) as error:
            raise CalotypeError(f"jxl: libjxl cannot decode its own file ({error})") from error
        return np.frombuffer(samples, np.uint8).reshape(info.height, info.width, 3)
