"""What a figure was measured with: versions, processor, threads, device."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

from calotype import __version__

PACKAGES = (
    *("numpy", "numba", "pillow", "scipy", "compressai", "pillow-jxl-plugin", "imageio-ffmpeg"),
    *("onnxruntime", "openvino", "nncf"),
)


def environment(device: str = "cpu") -> dict[str, str | int]:
    """Versions (absent packages left out), processor, cores, torch's threads and the device by name."""
    import torch

    found: dict[str, str | int] = {
        "calotype": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "torch": torch.__version__,
    }
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    found["processor"] = _processor()
    found["cores"] = os.cpu_count() or 0
    found["threads"] = torch.get_num_threads()
    found["device"] = torch.cuda.get_device_name(device) if device.startswith("cuda") else device
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
