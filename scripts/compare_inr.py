"""The two networks of codec `inr-video`, on clips made small so that a CPU is enough.

    python scripts/compare_inr.py warm CLIP... [--size 160x90] [--groups 3] [--steps 300] [--bpp 0.3]
    python scripts/compare_inr.py nets CLIP [--size 320x180] [--frames 16] [--quality 60] [--minutes 4]

warm: for each group of four frames of a clip after the first, two fits of `nirvana.1` of the same size, with the same bits
asked for and as many steps: one from random weights, one from the network of the group before (itself fitted from random
weights). Printed are the steps that each took to a PSNR: the best that the fit from random weights ever had, less 0.1, 1, 2
and 3 dB. PSNR is of RGB as the fit sees it, unclipped, all four frames together.

nets: whole files of both networks after as many minutes, and of the default video model at a few qualities, in real bytes,
decoded; mean over frames of RGB PSNR of the decoder's pictures against the small frames. --skip leaves the networks out.

Frames are scaled by FFmpeg's area filter to 4:2:0 of the size given, and these are the originals.
"""

from __future__ import annotations

import argparse
import io
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from calotype import threads
from calotype.codecs.header import Colour
from calotype.codecs.limits import Limits
from calotype.codecs.neural.encoder import Settings, encode_clip
from calotype.codecs.neural.fitting import Budget
from calotype.codecs.neural.grouphead import NETS
from calotype.codecs.neural.nets import Place, Task, net
from calotype.codecs.video.clip import Settings as VideoSettings
from calotype.codecs.video.clip import encode_clip as encode_video
from calotype.codecs.video.colour import to_rgb
from calotype.codecs.video.opening import open_clip
from calotype.codecs.video.source import TimedFrame, VideoSource
from calotype.codecs.video.structure import load
from calotype.codecs.y4m import Planes
from calotype.models.zoo import DEFAULT_VIDEO_MODEL, load_any_model

COLOUR = Colour("bt709", "limited", "420", 8)
VIDEO_QUALITIES = (0, 15, 30)
BELOW = (0.1, 1.0, 2.0, 3.0)


def small(path: Path, size: str, frames: int) -> list[Planes]:
    """The first frames of a clip, as 4:2:0 planes of WIDTHxHEIGHT."""
    width, height = map(int, size.split("x"))
    found = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            if len(found) == frames:
                break
            planes = frame.reformat(width, height, "yuv420p", interpolation="AREA").to_ndarray()
            luma, rest = planes[:height], planes[height:].reshape(2, (height + 1) // 2, (width + 1) // 2)
            found.append((np.ascontiguousarray(luma), *map(np.ascontiguousarray, rest)))
    return found


def curve(group, place: Place, bits: float, steps: int, before):
    """PSNR after each step, the state."""
    seen: list[float] = []
    budget = Budget(steps, None, lambda step, db, bits, share: seen.append(db))
    return seen, net("nirvana.1").encode_group(group, place, Task(bits, 4, budget, "cpu"), before).state


def reached(seen: list[float], db: float) -> int | None:
    """The first step after which that PSNR was there."""
    return next((step for step, value in enumerate(seen, 1) if value >= db), None)


def warm(options: argparse.Namespace) -> None:
    """Steps from random weights against steps from the last group's."""
    size, ratios = net("nirvana.1").frames, {below: [] for below in BELOW}
    for path in options.clips:
        frames = small(path, options.size, size * options.groups)
        height, width = frames[0][0].shape
        place = Place(height, width, COLOUR, Limits())
        bits = options.bpp * size * height * width
        state = curve(frames[:size], place, bits, options.steps, None)[1]
        for number in range(1, len(frames) // size):
            group = frames[size * number : size * (number + 1)]
            cold, after = curve(group, place, bits, options.steps, None)
            begun, _ = curve(group, place, bits, options.steps, state)
            state, best, said = after, max(cold), []
            for below in BELOW:
                steps = reached(cold, best - below), reached(begun, best - below)
                ratios[below].append(steps[0] / steps[1] if steps[1] else 0.0)  # type: ignore[operator]
                said.append(f"{best - below:.2f} dB: {steps[0]} and {steps[1]}")
            print(
                f"{path.name}, group {number}, steps from random weights and from the last group's: {'; '.join(said)}",
                flush=True,
            )
    for below, found in ratios.items():
        missed = f", {found.count(0.0)} never there" if 0.0 in found else ""
        spread = f"median of {len(found)}, least {min(found):.1f}{missed}"
        print(f"{below} dB below the best: {np.median(found):.1f} times fewer steps ({spread})")


def nets(options: argparse.Namespace) -> None:
    """Both networks after equal minutes, then the video model."""
    frames = small(options.clips[0], options.size, options.frames)
    for name in [] if options.skip else NETS:
        encode_clip(source_of(frames[:2]), Settings(name, effort=0))  # compiles what is compiled on first use
        started, spent = time.monotonic(), time.process_time()
        coded = encode_clip(source_of(frames), Settings(name, options.quality, None, options.minutes))
        took = f"{time.monotonic() - started:.0f} s ({time.process_time() - spent:.0f} s of CPU)"
        row(f"{name}, quality {options.quality:g}, {coded.steps} steps in {took}", coded.data, frames)
    bundle = load_any_model(DEFAULT_VIDEO_MODEL)[1]
    for quality in VIDEO_QUALITIES:
        sink = io.BytesIO()
        encode_video(bundle, None, source_of(frames), sink, VideoSettings(load("random-access-16"), value=quality))
        row(f"{bundle.name}, quality {quality:g}", sink.getvalue(), frames)


def source_of(frames: list[Planes]) -> VideoSource:
    """A clip of frames, 25 a second."""
    height, width = frames[0][0].shape
    timed = [TimedFrame(planes, number) for number, planes in enumerate(frames)]
    return VideoSource(width, height, Fraction(25), Fraction(1, 25), iter(timed), COLOUR)


def row(name: str, data: bytes, frames: list[Planes]) -> None:
    """Decode a file, and print what it is."""
    started = time.process_time()
    shown = [to_rgb(frame.planes, COLOUR).astype(float) for frame in open_clip(io.BytesIO(data))]
    spent = time.process_time() - started
    errors = [np.square(a - to_rgb(b, COLOUR)).mean() for a, b in zip(shown, frames, strict=True)]
    db = np.mean([10 * np.log10(255**2 / error) for error in errors])
    bpp = 8 * len(data) / (frames[0][0].size * len(frames))
    print(f"{name}: {len(data)} bytes, {bpp:.4f} bpp, {db:.2f} dB RGB; decoded in {spent:.1f} s of CPU", flush=True)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["warm", "nets"])
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--size", default="160x90")
    parser.add_argument("--groups", type=int, default=3)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--bpp", type=float, default=0.3)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--quality", type=float, default=60.0)
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--skip", action="store_true")
    options = parser.parse_args()
    threads.set_count(1)
    {"warm": warm, "nets": nets}[options.what](options)


if __name__ == "__main__":
    main()
