"""The report as one HTML file that needs nothing else: style, script, data and pictures are in it."""

from __future__ import annotations

import json
import re
from html import escape
from importlib import resources
from typing import Any

from calotype.eval.report.assemble import Report
from calotype.eval.report.labels import label_of

STYLES = ("page.css",)
SCRIPTS = ("dom.js", "chart.js", "figures.js", "page.js")  # in this order; one scope


def html(report: Report) -> str:
    """The page. Text that comes from runs (labels, names, errors) can hold anything: it is escaped here, and set as text,
    never as markup, by the script."""
    page = _asset("page.html")
    parts = {
        "title": escape(report["title"]),
        "style": "\n".join(map(_asset, STYLES)),
        "plain": _plain(report),
        "data": to_script_json(report),
        "script": "\n".join(map(_asset, SCRIPTS)),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda mark: parts[mark[1]], page)  # one pass: no mark is looked for in the parts


def to_script_json(data: Any) -> str:
    """JSON that ends no script element: `<`, `>`, `&` and the two line separators are written as escapes."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _asset(name: str) -> str:
    return (resources.files(__package__) / "assets" / name).read_text(encoding="utf-8")


def _plain(report: Report) -> str:
    """The BD-rates for a reader without JavaScript."""
    anchor, metric = report["anchor"], report["metric"]
    rows = []
    for label, entry in report["bd"].get(metric, {}).get(anchor, {}).items():
        figure = f"{entry['rate']:+.2f} %" if "rate" in entry else f"n/a: {entry['refused']}"
        rows.append(f"<tr><th scope=row>{escape(label)}</th><td>{escape(figure)}</td></tr>")
    return (
        f"<p>BD-rate against {escape(anchor)}, {escape(label_of(metric))}; the rest of this page needs JavaScript.</p>"
        f"<table>{''.join(rows)}</table>"
    )
