"""Figures of whole sets (`metrics.sets`) in a run of `calotype eval`, of the decoded pictures that it kept."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from calotype.eval.frames import PICTURE, Frames
from calotype.eval.metrics.sets import Shown, find_sets, measure_sets
from calotype.eval.runs import Run, rows_of


def set_figures(run: Run, names: Sequence[str] | None, sources: Sequence[Frames], folder: Path) -> list[dict[str, Any]]:
    """The run's "sets": figures of those names for each codec and point whose pictures are all kept in `folder`, and whose
    sources are all among `sources`."""
    known = {source.name: partial(_first, source) for source in sources if source.kind == PICTURE}
    sets: dict[tuple[str, float], dict[str, Shown]] = {}
    for label in run["codecs"]:
        rows = rows_of(run, label)
        for point in sorted({row["point"] for row in rows}):
            here = {row["source"]: row.get("picture") for row in rows if row["point"] == point}
            if all(name in known and kept for name, kept in here.items()):
                sets[label, point] = {name: partial(_read, folder / kept) for name, kept in here.items()}
    found = measure_sets(find_sets(names)[0], known, sets)
    return [
        {"codec": label, "point": point, "sources": len(sets[label, point]), "metrics": values}
        for (label, point), values in found.items()
        if values
    ]


def _first(source: Frames) -> np.ndarray:
    return next(iter(source.frames()))


def _read(path: Path) -> np.ndarray:
    from calotype.codecs.pictures import read_picture

    return read_picture(path).pixels
