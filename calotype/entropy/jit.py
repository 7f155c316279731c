"""How the kernels are compiled: eagerly, for one explicit signature each, cached on disk where there is a place to
write.

Import this module (and the kernel modules) only at the first use: importing numba takes a third of a second.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def kernel(signature: str, inline: bool = False, tag: str = "") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator: compile a function of integers and C-contiguous arrays to machine code that releases the GIL.

    `inline` marks a small function that only other kernels call; LLVM then inlines it. `tag` becomes part of its name: numba
    keeps what it compiled by name and by the age of the one file the function is in, so a kernel that is made of other files
    too needs their digest here.
    """
    options: dict[str, Any] = {"nogil": True, "no_cfunc_wrapper": True, "error_model": "numpy", "boundscheck": False}
    if inline:
        options["forceinline"] = True

    def compile_(function: Callable[..., Any]) -> Callable[..., Any]:
        if tag:
            function.__qualname__ = f"{function.__qualname__}_{tag}"
        try:
            return numba.njit(signature, cache=True, **options)(function)
        except (RuntimeError, OSError):
            # No cache directory is writable (read-only install and home) or the disk is full: compile for this
            # process alone.
            return numba.njit(signature, **options)(function)

    return compile_
