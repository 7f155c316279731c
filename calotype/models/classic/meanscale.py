"""mbt2018-mean. Minnen, Balle, Toderici, "Joint autoregressive and hierarchical priors for learned image compression"
(arXiv 1809.02736): the hyperprior of its ablation, without the context model. Names are CompressAI's.

    y (B, M, h, w) --h_a--> z (B, N, h/4, w/4) --round--> z_hat --h_s--> scale, mean (B, M, h, w) each
    y - mean --round, + mean--> y_hat ~ Normal(mean, scale)
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from .architecture import Architecture, Coder, finite, gdn_analysis, gdn_synthesis, leaky_side
from .density import GaussianConditional


class MeanScaleHyperprior(Architecture):
    """Scales are the first half of h_s's channels, means the second."""

    def __init__(self, n: int, m: int):
        super().__init__(n, m)
        self.g_a, self.g_s = gdn_analysis(n, m), gdn_synthesis(n, m)
        self.h_a, self.h_s = leaky_side(n, m)

    def forward(self, x: Tensor) -> dict[str, Any]:
        """As `Architecture.forward`."""
        y, z = self.analyse(x)
        z_hat, z_likelihood = self.entropy_bottleneck(z)
        scale, mean = self.h_s(z_hat).chunk(2, 1)
        y_hat = (y - mean).round() + mean
        y_likelihood = GaussianConditional.likelihood(y_hat, scale, mean)
        return {"x_hat": self.g_s(y_hat), "likelihoods": {"y": y_likelihood, "z": z_likelihood}}

    def walk(self, z: np.ndarray, shape: tuple[int, int], coder: Coder) -> Tensor:
        """As `Architecture.walk`."""
        scale, mean = finite(self.h_s(self.z_hat(z))[0]).chunk(2)
        return torch.from_numpy(coder((), mean, scale)).double() + mean
