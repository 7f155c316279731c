"""`calotype report` as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from report_runs import curve_file, two

pytest.importorskip("scipy")
ROOT = Path(__file__).parents[3]
CALL = "import sys; from calotype.cli import main; sys.exit(main.main(sys.argv[1:]))"


def report(*arguments: object, cwd: Path) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", CALL, "report", *map(str, arguments)], cwd=cwd, env=environment, capture_output=True, text=True
    )


@pytest.fixture
def run(tmp_path):
    path = tmp_path / "run.json"
    path.write_text(json.dumps(two()))
    return path


def test_every_form_is_written(run, tmp_path):
    vtm, other = curve_file(tmp_path / "vtm.json"), curve_file(tmp_path / "other.json", 0.9, 5, "other")
    forms = ["-o", "page.html", "--csv", "a.csv", "--csv-points", "b.csv", "--md", "c.md", "--svg", "d.svg"]
    found = report(run, "--anchor", vtm, "--curve", f"mine={other}", *forms, "--metric", "ms_ssim_rgb", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert [line.split()[0] for line in found.stdout.splitlines()] == ["page.html", "a.csv", "b.csv", "c.md", "d.svg"]
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    assert (data["anchor"], data["metric"]) == ("VTM", "ms_ssim_rgb")
    assert {codec["label"] for codec in data["codecs"]} == {"jpeg", "ours", "VTM", "mine"}
    assert "BD-rate against VTM" in (tmp_path / "c.md").read_text(encoding="utf-8")


def test_a_label_is_an_anchor_and_the_page_has_a_name_of_its_own(run, tmp_path):
    found = report(run, "--anchor", "ours", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert '"anchor":"ours"' in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_refused_curve_is_no_failure(run, tmp_path):
    found = report(run, "--curve", curve_file(tmp_path / "short.json", 1.0, 3, "short"), "--md", "t.md", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert "3 points" in (tmp_path / "t.md").read_text(encoding="utf-8") and not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "nothing to report"),
        (("absent.json",), "absent.json"),
        (("run.json", "--anchor", "x265"), "no anchor 'x265'"),
        (("run.json", "--metric", "vmaf"), "no run or curve has the metric"),
        (("run.json", "-o", "no/where.html"), "no directory"),
    ],
)
def test_bad_requests_are_one_line_and_exit_code_2(run, tmp_path, arguments, why):
    found = report(*arguments, cwd=tmp_path)
    assert found.returncode == 2 and why in found.stderr and "Traceback" not in found.stderr
    assert found.stderr.count("\n") == 1
