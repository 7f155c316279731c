"""Muon for the inner matrices, AdamW for the rest.

Muon: momentum, then the nearest (semi-)orthogonal matrix by Newton-Schulz iteration (Jordan et al. 2024,
https://kellerjordan.github.io/posts/muon). Matrices of one shape are stacked so that one batched product serves all.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor, nn

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def orthogonalise(g: Tensor, steps: int = 4, within: torch.dtype | None = None) -> Tensor:
    """(N, O, K) -> matrices with the singular vectors of g and singular values near 1.

    Four steps in place of the usual five: on a CPU these products are a fifth of a training step. within: type of the
    products (default: that of g); bfloat16 does, as Jordan et al. found.
    """
    a, b, c = NEWTON_SCHULZ
    x = (g / (g.norm(dim=(1, 2), keepdim=True) + 1e-12)).to(within or g.dtype)
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.transpose(1, 2)
    for _ in range(steps):
        s = x @ x.transpose(1, 2)
        x = torch.baddbmm(x, torch.baddbmm(s, s, s, beta=b, alpha=c), x, beta=a)
    return (x.transpose(1, 2) if tall else x).to(g.dtype)


class Muon(torch.optim.Optimizer):
    """Muon over parameters that are matrices, or 1x1 convolutions, or stacks (G, O, K) of matrices.

    fused: as torch's fused optimisers, heed the attribute `found_inf`, a number on the device: where it is not 0 the step
    changes nothing.
    """

    def __init__(self, params: list[dict], lr: float, momentum: float = 0.95, fused: bool = False):
        super().__init__(params, {"lr": lr, "momentum": momentum, "fused": fused})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One update; learning rate is the root-mean-square size of the orthogonal step times sqrt(max(1, O/K))."""
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if not params:
                continue
            for p in params:
                if not self.state[p]:
                    self.state[p]["momentum"] = torch.zeros_like(p)
            momenta, grads, rate = [self.state[p]["momentum"] for p in params], [p.grad for p in params], group["lr"]
            bad = getattr(self, "found_inf", None) if group["fused"] else None
            if bad is not None:
                grads = [torch.where(bad > 0, m, g) for m, g in zip(momenta, grads, strict=True)]  # m.lerp(m, t) is m
                rate = rate * (1 - bad)
            torch._foreach_lerp_(momenta, grads, 1 - group["momentum"])
            updates = torch._foreach_lerp(grads, momenta, group["momentum"])
            shapes: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]] = {}
            for p, update in zip(params, updates, strict=True):
                stack = update.reshape(-1, *_matrix_shape(p))
                shapes.setdefault(tuple(stack.shape[1:]), []).append((p, stack))
            for ((o, k), items), x in zip(shapes.items(), _orthogonal(shapes.values()), strict=True):
                x = x * (rate * max(1.0, o / k) ** 0.5)
                parts = x.split([len(u) for _, u in items])
                torch._foreach_sub_([p for p, _ in items], [d.reshape(p.shape) for (p, _), d in zip(items, parts, strict=True)])


def world() -> int:
    """Number of processes that train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def _orthogonal(shapes: Iterable[list[tuple[Tensor, Tensor]]]) -> list[Tensor]:
    """The orthogonalised stack of each shape; several processes share the work and exchange it in one message."""
    updates = [_shared_orthogonalise(torch.cat([u for _, u in items])) for items in shapes]
    if world() > 1:
        flat = torch.cat([u.flatten() for u in updates])
        dist.all_reduce(flat)
        parts = flat.split([u.numel() for u in updates])
        updates = [f.view_as(u) for f, u in zip(parts, updates, strict=True)]
    return updates


def _shared_orthogonalise(stack: Tensor) -> Tensor:
    """This process's share of the work on a stack (N, O, K), zero elsewhere: the sum over processes is the whole."""
    within = torch.bfloat16 if stack.is_cuda else None
    if world() == 1:
        return orthogonalise(stack, within=within)
    out = torch.zeros_like(stack)
    mine = slice(dist.get_rank(), None, world())
    if len(stack[mine]):
        out[mine] = orthogonalise(stack[mine], within=within)
    return out


def _matrix_shape(p: Tensor) -> tuple[int, int]:
    """(O, K) of a matrix, 1x1 convolution (O, K, 1, 1) or stack (G, O, K)."""
    return (p.shape[0], p.shape[1]) if p.dim() == 4 else (p.shape[-2], p.shape[-1])


# Share of the learning rate for what starts near its optimum: the orthonormal transform and its steps.
FACTORS = (
    (("pre", "post", "to_latent.weight", "from_latent.weight"), 0.05),
    (("log_gain", "log_inverse_gain"), 0.3),
)


def optimisers(
    model: nn.Module, lr: float, muon_lr: float, kind: str = "muon", fused: bool = False
) -> dict[str, torch.optim.Optimizer]:
    """Muon for inner 1x1 weights; AdamW for vectors, kernels, knots and, at FACTORS of the rate, the KLT.

    kind: "adamw" gives AdamW the inner weights too. fused: kernels that `step_where` need not wait for (CUDA).
    """
    inner, groups = [], {1.0: []} | {factor: [] for _, factor in FACTORS}
    for name, p in model.named_parameters():
        matrix = (name.endswith("weight") or ".weights." in name) and p.dim() >= 2 and min(_matrix_shape(p)) > 1
        matrix = matrix and (p.dim() < 4 or p.shape[2:] == (1, 1)) and not name.endswith("_dw.weight")
        factor = next((f for endings, f in FACTORS if name.endswith(endings)), 1.0)
        (inner if kind == "muon" and matrix and factor == 1.0 else groups[factor]).append(p)
    made: dict[str, torch.optim.Optimizer] = {}
    if inner:
        made["muon"] = Muon([{"params": inner, "factor": muon_lr / lr}], muon_lr, fused=fused)
    made["adamw"] = torch.optim.AdamW(
        [{"params": p, "factor": f} for f, p in groups.items()],
        lr,
        betas=(0.9, 0.98),
        weight_decay=0.0,
        fused=fused or None,
    )
    return made


def step_where(optimisers: dict[str, torch.optim.Optimizer], good: Tensor) -> None:
    """One update where `good`, a boolean scalar, holds; where not, weights and optimisers stay as they are.

    Fused optimisers get the flag as it is on the device: nobody waits for its value.
    """
    for optimiser in optimisers.values():
        if optimiser.defaults["fused"]:
            optimiser.found_inf = (~good).float()
            optimiser.step()
        elif good:
            optimiser.step()


def set_rate(optimisers: dict[str, torch.optim.Optimizer], lr: float) -> None:
    """Set the learning rate of every group to `lr` times its factor."""
    for optimiser in optimisers.values():
        for group in optimiser.param_groups:
            group["lr"] = lr * group["factor"]
