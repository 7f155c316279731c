"""The distance of `models.perceptual` as a metric. Its weights are not shipped: they are taken from a folder of the user's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from calotype.eval.metrics.metric import PICTURE, FrameMetric

DATA_VARIABLE = "CALOTYPE_DATA"
WEIGHTS = Path("weights") / "squeezenet1_1.safetensors"  # in that folder; torchvision's names of tensors


class SqueezeDistance(FrameMetric):
    """An LPIPS-like distance that is not LPIPS."""

    name = "squeeze_distance"
    convention = (
        "distance of unit-length features of SqueezeNet 1.1, seven layers alike, on the whole RGB picture at its own size; "
        "LPIPS-like but not LPIPS (no learnt weights), for comparisons only; null below 17 pixels a side, lower is better"
    )
    kinds = (PICTURE,)
    higher_is_better = False

    def __init__(self, weights: Path | None = None) -> None:
        """weights: the file, by default WEIGHTS in the folder that $CALOTYPE_DATA names."""
        self._given, self._network = weights, None

    @property
    def weights(self) -> Path | None:
        """Where they should be; None where nobody said."""
        folder = os.environ.get(DATA_VARIABLE)
        return self._given or (Path(folder) / WEIGHTS if folder else None)

    def unavailable(self) -> str | None:
        if self.weights is not None and self.weights.is_file():
            return None
        return f"there are no weights {self.weights or WEIGHTS}; set {DATA_VARIABLE} to the folder that holds {WEIGHTS}"

    def limit(self, width: int, height: int) -> str | None:
        from calotype.models.perceptual import SIDE_MIN

        if min(width, height) >= SIDE_MIN:
            return None
        return f"{self.name} needs {SIDE_MIN} pixels or more a side, not {width}x{height}"

    def of_frame(self, a: np.ndarray, b: np.ndarray) -> float:
        import torch

        from calotype.models.perceptual import SqueezeNet, distance

        if self._network is None:
            self._network = SqueezeNet.read(self.weights)
        with torch.inference_mode():
            return float(distance(self._network(_tensor(a)), self._network(_tensor(b)))[0])


def _tensor(pixels: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32) / np.float32(255))[None]
