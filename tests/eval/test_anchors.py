from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_clips import write_y4m

from calotype.errors import UsageError
from calotype.eval.anchors import published_run, read_anchor
from calotype.eval.report.assemble import assemble
from calotype.eval.runs import read_run, write_run

BEAUTY, JOCKEY = "Beauty_64x48_25fps_420_8bit_YUV.yuv", "Jockey_64x48_25fps_420_8bit_YUV.yuv"


def test_a_compressai_file_gives_its_rates_and_psnrs(tmp_path):
    path = tmp_path / "vtm.json"
    path.write_text(json.dumps({"name": "VTM", "results": {"bpp": [0.1, 0.2], "psnr-rgb": [28, 30.5], "x": []}}))
    found = read_anchor(path)
    assert (found.name, found.rates, found.psnrs) == ("vtm", [0.1, 0.2], [28.0, 30.5])


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"results": {"bpp": [1]}}', '{"results": {"bpp": 1, "psnr-rgb": 2}}', '{"results": 3}'],
)
def test_other_files_are_refused_by_name(tmp_path, text):
    path = tmp_path / "odd.json"
    path.write_text(text)
    with pytest.raises(UsageError, match="odd.json"):
        read_anchor(path)
    with pytest.raises(UsageError, match="absent"):
        read_anchor(tmp_path / "absent.json")


def points(count: int, scale: float = 1.0, pixels: int = 64 * 48) -> dict:
    """Of one sequence, as DCVC's test writes them: rates from 0.4 down, PSNRs of 40, 41 and 42 dB down by 2 a point."""
    found = {}
    for number in range(6):
        figures = {"bpp": scale * 0.4 / 2**number, "psnr": 40.375 - 2 * number}
        figures |= {f"psnr_{plane}": 40.0 + at - 2 * number for at, plane in enumerate("yuv")}
        counts = {"frame_pixel_num": pixels, "i_frame_num": 1, "p_frame_num": count - 1}
        found[f"{22 + 3 * number:03d}"] = counts | {f"ave_all_frame_{key}": value for key, value in figures.items()}
    return found


def points_file(path: Path, count: int = 5) -> Path:
    path.write_text(json.dumps({"UVG": {BEAUTY: points(count), JOCKEY: points(count, 2.0)}, "HEVC_B": {}}))
    return path


def measured(sources: dict[str, float], frames: int = 5) -> dict:
    """A run whose PSNRs are those of `points` and whose rates are `factor` times its."""
    rows = []
    for source, factor in sources.items():
        for number in range(6):
            bpp, psnr = factor * 0.4 / 2**number, 40.375 - 2 * number
            row = {"codec": "ours-video", "source": source, "kind": "clip", "sha256": ""}
            row |= {"width": 64, "height": 48, "fps": 25.0}
            figures = {"point": 90 - number, "bpp": bpp, "bytes": 100, "kbps": 1.0, "metrics": {"psnr_611": psnr}}
            rows.append({**row, "frames": frames, **figures})
    whole = {"format": 2, "environment": {}, "conventions": {}, "notes": {}, "commands": [], "failures": []}
    return {**whole, "dataset": {"name": "uvg", "misfits": []}, "codecs": {"ours-video": {"codec": "calotype"}}, "rows": rows}


def test_published_sequences_become_a_run_of_the_clips_that_were_measured(tmp_path):
    found = published_run(points_file(tmp_path / "vtm.json"), "uvg", measured({"Beauty.y4m": 1.0}))
    assert [row["point"] for row in found["rows"]] == [22, 25, 28, 31, 34, 37]
    first = found["rows"][0]
    assert (first["codec"], first["source"], first["frames"], first["fps"]) == ("vtm", "Beauty.y4m", 5, 25.0)
    assert first["metrics"] == {"psnr_y": 40.0, "psnr_u": 41.0, "psnr_v": 42.0, "psnr_611": (6 * 40 + 41 + 42) / 8}
    assert first["bpp"] == 0.4 and first["bytes"] == round(0.4 * 64 * 48 * 5 / 8)
    assert first["kbps"] == pytest.approx(0.4 * 64 * 48 * 25 / 1000)
    write_run(tmp_path / "run.json", found)
    assert read_run(tmp_path / "run.json") == found


def test_a_report_compares_with_published_sequences_one_by_one(tmp_path):
    ours = measured({BEAUTY: 0.8, JOCKEY: 3.0})
    theirs = published_run(points_file(tmp_path / "vtm.json"), "UVG", ours)
    entry = assemble([("ours", ours), ("vtm", theirs)], anchor="vtm")["bd"]["psnr_611"]["vtm"]["ours-video"]
    assert entry["per_source"] == {BEAUTY: pytest.approx(-20), JOCKEY: pytest.approx(50)}
    assert entry["rate"] == pytest.approx(15) and entry["averaged"] == pytest.approx(100 * (3.8 / 3 - 1))


def test_published_sequences_that_do_not_fit_the_run_are_refused_saying_why(tmp_path):
    path, run = points_file(tmp_path / "vtm.json"), measured({BEAUTY: 1.0})
    for name, ours, said in (
        ("uvg", measured({BEAUTY: 1.0}, frames=4), "5 frames of 3072 pixels, and measured with 4 of 64 x 48"),
        ("uvg", measured({"Cactus.y4m": 1.0}), "no sequence Cactus.y4m in uvg; measure only beauty, jockey"),
        ("hevc-c", run, "no set 'hevc-c'; it has uvg, hevcb"),
    ):
        with pytest.raises(UsageError, match=said):
            published_run(path, name, ours)
    whole = json.loads(path.read_text())
    for change in ({"ave_all_frame_bpp": None}, {"ave_all_frame_psnr_v": "x"}, {"i_frame_num": None}):
        odd = copy.deepcopy(whole)
        odd["UVG"][BEAUTY]["025"] |= change
        path.write_text(json.dumps(odd))
        with pytest.raises(UsageError, match="QP 025 of Beauty"):
            published_run(path, "uvg", run)
    for text in ("", "[]", '{"UVG": 3}', '{"UVG": {"Beauty_64x48_25": 3}}'):
        path.write_text(text)
        with pytest.raises(UsageError, match="not a file of published sequences"):
            published_run(path, "uvg", run)
    with pytest.raises(UsageError, match="absent"):
        published_run(tmp_path / "absent.json", "uvg", run)


def test_the_script_compares_a_folder_of_sequences_with_published_points(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    write_y4m(data / "Beauty.y4m")
    write_y4m(data / "other.y4m")
    root = Path(__file__).parents[2]
    command = [sys.executable, root / "scripts" / "report_published.py", "uvg", data, tmp_path / "out"]
    command.append(points_file(tmp_path / "vtm.json"))
    here = os.environ | {"PYTHONPATH": str(root)}
    done = subprocess.run(command, env=here, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Jockey_1920x1080_120fps_420_8bit_YUV" in done.stderr
    run = read_run(tmp_path / "out" / "uvg.json")
    assert {row["source"] for row in run["rows"]} == {"Beauty.y4m"} and len(run["rows"]) == 8
    assert "vtm" in (tmp_path / "out" / "uvg.md").read_text() and (tmp_path / "out" / "uvg.html").exists()
    write_y4m(data / "Beauty.y4m", count=2)
    command[-2] = tmp_path / "cut"
    done = subprocess.run(command, env=here, capture_output=True, text=True, check=False)
    assert done.returncode and "measured with 2" in done.stderr and not (tmp_path / "cut" / "uvg.json").exists()
