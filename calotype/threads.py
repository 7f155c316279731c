"""How many CPU threads this process computes with: ours, and torch's once it is imported."""

from __future__ import annotations

import os
import sys
from functools import lru_cache

_chosen: int | None = None


@lru_cache
def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def count() -> int:
    """Threads of a parallel loop: as set, or one for each core that this process may use."""
    return _chosen or _cores()


def set_count(threads: int | None) -> int | None:
    """Set it, None for one a core; returns what it was set to. torch follows where it is imported, else by `apply`."""
    global _chosen  # noqa: PLW0603 (a process has one)
    before, _chosen = _chosen, threads
    if "torch" in sys.modules:
        apply()
    return before


def apply() -> None:
    """Give torch as many threads, where a number was set."""
    import torch

    if _chosen:
        torch.set_num_threads(_chosen)
