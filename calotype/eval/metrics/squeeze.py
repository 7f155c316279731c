"""Metrics by `models.perceptual`. Its weights are not shipped: they are taken from a folder of the user's."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from calotype.eval.metrics.fid import in_batches, kernel, patches
from calotype.eval.metrics.metric import PICTURE, FrameMetric

if TYPE_CHECKING:
    from calotype.models.perceptual import SqueezeNet

DATA_VARIABLE = "CALOTYPE_DATA"
WEIGHTS = Path("weights") / "squeezenet1_1.safetensors"  # in that folder; torchvision's names of tensors
PATCH = 64  # of the kernel distance, pixels a side: a picture of 768x512 has 173, so that some pictures do


class Squeeze:
    """The network of what looks at pictures by it."""

    def __init__(self, weights: Path | None = None) -> None:
        """weights: the file, by default WEIGHTS in the folder that $CALOTYPE_DATA names."""
        self._given = weights

    @property
    def weights(self) -> Path | None:
        """Where they should be; None where nobody said."""
        folder = os.environ.get(DATA_VARIABLE)
        return self._given or (Path(folder) / WEIGHTS if folder else None)

    @cached_property
    def network(self) -> SqueezeNet:
        from calotype.models.perceptual import SqueezeNet

        return SqueezeNet.read(self.weights)

    def unavailable(self) -> str | None:
        if self.weights is not None and self.weights.is_file():
            return None
        return f"there are no weights {self.weights or WEIGHTS}; set {DATA_VARIABLE} to the folder that holds {WEIGHTS}"


class SqueezeDistance(Squeeze, FrameMetric):
    """An LPIPS-like distance that is not LPIPS."""

    name = "squeeze_distance"
    convention = (
        "distance of unit-length features of SqueezeNet 1.1, seven layers alike, on the whole RGB picture at its own size; "
        "LPIPS-like but not LPIPS (no learnt weights), for comparisons only; null below 17 pixels a side, lower is better"
    )
    kinds = (PICTURE,)
    higher_is_better = False

    def limit(self, width: int, height: int) -> str | None:
        from calotype.models.perceptual import SIDE_MIN

        if min(width, height) >= SIDE_MIN:
            return None
        return f"{self.name} needs {SIDE_MIN} pixels or more a side, not {width}x{height}"

    def of_frame(self, a: np.ndarray, b: np.ndarray) -> float:
        import torch

        from calotype.models.perceptual import distance

        with torch.inference_mode():
            return float(distance(self.network(_tensor(a[None])), self.network(_tensor(b[None])))[0])


class SqueezeKid(Squeeze):
    """How real pictures are, whatever their sources were (`sets.SetMetric`)."""

    name = "squeeze_kid"
    conventions = {
        name: f"KID-like distance between the sources' {PATCH}x{PATCH} patches (grid from the corner and the same moved by "
        f"{PATCH // 2}) and the decoded ones, all pictures at once: 1000 times the unbiased MMD^2 with kernel (x y / D + 1)^3, "
        "a patch and its own source left out, of features of SqueezeNet 1.1 (means over places of seven layers); not KID (no "
        "Inception), for comparisons on equal pictures only, lower is better"
    }

    def features(self, picture: np.ndarray) -> np.ndarray:
        """(N, 2240) of an (H, W, 3) uint8 picture's patches; none of one smaller than a patch."""
        import torch

        from calotype.models.perceptual import TAP_WIDTHS, pooled

        def of(some: np.ndarray) -> np.ndarray:
            with torch.inference_mode():
                return pooled(self.network(_tensor(some))).double().numpy()

        return np.reshape(list(in_batches(patches(picture, PATCH), of)), (-1, sum(TAP_WIDTHS)))

    def figures(self, a: np.ndarray, b: np.ndarray) -> dict[str, float | None]:
        """Of sources (N, D) and decoded ones (N, D), of one order; None for fewer than two patches."""
        return {self.name: 1000 * kernel(a, b, paired=True) if len(a) > 1 else None}


def _tensor(pixels: np.ndarray) -> Any:
    """(N, H, W, 3) uint8 -> (N, 3, H, W) in [0, 1]."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), np.float32) / np.float32(255))
