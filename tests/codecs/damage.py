"""Damaged files, for the tests of several codecs."""

from __future__ import annotations

import pytest

from calotype.codecs.registry import open_stream
from calotype.errors import CalotypeError, CorruptStreamError


def check_refused(data: bytes, every: int = 1, **options: object) -> None:
    """A file cut at each length, by `every`, is corrupt; with any byte changed it is no file. options: of `open_stream`."""
    for length in range(0, len(data), every):
        with pytest.raises(CorruptStreamError):
            open_stream(data[:length], **options)  # type: ignore[arg-type]
    for at in range(len(data)):
        with pytest.raises(CalotypeError):
            open_stream(data[:at] + bytes([data[at] ^ 0x41]) + data[at + 1 :], **options)  # type: ignore[arg-type]
