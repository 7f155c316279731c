"""Muon for the inner matrices, AdamW for the rest.

Muon: momentum, then the nearest (semi-)orthogonal matrix by Newton-Schulz iteration (Jordan et al. 2024,
https://kellerjordan.github.io/posts/muon). Matrices of one shape are stacked so that one batched product serves all.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def orthogonalise(g: Tensor, steps: int = 5) -> Tensor:
    """(N, O, K) -> matrices with the singular vectors of g and singular values near 1."""
    a, b, c = NEWTON_SCHULZ
    x = g / (g.norm(dim=(1, 2), keepdim=True) + 1e-12)
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.transpose(1, 2)
    for _ in range(steps):
        s = x @ x.transpose(1, 2)
        x = a * x + (b * s + c * s @ s) @ x
    return x.transpose(1, 2) if tall else x


class Muon(torch.optim.Optimizer):
    """Muon over parameters that are matrices, or 1x1 convolutions, or stacks (G, O, K) of matrices."""

    def __init__(self, params: list[dict], lr: float, momentum: float = 0.95):
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One update; learning rate is the root-mean-square size of the orthogonal step times sqrt(max(1, O/K))."""
        for group in self.param_groups:
            shapes: dict[tuple[int, int], list[tuple[Tensor, Tensor]]] = {}
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["momentum"] = torch.zeros_like(p)
                state["momentum"].lerp_(p.grad, 1 - group["momentum"])
                update = p.grad.lerp(state["momentum"], group["momentum"])
                stack = update.reshape(-1, *_matrix_shape(p))
                shapes.setdefault(tuple(stack.shape[1:]), []).append((p, stack))
            updates = [_shared_orthogonalise(torch.cat([u for _, u in items])) for items in shapes.values()]
            if world() > 1:
                flat = torch.cat([u.flatten() for u in updates])
                dist.all_reduce(flat)
                parts = flat.split([u.numel() for u in updates])
                updates = [f.view_as(u) for f, u in zip(parts, updates, strict=True)]
            for ((o, k), items), x in zip(shapes.items(), updates, strict=True):
                x = x * (group["lr"] * max(1.0, o / k) ** 0.5)
                for (p, _), delta in zip(items, x.split([len(u) for _, u in items]), strict=True):
                    p.sub_(delta.reshape(p.shape))


def world() -> int:
    """Number of processes that train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def _shared_orthogonalise(stack: Tensor) -> Tensor:
    """This process's share of the work on a stack (N, O, K), zero elsewhere: the sum over processes is the whole."""
    if world() == 1:
        return orthogonalise(stack)
    out = torch.zeros_like(stack)
    mine = slice(dist.get_rank(), None, world())
    if len(stack[mine]):
        out[mine] = orthogonalise(stack[mine])
    return out


def _matrix_shape(p: Tensor) -> tuple[int, int]:
    """(O, K) of a matrix, 1x1 convolution (O, K, 1, 1) or stack (G, O, K)."""
    return (p.shape[0], p.shape[1]) if p.dim() == 4 else (p.shape[-2], p.shape[-1])


# Share of the learning rate for what starts near its optimum: the orthonormal transform and its steps.
FACTORS = (
    (("pre", "post", "to_latent.weight", "from_latent.weight"), 0.05),
    (("log_gain", "log_inverse_gain"), 0.3),
)


def optimisers(model: nn.Module, lr: float, muon_lr: float) -> dict[str, torch.optim.Optimizer]:
    """Muon for inner 1x1 weights; AdamW for vectors, kernels, knots and, at FACTORS of the rate, the KLT."""
    inner, groups = [], {1.0: []} | {factor: [] for _, factor in FACTORS}
    for name, p in model.named_parameters():
        matrix = name.endswith("weight") and p.dim() >= 2 and min(_matrix_shape(p)) > 1
        matrix = matrix and (p.dim() < 4 or p.shape[2:] == (1, 1)) and not name.endswith("_dw.weight")
        factor = next((f for endings, f in FACTORS if name.endswith(endings)), 1.0)
        (inner if matrix and factor == 1.0 else groups[factor]).append(p)
    return {
        "muon": Muon([{"params": inner, "factor": muon_lr / lr}], muon_lr),
        "adamw": torch.optim.AdamW(
            [{"params": p, "factor": f} for f, p in groups.items()], lr, betas=(0.9, 0.98), weight_decay=0.0
        ),
    }


def set_rate(optimisers: dict[str, torch.optim.Optimizer], lr: float) -> None:
    """Set the learning rate of every group to `lr` times its factor."""
    for optimiser in optimisers.values():
        for group in optimiser.param_groups:
            group["lr"] = lr * group["factor"]
