"""mbt2018. Minnen, Balle, Toderici, "Joint autoregressive and hierarchical priors for learned image compression" (arXiv
1809.02736): hyperprior and a 5x5 causal context of what is decoded. Names are CompressAI's.

    z_hat --h_s--> (B, 2 M, h, w) --+--> entropy_parameters (1x1, three layers) --> scale, mean (B, M, h, w) each
    y_hat --context_prediction-----'          4 M -> 10/3 M -> 8/3 M -> 2 M

Coding goes position by position in raster order, in Python: 0.2 to 5 ms for each 16x16 pixels. `forward` rounds y as it is,
as CompressAI's does in evaluation; coding rounds y - mean.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .architecture import Architecture, Coder, finite, gdn_analysis, gdn_synthesis, leaky_side
from .density import GaussianConditional
from .layers import CausalConv


class JointPrior(Architecture):
    """The context model; cheng2020-anchor is this one with other transforms."""

    def __init__(self, n: int, m: int):
        super().__init__(n, m)
        self.make_transforms(n, m)
        self.context_prediction = CausalConv(m, 2 * m)
        a, b = m * 10 // 3, m * 8 // 3
        act = nn.LeakyReLU
        self.entropy_parameters = nn.Sequential(
            nn.Conv2d(4 * m, a, 1), act(), nn.Conv2d(a, b, 1), act(), nn.Conv2d(b, 2 * m, 1)
        )

    def make_transforms(self, n: int, m: int) -> None:
        """Set g_a, g_s, h_a, h_s."""
        self.g_a, self.g_s = gdn_analysis(n, m), gdn_synthesis(n, m)
        self.h_a, self.h_s = leaky_side(n, m)

    def forward(self, x: Tensor) -> dict[str, Any]:
        """As `Architecture.forward`."""
        y, z = self.analyse(x)
        z_hat, z_likelihood = self.entropy_bottleneck(z)
        y_hat = y.round()
        parts = self.h_s(z_hat), self.context_prediction(y_hat)
        scale, mean = self.entropy_parameters(torch.cat(parts, 1)).chunk(2, 1)
        value = (y - mean).round() + mean
        y_likelihood = GaussianConditional.likelihood(value, scale, mean)
        return {"x_hat": self.g_s(y_hat), "likelihoods": {"y": y_likelihood, "z": z_likelihood}}

    def walk(self, z: np.ndarray, shape: tuple[int, int], coder: Coder) -> Tensor:
        """As `Architecture.walk`; the coder is called at each position, with means and scales (M,)."""
        (h, w), m = shape, self.M
        hyper = finite(self.h_s(self.z_hat(z))[0]).permute(1, 2, 0).contiguous()  # (h, w, 2 M)
        taps, bias = self.context_prediction.taps(), self.context_prediction.bias
        layers = [(layer.weight[:, :, 0, 0], layer.bias) for layer in self.entropy_parameters if hasattr(layer, "weight")]
        y_hat = torch.zeros(h + 2, w + 4, m, dtype=torch.float64)  # two rows above, two columns on either side
        for r in range(h):
            for c in range(w):
                near = torch.cat((y_hat[r, c : c + 5], y_hat[r + 1, c : c + 5], y_hat[r + 2, c : c + 2]))
                x = torch.cat((hyper[r, c], F.linear(near.view(-1), taps, bias)))
                for k, (weight, b) in enumerate(layers):
                    x = F.linear(F.leaky_relu(x) if k else x, weight, b)
                scale, mean = finite(x).chunk(2)
                y_hat[r + 2, c + 2] = torch.from_numpy(coder((r, c), mean, scale)) + mean
        return y_hat[2:, 2 : w + 2].permute(2, 0, 1)
