"""The hash of decoded symbols: one definition on every machine, and no other type of symbols taken for int32."""

from __future__ import annotations

import array
import sys

import pytest

from calotype.codecs import container
from calotype.errors import DesyncError, UsageError


def test_the_symbol_hash_is_that_of_little_endian_int32_in_order() -> None:
    symbols = array.array("i", [0, 1, -1, 2**31 - 1, -(2**31)])
    raw = b"".join(value.to_bytes(4, "little", signed=True) for value in symbols)
    assert container.symbol_hash([raw]).hex() == "33b2d505"
    assert container.symbol_hash([raw[:8], b"", raw[8:]]) == container.symbol_hash([raw])
    assert container.symbol_hash([raw[8:], raw[:8]]) != container.symbol_hash([raw])
    if sys.byteorder == "little":
        assert container.symbol_hash([symbols]) == container.symbol_hash([raw])


def test_the_symbol_hash_takes_numpy_int32_of_any_shape_and_refuses_other_types() -> None:
    np = pytest.importorskip("numpy")
    symbols = np.arange(-6, 6, dtype="<i4").reshape(1, 3, 2, 2)
    expected = container.symbol_hash([symbols.tobytes()])
    assert container.symbol_hash([symbols, np.empty((0, 4), "<i4")]) == expected
    for wrong in [symbols.T, *(symbols.astype(kind) for kind in ("<i2", "<i8", "<f4", "<u4", ">i4"))]:
        with pytest.raises(UsageError):
            container.symbol_hash([wrong])
    with pytest.raises(UsageError):
        container.symbol_hash([[1, 2]])


def test_other_symbols_under_right_checksums_are_a_desync_not_damage() -> None:
    container.check_symbols(container.symbol_hash([b"abcd"]), [b"abcd"])
    with pytest.raises(DesyncError, match="report"):
        container.check_symbols(container.symbol_hash([b"abcd"]), [b"abce"])
