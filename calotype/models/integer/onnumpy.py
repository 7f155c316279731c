"""Any execution behind numpy arrays: what the prior, which takes turns with the entropy decoder, needs."""

from __future__ import annotations

from typing import Any

import numpy as np

from .executions import Execution, Reference
from .layers import ONE, Affine, Rows


class OnNumpy(Reference):
    """Layers by another execution, the rest by the reference."""

    def __init__(self, inner: Execution):
        self.inner = inner

    def affine(self, layer: Affine, x: np.ndarray, rows: Rows = ONE, leaky: bool = False, skip: Any = None) -> np.ndarray:
        run = self.inner
        other = None if skip is None else run.array(skip)
        return run.numpy(run.affine(layer, run.array(x), rows, leaky, other))

    def depthwise(self, layer: Affine, x: np.ndarray) -> np.ndarray:
        return self.inner.numpy(self.inner.depthwise(layer, self.inner.array(x)))
