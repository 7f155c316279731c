"""What a report is made of: runs of `calotype eval` (format 2), and published curves in the layouts they are found in.

    {"name": "VTM", "results": {"bpp": [...], "psnr-rgb": [...], "ms-ssim-rgb": [...]}}   CompressAI
    {"C3": {"bpp": [...], "psnr": [...], "meta": {...}}, ...}                             several curves, PSNR on RGB
    {"HPCM": [[bpp, ...], [psnr, ...]], ...}                                              several curves, PSNR on RGB

Points of a published curve are means over a data set.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from calotype.errors import UsageError

RUN_FORMAT = 2
NAMES = {"psnr": "psnr_rgb", "ms-ssim": "ms_ssim_rgb"}  # published keys that say less than ours; others: - becomes _
SECONDS = {"encoding_time": "encode_seconds", "decoding_time": "decode_seconds"}

Run = dict[str, Any]


@dataclass(frozen=True)
class Published:
    """A published curve. metrics: name -> one value a point, as long as bpp; seconds: encode_seconds, decode_seconds the
    same way, measured by whoever published it; notes: what the file says of it; file: where it came from.
    """

    label: str
    bpp: list[float]
    metrics: dict[str, list[float]]
    seconds: dict[str, list[float]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    file: str = ""


def read_run(path: Path) -> Run:
    """A run's file, checked as far as a report needs it. Raises UsageError where it is none, or of another format."""
    run = _read_json(path)
    if not isinstance(run, dict) or not isinstance(run.get("rows"), list):
        raise UsageError(f"{path} is not a run of `calotype eval`; give such files, and published curves with --curve")
    if run.get("format") != RUN_FORMAT:
        raise UsageError(
            f"{path} is a run of format {run.get('format')}, a report needs format {RUN_FORMAT}; measure again with "
            "`calotype eval`"
        )
    for key, kind in (("codecs", dict), ("environment", dict), ("conventions", dict), ("failures", list)):
        if not isinstance(run.setdefault(key, kind()), kind):
            raise UsageError(f"{path} is not a whole run: its {key} is no {kind.__name__}; measure again")
    for number, row in enumerate(run["rows"]):
        _check_row(row, f"{path}, row {number}")
    return run


def _check_row(row: Any, where: str) -> None:
    try:
        whole = (
            all(isinstance(row[key], str) for key in ("codec", "source"))
            and row.get("kind", "picture") in ("picture", "clip")
            and isinstance(row["metrics"], dict)
            and all(
                isinstance(row[key], (int, float)) and math.isfinite(row[key]) and row[key] > 0
                for key in ("bytes", "bpp", "width", "height")
            )
            and isinstance(row["point"], (int, float))
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{where} is not whole ({error}); measure again with `calotype eval`") from error
    if not whole:
        raise UsageError(f"{where} holds a value that makes no sense; measure again with `calotype eval`")


def read_published(text: str) -> list[Published]:
    """The curves of a file: `FILE.json`, `FILE.json#NAME` for one curve of several, `LABEL=FILE.json` to rename it.

    Raises UsageError saying what is wrong with it.
    """
    label, path, wanted = _split(text)
    found = _curves(_read_json(path), path)
    if wanted:
        if wanted not in found:
            raise UsageError(f"{path} has no curve {wanted!r}; it has {', '.join(found)}")
        found = {wanted: found[wanted]}
    if label and len(found) > 1:
        raise UsageError(f"{path} holds {len(found)} curves ({', '.join(found)}): pick one as {path.name}#NAME to rename it")
    return [_published(label or name, curve, path) for name, curve in found.items()]


def _split(text: str) -> tuple[str, Path, str]:
    label, path, wanted = "", text, ""
    if "=" in path and not Path(path).exists():
        label, path = path.split("=", 1)
    if "#" in path and not Path(path).exists():
        path, wanted = path.rsplit("#", 1)
    return label, Path(path), wanted


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not a JSON file ({error})") from error


def _curves(data: Any, path: Path) -> dict[str, dict[str, Any]]:
    """name -> {"bpp": [...], metric: [...], "meta": ...}, whatever the layout."""
    if isinstance(data, dict) and isinstance(data.get("results"), dict):
        meta = {**data.get("meta", {})} if isinstance(data.get("meta", {}), dict) else {}
        return {str(data.get("name") or path.stem): {**data["results"], "meta": meta | {"about": data.get("description")}}}
    found: dict[str, dict[str, Any]] = {}
    for name, curve in data.items() if isinstance(data, dict) else ():
        if isinstance(curve, Mapping) and "bpp" in curve:
            found[name] = dict(curve)
        elif isinstance(curve, list) and len(curve) == 2 and all(isinstance(part, list) for part in curve):
            found[name] = {"bpp": curve[0], "psnr": curve[1]}
    if not found:
        raise UsageError(f"{path} holds no curve: it needs results.bpp and results.psnr-rgb, as CompressAI's results have")
    return found


def _published(label: str, curve: Mapping[str, Any], path: Path) -> Published:
    metrics: dict[str, list[float]] = {}
    seconds: dict[str, list[float]] = {}
    try:
        bpp = [float(value) for value in curve["bpp"]]
        for key, values in curve.items():
            if key in ("bpp", "meta") or not isinstance(values, list) or len(values) != len(bpp) or not bpp:
                continue
            numbers = [float(value) for value in values]
            if key in SECONDS:
                seconds[SECONDS[key]] = numbers
            elif "-db" in key:  # the curve of a paper, in dB; kept as the plain figure so that all are averaged alike
                metrics[_name(key.replace("-db", ""))] = [1 - 10 ** (-number / 10) for number in numbers]
            else:
                metrics[_name(key)] = numbers
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"the curve {label!r} of {path} has a rate or a metric that is no list of numbers") from error
    every = [bpp, *metrics.values(), *seconds.values()]
    if not metrics or not all(math.isfinite(number) for numbers in every for number in numbers):
        raise UsageError(f"the curve {label!r} of {path} has no metric beside its rates, or a value that is not finite")
    meta = curve.get("meta") or {}
    notes = {str(key): str(value) for key, value in meta.items() if isinstance(value, (str, int, float)) and value}
    return Published(label, bpp, metrics, seconds, notes, path.name)


def _name(key: str) -> str:
    return NAMES.get(key, key.replace("-", "_"))
