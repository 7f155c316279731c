"""Timing of several contestants in one run: repeats go round them in turn, so that a busy moment falls on no one alone."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch

from calotype import threads

REST = 0.25  # seconds before each contestant: threads of the one before may wait busily for 0.2 (OpenMP's default)
LONG = 1.0  # seconds of a call that caches and another's spinning threads do not matter to


class Contestant(NamedTuple):
    """run(): what is timed; threads: of ours and of torch's meanwhile; keep(result): what to remember of a timed run."""

    run: Callable[[], Any]
    threads: int = 1
    keep: Callable[[Any], Any] = lambda result: None


class Turns(NamedTuple):
    """Seconds of each timed run, and what was kept of it."""

    seconds: list[float]
    kept: list[Any]


def take_turns(
    contestants: Mapping[str, Contestant],
    runs: int,
    budget: float = 6.0,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Turns]:
    """Time each contestant `runs` times, fewer where that takes more than `budget` seconds of it, but once at least.

    After a rest, the second of two calls in a row is timed: the first brings the contestant's data into the caches and wakes
    its threads. progress(done, runs) after each turn.
    """
    found = {name: Turns([], []) for name in contestants}
    counts, alone = {}, set()
    with thread_count(None):
        for name, contestant in contestants.items():
            threads.set_count(contestant.threads)
            took = _timed(contestant)[0]
            counts[name] = max(1, min(runs, int(budget / (2 * took))))
            if took > LONG:
                alone.add(name)
        for turn in range(runs):
            for name, contestant in contestants.items():
                if (turn + 1) * counts[name] // runs == turn * counts[name] // runs:
                    continue
                threads.set_count(contestant.threads)
                if name not in alone:
                    time.sleep(REST)
                    contestant.run()
                seconds, kept = _timed(contestant)
                found[name].seconds.append(seconds)
                found[name].kept.append(kept)
            if progress:
                progress(turn + 1, runs)
    return found


def _timed(contestant: Contestant) -> tuple[float, Any]:
    start = time.perf_counter()
    result = contestant.run()
    return time.perf_counter() - start, contestant.keep(result)


@contextmanager
def thread_count(count: int | None) -> Iterator[None]:
    """Our threads and torch's set to `count` (None: ours one a core, torch's as they are), and put back at the end."""
    of_torch, ours = torch.get_num_threads(), threads.set_count(count)
    try:
        yield
    finally:
        threads.set_count(ours)
        torch.set_num_threads(of_torch)


def spread(seconds: list[float]) -> dict[str, float]:
    """Median, minimum and maximum in ms."""
    values = {"median_ms": statistics.median(seconds), "min_ms": min(seconds), "max_ms": max(seconds)}
    return {name: 1e3 * value for name, value in values.items()}
