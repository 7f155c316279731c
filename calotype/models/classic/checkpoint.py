"""CompressAI's checkpoints to model files. The pickle in them is read by torch's restricted reader only: no code runs."""

from __future__ import annotations

import hashlib
import pickle
import warnings
from pathlib import Path
from typing import Any

import torch

from ...errors import ModelError, UsageError
from ..modelfile import FILE_LIMIT
from .architecture import Architecture
from .bundle import write_classic_model
from .families import ClassicConfig, identify
from .names import canonical

_WRAPPERS = ("state_dict", "model_state_dict", "model")  # keys under which training scripts keep the weights
# What torch's reader raises for bytes that are no checkpoint, or one with more than tensors in it.
_UNREADABLE = (
    *(pickle.UnpicklingError, RuntimeError, ValueError, KeyError, EOFError, TypeError, AttributeError, IndexError),
    *(AssertionError, ImportError, OverflowError, MemoryError, OSError),
)
NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789._-")
NAME_LENGTH = 32


def import_checkpoint(source: Path, out: Path, architecture: str | None = None) -> ClassicConfig:
    """Write the model file `out` (NAME.safetensors) of a CompressAI checkpoint; streams will carry NAME.

    Raises UsageError for a name that streams cannot carry, ModelError for a file that is no checkpoint of an architecture
    in `families.ARCHITECTURES`.
    """
    name = out.name.removesuffix(".safetensors")
    if not 1 <= len(name) <= NAME_LENGTH or not NAME_CHARACTERS.issuperset(name) or name == out.name:
        raise UsageError(
            f"OUT is {out}; give NAME.safetensors, NAME being 1 to {NAME_LENGTH} of a-z 0-9 . _ - (streams carry it)"
        )
    config, model = read_checkpoint(source, architecture)
    card = {
        "architecture": config.name,
        "data": "not stated",
        "source": source.name,
        "source_sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
        "note": "imported from a CompressAI checkpoint; its terms are those of the checkpoint",
    }
    write_classic_model(out, name, config, model, card)
    return config


def read_checkpoint(source: Path, architecture: str | None = None) -> tuple[ClassicConfig, Architecture]:
    """The architecture and the float32 model of a checkpoint. Raises ModelError."""
    state = canonical(_state(source))
    config = identify(state, architecture)
    try:
        model = config.build()
        expected = {key: tuple(value.shape) for key, value in model.state_dict().items()}
        _compare(expected, {key: tuple(value.shape) for key, value in state.items()})
        model.load_state_dict({key: value.float() for key, value in state.items()})
    except (ValueError, RuntimeError) as e:
        raise ModelError(f"{source} is no checkpoint of {config.name}: {e}") from e
    for key, value in model.state_dict().items():
        if not bool(torch.isfinite(value).all()):
            raise ModelError(f"{key} in {source} holds values that are no numbers: the checkpoint is damaged")
    return config, model.eval().requires_grad_(False)


def _state(source: Path) -> dict[str, Any]:
    if source.stat().st_size > 4 * FILE_LIMIT:
        raise ModelError(f"{source} has more than {4 * FILE_LIMIT} bytes: no checkpoint of these architectures has")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, about its old file format
            loaded = torch.load(source, map_location="cpu", weights_only=True)
    except _UNREADABLE as e:
        reason = str(e).strip().splitlines()
        raise ModelError(
            f"{source} is no checkpoint of tensors only ({reason[0][:120] if reason else type(e).__name__}); it was not run. "
            "Save the state dict alone: torch.save(net.state_dict(), FILE)"
        ) from e
    for key in _WRAPPERS:
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
    if not isinstance(loaded, dict) or not loaded:
        raise ModelError(f"{source} holds no state dict: save it with torch.save(net.state_dict(), FILE)")
    return loaded


def _compare(expected: dict[str, tuple[int, ...]], found: dict[str, tuple[int, ...]]) -> None:
    """Raise ValueError naming the first parameter that is missing, not known or of another shape."""
    for key in [*expected, *found]:
        if expected.get(key) != found.get(key):
            have, want = found.get(key, "missing"), expected.get(key, "not there")
            raise ValueError(f"{key} is {have} and should be {want}; give --architecture if it was guessed wrong")
