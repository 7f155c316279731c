"""Published rate-distortion curves: of pictures, in the format of CompressAI's results folder, and of clips, in DCVC's.

    {"name": "VTM", "results": {"bpp": [...], "psnr-rgb": [...], ...}}
    {"UVG": {"Beauty_1920x1080_120fps_420_8bit_YUV.yuv": {"022": {"ave_all_frame_bpp": ..., ...}, ...}, ...}, ...}

Each point of the first is a mean over the pictures of a data set, of bits per pixel and of the PSNR in dB: as CompressAI's
bench and eval_model commands average, and as `eval.images` does. The second has the points of every sequence by itself, means
over its frames.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from calotype.errors import UsageError
from calotype.eval.bdrate import Curve
from calotype.eval.datasets import plain, title
from calotype.eval.frames import CLIP
from calotype.eval.runs import Row, Run, start_run


def read_anchor(path: Path) -> Curve:
    """The PSNR-RGB curve of such a file, under the file's own name. Raises UsageError saying what is wrong with it."""
    try:
        results = json.loads(path.read_text(encoding="utf-8"))["results"]
        rates, psnrs = ([float(value) for value in results[key]] for key in ("bpp", "psnr-rgb"))
    except OSError as error:
        raise UsageError(f"cannot read the anchor {path}: {error.strerror or error}") from error
    except KeyError as error:
        raise UsageError(f"the anchor {path} has no {error}: it needs results.bpp and results.psnr-rgb") from error
    except (ValueError, TypeError) as error:
        raise UsageError(f"the anchor {path} is not a CompressAI results file ({error})") from error
    return Curve(path.stem, rates, psnrs)


def published_run(path: Path, name: str, run: Run) -> Run:
    """The points of a file of DCVC's format for the clips of `run`, as a run too, under the file's own name.

    name: of the set ("uvg", "hevc-b"). A report compares the two clip by clip. Clips are known by the first word of their names
    ("Beauty.y4m"); the measured run must have coded all frames that were published. Raises UsageError saying what is wrong.
    """
    sequences = _sequences(path, name)
    clips: dict[str, Row] = {row["source"]: row for row in run["rows"]}
    rows = []
    for source, clip in clips.items():
        if title(source) not in sequences:
            raise UsageError(f"{path} has no sequence {source} in {name}; measure only {', '.join(sequences)}")
        for point, found in sequences[title(source)].items():
            rows.append(_row(path, source, clip, point, found))
    identity = {path.stem: {"codec": path.stem, "configuration": f"as published in {path.name}"}}
    return {**start_run({}, {}, identity, run["dataset"], f"published in {path.name}"), "rows": rows}


def _sequences(path: Path, name: str) -> dict[str, dict[str, Any]]:
    try:
        sets = {plain(key): value for key, value in json.loads(path.read_text(encoding="utf-8")).items()}
        if plain(name) not in sets:
            raise UsageError(f"{path} has no set {name!r}; it has {', '.join(sets)}")
        return {title(sequence): dict(points) for sequence, points in sets[plain(name)].items()}
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise UsageError(f"{path} is not a file of published sequences, {{set: {{name: {{QP: ...}}}}}} ({error})") from error


def _row(path: Path, source: str, clip: Row, point: str, found: Any) -> Row:
    try:
        frames, pixels = found["i_frame_num"] + found["p_frame_num"], found["frame_pixel_num"]
        bpp, y, u, v = (float(found[f"ave_all_frame_{key}"]) for key in ("bpp", "psnr_y", "psnr_u", "psnr_v"))
        qp = float(point)
    except (KeyError, ValueError, TypeError) as error:
        raise UsageError(f"{path}: QP {point} of {source} lacks a figure, or it is no number ({error})") from error
    if (frames, pixels) != (clip["frames"], clip["width"] * clip["height"]):
        raise UsageError(
            f"{source} was published with {frames} frames of {pixels} pixels, and measured with {clip['frames']} of "
            f"{clip['width']} x {clip['height']}: measure all of the original"
        )
    facts = {key: clip[key] for key in ("source", "sha256", "width", "height", "frames", "fps")}
    size = round(bpp * pixels * frames / 8)
    metrics = {"psnr_y": y, "psnr_u": u, "psnr_v": v, "psnr_611": (6 * y + u + v) / 8}
    kbps = 1e-3 * bpp * pixels * clip["fps"]
    return {"codec": path.stem, "kind": CLIP, **facts, "point": qp, "bytes": size, "bpp": bpp, "kbps": kbps, "metrics": metrics}
