"""Directions in which overfitted pictures move the weights of their filter's nets, learnt from crops.

    crops' latents, lifted -> net of weights W + sum_k a_k D_k -> crops        W and D are shared, the amounts a a crop's own

Source: Dupont et al., "From data to functa" (arXiv 2201.12204) and "COIN++" (arXiv 2201.12904): a shared net that few numbers,
modulations, adapt to one signal. Different: the amounts weigh whole weight tensors, so they cost a decoder nothing a pixel.
First directions are the principal ones of the crops' gradients, in the scale of each weight's.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from ..models.overfit.cellnet import BIAS_FRACTION, WEIGHT_FRACTION
from ..models.overfit.modulation import AMOUNT_FRACTION, DIRECTION_FRACTION, Directions
from ..models.overfit.net import SynthesisNet
from . import checkpoint
from .overfitcells import filtered

Planes = list[tuple[Tensor, Tensor]]  # before the filter and as they are, of each crop, (3, H, W) in steps
PATCH, BORDER, BATCH, PHASE = 96, 12, 8, 8
AMOUNT_RATE = 100.0  # times the rate of directions
BASE_RATE = 1.0  # the same
KEPT = 1000  # steps after which a run is kept, and told of
ASTRAY = 2.0  # times the squared error without a net
FARTHEST = 3.0  # of first amounts, whose deviation is 1
FIRST = (0.0001, 0.0003, 0.001, 0.003, 0.01)  # root mean square of first directions' numbers, tried


class Modulated(nn.Module):
    """A filter's nets with directions. base: parameters of `SynthesisNet`; directions: (count, *shape) each, by the same names
    with _ for dots; amounts: of crops, (crops, count)."""

    def __init__(self, net: SynthesisNet, count: int, crops: int):
        super().__init__()
        self.net = [net.requires_grad_(False)]  # in a list: its own parameters are not this one's
        self.filtered = filtered
        self.base = nn.ParameterDict({_key(k): nn.Parameter(v.detach().clone()) for k, v in net.named_parameters()})
        self.directions = nn.ParameterDict({k: nn.Parameter(v.new_zeros(count, *v.shape)) for k, v in self.base.items()})
        self.amounts = nn.Parameter(torch.zeros(crops, count))

    def weights(self, amounts: Tensor) -> dict[str, Tensor]:
        """Parameters (n, *shape) by their names in `SynthesisNet`, of amounts (n, count)."""
        names = [k for k, _ in self.net[0].named_parameters()]
        return {k: self.base[_key(k)] + torch.einsum("nk,k...->n...", amounts, self.directions[_key(k)]) for k in names}

    def forward(self, planes: Tensor, amounts: Tensor) -> Tensor:
        """Planes (n, 3, H, W) filtered, each by its own amounts (n, count)."""
        return self.filtered(self.net[0], planes, self.weights(amounts))


def _key(name: str) -> str:
    return name.replace(".", "_")


def learn(
    net: SynthesisNet,
    crops: Planes,
    count: int,
    steps: int,
    rate: float,
    state: Path,
    said: Callable[[str], None],
    seconds: float = math.inf,
    compiled: bool = False,
    known: Directions | None = None,
    held: Planes = (),
) -> Modulated:
    """A net with `count` directions, from `net` on, and its crops' amounts, of mean 0 and deviation 1.

    Adam on the squared error of patches, the rate falling to 0 by the last step or second. state: kept there each KEPT steps; a
    run goes on from it. Crops are on the net's device. compiled: by torch.compile, which needs a C++ compiler; known:
    directions that go on, in the place of first ones; held: crops that only tell how it goes, as `left` has it.
    """
    torch.manual_seed(0)
    device = next(net.parameters()).device
    model = Modulated(net, count, len(crops)).to(device)
    if compiled:
        model.filtered = torch.compile(filtered, dynamic=False)
    weights = [*model.base.values(), *model.directions.values()]
    groups = [
        {"params": list(model.base.values()), "top": BASE_RATE * rate},
        {"params": list(model.directions.values()), "top": rate},
        {"params": [model.amounts], "top": AMOUNT_RATE * rate},
    ]
    optimiser = torch.optim.Adam([g | {"lr": 0.0} for g in groups], betas=(0.9, 0.99))
    first, mean, before = 0, torch.zeros(2, device=device), 0.0
    if state.exists():
        kept = checkpoint.load(state, model, {}, {"adam": optimiser})
        first, mean, before = kept["step"], torch.tensor(kept["mean"], device=device), kept["seconds"]
    elif known:
        for name, value in net.from_directions(known).items():
            model.directions[_key(name)].data.copy_(value * (1 << AMOUNT_FRACTION))
    else:
        said(f"first directions from {len(crops)} crops")
        _principal(model, crops)
    started = time.monotonic() - before
    for step in range(first, steps):
        spent = time.monotonic() - started
        done = max(step / steps, spent / seconds)
        if done >= 1:
            break
        for group in optimiser.param_groups:
            group["lr"] = group["top"] * min(1, (step + 1) / 200) * (1 - done)
        given, wanted, which = _patches(crops, step)
        inside = (..., slice(BORDER, -BORDER), slice(BORDER, -BORDER))
        errors = (model(given, model.amounts[which]) - wanted)[inside].square().mean((1, 2, 3))
        without = (given - wanted)[inside].square().mean((1, 2, 3))
        with torch.no_grad():  # what went astray begins anew: its slopes would drown those of all others
            astray = errors > ASTRAY * without
            model.amounts[which[astray]] = 0
        error = torch.where(astray, errors.detach(), errors).mean()
        optimiser.zero_grad()
        error.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        mean += (torch.stack([error.detach(), without.mean()]) - mean) / min(step + 1, 1000)
        if step % KEPT == KEPT - 1:
            rest = min(spent / (step + 1) * (steps - step - 1), seconds - spent)
            change = 100 * (mean[0] / mean[1] - 1)
            meta = {"step": step + 1, "mean": mean.tolist(), "seconds": spent}
            checkpoint.save(state, model, {}, {"adam": optimiser}, meta)
            aside = f", of held-out crops {100 * left(model, held) - 100:+.2f} %" if held else ""
            pace = f"{(step + 1) / spent:.1f} steps/s, {rest / 60:.0f} min left"
            said(f"step {step + 1}: squared error {change:+.2f} %{aside}; {pace}")
    with torch.no_grad():
        centre, spread = model.amounts.mean(0), model.amounts.std(0).clamp(min=1e-6)
        for name, base in model.base.items():
            base += torch.einsum("k,k...->...", centre, model.directions[name])
            model.directions[name] *= spread.view(-1, *[1] * base.dim())
        model.amounts.copy_((model.amounts - centre) / spread)
    return model


def left(model: Modulated, crops: Planes) -> float:
    """The squared error of crops at the best amounts, a step of Gauss and Newton from none, over that without a net; mean."""
    net, count, found = model.net[0], model.amounts.shape[1], []
    probes = torch.cat([torch.zeros(1, count), torch.eye(count)]).to(model.amounts.device)
    for x, y in crops:
        given, wanted = x.float(), y.float()
        with torch.no_grad():
            shown = torch.stack([filtered(net, given[None], model.weights(p[None]))[0].reshape(-1) for p in probes])
            slopes, missing = (shown[1:] - shown[0]).double(), (wanted.reshape(-1) - shown[0]).double()
            square = slopes @ slopes.t()
            steady = 1e-6 * square.trace().clamp(min=1) * torch.eye(count).to(square)
            best = torch.linalg.solve(square + steady, slopes @ missing)
            moved = filtered(net, given[None], model.weights(best[None].float()))[0]
            found.append(float((moved - wanted).square().sum() / (given - wanted).square().sum()))
    return sum(found) / len(found)


def integers(model: Modulated) -> tuple[dict[str, np.ndarray], Directions]:
    """The nearest arrays of a start and its directions."""
    net = model.net[0]
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            parameter.copy_(model.base[_key(name)])
    directions = {}
    for part, twin in net.named_children():
        for name in twin.net.shapes():
            bits = (BIAS_FRACTION if name.endswith("bias") else WEIGHT_FRACTION) + DIRECTION_FRACTION
            values = model.directions[_key(f"{part}.{twin.own(name)}")].detach().cpu().double().numpy()
            directions[name] = np.rint(values * (1 << bits)).astype(np.int32)
    return net.to_integers(), directions


def _patches(crops: Planes, step: int, count: int = BATCH) -> tuple[Tensor, Tensor, Tensor]:
    """(given, wanted), float32 (count, 3, PATCH, PATCH), half of them turned, and which crops they are of."""
    generator, given, wanted, which = torch.Generator().manual_seed(step), [], [], []
    for _ in range(count):
        i, top, left, turned = torch.randint(1 << 30, (4,), generator=generator).tolist()
        which.append(i % len(crops))
        sides = crops[which[-1]][0].shape[1:]
        top, left = (PHASE * (k % ((side - PATCH) // PHASE + 1)) for k, side in zip((top, left), sides, strict=True))
        x, y = (planes[:, top : top + PATCH, left : left + PATCH].float() for planes in crops[which[-1]])
        x, y = (x.transpose(1, 2), y.transpose(1, 2)) if turned % 2 else (x, y)
        given.append(x)
        wanted.append(y)
    return torch.stack(given), torch.stack(wanted), torch.tensor(which, device=given[0].device)


def _principal(model: Modulated, crops: Planes) -> None:
    """Directions from the singular vectors of crops' gradients, in the length of FIRST that suits best; amounts so."""
    names, rows = [_key(k) for k, _ in model.net[0].named_parameters()], []  # a ParameterDict sorts its own
    for x, y in crops:
        weights = {k: v.detach().clone().requires_grad_() for k, v in model.net[0].named_parameters()}
        given, wanted = x.float()[None], y.float()[None]
        error = (functional_call(model.net[0], weights, (given,)) - wanted).square().mean()
        slopes = torch.autograd.grad(error / error.detach().clamp(min=1e-9), list(weights.values()))
        rows.append(torch.cat([s.reshape(-1) for s in slopes]))
    gradients = torch.stack(rows)
    gradients -= gradients.mean(0)
    scale = gradients.square().mean(0).sqrt()
    scale = scale.clamp(min=0.1 * float(scale.median()) + 1e-12)
    u, s, v = torch.linalg.svd(gradients / scale, full_matrices=False)
    count = model.amounts.shape[1]
    with torch.no_grad():
        model.amounts.copy_((-u[:, :count] * len(crops) ** 0.5).clamp(-FARTHEST, FARTHEST))
        found = v[:count] / scale
        parts = (found / found.square().mean().sqrt()).split([model.base[n].numel() for n in names], 1)
        for name, part in zip(names, parts, strict=True):
            model.directions[name].copy_(part.reshape(-1, *model.base[name].shape))
        whole, errors = {k: d.clone() for k, d in model.directions.items()}, {}
        given, wanted, which = _patches(crops, 0, 8 * BATCH)
        for share in FIRST:
            for name, direction in model.directions.items():
                direction.copy_(share * whole[name])
            errors[share] = float((model(given, model.amounts[which]) - wanted).square().mean())
        best = min(errors, key=errors.__getitem__)
        for name, direction in model.directions.items():
            direction.copy_(best * whole[name])
