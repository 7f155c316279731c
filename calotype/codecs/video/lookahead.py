"""Frames coded or decoded side by side, as far as the structure lets them: each as soon as those that it refers to are there.

    coded   8     4     2     1     3     6     5 ...        with two at once   8 | 4 | 2 | 1 3 | 6 | 5 7
    refers  0     0 8   0 4   0 2   2 4   4 8   4 6
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from ... import threads

Item = TypeVar("Item")
Result = TypeVar("Result")
MOST = 8  # begun and not given yet, at most: each holds a frame's pictures


class Lookahead(Generic[Item, Result]):
    """Begins items in their order, some ahead, and gives them with what became of them in that order."""

    def __init__(self, ahead: bool, spare: int = 1, depth: int | None = None) -> None:
        """ahead: False where each item is to be given before the next one is read, as from a pipe. spare: how many more than
        there are threads run at once, as some wait. depth: how many are begun and not given yet, up to MOST; by default as many
        as run at once."""
        workers = min(threads.count() + spare, MOST) if threads.count() > 1 else 1
        self._workers, self._depth = workers, min(depth or workers, MOST) if ahead else 1

    def run(self, items: Iterator[Item], begin: Callable[[Item], Callable[[], Result]]) -> Iterator[tuple[Item, Result]]:
        """begin(item) says what there is to do, and is called in order; what it returns runs beside the others', and may
        wait for what earlier ones returned. An exception is raised after all that comes before it."""
        if self._depth == 1:
            for item in items:
                yield item, begin(item)()
            return
        pool, begun = ThreadPoolExecutor(self._workers, "calotype-frame"), deque[tuple[Item, Future[Result]]]()
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
            pool.shutdown(cancel_futures=True)


class Held(Generic[Result]):
    """What came of the frames that later ones refer to, or what will come of them: kept until dropped."""

    def __init__(self) -> None:
        self._held: dict[int, Future[Result]] = {}

    def clear(self) -> None:
        """Drop all: an intra frame comes."""
        self._held.clear()

    def task(
        self, number: int, references: Iterable[int], drop: Iterable[int], work: Callable[[Sequence[Result]], Result]
    ) -> Callable[[], Result]:
        """What waits for the references' results and does a frame's work on them; to be asked for in the order of coding."""
        found, future = [self._held[reference] for reference in references], Future[Result]()
        self._held[number] = future
        for dropped in drop:
            self._held.pop(dropped, None)

        def run() -> Result:
            try:
                future.set_result(work([reference.result() for reference in found]))
            except BaseException as error:
                future.set_exception(error)
                raise
            return future.result()

        return run
