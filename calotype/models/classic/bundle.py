"""A classic model as it codes: transforms, prior, frozen tables; and its model file (kind `classic`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...entropy import TableBank
from ...errors import ModelError
from .. import modelfile
from .architecture import Architecture
from .density import LEVELS, GaussianConditional
from .families import ClassicConfig

KIND, FLOAT, Y_TABLES, Z_TABLES = "classic", "float.", "tables.y", "tables.z"


@dataclass(frozen=True)
class ClassicBundle:
    """Everything that streams of one classic model need. hash: SHA-256 of the canonical weights and tables; z_bank: None
    where there is no side latent; parameters: values in the model file, tables included."""

    name: str
    hash: bytes
    config: ClassicConfig
    model: Architecture
    y_bank: TableBank
    z_bank: TableBank | None
    device: str
    parameters: int

    @staticmethod
    def read(path: Path, device: str = "cpu", execution: str | None = None) -> ClassicBundle:
        """Load a model file; transforms on `device`, the prior on the CPU. execution: has no meaning here. Raises
        ModelError."""
        info, arrays, digest = modelfile.read(path)
        if info.kind != KIND:
            raise ModelError(f"{path} is a model of kind '{info.kind}', not a classic model")
        try:
            config = ClassicConfig(**info.config)
            model = config.build()
            weights = {k[len(FLOAT) :]: torch.from_numpy(v) for k, v in arrays.items() if k.startswith(FLOAT)}
            model.load_state_dict(weights)
        except (TypeError, ValueError, KeyError, RuntimeError) as e:
            raise ModelError(f"{path} does not hold a whole classic model ({e}); import it again") from e
        y_bank = TableBank.from_arrays(arrays, Y_TABLES)
        z_bank = TableBank.from_arrays(arrays, Z_TABLES) if model.has_side else None
        if (len(y_bank), z_bank and len(z_bank)) != ((LEVELS, config.N) if model.has_side else (config.M, None)):
            raise ModelError(f"{path} does not have a table per scale level and channel; import it again")
        return ClassicBundle(info.name, digest, config, model.place(device), y_bank, z_bank, device, info.parameters)


def write_classic_model(
    path: Path, name: str, config: ClassicConfig, model: Architecture, card: dict[str, Any]
) -> None:
    """Write the model file of a float32 model, its tables frozen. Atomic. Raises ModelError for a density that is none."""
    arrays: dict[str, np.ndarray] = {
        FLOAT + key: value.detach().cpu().float().numpy() for key, value in model.state_dict().items()
    }
    factorised = model.entropy_bottleneck.tables()
    if model.has_side:
        arrays |= GaussianConditional.tables().to_arrays(Y_TABLES) | factorised.to_arrays(Z_TABLES)
    else:
        arrays |= factorised.to_arrays(Y_TABLES)
    modelfile.write(path, name, KIND, config.to_dict(), card, arrays)
