from __future__ import annotations

import pytest
from report_runs import POINTS, SOURCES, curve_file, make_row, make_run, mean_rate, ms_ssim_db, two

from calotype.errors import UsageError
from calotype.eval.report.assemble import assemble
from calotype.eval.report.inputs import read_published

pytest.importorskip("scipy")


def codec(report, label):
    return next(one for one in report["codecs"] if one["label"] == label)


def test_measured_codecs_are_compared_per_source_then_averaged_with_an_interval():
    report = assemble([("run", two())])
    entry = report["bd"]["psnr_rgb"]["jpeg"]["ours"]
    assert entry["basis"] == "sources" and entry["count"] == 3
    assert entry["per_source"] == pytest.approx({"a.png": -20, "b.png": -10, "c.png": 0}, abs=1e-4)
    assert entry["rate"] == pytest.approx(-10, abs=1e-9)
    low, high = entry["interval"]
    assert -20.001 < low < -10 < high < 0.001
    assert entry["averaged"] == pytest.approx(-10, abs=1e-9)  # mean bpp is 0.9 of the anchor's at every point
    assert assemble([("run", two())]) == report


def test_every_codec_can_be_the_anchor():
    report = assemble([("run", two())])
    assert report["anchor"] == "jpeg"
    back = report["bd"]["psnr_rgb"]["ours"]["jpeg"]
    assert back["rate"] == pytest.approx(100 * ((1 / 0.8 + 1 / 0.9 + 1) / 3 - 1), abs=1e-9)


def test_averaged_points_are_means_over_sources_and_ms_ssim_is_in_db():
    ours = codec(assemble([("run", two())]), "ours")
    assert ours["sources"] == 3 and [point["point"] for point in ours["points"]] == list(POINTS)
    for number, point in enumerate(ours["points"]):
        assert point["bpp"] == pytest.approx(mean_rate(number, 0.9))
        assert point["values"]["psnr_rgb"] == pytest.approx(26 + 3 * number)
        assert point["values"]["ms_ssim_rgb"] == pytest.approx(ms_ssim_db(number))


def test_published_curves_are_compared_on_averaged_curves(tmp_path):
    [curve] = read_published(str(curve_file(tmp_path / "vtm.json", 0.75)))
    report = assemble([("run", two())], [curve])
    assert report["anchor"] == "VTM"  # the usual one
    entry = report["bd"]["psnr_rgb"]["VTM"]["ours"]
    assert (entry["basis"], entry["interval"], entry["count"]) == ("average", None, None)
    assert entry["rate"] == pytest.approx(100 * (0.9 / 0.75 - 1), abs=1e-6)
    assert report["bd"]["ms_ssim_rgb"]["VTM"]["ours"]["rate"] == pytest.approx(20, abs=1e-6)
    assert codec(report, "VTM")["timing"] == {"decode_ms": pytest.approx(100)}


def test_a_curve_that_is_refused_stays_with_its_reason(tmp_path):
    [short] = read_published(str(curve_file(tmp_path / "short.json", count=3, name="short")))
    report = assemble([("run", two())], [short])
    assert "3 points" in report["bd"]["psnr_rgb"]["jpeg"]["short"]["refused"]
    assert len(codec(report, "short")["points"]) == 3


def test_a_source_that_gives_no_figure_is_left_out_and_named():
    run = two()
    run["rows"] = [row for row in run["rows"] if (row["codec"], row["source"]) != ("ours", "b.png")]
    run["rows"] += [make_row("ours", "b.png", number, 0.9) for number in (0, 1, 2)]
    report = assemble([("run", run)])
    entry = report["bd"]["psnr_rgb"]["jpeg"]["ours"]
    assert entry["count"] == 2 and entry["rate"] == pytest.approx(-10, abs=1e-9)
    assert "3 points" in entry["left_out"]["b.png"] and any("1 of 3 sources" in text for text in entry["warnings"])
    assert codec(report, "ours")["sources"] == 2
    assert any("ours" in text and "b.png" in text for text in report["warnings"])


def test_a_lossless_point_leaves_the_curve_of_that_metric():
    run = two()
    for row in run["rows"]:
        if row["point"] == POINTS[-1]:
            row["metrics"] = {"psnr_rgb": None, "ms_ssim_rgb": 1.0}
    report = assemble([("run", run)])
    assert len(codec(report, "ours")["points"]) == 5
    assert codec(report, "ours")["points"][-1]["values"] == {}
    assert report["bd"]["psnr_rgb"]["jpeg"]["ours"]["rate"] == pytest.approx(-10, abs=1e-9)


def test_distances_are_compared_so_that_less_is_better():
    run = two()
    for row in run["rows"]:
        row["metrics"] = {"lpips_alex": 0.5 - 0.01 * row["metrics"]["psnr_rgb"]}
    report = assemble([("run", run)])
    assert report["metric"] == "lpips_alex"
    assert report["bd"]["lpips_alex"]["jpeg"]["ours"]["rate"] == pytest.approx(-10, abs=1e-9)


def test_figures_of_whole_sets_are_of_averaged_points_and_less_is_better():
    run = two()
    run["sets"] = [
        {"codec": label, "point": point, "sources": 3, "metrics": {"squeeze_kid": 50 - 4.0 * number, "fid": None}}
        for label in ("jpeg", "ours")
        for number, point in enumerate(POINTS)
    ]
    report = assemble([("run", run)])
    assert [p["values"]["squeeze_kid"] for p in codec(report, "ours")["points"]] == [4.0 * n - 50 for n in range(len(POINTS))]
    entry = report["bd"]["squeeze_kid"]["jpeg"]["ours"]
    assert entry["basis"] == "average" and entry["rate"] < -5 and "fid" not in report["bd"]
    run["sets"] = [one | {"sources": 2} for one in run["sets"]]  # of other pictures than the averages are
    assert "squeeze_kid" not in assemble([("run", run)])["bd"]


def test_times_memory_and_checks_are_of_all_rows():
    report = assemble([("run", two())])
    timing, checks = codec(report, "ours")["timing"], codec(report, "ours")["checks"]
    assert (timing["decode_ms"], timing["decode_ms_network"], timing["decode_ms_entropy"]) == (750, 500, 125)
    assert timing["peak_memory"] == 3 << 20 and timing["threads"] == "2"
    assert timing["decode_mpx"] == pytest.approx((10_000 + 20_000 + 30_000) / 1e6 / (3 * 0.75))
    assert checks["estimated"] == checks["compared"] == checks["repeated"] == 15
    assert checks["over_bytes"] == pytest.approx(5) and checks["outside"] == 0
    assert codec(report, "jpeg")["checks"]["over_bytes"] is None


def test_times_of_clips_are_per_frame():
    run = two()
    for row in run["rows"]:
        row |= {"kind": "clip", "frames": 10, "kbps": 100.0}
    report = assemble([("run", run)])
    assert report["kind"] == "clip" and codec(report, "ours")["timing"]["decode_ms"] == pytest.approx(75)


def test_runs_of_one_codec_are_joined_and_those_of_another_of_the_same_name_are_not():
    halves = [make_run({"jpeg": dict.fromkeys(SOURCES[:2], 1.0)}), make_run({"jpeg": {"c.png": 1.0}})]
    report = assemble([("one", halves[0]), ("two", halves[1])])
    assert [one["label"] for one in report["codecs"]] == ["jpeg"] and report["codecs"][0]["sources"] == 3
    halves[1]["codecs"]["jpeg"] = {"codec": "jpeg", "version": "other"}
    report = assemble([("one", halves[0]), ("two", halves[1])])
    assert [one["label"] for one in report["codecs"]] == ["jpeg", "jpeg (two)"]


def test_what_does_not_fit_is_said(tmp_path):
    run = two()
    run["dataset"] = {"name": "kodak", "misfits": ["21 pictures are missing"]}
    [curve] = read_published(str(curve_file(tmp_path / "vtm.json")))
    said = " ".join(assemble([("run", run)], [curve])["warnings"])
    assert "21 pictures are missing" in said and "whole data set" in said


def test_senseless_requests_are_refused():
    run = two()
    with pytest.raises(UsageError, match="no anchor 'x265'.*jpeg, ours"):
        assemble([("run", run)], anchor="x265")
    with pytest.raises(UsageError, match="vmaf.*psnr_rgb"):
        assemble([("run", run)], metric="vmaf")
    with pytest.raises(UsageError, match="nothing to report"):
        assemble([("run", make_run({}))])
    run["rows"][0] = run["rows"][0] | {"kind": "clip"}
    with pytest.raises(UsageError, match="pictures and clips"):
        assemble([("run", run)])
