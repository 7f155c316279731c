#!/usr/bin/env python
"""Our video codec against published points of a standard set: scripts/report_published.py uvg|hevc-b|... DATA OUT POINTS.json

DATA holds the set's sequences under their standard names (Beauty_1920x1080_120fps_420_8bit_YUV.yuv, Beauty.y4m, or a folder
Beauty/ of frames); other files in it are left alone. POINTS.json has the points of each sequence in DCVC's format (its
anchors/vtm_17.0_yuv420_LB_allf_ip0.json, or its results). Published setting: all frames, one intra frame, low delay, PSNR of
8-bit 4:2:0. OUT gets SET.json, the run, which the same command goes on with, and the report SET.html, .md, .csv, .svg.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

from calotype.errors import CalotypeError
from calotype.eval.anchors import published_run
from calotype.eval.clips import CLIP_SUFFIXES
from calotype.eval.datasets import KNOWN, title
from calotype.eval.frames import CLIP
from calotype.eval.runs import read_run, write_run
from calotype.eval.sources import Failure, open_sources

SETS = [name for name, known in KNOWN.items() if known.kind == CLIP]
METRICS = ("psnr_611", "psnr_y", "psnr_u", "psnr_v")


def sequences(name: str, folder: Path) -> list[Path]:
    """The set's sequences that are in the folder; says which are not. Exits where none is."""
    wanted = {title(file.stem): file.stem for file in KNOWN[name].files}
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if title(path.name) in wanted and (path.is_dir() or path.suffix.lower() in CLIP_SUFFIXES):
            found.setdefault(title(path.name), path)
    missing = [stem for key, stem in wanted.items() if key not in found]
    if missing:
        print(f"not in {folder}: {', '.join(missing)}", file=sys.stderr)
    if not found:
        sys.exit(f"there is no sequence of {name} in {folder}; give the folder that holds them")
    return list(found.values())


def facts(path: Path) -> dict[str, Any]:
    """What a run would say of a sequence."""
    (clip,) = open_sources([path], frames_as_clip=True)
    if isinstance(clip, Failure):
        sys.exit(f"error: {clip}")
    size = {"width": clip.width, "height": clip.height, "frames": clip.count, "fps": float(clip.rate)}
    return {"source": clip.name, "sha256": "", **size}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("set", choices=SETS)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("points", type=Path)
    parser.add_argument("--codec", default="ours-video:low-delay", help="as `calotype eval` takes it (%(default)s)")
    parser.add_argument("--workers", default="1", help="processes (%(default)s)")
    parser.add_argument("--threads", default="1", help="of each process (%(default)s)")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    found = sequences(args.set, args.data)
    # wrong files are noticed before the work
    published_run(args.points, args.set, {"rows": [facts(path) for path in found], "dataset": {}})
    run, theirs = args.out / f"{args.set}.json", args.out / f"{args.set}-published.json"
    clips = [*map(str, found), "--frames-as-clip"]
    machine = ["--workers", args.workers, "--threads", args.threads]
    metrics = [word for name in METRICS for word in ("--metric", name)]
    calotype("eval", *clips, "--codec", args.codec, *machine, *metrics, "--out", str(run))
    write_run(theirs, published_run(args.points, args.set, read_run(run)))
    forms = [word for form in ("csv", "md", "svg") for word in (f"--{form}", str(run.with_suffix(f".{form}")))]
    page = ["-o", str(run.with_suffix(".html")), *forms]
    calotype("report", str(run), str(theirs), "--anchor", args.points.stem, "--metric", METRICS[0], *page)


def calotype(*arguments: str) -> None:
    """Run a verb; exit as it does where it fails."""
    code = subprocess.run([sys.executable, "-m", "calotype", *arguments], check=False).returncode
    if code:
        sys.exit(code)


if __name__ == "__main__":
    try:
        main()
    except CalotypeError as error:
        sys.exit(f"error: {error}")
