"""Our codecs of pictures that keep every pixel."""

from __future__ import annotations

import re

import numpy as np

from calotype import __version__
from calotype.codecs import bitplane, container, lossless
from calotype.errors import UsageError
from calotype.eval.coders.base import PictureAnchor, Settings


class Lossless(PictureAnchor):
    """The plain one, or the one with a network that is fitted to each picture."""

    synopsis = "lossless[:bitplane[:e0..e9]]"
    points = (100,)

    def __init__(self, options: list[str], settings: Settings):
        """Raises UsageError."""
        found = re.fullmatch(r"(?:bitplane(?::e([0-9]))?)?", ":".join(options))
        if not found:
            raise UsageError(f"no codec lossless:{':'.join(options)}; it is {self.synopsis}")
        effort = bitplane.EFFORT if found[1] is None else int(found[1])
        self._codec = bitplane.BitplaneCodec(effort, device=settings.device) if options else lossless.LosslessCodec()
        self.label = ":".join(("lossless", *options))

    @property
    def identity(self) -> dict[str, str | float]:
        """Codec, model, version, effort of a fit."""
        fitted = isinstance(self._codec, bitplane.BitplaneCodec)
        model = bitplane.MODEL if fitted else lossless.MODEL
        found: dict[str, str | float] = {"codec": "calotype", "model": model, "version": __version__}
        return found | ({"effort": self._codec.effort} if fitted else {})

    def encode(self, pixels: np.ndarray, point: float) -> bytes:
        """As of the base."""
        return self._codec.encode(pixels).data

    def decode(self, data: bytes) -> np.ndarray:
        """As of the base."""
        return self._codec.decode(container.read(data)).pixels
