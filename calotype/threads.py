"""How many CPU threads this process computes with: ours, and torch's once it is imported."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from threading import Lock
from typing import TypeVar

Item, Result = TypeVar("Item"), TypeVar("Result")

_chosen: int | None = None
_sharing, _lock = 0, Lock()


@lru_cache
def _cores() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "")  # as torch has it
    return min(cores, int(asked) or cores) if asked.isdecimal() else cores


def count() -> int:
    """Threads of a parallel loop: as set, or one for each core that this process may use, OMP_NUM_THREADS at most; less where
    tasks share them."""
    return max((_chosen or _cores()) // max(_sharing, 1), 1)


@contextmanager
def sharing() -> Iterator[None]:
    """A task that computes beside others, on a thread of its own: while several do, each gets its share of the threads, of
    torch's too where it is imported; those are the thread's."""
    global _sharing  # noqa: PLW0603 (a process has one)
    with _lock:
        _sharing += 1
    if sys.modules.get("torch"):
        sys.modules["torch"].set_num_threads(count())
    try:
        yield
    finally:
        with _lock:
            _sharing -= 1


def side_by_side(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """work(item) of each, at once where there are threads for it."""
    if len(items) < 2 or count() == 1:
        return [work(item) for item in items]

    def shared(item: Item) -> Result:
        with sharing():
            return work(item)

    with ThreadPoolExecutor(min(len(items), count())) as pool:
        return list(pool.map(shared, items))


@contextmanager
def ahead(work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Callable[[Item], Result]]:
    """`work`, for who asks for items in their order: where there is a second thread, it has done the next ones by then."""
    if count() == 1:
        yield work
        return
    with ThreadPoolExecutor(1) as pool:
        jobs = {item: pool.submit(work, item) for item in items}
        try:
            yield lambda item: jobs[item].result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def set_count(threads: int | None) -> int | None:
    """Set it, None for one a core; returns what it was set to. torch follows where it is imported, else by `apply`."""
    global _chosen  # noqa: PLW0603 (a process has one)
    before, _chosen = _chosen, threads
    if sys.modules.get("torch"):
        apply()
    return before


def apply() -> None:
    """Give torch as many threads, where a number was set."""
    import torch

    if _chosen:
        torch.set_num_threads(_chosen)
