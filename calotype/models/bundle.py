"""A trained image model as it codes: integer prior and synthesis, frozen tables; the float transforms for encoders.

Decoding touches no float and no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..entropy import TableBank
from ..errors import ModelError
from . import modelfile
from .imageconfig import LMBDA, QUALITY_MAX, ImageConfig
from .integer.executions import ON_DEVICE, default_execution, make_execution
from .integer.layers import GAIN_FRAC, KNOT_SPACING
from .integer.onnumpy import OnNumpy
from .integer.prior import IntegerPrior, integer_layout
from .integer.synthesis import IntegerSynthesis, dequantised
from .priorgraph import KNOTS, LEVELS
from .zoo import find_model

if TYPE_CHECKING:
    from .image import ImageModel

PRIOR, SYNTHESIS, FLOAT, Y_TABLES, Z_TABLES = "prior.", "synthesis.", "float.", "tables.y", "tables.z"


@dataclass(frozen=True)
class ImageBundle:
    """Everything that image streams of one model need. hash: SHA-256 of the canonical weights and tables; parameters:
    values in the model file, tables included; device: of the encoder's float transforms and, by default, of the synthesis."""

    name: str
    hash: bytes
    config: ImageConfig
    prior: IntegerPrior
    synthesis: IntegerSynthesis
    y_bank: TableBank
    z_bank: TableBank
    device: str
    parameters: int
    floats: dict[str, np.ndarray] = field(repr=False)

    @staticmethod
    def read(path: Path, device: str = "cpu", execution: str | None = None) -> ImageBundle:
        """Load a model file. execution: of prior and synthesis (`integer.executions`), by default the kernels for
        the prior and what suits the device for the synthesis. Raises ModelError."""
        info, arrays, digest = modelfile.read(path)
        if info.kind != "image":
            raise ModelError(f"{path} is a model of kind '{info.kind}', not an image model")
        try:
            config = ImageConfig(**info.config)
            parts = {p: {k[len(p) :]: v for k, v in arrays.items() if k.startswith(p)} for p in (PRIOR, SYNTHESIS, FLOAT)}
            if {k: (v.dtype, v.shape) for k, v in parts[PRIOR].items()} != integer_layout(config.of_prior):
                raise ValueError("the prior's arrays are not those of this config")
            run = make_execution(execution or default_execution(device), device)
            # the prior takes turns with the entropy decoder, which is on the CPU, so by default it is there too
            aside = OnNumpy(run) if execution in ON_DEVICE else make_execution(execution)
            prior = IntegerPrior(config.of_prior, parts[PRIOR], aside)
            synthesis = IntegerSynthesis(config, parts[SYNTHESIS], run)
        except (TypeError, ValueError, KeyError) as e:
            raise ModelError(f"{path} does not hold a whole image model ({e}); export it again") from e
        y_bank, z_bank = (TableBank.from_arrays(arrays, key) for key in (Y_TABLES, Z_TABLES))
        if (len(y_bank.sizes), len(z_bank.sizes)) != (LEVELS, config.side):
            raise ModelError(f"{path} does not have a table per scale level and side channel; export it again")
        return ImageBundle(info.name, digest, config, prior, synthesis, y_bank, z_bank, device, info.parameters, parts[FLOAT])

    @cached_property
    def model(self) -> ImageModel:
        """The float model of encoders, whose synthesis is what the integers stand for; its prior is left out.

        Imports torch on first use. Raises ModelError where weights are missing.
        """
        from .floatnet import float_net
        from .image import ImageModel

        def make() -> ImageModel:
            model = ImageModel(self.config)
            del model.prior
            return model

        floats = self.floats | dequantised(self.synthesis.arrays, self.config)
        return float_net(make, floats, self.name, "an encoder", self.device)

    def worth(self, qualities: Sequence[int]) -> np.ndarray:
        """(qualities, M) bits that a squared error of one quantisation step is worth per channel at quality 0..1000.

        lmbda * MSE (0..255) over a block of 256 pixels x 3, for a synthesis that is orthonormal but for its gains.
        """
        quality = np.array(qualities, np.float64)
        weights = np.clip(1 - np.abs(quality[:, None] / KNOT_SPACING - np.arange(KNOTS)), 0, None)
        gain = np.exp2(weights @ self.synthesis.gains["latent"].log / (1 << GAIN_FRAC))
        lmbda = LMBDA[0] * (LMBDA[1] / LMBDA[0]) ** (quality / QUALITY_MAX)
        return lmbda[:, None] * 255**2 / 3 * gain**2


def pinned_image(path: Path, name: str, digest: bytes, device: str = "cpu", execution: str | None = None) -> ImageBundle:
    """The image model that the model file `path` names, beside it or shipped. Raises ModelError unless its hash is `digest`."""
    beside = path.parent / f"{name}.safetensors"
    image = ImageBundle.read(beside if beside.is_file() else find_model(name), device, execution)
    if image.hash != digest:
        raise ModelError(
            f"{path} codes pictures with '{image.name}', but of another hash than the one here; install the version of "
            "calotype that it belongs to"
        )
    return image


def write_image_model(
    path: Path,
    name: str,
    config: ImageConfig,
    floats: dict[str, np.ndarray],
    prior: dict[str, np.ndarray],
    synthesis: dict[str, np.ndarray],
    banks: tuple[TableBank, TableBank],
    card: dict[str, Any],
) -> None:
    """Write a model file: floats (analysis and hyper analysis, stored as float16), integers of prior and synthesis, the
    tables of z and of y. Atomic."""
    z_bank, y_bank = banks
    arrays = {FLOAT + k: np.asarray(v, np.float16) for k, v in floats.items()}
    arrays |= {PRIOR + k: v for k, v in prior.items()} | {SYNTHESIS + k: v for k, v in synthesis.items()}
    arrays |= y_bank.to_arrays(Y_TABLES) | z_bank.to_arrays(Z_TABLES)
    modelfile.write(path, name, "image", config.to_dict(), card, arrays)
