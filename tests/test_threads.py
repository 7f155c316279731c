"""Threads: tasks side by side share them, and give what they give one after the other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from threading import Barrier, Event

import pytest

from calotype import threads


@pytest.fixture
def four() -> Iterator[None]:
    before = threads.set_count(4)
    yield
    threads.set_count(before)


@pytest.mark.parametrize(("asked", "count"), [("", 6), ("1", 1), ("4", 4), ("9", 6), ("0", 6), ("2,1", 6)])
def test_the_environment_may_ask_for_fewer_than_there_are_cores(monkeypatch, asked: str, count: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(6)), raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert threads._cores.__wrapped__() == count


def test_tasks_side_by_side_share_the_threads(four: None) -> None:
    with threads.sharing():
        assert threads.count() == 4
        with threads.sharing(), threads.sharing():
            assert threads.count() == 1
    assert threads.count() == 4


def test_work_side_by_side_comes_in_order_and_is_at_once(four: None) -> None:
    meeting = Barrier(3, timeout=20)

    def work(item: int) -> tuple[int, int]:
        meeting.wait()
        count = threads.count()
        meeting.wait()
        return item, count

    assert threads.side_by_side(work, [1, 2, 3]) == [(1, 1), (2, 1), (3, 1)]
    assert threads.count() == 4


def test_an_error_of_work_side_by_side_is_raised(four: None) -> None:
    with pytest.raises(ZeroDivisionError):
        threads.side_by_side(lambda item: 1 // item, [1, 0, 2])


def test_work_ahead_is_done_before_it_is_asked_for_and_its_errors_are_raised(four: None) -> None:
    done = Event()

    def work(item: int) -> int:
        if item == 2:
            done.set()
        return 6 // item

    with threads.ahead(work, [1, 2, 0, 3]) as soon:
        assert done.wait(20) and [soon(1), soon(2)] == [6, 3]
        with pytest.raises(ZeroDivisionError):
            soon(0)
        assert soon(3) == 2


def test_one_thread_does_one_after_the_other() -> None:
    before, done = threads.set_count(1), []
    try:
        assert threads.side_by_side(lambda item: done.append(item) or list(done), [1, 2]) == [[1], [1, 2]]
        with threads.ahead(done.append, [3, 4]) as soon:
            assert len(done) == 2
            soon(3)
            assert done == [1, 2, 3]
    finally:
        threads.set_count(before)
