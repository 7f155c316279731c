"""A trained video model as it codes: the integers of inter frames, frozen tables, and the image model of intra frames.

Decoding touches no float and no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..entropy import TableBank
from ..errors import ModelError
from . import modelfile
from .bundle import FLOAT, PRIOR, Y_TABLES, Z_TABLES, ImageBundle, pinned_image
from .imageconfig import LMBDA, QUALITY_MAX
from .integer.executions import ON_DEVICE, default_execution, make_execution
from .integer.inter import IntegerInter, dequantised
from .integer.layers import GAIN_FRAC, KNOT_SPACING
from .integer.onnumpy import OnNumpy
from .integer.prior import IntegerPrior, integer_layout
from .motion.fieldcoding import INTRA_TABLES, MODE_TABLES, VECTOR_TABLES
from .motion.search import Prices
from .priorgraph import KNOTS, LEVELS
from .stem import Stem, read_stem
from .videoconfig import VideoConfig

if TYPE_CHECKING:
    from .video import InterModel

KIND = "video"
INTER, INTRA_HASH = "inter.", "intra.hash"
# by kind; older models have no "intra"
MOTION_TABLES = {"intra": "tables.intra", "mode": "tables.mode", "vector": "tables.vector"}


@dataclass(frozen=True)
class VideoBundle:
    """Everything that video streams of one model need. intra: the image model of intra frames, pinned by its hash, which
    `hash` covers; stem: of independent frames, where there is one; other fields as in `ImageBundle`."""

    name: str
    hash: bytes
    config: VideoConfig
    intra: ImageBundle
    prior: IntegerPrior
    inter: IntegerInter
    y_bank: TableBank
    z_bank: TableBank
    motion: Mapping[str, TableBank]
    device: str
    parameters: int
    floats: dict[str, np.ndarray] = field(repr=False)
    stem: Stem | None = None

    @staticmethod
    def read(path: Path, device: str = "cpu", execution: str | None = None) -> VideoBundle:
        """Load a model file and the image model that it names. execution: as in `ImageBundle.read`. Raises ModelError."""
        info, arrays, digest = modelfile.read(path)
        if info.kind != KIND:
            raise ModelError(f"{path} is a model of kind '{info.kind}', not a video model")
        try:
            sizes = dict(info.config)
            intra = pinned_image(path, str(sizes.pop("intra")), arrays[INTRA_HASH].tobytes(), device, execution)
            config = VideoConfig(**sizes)
            parts = {p: {k[len(p) :]: v for k, v in arrays.items() if k.startswith(p)} for p in (PRIOR, INTER, FLOAT)}
            if {k: (v.dtype, v.shape) for k, v in parts[PRIOR].items()} != integer_layout(config.of_prior):
                raise ValueError("the prior's arrays are not those of this config")
            run = make_execution(execution or default_execution(device), device)
            aside = OnNumpy(run) if execution in ON_DEVICE else make_execution(execution)
            prior = IntegerPrior(config.of_prior, parts[PRIOR], aside)
            inter = IntegerInter(config, parts[INTER], run)
            stem = read_stem(arrays, intra, aside)
            y_bank, z_bank = (TableBank.from_arrays(arrays, key) for key in (Y_TABLES, Z_TABLES))
            old = not any(key.startswith(MOTION_TABLES["intra"]) for key in arrays)
            kinds = MOTION_TABLES.keys() - ({"intra"} if old else set())
            motion = {kind: TableBank.from_arrays(arrays, MOTION_TABLES[kind]) for kind in kinds}
        except (TypeError, ValueError, KeyError) as e:
            raise ModelError(f"{path} does not hold a whole video model ({e}); export it again") from e
        if (len(y_bank.sizes), len(z_bank.sizes)) != (LEVELS, config.side):
            raise ModelError(f"{path} does not have a table per scale level and side channel; export it again")
        counts = {"intra": INTRA_TABLES, "mode": MODE_TABLES, "vector": VECTOR_TABLES}
        if any(len(bank) != counts[kind] for kind, bank in motion.items()):
            raise ModelError(f"{path} does not have all tables of motion; export it again")
        return VideoBundle(
            *(info.name, digest, config, intra, prior, inter, y_bank, z_bank, motion, device, info.parameters, parts[FLOAT]),
            stem=stem,
        )

    @cached_property
    def model(self) -> InterModel:
        """The float model of encoders: the trained analysis, and the decoder that the integers stand for; without the prior.

        Imports torch on first use. Raises ModelError where weights are missing.
        """
        from .floatnet import float_net
        from .video import InterModel

        def make() -> InterModel:
            model = InterModel(self.config)
            del model.prior, model.z_mean, model.z_log_scale
            return model

        floats = self.floats | dequantised(self.inter.arrays, self.config)
        return float_net(make, floats, self.name, "an encoder", self.device)

    @cached_property
    def prices(self) -> Prices:
        """What the symbols of motion take, for the encoder's search."""
        return Prices.of(self.motion)

    def worth(self, quality: int) -> np.ndarray:
        """(1, M) bits that a squared error of one quantisation step is worth per channel at quality 0..1000.

        0.75 lmbda a squared level of luma, over a block of 256 pixels; chroma's weight is in the scale of its channels.
        """
        weights = np.clip(1 - np.abs(quality / KNOT_SPACING - np.arange(KNOTS)), 0, None)
        gain = np.exp2(weights @ self.inter.gains["latent"].log / (1 << GAIN_FRAC))
        lmbda = LMBDA[0] * (LMBDA[1] / LMBDA[0]) ** (quality / QUALITY_MAX)
        return (0.75 * lmbda * (256 * gain) ** 2)[None]


def write_video_model(
    path: Path,
    name: str,
    config: VideoConfig,
    intra: ImageBundle,
    arrays: Mapping[str, Mapping[str, np.ndarray]],
    banks: tuple[TableBank, TableBank],
    motion: Mapping[str, TableBank],
    card: dict[str, Any],
) -> None:
    """Write a model file, atomically. arrays: by prefix, PRIOR and INTER (integers) and FLOAT (stored as float16); banks: of z
    and of y."""
    z_bank, y_bank = banks
    found = {FLOAT + k: np.asarray(v, np.float16) for k, v in arrays[FLOAT].items()}
    for prefix in (PRIOR, INTER):
        found |= {prefix + k: v for k, v in arrays[prefix].items()}
    found |= y_bank.to_arrays(Y_TABLES) | z_bank.to_arrays(Z_TABLES)
    for kind, key in MOTION_TABLES.items():
        found |= motion[kind].to_arrays(key)
    found[INTRA_HASH] = np.frombuffer(intra.hash, np.uint8)
    modelfile.write(path, name, KIND, config.to_dict() | {"intra": intra.name}, card, found)
