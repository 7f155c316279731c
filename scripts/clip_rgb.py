"""RGB PSNR of clips at real bytes, through the commands: python scripts/clip_rgb.py CLIP [--frames 16] [--quality 20,40] ...

A row a quality: bytes of the whole file, bits a pixel, mean over frames of the PSNR of 8-bit RGB and of 4:2:0 as
(6 Y + U + V) / 8, both against the source's own 4:2:0 frames, and seconds of the whole commands, start and loading included.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean

import numpy as np

from calotype.codecs.video.colour import to_rgb
from calotype.codecs.video.decoder import Video
from calotype.codecs.video.encoder import psnr611
from calotype.codecs.video.media_in import open_video

CALOTYPE = [sys.executable, "-m", "calotype"]


def timed(*arguments: str) -> float:
    started = time.monotonic()
    subprocess.run([*CALOTYPE, *arguments], check=True, capture_output=True)
    return time.monotonic() - started


def row(clip: Path, quality: str, frames: int, options: list[str]) -> str:
    """One quality."""
    with tempfile.TemporaryDirectory() as folder:
        out, raw = Path(folder) / "out.calo", Path(folder) / "out.y4m"
        encode = timed("encode", str(clip), str(out), "-q", quality, "--frames", str(frames), "--no-audio", *options)
        decode = timed("decode", str(out), str(raw))
        rgb, planes = [], []
        with open_video(clip, frames=frames) as source, Video(out) as video:
            for wanted, found in zip(source.frames(), video, strict=True):
                a, b = (to_rgb(p, source.colour).astype(np.float64) for p in (wanted.planes, found.planes))
                rgb.append(10 * np.log10(255**2 / max(float(np.square(a - b).mean()), 1e-9)))
                planes.append(psnr611(wanted.planes, found.planes))
            bits = 8 * out.stat().st_size / (len(rgb) * source.width * source.height)
        cells = [clip.stem, f"q {quality}", f"{len(rgb)} frames", f"{out.stat().st_size} bytes", f"{bits:.4f} bpp"]
        cells += [f"RGB {mean(rgb):.2f} dB", f"6:1:1 {mean(planes):.2f} dB"]
        return " | ".join([*cells, f"encode {encode / len(rgb):.2f} s a frame", f"decode {len(rgb) / decode:.1f} frames/s"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--quality", default="20,40,60")
    parser.add_argument("--encode", default="-m,overfit", help="options of `calotype encode`, with commas between")
    options = parser.parse_args()
    for clip in options.clips:
        for quality in options.quality.split(","):
            print(row(clip, quality, options.frames, options.encode.split(",")), flush=True)


if __name__ == "__main__":
    main()
