"""bmshj2018-factorized. Balle, Minnen, Singh, Hwang, Johnston, "Variational image compression with a scale hyperprior"
(arXiv 1802.01436): the model without side information, one learned density per channel of y. Names are CompressAI's.

    x (B, 3, H, W) --g_a--> y (B, M, H/16, W/16) --round--> y_hat --g_s--> x_hat
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from .architecture import Architecture, Coder, gdn_analysis, gdn_synthesis


class FactorisedPrior(Architecture):
    """Its tables are indexed by channel, so `scale` is not asked for."""

    has_side = False

    def __init__(self, n: int, m: int):
        super().__init__(n, m)
        self.g_a, self.g_s = gdn_analysis(n, m), gdn_synthesis(n, m)

    def forward(self, x: Tensor) -> dict[str, Any]:
        """As `Architecture.forward`; likelihoods of y only."""
        y_hat, likelihood = self.entropy_bottleneck(self.g_a(x))
        return {"x_hat": self.g_s(y_hat), "likelihoods": {"y": likelihood}}

    def walk(self, z: np.ndarray | None, shape: tuple[int, int], coder: Coder) -> Tensor:
        """As `Architecture.walk`; z is None, and scales are the numbers of the channels."""
        mean = self.entropy_bottleneck.median()[0].expand(self.M, *shape)
        channel = torch.arange(self.M, dtype=torch.float64)[:, None, None].expand(mean.shape)
        return torch.from_numpy(coder((), mean, channel)).double() + mean
