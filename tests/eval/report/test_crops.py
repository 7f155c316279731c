from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image
from report_runs import make_row, make_run

from calotype.eval.report import crops
from calotype.eval.report.crops import choose_crops

SHAPE = (300, 400, 3)


@pytest.fixture
def kept(tmp_path):
    """A run of two codecs with kept pictures that differ in one corner only."""
    run = make_run({})
    for codec, factor in (("jpeg", 1.0), ("ours", 1.02)):
        for number in range(3):
            picture = np.full(SHAPE, 90, np.uint8)
            if codec == "ours":
                picture[250:, 350:] = 200
            name = f"{codec}/{number}.png"
            (tmp_path / codec).mkdir(exist_ok=True)
            Image.fromarray(picture).save(tmp_path / name)
            run["rows"].append(make_row(codec, "a.png", number, factor, picture=name, width=400, height=300))
    return run, tmp_path


def pixels(item):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(item["image"].split(",")[1]))))


def test_crops_are_of_the_nearest_bytes_and_where_the_pictures_differ(kept):
    run, folder = kept
    [crop], notes = choose_crops([(folder / "run.json", run)], target_bpp=0.16)
    assert notes == [] and crop["source"] == "a.png"
    assert [(item["codec"], item["point"], item["far"]) for item in crop["items"]] == [("jpeg", 20, False), ("ours", 20, False)]
    assert crop["x"] + crop["width"] > 350 and crop["y"] + crop["height"] > 250
    assert pixels(crop["items"][1]).shape == (crop["height"], crop["width"], 3)
    assert (pixels(crop["items"][1]) == 200).any() and (pixels(crop["items"][0]) == 90).all()


def test_originals_are_shown_when_they_are_there(kept):
    run, folder = kept
    originals = folder / "originals"
    originals.mkdir()
    Image.fromarray(np.full(SHAPE, 7, np.uint8)).save(originals / "a.png")
    [crop], _ = choose_crops([(folder / "run.json", run)], originals)
    assert [item["codec"] for item in crop["items"]] == ["original", "jpeg", "ours"]
    assert crop["items"][0]["bytes"] is None and (pixels(crop["items"][0]) == 7).all()


def test_bytes_that_are_not_near_are_marked(kept):
    run, folder = kept
    run["rows"] = [row for row in run["rows"] if (row["codec"], row["point"]) != ("ours", 20)]
    [crop], _ = choose_crops([(folder / "run.json", run)], target_bpp=0.16)
    assert [item["far"] for item in crop["items"]] == [False, True]


def test_pictures_that_are_gone_or_do_not_fit_are_said(kept):
    run, folder = kept
    (folder / "jpeg" / "0.png").unlink()
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(folder / "ours" / "1.png")
    found, notes = choose_crops([(folder / "run.json", run)], target_bpp=0.16)
    assert found == [] and "1 kept pictures" in notes[0] and "differ in size" in notes[1]


def test_the_page_stays_small(kept, monkeypatch):
    run, folder = kept
    monkeypatch.setattr(crops, "MAX_CHARACTERS", 100)
    found, notes = choose_crops([(folder / "run.json", run)])
    assert found == [] and "small" in notes[0]


def test_tiny_pictures_are_whole(tmp_path):
    run = make_run({})
    for codec in ("a", "b"):
        Image.fromarray(np.zeros((5, 7, 3), np.uint8)).save(tmp_path / f"{codec}.png")
        run["rows"].append(make_row(codec, "a.png", 0, 1.0, picture=f"{codec}.png"))
    [crop], _ = choose_crops([(tmp_path / "run.json", run)])
    assert (crop["x"], crop["y"], crop["width"], crop["height"]) == (0, 0, 7, 5)


def test_kept_pictures_are_found_in_the_folder_that_is_named(kept, tmp_path):
    run, folder = kept
    elsewhere = tmp_path / "elsewhere" / "run.json"
    assert choose_crops([(elsewhere, run)])[0] == []
    assert len(choose_crops([(elsewhere, run)], pictures=folder)[0]) == 1
