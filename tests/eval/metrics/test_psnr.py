from __future__ import annotations

import math
import re
import subprocess

import numpy as np
import pytest
import torch
from metric_sources import make_clip, make_picture, noisy

from calotype.errors import UsageError
from calotype.eval.metrics import METRICS, differing_pixels, measure, mse_rgb, psnr_planes, psnr_rgb


def test_psnr_is_the_textbook_figure():
    a = np.zeros((2, 3, 3), np.uint8)
    b = a.copy()
    b[0, 0, 0] = 6  # 36 over 18 samples
    assert mse_rgb(a, b) == 2
    assert psnr_rgb(a, b) == pytest.approx(10 * math.log10(255**2 / 2))
    assert psnr_rgb(a, np.full_like(a, 255)) == 0


def test_psnr_equals_a_float64_computation():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 256, (2, 31, 17, 3), dtype=np.uint8)
    mse = np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2)
    assert psnr_rgb(a, b) == pytest.approx(10 * np.log10(255**2 / mse), rel=1e-12)


def test_psnr_of_rgb_agrees_with_torchmetrics(peer):
    image = peer("torchmetrics.functional.image")
    a = make_picture(33, 48)
    b = noisy(a, 5, 1)
    theirs = image.peak_signal_noise_ratio(
        *(torch.from_numpy(x).permute(2, 0, 1)[None].double() for x in (b, a)), data_range=255.0
    )
    assert METRICS["psnr_rgb"].measure([a], [b])["psnr_rgb"] == pytest.approx(float(theirs), abs=1e-5)


@pytest.mark.parametrize("size", [(48, 64), (33, 47)])
def test_psnr_of_planes_agrees_with_ffmpegs_filter(size, tmp_path):
    ffmpeg = pytest.importorskip("imageio_ffmpeg").get_ffmpeg_exe()
    source, decoded = make_clip(*size, 1), make_clip(*size, 1, sigma=6)
    command = [ffmpeg, "-hide_banner"]
    for name, clip in (("decoded", decoded), ("source", source)):
        path = tmp_path / name
        path.write_bytes(b"".join(plane.tobytes() for plane in clip.parts[0]))
        command += ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{size[1]}x{size[0]}", "-i", str(path)]
    command += ["-lavfi", "psnr", "-f", "null", "-"]
    said = subprocess.run(command, capture_output=True, check=True, text=True).stderr
    theirs = [float(x) for x in re.search(r"PSNR y:(\S+) u:(\S+) v:(\S+)", said).groups()]
    assert list(psnr_planes(source.parts[0], decoded.parts[0])) == pytest.approx(theirs, abs=2e-6)


def test_a_clips_psnr_is_the_mean_of_its_frames_and_611_their_weighted_mean():
    source, decoded = make_clip(32, 48, 3), make_clip(32, 48, 3, sigma=4)
    found = measure([METRICS[f"psnr_{name}"] for name in ("y", "u", "v", "611")], source, decoded).values
    frames = [psnr_planes(a, b) for a, b in zip(source.parts, decoded.parts, strict=True)]
    y, u, v = np.mean(frames, axis=0)
    assert found == pytest.approx({"psnr_y": y, "psnr_u": u, "psnr_v": v, "psnr_611": (6 * y + u + v) / 8})


def test_equal_pictures_have_infinite_psnr_no_figure_and_no_differing_pixel():
    a = np.random.default_rng(1).integers(0, 256, (8, 5, 3), dtype=np.uint8)
    assert psnr_rgb(a, a.copy()) == math.inf
    assert METRICS["psnr_rgb"].measure([a], [a.copy()]) == {"psnr_rgb": None}
    assert differing_pixels(a, a.copy()) == 0


def test_a_pixel_that_differs_in_two_channels_counts_once():
    a = np.zeros((4, 4, 3), np.uint8)
    b = a.copy()
    b[1, 1, :2], b[3, 0, 2] = 1, 255
    assert differing_pixels(a, b) == 2


@pytest.mark.parametrize("other", [np.zeros((4, 5, 3), np.uint8), np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8)])
def test_pictures_that_cannot_be_compared_are_refused(other):
    with pytest.raises(UsageError):
        psnr_rgb(np.zeros((4, 4, 3), np.uint8), other)
