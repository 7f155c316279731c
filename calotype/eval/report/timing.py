"""What a codec's rows say of time, memory and of its own promises, over all of its points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

# real bytes may be off the estimate by 1 %, or by this many, which framing and coder states take
MAX_EXCESS, MAX_EXCESS_BYTES = 0.01, 64

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
    """Real bytes against the estimate, the encoder's reconstruction against the decoder's, one encoding against another.

    {"estimated": rows with an estimate, "over_percent", "over_bytes": the excess that is largest by its size, or null,
    "outside": rows beyond both 1 % and 64 bytes, "compared", "differing_pixels": sum | null, "repeated", "unrepeatable"}
    """
    estimated = [row for row in rows if row.get("estimated_bits")]
    compared = [row["differing_pixels"] for row in rows if row.get("differing_pixels") is not None]
    repeated = [row["repeatable"] for row in rows if row.get("repeatable") is not None]

    def worst(excess: Callable[[Row], float]) -> float | None:
        return max(map(excess, estimated), key=abs, default=None)

    return {
        "rows": len(rows),
        "estimated": len(estimated),
        "over_percent": worst(_over_percent),
        "over_bytes": worst(_over_bytes),
        "outside": sum(
            abs(_over_bytes(row)) > MAX_EXCESS_BYTES and abs(_over_percent(row)) > 100 * MAX_EXCESS for row in estimated
        ),
        "compared": len(compared),
        "differing_pixels": sum(compared) if compared else None,
        "repeated": len(repeated),
        "unrepeatable": sum(not same for same in repeated),
    }


def _seconds(row: Row, verb: str, part: str) -> float | None:
    return (row.get(f"{verb}_seconds") or {}).get(part)


def _frames(row: Row) -> int:
    return row.get("frames") or 1


def _over_bytes(row: Row) -> float:
    return row["bytes"] - row["estimated_bits"] / 8


def _over_percent(row: Row) -> float:
    return 100 * (8 * row["bytes"] / row["estimated_bits"] - 1)
