"""The registry, and several metrics at once."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from metric_sources import Source, make_clip, make_picture, noisy

from calotype.errors import UsageError
from calotype.eval.metrics import CONVENTIONS, METRICS, find, measure

NEEDS_NO_PACKAGE = ["psnr_y", "psnr_u", "psnr_v", "psnr_611"]


def test_each_metric_states_its_convention_in_one_sentence():
    for name, metric in METRICS.items():
        assert metric.name == name
        assert CONVENTIONS[name] == metric.convention and len(metric.convention) > 20
        assert "\n" not in metric.convention and not metric.convention.endswith(".")
        assert set(metric.kinds) <= {"picture", "clip"} and metric.kinds


@pytest.mark.parametrize("kind, names", [("picture", ["psnr_rgb", "ms_ssim_rgb"]), ("clip", [*NEEDS_NO_PACKAGE, "ms_ssim_y"])])
def test_the_default_is_the_cheap_set(kind, names):
    found, reasons = find(None, kind)
    assert [metric.name for metric in found] + list(reasons) == names


def test_all_is_every_metric_of_the_kind_found_or_with_a_reason():
    for kind in ("picture", "clip"):
        found, reasons = find(["all"], kind)
        of_kind = {name for name, metric in METRICS.items() if kind in metric.kinds}
        assert {metric.name for metric in found} | set(reasons) == of_kind
        assert {metric.name for metric in found}.isdisjoint(reasons)
        assert all(reasons.values())


def test_a_metric_of_the_other_kind_has_a_reason_and_an_unknown_one_is_refused():
    found, reasons = find(["psnr_y", "psnr_rgb"], "picture")
    assert [metric.name for metric in found] == ["psnr_rgb"]
    assert reasons == {"psnr_y": "psnr_y measures a clip, not a picture"}
    with pytest.raises(UsageError, match="no metric 'psnr'.*psnr_611"):
        find(["psnr"], "clip")
    with pytest.raises(UsageError, match="no kind"):
        find(None, "sound")


@pytest.mark.parametrize("package, name", [("pytorch_msssim", "ms_ssim_rgb"), ("ssimulacra2", "ssimulacra2")])
def test_a_missing_package_is_a_reason(package, name, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    found, reasons = find(["psnr_rgb", name], "picture")
    assert [metric.name for metric in found] == ["psnr_rgb"]
    assert "pip install calotype[metrics]" in reasons[name]


def test_one_pass_gives_what_each_metric_gives_and_says_why_there_is_none():
    picture = make_picture(40, 48)
    metrics = find(["psnr_rgb", "ssim_rgb", "ms_ssim_rgb", "ssimulacra2"], "picture")[0]
    found = measure(metrics, [picture], [noisy(picture, 5, 1)])
    for metric in metrics:
        assert metric.measure([picture], [noisy(picture, 5, 1)]) == {metric.name: found.values[metric.name]}
    if "ms_ssim_rgb" in found.values:
        assert found.values["ms_ssim_rgb"] is None and "161" in found.notes["ms_ssim_rgb"]
    equal = measure([METRICS["psnr_rgb"]], [picture], [picture])
    assert equal.values == {"psnr_rgb": None} and "equals its source" in equal.notes["psnr_rgb"]


def test_frames_that_cannot_be_compared_are_refused():
    clip, metric = make_clip(16, 24, 3), [METRICS["psnr_y"]]
    odd = make_clip(16, 25, 1).parts
    for source, decoded, what in (
        (clip, make_clip(16, 25, 3), "different sizes"),
        (Source(clip.parts[:2] + odd), Source(clip.parts[:2] + odd), "frame 3 is of another size"),
        (clip, Source(clip.parts[:2]), "decoded has only 2"),
        (Source(clip.parts[:2]), clip, "source has only 2"),
        (Source([]), Source([]), "no frames"),
        ([make_picture(16, 24)], [make_picture(16, 24)], "measures a clip"),
        (clip, [make_picture(16, 24)], "different sizes"),
    ):
        with pytest.raises(UsageError, match=what):
            measure(metric, source, decoded)
    wide = [(np.zeros((4, 4), np.uint8),) * 3]
    with pytest.raises(UsageError, match="4:2:0"):
        measure(metric, wide, wide)
    with pytest.raises(UsageError, match="some measure pictures"):
        measure([METRICS["psnr_y"], METRICS["psnr_rgb"]], clip, clip)


def test_import_is_light():
    code = (
        "import sys, calotype.eval.metrics; print([m for m in ('torch', 'scipy', 'lpips', 'torchmetrics') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
