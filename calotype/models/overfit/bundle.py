"""The shipped start of overfitted pictures: networks that a file states its own only as differences to. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ModelError
from .. import modelfile
from . import synthesis
from .mixing import Mixing
from .prior import Prior
from .sizes import GRIDS
from .synthesis import Synthesis

KIND = "overfit"
PRIOR, FILTER = "prior.", "filter."
MIXES, TRELLIS = "mixes", "trellis"  # in the configuration: 1 where the prior mixes several contexts of a bit, has a trellis


@dataclass(frozen=True)
class OverfitBundle:
    """prior, synthesis: what pictures start from (the step is none of a picture's); hash: SHA-256 of weights and probabilities;
    device: of the encoder's fitting; parameters: values in the model file."""

    name: str
    hash: bytes
    prior: Prior
    synthesis: Synthesis
    device: str
    parameters: int

    @staticmethod
    def read(path: Path, device: str = "cpu", execution: str | None = None) -> OverfitBundle:
        """Load a model file; there is one execution. Raises ModelError."""
        info, arrays, digest = modelfile.read(path)
        if info.kind != KIND:
            raise ModelError(f"{path} is a model of kind '{info.kind}', not a start of overfitted pictures")
        try:
            parts = {p: {k[len(p) :]: v for k, v in arrays.items() if k.startswith(p)} for p in (PRIOR, FILTER)}
            mixing = Mixing(arrays["maps"], arrays["mixers"]) if info.config.get(MIXES) else None
            trellis = bool(info.config.get(TRELLIS))
            prior = Prior(parts[PRIOR], arrays["chances"].astype(np.int32), mixing=mixing, trellis=trellis).checked()
            gains, shrinks = arrays["gains"].astype(np.int64), arrays["shrinks"].astype(np.int64)
            if gains.shape != (GRIDS,) or shrinks.shape != (GRIDS,) or arrays["colours"].shape != (3, 3):
                raise ValueError("gains or colours are none")
            colours = arrays["colours"].astype(np.int64)
            start = Synthesis(parts[FILTER], gains, shrinks, colours, synthesis.STEP_UNIT).checked()
        except (TypeError, ValueError, KeyError) as e:
            raise ModelError(f"{path} does not hold a whole start of overfitted pictures ({e}); export it again") from e
        return OverfitBundle(info.name, digest, prior, start, device, info.parameters)


def write_overfit_model(path: Path, name: str, prior: Prior, start: Synthesis, card: dict[str, Any]) -> None:
    """Write a model file. Atomic."""
    arrays = {PRIOR + k: v for k, v in prior.arrays.items()} | {FILTER + k: v for k, v in start.arrays.items()}
    arrays |= {"chances": prior.chances, "gains": start.gains.astype(np.int32), "shrinks": start.shrinks.astype(np.int32)}
    arrays["colours"] = start.colours.astype(np.int32)
    if prior.mixing:
        arrays |= {"maps": prior.mixing.maps, "mixers": prior.mixing.weights}
    flags = {MIXES: prior.mixing is not None, TRELLIS: prior.trellis}
    modelfile.write(path, name, KIND, {name: 1 for name, flag in flags.items() if flag}, card, arrays)
