"""Threads that share layers: every part runs once, whoever calls, and what fails is said to the caller."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calotype.models.integer.team import team


@settings(max_examples=50, deadline=None)
@given(parts=st.integers(2, 5), size=st.integers(5, 40), pauses=st.lists(st.booleans(), max_size=3))
def test_every_part_runs_once_after_any_pause(parts, size, pauses) -> None:
    for pause in [False, *pauses]:
        if pause:
            time.sleep(0.004)  # helpers have gone to sleep
        seen = np.zeros(size, int)

        def count(start: int, end: int, seen: np.ndarray = seen) -> None:
            seen[start:end] += 1

        team(parts - 1).run(count, [size * (k + 1) // parts for k in range(parts)])
        assert (seen == 1).all()


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_what_a_part_raises_reaches_the_caller_and_the_team_goes_on(failing) -> None:
    def fail(start: int, end: int) -> None:
        if start == failing:
            raise KeyError(start)

    with pytest.raises(KeyError):
        team(2).run(fail, [1, 2, 3])
    seen: list[int] = []
    team(2).run(lambda start, end: seen.append(start), [1, 2, 3])
    assert sorted(seen) == [0, 1, 2]


def test_callers_at_the_same_time_all_get_their_work_done() -> None:
    totals = [0] * 4

    def caller(number: int) -> None:
        for _ in range(200):
            done = np.zeros(6, int)

            def mark(start: int, end: int, done: np.ndarray = done) -> None:
                done[start:end] += 1

            team(1).run(mark, [3, 6])
            totals[number] += int(done.sum())

    callers = [threading.Thread(target=caller, args=(k,)) for k in range(4)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join()
    assert totals == [1200] * 4


def _in_child(queue) -> None:
    seen: list[int] = []
    team(1).run(lambda start, end: seen.append(start), [1, 2])
    queue.put(sorted(seen))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_has_a_team_of_its_own() -> None:
    team(1).run(lambda start, end: None, [1, 2])
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_in_child, args=(queue,))
    child.start()
    assert queue.get(timeout=60) == [0, 1]
    child.join()
