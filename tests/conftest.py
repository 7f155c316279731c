"""The suite runs one process a core (`-n auto`), so each computes on one thread.

With more, torch's threads spin while they wait for one another on cores that others have: the same work then takes several
times the CPU. Tests of several threads ask for them.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported, and for the processes that tests start
