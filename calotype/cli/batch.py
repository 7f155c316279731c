"""From the arguments IN... OUT to a list of jobs, and through the list without stopping at a bad one.

one file      -> OUT is the file, or the folder it goes into (it exists, or is written with a / at its end)
several files -> OUT is a folder
a folder      -> OUT is a folder, with the tree below the one given; several folders keep their own names too
a pattern     -> OUT is a folder, with the tree below the last folder without * ? [
-             -> standard input; OUT - is standard output
"""

from __future__ import annotations

import glob
import os
import sys
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import CalotypeError, UsageError
from . import terminal

PIPE = "-"


@dataclass(frozen=True)
class Job:
    """One file to make. source, target: None for standard input and output. in_folder: OUT is a folder, which is made
    where it is missing."""

    source: Path | None
    target: Path | None
    in_folder: bool = False

    @property
    def name(self) -> str:
        """For messages."""
        return "standard input" if self.source is None else str(self.source)


class BatchError(CalotypeError):
    """Some of several files failed; exit_code is theirs where they agree, else 1."""

    def __init__(self, message: str, codes: Collection[int]):
        super().__init__(message)
        self.exit_code = max(codes) if len(set(codes)) == 1 else 1


# ---- jobs


def plan(inputs: Sequence[str], out: str, wanted: Collection[str], suffix: str, refused: Collection[str]) -> list[Job]:
    """Jobs for the arguments.

    wanted: suffixes to take from folders. suffix: of outputs that get their name from the input. refused: suffixes
    that an output file cannot have. Raises UsageError where the arguments make no sense or two inputs would write one
    file.
    """
    if PIPE in inputs:
        if len(inputs) > 1:
            raise UsageError("- (standard input) is one file; it cannot be one of several inputs")
        return [_single(None, out, f"stdin{suffix}", refused)]
    found, tree = expand(inputs, wanted)
    if not tree and len(found) == 1:
        source, name = found[0]
        return [_single(source, out, str(name.with_suffix(suffix)), refused)]
    if out == PIPE:
        raise UsageError(f"{len(found)} files do not go into one pipe; give a folder as OUT")
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"several files are given, so OUT ({out}) must be a folder, and it is a file")
    jobs = [Job(source, folder / name, True) for (source, _), name in zip(found, _names(found, suffix), strict=True)]
    for job in jobs:
        _refuse_same(job.source, job.target)
    return jobs


def _single(source: Path | None, out: str, name: str, refused: Collection[str]) -> Job:
    if out == PIPE:
        if sys.stdout.isatty():
            raise UsageError("standard output is a terminal; give a file name, or pipe the output somewhere")
        return Job(source, None)
    target = Path(out)
    in_folder = target.is_dir() or out.endswith(("/", os.sep))
    if in_folder:
        target /= name
    elif target.suffix.lower() in refused:
        raise UsageError(
            f"OUT is {out}, but this command does not write {target.suffix} files; the last name given is OUT"
        )
    _refuse_same(source, target)
    return Job(source, target, in_folder)


def _refuse_same(source: Path | None, target: Path | None) -> None:
    if source and target and target.exists() and source.exists() and os.path.samefile(source, target):
        raise UsageError(f"{target} would be written over the file it is made from; give another OUT")


def _names(found: Sequence[tuple[Path, Path]], suffix: str) -> list[Path]:
    """Output names: a.png -> a.calo; where a.jpg stands beside it, a.png.calo and a.jpg.calo."""
    short = [name.with_suffix(suffix) for _, name in found]
    taken = Counter(str(name).casefold() for name in short)
    names = [
        name if taken[str(name).casefold()] == 1 else full.with_name(full.name + suffix)
        for name, (_, full) in zip(short, found, strict=True)
    ]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise UsageError(f"two of the inputs would both be written to {twice[0]}; encode them into two folders")
    return names


def expand(inputs: Sequence[str], wanted: Collection[str]) -> tuple[list[tuple[Path, Path]], bool]:
    """((path, name below OUT) of every file, in order; whether a folder or pattern was among the inputs).

    Raises UsageError for a folder or a pattern in which there is nothing. A file that is missing is left to its reader.
    """
    found: dict[Path, Path] = {}
    tree = False
    folders = [text for text in inputs if Path(text).is_dir()]
    for text in inputs:
        path = Path(text)
        if path.is_dir():
            base, files = path, _walk(path, wanted)
            prefix = Path(path.resolve().name) if len(folders) > 1 else Path()
        elif not path.exists() and glob.has_magic(text):
            base, files, prefix = *_match(text, wanted), Path()
        else:
            found.setdefault(path, Path(path.name))
            continue
        tree = True
        if not files:
            raise UsageError(f"nothing in {text} has a name that ends in {_some(wanted)}")
        for file in files:
            found.setdefault(file, prefix / file.relative_to(base))
    return list(found.items()), tree


def _some(suffixes: Collection[str]) -> str:
    return " ".join(sorted(suffixes))


def _walk(folder: Path, wanted: Collection[str]) -> list[Path]:
    """Files below a folder with one of these suffixes; hidden ones are left out."""
    files = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files += [Path(parent, n) for n in sorted(names) if not n.startswith(".") and Path(n).suffix.lower() in wanted]
    return files


def _match(pattern: str, wanted: Collection[str]) -> tuple[Path, list[Path]]:
    """(the folder before the first wildcard, files). A pattern that says its suffix (*.xyz) takes files of any kind."""
    parts = Path(pattern).parts
    plain = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    ending = Path(pattern).suffix
    any_kind = bool(ending) and not glob.has_magic(ending)
    files: list[Path] = []
    for text in sorted(glob.glob(pattern, recursive=True)):
        path = Path(text)
        if path.is_dir():
            files += [] if any_kind or "**" in parts else _walk(path, wanted)
        elif any_kind or path.suffix.lower() in wanted:
            files.append(path)
    return Path(*parts[:plain]), files


# ---- running


def run(
    jobs: Sequence[Job], work: Callable[[Job, terminal.Progress], None], verb: str, keep: bool, as_json: bool
) -> None:
    """Do every job. A job that fails is reported and the others go on; in the end BatchError names those that failed.

    work: does one job; may raise CalotypeError or OSError. keep: leave out jobs whose target exists.
    """
    failed: list[tuple[Job, int]] = []
    with terminal.Progress(len(jobs), verb) as progress:
        for job in jobs:
            progress.begin(job.name)
            if keep and job.target is not None and job.target.exists():
                with progress.aside():
                    terminal.note(f"{job.target} exists and is kept")
            else:
                try:
                    if job.in_folder and job.target is not None:
                        job.target.parent.mkdir(parents=True, exist_ok=True)
                    work(job, progress)
                except (CalotypeError, OSError) as error:
                    failed.append((job, _complain(job, error, len(jobs) == 1, progress, as_json)))
            progress.end()
    if failed:
        names = ", ".join(job.name for job, _ in failed)
        raise BatchError(f"{len(failed)} of {len(jobs)} files failed: {names}", [code for _, code in failed])


def _complain(job: Job, error: CalotypeError | OSError, alone: bool, progress: terminal.Progress, as_json: bool) -> int:
    """Report a failed job and return its exit code; a lone job's error goes on as it is, with the file's name."""
    if isinstance(error, BrokenPipeError):
        raise error
    code = error.exit_code if isinstance(error, CalotypeError) else 1
    said = str(error) if isinstance(error, CalotypeError) else f"{error.strerror or error}; check the file and the disk"
    message = said if job.name in said else f"{job.name}: {said}"
    if alone:
        raise BatchError(message, [code]) from error
    with progress.aside():
        terminal.error(message)
        if as_json:
            record: dict[str, Any] = {"input": job.name, "error": message, "exit_code": code}
            terminal.row("", record, True)
    return code
