"""Encoder effort: aim the rounding at what the decoder really makes of the symbols.

The encoder's own pass leaves an error that the decoder's transform would not, and rate-distortion optimised rounding
(`rdoq.py`) takes the synthesis for orthonormal. So: round, decode, take the gradient of the squared error at the decoded
latents, let each latent's target move towards the Newton point y_hat - g / h, h being the curvature of an orthonormal
synthesis, and round again; the best of all rounds in rate + lmbda MSE is coded. The semi-amortised idea is that of Yang et
al. 2020 (arXiv 2006.04240) and of SAVI in Gao et al. 2022 (arXiv 2209.13385); what differs: hard symbols in their real
context at every pass, no relaxation, no optimiser state, a few passes.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ..models.bundle import ImageBundle
from ..models.image import modulate, quality_lmbda
from ..models.lapped import BLOCK
from ..models.priorgraph import MEAN_FRAC
from .dial import Dial

Code = Callable[[Tensor], tuple[float, np.ndarray]]
Judge = Callable[[Tensor], tuple[Tensor, float]]


def fit(
    bundle: ImageBundle,
    y: Tensor,
    target: Tensor,
    dial: Dial,
    passes: int,
    code: Code,
) -> Tensor:
    """y (1, M, h, w) in steps, fitted in so many passes to target (1, 3, 16 h, 16 w) in [0, 1] at the dial's quality.

    code: as of `descend`.
    """
    weights = dial.weights(bundle.device)
    # the squared error of an orthonormal synthesis with those gains has the curvature 2 gain^2
    curvature = modulate(torch.full_like(y, 2.0), weights, 2 * bundle.model.log_inverse_gain)
    worth = quality_lmbda(torch.tensor(dial.levels, dtype=torch.float32)) * 255**2 / 3  # bits of a squared error, 3 channels
    if dial.latent is not None:
        worth = worth[torch.from_numpy(dial.latent.astype(np.int64))].repeat_interleave(BLOCK, 0).repeat_interleave(BLOCK, 1)
    worth = worth.to(bundle.device)

    def judge(decoded: Tensor) -> tuple[Tensor, float]:
        error = (bundle.model.synthesise(decoded, weights) - target).square().sum(1)
        return error.sum(), float((error.detach() * worth).sum())

    return descend(y, curvature, passes, code, judge)


def descend(y: Tensor, curvature: Tensor, passes: int, code: Code, judge: Judge) -> Tensor:
    """y (1, M, h, w) in steps, moved in so many passes to where rate and distortion are least.

    curvature: of the error in y; code: y -> bits and y_hat (h, w, M) in 1/16 as a decoder has it; judge: decoded latents ->
    the error whose gradient is taken, and the bits that the error is worth. The share of the way falls as 1 / (6 + pass):
    larger ones overshoot, most of all at low rates.
    """
    best, least = y, math.inf
    for number in range(passes + 1):
        bits, y_hat = code(y)
        decoded = torch.from_numpy(y_hat).to(y.device, torch.float32).permute(2, 0, 1)[None] / (1 << MEAN_FRAC)
        decoded.requires_grad_(number < passes)
        with torch.set_grad_enabled(number < passes):
            error, worth = judge(decoded)
        if bits + worth < least:
            best, least = y, bits + worth
        if number < passes:
            (gradient,) = torch.autograd.grad(error, decoded)
            y = y + (decoded.detach() - gradient / curvature - y) / (6 + number)
    return best
