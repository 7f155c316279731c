"""Symbols to bytes and back: rANS, range coder, frozen tables. Integers only, no torch; numba is imported at the
first use.
"""

from __future__ import annotations

from calotype.entropy.rangecoder import BinaryDecoder, BinaryEncoder
from calotype.entropy.rans import RansDecoder, RansEncoder
from calotype.entropy.tables import TableBank, factorised_bank, gaussian_bank
from calotype.entropy.weights import WeightDecoder, WeightEncoder

__all__ = [
    "BinaryDecoder",
    "BinaryEncoder",
    "RansDecoder",
    "RansEncoder",
    "TableBank",
    "WeightDecoder",
    "WeightEncoder",
    "factorised_bank",
    "gaussian_bank",
]
