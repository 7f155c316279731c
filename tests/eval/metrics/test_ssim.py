from __future__ import annotations

import numpy as np
import pytest
import torch
from metric_sources import make_clip, make_picture, noisy

from calotype.eval.metrics import METRICS

pytorch_msssim = pytest.importorskip("pytorch_msssim")


def tensor(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(picture).permute(2, 0, 1)[None].double()


def ssim_of_wang(a: np.ndarray, b: np.ndarray) -> float:
    """SSIM of two planes as the paper has it, by sums over every window."""
    x = np.arange(11) - 5
    window = np.exp(-(x**2) / (2 * 1.5**2))
    window = np.outer(window, window) / window.sum() ** 2
    a, b = (np.lib.stride_tricks.sliding_window_view(plane.astype(np.float64), (11, 11)) for plane in (a, b))

    def mean(values: np.ndarray) -> np.ndarray:
        return (values * window).sum((-1, -2))

    ma, mb = mean(a), mean(b)
    va, vb, cov = mean(a * a) - ma**2, mean(b * b) - mb**2, mean(a * b) - ma * mb
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return float(((2 * ma * mb + c1) * (2 * cov + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2))).mean())


def test_ssim_is_the_papers():
    a = make_picture(32, 45)
    b = noisy(a, 9, 1)
    expected = np.mean([ssim_of_wang(a[..., i], b[..., i]) for i in range(3)])
    assert METRICS["ssim_rgb"].measure([a], [b])["ssim_rgb"] == pytest.approx(expected, abs=2e-6)
    source, decoded = make_clip(32, 45, 2), make_clip(32, 45, 2, sigma=5)
    expected = np.mean([ssim_of_wang(x[0], y[0]) for x, y in zip(source.parts, decoded.parts, strict=True)])
    assert METRICS["ssim_y"].measure(source, decoded)["ssim_y"] == pytest.approx(expected, abs=2e-6)


def test_ssim_agrees_with_torchmetrics_inside_the_border_that_it_mirrors(peer):
    image = peer("torchmetrics.functional.image")
    a = make_picture(48, 64)
    b = noisy(a, 9, 1)
    whole = image.structural_similarity_index_measure(tensor(b), tensor(a), data_range=255.0, return_full_image=True)[1]
    theirs = float(whole[..., 5:-5, 5:-5].mean())
    assert METRICS["ssim_rgb"].measure([a], [b])["ssim_rgb"] == pytest.approx(theirs, abs=5e-6)


def test_ms_ssim_agrees_with_torchmetrics_but_for_the_last_scales_mirrored_border(peer):
    image = peer("torchmetrics.functional.image")
    source, decoded = make_clip(320, 384, 1), make_clip(320, 384, 1, sigma=9)
    y, z = (torch.from_numpy(clip.parts[0][0])[None, None].double() for clip in (source, decoded))
    theirs = float(image.multiscale_structural_similarity_index_measure(z, y, data_range=255.0))
    assert METRICS["ms_ssim_y"].measure(source, decoded)["ms_ssim_y"] == pytest.approx(theirs, abs=1e-4)


def test_ms_ssim_is_pytorch_msssims():
    a = make_picture(161, 170)
    b = noisy(a, 9, 1)
    theirs = pytorch_msssim.ms_ssim(tensor(a), tensor(b), data_range=255)
    assert METRICS["ms_ssim_rgb"].measure([a], [b])["ms_ssim_rgb"] == pytest.approx(float(theirs), abs=2e-6)
    source, decoded = make_clip(161, 170, 2), make_clip(161, 170, 2, sigma=5)
    frames = [
        [torch.from_numpy(planes[0])[None, None].double() for planes in pair]
        for pair in zip(source.parts, decoded.parts, strict=True)
    ]
    theirs = np.mean([float(pytorch_msssim.ms_ssim(*pair, data_range=255)) for pair in frames])
    assert METRICS["ms_ssim_y"].measure(source, decoded)["ms_ssim_y"] == pytest.approx(theirs, abs=2e-6)


def test_equal_frames_have_one():
    a, clip = make_picture(165, 163), make_clip(165, 163, 1)
    for name in ("ssim", "ms_ssim"):
        assert METRICS[f"{name}_rgb"].measure([a], [a.copy()]) == {f"{name}_rgb": 1}
        assert METRICS[f"{name}_y"].measure(clip, clip) == {f"{name}_y": 1}


def test_a_side_that_is_too_small_has_no_figure_and_one_more_has():
    for name, side in (("ssim_rgb", 11), ("ms_ssim_rgb", 161)):
        metric = METRICS[name]
        small, enough = make_picture(side - 1, side + 9), make_picture(side, side + 9)
        assert metric.measure([small], [noisy(small, 3, 1)]) == {name: None}
        assert f"{side + 9}x{side - 1}" in metric.limit(side + 9, side - 1)
        assert 0 < metric.measure([enough], [noisy(enough, 3, 1)])[name] < 1
