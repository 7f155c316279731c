from __future__ import annotations

import json

import pytest
from report_runs import curve_file, two

from calotype.errors import UsageError
from calotype.eval.report.inputs import read_published, read_run


def test_published_curves_are_read_in_each_layout(tmp_path):
    [vtm] = read_published(str(curve_file(tmp_path / "vtm.json")))
    assert (vtm.label, set(vtm.metrics), vtm.file) == ("VTM", {"psnr_rgb", "ms_ssim_rgb"}, "vtm.json")
    assert vtm.seconds == {"decode_seconds": [0.1] * 5}
    several = tmp_path / "several.json"
    several.write_text(json.dumps({"A": {"bpp": [1, 2], "psnr": [30, 31]}, "B": [[1, 2], [32, 33]]}))
    assert [(curve.label, curve.metrics) for curve in read_published(str(several))] == [
        ("A", {"psnr_rgb": [30, 31]}),
        ("B", {"psnr_rgb": [32, 33]}),
    ]
    [one] = read_published(f"mine={several}#B")
    assert (one.label, one.bpp) == ("mine", [1, 2])


def test_ms_ssim_published_in_db_is_turned_back(tmp_path):
    path = tmp_path / "p.json"
    results = {"bpp": [1, 2], "ms-ssim-db-rgb": [10, 20]}
    path.write_text(json.dumps({"name": "P", "results": results, "meta": {"dataset": "kodak"}}))
    [curve] = read_published(str(path))
    assert curve.metrics["ms_ssim_rgb"] == pytest.approx([0.9, 0.99]) and curve.notes["dataset"] == "kodak"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"results": {}}',
        '{"results": {"bpp": [1]}}',
        '{"results": {"bpp": 1, "psnr-rgb": 2}}',
        '{"results": {"bpp": [1, 2], "psnr-rgb": [1, "x"]}}',
        '{"results": {"bpp": [1, 2], "psnr-rgb": [1, NaN]}}',
        "[" * 100_000,
    ],
)
def test_other_files_are_refused_by_name(tmp_path, text):
    path = tmp_path / "odd.json"
    path.write_text(text)
    with pytest.raises(UsageError, match="odd.json"):
        read_published(str(path))
    with pytest.raises(UsageError, match="odd.json"):
        read_run(path)
    with pytest.raises(UsageError, match="absent"):
        read_run(tmp_path / "absent.json")


def test_a_curve_that_is_not_in_the_file_is_refused_with_those_that_are(tmp_path):
    path = tmp_path / "several.json"
    path.write_text(json.dumps({"A": [[1, 2], [30, 31]], "B": [[1, 2], [32, 33]]}))
    with pytest.raises(UsageError, match="no curve 'C'; it has A, B"):
        read_published(f"{path}#C")
    with pytest.raises(UsageError, match="2 curves"):
        read_published(f"mine={path}")


@pytest.mark.parametrize(
    "change",
    [
        {"bpp": None},
        {"bpp": -1},
        {"bytes": 0},
        {"metrics": [1]},
        {"source": 3},
        {"kind": "sound"},
        {"point": "x"},
        {"width": None},
    ],
)
def test_a_row_that_is_not_whole_is_refused(tmp_path, change):
    run, path = two(), tmp_path / "run.json"
    path.write_text(json.dumps(run))
    assert read_run(path) == run
    run["rows"][3] |= change
    path.write_text(json.dumps(run))
    with pytest.raises(UsageError, match="row 3"):
        read_run(path)


def test_a_run_of_the_old_format_says_so(tmp_path):
    path = tmp_path / "old.json"
    path.write_text(json.dumps(two() | {"format": 1}))
    with pytest.raises(UsageError, match="format 1"):
        read_run(path)
