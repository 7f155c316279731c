"""Threads that share the rows of one layer after the other.

A pool's thread sleeps between two layers, and waking it takes 0.1 to 0.3 ms here, as long as many a layer. These wait in a
loop for a while (a millisecond, more than entropy decoding takes between two steps) before they sleep.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ...entropy.jit import kernel

Run = Callable[[int, int], None]  # of parts start to end
IDLE_SPINS, DELAY = 400_000, 4_000  # looks at a flag: about 1 ms, and the 10 us in which who posts a job lets the GIL go


@intrinsic
def _now(typing, flags, index):  # noqa: ANN001, ANN202
    """flags[index] as it is in memory at this moment."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.load_atomic(builder.gep(data, [args[1]]), "acquire", 8, typ=ir.IntType(64))

    return types.int64(flags, types.intp), codegen


@kernel("boolean(int64[::1], int64, int64, int64, int64)")
def _reached(flags, index, value, spins, delay):
    """Look up to `spins` times whether flags[index] >= value, and go on for `delay` looks once it is."""
    for _ in range(spins):
        if _now(flags, index) >= value:
            for _ in range(delay):
                _now(flags, index)
            return True
    return False


class _Helper(threading.Thread):
    """One thread beside the caller's; `flags` holds the numbers of the last job posted and of the last one done."""

    def __init__(self) -> None:
        super().__init__(name="calotype", daemon=True)
        self.flags = np.zeros(2, np.int64)
        self.job: tuple[Run, int, int] | None = None
        self.error: BaseException | None = None
        self._asleep, self._wake = False, threading.Event()
        self.start()

    def post(self, job: tuple[Run, int, int]) -> None:
        self.job = job
        self.flags[0] += 1
        if self._asleep:
            self._wake.set()

    def wait(self) -> BaseException | None:
        """Until the job is done; what it raised."""
        while not _reached(self.flags, 1, self.flags[0], IDLE_SPINS, 0):
            pass
        error, self.error, self.job = self.error, None, None
        return error

    def run(self) -> None:
        number = 1
        while True:
            if not _reached(self.flags, 0, number, IDLE_SPINS, DELAY):
                self._asleep = True
                if self.flags[0] < number:
                    self._wake.wait()
                self._asleep = False
                self._wake.clear()
                if self.flags[0] < number:
                    continue
            assert self.job is not None
            function, start, end = self.job
            try:
                function(start, end)
            except BaseException as error:  # noqa: BLE001 (it is raised where the job came from)
                self.error = error
            self.flags[1] = number
            number += 1


class Team:
    """The calling thread and `helpers` more."""

    def __init__(self, helpers: int):
        self._helpers = [_Helper() for _ in range(helpers)]
        self._lock = threading.Lock()

    def run(self, function: Run, ends: list[int]) -> None:
        """function(start, end) over consecutive parts that end at `ends`, one a thread; alone while others use the team."""
        if not self._lock.acquire(blocking=False):
            function(0, ends[-1])
            return
        try:
            busy = self._helpers[: len(ends) - 1]
            for helper, start, end in zip(busy, ends, ends[1:], strict=False):
                helper.post((function, start, end))
            try:
                function(0, ends[0])
            finally:
                errors = [helper.wait() for helper in busy]  # all of them, or the next job would meet this one
            for error in errors:
                if error is not None:
                    raise error
        finally:
            self._lock.release()


@lru_cache
def team(helpers: int) -> Team:
    """The one team of that size in this process."""
    return Team(helpers)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=team.cache_clear)  # threads do not come along
