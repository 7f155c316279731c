"""The report as HTML, CSV, Markdown and SVG."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from report_runs import curve_file, make_run, two

from calotype.eval.report.assemble import assemble
from calotype.eval.report.html import html
from calotype.eval.report.inputs import read_published
from calotype.eval.report.svg import spread, svg
from calotype.eval.report.tables import bd_csv, markdown, points_csv

pytest.importorskip("scipy")
HOSTILE = "</script><script>alert(1)</script><img src=x onerror='alert(2)'>\"'&{{script}}{{data}}\u2028|`*"


class Page(HTMLParser):
    """Tags with their attributes, and the text of each script."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: dict[str, str] = {}
        self.open: str | None = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.open = (dict(attrs).get("id") or "code") if tag == "script" else None

    def handle_data(self, data):
        if self.open:
            self.scripts[self.open] = self.scripts.get(self.open, "") + data

    def handle_endtag(self, tag):
        self.open = None


@pytest.fixture
def report(tmp_path):
    curves = [curve_file(tmp_path / "vtm.json", 0.75), curve_file(tmp_path / "short.json", 0.7, 3, "short")]
    run = two()
    run["failures"] = [{"codec": "jp2", "source": "b.png", "point": 3, "error": "the encoder fell over"}]
    return assemble([("run", run)], [curve for path in curves for curve in read_published(str(path))])


def test_the_page_holds_the_report_and_asks_nothing_of_a_network(report):
    text = html(report)
    page = Page(text)
    assert json.loads(page.scripts["data"]) == json.loads(json.dumps(report))
    assert set(page.scripts) == {"data", "code"}
    rest = text.replace(page.scripts["data"], "")
    assert not re.search(r"https?:|@import|url\(\s*[^#\s]|fetch\(|XMLHttpRequest|WebSocket", rest)
    assert not [attributes for _, attributes in page.tags if {"src", "href", "srcset"} & attributes.keys()]
    policy = next(a for tag, a in page.tags if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy["content"]
    for codec in report["codecs"]:
        assert codec["label"] in text
    assert "the encoder fell over" in text and "3 points" in text and "no ffmpeg here" in text


def test_hostile_names_stay_text_in_every_form(tmp_path):
    run = make_run({HOSTILE: {HOSTILE: 1.0}, "ours": {HOSTILE: 0.9}})
    run["failures"] = [{"source": HOSTILE, "error": HOSTILE}]
    run["dataset"]["name"] = HOSTILE
    report = assemble([(HOSTILE, run)])
    page = Page(html(report))
    assert json.loads(page.scripts["data"]) == json.loads(json.dumps(report))
    assert set(page.scripts) == {"data", "code"} and "alert(" not in page.scripts["code"]
    assert [tag for tag, _ in page.tags].count("script") == 2 and "img" not in [tag for tag, _ in page.tags]
    root = ElementTree.fromstring(svg(report))
    assert not list(root.iter("{http://www.w3.org/2000/svg}script"))
    table = [line for line in markdown(report, "ours").splitlines() if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {len(re.findall(r"\|", table[1]))}
    assert "<script" not in markdown(report, "ours").replace("\\<script", "")
    assert list(csv.DictReader(io.StringIO(bd_csv(report))))[0]["anchor"] == HOSTILE


def test_the_code_never_sets_markup(report):
    code = Page(html(report)).scripts["code"]
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", code)


def test_csv_has_a_row_per_metric_anchor_and_codec(report):
    rows = list(csv.DictReader(io.StringIO(bd_csv(report))))
    assert len(rows) == 2 * 4 * 3
    found = {(row["metric"], row["anchor"], row["codec"]): row for row in rows}
    row = found["psnr_rgb", "jpeg", "ours"]
    assert float(row["bd_rate_percent"]) == pytest.approx(-10) and row["basis"] == "sources" and row["sources"] == "3"
    assert float(row["low_95"]) < -10 < float(row["high_95"])
    assert "3 points" in found["psnr_rgb", "jpeg", "short"]["refused"]


def test_csv_of_points_has_every_row_and_the_averages(report):
    rows = list(csv.DictReader(io.StringIO(points_csv(report))))
    assert len(rows) == 2 * (15 + 5) + 5 + 3
    assert {row["source"] for row in rows if row["codec"] == "VTM"} == {""}
    assert all(float(row["PSNR RGB (dB)"]) >= 26 for row in rows)


def test_a_cell_of_csv_is_no_formula():
    run = make_run({"=1+1": {"a.png": 1.0}, "ours": {"a.png": 0.9}})
    assert ",=1+1" not in bd_csv(assemble([("run", run)])) and "'=1+1" in bd_csv(assemble([("run", run)]))


def test_markdown_has_the_figures_the_interval_and_the_reasons(report):
    text = markdown(report, "jpeg")
    line = next(line for line in text.splitlines() if line.startswith("| ours"))
    assert "| -10.0 |" in line and " to " in line and "| 750 |" in line
    assert "| short † | n/a |" in text and "3 points" in text
    assert "bootstrap" in text and "PSNR as the test has it" in text


def test_svg_draws_and_names_every_curve(report):
    root = ElementTree.fromstring(svg(report))
    space = "{http://www.w3.org/2000/svg}"
    assert len(list(root.iter(f"{space}polyline"))) == 4
    assert {"ours", "jpeg", "VTM", "short"} <= {node.text for node in root.iter(f"{space}text")}
    ElementTree.fromstring(svg(report, "ms_ssim_rgb"))


def test_labels_are_spread_within_their_bounds():
    found = spread([10, 10, 10, 99], 15, 0, 100)
    assert all(b - a >= 15 - 1e-9 for a, b in zip(found, found[1:], strict=False))
    assert min(found) >= 0 and max(found) <= 100
    crowded = spread([50] * 30, 15, 0, 100)
    assert crowded == sorted(crowded) and min(crowded) >= -1e-9 and max(crowded) <= 100
