"""What overfitted clips start from: pictures' start, the prior of inter frames, what codes motion, steps. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ...entropy.tables import TableBank
from ...errors import ModelError
from .. import modelfile
from ..motion.fieldcoding import INTRA_TABLES, MODE_TABLES, VECTOR_TABLES
from ..motion.search import Prices
from ..videobundle import INTRA_HASH, MOTION_TABLES
from ..zoo import find_model
from . import motioncoding
from .bundle import MIXES, PRIOR, OverfitBundle
from .loop import checked
from .mixing import Mixing
from .prior import Prior
from .sizes import TEMPORAL
from .synthesis import STEP_TOP

KIND = "overfit-video"
QUALITIES = 1001


@dataclass(frozen=True)
class OverfitVideoBundle:
    """intra: of intra frames, pinned by its hash, which `hash` covers. prior: temporal; steps: (1001,) in 1/64 level by
    quality; motion: tables of fields; start: what codes fields in their place where the prior mixes, the tables being the
    search's prices; loop: weights of the filter of inter frames, as of loop.py, None where they have none."""

    name: str
    hash: bytes
    intra: OverfitBundle
    prior: Prior
    steps: np.ndarray
    motion: Mapping[str, TableBank]
    device: str
    parameters: int
    loop: np.ndarray | None = None
    start: Mixing | None = None

    @staticmethod
    def read(path: Path, device: str = "cpu", execution: str | None = None) -> OverfitVideoBundle:
        """Load a model file and the start of pictures that it names; there is one execution. Raises ModelError."""
        info, arrays, digest = modelfile.read(path)
        if info.kind != KIND:
            raise ModelError(f"{path} is a model of kind '{info.kind}', not a start of overfitted clips")
        try:
            name = str(info.config["intra"])
            beside = path.parent / f"{name}.safetensors"
            intra = OverfitBundle.read(beside if beside.is_file() else find_model(name), device)
            if intra.hash != arrays[INTRA_HASH].tobytes():
                raise ModelError(f"{path} codes intra frames with '{name}', but of another hash than the one here")
            parts = {k[len(PRIOR) :]: v for k, v in arrays.items() if k.startswith(PRIOR)}
            mixing = start = None
            if info.config.get(MIXES):
                mixing = Mixing(arrays["maps"], arrays["mixers"])
                start = Mixing(arrays["motion.maps"], arrays["motion.mixers"]).checked(motioncoding.blank(), motioncoding.LIMIT)
            seen = int(info.config.get("seen", TEMPORAL[0]))
            prior = Prior(parts, arrays["chances"].astype(np.int32), seen, mixing).checked()
            steps = arrays["steps"].astype(np.int64)
            if steps.shape != (QUALITIES,) or steps.min() < 1 or steps.max() > STEP_TOP:
                raise ValueError("steps are out of range")
            loop = checked(arrays["loop"]) if "loop" in arrays else None
            motion = {kind: TableBank.from_arrays(arrays, key) for kind, key in MOTION_TABLES.items()}
        except (TypeError, ValueError, KeyError) as e:
            raise ModelError(f"{path} does not hold a whole start of overfitted clips ({e}); export it again") from e
        counts = {"intra": INTRA_TABLES, "mode": MODE_TABLES, "vector": VECTOR_TABLES}
        if any(len(bank) != counts[kind] for kind, bank in motion.items()):
            raise ModelError(f"{path} does not have all tables of motion; export it again")
        return OverfitVideoBundle(info.name, digest, intra, prior, steps, motion, device, info.parameters, loop, start)

    @cached_property
    def prices(self) -> Prices:
        """What the symbols of motion take, for the encoder's search."""
        return Prices.of(self.motion)


def write_overfit_video_model(
    path: Path,
    name: str,
    intra: OverfitBundle,
    prior: Prior,
    steps: np.ndarray,
    motion: Mapping[str, TableBank],
    card: dict[str, Any],
    loop: np.ndarray | None = None,
    start: Mixing | None = None,
) -> None:
    """Write a model file. start: where the prior mixes, and only there. Atomic."""
    arrays = {PRIOR + k: v for k, v in prior.arrays.items()} | {"chances": prior.chances, "steps": steps.astype(np.int32)}
    for kind, key in MOTION_TABLES.items():
        arrays |= motion[kind].to_arrays(key)
    if loop is not None:
        arrays["loop"] = checked(loop)
    config = {"intra": intra.name, "seen": prior.seen}
    if prior.mixing and start:
        config[MIXES] = 1
        arrays |= {"maps": prior.mixing.maps, "mixers": prior.mixing.weights}
        arrays |= {"motion.maps": start.maps, "motion.mixers": start.weights}
    arrays[INTRA_HASH] = np.frombuffer(intra.hash, np.uint8)
    modelfile.write(path, name, KIND, config, card, arrays)
