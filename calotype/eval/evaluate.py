"""Measure codecs on pictures and clips: a row per codec, source and rate point, in a JSON run that can be resumed.

    tasks (codec label, source, point) --this process, or a pool of them--> rows --after each--> run file
"""

from __future__ import annotations

import multiprocessing
import re
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from weakref import WeakSet

from calotype import threads
from calotype.errors import CalotypeError, UsageError
from calotype.eval import coders, metrics
from calotype.eval.coders import Coder
from calotype.eval.frames import PICTURE, Frames
from calotype.eval.metrics.sets import find_sets
from calotype.eval.runs import Row, Run, start_run, write_run
from calotype.eval.setfigures import set_figures
from calotype.eval.sources import Failure

RATE = "bytes of the whole file or stream, without a colour profile; means over sources are of each one's bpp"
TIMING = (
    "wall clock from samples in memory to bytes and back, one run each after one to warm up; of external "
    "encoders as their codec's identity says"
)
SAVE_EVERY_S = 5.0

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Task:
    """One measurement. spec: what `coders.make` makes the codec from."""

    spec: str
    label: str
    source: Frames
    sha256: str
    point: float


@dataclass(frozen=True)
class Setup:
    """What every task of a run shares, sendable to a worker process. metrics: names, None for the cheap default ones;
    model: of our own codec; threads: of torch and of external encoders (None: torch's own number, and 1); keep: a folder
    for decoded pictures."""

    metrics: tuple[str, ...] | None = None
    model: str | None = None
    intra_period: int | None = None
    device: str = "cpu"
    threads: int | None = None
    keep: Path | None = None


def evaluate(
    specs: Sequence[str],
    sources: Sequence[Frames | Failure],
    setup: Setup,
    environment: dict[str, str | int],
    points: Sequence[float] | None = None,
    dataset: dict[str, Any] | None = None,
    command: str = "",
    out: Path | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> Run:
    """Measure each codec of `specs` (`coders.make`) on each source it can code, at `points` or its own eight.

    Where `out` exists, its rows of the same samples are not measured again and its other rows stay. What cannot be read or
    coded becomes a failure and the rest goes on. workers: processes; with more than one, seconds are of a shared machine, and
    the run says so. progress(done, total, what) is called before each measurement and at the end. Raises UsageError.
    """
    made, missing = _make_all(specs, setup)
    labels = [coder.label for coder in made.values()]
    if len(set(labels)) < len(labels) or not specs:
        raise UsageError("give at least one codec, and each once")
    kinds = sorted({source.kind for source in sources if isinstance(source, Frames)})
    conventions, notes = _conventions(setup, kinds, workers)
    run = start_run(
        environment, conventions, {c.label: c.identity for c in made.values()}, dataset or {}, command, out
    )
    run["notes"] |= notes
    run["failures"] += missing
    run["failures"] += [{"source": s.source, "error": str(s.error)} for s in sources if isinstance(s, Failure)]
    tasks = list(_tasks(run, made, [s for s in sources if isinstance(s, Frames)], points))
    known = {_key(row): row for row in run["rows"]}
    left = [task for task in tasks if known.get((task.label, task.source.name, task.point), {}).get("sha256") != task.sha256]
    told, saved = _Told(progress, len(tasks) - len(left), len(tasks)), time.monotonic()
    for task, row, error in _results(left, made, setup, workers, told):
        told.done += 1
        if error is not None:
            run["failures"].append(
                {"codec": task.label, "source": task.source.name, "point": task.point, "error": error}
            )
        else:
            run["notes"] |= row.pop("notes")
            known[_key(row)] = row
        run["rows"] = list(known.values())
        if out is not None and time.monotonic() - saved > SAVE_EVERY_S:
            write_run(out, run)
            saved = time.monotonic()
    if setup.keep is not None:
        run["sets"] = set_figures(run, setup.metrics, [s for s in sources if isinstance(s, Frames)], setup.keep)
    if progress:
        progress(len(tasks), len(tasks), "")
    if out is not None:
        write_run(out, run)
    return run


class _Told:
    """Calls `progress` with what is done and what begins."""

    def __init__(self, progress: Progress | None, done: int, total: int):
        self.progress, self.done, self.total = progress, done, total

    def __call__(self, what: str) -> None:
        if self.progress:
            self.progress(self.done, self.total, what)


def _make_all(specs: Sequence[str], setup: Setup) -> tuple[dict[str, Coder], list[dict[str, Any]]]:
    """The codecs, and a failure for each that is not installed here. Raises UsageError for a spec that is none."""
    made, missing = {}, []
    for spec in specs:
        try:
            made[spec] = _coder(spec, setup)
        except UsageError:
            raise
        except CalotypeError as error:
            missing.append({"codec": spec, "source": "", "error": str(error)})
    return made, missing


def _key(row: Row) -> tuple[str, str, float]:
    return row["codec"], row["source"], row["point"]


def _conventions(setup: Setup, kinds: Sequence[str], workers: int) -> tuple[dict[str, str], dict[str, str]]:
    """Sentences to print beside the figures, and why a metric that was asked for has none."""
    conventions, notes = {"rate": RATE, "timing": TIMING + f"; {workers} processes at once" * (workers > 1)}, {}
    for kind in kinds:
        found, reasons = metrics.find(setup.metrics, kind)
        conventions |= {metric.name: metric.convention for metric in found}
        notes |= reasons
    of_sets, reasons = find_sets(setup.metrics)
    for metric in of_sets:
        if setup.keep is not None and PICTURE in kinds:
            conventions |= metric.conventions
        else:
            reasons |= dict.fromkeys(metric.conventions, "it is of whole sets of pictures, to be kept by --out and --keep")
    notes |= reasons
    return conventions, {name: why for name, why in notes.items() if name not in conventions}


def _tasks(
    run: Run, made: dict[str, Coder], sources: Sequence[Frames], points: Sequence[float] | None
) -> Iterator[Task]:
    for source in sources:
        try:
            digest = source.sha256()
        except CalotypeError as error:
            run["failures"].append({"source": source.name, "error": str(error)})
            continue
        for spec, coder in made.items():
            if source.kind not in coder.kinds:
                error = f"{coder.label} codes a {' or '.join(coder.kinds)}, not a {source.kind}; "
                error += f"our codec of a {source.kind} is {coders.OURS[source.kind]}"
                run["failures"].append({"codec": coder.label, "source": source.name, "error": error})
                continue
            for point in points or coder.points:
                yield Task(spec, coder.label, source, digest, float(point))


def _results(
    tasks: Sequence[Task], made: dict[str, Coder], setup: Setup, workers: int, begin: Callable[[str], Any]
) -> Iterator[tuple[Task, Row, str | None]]:
    """(task, row, None) or (task, {}, why it failed), as they come."""
    if workers == 1:
        for task in tasks:
            begin(f"{task.label} {task.source.name} {task.point:g}")
            yield task, *_attempt(made[task.spec], task, setup)
        return
    waiting, running = list(reversed(tasks)), dict[Future, Task]()
    # spawned: a forked child of a process with threads of its own (OpenMP, BLAS) may hang
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        while waiting or running:
            while waiting and len(running) < 2 * workers:
                task = waiting.pop()
                running[pool.submit(_attempt_there, task, setup)] = task
            begin(f"{len(running)} at once, {task.label} {task.source.name} {task.point:g}")
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                task = running.pop(future)
                try:
                    yield task, *future.result()
                except BrokenProcessPool as error:
                    raise CalotypeError(
                        "a worker process died (out of memory?); the same command goes on with what is left: give it "
                        "fewer --workers"
                    ) from error


def _attempt(coder: Coder, task: Task, setup: Setup) -> tuple[Row, str | None]:
    try:
        return measure(coder, task, setup), None
    except CalotypeError as error:
        return {}, str(error)


def _attempt_there(task: Task, setup: Setup) -> tuple[Row, str | None]:
    """In a worker process, which makes each codec once."""
    return _attempt(_kept_coder(task.spec, setup), task, setup)


def _coder(spec: str, setup: Setup) -> Coder:
    if setup.threads:
        threads.set_count(setup.threads)  # here too: a worker process has not seen the command line
        threads.apply()
    return coders.make(
        spec,
        model=setup.model,
        device=setup.device,
        threads=setup.threads or 1,
        intra_period=setup.intra_period,
    )


_kept_coder = lru_cache(8)(_coder)
_warm: WeakSet[Coder] = WeakSet()


def measure(coder: Coder, task: Task, setup: Setup) -> Row:
    """One row, and under "notes" why a metric has no figure. Raises CalotypeError where coder or metrics do."""
    source, point = task.source, task.point
    if source.kind == PICTURE and coder not in _warm:
        coder.code(source, point)
        _warm.add(coder)
    coded = coder.code(source, point)
    found, _ = metrics.find(setup.metrics, source.kind)
    measured = metrics.measure(found, source, coded.decoded)
    samples = source.width * source.height * source.count
    row: Row = {
        "codec": task.label,
        "source": source.name,
        "kind": source.kind,
        "sha256": task.sha256,
        "width": source.width,
        "height": source.height,
        "frames": source.count,
        "fps": float(source.rate),
        "point": point,
        "bytes": coded.data_bytes,
        "bpp": 8 * coded.data_bytes / samples,
        "kbps": None if source.kind == PICTURE else 8e-3 * coded.data_bytes * float(source.rate) / source.count,
        "estimated_bits": coded.estimated_bits,
        "metrics": measured.values,
        "encode_seconds": dict(coded.encode_seconds),
        "decode_seconds": dict(coded.decode_seconds),
        "peak_memory": coded.peak_memory or _peak(),
        "threads": setup.threads,
        "device": setup.device,
        "differing_pixels": coded.differing_pixels,
        "repeatable": coded.repeatable,
        "notes": {name: f"{why} ({source.name})" for name, why in measured.notes.items()},
    }
    if setup.keep is not None and source.kind == PICTURE:
        row["picture"] = _keep(setup.keep, task, coded.decoded)
    return row


def _peak() -> int:
    """Peak resident bytes of this process, all that it has loaded included."""
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _keep(folder: Path, task: Task, decoded: Frames) -> str:
    from calotype.codecs.pictures import write_picture

    name = Path(re.sub(r"[^\w.-]+", "-", task.label)) / f"{Path(task.source.name).stem}@{task.point:g}.png"
    (folder / name.parent).mkdir(parents=True, exist_ok=True)
    write_picture(folder / name, next(iter(decoded.frames())), None, "png")
    return name.as_posix()
