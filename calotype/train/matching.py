"""Matching of distributions: one step's pictures are to be spread as those of a flow's many steps, none of which are made.

    made --noise of a time--> state --teacher, frozen--> picture, as photos are
                                    --fake, which learns what is made--> picture, as made ones are
    made goes along (teacher's - fake's) / mean |made - teacher's|

Source: the gradient and its norm are DMD's (Yin et al. 2023, arXiv 2311.18828), without its regression towards sampled pictures
and beside a critic as in DMD2 (arXiv 2405.14867). Different: the fake net learns once a step, not five times, on the states
that the gradient is taken at; it is told the realism, so that what is made at each has a score of its own.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..models.generative.net import SPREAD, Setting

Net = Callable[[Tensor, Tensor, Setting], Tensor]
TIMES = 0.02, 0.98  # at the ends there is nothing to tell


def matching(teacher: Net, fake: Net, given: Tensor, setting: Setting, made: Tensor) -> tuple[Tensor, Tensor]:
    """given, made (B, 3, H, W): the decoded pictures, and what the one-step net, told of `setting`, made of them. Two losses
    (B,): one whose gradient reaches `made` alone, half the square of that gradient, and the fake net's squared error, which
    reaches its weights alone."""
    real = made.detach()
    low, high = TIMES
    told = setting._replace(time=low + (high - low) * torch.rand_like(setting.time))
    time = told.time[:, None, None, None]
    state = (1 - time) * (real - given) / SPREAD + time * torch.randn_like(real)
    guessed = fake(given, state, told)
    with torch.no_grad():
        wanted = teacher(given, state, told._replace(realism=torch.ones_like(told.realism)))
        off = (real - wanted).abs().mean((1, 2, 3), keepdim=True).clamp_min(1e-6)
        target = real - (guessed - wanted) / off
    return (made - target).square().mean((1, 2, 3)) / 2, (guessed - real).square().mean((1, 2, 3))
