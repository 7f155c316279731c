"""What must hold of a codec's files whatever their quality: real bytes near the estimate, one reconstruction, one encoding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from calotype.eval.runs import Row

# real bytes may be off the estimate by 1 %, or by this many, which framing and coder states take
MAX_EXCESS, MAX_EXCESS_BYTES = 0.01, 64


def check(rows: Sequence[Row]) -> dict[str, Any]:
    """Real bytes against estimated ones, and the encoder's reconstruction against the decoder's picture.

    over_bytes, over_percent: the row with the largest |real - estimated| by each measure ({"source", "point",
    "value"}), null without estimates; outside: rows beyond both bounds; differing_pixels: sum, null where no row knows;
    unrepeatable: rows whose second encoding gave other bytes, of the `repeated` that were encoded twice.
    """

    def worst(excess: Callable[[Row], float]) -> dict[str, Any] | None:
        row = max(estimated, key=lambda row: abs(excess(row)), default=None)
        return row and {"source": row["source"], "point": row["point"], "value": excess(row)}

    estimated = [row for row in rows if row.get("estimated_bits")]
    compared = [row["differing_pixels"] for row in rows if row.get("differing_pixels") is not None]
    repeated = [row["repeatable"] for row in rows if row.get("repeatable") is not None]
    return {
        "rows": len(rows),
        "estimated": len(estimated),
        "over_bytes": worst(_over_bytes),
        "over_percent": worst(_over_percent),
        "outside": sum(
            abs(_over_bytes(row)) > MAX_EXCESS_BYTES and abs(_over_percent(row)) > 100 * MAX_EXCESS for row in estimated
        ),
        "compared": len(compared),
        "differing_pixels": sum(compared) if compared else None,
        "repeated": len(repeated),
        "unrepeatable": sum(not same for same in repeated),
    }


def _over_bytes(row: Row) -> float:
    return row["bytes"] - row["estimated_bits"] / 8


def _over_percent(row: Row) -> float:
    return 100 * (8 * row["bytes"] / row["estimated_bits"] - 1)
