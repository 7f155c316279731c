"""The report as CSV, for other programs, and as Markdown, for a README."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from calotype.eval.bdrate import MIN_OVERLAP
from calotype.eval.report.assemble import Report
from calotype.eval.report.labels import axis_of, label_of

BD_COLUMNS = (
    "metric",
    "anchor",
    "codec",
    "basis",
    "sources",
    "bd_rate_percent",
    "low_95",
    "high_95",
    "bd_rate_akima_percent",
    "bd_quality",
    "averaged_bd_rate_percent",
    "overlap",
    "refused",
    "warnings",
)
POINT_COLUMNS = ("codec", "published", "source", "point", "bpp", "bytes", "kbps")

Row = dict[str, Any]


def bd_csv(report: Report) -> str:
    """A row per metric, anchor and codec. bd_quality: in the unit of the metric's axis (dB for PSNR and MS-SSIM)."""
    rows = []
    for metric, anchors in report["bd"].items():
        for anchor, tests in anchors.items():
            for codec, entry in tests.items():
                low, high = entry.get("interval") or (None, None)
                rows.append(
                    {
                        "metric": metric,
                        "anchor": anchor,
                        "codec": codec,
                        "basis": entry["basis"],
                        "sources": entry.get("count"),
                        "bd_rate_percent": entry.get("rate"),
                        "low_95": low,
                        "high_95": high,
                        "bd_rate_akima_percent": entry.get("akima"),
                        "bd_quality": entry.get("gain"),
                        "averaged_bd_rate_percent": entry.get("averaged"),
                        "overlap": entry.get("share"),
                        "refused": entry.get("refused"),
                        "warnings": "; ".join(entry.get("warnings", ())),
                    }
                )
    return _csv(BD_COLUMNS, rows)


def points_csv(report: Report) -> str:
    """A row per codec, source and point, and per averaged point (source empty), with metrics on their axes: what the curves
    are drawn from."""
    names = [metric["name"] for metric in report["metrics"]]
    rows = []
    for codec in report["codecs"]:
        head = {"codec": codec["label"], "published": int(codec["published"])}
        rows += [head | {"source": ""} | point | point["values"] for point in codec["points"]]
        for source, some in report["rows"].get(codec["label"], {}).items():
            rows += [head | {"source": source} | row for row in some]
    header = {name: axis_of(name) for name in names}
    return _csv([*POINT_COLUMNS, *names], rows, header)


def _csv(columns: Sequence[str], rows: Iterable[Row], titles: dict[str, str] | None = None) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, extrasaction="ignore", lineterminator="\n")
    writer.writerow({column: (titles or {}).get(column, column) for column in columns})
    for row in rows:
        writer.writerow({column: _cell(row.get(column)) for column in columns})
    return buffer.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@"):  # a spreadsheet would run it as a formula
        return f"'{value}"
    return value


def markdown(report: Report, anchor: str | None = None, metric: str | None = None) -> str:
    """BD-rates against one anchor (default: the report's), by rising BD-rate, with conditions and reasons below."""
    anchor, metric = anchor or report["anchor"], metric or report["metric"]
    others = [one["name"] for one in report["metrics"] if one["name"] != metric][:3]
    unit = "frame" if report["kind"] == "clip" else "picture"
    head = ["Codec", f"BD-rate {label_of(metric)}", "95 % interval", *(f"BD-rate {label_of(name)}" for name in others)]
    head += [f"Encode ms/{unit}", f"Decode ms/{unit}"]
    tests = report["bd"].get(metric, {}).get(anchor, {})
    order = sorted(
        (codec for codec in report["codecs"] if codec["label"] != anchor),
        key=lambda codec: tests.get(codec["label"], {}).get("rate", float("inf")),
    )
    lines = [
        f"BD-rate against {_inline(anchor)} at equal {label_of(metric)}, in percent; negative is less rate.",
        "",
        _line(head),
        _line(["---", *["---:"] * (len(head) - 1)]),
    ]
    for codec in order:
        label = codec["label"]
        entry = tests.get(label, {})
        interval = entry.get("interval")
        cells = [
            _inline(label) + (" †" if codec["published"] else ""),
            _percent(entry),
            f"{interval[0]:+.1f} to {interval[1]:+.1f}" if interval else "–",
            *(_percent(report["bd"].get(name, {}).get(anchor, {}).get(label, {})) for name in others),
            *(_plain(codec["timing"].get(f"{verb}_ms")) for verb in ("encode", "decode")),
        ]
        lines.append(_line(cells))
    lines.append("")
    if any(codec["published"] for codec in report["codecs"]):
        lines.append("† published curve: compared on averaged curves, times from another machine.")
    lines += [f"{_inline(codec)}: {_inline(why)}." for codec, why in _reasons(tests)]
    lines += [_inline(text) + "." for text in dict.fromkeys([report["conventions"]["bd_rate"], *_conventions(report, metric)])]
    return "\n".join(lines) + "\n"


def _reasons(tests: dict[str, Row]) -> Iterable[tuple[str, str]]:
    for codec, entry in tests.items():
        for why in [entry["refused"]] if "refused" in entry else entry["warnings"]:
            if why != entry.get("overlap_warning"):
                yield codec, why
    narrow = [f"{codec} {entry['share']:.0%}" for codec, entry in tests.items() if entry.get("overlap_warning")]
    if narrow:
        yield f"Curves that share less than {MIN_OVERLAP:.0%} of their quality range with the anchor's", ", ".join(narrow)


def _conventions(report: Report, metric: str) -> list[str]:
    return [text for key in (metric, "rate", "timing") if (text := report["conventions"].get(key))]


def _percent(entry: Row) -> str:
    return f"{entry['rate']:+.1f}" if "rate" in entry else "n/a"


def _plain(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _inline(text: str) -> str:
    """One line that Markdown shows as it is."""
    text = " ".join(text.split()).rstrip(".")
    for special in "\\`*_[]<>|#":
        text = text.replace(special, "\\" + special)
    return text.replace("\\_", "_") if "__" not in text else text
