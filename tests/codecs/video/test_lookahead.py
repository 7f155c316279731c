"""Frames that are begun ahead: in order, bounded, and nothing lost before an error."""

from __future__ import annotations

import threading

import pytest

from calotype import threads
from calotype.codecs.video.lookahead import MOST, Lookahead


@pytest.fixture(params=[1, 2, 4])
def several(request):
    before = threads.set_count(request.param)
    yield request.param
    threads.set_count(before)


def test_results_come_in_order_whatever_ends_first(several):
    begun, second = [], threading.Event()

    def begin(item):
        begun.append(item)

        def do():
            if item == 0 and several > 1:
                assert second.wait(10)
            if item == 1:
                second.set()
            return item * item

        return do

    assert list(Lookahead(True).run(iter(range(9)), begin)) == [(n, n * n) for n in range(9)]
    assert begun == list(range(9))


def test_an_error_comes_after_all_before_it(several):
    def failing(item):
        def do():
            if item == 3:
                raise ValueError("the fourth")
            return item

        return do

    given = []
    with pytest.raises(ValueError, match="the fourth"):
        for item, _ in Lookahead(True).run(iter(range(9)), failing):
            given.append(item)
    assert given == [0, 1, 2]


def test_a_source_that_breaks_gives_what_was_read_before(several):
    def source():
        yield from range(3)
        raise ValueError("cut")

    given = []
    with pytest.raises(ValueError, match="cut"):
        for item, _ in Lookahead(True).run(source(), lambda item: lambda: item):
            given.append(item)
    assert given == [0, 1, 2]


def test_a_bounded_number_is_begun_and_not_given_whatever_the_threads():
    before, begun = threads.set_count(100), []
    try:
        for item, _ in Lookahead(True).run(iter(range(40)), lambda item: begun.append(item) or (lambda: item)):
            assert len(begun) - item <= MOST
    finally:
        threads.set_count(before)
    assert len(begun) == 40


def test_without_looking_ahead_each_is_given_before_the_next_is_read(several):
    read = []

    def source():
        for n in range(3):
            read.append(n)
            yield n

    for item, _ in Lookahead(False).run(source(), lambda item: lambda: None):
        assert read[-1] == item
