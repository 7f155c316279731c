"""A run of measurements: one JSON file, written whole after every source, so that it can be stopped and resumed.

    {"format": 2, "environment": {...}, "conventions": {metric or "rate" or "timing": sentence}, "notes": {metric: why n/a},
     "commands": [...], "dataset": {"name", "misfits": [...]}, "codecs": {label: identity}, "rows": [row, ...],
     "failures": [{"source", "codec" and "point" where it concerns one, "error"}, ...]}

A row: codec (a label), source, kind ("picture" or "clip"), sha256 (of the samples), width, height, frames, fps, point (of
the codec's own dial), bytes, bpp (bits per pixel and frame), kbps (clips), estimated_bits, metrics {name: figure or null},
encode_seconds and decode_seconds ({"total", and by part where the codec says}), peak_memory (bytes), differing_pixels
(encoder's reconstruction against the decoder's picture), repeatable (a second encoding gave the same bytes), picture (a
decoded PNG beside the run, where kept); null where not known.

"sets", where pictures were kept and figures of whole sets asked for: [{"codec", "point", "sources" (how many), "metrics"}].
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from calotype.atomic import write_bytes
from calotype.errors import UsageError
from calotype.eval.bdrate import Curve

FORMAT = 2
ROW_KEYS = {"codec", "source", "kind", "sha256", "width", "height", "frames", "point", "bytes", "bpp", "metrics"}

Row = dict[str, Any]
Run = dict[str, Any]


def start_run(
    environment: dict[str, str | int],
    conventions: dict[str, str],
    codecs: dict[str, dict[str, Any]],
    dataset: dict[str, Any],
    command: str,
    out: Path | None = None,
) -> Run:
    """An empty run, or that of the file `out` without its failures, the command added to its commands.

    Raises UsageError where `out` is no run, has another environment, convention or codec of the same label, or cannot
    be written.
    """
    fresh: Run = {
        "format": FORMAT,
        "environment": environment,
        "conventions": conventions,
        "notes": {},
        "commands": [command],
        "dataset": dataset,
        "codecs": codecs,
        "rows": [],
        "failures": [],
    }
    if out is None:
        return fresh
    if not out.exists():
        write_run(out, fresh)  # a place that cannot be written is noticed before the work, not after it
        return fresh
    old = read_run(out)
    for part in ("environment", "conventions", "codecs"):
        for key in sorted(old[part].keys() & fresh[part].keys()):
            was, now = old[part][key], fresh[part][key]
            if was != now:
                raise UsageError(
                    f"{out} holds a run with {key} '{was}', now it is '{now}': its rows cannot be mixed with new ones; "
                    "give another --out, or remove it"
                )
    merged = {part: old[part] | fresh[part] for part in ("conventions", "codecs")}
    return {**fresh, **merged, "notes": old["notes"], "rows": old["rows"], "commands": [*old["commands"], command]}


def read_run(path: Path) -> Run:
    """A run's file. Raises UsageError where it is none, or of another format."""
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
        parts = (("environment", dict), ("conventions", dict), ("codecs", dict), ("dataset", dict), ("notes", dict))
        whole = run["format"] == FORMAT and all(isinstance(run[key], kind) for key, kind in parts)
        whole = whole and all(isinstance(run[key], list) for key in ("commands", "rows", "failures"))
        whole = whole and all(row.keys() >= ROW_KEYS and row["codec"] in run["codecs"] for row in run["rows"])
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


def rows_of(run: Run, label: str, sources: Sequence[str] | None = None) -> list[Row]:
    """Rows of one codec, of those sources (all) that have a row at each of its points."""
    rows = [row for row in run["rows"] if row["codec"] == label and (sources is None or row["source"] in sources)]
    points = {row["point"] for row in rows}
    found: dict[str, set[float]] = {}
    for row in rows:
        found.setdefault(row["source"], set()).add(row["point"])
    return [row for row in rows if found[row["source"]] == points]


def averaged(run: Run, label: str, sources: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """One record a point, in rising rate: means over sources of "bpp", "kbps", each metric, "estimated_bpp",
    "encode_seconds" and "decode_seconds" (totals), with "point" and "sources" (how many); null where any value is. Of all
    sources also the figures of the whole set.
    """
    of_sets = {s["point"]: s for s in run.get("sets", ()) if s["codec"] == label}
    by_point: dict[float, list[Row]] = {}
    for row in rows_of(run, label, sources):
        by_point.setdefault(row["point"], []).append(row)
    records = []
    for point, rows in by_point.items():
        names = sorted({name for row in rows for name in row["metrics"]})
        whole = of_sets.get(point, {"sources": -1, "metrics": {}})
        records.append(
            {
                "point": point,
                "sources": len(rows),
                "bpp": _mean([row["bpp"] for row in rows]),
                "kbps": _mean([row.get("kbps") for row in rows]),
                "estimated_bpp": _mean([_estimated_bpp(row) for row in rows]),
                "encode_seconds": _mean([row["encode_seconds"]["total"] for row in rows]),
                "decode_seconds": _mean([row["decode_seconds"]["total"] for row in rows]),
                "metrics": {name: _mean([row["metrics"].get(name) for row in rows]) for name in names}
                | (whole["metrics"] if whole["sources"] == len(rows) else {}),
            }
        )
    return sorted(records, key=lambda record: record["bpp"])


def _estimated_bpp(row: Row) -> float | None:
    bits = row["estimated_bits"]
    return None if bits is None else bits / (row["width"] * row["height"] * row["frames"])


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known and len(known) == len(values) else None


def curve(run: Run, label: str, metric: str = "psnr_rgb", sources: Sequence[str] | None = None) -> Curve:
    """The averaged rate-distortion curve of one codec; points without the metric (lossless, or not measured) are left out."""
    points = [(r["bpp"], r["metrics"].get(metric)) for r in averaged(run, label, sources)]
    kept = [(rate, value) for rate, value in points if value is not None]
    return Curve(label, [rate for rate, _ in kept], [value for _, value in kept])
