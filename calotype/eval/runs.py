"""A run of measurements: one JSON file, written whole after every step, so that it can be stopped and resumed.

    {"format": 1, "codec": {...}, "environment": {...}, "conventions": {...}, "commands": [...],
     "rows": [{"picture", "quality", "sha256", "bytes", ...}, ...],
     "failures": [{"picture", "quality" (absent: at every one), "error"}, ...], "summary": {...}}
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from calotype.atomic import write_bytes
from calotype.errors import UsageError

FORMAT = 1

Row = dict[str, Any]
Run = dict[str, Any]


def start_run(
    codec: dict[str, str],
    environment: dict[str, str | int],
    conventions: dict[str, str],
    command: str,
    out: Path | None = None,
) -> Run:
    """An empty run, or that of the file `out` without its failures and summary, the command added to its commands.

    Raises UsageError where `out` is no run, is one of another codec, environment or convention, or cannot be written.
    """
    fresh: Run = {
        "format": FORMAT,
        "codec": codec,
        "environment": environment,
        "conventions": conventions,
        "commands": [command],
        "rows": [],
        "failures": [],
        "summary": {},
    }
    if out is None:
        return fresh
    if not out.exists():
        write_run(out, fresh)  # a place that cannot be written is noticed before the work, not after it
        return fresh
    old = read_run(out)
    for part in ("codec", "environment", "conventions"):
        for key in sorted({*old[part], *fresh[part]}):
            was, now = old[part].get(key), fresh[part].get(key)
            if was != now:
                raise UsageError(
                    f"{out} holds a run with {key} '{was}', now it is '{now}': its rows cannot be mixed with new ones; "
                    "give another --out, or remove it"
                )
    return {**fresh, "rows": old["rows"], "commands": [*old["commands"], command]}


def read_run(path: Path) -> Run:
    """A run's file. Raises UsageError where it is none, or of another format."""
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
        whole = run["format"] == FORMAT and all(
            isinstance(run[key], kind)
            for key, kind in (("codec", dict), ("environment", dict), ("conventions", dict), ("commands", list))
        )
        whole = whole and all({"picture", "quality", "sha256", "bytes"} <= row.keys() for row in run["rows"])
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise UsageError(f"{path} is not a run of `calotype eval` of format {FORMAT}; give another --out, or remove it")
    return run


def write_run(path: Path, run: Run) -> None:
    """Replace the file atomically. Raises UsageError or CalotypeError where that fails."""
    write_bytes(path, (json.dumps(run, indent=1, allow_nan=False) + "\n").encode())
