"""CompressAI's state dicts under one spelling: parameters only, its constants checked against ours and left out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ...errors import ModelError
from .density import LIKELIHOOD_MIN, SIGMA_MIN
from .layers import BETA_MIN, PEDESTAL

_WRAPPERS = re.compile(r"^(?:module\.|_orig_mod\.)+")  # of DataParallel and torch.compile
_DENSITY = re.compile(r"^entropy_bottleneck\._?(matri|bias|factor)(?:x|ces|es|s)?\.?(\d)$")  # up to 1.2.6, and older
_DENSITY_NAMES = {"matri": "matrices", "bias": "biases", "factor": "factors"}
_TABLES = re.compile(r"\.(_offset|_quantized_cdf|_cdf_length|target|scale_table)$")  # ours are made anew
_CONSTANTS = {
    "_reparam.pedestal": PEDESTAL,
    ".beta_reparam.lower_bound.bound": (BETA_MIN + PEDESTAL) ** 0.5,
    ".gamma_reparam.lower_bound.bound": PEDESTAL**0.5,
    ".likelihood_lower_bound.bound": LIKELIHOOD_MIN,
    ".lower_bound_scale.bound": SIGMA_MIN,
    ".scale_bound": SIGMA_MIN,
}
_MASK = "context_prediction.mask"


def canonical(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """The parameters of a state dict, by the names of today's CompressAI.

    Raises ModelError for what is no tensor, two spellings of one name, and a constant (a bound, a mask) that is not ours.
    """
    found: dict[str, Tensor] = {}
    for given, value in state.items():
        if not isinstance(given, str) or not isinstance(value, Tensor):
            raise ModelError(f"{given!r} in the checkpoint is no named tensor: give a file that holds a state dict")
        key = _spelling(given)
        if _TABLES.search(key):
            continue
        expected = next((v for end, v in _CONSTANTS.items() if key.endswith(end)), None)
        if expected is not None or key == _MASK:
            if not _is_mask(value) if expected is None else not _is_constant(value, expected):
                raise ModelError(f"the checkpoint's {given} is not CompressAI's: this architecture is not supported")
            continue
        if key in found:
            raise ModelError(f"the checkpoint holds {key} twice: give one that CompressAI wrote")
        found[key] = value
    return found


def _spelling(key: str) -> str:
    key = _WRAPPERS.sub("", key)
    old = _DENSITY.match(key)
    if old:
        return f"entropy_bottleneck.{_DENSITY_NAMES[old[1]]}.{old[2]}"
    return key.replace(".downsample.", ".skip.")


def _is_constant(value: Tensor, expected: float) -> bool:
    return value.numel() == 0 or (value.numel() == 1 and abs(float(value) / expected - 1) < 1e-4)


def _is_mask(value: Tensor) -> bool:
    causal = torch.ones(25, device=value.device)
    causal[12:] = 0
    return value.ndim == 4 and value.shape[2:] == (5, 5) and bool((value.reshape(-1, 25) == causal).all())
