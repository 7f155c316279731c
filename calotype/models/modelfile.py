"""The model file: one safetensors file with JSON metadata, hashed canonically. No torch, no pickle.

Metadata key `calotype`: {"format": 1, "kind": "image", "name": ..., "config": {...}, "card": {...}}. The hash that streams
carry covers kind, config and every tensor, not the name and not the card.

Format 1 holds the tensors as safetensors does. Format 2 holds one uint8 tensor `coded`: a CRC-32C of the metadata and of
what follows, then the tensors as `weightcoder` codes them; the metadata has also "tensors", {name: [type, shape]}, and "hash".
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..atomic import write_bytes
from ..errors import ModelError

if TYPE_CHECKING:
    import numpy as np

PLAIN, CODED = 1, 2
FORMATS = (PLAIN, CODED)
CODED_TENSOR = "coded"
HEADER_LIMIT = 1 << 20
FILE_LIMIT = 1 << 30  # of the file, and of its tensors together
RANK_LIMIT = 32
_CRC_BYTES = 4
_DAMAGED = "is damaged; install calotype again, or export the model again"


@dataclass(frozen=True)
class ModelInfo:
    """What a model file says of itself. parameters: values in all tensors; bytes: size of the file; hash: SHA-256 in hex as
    claimed (`read` checks it), None in format 1."""

    name: str
    path: Path
    kind: str
    config: dict[str, int]
    card: dict[str, Any]
    parameters: int
    bytes: int
    hash: str | None


class _Header(NamedTuple):
    """meta: our metadata; text: as it stands in the file; layout: {name: (type as safetensors names it, shape)}."""

    meta: dict[str, Any]
    text: str
    layout: dict[str, tuple[str, list[int]]]


def _header(path: Path) -> _Header:
    """Of a safetensors file; read by hand so that `info` needs no package. Raises ModelError."""
    try:
        with path.open("rb") as f:
            (length,) = struct.unpack("<Q", f.read(8))
            if length > HEADER_LIMIT:
                raise ValueError("header too long")
            header = json.loads(f.read(length))
        text = header["__metadata__"]["calotype"]
        meta = json.loads(text)
        if meta["format"] not in FORMATS:
            raise ModelError(
                f"{path} is a model file of format {meta['format']}, this version reads {PLAIN} and {CODED}: update calotype"
            )
        for key, kind in (("name", str), ("kind", str), ("config", dict), ("card", dict)):
            if not isinstance(meta[key], kind):
                raise ValueError(f"its {key} is no {kind.__name__}")
        if meta["format"] == CODED:
            if not isinstance(meta["hash"], str):
                raise ValueError("its hash is no text")
            layout = {k: (dtype, shape) for k, (dtype, shape) in meta["tensors"].items()}
        else:
            layout = {k: (v["dtype"], v["shape"]) for k, v in header.items() if k != "__metadata__"}
        for dtype, shape in layout.values():
            if not isinstance(dtype, str) or not isinstance(shape, list) or len(shape) > RANK_LIMIT:
                raise ValueError("a tensor's type or shape is none")
            if any(type(n) is not int or not 0 <= n <= FILE_LIMIT for n in shape):
                raise ValueError("a tensor's shape is none")
        return _Header(meta, text, layout)
    except (OSError, struct.error, ValueError, KeyError, TypeError, AttributeError, RecursionError) as e:
        raise ModelError(
            f"{path} is not a Calotype model file ({e}); `calotype models` lists the ones installed"
        ) from e


def _info(path: Path, header: _Header) -> ModelInfo:
    meta, count = header.meta, sum(math.prod(shape) for _, shape in header.layout.values())
    claimed = meta["hash"] if meta["format"] == CODED else None
    return ModelInfo(meta["name"], path, meta["kind"], meta["config"], meta["card"], count, path.stat().st_size, claimed)


def read_info(path: Path) -> ModelInfo:
    """Read the header only; imports no package. Raises ModelError."""
    return _info(path, _header(path))


def read(path: Path) -> tuple[ModelInfo, dict[str, np.ndarray], bytes]:
    """(info, tensors, SHA-256) of a model file. Raises ModelError."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    header = _header(path)
    info = _info(path, header)
    if info.bytes > FILE_LIMIT:
        raise ModelError(f"{path} has {info.bytes} bytes; a model file has at most {FILE_LIMIT}")
    try:
        arrays = load(path.read_bytes())
    except (SafetensorError, KeyError, TypeError, ValueError) as e:  # an unknown dtype is a KeyError
        raise ModelError(f"{path} {_DAMAGED} ({e})") from e
    if header.meta["format"] == CODED:
        arrays = _decoded(path, header, arrays)
    found = digest(info.kind, info.config, arrays)
    if info.hash not in (None, found.hex()):
        raise ModelError(f"{path} {_DAMAGED} (its weights are not those of its hash)")
    return info, arrays, found


def _decoded(path: Path, header: _Header, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors of a file of format 2. Raises ModelError for one whose metadata or tensors are not those written."""
    from crc32c import crc32c

    from . import weightcoder

    coded = arrays.get(CODED_TENSOR)
    if len(arrays) != 1 or coded is None or coded.dtype.str != "|u1" or coded.ndim != 1:
        raise ModelError(f"{path} {_DAMAGED} (no tensor '{CODED_TENSOR}')")
    data = coded.tobytes()
    if crc32c(data[_CRC_BYTES:], _text_crc(header.text)).to_bytes(_CRC_BYTES, "little") != data[:_CRC_BYTES]:
        raise ModelError(f"{path} {_DAMAGED} (wrong checksum)")
    try:
        return weightcoder.decode(memoryview(data)[_CRC_BYTES:], header.layout, FILE_LIMIT)
    except ModelError as e:
        raise ModelError(f"{path}: {e}") from e


def _text_crc(text: str) -> int:
    from crc32c import crc32c

    return crc32c(text.encode("utf-8", "surrogatepass"))


def digest(kind: str, config: dict[str, int], arrays: dict[str, np.ndarray]) -> bytes:
    """SHA-256 over kind, config and, in order of name, each tensor's name, type, shape and little-endian bytes."""
    import numpy as np

    h = hashlib.sha256(json.dumps({"kind": kind, "config": config}, sort_keys=True).encode())
    for name in sorted(arrays):
        a = arrays[name]
        h.update(f"{name}:{a.dtype.str.lstrip('<>=|')}:{a.shape};".encode())
        h.update(np.ascontiguousarray(a, dtype=a.dtype.newbyteorder("<")).tobytes())
    return h.digest()


def write(
    path: Path,
    name: str,
    kind: str,
    config: dict[str, int],
    card: dict[str, Any],
    arrays: dict[str, np.ndarray],
    coded: bool = True,
) -> None:
    """Write a model file atomically: of format 2 where that is smaller and `coded`, else of format 1."""
    import numpy as np
    from safetensors.numpy import save

    ordered = {k: np.asarray(arrays[k], order="C") for k in sorted(arrays)}  # ascontiguousarray makes scalars 1-D
    meta = {"name": name, "kind": kind, "config": config, "card": card}
    plain = save(ordered, {"calotype": json.dumps({"format": PLAIN} | meta)})
    packed = _coded(meta, ordered) if coded else None
    write_bytes(path, packed if packed and len(packed) < len(plain) else plain)


def _coded(meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> bytes | None:
    """The bytes of a file of format 2; None where a tensor has a type that the weight coder does not know."""
    import numpy as np
    from crc32c import crc32c
    from safetensors.numpy import save

    from . import weightcoder

    names = {dtype: name for name, dtype in weightcoder.DTYPES.items()}
    if not names.keys() >= {a.dtype.name for a in arrays.values()}:
        return None
    layout = {k: (names[a.dtype.name], a.shape) for k, a in arrays.items()}
    claimed = digest(meta["kind"], meta["config"], arrays).hex()
    text = json.dumps({"format": CODED} | meta | {"hash": claimed, "tensors": layout})
    data = weightcoder.encode(arrays)
    crc = crc32c(data, _text_crc(text)).to_bytes(_CRC_BYTES, "little")
    return save({CODED_TENSOR: np.frombuffer(crc + data, dtype=np.uint8)}, {"calotype": text})
