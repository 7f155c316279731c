"""Contestants that take turns: how often each runs, on how many threads."""

from __future__ import annotations

import pytest
import torch

from calotype import threads
from calotype.eval import turns
from calotype.eval.turns import Contestant, spread, take_turns, thread_count


@pytest.fixture
def clock(monkeypatch):
    """A clock that only what is timed moves on: clock(seconds) -> a run that takes as long."""
    now = [0.0]

    def move(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(turns.time, "perf_counter", lambda: now[0])
    return lambda seconds: lambda: move(seconds)


def test_each_turn_goes_round_all_and_times_the_second_of_two_calls(clock):
    calls, steps = [], []

    def run(name: str, seconds: float):
        step = clock(seconds)
        return lambda: (calls.append(name), step())

    contestants = {"a": Contestant(run("a", 0.01)), "b": Contestant(run("b", 0.02))}
    found = take_turns(contestants, 3, progress=lambda *step: steps.append(step))
    assert "".join(calls) == "ab" + 3 * "aabb"
    assert found["a"].seconds == pytest.approx([0.01] * 3) and found["b"].seconds == pytest.approx([0.02] * 3)
    assert steps == [(1, 3), (2, 3), (3, 3)]


def test_what_takes_long_runs_fewer_times_but_once_at_least(clock):
    contestants = {"quick": Contestant(clock(0.1)), "slow": Contestant(clock(1)), "endless": Contestant(clock(100))}
    found = take_turns(contestants, 10, budget=6)
    assert [len(found[name].seconds) for name in contestants] == [10, 3, 1]


def test_every_contestant_has_its_own_threads_and_they_are_put_back():
    before, of_torch = threads.set_count(3), torch.get_num_threads()
    try:
        seen = {n: Contestant(lambda: (threads.count(), torch.get_num_threads()), n, lambda pair: pair) for n in (1, 2)}
        found = take_turns(seen, 2)
        assert found[1].kept == [(1, 1)] * 2 and found[2].kept == [(2, 2)] * 2
        assert threads.count() == 3 and torch.get_num_threads() == of_torch
        with pytest.raises(KeyError), thread_count(1):
            raise KeyError
        assert threads.count() == 3 and torch.get_num_threads() == of_torch
    finally:
        threads.set_count(before)
        torch.set_num_threads(of_torch)


def test_the_spread_is_in_milliseconds():
    assert spread([0.003, 0.001, 0.002]) == pytest.approx({"median_ms": 2, "min_ms": 1, "max_ms": 3})
