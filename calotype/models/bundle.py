"""A trained image model as it codes: float transforms, integer prior, frozen tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..entropy import TableBank
from ..errors import ModelError
from . import modelfile
from .image import ImageConfig, ImageModel, knot_weights, quality_lmbda
from .integer import IntegerPrior, integer_arrays, integer_layout, make_execution
from .prior import LEVELS

PRIOR, FLOAT, Y_TABLES, Z_TABLES = "prior.", "float.", "tables.y", "tables.z"


@dataclass(frozen=True)
class ImageBundle:
    """Everything that image streams of one model need. hash: SHA-256 of the canonical weights and tables; parameters:
    values in the model file, tables included."""

    name: str
    hash: bytes
    config: ImageConfig
    model: ImageModel
    prior: IntegerPrior
    y_bank: TableBank
    z_bank: TableBank
    device: str
    parameters: int

    @staticmethod
    def read(path: Path, device: str = "cpu", execution: str | None = None) -> ImageBundle:
        """Load a model file; transforms on `device`. Raises ModelError."""
        info, arrays, digest = modelfile.read(path)
        if info.kind != "image":
            raise ModelError(f"{path} is a model of kind '{info.kind}', not an image model")
        try:
            config = ImageConfig(**info.config)
            with torch.random.fork_rng(devices=[]):  # not on the meta device: that imports torch._dynamo, 3 s
                model = ImageModel(config)
            state = {k[len(FLOAT) :]: torch.from_numpy(v).float() for k, v in arrays.items() if k.startswith(FLOAT)}
            missing, unknown = model.load_state_dict(state, strict=False)
            missing = [n for n in missing if not n.startswith(PRIOR)]
            if missing or unknown:
                raise ValueError(f"weights missing or unknown: {(missing + unknown)[0]}")
            layout = integer_layout(model.prior)
            del model.prior  # its integers replace it
            integers = {k[len(PRIOR) :]: v for k, v in arrays.items() if k.startswith(PRIOR)}
            if {k: (v.dtype, v.shape) for k, v in integers.items()} != layout:
                raise ValueError("the prior's arrays are not those of this config")
            prior = IntegerPrior(config.of_prior, integers, make_execution(execution))
        except (TypeError, ValueError, KeyError, RuntimeError) as e:
            raise ModelError(f"{path} does not hold a whole image model ({e}); export it again") from e
        model.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)
        y_bank, z_bank = (TableBank.from_arrays(arrays, key) for key in (Y_TABLES, Z_TABLES))
        if (len(y_bank.sizes), len(z_bank.sizes)) != (LEVELS, config.side):
            raise ModelError(f"{path} does not have a table per scale level and side channel; export it again")
        return ImageBundle(info.name, digest, config, model, prior, y_bank, z_bank, device, info.parameters)

    def worth(self, qualities: Sequence[int]) -> np.ndarray:
        """(qualities, M) bits that a squared error of one quantisation step is worth per channel at quality 0..1000.

        lmbda * MSE (0..255) over a block of 256 pixels x 3, for a synthesis that is orthonormal but for its gains.
        """
        quality = torch.tensor(qualities, dtype=torch.float32)
        gain = torch.exp(knot_weights(quality) @ self.model.log_inverse_gain.cpu()).double()
        return (quality_lmbda(quality).double()[:, None] * 255**2 / 3 * gain**2).numpy()


def write_image_model(
    path: Path, name: str, model: ImageModel, z_bank: TableBank, y_bank: TableBank, card: dict[str, Any]
) -> None:
    """Export a trained model: transforms in float16, prior as integers, tables frozen. Atomic."""
    state = model.state_dict()
    arrays: dict[str, np.ndarray] = {
        FLOAT + k: v.detach().cpu().half().numpy() for k, v in state.items() if not k.startswith(PRIOR)
    }
    arrays |= {PRIOR + k: v for k, v in integer_arrays(model.prior).items()}
    arrays |= y_bank.to_arrays(Y_TABLES) | z_bank.to_arrays(Z_TABLES)
    modelfile.write(path, name, "image", model.config.to_dict(), card, arrays)
