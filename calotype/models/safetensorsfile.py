"""Anyone's safetensors file as raw tensors, types that numpy lacks (BF16, F8) among them. Needs no torch.

8 bytes length of the header, little-endian | JSON {name: {dtype, shape, data_offsets}, "__metadata__": {...}} | bytes
"""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..atomic import write_bytes
from ..errors import CorruptStreamError, LimitError, UsageError

HEADER_LIMIT = 16 << 20
DEFAULT_LIMIT = 4 << 30  # of the bytes of all tensors
RANK_LIMIT = 32
TENSOR_LIMIT = 1 << 20  # how many
METADATA = "__metadata__"
FLOATS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
# Bytes of one value; other types are refused.
SIZES = {
    **FLOATS,
    **{kind + str(8 * size): size for kind in "IU" for size in (1, 2, 4, 8)},
    **{"BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "C64": 8},
}


class Tensor(NamedTuple):
    """dtype: safetensors' name; shape; bits: flat unsigned integers as wide as the type."""

    dtype: str
    shape: tuple[int, ...]
    bits: np.ndarray

    @property
    def nbytes(self) -> int:
        """Bytes of its values."""
        return self.bits.nbytes


class Checkpoint(NamedTuple):
    """Tensors by name in the order of the file, and its metadata."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str]

    @property
    def nbytes(self) -> int:
        """Bytes of all values."""
        return sum(tensor.nbytes for tensor in self.tensors.values())


def check_tensor(name: Any, dtype: Any, shape: Any) -> int:
    """The bytes that a tensor of untrusted claims takes. Raises ValueError for no name, type or shape."""
    if not isinstance(name, str) or name == METADATA:
        raise ValueError("a tensor has no name")
    if dtype not in SIZES:
        raise ValueError(f"tensor {name!r} has the type {dtype!r}, which this version does not know")
    if not isinstance(shape, list) or len(shape) > RANK_LIMIT:
        raise ValueError(f"tensor {name!r} has no shape")
    # Empty tensors too must have shapes that numpy can hold.
    if any(type(n) is not int or n < 0 for n in shape) or math.prod(n for n in shape if n) > 1 << 48:
        raise ValueError(f"tensor {name!r} has no possible shape")
    return math.prod(shape) * SIZES[dtype]


def check_metadata(metadata: Any) -> dict[str, str]:
    """Untrusted metadata. Raises ValueError where it is no mapping of texts."""
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("its metadata is not text")
    return metadata


def read(path: Path, limit: int = DEFAULT_LIMIT) -> Checkpoint:
    """Read a whole file. Raises UsageError (none there), CorruptStreamError (not such a file), LimitError (over `limit`)."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            return _read(path, file, size, limit)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise UsageError(f"there is no file {path}; check the name") from None
    except (struct.error, ValueError, KeyError, TypeError, AttributeError, RecursionError) as e:
        raise CorruptStreamError(f"{path} is not a whole safetensors file ({e}); fetch or save it again") from e


def _read(path: Path, file: Any, size: int, limit: int) -> Checkpoint:
    (length,) = struct.unpack("<Q", file.read(8))
    if length > min(HEADER_LIMIT, size - 8):
        raise ValueError("its header is longer than the file or too long")
    header = json.loads(file.read(length))
    if size - 8 - length > limit:
        raise LimitError(f"{path} holds {size - 8 - length} bytes of tensors; at most {limit} are read")
    metadata = check_metadata(header.pop(METADATA, {}))
    places, at = [], 0
    for name, entry in header.items():
        taken = check_tensor(name, entry["dtype"], entry["shape"])
        start, stop = entry["data_offsets"]
        if type(start) is not int or type(stop) is not int or stop - start != taken:
            raise ValueError(f"tensor {name!r} has not the bytes of its shape")
        places.append((start, stop, name, entry))
    tensors = {}
    for start, stop, name, entry in sorted(places, key=lambda place: place[:2]):
        if start != at:
            raise ValueError("tensors overlap or leave gaps")
        at = stop
        bits = np.frombuffer(file.read(stop - start), dtype=f"<u{SIZES[entry['dtype']]}")
        if bits.nbytes != stop - start:
            raise ValueError("it ends early")
        tensors[name] = Tensor(entry["dtype"], tuple(entry["shape"]), bits)
    if at != size - 8 - length:
        raise ValueError("bytes are left over")
    return Checkpoint(tensors, metadata)


def write(path: Path, checkpoint: Checkpoint) -> None:
    """Write a file atomically, tensors in the checkpoint's order. Raises as atomic.write_bytes."""
    header: dict[str, Any] = {METADATA: checkpoint.metadata} if checkpoint.metadata else {}
    at = 0
    for name, tensor in checkpoint.tensors.items():
        header[name] = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": (at, at + tensor.nbytes)}
        at += tensor.nbytes
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")
    text += b" " * (-len(text) % 8)
    bodies = (t.bits.astype(t.bits.dtype.newbyteorder("<"), copy=False).tobytes() for t in checkpoint.tensors.values())
    write_bytes(path, b"".join((struct.pack("<Q", len(text)), text, *bodies)))


def values_of(tensor: Tensor) -> np.ndarray:
    """float64, flat, of a tensor whose type is in FLOATS."""
    if tensor.dtype == "BF16":
        return (tensor.bits.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    return tensor.bits.view(f"f{SIZES[tensor.dtype]}").astype(np.float64)


def tensor_of(dtype: str, shape: tuple[int, ...], values: np.ndarray) -> Tensor:
    """The nearest finite values of type `dtype`, in FLOATS. values: float64, flat."""
    if dtype == "BF16":
        top = np.uint32(0x7F7F0000).view(np.float32)
        bits = np.clip(values, -float(top), float(top)).astype(np.float32).view(np.uint32)
        return Tensor(dtype, shape, ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16))
    native = np.dtype(f"f{SIZES[dtype]}")
    top = np.finfo(native).max
    return Tensor(dtype, shape, np.clip(values, -top, top).astype(native).view(f"u{native.itemsize}"))
