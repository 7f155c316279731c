"""A generative model as it decodes: the image model that codes, pinned by its hash, and the net behind it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import ModelError
from .. import modelfile
from ..bundle import ImageBundle, pinned_image
from .config import GenerativeConfig
from .fidelity import Filters

if TYPE_CHECKING:
    from ..integer.prior import IntegerPrior
    from .net import Denoiser

KIND = "generative"
NET, SCALE, IMAGE_HASH = "net.", "scale.", "image.hash"
FIDELITY, REST = "fidelity.weights", "fidelity.rest"


@dataclass(frozen=True)
class GenerativeBundle:
    """image: what codes, exact in integers; hash: SHA-256 of the net's weights and of the image model's hash; device: of the
    float transforms and the net; parameters: values in the model file, the image model's not counted; fidelity: filters
    (`fidelity.py`), where it has them."""

    name: str
    hash: bytes
    config: GenerativeConfig
    image: ImageBundle
    device: str
    parameters: int
    floats: dict[str, np.ndarray] = field(repr=False)
    fidelity: Filters | None = field(default=None, repr=False)

    @staticmethod
    def read(path: Path, device: str = "cpu", execution: str | None = None) -> GenerativeBundle:
        """Load a model file and the image model that it names; execution: of that one. Raises ModelError."""
        info, arrays, digest = modelfile.read(path)
        if info.kind != KIND:
            raise ModelError(f"{path} is a model of kind '{info.kind}', not a generative model")
        try:
            sizes = dict(info.config)
            image = pinned_image(path, str(sizes.pop("image")), arrays[IMAGE_HASH].tobytes(), device, execution)
            config = GenerativeConfig(**sizes)
        except (TypeError, ValueError, KeyError) as e:
            raise ModelError(f"{path} does not hold a whole generative model ({e}); export it again") from e
        try:
            floats = {k[len(NET) :]: _scaled(v, arrays, k[len(NET) :]) for k, v in arrays.items() if k.startswith(NET)}
        except (KeyError, ValueError) as e:
            raise ModelError(f"{path} does not hold a scale for each of its integers ({e}); export it again") from e
        try:
            filters = Filters(arrays[FIDELITY], arrays[REST]).checked() if FIDELITY in arrays else None
        except (ValueError, KeyError) as e:
            raise ModelError(f"{path} does not hold whole filters ({e}); export it again") from e
        return GenerativeBundle(info.name, digest, config, image, device, info.parameters, floats, filters)

    @property
    def prior(self) -> IntegerPrior:
        """Of the image model: all of this codec's symbols are its."""
        return self.image.prior

    @cached_property
    def net(self) -> Denoiser:
        """The net. Imports torch on first use. Raises ModelError where weights are missing."""
        from ..floatnet import float_net
        from .net import Denoiser

        return float_net(lambda: Denoiser(self.config), self.floats, self.name, "its net", self.device)


def write_generative_model(
    path: Path, name: str, config: GenerativeConfig, image: ImageBundle, floats: dict[str, np.ndarray], card: dict[str, Any]
) -> None:
    """Write a model file: the net's matrices and kernels as int8 with a scale for each output, the rest as float16. Atomic."""
    arrays: dict[str, np.ndarray] = {}
    for key, weight in floats.items():
        if weight.ndim > 1:
            scale = np.abs(weight).reshape(len(weight), -1).max(1) / 127
            arrays[SCALE + key] = np.maximum(scale, 1e-6).astype(np.float16)
            weight = np.rint(weight / _along(arrays[SCALE + key], weight)).clip(-127, 127).astype(np.int8)
        arrays[NET + key] = weight if weight.dtype == np.int8 else np.asarray(weight, np.float16)
    arrays[IMAGE_HASH] = np.frombuffer(image.hash, np.uint8)
    modelfile.write(path, name, KIND, config.to_dict() | {"image": image.name}, card, arrays)


def with_fidelity(path: Path, out: Path, filters: Filters, card: dict[str, Any]) -> None:
    """A model file again, with those filters, and more in its card. Atomic. Raises ModelError."""
    info, arrays, _ = modelfile.read(path)
    more = arrays | {FIDELITY: filters.weights, REST: filters.rest}
    modelfile.write(out, info.name, KIND, info.config, dict(info.card) | card, more)


def _scaled(weight: np.ndarray, arrays: dict[str, np.ndarray], name: str) -> np.ndarray:
    """float32, of integers by their scale. Raises KeyError, ValueError where it has none that fits."""
    if weight.dtype != np.int8:
        return np.asarray(weight, np.float32)
    return weight * _along(arrays[SCALE + name], weight)


def _along(scale: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """One scale for each output (the first axis), float32."""
    return scale.astype(np.float32).reshape(-1, *[1] * (weight.ndim - 1))
