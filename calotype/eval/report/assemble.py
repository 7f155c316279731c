"""Runs and published curves become one plain structure, from which every form of the report is written.

    {"format": 1, "title", "command", "version", "kind": "picture" | "clip", "anchor": label, "metric": name,
     "dataset": {"names": [...], "sources": {name: {"width", "height", "frames", "fps"}}, "misfits": [...]},
     "metrics": [{"name", "label", "axis", "scale", "convention"}], "unavailable": {metric: why},
     "codecs": [{"label", "published", "ours", "style", "identity", "parameters", "kmac_per_pixel", "sources",
                 "points": [...], "timing": {...}, "checks": {...} | null, "notes": {...}}],
     "rows": {label: {source: [{"point", "bpp", "bytes", "kbps", metric: value}]}},
     "bd": {metric: {anchor: {test: entry}}}, "conventions": {...}, "runs": [...], "failures": [...], "warnings": [...],
     "crops": []}

Values of a metric in points and rows are those of its axis (`bdrate.scale_of`: MS-SSIM in dB). An averaged point has the
mean of the plain figure over the sources, put on the axis afterwards, as published curves have. An entry of "bd" is
{"basis": "sources" | "average", "rate" (percent), "akima", "gain" (on the axis), "interval": [low, high] | null, "count",
"share", "span", "averaged", "per_source", "left_out", "overlap_warning", "warnings" (that one too)}, or {"basis",
"refused": why}.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from calotype import __version__
from calotype.errors import UsageError
from calotype.eval.bdrate import CONFIDENCE, RESAMPLES, SEED, Curve, CurveError, compare, compare_sources, scale_of
from calotype.eval.datasets import KNOWN
from calotype.eval.report.inputs import Published, Run
from calotype.eval.report.labels import axis_of, in_order, label_of
from calotype.eval.report.timing import checks_of, timing_of

FORMAT = 1
OURS = "calotype"  # what our codecs' identity says
BD_RATE = (
    "BD-rate: percent of rate at equal quality, negative is less; PCHIP on log-rate over the common range, Akima beside it. "
    "Two measured codecs: the mean over sources of each one's BD-rate, with its "
    f"{CONFIDENCE:.0%} interval by bootstrap over the sources ({RESAMPLES} resamples, seed {SEED}). "
    "Against a published curve: one BD-rate of the averaged curves, with no interval"
)

Report = dict[str, Any]
Row = dict[str, Any]


def assemble(
    runs: Sequence[tuple[str, Run]],
    published: Sequence[Published] = (),
    anchor: str | None = None,
    metric: str | None = None,
    title: str | None = None,
    command: str = "",
) -> Report:
    """The report's data. runs: (name, run of format 2), at least one codec in all; anchor: the codec or curve that is
    shown first (every other can be chosen in the page); metric: the one shown first.

    Raises UsageError: nothing to report, pictures and clips mixed, no such anchor or metric.
    """
    rows, identities, origins = _merge(runs)
    kinds = {row.get("kind", "picture") for some in rows.values() for row in some}
    if len(kinds) > 1:
        raise UsageError("these runs hold pictures and clips, whose figures have no common mean; make a report of each")
    warnings: list[str] = []
    codecs = [_measured(label, rows[label], identities[label], origins[label], warnings) for label in rows]
    for _, run in runs:
        for of_set in run.get("sets", ()):
            _add_set(codecs, of_set)
    taken = {codec["label"] for codec in codecs}
    for curve in published:
        codecs.append(_from_published(curve, taken))
        taken.add(codecs[-1]["label"])
    if not codecs:
        raise UsageError("nothing to report: give a run of `calotype eval` that holds rows, or --curve FILE.json")
    for number, codec in enumerate(sorted(codecs, key=lambda codec: not codec["ours"])):
        codec["style"] = number  # colour and mark; ours come first, so that they look the same in every report
    names = in_order({name for codec in codecs for point in codec["points"] for name in point["values"]})
    conventions = {key: text for _, run in runs for key, text in run["conventions"].items()}
    dataset = _dataset(runs, rows)
    warnings += _dataset_warnings(dataset, codecs)
    report: Report = {
        "format": FORMAT,
        "title": title or _title(dataset, codecs),
        "command": command,
        "version": __version__,
        "kind": kinds.pop() if kinds else "picture",
        "anchor": _choose_anchor(codecs, anchor),
        "metric": _choose_metric(names, codecs, metric),
        "dataset": dataset,
        "metrics": [
            {
                "name": name,
                "label": label_of(name),
                "axis": axis_of(name),
                "scale": scale_of(name).note,
                "convention": conventions.get(name, ""),
            }
            for name in names
        ],
        "unavailable": {key: text for _, run in runs for key, text in (run.get("notes") or {}).items()},
        "codecs": codecs,
        "rows": {label: _by_source(some) for label, some in rows.items()},
        "bd": {},
        "conventions": {"bd_rate": BD_RATE, **conventions},
        "runs": [_run_facts(name, run) for name, run in runs],
        "failures": [failure for _, run in runs for failure in run["failures"]],
        "warnings": warnings,
        "crops": [],
    }
    report["bd"] = {name: _deltas(report, name) for name in names}
    return report


def _merge(runs: Sequence[tuple[str, Run]]) -> tuple[dict[str, list[Row]], dict[str, Row], dict[str, Row]]:
    """Rows, identity and origin by label. Runs of one codec are joined, a later row in place of an earlier one of the same
    source and point; a label that stands for two different codecs gets the run's name behind it."""
    rows: dict[str, dict[tuple[str, float], Row]] = {}
    identities: dict[str, Row] = {}
    origins: dict[str, Row] = {}
    for name, run in runs:
        for row in run["rows"]:
            label, identity = row["codec"], run["codecs"].get(row["codec"], {})
            if label in identities and identities[label] != identity:
                label = f"{label} ({name})"
            identities.setdefault(label, identity)
            origins.setdefault(label, {"run": name, "environment": run["environment"]})
            rows.setdefault(label, {})[row["source"], float(row["point"])] = row
    return {label: list(some.values()) for label, some in rows.items()}, identities, origins


def _measured(label: str, rows: Sequence[Row], identity: Row, origin: Row, warnings: list[str]) -> Row:
    points = sorted({float(row["point"]) for row in rows})
    sources = {row["source"]: {float(r["point"]): r for r in rows if r["source"] == row["source"]} for row in rows}
    whole = [source for source, some in sources.items() if len(some) == len(points)]
    if len(whole) < len(sources):
        lacking = [source for source in sources if source not in whole]
        warnings.append(
            f"{label}: its averaged curve leaves out {len(lacking)} of {len(sources)} sources, which have not all of its "
            f"{len(points)} points: {_some(lacking)}"
        )
    averaged = [_average(point, [sources[source][point] for source in whole]) for point in points] if whole else []
    return {
        "label": label,
        "published": False,
        "ours": identity.get("codec") == OURS,
        "identity": identity,
        "parameters": _number(identity.get("parameters")),
        "kmac_per_pixel": _number(identity.get("kmac_per_pixel")),
        "sources": len(whole),
        "points": averaged,
        "timing": timing_of(rows, origin["environment"]),
        "checks": checks_of(rows),
        "notes": {"run": origin["run"]},
    }


def _average(point: float, rows: Sequence[Row]) -> Row:
    """One point of an averaged curve; a metric that any source lacks (lossless: infinite PSNR) is left out of it."""
    values = {}
    for name in {name for row in rows for name in row["metrics"]}:
        some = [_number(row["metrics"].get(name)) for row in rows]
        if all(value is not None for value in some):
            values[name] = scale_of(name).of(float(np.mean(some)))
    return {
        "point": point,
        "bpp": float(np.mean([row["bpp"] for row in rows])),
        "bytes": float(np.mean([row["bytes"] for row in rows])),
        "kbps": float(np.mean([row["kbps"] for row in rows])) if all(row.get("kbps") for row in rows) else None,
        "values": {name: value for name, value in values.items() if math.isfinite(value)},
    }


def _add_set(codecs: Sequence[Row], of_set: Row) -> None:
    """To the averaged point whose pictures it is of, the figures of a whole set."""
    for codec in codecs:
        if (codec["label"], codec["sources"]) == (of_set["codec"], of_set["sources"]):
            for point in codec["points"]:
                if point["point"] == of_set["point"]:
                    values = {name: _number(value) for name, value in of_set["metrics"].items()}
                    point["values"] |= {name: scale_of(name).of(value) for name, value in values.items() if value is not None}


def _from_published(curve: Published, taken: set[str]) -> Row:
    label = curve.label
    if label in taken:
        label = f"{curve.label} ({curve.file.removesuffix('.json')})"
    number = 2
    while label in taken:  # the same file twice
        label = f"{curve.label} ({curve.file.removesuffix('.json')}, {number})"
        number += 1
    points = []
    for i in np.argsort(curve.bpp, kind="stable"):
        values = {name: scale_of(name).of(numbers[i]) for name, numbers in curve.metrics.items()}
        points.append(
            {
                "point": None,
                "bpp": curve.bpp[i],
                "bytes": None,
                "kbps": None,
                "values": {name: value for name, value in values.items() if math.isfinite(value)},
            }
        )
    timing = {f"{part[:6]}_ms": 1000 * float(np.mean(numbers)) for part, numbers in curve.seconds.items()}
    return {
        "label": label,
        "published": True,
        "ours": False,
        "identity": {},
        "parameters": None,
        "kmac_per_pixel": None,
        "sources": None,
        "points": points,
        "timing": timing,
        "checks": None,
        "notes": {"file": curve.file, **curve.notes},
    }


def _by_source(rows: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: (row["source"], row["bpp"])):
        values = {
            name: scale_of(name).of(value)
            for name, value in ((name, _number(value)) for name, value in row["metrics"].items())
            if value is not None
        }
        found.setdefault(row["source"], []).append(
            {key: row.get(key) for key in ("point", "bpp", "bytes", "kbps")}
            | {name: round(value, 5) for name, value in values.items() if math.isfinite(value)}
        )
    return found


# ---- Bjøntegaard deltas


def _deltas(report: Report, metric: str) -> dict[str, dict[str, Row]]:
    """Every codec that has the metric against every other one."""
    able = [codec for codec in report["codecs"] if any(metric in point["values"] for point in codec["points"])]
    able += [
        codec
        for codec in report["codecs"]
        if codec not in able and any(metric in row for rows in report["rows"].get(codec["label"], {}).values() for row in rows)
    ]
    curves = {codec["label"]: _curve(codec["label"], _flat(codec["points"]), metric) for codec in able}
    by_source = {
        label: {source: _curve(label, rows, metric) for source, rows in sources.items()}
        for label, sources in report["rows"].items()
        if label in curves and any(metric in row for rows in sources.values() for row in rows)
    }
    found: dict[str, dict[str, Row]] = {}
    for anchor in curves:
        for test in curves:
            if anchor == test:
                continue
            average = _averaged(curves[anchor], curves[test])
            entry = average
            if anchor in by_source and test in by_source:
                entry = _over_sources(by_source[anchor], by_source[test]) | {"averaged": average.get("rate")}
            found.setdefault(anchor, {})[test] = entry
    return found


def _flat(points: Iterable[Row]) -> list[Row]:
    return [{"bpp": point["bpp"], **point["values"]} for point in points]


def _curve(label: str, rows: Iterable[Row], metric: str) -> Curve:
    known = [row for row in rows if metric in row]
    return Curve(
        label, [row["bpp"] for row in known], [row[metric] for row in known], label_of(metric), scale_of(metric).unit
    )


def _averaged(anchor: Curve, test: Curve) -> Row:
    try:
        found = compare(anchor, test)
    except CurveError as error:
        return {"basis": "average", "refused": str(error)}
    return {
        "basis": "average",
        "rate": found.bd_rate,
        "akima": found.bd_rate_akima,
        "gain": found.bd_psnr,
        "interval": None,
        "count": None,
        "share": found.psnr.share,
        "span": [found.psnr.low, found.psnr.high],
        "overlap_warning": found.overlap_warning,
        "warnings": found.warnings,
    }


def _over_sources(anchors: dict[str, Curve], tests: dict[str, Curve]) -> Row:
    try:
        found = compare_sources(anchors, tests)
    except CurveError as error:
        return {"basis": "sources", "refused": str(error)}
    spans = [comparison.psnr for comparison in found.sources.values()]
    return {
        "basis": "sources",
        "rate": found.bd_rate,
        "akima": found.bd_rate_akima,
        "gain": found.bd_psnr,
        "interval": found.interval,
        "count": len(found.sources),
        "share": min(span.share for span in spans),
        "span": [min(span.low for span in spans), max(span.high for span in spans)],
        "per_source": {source: round(comparison.bd_rate, 4) for source, comparison in found.sources.items()},
        "left_out": dict(found.refused),
        "overlap_warning": found.overlap_warning,
        "warnings": found.warnings,
    }


# ---- what is shown first, and what should be known


def _choose_anchor(codecs: Sequence[Row], wanted: str | None) -> str:
    labels = [codec["label"] for codec in codecs]
    if wanted is not None:
        if wanted not in labels:
            raise UsageError(f"there is no anchor {wanted!r}; these runs and curves have {', '.join(labels)}")
        return wanted
    usual = [label for label in labels if label.lower() == "vtm"]
    others = [codec["label"] for codec in codecs if not codec["ours"]]
    return (usual + others + labels)[0]


def _choose_metric(names: Sequence[str], codecs: Sequence[Row], wanted: str | None) -> str:
    if wanted is not None:
        if wanted not in names:
            raise UsageError(f"no run or curve has the metric {wanted!r}; there are {', '.join(names) or 'none'}")
        return wanted
    if not names:
        raise UsageError("no run or curve has a metric with a value at any point; measure again with `calotype eval`")

    def holders(name: str) -> int:
        return sum(any(name in point["values"] for point in codec["points"]) for codec in codecs if not codec["published"])

    return max(names, key=lambda name: (holders(name), -names.index(name)))


def _dataset(runs: Sequence[tuple[str, Run]], rows: dict[str, list[Row]]) -> Row:
    sources: dict[str, Row] = {}
    for row in (row for some in rows.values() for row in some):
        facts = {key: row.get(key) for key in ("width", "height", "frames", "fps")}
        sources.setdefault(row["source"], facts)
    told = [run.get("dataset") or {} for _, run in runs]
    names = dict.fromkeys(str(one["name"]) for one in told if one.get("name"))
    checked = dict.fromkeys(str(text) for one in told for text in one.get("misfits") or ())
    return {"names": list(names), "sources": dict(sorted(sources.items())), "misfits": list(checked)}


def _dataset_warnings(dataset: Row, codecs: Sequence[Row]) -> list[str]:
    found = [f"data set: {text}" for text in dataset["misfits"]]
    measured = [codec for codec in codecs if not codec["published"]]
    published = [codec for codec in codecs if codec["published"]]
    if len({codec["sources"] for codec in measured}) > 1:
        counts = ", ".join(f"{codec['label']} {codec['sources']}" for codec in measured)
        found.append(f"the averaged curves are not over the same number of sources ({counts})")
    if len(dataset["names"]) > 1:
        found.append(f"the runs are on different data sets ({', '.join(dataset['names'])}): averaged curves mix them")
    unknown = [name for name in dataset["names"] if name not in KNOWN]
    if measured and published and (dataset["misfits"] or unknown):
        found.append("published curves are means over a whole data set, which these sources are not: read those BD-rates so")
    for codec in published:
        theirs = codec["notes"].get("dataset")
        if theirs and dataset["names"] and theirs.lower() not in (name.lower() for name in dataset["names"]):
            found.append(f"{codec['label']} was published for {theirs}, the runs are on {', '.join(dataset['names'])}")
    return found


def _run_facts(name: str, run: Run) -> Row:
    return {
        "name": name,
        "environment": run["environment"],
        "commands": list(run.get("commands") or ()),
        "rows": len(run["rows"]),
        "failures": len(run["failures"]),
    }


def _title(dataset: Row, codecs: Sequence[Row]) -> str:
    names = ", ".join(dataset["names"])
    return f"Rate and distortion on {names}" if names else f"Rate and distortion of {len(codecs)} codecs"


def _some(names: Sequence[str], most: int = 4) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)
