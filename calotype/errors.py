"""Typed errors. Every message says what went wrong and what to do; `exit_code` is what the command line returns for it."""

from __future__ import annotations


class CalotypeError(Exception):
    """Base of every error that Calotype raises on purpose (exit code 1)."""

    exit_code = 1


class UsageError(CalotypeError):
    """The call or the command line asks for something that makes no sense (exit code 2)."""

    exit_code = 2


class CorruptStreamError(CalotypeError):
    """The bytes are not a whole, undamaged Calotype stream (exit code 3)."""

    exit_code = 3


class DesyncError(CorruptStreamError):
    """Every checksum is right but the symbols are not the encoder's: the decoder, not the file, is at fault (exit code 3)."""


class LimitError(CalotypeError):
    """Decoding would pass a declared limit on size or memory (exit code 4)."""

    exit_code = 4


class ModelError(CalotypeError):
    """The model that a stream names is missing, damaged or not the one it was made with (exit code 5)."""

    exit_code = 5
