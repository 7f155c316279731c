from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path

import pytest
from metric_sources import Source, make_clip, make_picture, noisy

from calotype.eval.metrics import METRICS, MetricError, ffmpeg, find, measure

BINARY = pytest.importorskip("imageio_ffmpeg").get_ffmpeg_exe()
FIGURES = ("vmaf", "xpsnr_y", "xpsnr_u", "xpsnr_v")


def write_y4m(path: Path, clip: Source) -> None:
    height, width = clip.parts[0][0].shape
    data = b"YUV4MPEG2 W%d H%d F%d:1 Ip C420jpeg\n" % (width, height, clip.rate)
    path.write_bytes(data + b"".join(b"FRAME\n" + b"".join(p.tobytes() for p in parts) for parts in clip.parts))


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files; nothing may be left in it."""
    here = tmp_path / "temporary"
    here.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(here))
    return here


@pytest.mark.parametrize("size, rate", [((64, 96), 60), ((65, 97), 25)])
def test_figures_are_those_of_ffmpeg_on_two_files(size, rate, tmp_path, temporary):
    source, decoded = make_clip(*size, 5, rate=rate), make_clip(*size, 5, sigma=6, rate=rate)
    write_y4m(tmp_path / "source.y4m", source)
    write_y4m(tmp_path / "decoded.y4m", decoded)
    for graph in ("libvmaf=log_path=vmaf.json:log_fmt=json", "xpsnr=stats_file=xpsnr.log"):
        command = [BINARY, "-v", "error", "-i", "decoded.y4m", "-i", "source.y4m", "-lavfi", graph, "-f", "null", "-"]
        subprocess.run(command, cwd=tmp_path, check=True)
    vmaf = json.loads((tmp_path / "vmaf.json").read_text())["pooled_metrics"]["vmaf"]["mean"]
    xpsnr = (tmp_path / "xpsnr.log").read_text().splitlines()[-1].split()
    theirs = {"vmaf": vmaf} | {f"xpsnr_{plane}": float(xpsnr[xpsnr.index(f"{plane}:") + 1]) for plane in "yuv"}
    found = measure([METRICS[name] for name in FIGURES], source, decoded)
    assert found.values == pytest.approx(theirs, abs=1e-5)
    assert not found.notes
    assert not list(temporary.iterdir())


def test_one_at_a_time_gives_what_all_at_once_give():
    source, decoded = make_clip(48, 64, 3), make_clip(48, 64, 3, sigma=6)
    together = measure([METRICS[name] for name in FIGURES], source, decoded).values
    for name in FIGURES:
        assert METRICS[name].measure(source, decoded) == pytest.approx({name: together[name]})


def test_an_equal_clip_has_no_xpsnr_and_a_higher_vmaf_than_a_noisy_one():
    clip = make_clip(64, 96, 3)
    found = measure([METRICS[name] for name in FIGURES], clip, clip)
    assert [found.values[name] for name in FIGURES[1:]] == [None] * 3
    assert "equals its source" in found.notes["xpsnr_u"]
    noise = METRICS["vmaf"].measure(clip, make_clip(64, 96, 3, sigma=12))["vmaf"]
    assert noise < found.values["vmaf"] <= 100


def test_a_picture_has_a_vmaf():
    picture = make_picture(64, 96)
    equal = METRICS["vmaf"].measure([picture], [picture])["vmaf"]
    assert 0 <= METRICS["vmaf"].measure([picture], [noisy(picture, 20, 1)])["vmaf"] < equal <= 100


def test_the_binary_has_both_filters_and_vmafs_model():
    assert not any(METRICS[name].unavailable() for name in FIGURES)


@pytest.mark.parametrize("how", ["no binary", "no model"])
def test_what_cannot_be_had_is_told_and_does_not_fail(how, monkeypatch, temporary):
    if how == "no binary":
        monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(temporary / "nothing"))
    else:
        monkeypatch.setitem(ffmpeg.FILTERS, "vmaf", "libvmaf=model=version=vmaf_v9")
    ffmpeg._probe.cache_clear()
    try:
        found, reasons = find(["psnr_y", "vmaf"], "clip")
    finally:
        ffmpeg._probe.cache_clear()
    assert [metric.name for metric in found] == ["psnr_y"]
    assert "ffmpeg" in reasons["vmaf"]
    assert not list(temporary.iterdir())


def test_a_binary_that_fails_costs_its_own_figures_only(monkeypatch, temporary):
    source, decoded = make_clip(64, 96, 60), make_clip(64, 96, 60, sigma=3)
    monkeypatch.setitem(ffmpeg.FILTERS, "xpsnr", "xpsnr=nonsense=1")
    found = measure([METRICS[name] for name in ("psnr_y", "xpsnr_y")], source, decoded)
    assert found.values["psnr_y"] and found.values["xpsnr_y"] is None
    assert "ffmpeg failed" in found.notes["xpsnr_y"]
    with pytest.raises(MetricError, match="ffmpeg failed"):
        METRICS["xpsnr_y"].measure(source, decoded)
    assert not list(temporary.iterdir())
