"""The suite runs one process a core (`-n auto`), so each computes on one thread.

With more, threads (torch's and those of the kernels) spin while they wait for one another on cores that others have: the same
work then takes several times the CPU. Tests of several threads ask for them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from calotype import threads

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported, and for the processes that tests start

ROOT = Path(__file__).parents[1]


def pytest_sessionstart(session: pytest.Session) -> None:
    """Before the whole suite, kernels that are not on disk yet are compiled once, shared out by size among as many processes
    as there will be workers: these would compile the same ones at the same time."""
    config = session.config
    workers = getattr(config.option, "numprocesses", None) or 0
    if hasattr(config, "workerinput") or workers < 2 or config.args_source is not config.ArgsSource.TESTPATHS:
        return
    files = sorted(ROOT.glob("calotype/**/*kernel*.py"), key=lambda path: -path.stat().st_size)
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files]
    shares = [f"import {', '.join(names[k::workers])}" for k in range(min(workers, len(names)))]
    compilers = [subprocess.Popen([sys.executable, "-c", share], cwd=ROOT) for share in shares]
    for compiler in compilers:
        compiler.wait()  # what fails to compile fails in its tests


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """What the tests before asked for is over. None is no number: torch would keep theirs."""
    threads.set_count(1)
