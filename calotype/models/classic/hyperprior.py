"""bmshj2018-hyperprior. Balle, Minnen, Singh, Hwang, Johnston, "Variational image compression with a scale hyperprior"
(arXiv 1802.01436): a side latent z gives the scale of each latent. Names are CompressAI's.

    y (B, M, h, w) --|y|, h_a--> z (B, N, h/4, w/4) --round--> z_hat --h_s--> scale (B, M, h, w)
    y --round--> y_hat ~ Normal(0, scale)
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .architecture import Architecture, Coder, finite, gdn_analysis, gdn_synthesis
from .density import GaussianConditional
from .layers import conv, deconv


class ScaleHyperprior(Architecture):
    """Means are zero."""

    def __init__(self, n: int, m: int):
        super().__init__(n, m)
        self.g_a, self.g_s = gdn_analysis(n, m), gdn_synthesis(n, m)
        self.h_a = nn.Sequential(conv(m, n, 3, 1), nn.ReLU(), conv(n, n), nn.ReLU(), conv(n, n))
        self.h_s = nn.Sequential(deconv(n, n), nn.ReLU(), deconv(n, n), nn.ReLU(), conv(n, m, 3, 1), nn.ReLU())

    def analyse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """As `Architecture.analyse`; z is made of |y|."""
        y = self.g_a(x)
        return y, self.h_a(y.abs())

    def forward(self, x: Tensor) -> dict[str, Any]:
        """As `Architecture.forward`."""
        y, z = self.analyse(x)
        z_hat, z_likelihood = self.entropy_bottleneck(z)
        y_hat = y.round()
        y_likelihood = GaussianConditional.likelihood(y_hat, self.h_s(z_hat))
        return {"x_hat": self.g_s(y_hat), "likelihoods": {"y": y_likelihood, "z": z_likelihood}}

    def walk(self, z: np.ndarray, shape: tuple[int, int], coder: Coder) -> Tensor:
        """As `Architecture.walk`."""
        scale = finite(self.h_s(self.z_hat(z))[0])
        return torch.from_numpy(coder((), torch.zeros_like(scale), scale)).double()
