"""Runs and curves that need no codec: rate-distortion curves of a known shape."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

SOURCES = ("a.png", "b.png", "c.png")
POINTS = (10, 20, 30, 40, 50)


def make_row(codec: str, source: str, number: int, factor: float, **changed: Any) -> dict[str, Any]:
    """A row whose PSNR is a line over the logarithm of its rate, which is `factor` times that of factor 1."""
    size = 10_000 * (1 + SOURCES.index(source)) if source in SOURCES else 10_000
    psnr = 26 + 3 * number
    bits = factor * size * 0.1 * 1.6**number
    row = {
        "codec": codec,
        "source": source,
        "kind": "picture",
        "sha256": "0" * 64,
        "width": 100,
        "height": size // 100,
        "frames": 1,
        "fps": 1.0,
        "point": POINTS[number],
        "bytes": bits / 8,
        "bpp": bits / size,
        "estimated_bits": None,
        "metrics": {"psnr_rgb": float(psnr), "ms_ssim_rgb": 1 - 10 ** (-psnr / 20)},
        "encode_seconds": {"total": 0.5},
        "decode_seconds": {"total": 0.25},
        "peak_memory": None,
        "threads": 2,
        "device": "cpu",
        "differing_pixels": None,
        "repeatable": None,
    }
    return row | changed


def make_run(factors: dict[str, dict[str, float]], **changed: Any) -> dict[str, Any]:
    """A run of codec -> source -> rate factor. Codecs named ours... have a model."""
    rows = [
        make_row(codec, source, number, factor)
        for codec, sources in factors.items()
        for source, factor in sources.items()
        for number in range(len(POINTS))
    ]
    for row in rows:
        if row["codec"].startswith("ours"):
            row["estimated_bits"] = 8 * row["bytes"] - 40
            row["decode_seconds"] = {"total": 0.75, "network": 0.5, "entropy": 0.125}
            row |= {"peak_memory": 3 << 20, "differing_pixels": 0, "repeatable": True}
    ours = {"codec": "calotype", "model": "m", "model_hash": "ab", "parameters": 1_000_000, "kmac_per_pixel": 50}
    run = {
        "format": 2,
        "environment": {"python": "3.11", "threads": 2, "device": "cpu"},
        "conventions": {"psnr_rgb": "PSNR as the test has it", "rate": "rate: bytes of the file"},
        "notes": {"vmaf": "no ffmpeg here"},
        "commands": ["calotype eval --codec ours"],
        "dataset": {"name": "three", "misfits": []},
        "codecs": {codec: ours if codec.startswith("ours") else {"codec": codec} for codec in factors},
        "rows": rows,
        "failures": [],
    }
    return run | changed


def two() -> dict[str, Any]:
    """ours at 0.8, 0.9 and 1.0 of the rate of jpeg."""
    return make_run({"jpeg": dict.fromkeys(SOURCES, 1.0), "ours": dict(zip(SOURCES, (0.8, 0.9, 1.0), strict=True))})


def curve_file(path: Path, factor: float = 1.0, count: int = 5, name: str = "VTM") -> Path:
    """A published curve in the layout of CompressAI's results, at `factor` of the rate of jpeg in `two`."""
    psnr = [26.0 + 3 * number for number in range(count)]
    results = {
        "bpp": [factor * 0.1 * 1.6**number for number in range(count)],
        "psnr-rgb": psnr,
        "ms-ssim-rgb": [1 - 10 ** (-value / 20) for value in psnr],
        "decoding_time": [0.1] * count,
    }
    path.write_text(json.dumps({"name": name, "description": "a test", "results": results}))
    return path


def ms_ssim_db(number: int) -> float:
    """What `make_row` gives, on the axis."""
    return (26 + 3 * number) / 2


def mean_rate(number: int, factor: float) -> float:
    """bpp of `make_row`."""
    return factor * 0.1 * math.pow(1.6, number)
