"""A training state in one safetensors file: weights, moving average, optimiser state, step. Written atomically, no pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from ..atomic import replacing
from ..errors import ModelError

CHECKPOINT = "checkpoint.safetensors"  # in a run's folder


def save(
    path: Path,
    model: nn.Module | None,
    ema: dict[str, Tensor],
    optimisers: dict[str, torch.optim.Optimizer],
    meta: dict[str, Any],
) -> None:
    """Write everything that a run needs to go on exactly; `meta` is JSON-able (step, recipe, counters). Without the model and
    optimisers it is what an export, or a run that starts from these weights, needs."""
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()} if model else {}
    tensors |= {f"ema.{k}": v for k, v in ema.items()}
    for name, optimiser in optimisers.items():
        for index, state in optimiser.state_dict()["state"].items():
            tensors |= {f"optim.{name}.{index}.{k}": torch.as_tensor(v) for k, v in state.items()}
    with replacing(path) as temporary:
        # not by save_file: it has a temporary of its own beside the file, which a kill leaves behind for ever
        copies = {k: v.detach().contiguous().clone() for k, v in tensors.items()}
        temporary.write_bytes(to_bytes(copies, {"calotype": json.dumps(meta)}))


def load_meta(path: Path) -> dict[str, Any]:
    """The JSON header of a checkpoint. Raises ModelError when it is none of ours."""
    try:
        with safe_open(path, "pt") as f:
            return json.loads((f.metadata() or {})["calotype"])
    except (KeyError, ValueError, OSError) as e:
        raise ModelError(
            f"{path} is not a Calotype checkpoint ({e}); name the folder of a run made by `calotype train`"
        ) from e
    except Exception as e:  # safetensors raises its own type, which does not derive from ValueError
        if type(e).__name__ != "SafetensorError":
            raise
        raise ModelError(f"{path} is not a safetensors file ({e})") from e


def load(
    path: Path, model: nn.Module, ema: dict[str, Tensor], optimisers: dict[str, torch.optim.Optimizer]
) -> dict[str, Any]:
    """Restore model, moving average and optimisers in place; returns the metadata."""
    meta = load_meta(path)
    with safe_open(path, "pt") as f:
        groups: dict[str, dict[str, Tensor]] = {"model": {}, "ema": {}, "optim": {}}
        for key in f.keys():  # noqa: SIM118 (safe_open has no __iter__)
            kind, name = key.split(".", 1)
            groups[kind][name] = f.get_tensor(key)
    model.load_state_dict(groups["model"])
    for name, value in groups["ema"].items():
        ema[name].copy_(value)
    for name, optimiser in optimisers.items():
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in groups["optim"].items():
            owner, index, field = key.split(".")
            if owner == name:
                state.setdefault(int(index), {})[field] = value
        optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    return meta


def load_ema(path: Path) -> dict[str, Tensor]:
    """The moving-average weights alone. Raises ModelError."""
    load_meta(path)
    with safe_open(path, "pt") as f:
        return {k[len("ema.") :]: f.get_tensor(k) for k in f.keys() if k.startswith("ema.")}  # noqa: SIM118
