"""Our codec of few indices."""

from __future__ import annotations

import numpy as np

from calotype.codecs import container
from calotype.codecs.fsq import FsqCodec
from calotype.codecs.image import Encoded
from calotype.codecs.registry import open_model
from calotype.errors import UsageError
from calotype.eval.coders.base import CodedSource, Settings, check_kind
from calotype.eval.coders.ours import code_once, named_model, of_model
from calotype.eval.frames import PICTURE, Frames
from calotype.models.complexity import model_kmac

MODEL = "fsq"


class FsqCoder:
    """From pixels to the bytes of a whole .calo file and back."""

    synopsis = "fsq[:MODEL]"
    kinds = (PICTURE,)
    points: tuple[float, ...] = (0, 17, 33, 50, 67, 83, 100)

    def __init__(self, codec: FsqCodec):
        self._codec = codec
        self.label = f"fsq:{codec.bundle.name}"

    @staticmethod
    def from_spec(options: list[str], settings: Settings) -> FsqCoder:
        """fsq, or fsq:MODEL (a shipped model's name or a model file). Raises UsageError, ModelError."""
        # --model names the image model of a run, not this one
        codec = open_model(named_model(MODEL, options, Settings()) or MODEL, settings.device)
        if not isinstance(codec, FsqCodec):
            raise UsageError(f"model '{codec.bundle.name}' has no indices: give ours:{codec.bundle.name}")
        return FsqCoder(codec)

    @property
    def identity(self) -> dict[str, str | float]:
        """Codec, model, the SHA-256 of its weights, its values, its decoder's kMAC/pixel."""
        bundle = self._codec.bundle
        return of_model(bundle) | {
            "kmac_per_pixel": round(model_kmac("fsq", bundle.config.to_dict()), 3),
        }

    def code(self, source: Frames, point: float) -> CodedSource:
        """As `Coder.code`."""
        check_kind(self, source)
        codec = self._codec

        def encode(pixels: np.ndarray) -> Encoded:
            return codec.encode(pixels, point, reconstruct=True)

        return code_once(encode, lambda data: codec.decode(container.read(data)), source)
