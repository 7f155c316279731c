"""A checkpoint in few bytes: floats on a grid whose levels rate-distortion chooses, or every bit exactly.

    floats --grid: a step a tensor, or by importance--> integers --(minus the previous ones)--> entropy.weights ---+
    integers, small differences --------------------------------------------------------------> entropy.weights ---+-> file
    other bits -----------------------------------------------------------------------------------> weightcoder ---+

Source: as entropy/weights.py. A tensor is put on a grid where it is of floats, all finite, of two dimensions or more; others
(biases, norms, integers) keep every bit. packedfile.py is the file; docs/ENTROPY.md has it to the bit.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..entropy.weights import IMPORTANCE_UNIT, MAX_IMPORTANCE, TARGET_UNIT, WeightDecoder, WeightEncoder
from ..errors import CorruptStreamError, ModelError, UsageError
from . import weightcoder
from .safetensorsfile import FLOATS, SIZES, Checkpoint, Tensor, tensor_of, values_of
from .stepscales import TOP, Scales, scales_of

BITS, LMBDA = 8, 0.1
# How a tensor's bits are coded: by weightcoder; as integers; as their differences to the row before, to the value before,
# to the previous checkpoint.
PLAIN, DIRECT, ABOVE, LEFT, PREVIOUS = CODINGS = ("plain", "direct", "above", "left", "previous")
_MAX_LEVEL = 1 << 28
_FARTHEST = 900  # octaves of a step by importance from 1, so that no product of it passes float64
_PLAIN_TYPES = {1: "U8", 2: "U16", 4: "U32", 8: "U64"}


@dataclass(frozen=True)
class Options:
    """How to code. bits: a tensor's largest weight gets the largest level of so many bits; step: one step for all
    instead (with importance, in either case, the geometric mean of the steps stays what it would be); lmbda: squared steps
    that a bit is worth, 0 is plain rounding; exact: keep every bit; prune: the share of each tensor's weights, the smallest,
    that becomes 0."""

    bits: int = BITS
    step: float | None = None
    lmbda: float = LMBDA
    exact: bool = False
    prune: float = 0.0

    def __post_init__(self) -> None:
        """Raises UsageError for what makes no sense."""
        if not 2 <= self.bits <= 16:
            raise UsageError(f"{self.bits} bits: 2..16 are possible")
        if self.step is not None and not 0 < self.step < math.inf:
            raise UsageError(f"a step of {self.step} is none: give a positive number")
        if not 0 <= self.prune <= 1:
            raise UsageError(f"a share of {self.prune} is none: give 0..1")


class Record(NamedTuple):
    """What a decoder must know of a tensor. coding: one of CODINGS; step: None where the bits themselves are coded; scaled:
    whether rows and columns have steps of their own."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    coding: str
    step: float | None
    scaled: bool = False


class Packed(NamedTuple):
    """A coded checkpoint. levels: the stream of entropy.weights; plain: weightcoder's bytes; previous: digest of the
    checkpoint that is needed, or None."""

    records: list[Record]
    metadata: dict[str, str]
    previous: bytes | None
    levels: bytes
    plain: bytes


def digest(checkpoint: Checkpoint) -> bytes:
    """SHA-256 over each tensor's name, type, shape and bytes, in order of name; not the metadata."""
    h = hashlib.sha256()
    for name, tensor in sorted(checkpoint.tensors.items()):
        h.update(f"{name}:{tensor.dtype}:{tensor.shape};".encode("utf-8", "surrogatepass"))
        h.update(tensor.bits.astype(tensor.bits.dtype.newbyteorder("<"), copy=False).tobytes())
    return h.digest()


# ---- encode


def encode(
    checkpoint: Checkpoint,
    options: Options | None = None,
    previous: Checkpoint | None = None,
    importance: Mapping[str, np.ndarray] | None = None,
) -> Packed:
    """Code a checkpoint. previous: the decoder must have it too; importance: what a squared error in each weight costs (a
    Fisher diagonal, say), >= 0, of some tensors, in their shapes or one number, all in one unit: rows and columns of these get
    steps by it, relative to one another. Raises UsageError for impossible options, and for importance that is none."""
    options = options or Options()
    encoder, plain, records = WeightEncoder(), {}, []
    tensors = checkpoint.tensors
    steps = {name: None if options.exact else _step(tensor, options) for name, tensor in tensors.items()}
    grids = _grids(tensors, steps, importance or {})
    for name, tensor in tensors.items():
        old, step = _same(previous, name, tensor), steps[name]
        if step is not None:
            step, scales, weights = grids.get(name, (step, None, None))
            for part in scales or ():
                encoder.encode(part[None])
            coding, levels = _on_grid(encoder, tensor, old, _flat_steps(step, scales), options, weights)
            encoder.encode(levels)
        else:
            scales = None
            coding, levels = _exactly(encoder, tensor, old)
            if levels is None:
                plain[name] = _plain_view(tensor)
            else:
                encoder.encode(levels)
        records.append(Record(name, tensor.dtype, tensor.shape, coding, step, scales is not None))
    needed = digest(previous) if previous and any(record.coding == PREVIOUS for record in records) else None
    return Packed(records, checkpoint.metadata, needed, encoder.finish(), weightcoder.encode(plain) if plain else b"")


def _grids(
    tensors: Mapping[str, Tensor], steps: Mapping[str, float | None], importance: Mapping[str, np.ndarray]
) -> dict[str, tuple[float, Scales, np.ndarray]]:
    """{name: (step, scales, importance * step^2, flat, of mean 1)} of the tensors with importance that go on a grid; the
    geometric mean of all their weights' steps stays. Raises UsageError."""
    found, shift, count = {}, 0.0, 0
    for name in sorted(importance):
        if steps.get(name) is None:
            continue
        shape, given = tensors[name].shape, np.asarray(importance[name], np.float64)
        if given.shape not in ((), shape):
            raise UsageError(f"importance of tensor {name!r} is {list(given.shape)}, the tensor {list(shape)}")
        given = np.broadcast_to(given, shape)
        try:
            scales, level = scales_of(given.reshape(_matrix(shape)))
        except ValueError as e:
            raise UsageError(f"importance of tensor {name!r}: {e}") from e
        found[name] = level, scales, given.reshape(-1)
        shift += given.size * (math.log2(steps[name]) - level)
        count += given.size
    grids = {}
    for name, (level, scales, given) in found.items():
        if abs(level + shift / count) > _FARTHEST:
            raise UsageError(f"importance of tensor {name!r} is too far from that of the others: give both in one unit")
        step = 2.0 ** (level + shift / count)
        weights = given * np.square(_flat_steps(1.0, scales))
        grids[name] = step, scales, weights / max(float(weights.mean()), 1e-300)
    return grids


def _flat_steps(step: float, scales: Scales | None) -> float | np.ndarray:
    """Of each weight of a tensor, or of all."""
    return step if scales is None else scales.steps(step).reshape(-1)


def _same(previous: Checkpoint | None, name: str, tensor: Tensor) -> Tensor | None:
    old = previous.tensors.get(name) if previous else None
    return old if old is not None and old[:2] == tensor[:2] else None


def _step(tensor: Tensor, options: Options) -> float | None:
    """Of the tensor's grid; None where it is to keep its bits. Raises UsageError for a step far too small."""
    if tensor.dtype not in FLOATS or len(tensor.shape) < 2 or not len(tensor.bits):
        return None
    top = float(np.abs(values_of(tensor)).max())
    if not math.isfinite(top):
        return None
    if options.step is None:
        step = top / ((1 << options.bits - 1) - 1)
        # A step so small that it is 0 or subnormal has no accuracy: such weights keep their bits.
        return (step if step > 1e-300 else None) if top else 1.0
    if top / options.step >= _MAX_LEVEL:
        raise UsageError(f"a weight is {top:g}, over 2**28 steps of {options.step:g}: give a larger step")
    return float(options.step)


def _on_grid(
    encoder: WeightEncoder,
    tensor: Tensor,
    old: Tensor | None,
    step: float | np.ndarray,
    options: Options,
    importance: np.ndarray | None,
) -> tuple[str, np.ndarray]:
    """(coding, what to encode): the levels, or their differences to the old ones where those take fewer bits."""
    shape, values = _matrix(tensor.shape), values_of(tensor)
    weights = np.ones(len(values)) if importance is None else importance
    weights = np.clip(np.rint(weights * IMPORTANCE_UNIT), 1, MAX_IMPORTANCE).astype(np.int64)
    if options.prune:
        gone = np.argsort(np.abs(values), kind="stable")[: round(options.prune * len(values))]
        values[gone], weights[gone] = 0, MAX_IMPORTANCE
    coding, base = DIRECT, np.zeros(len(values), np.int64)
    nearest = np.rint(values / step)
    if np.abs(nearest).max() >= _MAX_LEVEL:
        raise UsageError("importance makes a weight over 2**28 steps: give fewer bits or a larger step")
    plain = nearest.astype(np.int64)
    if old is not None:
        before = _levels(values_of(old), step)
        bits = [encoder.bits((plain - other).reshape(shape)) for other in (base, before)]
        if bits[1] < bits[0]:
            coding, base = PREVIOUS, before
    targets = np.rint(values / step * TARGET_UNIT).astype(np.int64) - base * TARGET_UNIT
    if not options.lmbda:
        return coding, (plain - base).reshape(shape)
    return coding, encoder.choose(targets.reshape(shape), options.lmbda, weights.reshape(shape))


def _exactly(encoder: WeightEncoder, tensor: Tensor, old: Tensor | None) -> tuple[str, np.ndarray | None]:
    """(coding, what to encode): the way of fewest bits; None for PLAIN."""
    whole = _integers(tensor)
    if whole is None or not len(whole):
        return PLAIN, None
    before = _integers(old) if old is not None else None
    ways = [PREVIOUS] if before is not None else []
    if tensor.dtype not in FLOATS:
        ways += [DIRECT, ABOVE, LEFT]
    best, least, chosen = PLAIN, weightcoder.estimate(_plain_view(tensor)) if ways else 0.0, None
    for coding in ways:
        candidate = _differences(whole, coding, _matrix(tensor.shape), before)
        bits = encoder.bits(candidate)
        if bits < least:
            best, least, chosen = coding, bits, candidate
    return best, chosen


# ---- decode


def decode(packed: Packed, previous: Checkpoint | None = None) -> Checkpoint:
    """The checkpoint. Its caller has bounded the bytes that the records claim.

    Raises ModelError where another previous checkpoint is needed, CorruptStreamError for damage.
    """
    if packed.previous is not None and (previous is None or digest(previous) != packed.previous):
        known = "none was given" if previous is None else f"this one is {digest(previous).hex()[:16]}"
        raise ModelError(
            f"this file holds differences to a checkpoint of digest {packed.previous.hex()[:16]}, {known}: "
            "give the one that it was packed with, --previous"
        )
    plain = _decode_plain(packed)
    decoder, tensors = WeightDecoder(packed.levels), {}
    for record in packed.records:
        if record.coding == PLAIN:
            bits = plain[record.name].reshape(-1).view(f"u{SIZES[record.dtype]}")
            tensors[record.name] = Tensor(record.dtype, record.shape, bits)
            continue
        rows, columns = _matrix(record.shape)
        scales = Scales(*(decoder.decode(1, n)[0] for n in (rows, columns))) if record.scaled else None
        if scales and max(np.abs(part).max() for part in scales) > TOP:
            raise CorruptStreamError(f"the steps of tensor {record.name!r} are out of range: the file is damaged")
        levels = decoder.decode(rows, columns)
        old = _same(previous, record.name, Tensor(record.dtype, record.shape, levels))
        if record.coding == PREVIOUS and old is None:
            raise CorruptStreamError(f"the previous checkpoint has no tensor {record.name!r} like it: the file is damaged")
        tensors[record.name] = _rebuilt(record, levels, old, scales)
    decoder.finish()
    return Checkpoint(tensors, packed.metadata)


def _decode_plain(packed: Packed) -> dict[str, np.ndarray]:
    layout = {r.name: (_plain_type(r.dtype), r.shape) for r in packed.records if r.coding == PLAIN}
    if not layout:
        if packed.plain:
            raise CorruptStreamError("bytes are left over: the file is damaged")
        return {}
    try:
        size = sum(math.prod(r.shape) * SIZES[r.dtype] for r in packed.records)
        return weightcoder.decode(packed.plain, layout, size)
    except ModelError as e:
        raise CorruptStreamError(str(e)) from e


def _rebuilt(record: Record, levels: np.ndarray, old: Tensor | None, scales: Scales | None) -> Tensor:
    """A tensor of what was encoded, int64 (rows, columns)."""
    if record.step is not None:
        flat, step = levels.reshape(-1), _flat_steps(record.step, scales)
        if record.coding == PREVIOUS and old is not None:
            flat = flat + _levels(values_of(old), step)
        with np.errstate(over="ignore"):  # tensor_of limits what a forged step makes of them
            return tensor_of(record.dtype, record.shape, flat * step)
    before = _integers(old) if record.coding == PREVIOUS and old is not None else None
    whole = _undifferences(levels, record.coding, before)
    size = SIZES[record.dtype]
    low = -1 << 8 * size - 1 if record.dtype[0] == "I" or record.dtype in FLOATS else 0
    if len(whole) and (int(whole.min()) < low or int(whole.max()) >= low + (1 << 8 * size)):
        raise CorruptStreamError(f"a value of tensor {record.name!r} is out of its type: the file is damaged")
    if record.dtype in FLOATS:
        whole = np.where(whole < 0, (1 << 8 * size - 1) - 1 - whole, whole)
    return Tensor(record.dtype, record.shape, whole.astype(f"u{size}"))


# ---- integers of tensors


def _matrix(shape: tuple[int, ...]) -> tuple[int, int]:
    """(rows, columns): the first axis and all others; one row of what has one axis or none."""
    return (shape[0], math.prod(shape[1:])) if len(shape) > 1 else (1, math.prod(shape))


def _integers(tensor: Tensor) -> np.ndarray | None:
    """int64, flat: the values of integers; of floats, their bits in the order of the values. None for 8 bytes a value."""
    size = SIZES[tensor.dtype]
    if size == 8:
        return None
    if tensor.dtype[0] == "I":
        return tensor.bits.view(f"i{size}").astype(np.int64)
    whole = tensor.bits.astype(np.int64)
    if tensor.dtype in FLOATS:
        half = 1 << 8 * size - 1
        whole = np.where(whole < half, whole, half - 1 - whole)
    return whole


def _levels(values: np.ndarray, step: float | np.ndarray) -> np.ndarray:
    """int64: the levels of values on a grid; of what is beyond any level or no number, 0."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        levels = np.rint(values / step)
    return np.where(np.abs(levels) < _MAX_LEVEL, levels, 0).astype(np.int64)


def _differences(whole: np.ndarray, coding: str, shape: tuple[int, int], before: np.ndarray | None) -> np.ndarray:
    if coding == PREVIOUS and before is not None:
        whole = whole - before
    matrix = whole.reshape(shape)
    if coding in (ABOVE, LEFT):
        return np.diff(matrix, axis=0 if coding == ABOVE else 1, prepend=0)
    return matrix


def _undifferences(levels: np.ndarray, coding: str, before: np.ndarray | None) -> np.ndarray:
    if coding in (ABOVE, LEFT):
        levels = np.cumsum(levels, axis=0 if coding == ABOVE else 1)
    flat = levels.reshape(-1)
    return flat if before is None else flat + before


def _plain_type(dtype: str) -> str:
    """The weight coder's type for it; BF16 as F16, for both have their sign on top, before the exponent."""
    if dtype == "BF16":
        return "F16"
    return dtype if dtype in weightcoder.DTYPES else _PLAIN_TYPES[SIZES[dtype]]


def _plain_view(tensor: Tensor) -> np.ndarray:
    return tensor.bits.view(weightcoder.DTYPES[_plain_type(tensor.dtype)]).reshape(tensor.shape)
