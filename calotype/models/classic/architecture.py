"""What every classic architecture is made of, and what its codec asks of it.

    x (B, 3, H, W) --g_a--> y (B, M, H/16, W/16) --h_a--> z (B, N, H/64, W/64)
    z_hat --h_s--> scales and means of y;  y_hat --g_s--> x_hat

The transforms (g_a, h_a, g_s) run in float32 anywhere; what decides a table index or a mean (the densities, h_s and what
follows it) runs in float64 on the CPU, so that machines rarely differ there. That is no promise: these priors are floats.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import ModelError
from .density import EntropyBottleneck, GaussianConditional
from .layers import GDN, conv, deconv
from .names import canonical

LATENT, SIDE = 16, 64  # pixels a latent, pixels a side latent
# coder(where, mean, scale): the int32 symbols at y[:, where] (all of it, or one position) given float64 means and scales of
# their shape; an encoder makes them, a decoder reads them.
Coder = Callable[[tuple, Tensor, Tensor], np.ndarray]


class Architecture(nn.Module):
    """Base of the classic architectures. N, M: channels of the transforms and of y; width of z is N."""

    has_side = True

    def __init__(self, n: int, m: int):
        super().__init__()
        self.N, self.M = n, m
        self.entropy_bottleneck = EntropyBottleneck(n if self.has_side else m)

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """As torch does, of CompressAI's state dicts too: their constants, checked, are left out. Raises ModelError for a
        constant of another value."""
        return super().load_state_dict(canonical(state), strict, assign)

    def forward(self, x: Tensor) -> dict[str, Any]:
        """x (B, 3, H, W) in [0, 1], H and W multiples of 64 -> {"x_hat", "likelihoods": {"y", "z"}}; rounds, adds no noise."""
        raise NotImplementedError

    def analyse(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """x -> y and z (None where there is no side latent), not rounded; float32."""
        y = self.g_a(x)
        return y, self.h_a(y) if self.has_side else None

    def walk(self, z: np.ndarray | None, shape: tuple[int, int], coder: Coder) -> Tensor:
        """z int32 (N, h/4, w/4), less its medians, and shape (h, w) of y -> y_hat (M, h, w) float64, symbols by `coder`."""
        raise NotImplementedError

    def synthesise(self, y_hat: Tensor) -> Tensor:
        """y_hat (1, M, h, w) -> x_hat (1, 3, 16 h, 16 w)."""
        return self.g_s(y_hat)

    def place(self, device: str) -> Architecture:
        """Make it ready to code: transforms to `device`, priors to float64. Returns itself; `forward` is of no use then."""
        transforms = ("g_a", "g_s", "h_a")
        for name, module in self.named_children():
            module.to(device) if name in transforms else module.double()
        return self.eval().requires_grad_(False)

    def z_hat(self, z: np.ndarray) -> Tensor:
        """int32 (N, h, w) -> (1, N, h, w) float64."""
        return torch.from_numpy(z).double()[None] + self.entropy_bottleneck.median()


def gdn_analysis(n: int, m: int) -> nn.Sequential:
    """(B, 3, H, W) -> (B, m, H/16, W/16): four 5x5 convolutions of stride 2, GDN between."""
    return nn.Sequential(conv(3, n), GDN(n), conv(n, n), GDN(n), conv(n, n), GDN(n), conv(n, m))


def gdn_synthesis(n: int, m: int) -> nn.Sequential:
    """(B, m, h, w) -> (B, 3, 16 h, 16 w): its mirror image."""
    return nn.Sequential(
        *(deconv(m, n), GDN(n, True), deconv(n, n), GDN(n, True), deconv(n, n), GDN(n, True), deconv(n, 3))
    )


def leaky_side(n: int, m: int) -> tuple[nn.Sequential, nn.Sequential]:
    """Hyper analysis (m -> n, 1/4 of the grid) and hyper synthesis (n -> 2 m) of Minnen et al. 2018."""
    act, k = nn.LeakyReLU, m * 3 // 2
    analysis = nn.Sequential(conv(m, n, 3, 1), act(), conv(n, n), act(), conv(n, n))
    return analysis, nn.Sequential(deconv(n, m), act(), deconv(m, k), act(), conv(k, 2 * m, 3, 1))


def finite(x: Tensor) -> Tensor:
    """x itself. Raises ModelError where a value is none: such a model cannot code this picture."""
    if not bool(torch.isfinite(x).all()):
        raise ModelError("the model gives values that are no numbers: its weights are damaged; import it again")
    return x


def gaussian_level(scale: Tensor) -> np.ndarray:
    """Table index of each scale as int32."""
    return GaussianConditional.level(scale).numpy().astype(np.int32)
