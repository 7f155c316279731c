"""CompressAI's pretrained models, coded to real bytes by its own compress and decompress.

Its zoo fetches weights from the network on first use; where it cannot, the codec is not available, with the reason.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module, metadata
from typing import Any, NamedTuple

import numpy as np

from calotype.errors import CalotypeError, UsageError
from calotype.eval.coders.base import PictureAnchor, Settings, one_of
from calotype.eval.entropy_bench import import_compressai

# the metric each is trained for is MSE; name: qualities it has weights for
MODELS = {
    "bmshj2018-factorized": 8,
    "bmshj2018-hyperprior": 8,
    "mbt2018-mean": 8,
    "mbt2018": 8,
    "cheng2020-anchor": 6,
    "cheng2020-attn": 6,
}
DEFAULT = "bmshj2018-hyperprior"
SIDE = 64  # pictures are padded to a multiple of it
TIMEOUT = 20.0  # seconds without an answer, while weights are fetched


class _Told(NamedTuple):
    """What a decoder of CompressAI is told beside the strings: their lengths, the shape of the latent, the model, and the
    picture's height and width."""

    lengths: list[int]
    shape: tuple[int, ...]
    quality: int
    size: tuple[int, int]


class CompressAi(PictureAnchor):
    """A model of the zoo; the dial is its quality, each of which is a network of its own."""

    synopsis = f"compressai[:{'|:'.join(MODELS)}]"

    def __init__(self, options: list[str], settings: Settings):
        if len(options) > 1:
            raise UsageError(f"compressai:{':'.join(options)}: too many options")
        self._name = one_of("compressai", "model", options[0], tuple(MODELS)) if options else DEFAULT
        self.label = f"compressai:{self._name}"
        self.points = tuple(float(quality) for quality in range(1, MODELS[self._name] + 1))
        self._device = settings.device
        self._model = lru_cache(maxsize=1)(self._load)
        self._model(1)

    @property
    def identity(self) -> dict[str, str | float]:
        return {
            "codec": "compressai",
            "version": f"compressai {metadata.version('compressai')}",
            "model": self._name,
            "configuration": "pretrained for MSE",
            "rate": "bytes of the entropy coder's strings, as CompressAI counts them: no header",
        }

    def encode(self, pixels: np.ndarray, point: float) -> bytes:
        import torch
        import torch.nn.functional as F

        height, width = pixels.shape[:2]
        x = torch.from_numpy(pixels.copy()).to(self._device).permute(2, 0, 1)[None].float() / 255
        with torch.inference_mode():
            coded = self._model(int(point)).compress(F.pad(x, (0, -width % SIDE, 0, -height % SIDE)))
        strings = [string for part in coded["strings"] for string in part]
        self._told = _Told([len(string) for string in strings], tuple(coded["shape"]), int(point), (height, width))
        return b"".join(strings)

    def decode(self, data: bytes) -> np.ndarray:
        """What `encode` gave last."""
        import torch

        lengths, shape, quality, (height, width) = self._told
        ends = np.cumsum(lengths).tolist()
        strings = [[data[end - length : end]] for end, length in zip(ends, lengths, strict=True)]
        with torch.inference_mode():
            seen = self._model(quality).decompress(strings, shape)["x_hat"][0, :, :height, :width]
            return (seen.clamp(0, 1) * 255).round_().to(torch.uint8).permute(1, 2, 0).contiguous().cpu().numpy()

    def _load(self, quality: int) -> Any:
        try:
            import_compressai()
            zoo = import_module("compressai.zoo")
            with _timeout():
                model = zoo.image_models[self._name](quality=quality, metric="mse", pretrained=True)
        except (ImportError, OSError, RuntimeError, ValueError) as error:
            raise CalotypeError(f"{self.label} is not available here: {error}") from error
        return model.eval().to(self._device)


@contextmanager
def _timeout() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
