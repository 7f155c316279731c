"""Our codec of pictures with their own networks."""

from __future__ import annotations

import re

import numpy as np

from calotype.codecs import container
from calotype.codecs.image import Encoded
from calotype.codecs.overfit import EFFORT, OverfitCodec
from calotype.codecs.registry import open_model
from calotype.errors import UsageError
from calotype.eval.coders.base import CodedSource, Settings, check_kind
from calotype.eval.coders.ours import code_once, named_model, of_model
from calotype.eval.frames import PICTURE, Frames
from calotype.models.complexity import overfit_kmac

MODEL = "overfit"


class OverfitCoder:
    """From pixels to the bytes of a whole .calo file and back; each picture is fitted once a point."""

    synopsis = "overfit[:MODEL][:e0..e9]"
    kinds = (PICTURE,)
    points: tuple[float, ...] = (0, 14, 28, 42, 56, 70, 85, 100)

    def __init__(self, codec: OverfitCodec):
        self._codec = codec
        self.label = f"overfit:{codec.bundle.name}" + ("" if codec.effort == EFFORT else f":e{codec.effort}")

    @staticmethod
    def from_spec(options: list[str], settings: Settings) -> OverfitCoder:
        """overfit, or overfit:MODEL (a shipped model's name or a model file), and the effort. Raises UsageError, ModelError."""
        effort = int(options.pop()[1:]) if options and re.fullmatch(r"e\d", options[-1]) else EFFORT
        # --model names the image model of a run, not this one
        named = named_model(MODEL, options, Settings()) or MODEL
        codec = open_model(named, settings.device, effort=effort)
        if not isinstance(codec, OverfitCodec):
            raise UsageError(f"model '{codec.bundle.name}' is not fitted to pictures: give ours:{codec.bundle.name}")
        return OverfitCoder(codec)

    @property
    def identity(self) -> dict[str, str | float]:
        """Codec, model, the SHA-256 of what pictures start from, its values, effort, its decoder's kMAC/pixel at most."""
        codec = self._codec
        return of_model(codec.bundle) | {
            "effort": codec.effort,
            "kmac_per_pixel": round(overfit_kmac(codec.bundle.config), 3),
        }

    def code(self, source: Frames, point: float) -> CodedSource:
        """As `Coder.code`."""
        check_kind(self, source)
        codec = self._codec

        def encode(pixels: np.ndarray) -> Encoded:
            return codec.encode(pixels, point, reconstruct=True)

        return code_once(encode, lambda data: codec.decode(container.read(data)), source)
