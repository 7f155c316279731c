"""Bulk encoding of an archive: a manifest, any number of processes or machines, each picture encoded once.

A manifest is JSONL, one picture a line: {"name": path below the output folder without suffix, "input": path, relative to the
manifest}. Every finished picture is OUT/name.calo, written atomically, and a line in OUT/journal/HOST-PID.jsonl of the process
that encoded it. A file that is there with the asked model and quality is not encoded again, so that any process may be
killed and any command repeated.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..atomic import write_bytes
from ..errors import CalotypeError, UsageError
from .suffixes import CALO_SUFFIX, PICTURE_SUFFIXES

JOURNAL = "journal"
QUALITY = 50.0


@dataclass(frozen=True)
class Entry:
    """A picture of an archive. name: of its output, below the output folder, without suffix."""

    name: str
    input: str


@dataclass(frozen=True)
class Job:
    """What is asked of every picture. quality: QUALITY for a model of one rate; model: a shipped model's name or a file,
    None for the default."""

    out: Path
    quality: float = QUALITY
    model: str | None = None
    device: str = "cpu"
    drop_alpha: bool = False


def list_pictures(folder: Path) -> list[Entry]:
    """Every picture below a folder, by name; a.jpg and a.png become a.jpg and a.png in the output. Raises UsageError."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder; give the one that holds the archive")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file())
    if not found:
        raise UsageError(f"there is no picture below {folder}")
    return [Entry(path.relative_to(folder).as_posix(), str(path)) for path in found]


def write_manifest(path: Path, entries: Iterable[Entry]) -> None:
    """Write it atomically; inputs become relative to the manifest where they lie below its folder."""
    base = path.resolve().parent
    rows = []
    for entry in entries:
        given = Path(entry.input).resolve()
        shown = given.relative_to(base) if given.is_relative_to(base) else given
        rows.append(json.dumps({"name": entry.name, "input": shown.as_posix()}))
    write_bytes(path, ("\n".join(rows) + "\n").encode())


def read_manifest(path: Path) -> list[Entry]:
    """The entries, inputs made absolute. Raises UsageError for a line that is none, or two of one name."""
    entries, names = [], set()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the manifest {path}: {error}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            name, given = str(row["name"]), str(row["input"])
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{path}, line {number}: needs an object with name and input ({error})") from error
        parts = Path(name).parts
        if not parts or Path(name).is_absolute() or ".." in parts or parts[0] == JOURNAL:
            raise UsageError(f"{path}, line {number}: {name!r} is no place below the output folder")
        if name in names:
            raise UsageError(f"{path}, line {number}: {name!r} is named a second time")
        names.add(name)
        entries.append(Entry(name, str(path.resolve().parent / given)))
    return entries


class ArchiveEncoder:
    """Encodes entries one by one with a model, of any kind, that is loaded once. One per process."""

    def __init__(self, job: Job):
        """Raises ModelError, UsageError for another quality than the default where the model has one rate."""
        from .registry import open_model

        self.job = job
        self.codec = open_model(job.model, job.device)
        self.dial = getattr(self.codec, "dial", True)
        if not self.dial and job.quality != QUALITY:
            raise UsageError(f"model '{self.codec.bundle.name}' has one rate: leave --quality out, or take an image model")
        place = job.out / JOURNAL
        place.mkdir(parents=True, exist_ok=True)
        self.journal = place / f"{platform.node()}-{os.getpid()}.jsonl"

    def __call__(self, entry: Entry) -> dict[str, Any]:
        """{"name", "bytes", "sha256", "state": "encoded" or "kept"}, or "state": "failed" and "error"."""
        try:
            return self._encode(entry)
        except (CalotypeError, OSError) as error:
            return {"name": entry.name, "bytes": 0, "sha256": "", "state": "failed", "error": str(error)}

    def _encode(self, entry: Entry) -> dict[str, Any]:
        from .pictures import read_picture

        target = self.job.out / (entry.name + CALO_SUFFIX)
        if self._is_done(target):
            data, state = target.read_bytes(), "kept"
        else:
            picture = read_picture(Path(entry.input), self.job.drop_alpha)
            data, state = self.codec.encode(picture.pixels, self.job.quality, picture.icc).data, "encoded"
            target.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(target, data)
        record = {"name": entry.name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "state": state}
        if state == "encoded":
            with self.journal.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        return record | {"error": ""}

    def _is_done(self, target: Path) -> bool:
        """Whether the file is there, of this model and quality; it is whole if it is there at all."""
        from .container import read_header

        try:
            header = read_header(target.read_bytes()[:4096])
        except (CalotypeError, OSError):
            return False
        asked = {"quality_deci": round(self.job.quality * 10)} if self.dial else {}
        return header.model_hash == self.codec.bundle.hash[:8] and asked.items() <= header.params.items()


def encode_archive(entries: Sequence[Entry], job: Job) -> Iterator[dict[str, Any]]:
    """Encode entries here, one after the other; a record each, as `ArchiveEncoder`."""
    yield from map(ArchiveEncoder(job), entries)


def encode_on_ray(
    entries: Sequence[Entry], job: Job, workers: int = 2, gpus: float = 0, block: int = 8
) -> Iterator[dict[str, Any]]:
    """Encode entries with Ray Data: `workers` actors that load the model once, each with `gpus` GPUs.

    A worker that dies is replaced and its block of at most `block` pictures given out again, of which those that were
    finished are kept. The folder job.out must be one that every machine of the cluster sees. Raises UsageError without
    Ray.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise UsageError("encoding on Ray needs it: install it with `pip install calotype[ray]`") from error
    if not ray.is_initialized():
        ray.init(logging_level="ERROR", log_to_driver=False, include_dashboard=False, configure_logging=False)
    rows = [{"name": entry.name, "input": entry.input} for entry in entries]
    blocks = max(1, -(-len(rows) // block))
    done = ray.data.from_items(rows, override_num_blocks=blocks).map_batches(
        _RayEncoder,
        fn_constructor_args=(job,),
        batch_size=block,
        compute=ray.data.ActorPoolStrategy(size=workers),
        num_gpus=gpus or None,
    )
    yield from done.iter_rows()


class _RayEncoder:
    """What a Ray actor runs: a batch of manifest rows, columns of arrays, to columns of records."""

    def __init__(self, job: Job):
        self.encoder = ArchiveEncoder(job)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        entries = map(Entry, map(str, batch["name"]), map(str, batch["input"]))
        records = [self.encoder(entry) for entry in entries]
        return {key: [record[key] for record in records] for key in ("name", "bytes", "sha256", "state", "error")}
