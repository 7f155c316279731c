"""What video promises, measured on clips: steady quality over long chains, the span of the dial, targets reached, memory.

    python scripts/check_video.py CLIPS [--frames 96] [--targets] [--memory]

CLIPS: a folder. A row a clip: PSNR (6:1:1) of the first and last 16 frames of one chain of P frames, with one intra frame, at
two qualities: of the clip, and of its first half there and back, so that first and last frames are the same pictures; and
the PSNR at both ends of the dial. --targets: bitrates in one pass and two, sizes and PSNRs against what was
asked. --memory: peak memory of `calotype encode` and `decode` on 20 and on 120 frames of 1280x720 (10 and 60 s at 2 a second).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path
from statistics import mean

import numpy as np

from calotype.codecs import y4m
from calotype.codecs.suffixes import MOVIE_SUFFIXES
from calotype.codecs.video.media_in import open_video

CALOTYPE = [sys.executable, "-m", "calotype"]
CHAIN = ["--structure", "low-delay", "--intra-period", "0", "--no-cuts", "--no-audio"]
ENDS = 16  # frames


def encode(clip: Path, folder: Path, *options: str) -> tuple[dict, list[dict]]:
    """(the command's record, its log) of one encode."""
    log, out = folder / "log.jsonl", folder / "out.calo"
    command = [*CALOTYPE, "encode", str(clip), str(out), "--json", "--log", str(log), *options]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    records = [json.loads(line) for line in log.read_text().splitlines()]
    return json.loads(done.stdout), sorted(records, key=lambda record: record["number"])


def chain(clip: Path, frames: int, folder: Path) -> str:
    """A row of the first table."""
    back, cells = folder / "back.y4m", []
    there_and_back(clip, frames // 2, back)
    for source in (clip, back):
        for quality in (30, 60):
            _, log = encode(source, folder, *CHAIN, "--frames", str(frames), "-q", str(quality))
            psnr = [record["psnr"] for record in log]
            first, last = mean(psnr[:ENDS]), mean(psnr[-ENDS:])
            cells.append(f"{first:.2f} {last:.2f} ({last - first:+.2f})")
    low, high = (encode(clip, folder, *CHAIN, "--frames", "16", "-q", q)[0]["psnr"] for q in ("0", "100"))
    return f"{clip.name} | {len(psnr)} | {' | '.join(cells)} | {low:.2f} to {high:.2f} ({high - low:.1f})"


def there_and_back(clip: Path, frames: int, path: Path) -> None:
    """So many frames of a clip, then the same ones backwards, as y4m."""
    with open_video(clip, frames=frames) as source, path.open("wb") as stream:
        shown = [frame.planes for frame in source.frames()]
        y4m.write_header(stream, source.width, source.height, source.rate)
        for planes in (*shown, *reversed(shown)):
            y4m.write_frame(stream, planes)


def targets(clip: Path, frames: int, folder: Path) -> str:
    """A row of the second table: relative errors of bitrates and sizes, dB over the PSNR asked for."""
    limit, cells = ["--frames", str(frames), "--no-audio"], []
    middle = encode(clip, folder, *limit, "-q", "45")[0]
    for passes in ("1", "2"):
        for factor in (0.6, 1.5):
            asked = round(1000 * middle["kbps"] * factor)
            got = encode(clip, folder, *limit, "--bitrate", str(asked), "--passes", passes)[0]
            cells.append(f"{100 * (1000 * got['kbps'] / asked - 1):+.1f} %")
    size = round(middle["bytes"] * 0.8)
    got = encode(clip, folder, *limit, "--size", str(size))[0]
    cells.append(f"{100 * (got['bytes'] / size - 1):+.1f} %")
    got = encode(clip, folder, *limit, "--psnr", f"{middle['psnr'] - 1:.2f}")[0]
    cells.append(f"{got['psnr'] - round(middle['psnr'] - 1, 2):+.2f} dB")
    return " | ".join([clip.name, str(middle["frames"]), *cells])


def moving(path: Path, frames: int) -> None:
    """A clip of 1280x720 at 2 frames a second: texture that moves."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(40, 216, (60, 100), np.uint8).repeat(16, 0).repeat(16, 1)
    texture = (coarse.astype(np.int16) + rng.integers(-12, 13, coarse.shape)).clip(16, 235).astype(np.uint8)
    grey = np.full((360, 640), 128, np.uint8)
    with path.open("wb") as stream:
        y4m.write_header(stream, 1280, 720, Fraction(2))
        for k in range(frames):
            dy, dx = 2 * k % 200, 3 * k % 300
            y4m.write_frame(stream, (texture[dy : dy + 720, dx : dx + 1280], grey, grey))


def memory(folder: Path) -> None:
    """Peaks of the commands, one after the other: the maximum over children only rises, so the short clip comes first."""
    for verb, source, out in (("encode", "{}.y4m", "{}.calo"), ("decode", "{}.calo", "{}.out.y4m")):
        found = []
        for frames in (20, 120):
            if verb == "encode":
                moving(folder / f"{frames}.y4m", frames)
            code = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); "
            code += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
            names = [str(folder / name.format(frames)) for name in (source, out)]
            command = [sys.executable, "-c", code, *CALOTYPE, verb, *names]
            found.append(int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) / 1024)
        print(f"{verb}, peak MiB: {found[0]:.0f} of 10 s, {found[1]:.0f} of 60 s ({100 * (found[1] / found[0] - 1):+.1f} %)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path)
    parser.add_argument("--frames", type=int, default=96)
    parser.add_argument("--targets", action="store_true")
    parser.add_argument("--memory", action="store_true")
    args = parser.parse_args()
    clips = sorted(p for p in args.clips.iterdir() if p.suffix.lower() in MOVIE_SUFFIXES)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if args.memory:
            memory(folder)
        elif args.targets:
            print("clip | frames | bitrate x 0.6, one pass | x 1.5 | x 0.6, two passes | x 1.5 | size | PSNR")
            for clip in clips:
                print(targets(clip, args.frames, folder), flush=True)
        else:
            ends = f"first and last {ENDS} frames at quality 30 | at 60"
            print(f"clip | frames | {ends} | there and back, {ends} | dial 0 to 100, 16 frames, dB")
            for clip in clips:
                print(chain(clip, args.frames, folder), flush=True)


if __name__ == "__main__":
    main()
