"""The model file: one safetensors file with JSON metadata, hashed canonically. No torch, no pickle.

Metadata key `calotype`: {"format": 1, "kind": "image", "name": ..., "config": {...}, "card": {...}}. The hash that streams
carry covers kind, config and every tensor, not the name and not the card.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..atomic import write_bytes
from ..errors import ModelError

FORMAT = 1
HEADER_LIMIT = 1 << 20
FILE_LIMIT = 1 << 30


@dataclass(frozen=True)
class ModelInfo:
    """What a model file says of itself. parameters: values in all tensors; bytes: size of the file."""

    name: str
    path: Path
    kind: str
    config: dict[str, int]
    card: dict[str, Any]
    parameters: int
    bytes: int


def _header(path: Path) -> tuple[dict[str, Any], int]:
    """(our metadata, number of values) of a safetensors file; read by hand so that `info` needs no package."""
    try:
        with path.open("rb") as f:
            (length,) = struct.unpack("<Q", f.read(8))
            if length > HEADER_LIMIT:
                raise ValueError("header too long")
            header = json.loads(f.read(length))
        meta = json.loads(header["__metadata__"]["calotype"])
        if meta["format"] != FORMAT:
            raise ModelError(
                f"{path} is a model file of format {meta['format']}, this version reads {FORMAT}: update calotype"
            )
        for key, kind in (("name", str), ("kind", str), ("config", dict), ("card", dict)):
            if not isinstance(meta[key], kind):
                raise ValueError(f"its {key} is no {kind.__name__}")
        shapes = [v["shape"] for k, v in header.items() if k != "__metadata__"]
        if any(type(n) is not int or n < 0 for shape in shapes for n in shape):
            raise ValueError("a tensor's shape is none")
        return meta, sum(math.prod(shape) for shape in shapes)
    except (OSError, struct.error, ValueError, KeyError, TypeError, AttributeError, RecursionError) as e:
        raise ModelError(
            f"{path} is not a Calotype model file ({e}); `calotype models` lists the ones installed"
        ) from e


def read_info(path: Path) -> ModelInfo:
    """Read the header only. Raises ModelError."""
    meta, count = _header(path)
    return ModelInfo(meta["name"], path, meta["kind"], meta["config"], meta["card"], count, path.stat().st_size)


def read(path: Path) -> tuple[ModelInfo, dict[str, np.ndarray], bytes]:
    """(info, tensors, SHA-256) of a model file. Raises ModelError."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    info = read_info(path)
    if info.bytes > FILE_LIMIT:
        raise ModelError(f"{path} has {info.bytes} bytes; a model file has at most {FILE_LIMIT}")
    try:
        arrays = load(path.read_bytes())
    except (SafetensorError, KeyError, TypeError, ValueError) as e:  # an unknown dtype is a KeyError
        raise ModelError(f"{path} is damaged ({e}); install calotype again, or export the model again") from e
    return info, arrays, digest(info.kind, info.config, arrays)


def digest(kind: str, config: dict[str, int], arrays: dict[str, np.ndarray]) -> bytes:
    """SHA-256 over kind, config and, in order of name, each tensor's name, type, shape and little-endian bytes."""
    h = hashlib.sha256(json.dumps({"kind": kind, "config": config}, sort_keys=True).encode())
    for name in sorted(arrays):
        a = arrays[name]
        h.update(f"{name}:{a.dtype.str.lstrip('<>=|')}:{a.shape};".encode())
        h.update(np.ascontiguousarray(a, dtype=a.dtype.newbyteorder("<")).tobytes())
    return h.digest()


def write(
    path: Path, name: str, kind: str, config: dict[str, int], card: dict[str, Any], arrays: dict[str, np.ndarray]
) -> None:
    """Write a model file atomically."""
    from safetensors.numpy import save

    meta = {"format": FORMAT, "name": name, "kind": kind, "config": config, "card": card}
    write_bytes(path, save({k: np.ascontiguousarray(v) for k, v in arrays.items()}, {"calotype": json.dumps(meta)}))
