"""A step whose gradient is no finite number changes nothing, and no step waits for a device to say what it did."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Iterable
from pathlib import Path

import pytest
import tiny
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from calotype.train import image
from calotype.train.data import Photos
from calotype.train.loop import LOG, Run
from calotype.train.optimiser import optimisers, set_rate, step_where


def everything(model: nn.Module, both: dict[str, torch.optim.Optimizer]) -> list[Tensor]:
    """Copies of all weights and all optimiser states."""
    states = (value for o in both.values() for state in o.state.values() for value in state.values())
    return [t.detach().clone() for t in itertools.chain(model.parameters(), states)]


def same(a: list[Tensor], b: list[Tensor]) -> bool:
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def give_gradients(models: Iterable[nn.Module], seed: int, factor: float = 1.0) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameters in zip(*(m.parameters() for m in models), strict=True):
        g = torch.randn(parameters[0].shape, generator=generator) * factor
        for p in parameters:
            p.grad = torch.empty_like(p).copy_(g)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_one_bad_gradient_in_mid_run_is_skipped_and_counted(begin, photos: Path, bad: float) -> None:
    run = tiny.make_run(begin("bad"), photos)
    run.train(until=2, log_every=1)
    before = everything(run.model, run.optimisers)
    parameter = run.model.prior.up.weight
    handle = parameter.register_hook(lambda grad: torch.where(torch.arange(grad.numel()).view(grad.shape) == 5, bad, grad))
    run.train(until=3, log_every=1)
    handle.remove()
    assert run.skipped == 1 and run.step == 3
    assert same(everything(run.model, run.optimisers), before)
    run.train(until=4, log_every=1)
    assert run.skipped == 1 and not same(everything(run.model, run.optimisers), before)
    assert all(torch.isfinite(v).all() for v in run.ema.values())
    lines = [json.loads(line) for line in (run.folder / LOG).read_text().splitlines()]
    steps = [r for r in lines if "lr" in r]
    assert [r["skipped"] for r in steps] == [0, 0, 1, 1]
    assert ["loss" in r for r in steps] == [True, True, False, True]  # means are of good steps
    assert tiny.make_run(run.folder, photos).skipped == 1


def fused_pair() -> tuple[list[nn.Module], list[dict[str, torch.optim.Optimizer]]]:
    """The same model twice, with the CPU's optimisers and with those that a GPU gets."""
    models = [tiny.RECIPE.model().to(memory_format=torch.channels_last)]
    models.append(copy.deepcopy(models[0]))
    return models, [optimisers(m, 1e-3, 1e-2, fused=fused) for m, fused in zip(models, (False, True), strict=True)]


def test_the_guard_of_a_gpu_is_that_of_a_cpu() -> None:
    models, makes = fused_pair()
    for k in range(3):
        give_gradients(models, k)
        for both in makes:
            set_rate(both, 1e-3)
            step_where(both, torch.tensor(True))
    for model, both in zip(models, makes, strict=True):
        before = everything(model, both)
        for factor in (float("nan"), float("inf")):
            give_gradients([model], 7, factor)
            step_where(both, torch.tensor(False))
            assert same(everything(model, both), before)
    give_gradients(models, 4)
    for both in makes:
        step_where(both, torch.tensor(True))
    for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_no_step_reads_a_value_back_from_the_device(begin, photos: Path) -> None:
    """Tensors without values: whatever asks for one, as .item() or `if`, raises."""
    run = tiny.make_run(begin("fake"), photos)
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    with mode:
        run.model = run.forward = tiny.RECIPE.model()
        run.ema = {k: v.clone() for k, v in run.model.state_dict().items()}
        run.optimisers = optimisers(run.model, 1e-3, 1e-2, fused=True)
        run._skipped, run._sums = torch.zeros((), dtype=torch.int64), torch.zeros(5)
        run.task.photos.train = [mode.from_tensor(photo) for photo in run.task.photos.train]
        for _ in range(2):
            run._one_step()
        with pytest.raises(DataDependentOutputException):
            _ = run.skipped


def test_the_training_pass_compiles_as_one_graph() -> None:
    model = tiny.RECIPE.model()
    x, quality = torch.rand(2, 3, 64, 64), torch.tensor([100.0, 900.0])
    losses = []
    for forward in (model, torch.compile(model, fullgraph=True, backend="eager", dynamic=False)):
        torch.manual_seed(0)
        losses.append(image.loss(forward, tiny.RECIPE, x, quality)[0].item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_steps_on_a_gpu_never_wait_for_it(photos: Path, tmp_path: Path) -> None:
    run = Run(tmp_path / "gpu", tiny.RECIPE, Photos([photos], 128, "cuda"), "cuda")
    run.train(until=2)  # first uses allocate and set up libraries, which waits
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(3):
            run._one_step()
            run.step += 1
    finally:
        torch.cuda.set_sync_debug_mode("default")
    run.train()
    assert run.finished and run.skipped == 0
