"""A model of few indices as it codes: the decoder's layers and the prior's start in integers, the encoder in floats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import CorruptStreamError, ModelError
from .. import modelfile
from ..neural.stack import BIAS_TOP, WEIGHT_TOP, Layer
from ..overfit.mixing import Mixing
from .config import FsqConfig
from .prior import Prior

if TYPE_CHECKING:
    from .net import Encoder

KIND = "fsq"
ENCODER, WEIGHTS, BIAS = "encoder.", "decoder.{}.weights", "decoder.{}.bias"
FRACTIONS, MAPS, MIXERS = "fractions", "maps", "mixers"


@dataclass(frozen=True)
class FsqBundle:
    """layers: of the decoder; hash: SHA-256 of all weights; device: of the encoder; parameters: values in the model file."""

    name: str
    hash: bytes
    config: FsqConfig
    prior: Prior
    layers: Sequence[Layer] = field(repr=False)
    device: str
    parameters: int
    floats: Mapping[str, np.ndarray] = field(repr=False)

    @staticmethod
    def read(path: Path, device: str = "cpu", execution: str | None = None) -> FsqBundle:
        """Load a model file; there is one execution. Raises ModelError."""
        info, arrays, digest = modelfile.read(path)
        if info.kind != KIND:
            raise ModelError(f"{path} is a model of kind '{info.kind}', not one of few indices")
        try:
            config = FsqConfig(**info.config)
            layers, fractions = [], arrays[FRACTIONS].tolist()
            for number, (shape, fraction) in enumerate(zip(config.shapes(), fractions, strict=True)):
                weights, bias = (arrays[name.format(number)].astype(np.int64) for name in (WEIGHTS, BIAS))
                if weights.shape != (shape.rows, shape.columns) or bias.shape != (shape.rows,):
                    raise ValueError("the decoder's layers are not those of this config")
                layers.append(Layer(shape, fraction, weights, bias).checked())
            prior = Prior(config, Mixing(arrays[MAPS], arrays[MIXERS])).checked()
            floats = {k[len(ENCODER) :]: v for k, v in arrays.items() if k.startswith(ENCODER)}
        except (TypeError, ValueError, KeyError, CorruptStreamError) as e:
            raise ModelError(f"{path} does not hold a whole model of few indices ({e}); export it again") from e
        return FsqBundle(info.name, digest, config, prior, layers, device, info.parameters, floats)

    @cached_property
    def encoder(self) -> Encoder:
        """The encoder. Imports torch on first use. Raises ModelError where weights are missing."""
        from ..floatnet import float_net
        from .net import Encoder

        return float_net(lambda: Encoder(self.config), self.floats, self.name, "an encoder", self.device)


def write_fsq_model(
    path: Path, name: str, floats: Mapping[str, np.ndarray], layers: Sequence[Layer], prior: Prior, card: dict[str, Any]
) -> None:
    """Write a model file; floats: of the encoder, stored as float16. Atomic."""
    assert WEIGHT_TOP < 1 << 15 and BIAS_TOP < 1 << 31  # what the types below hold
    arrays = {ENCODER + k: np.asarray(v, np.float16) for k, v in floats.items()}
    for number, layer in enumerate(layers):
        arrays[WEIGHTS.format(number)] = layer.weights.astype(np.int16)
        arrays[BIAS.format(number)] = layer.bias.astype(np.int32)
    arrays[FRACTIONS] = np.array([layer.fraction for layer in layers], np.int32)
    arrays |= {MAPS: prior.start.maps, MIXERS: prior.start.weights}
    modelfile.write(path, name, KIND, prior.config.to_dict(), card, arrays)
