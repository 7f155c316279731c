from __future__ import annotations

import json

import numpy as np
import pytest
from fake_coder import FakeCoder, make_picture
from PIL import Image

from calotype.errors import UsageError
from calotype.eval.images import curve, evaluate, find_pictures
from calotype.eval.metrics import psnr_rgb
from calotype.eval.runs import read_run

QUALITIES = [20, 60, 90]
HERE = {"torch": "1", "threads": 2, "device": "cpu"}


def test_a_row_holds_what_the_codec_did(folder):
    coder = FakeCoder(framing=5)
    [path] = find_pictures([folder / "p1.png"])
    [row] = evaluate(coder, [path], [60], HERE)["rows"]
    pixels = np.asarray(Image.open(path))
    data = coder.encode(pixels, 60, False).data
    assert (row["picture"], row["width"], row["height"], row["quality"]) == ("p1.png", 40, 24, 60)
    assert (row["bytes"], row["estimated_bits"]) == (len(data), 8 * (len(data) - 5))
    assert row["psnr_rgb"] == psnr_rgb(pixels, coder.decode(data).pixels)
    assert (row["differing_pixels"], row["repeatable"]) == (0, True)
    assert (row["encode_seconds"]["network"], row["decode_seconds"]["entropy"]) == (0.25, 0.0625)
    assert row["encode_seconds"]["total"] > 0 and row["decode_seconds"]["total"] > 0


def test_points_are_means_over_pictures_of_bpp_and_of_psnr(folder):
    run = evaluate(FakeCoder(), find_pictures([folder]), QUALITIES, HERE)
    assert [point["quality"] for point in run["summary"]["points"]] == QUALITIES
    for point in run["summary"]["points"]:
        rows = [row for row in run["rows"] if row["quality"] == point["quality"]]
        assert len(rows) == 3
        assert point["psnr_rgb"] == pytest.approx(np.mean([row["psnr_rgb"] for row in rows]))
        assert point["bpp"] == pytest.approx(np.mean([8 * row["bytes"] / row["width"] / row["height"] for row in rows]))
    found = curve(run, "x")
    assert list(found.psnrs) == sorted(found.psnrs) and list(found.rates) == sorted(found.rates)


def test_checks_name_the_worst_file_and_count_what_is_wrong(folder):
    good = evaluate(FakeCoder(framing=64), find_pictures([folder]), QUALITIES, HERE)["summary"]["checks"]
    assert good["over_bytes"]["value"] == 64 and good["outside"] == 0 and good["differing_pixels"] == 0
    run = evaluate(FakeCoder(framing=65, wrong=True), find_pictures([folder]), QUALITIES, HERE)
    checks = run["summary"]["checks"]
    small = min(run["rows"], key=lambda row: row["bytes"])
    worst = checks["over_percent"]
    assert (worst["picture"], worst["quality"]) == (small["picture"], small["quality"])
    assert worst["value"] == pytest.approx(100 * 65 / (small["bytes"] - 65))
    assert checks["outside"] == sum(row["bytes"] < 65 + 6500 for row in run["rows"]) > 0
    assert checks["differing_pixels"] == checks["compared"] == checks["rows"] == 9


def test_a_lossless_point_has_no_psnr_and_leaves_the_curve(folder):
    run = evaluate(FakeCoder(), find_pictures([folder]), [50, 100], HERE)
    assert run["summary"]["points"][1]["psnr_rgb"] is None
    assert all(row["psnr_rgb"] is None and row["mse"] == 0 for row in run["rows"] if row["quality"] == 100)
    assert len(curve(run, "x").rates) == 1


def test_a_run_resumes_without_measuring_again(folder, tmp_path):
    out, pictures = tmp_path / "run.json", find_pictures([folder])
    first = evaluate(FakeCoder(), pictures[:2], QUALITIES[:2], HERE, "one", out)
    assert read_run(out) == first == json.loads(out.read_text())
    coder = FakeCoder()
    second = evaluate(coder, pictures, QUALITIES, HERE, "two", out)
    assert second["commands"] == ["one", "two"]
    assert coder.encodings == 1 + 2 * (9 - 4)  # one to warm up, two a row
    assert all(row in second["rows"] for row in first["rows"]) and len(second["rows"]) == 9
    coder = FakeCoder()
    third = evaluate(coder, pictures[:1], QUALITIES, HERE, "three", out)
    assert coder.encodings == 0
    assert len(third["rows"]) == 9 and third["summary"]["pictures"] == ["p1.png"]


def test_a_run_that_was_stopped_keeps_the_pictures_before(folder, tmp_path):
    out, pictures = tmp_path / "run.json", find_pictures([folder])

    def stop(done: int, total: int, name: str) -> None:
        if name == "p3.png":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(FakeCoder(), pictures, QUALITIES, HERE, "", out, stop)
    assert {row["picture"] for row in read_run(out)["rows"]} == {"p1.png", "p2.png"}


def test_a_changed_picture_is_measured_again(folder, tmp_path):
    out, pictures = tmp_path / "run.json", find_pictures([folder])
    before = evaluate(FakeCoder(), pictures, [50], HERE, "", out)["rows"]
    make_picture(pictures[1], 24, 40, seed=77)
    after = evaluate(FakeCoder(), pictures, [50], HERE, "", out)["rows"]
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, True]


@pytest.mark.parametrize(
    ("coder", "here", "word"),
    [(FakeCoder("ff" * 32), HERE, "model_hash"), (FakeCoder(), {**HERE, "threads": 1}, "threads")],
)
def test_rows_of_another_model_or_machine_are_not_mixed_in(folder, tmp_path, coder, here, word):
    out, pictures = tmp_path / "run.json", find_pictures([folder], limit=1)
    evaluate(FakeCoder(), pictures, [50], HERE, "", out)
    before = out.read_bytes()
    with pytest.raises(UsageError, match=word):
        evaluate(coder, pictures, [50], here, "", out)
    assert out.read_bytes() == before


@pytest.mark.parametrize("text", ["", "no json", "[]", '{"format": 1}', '{"format": 99, "rows": []}'])
def test_a_file_that_is_no_run_is_refused_and_kept(folder, tmp_path, text):
    out = tmp_path / "run.json"
    out.write_text(text)
    with pytest.raises(UsageError, match="not a run"):
        evaluate(FakeCoder(), find_pictures([folder]), [50], HERE, "", out)
    assert out.read_text() == text


def test_an_unwritable_place_is_noticed_before_the_work(folder, tmp_path):
    coder = FakeCoder()
    with pytest.raises(UsageError):
        evaluate(coder, find_pictures([folder]), [50], HERE, "", tmp_path / "no" / "run.json")
    assert coder.encodings == 0


def test_what_fails_is_said_and_the_rest_goes_on(folder, tmp_path):
    (folder / "p0.png").write_bytes(b"not a picture at all")
    out = tmp_path / "run.json"
    run = evaluate(FakeCoder(refuse=40), find_pictures([folder]), [30, 50], HERE, "", out)
    failed = [(failure["picture"], failure.get("quality")) for failure in run["failures"]]
    assert failed == [("p0.png", None), ("p2.png", 30), ("p2.png", 50)]
    assert run["summary"]["pictures"] == ["p1.png", "p3.png"]
    again = evaluate(FakeCoder(), find_pictures([folder]), [30, 50], HERE, "", out)
    assert [f["picture"] for f in again["failures"]] == ["p0.png"]
    assert again["summary"]["pictures"] == ["p1.png", "p2.png", "p3.png"]


def test_progress_counts_every_point(folder):
    seen = []
    evaluate(FakeCoder(), find_pictures([folder]), QUALITIES, HERE, progress=lambda *step: seen.append(step))
    assert [done for done, _, _ in seen] == list(range(10)) and {total for _, total, _ in seen} == {9}


def test_folders_give_their_pictures_in_order_of_name(folder, tmp_path):
    assert [path.name for path in find_pictures([folder])] == ["p1.png", "p2.png", "p3.png"]
    assert [path.name for path in find_pictures([folder], limit=2)] == ["p1.png", "p2.png"]
    empty = tmp_path / "empty"
    empty.mkdir()
    for sources, why in (([empty], "no picture in"), ([tmp_path / "absent"], "there is no"), ([], "no pictures")):
        with pytest.raises(UsageError, match=why):
            find_pictures(sources)
    with pytest.raises(UsageError, match="two pictures are named p1.png"):
        find_pictures([folder, folder / "p1.png"])
