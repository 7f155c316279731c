from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from fake_coder import FakeCoder, make_picture
from PIL import Image

from calotype.errors import CalotypeError, UsageError
from calotype.eval import coders
from calotype.eval.checks import check
from calotype.eval.evaluate import Setup, evaluate
from calotype.eval.metrics import psnr_rgb, sets
from calotype.eval.runs import averaged, curve, read_run
from calotype.eval.sources import open_sources
from calotype.shards import in_shard

POINTS = [20, 60, 90]
HERE = {"torch": "1", "threads": 2, "device": "cpu"}


@pytest.fixture
def measure(monkeypatch):
    """evaluate() of a FakeCoder on paths, by PSNR."""

    def run(coder: FakeCoder, paths: list[Path], points=POINTS, here=HERE, **options):
        monkeypatch.setattr(coders, "make", lambda spec, **_: coder)
        return evaluate(["fake"], list(open_sources(paths)), Setup(("psnr_rgb",)), here, points, **options)

    return run


def test_a_row_holds_what_the_codec_did(measure, folder):
    coder, path = FakeCoder(framing=5), folder / "p1.png"
    [row] = measure(coder, [path], [60])["rows"]
    pixels = np.asarray(Image.open(path))
    data = coder.encode(pixels, 60, False).data
    assert (row["source"], row["width"], row["height"], row["frames"], row["point"]) == ("p1.png", 40, 24, 1, 60)
    assert (row["bytes"], row["estimated_bits"]) == (len(data), 8 * (len(data) - 5))
    assert row["bpp"] == 8 * len(data) / (40 * 24) and row["kbps"] is None
    assert row["metrics"] == {"psnr_rgb": psnr_rgb(pixels, coder.decode(data).pixels)}
    assert (row["differing_pixels"], row["repeatable"]) == (0, True)
    assert (row["encode_seconds"]["network"], row["decode_seconds"]["entropy"]) == (0.25, 0.0625)
    assert row["encode_seconds"]["total"] > 0 and row["decode_seconds"]["total"] > 0 and row["peak_memory"] > 2**20


def test_points_are_means_over_pictures_of_bpp_and_of_psnr(measure, folder):
    run = measure(FakeCoder(), [folder])
    records = averaged(run, "fake")
    assert [record["point"] for record in records] == POINTS
    for record in records:
        rows = [row for row in run["rows"] if row["point"] == record["point"]]
        assert record["sources"] == len(rows) == 3
        assert record["metrics"]["psnr_rgb"] == pytest.approx(np.mean([row["metrics"]["psnr_rgb"] for row in rows]))
        assert record["bpp"] == pytest.approx(np.mean([row["bpp"] for row in rows]))
    found = curve(run, "fake")
    assert list(found.psnrs) == sorted(found.psnrs) and list(found.rates) == sorted(found.rates)


def test_checks_name_the_worst_file_and_count_what_is_wrong(measure, folder):
    good = check(measure(FakeCoder(framing=64), [folder])["rows"])
    assert good["over_bytes"]["value"] == 64 and good["outside"] == 0 and good["differing_pixels"] == 0
    run = measure(FakeCoder(framing=65, wrong=True), [folder])
    checks = check(run["rows"])
    small = min(run["rows"], key=lambda row: row["bytes"])
    worst = checks["over_percent"]
    assert (worst["source"], worst["point"]) == (small["source"], small["point"])
    assert worst["value"] == pytest.approx(100 * 65 / (small["bytes"] - 65))
    assert checks["outside"] == sum(row["bytes"] < 65 + 6500 for row in run["rows"]) > 0
    assert checks["differing_pixels"] == checks["compared"] == checks["rows"] == 9


def test_a_lossless_point_has_no_psnr_and_leaves_the_curve(measure, folder):
    run = measure(FakeCoder(), [folder], [50, 100])
    assert averaged(run, "fake")[1]["metrics"]["psnr_rgb"] is None and "psnr_rgb" in run["notes"]
    assert len(curve(run, "fake").rates) == 1


def test_a_run_resumes_without_measuring_again(measure, folder, tmp_path):
    out, two = tmp_path / "run.json", [folder / "p1.png", folder / "p2.png"]
    first = measure(FakeCoder(), two, POINTS[:2], command="one", out=out)
    assert read_run(out) == first == json.loads(out.read_text())
    coder = FakeCoder()
    second = measure(coder, [folder], command="two", out=out)
    assert second["commands"] == ["one", "two"]
    assert coder.encodings == 2 + 2 * (9 - 4)  # two to warm up, two a row
    assert all(row in second["rows"] for row in first["rows"]) and len(second["rows"]) == 9
    coder = FakeCoder()
    third = measure(coder, two[:1], command="three", out=out)
    assert coder.encodings == 0 and len(third["rows"]) == 9


def test_a_changed_picture_is_measured_again(measure, folder, tmp_path):
    out = tmp_path / "run.json"
    before = measure(FakeCoder(), [folder], [50], out=out)["rows"]
    make_picture(folder / "p2.png", 24, 40, seed=77)
    after = measure(FakeCoder(), [folder], [50], out=out)["rows"]
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, True]


@pytest.mark.parametrize(
    ("coder", "here", "word"),
    [(FakeCoder("ff" * 32), HERE, "model_hash"), (FakeCoder(), {**HERE, "threads": 1}, "threads")],
)
def test_rows_of_another_model_or_machine_are_not_mixed_in(measure, folder, tmp_path, coder, here, word):
    out = tmp_path / "run.json"
    measure(FakeCoder(), [folder / "p1.png"], [50], out=out)
    before = out.read_bytes()
    with pytest.raises(UsageError, match=word):
        measure(coder, [folder / "p1.png"], [50], here, out=out)
    assert out.read_bytes() == before


@pytest.mark.parametrize("text", ["", "no json", "[]", '{"format": 2}', '{"format": 99, "rows": []}'])
def test_a_file_that_is_no_run_is_refused_and_kept(measure, folder, tmp_path, text):
    out = tmp_path / "run.json"
    out.write_text(text)
    with pytest.raises(UsageError, match="not a run"):
        measure(FakeCoder(), [folder], [50], out=out)
    assert out.read_text() == text


def test_an_unwritable_place_is_noticed_before_the_work(measure, folder, tmp_path):
    coder = FakeCoder()
    with pytest.raises(UsageError):
        measure(coder, [folder], [50], out=tmp_path / "no" / "run.json")
    assert coder.encodings == 0


def test_what_fails_is_said_and_the_rest_goes_on(measure, folder, tmp_path):
    (folder / "p0.png").write_bytes(b"not a picture at all")
    out = tmp_path / "run.json"
    run = measure(FakeCoder(refuse=40), [folder], [30, 50], out=out)
    failed = [(failure["source"], failure.get("point")) for failure in run["failures"]]
    assert failed == [("p0.png", None), ("p2.png", 30), ("p2.png", 50)]
    assert averaged(run, "fake")[0]["sources"] == 2
    again = measure(FakeCoder(), [folder], [30, 50], out=out)
    assert [failure["source"] for failure in again["failures"]] == ["p0.png"]
    assert averaged(again, "fake")[0]["sources"] == 3


def test_progress_counts_every_point(measure, folder):
    seen = []
    measure(FakeCoder(), [folder], progress=lambda *step: seen.append(step))
    assert [done for done, _, _ in seen] == list(range(10)) and {total for _, total, _ in seen} == {9}


def test_two_processes_measure_what_one_does(folder, tmp_path):
    """With a codec that every process can make: JPEG."""
    sources = list(open_sources([folder]))
    runs = [evaluate(["jpeg"], sources, Setup(("psnr_rgb",)), HERE, [30, 80], workers=n) for n in (1, 2)]
    keys = ("codec", "source", "point", "bytes", "metrics")
    one, two = (sorted([tuple(map(str, (row[k] for k in keys))) for row in run["rows"]]) for run in runs)
    assert one == two and len(one) == 6
    assert "2 processes" in runs[1]["conventions"]["timing"]


def test_a_codec_that_cannot_code_a_source_is_a_failure_that_says_so(folder):
    run = evaluate(["x264:ultrafast"], list(open_sources([folder / "p1.png"])), Setup(), HERE)
    assert not run["rows"] and "codes a clip, not a picture" in run["failures"][0]["error"]


def test_a_codec_that_is_not_here_is_a_failure_and_the_others_go_on(monkeypatch, folder):
    make = coders.make

    def without_x265(spec, **settings):
        if spec == "x265":
            raise CalotypeError("x265 is not installed")
        return make(spec, **settings)

    monkeypatch.setattr(coders, "make", without_x265)
    run = evaluate(["x265", "jpeg"], list(open_sources([folder / "p1.png"])), Setup(("psnr_rgb",)), HERE, [50])
    assert [failure["error"] for failure in run["failures"]] == ["x265 is not installed"] and len(run["rows"]) == 1
    with pytest.raises(UsageError):
        evaluate(["no such codec"], [], Setup(), HERE)


def test_kept_pictures_are_what_was_decoded(monkeypatch, folder, tmp_path):
    coder = FakeCoder()
    monkeypatch.setattr(coders, "make", lambda spec, **_: coder)
    sources = list(open_sources([folder / "p1.png"]))
    [row] = evaluate(["fake"], sources, Setup(("psnr_rgb",), keep=tmp_path / "run"), HERE, [60])["rows"]
    pixels = np.asarray(Image.open(folder / "p1.png"))
    kept = np.asarray(Image.open(tmp_path / "run" / row["picture"]))
    np.testing.assert_array_equal(kept, coder.decode(coder.encode(pixels, 60, False).data).pixels)


class Brightness:
    """A figure of a set: how far apart the mean samples of all pictures are."""

    conventions = {"brightness": "difference of means"}

    def unavailable(self) -> None:
        return None

    def features(self, picture: np.ndarray) -> np.ndarray:
        return picture.mean((0, 1))[None]

    def figures(self, a: np.ndarray, b: np.ndarray) -> dict[str, float]:
        assert len(a) == len(b) == 3
        return {"brightness": float(abs(a.mean() - b.mean()))}


def test_figures_of_whole_sets_are_of_all_kept_pictures(monkeypatch, folder, tmp_path):
    monkeypatch.setattr(sets, "SET_METRICS", (Brightness(),))
    monkeypatch.setattr(coders, "make", lambda spec, **_: FakeCoder())
    monkeypatch.setitem(sets.SETS, "brightness", Brightness())
    found = list(open_sources([folder]))
    setup = Setup(("psnr_rgb", "brightness"), keep=tmp_path / "run")
    run = evaluate(["fake"], found, setup, HERE, [20, 100], out=tmp_path / "run.json")
    assert [(one["point"], one["sources"]) for one in run["sets"]] == [(20, 3), (100, 3)]
    coarse, fine = (record["metrics"]["brightness"] for record in averaged(run, "fake"))
    assert fine == 0 < coarse
    assert "brightness" not in averaged(run, "fake", ["p1.png"])[0]["metrics"]
    assert run["conventions"]["brightness"] == "difference of means"
    again = evaluate(["fake"], found, setup, HERE, [20, 100], out=tmp_path / "run.json")
    assert again["sets"] == run["sets"] and read_run(tmp_path / "run.json")["sets"] == run["sets"]


def test_without_kept_pictures_figures_of_whole_sets_have_a_reason(folder, monkeypatch):
    monkeypatch.setattr(sets, "SET_METRICS", (Brightness(),))
    monkeypatch.setitem(sets.SETS, "brightness", Brightness())
    monkeypatch.setattr(coders, "make", lambda spec, **_: FakeCoder())
    run = evaluate(["fake"], list(open_sources([folder])), Setup(("psnr_rgb", "brightness")), HERE, [20])
    assert "--keep" in run["notes"]["brightness"] and "brightness" not in run["conventions"]


def test_shards_part_the_names_and_do_not_depend_on_the_others():
    names = [f"photo{k}.png" for k in range(400)]
    parts = [[name for name in names if in_shard(name, k, 4)] for k in range(4)]
    assert sorted(sum(parts, [])) == sorted(names) and min(map(len, parts)) > 60
    assert [name for name in names[:7] if in_shard(name, 1, 4)] == [name for name in parts[1] if name in names[:7]]
