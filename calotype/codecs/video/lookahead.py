"""Frames decoded side by side, as far as the structure lets them: each as soon as those that it refers to are there.

    coded   8     4     2     1     3     6     5 ...        with two at once   8 | 4 | 2 | 1 3 | 6 | 5 7
    refers  0     0 8   0 4   0 2   2 4   4 8   4 6
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from ... import threads

Item = TypeVar("Item")
Result = TypeVar("Result")
MOST = 8  # begun and not given yet: each holds a frame's activations


class Lookahead(Generic[Item, Result]):
    """Begins items in their order, some ahead, and gives them with what became of them in that order."""

    def __init__(self, ahead: bool) -> None:
        """ahead: False where each item is to be given before the next one is read, as from a pipe."""
        self._depth = min(threads.count() + 1, MOST) if ahead and threads.count() > 1 else 1

    def run(self, items: Iterator[Item], begin: Callable[[Item], Callable[[], Result]]) -> Iterator[tuple[Item, Result]]:
        """begin(item) says what there is to do, and is called in order; what it returns runs beside the others', and may wait
        for what earlier ones returned. An exception is raised after all that comes before it."""
        if self._depth == 1:
            for item in items:
                yield item, begin(item)()
            return
        pool, begun = ThreadPoolExecutor(self._depth, "calotype-frame"), deque[tuple[Item, Future[Result]]]()
        try:
            error = None
            while error is None:
                try:
                    item = next(items)
                    begun.append((item, pool.submit(begin(item))))
                except Exception as found:  # noqa: BLE001 (raised below, StopIteration apart)
                    error = found
                while begun and (error is not None or len(begun) == self._depth):
                    first, future = begun.popleft()
                    yield first, future.result()
            if not isinstance(error, StopIteration):
                raise error
        finally:
            pool.shutdown()
