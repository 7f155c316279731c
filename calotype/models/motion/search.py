"""Motion search of the encoder: any field is valid, this finds a good one (luma only, deterministic)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...entropy.tables import TableBank
from ...errors import UsageError
from .compensate import LUMA, extended
from .field import BOTH, FIRST, INTRA, LIMIT, SECOND, Field, Planes, field_shape
from .fieldcoding import ERRORS, SPREADS, lattice

# A block is intra where its variation and the price of so many bits are less than the best prediction's error and vectors. By
# trial on held-out clips: 16 costs up to 14 % where nothing is new, none at all up to 13 % over a cut.
INTRA_BITS = 128

# What a coefficient of a prediction's error takes, in squared steps of quantisation: its square, where it is left out, or what
# rounding leaves of it and its bits. It stands for coding each vector that is tried. By trial on training and held-out clips:
# beside absolute differences of samples it saves 5 % of the rate, one of them by `NEARER`.
BIT = 0.11  # squared steps that a bit is worth: at high rates it is (2 ln 2) / 12
BITS, OCTAVE = 4.0, 1.5  # of a coefficient of one step, and more for each octave above
UNIT = 1 << 10  # of a squared step
STEPS = 2.8  # lmbda a step
LARGEST = 1 << 13  # halves of a level: 64 differences to a mean, each below 510 levels, over 8, are 8160


def worth(step: float) -> np.ndarray:
    """int32 (LARGEST,): of a coefficient in halves of a level, at a step in levels; in 1 / UNIT squared steps."""
    size = np.arange(LARGEST) / (2 * step)
    kept = 1 / 12 + BIT * (BITS + OCTAVE * np.log2(np.maximum(size, 1)))
    return np.round(UNIT * np.minimum(size**2, kept)).astype(np.int32)


class Search:
    """A picture and one or two references, padded planes of one shape, made ready: what fields of all sizes of blocks need."""

    def __init__(self, target: Planes, references: Sequence[Planes]):
        """Raises UsageError where shapes differ."""
        from . import search_kernels

        self._shape = shape = target[0].shape
        alike = all(planes[0].shape == shape for planes in references)
        if len(references) not in (1, 2) or not alike or shape[0] % 32 or shape[1] % 32:
            raise UsageError(f"motion of a picture of {shape} needs one or two references of its shape, sides multiples of 32")
        self._planes = [extended(picture[0]) for picture in (target, *references)]
        self._coarse = [_coarse(picture[0]) for picture in (target, *references)]
        self._halves = np.empty((len(references), 4, *self._planes[0].shape), np.uint8)
        for plane, halves in zip(self._planes[1:], self._halves, strict=True):
            search_kernels.halve(plane, halves)

    def field(
        self,
        lmbda: float,
        block: int = 16,
        previous: Field | None = None,
        prices: Prices | None = None,
        steps: float = STEPS,
    ) -> Field:
        """The field that predicts the picture from its references.

        lmbda: what a bit may cost, in sums of absolute differences of 8-bit luma levels, about 1 (high quality) to 20.
        previous: a field of the same shape whose vectors are tried too. prices: of symbols, for an encoder that knows its
        tables: the field is then chosen once more at what it and its prediction's error really take, quantised with a step of
        steps * lmbda, and may have intra blocks where there are prices of such.
        """
        from . import search_kernels

        h, w = field_shape(*self._shape, block)
        around = block // 8  # what a block compares around itself: for as many bits less error than without, or with twice that
        side = block + 2 * around
        price = round(lmbda * 32 * side**2 / block**2)
        references = len(self._halves)
        mode, vectors = np.zeros((h, w), np.uint8), np.zeros((2, h, w, 2), np.int16)
        bits, costs = np.zeros((2, h, w), np.int64), np.zeros((references, h, w), np.int64)
        before = previous.vectors if previous is not None and previous.shape == (h, w) else np.zeros_like(vectors)
        planes, coarse, halves = self._planes, self._coarse, self._halves
        for r in range(references):
            search_kernels.search_reference(
                *(planes[0], halves[r], coarse[0], coarse[1 + r], before[r], block, around, price, LIMIT),
                *(vectors[r], bits[r], costs[r]),
            )
        if prices is not None:
            if prices.intra:
                variation = np.empty((h, w), np.int64)
                search_kernels.vary(planes[0], block, around, variation)
                mode[variation + INTRA_BITS * price < costs.min(0)] = INTRA
            return _decided(planes, halves, vectors, prices, block, worth(steps * lmbda), mode)
        if references == 2:
            rows, scratch = np.empty((side + 7, side), np.int16), np.empty((2, side, side), np.int32)
            search_kernels.choose_modes(*planes, vectors, bits, LUMA, block, around, price, mode, rows, scratch)
        return Field(block, mode, vectors)

    def cost(self, field: Field, base: np.ndarray, bits: float, step: float) -> float:
        """What a field of so many bits and the error of its prediction take at a step of so many levels, in squared steps.

        base: luma of `compensate`."""
        from . import decide_kernels

        left = decide_kernels.coded_whole(self._planes[0], base, field.mode, field.block, worth(step))
        return left / UNIT + BIT * bits


def search(
    target: Planes,
    references: Sequence[Planes],
    lmbda: float,
    block: int = 16,
    previous: Field | None = None,
    prices: Prices | None = None,
) -> Field:
    """One field, as of `Search`. Raises UsageError where shapes differ."""
    return Search(target, references).field(lmbda, block, previous, prices)


@dataclass(frozen=True, eq=False)
class Prices:
    """Bits of the symbols of a field: modes (tables, 3), differences (tables, 2 * REACH + 1) float64, by their tables; and
    whether there may be intra blocks."""

    mode: np.ndarray
    vector: np.ndarray
    intra: bool

    REACH = 255  # quarter pixels, beyond which a difference counts as this

    @staticmethod
    def of(banks: Mapping[str, TableBank]) -> Prices:
        """Of `fieldcoding.motion_banks`."""

        def bits(bank: TableBank, values: np.ndarray) -> np.ndarray:
            tables = np.repeat(np.arange(len(bank)), len(values))
            return bank.bits(np.tile(values, len(bank)).astype(np.int32), tables).reshape(len(bank), -1)

        differences = np.arange(-Prices.REACH, Prices.REACH + 1)
        return Prices(bits(banks["mode"], np.arange(BOTH + 1)), bits(banks["vector"], differences), "intra" in banks)


def _decided(
    planes: list[np.ndarray],
    halves: np.ndarray,
    found: np.ndarray,
    prices: Prices,
    block: int,
    costs: np.ndarray,
    mode: np.ndarray,
) -> Field:
    """The field in the order of its coding, each block from the vectors that were found near it and those it is told from.
    costs: of `worth`. mode: INTRA where a block is to be that; overwritten."""
    from . import decide_kernels

    references, (h, w) = len(planes) - 1, found.shape[1:3]
    steps = lattice(h, w)
    places = np.concatenate([at for at, _ in steps])
    near = np.concatenate([np.full((4, len(at)), -1) if by is None else by for at, by in steps], 1)
    value = np.zeros((references, h * w, 2), np.int64)
    decide_kernels.decide(
        *(planes[0], planes[1], planes[-1], halves, references, found, places, near, prices.mode, prices.vector),
        *(SPREADS, ERRORS, LUMA, block, float(BIT * UNIT), LIMIT, mode, value, costs),
    )
    vectors = np.zeros((2, h * w, 2), np.int16)
    vectors[:references] = value
    of = mode.ravel()
    vectors[0, of == SECOND] = vectors[1, of == FIRST] = vectors[:, of == INTRA] = 0
    return Field(block, mode, vectors.reshape(2, h, w, 2))


def _coarse(plane: np.ndarray) -> np.ndarray:
    from . import search_kernels

    out = np.empty((plane.shape[0] // 4, plane.shape[1] // 4), np.uint8)
    search_kernels.quarter(np.ascontiguousarray(plane), out)
    return extended(out)
