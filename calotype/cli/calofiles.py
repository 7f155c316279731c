"""Reading .calo files from paths and pipes, without taking a wrong file into memory."""

from __future__ import annotations

import sys
from pathlib import Path

from ..codecs.header import MAGIC, check_magic
from ..codecs.limits import Limits
from ..errors import LimitError, UsageError


def read_file(source: Path | None, limits: Limits | None = None) -> bytes:
    """The bytes of a .calo file; None: standard input.

    Raises UsageError (missing, a directory), CorruptStreamError (not a .calo file), LimitError (longer than the limit
    max_bytes allows any chunk to be, where `limits` are given).
    """
    if source is None:
        return _bounded(sys.stdin.buffer.read(-1 if limits is None else limits.max_bytes + 1), limits)
    if source.is_dir():
        raise UsageError(f"{source} is a directory; give a file in it")
    try:
        with source.open("rb") as stream:
            start = stream.read(4096)
            if not start.startswith(MAGIC):
                check_magic(memoryview(start))
            return _bounded(start + stream.read(-1 if limits is None else limits.max_bytes + 1), limits)
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"there is no file {source}; check the name") from None
    except PermissionError:
        raise UsageError(f"{source} may not be read; check its permissions") from None


def _bounded(data: bytes, limits: Limits | None) -> bytes:
    if limits is not None and len(data) > limits.max_bytes:
        raise LimitError(
            f"the file is longer than the limit max_bytes={limits.max_bytes}; if you trust it, raise --max-bytes"
        )
    return data
