"""Muon turns a gradient into a matrix of singular values near 1, whatever its shape."""

from __future__ import annotations

import pytest
import tiny
import torch

from calotype.train.optimiser import FACTORS, Muon, optimisers, orthogonalise, set_rate


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 64, 16), (3, 16, 64), (1, 96, 192), (4, 40, 16)])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e4])
def test_singular_values_come_near_one_and_vectors_stay(shape, scale) -> None:
    g = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * scale
    x = orthogonalise(g)
    u, s, v = torch.linalg.svd(g, full_matrices=False)
    kept = (u.transpose(1, 2) @ x @ v.transpose(1, 2)).diagonal(dim1=1, dim2=2)
    strong = s > 0.05 * s.amax(1, keepdim=True)  # five iterations lift nothing from nearly zero
    assert ((kept[strong] > 0.6) & (kept[strong] < 1.3)).all()
    rest = u.transpose(1, 2) @ x @ v.transpose(1, 2) - torch.diag_embed(kept)
    assert rest.abs().max() < 1e-2


def test_a_zero_gradient_moves_nothing() -> None:
    assert torch.equal(orthogonalise(torch.zeros(2, 8, 4)), torch.zeros(2, 8, 4))


def test_matrices_of_one_shape_move_as_they_would_alone() -> None:
    def moved(count: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(1)
        p = [torch.nn.Parameter(torch.zeros(8, 4, 1, 1)) for _ in range(count)]
        optimiser = Muon([{"params": p}], 0.1)
        for _ in range(2):
            for q in p:
                q.grad = (
                    torch.randn(q.shape, generator=torch.Generator().manual_seed(2))
                    if q is p[0]
                    else torch.randn(q.shape, generator=generator)
                )
            optimiser.step()
        return p[0].detach()

    torch.testing.assert_close(moved(1), moved(5), rtol=1e-5, atol=1e-6)
    size = moved(1).square().mean().sqrt().item()
    assert size > 0.01


def test_every_parameter_has_one_optimiser_and_its_rate() -> None:
    model = tiny.RECIPE.model()
    both = optimisers(model, 1e-3, 1e-2)
    owned = [id(p) for o in both.values() for group in o.param_groups for p in group["params"]]
    assert sorted(owned) == sorted(map(id, model.parameters()))
    assert all(p.dim() >= 2 and min(p.shape[:2]) > 1 for group in both["muon"].param_groups for p in group["params"])
    set_rate(both, 5e-4)
    assert both["muon"].param_groups[0]["lr"] == pytest.approx(5e-3)
    assert sorted(g["lr"] / 5e-4 for g in both["adamw"].param_groups) == pytest.approx(sorted({1.0, *(f for _, f in FACTORS)}))
