"""Our codec of pictures that are made to look real."""

from __future__ import annotations

import re

from calotype.codecs import container
from calotype.codecs.generative import REALISM, GenerativeCodec
from calotype.codecs.registry import open_model
from calotype.errors import UsageError
from calotype.eval.coders.base import CodedSource, Settings, check_kind
from calotype.eval.coders.ours import code_once, named_model, of_model
from calotype.eval.frames import PICTURE, Frames
from calotype.models.complexity import model_kmac

MODEL = "generative"


class GenerativeCoder:
    """From pixels to the bytes of a whole .calo file and back, at one realism, with so much coded noise."""

    synopsis = "generative[:MODEL][:r0..r100][:pBPP]"
    kinds = (PICTURE,)
    points: tuple[float, ...] = (0, 14, 20, 32, 44, 50, 70, 100)

    def __init__(self, codec: GenerativeCodec):
        self._codec = codec
        percent = "" if codec.realism == REALISM else f":r{round(100 * codec.realism)}"
        path = f":p{codec.refine:g}" if codec.refine else ""
        self.label = f"generative:{codec.bundle.name}{percent}{path}"

    @staticmethod
    def from_spec(options: list[str], settings: Settings) -> GenerativeCoder:
        """generative, or generative:MODEL (a shipped model's name or a model file), the realism in percent, and bits a pixel of
        coded noise. Raises UsageError, ModelError."""
        options, refine = list(options), 0.0
        if options and re.fullmatch(r"p\d*\.?\d+", options[-1]):
            refine = float(options.pop()[1:])
        given = re.fullmatch(r"r(\d{1,3})", options[-1]) if options else None
        realism = int(given[1]) / 100 if given else REALISM
        # --model names the image model of a run, not this one
        named = named_model(MODEL, options[:-1] if given else options, Settings()) or MODEL
        codec = open_model(named, settings.device, realism=realism, refine=refine)
        if not isinstance(codec, GenerativeCodec):
            raise UsageError(f"model '{codec.bundle.name}' generates nothing: give ours:{codec.bundle.name}")
        return GenerativeCoder(codec)

    @property
    def identity(self) -> dict[str, str | float]:
        """Codec, model, the SHA-256 of its weights, its values, realism, bits of a path, its net's kMAC/pixel."""
        bundle = self._codec.bundle
        return of_model(bundle) | {
            "realism": self._codec.realism,
            "refine": self._codec.refine,
            "kmac_per_pixel": round(model_kmac("generative", bundle.config.to_dict()), 3),
        }

    def code(self, source: Frames, point: float) -> CodedSource:
        """As `Coder.code`; pixels of encoder and decoder are not compared, as the net is not run by the encoder."""
        check_kind(self, source)
        codec = self._codec
        return code_once(lambda p: codec.encode(p, point), lambda data: codec.decode(container.read(data)), source)
