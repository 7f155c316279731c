"""SSIMULACRA2 (Sneyers, Cloudinary 2022; libjxl's tools/ssimulacra2), by the PyPI package of that name."""

from __future__ import annotations

import io

import numpy as np

from calotype.eval.metrics.metric import PICTURE, FrameMetric

# below, the package has no scale to look at and calls every pair equal
SIDE = 8


class Ssimulacra2(FrameMetric):
    name = "ssimulacra2"
    convention = (
        "SSIMULACRA2 of sRGB pictures by the Python package ssimulacra2 (a port of libjxl's tool, not the tool itself), "
        "100 is lossless; fewer than six scales below 256 pixels a side, null below 8"
    )
    kinds = (PICTURE,)

    def unavailable(self) -> str | None:
        try:
            import ssimulacra2  # noqa: F401
        except (ImportError, OSError, RuntimeError) as error:
            return f"ssimulacra2 cannot be imported ({error}); install it with `pip install calotype[metrics]`"
        return None

    def limit(self, width: int, height: int) -> str | None:
        if min(width, height) >= SIDE:
            return None
        return f"ssimulacra2 needs {SIDE} pixels or more in width and height, not {width}x{height}"

    def of_frame(self, a: np.ndarray, b: np.ndarray) -> float:
        from ssimulacra2 import compute_ssimulacra2

        return float(compute_ssimulacra2(_ppm(a), _ppm(b)))


def _ppm(pixels: np.ndarray) -> io.BytesIO:
    """The package opens its pictures itself, from paths or files."""
    height, width = pixels.shape[:2]
    return io.BytesIO(b"P6 %d %d 255\n" % (width, height) + pixels.tobytes())
