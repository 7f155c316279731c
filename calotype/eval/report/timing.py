"""What a codec's rows say of time, memory and of its own promises, over all of its points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from calotype.eval.checks import check

Row = dict[str, Any]


def timing_of(rows: Sequence[Row], environment: Row) -> Row:
    """Means over rows, milliseconds a picture or a frame; absent what no row knows.

    {"encode_ms", "decode_ms", and with "_network", "_entropy" behind; "encode_mpx", "decode_mpx": megapixels a second;
    "peak_memory": bytes, the largest; "threads", "device": as the rows have them}
    """
    found: Row = {}
    for verb in ("encode", "decode"):
        for part, name in (("total", ""), ("network", "_network"), ("entropy", "_entropy")):
            some = [_seconds(row, verb, part) / _frames(row) for row in rows if _seconds(row, verb, part) is not None]
            if some:
                found[f"{verb}_ms{name}"] = 1000 * float(np.mean(some))
        timed = [row for row in rows if _seconds(row, verb, "total")]
        if timed:
            pixels = sum(row["width"] * row["height"] * _frames(row) for row in timed)
            found[f"{verb}_mpx"] = pixels / 1e6 / sum(_seconds(row, verb, "total") for row in timed)
    memory = [row["peak_memory"] for row in rows if row.get("peak_memory")]
    if memory:
        found["peak_memory"] = max(memory)
    for key in ("threads", "device"):
        some = dict.fromkeys(str(row.get(key, environment.get(key))) for row in rows)
        some.pop("None", None)
        if some:
            found[key] = ", ".join(some)
    return found


def checks_of(rows: Sequence[Row]) -> Row:
    """As `checks.check`, the worst cases as plain figures (or null)."""
    found = check(rows)
    return found | {key: found[key] and found[key]["value"] for key in ("over_percent", "over_bytes")}


def _seconds(row: Row, verb: str, part: str) -> float | None:
    return (row.get(f"{verb}_seconds") or {}).get(part)


def _frames(row: Row) -> int:
    return row.get("frames") or 1
