"""Encoder effort: aim the rounding at what the decoder really makes of the symbols.

The encoder's own pass leaves an error that the decoder's transform would not, and rate-distortion optimised rounding
(`rdoq.py`) takes the synthesis for orthonormal. So: round, decode, take the gradient of the squared error at the decoded
latents, and let each latent's target move towards the Newton point y_hat - g / h, h being the curvature of an orthonormal
synthesis; round again. The semi-amortised idea is that of Yang et al. 2020 (arXiv 2006.04240) and of SAVI in Gao et al. 2022
(arXiv 2209.13385); what differs: hard symbols and their real context at every pass, no relaxation, no optimiser state,
a few passes.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..models.bundle import ImageBundle
from ..models.integer import MEAN_FRAC

EFFORT, MAX_EFFORT = 2, 9  # the default: past it a pass gains less than half of what the first did


def closer(bundle: ImageBundle, y: Tensor, y_hat: np.ndarray, target: Tensor, q: int, number: int) -> Tensor:
    """One pass, the `number`-th from 0: y (1, M, h, w) in steps and its y_hat (h, w, M) in 1/16 as decoded; target
    (1, 3, 16 h, 16 w) in [0, 1]; quality q in 0..1000 -> the next y.

    The share of the way falls as 1 / (6 + number): whole steps overshoot, most of all at low rates.
    """
    weights = bundle.weights(q)
    decoded = torch.from_numpy(y_hat).to(bundle.device, torch.float32).permute(2, 0, 1)[None] / (1 << MEAN_FRAC)
    decoded.requires_grad_(True)
    with torch.enable_grad():
        error = (bundle.model.synthesise(decoded, weights) - target).square().sum()
        (gradient,) = torch.autograd.grad(error, decoded)
    # the squared error of an orthonormal synthesis with those gains has the curvature 2 gain^2
    curvature = 2 * torch.exp(2 * (weights @ bundle.model.log_inverse_gain))[:, :, None, None]
    return y + (decoded.detach() - gradient / curvature - y) / (6 + number)
