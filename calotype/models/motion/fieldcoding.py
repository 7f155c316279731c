"""A field of motion as symbols of frozen tables, on a lattice that gets finer (docs/FORMAT.md).

First the blocks whose row and column are multiples of COARSEST, then for each stride s of COARSEST / 2 .. 1, in three steps,
the multiples of s that are new: both odd multiples; even row, odd column; odd row, even column. Within a step the blocks are in
rows from the top, and everything about them is told from the four neighbours at distance s that earlier steps coded: in a
stride's first step above left, above right, below left, below right; in the second left, above, right, below; in the third
above, left, right, below. The first of them stands in for those outside.

Of each step come, in this order: which blocks are intra, where the field has such; the modes of the others, where there are
two references; then the differences of dy to its prediction, for the blocks that use the first reference and then those that
use the second; then those of dx. The prediction is half the sum of the middle two of the neighbours' four values, rounded
down; where a neighbour's mode leaves the reference out, its value is its own prediction. In the coarsest step predictions are
0.

Tables: of intra blocks, by how many neighbours are, one more for the coarsest step. Of modes, by how many neighbours are
FIRST and how many SECOND, one more for the coarsest step. Of differences, by the spread of the neighbours' values (largest
minus smallest, in classes that SPREADS bound) and for dx also by how far dy was off (in classes that ERRORS bound), one more
for the coarsest step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np

from ...entropy.rans import RansDecoder, RansEncoder
from ...entropy.tables import TableBank, factorised_bank
from ...errors import CorruptStreamError, UsageError
from .field import BOTH, FIRST, INTRA, LIMIT, SECOND, Field

COARSEST = 16
SPREADS = np.array([0, 1, 2, 4, 8, 16, 40])
ERRORS = np.array([0, 2, 8])
MODE_TABLES = 5 * 5 + 1
INTRA_TABLES = 5 + 1
_CLASSES = len(SPREADS) + 1
VECTOR_TABLES = _CLASSES * (1 + len(ERRORS) + 1) + 1
_SUPPORT = 96  # of a difference's table at most, each way

Kind = Literal["intra", "mode", "vector"]


class Vectors(NamedTuple):
    """Of n differences: the blocks' references and modes, (n,); the component, 0 dy, 1 dx; predictions (n, 2); dy's symbols
    (n,), where it is dx; the neighbours' values in order of size (4, n, 2) and the class of their spread (n, 2), none in the
    coarsest step."""

    reference: np.ndarray
    mode: np.ndarray
    component: int
    prediction: np.ndarray
    error: np.ndarray | None
    around: np.ndarray | None
    spread: np.ndarray | None


class About(NamedTuple):
    """What is known of the blocks whose symbols are coded, for coders with contexts of their own: their places, flat (n,);
    modes of all blocks, as far as they are known; neighbours (4, n), none in the coarsest step."""

    places: np.ndarray
    mode: np.ndarray
    near: np.ndarray | None
    vectors: Vectors | None = None


Coder = Callable[[Kind, np.ndarray | None, np.ndarray, About], np.ndarray]


def code(
    shape: tuple[int, int], block: int, references: int, coder: Coder, field: Field | None = None, has_intra: bool = False
) -> Field:
    """Run all steps, of an encoder (field given) or a decoder (None); returns the field.

    shape: rows and columns of blocks; references: 1 or 2; has_intra: of a field to be read. coder(kind, symbols, indexes,
    about) gets the symbols to code, or None where it is to read them, the number of each one's table, int (n,), and what else
    is known; it returns the symbols. Raises CorruptStreamError where what is read is no field.
    """
    mode, given = np.zeros(shape[0] * shape[1], np.int64), None
    value = np.zeros((references, mode.size, 2), np.int64)
    if field is not None:
        one = references == 1 and ((field.mode == SECOND) | (field.mode == BOTH)).any()
        if field.shape != tuple(shape) or field.block != block or one:
            raise UsageError(f"a field of {field.shape} blocks of {field.block} is not one of {shape} of {block}")
        given, has_intra = (field.mode.ravel(), field.vectors.reshape(2, -1, 2)), field.has_intra
    for places, near in lattice(*shape):
        if has_intra:
            wanted = None if given is None else (given[0][places] == INTRA).astype(np.int32)
            intra = coder("intra", wanted, _intra_tables(mode, places, near), About(places, mode, near))
            if intra.min() < 0 or intra.max() > 1:
                raise CorruptStreamError("a block is neither intra nor not: the bytes are damaged")
            mode[places] = INTRA * intra
        others = mode[places] != INTRA
        if references == 2:
            wanted = None if given is None else given[0][places][others]
            about = About(places[others], mode, None if near is None else near[:, others])
            found = coder("mode", wanted, _mode_tables(mode, places, near)[others], about)
            if found.size and (found.min() < FIRST or found.max() > BOTH):
                raise CorruptStreamError("a block's motion has no mode that exists: the bytes are damaged")
            mode[places[others]] = found
        prediction, around, spread = np.zeros((references, len(places), 2), np.int64), None, None
        if near is not None:
            around = np.sort(value[:, near], axis=1)
            prediction = (around[:, 1] + around[:, 2]) >> 1
            spread = np.searchsorted(SPREADS, around[:, 3] - around[:, 0])
        used = (others & np.stack([mode[places] != SECOND, mode[places] != FIRST]))[:references]
        wanted = None if given is None else given[1][:references, places][used] - prediction[used]
        error, (which, at), start = None, np.nonzero(used), prediction[used]
        if spread is not None:
            around, spread = around[which, :, at].swapaxes(0, 1), spread[used]
        for component in range(2):
            tables = _vector_tables(None if spread is None else spread[:, component], error, len(at))
            vectors = Vectors(which, mode[places[at]], component, start, error, around, spread)
            symbols = None if wanted is None else wanted[:, component]
            error = coder("vector", symbols, tables, About(places[at], mode, near, vectors))
            prediction[used, component] += error
        value[:, places] = prediction
        if np.abs(prediction).max() > LIMIT:
            raise CorruptStreamError(f"a motion vector lies outside {LIMIT} quarter pixels: the bytes are damaged")
    vectors = np.zeros((2, mode.size, 2), np.int16)
    vectors[:references] = value
    vectors[0, mode == SECOND] = vectors[1, mode == FIRST] = vectors[:, mode == INTRA] = 0
    return Field(block, mode.astype(np.uint8).reshape(shape), vectors.reshape(2, *shape, 2))


def encode_field(encoder: RansEncoder, banks: Mapping[str, TableBank], field: Field, references: int) -> None:
    """Push a field, coded with the tables of `motion_banks`."""

    def push(kind: Kind, symbols: np.ndarray | None, indexes: np.ndarray, about: About) -> np.ndarray:
        assert symbols is not None
        encoder.push(banks[kind], symbols, indexes)
        return symbols

    code(field.shape, field.block, references, push, field)


def decode_field(
    decoder: RansDecoder,
    banks: Mapping[str, TableBank],
    shape: tuple[int, int],
    block: int,
    references: int,
    has_intra: bool = False,
) -> Field:
    """Pull what `encode_field` pushed. Raises CorruptStreamError where it is no field."""

    def pull(kind: Kind, symbols: np.ndarray | None, indexes: np.ndarray, about: About) -> np.ndarray:
        return decoder.pull(banks[kind], indexes)

    return code(shape, block, references, pull, has_intra=has_intra)


def motion_banks(fields: Iterable[tuple[Field, int]], precision: int = 12) -> dict[Kind, TableBank]:
    """Tables frozen from fields and their numbers of references: "intra", "mode" and "vector", for export only.

    To the counts are added a few of a broad distribution, so that what was never seen can be coded.
    """
    far = np.abs(np.arange(-_SUPPORT, _SUPPORT + 1))
    counts = {"intra": np.full((INTRA_TABLES, 2), 0.5), "mode": np.full((MODE_TABLES, BOTH + 1), 0.5)}
    counts["vector"] = np.tile(1.0 / (1 + far) ** 2, (VECTOR_TABLES, 1))

    def count(kind: Kind, symbols: np.ndarray | None, indexes: np.ndarray, about: About) -> np.ndarray:
        assert symbols is not None
        position = symbols.astype(np.int64) + (_SUPPORT if kind == "vector" else 0)
        inside = (position >= 0) & (position < counts[kind].shape[1])
        np.add.at(counts[kind], (indexes[inside], position[inside]), 1)
        return symbols

    for field, references in fields:
        code(field.shape, field.block, references, count, field)
    banks: dict[Kind, TableBank] = {}
    for kind, offset in (("intra", 0), ("mode", 0), ("vector", -_SUPPORT)):
        table = counts[kind]
        banks[kind] = factorised_bank(list(table / (table.sum(1, keepdims=True) + 0.5)), [offset] * len(table), precision)
    return banks


@lru_cache(16)
def lattice(h: int, w: int) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """Of each step the flat numbers of its blocks (n,) and of their neighbours (4, n)."""
    number = np.arange(h * w).reshape(h, w)
    steps: list[tuple[np.ndarray, np.ndarray | None]] = [(number[::COARSEST, ::COARSEST].ravel(), None)]
    stride = COARSEST // 2
    while stride:
        beside = ((0, -1), (-1, 0), (0, 1), (1, 0))
        for odd_y, odd_x, ways in (
            (1, 1, ((-1, -1), (-1, 1), (1, -1), (1, 1))),
            (0, 1, beside),
            (1, 0, (beside[1], beside[0], *beside[2:])),  # the first one must always be inside
        ):
            y, x = (g.ravel() for g in np.mgrid[odd_y * stride : h : 2 * stride, odd_x * stride : w : 2 * stride])
            if not y.size:
                continue
            near = np.empty((4, y.size), np.int64)
            for k, (dy, dx) in enumerate(ways):
                ny, nx = y + dy * stride, x + dx * stride
                inside = (ny >= 0) & (ny < h) & (nx >= 0) & (nx < w)
                near[k] = np.where(inside, ny * w + nx, near[0] if k else 0)
            steps.append((y * w + x, near))
        stride //= 2
    return steps


def _intra_tables(mode: np.ndarray, places: np.ndarray, near: np.ndarray | None) -> np.ndarray:
    if near is None:
        return np.full(len(places), INTRA_TABLES - 1)
    return (mode[near] == INTRA).sum(0)


def _mode_tables(mode: np.ndarray, places: np.ndarray, near: np.ndarray | None) -> np.ndarray:
    if near is None:
        return np.full(len(places), MODE_TABLES - 1)
    around = mode[near]
    return 5 * (around == FIRST).sum(0) + (around == SECOND).sum(0)


def _vector_tables(spread: np.ndarray | None, error: np.ndarray | None, count: int) -> np.ndarray:
    if spread is None:
        return np.full(count, VECTOR_TABLES - 1)
    if error is None:
        return spread
    return _CLASSES * (1 + np.searchsorted(ERRORS, np.abs(error))) + spread
