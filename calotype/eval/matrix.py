"""One decoded result on every setting of the machine: executions x threads x batch x instruction sets x devices.

A level is an instruction set that the libraries and compilers which multiply are held to by environment variables; each
level is a child process, as these are read at import only. Its settings are the rows of the matrix: what runs the nets, on
how many threads, and how many pictures the synthesis paints at once.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

from .. import threads
from ..codecs.container import read
from ..codecs.registry import EXECUTED

SMALL = 40_000  # pixels: settings for small streams leave out larger ones
BATCH = 4
ODD = 3  # threads that no layer is divisible by
HOST = "this CPU"
Progress = Callable[[int, int, str], None]


# ---- what this CPU can do


@dataclass(frozen=True)
class Processor:
    """name: as LLVM calls it; features: LLVM's names of what it has; machine: x86_64, arm64, ..."""

    name: str
    features: frozenset[str]
    machine: str

    @staticmethod
    def here() -> Processor:
        """This one. Its features are none where LLVM cannot tell them."""
        from llvmlite import binding

        try:
            features = frozenset(name for name, here in binding.get_host_cpu_features().items() if here)
        except RuntimeError:
            features = frozenset()
        return Processor(binding.get_host_cpu_name(), features, platform.machine().lower())

    @property
    def x86(self) -> bool:
        """Whether it is a 64-bit x86 CPU."""
        return self.machine in ("x86_64", "amd64")

    def has(self, feature: str) -> bool:
        """avx2, avx512 or vnni."""
        alike = {"avx512": {"avx512bw"}, "vnni": {"avx512vnni", "avxvnni"}}
        return bool(alike.get(feature, {feature}) & self.features)

    def __str__(self) -> str:
        known = (("AVX2", "avx2"), ("AVX-512", "avx512"), ("VNNI", "vnni")) if self.x86 else ()
        said = ", ".join(f"{name} {'yes' if self.has(key) else 'no'}" for name, key in known)
        return f"{self.name} ({self.machine}, {threads.count()} cores in use){': ' if said else ''}{said}"

    @property
    def remarks(self) -> list[str]:
        """What it lacks, and what that means."""
        if not self.x86:
            return []
        found = []
        if not self.has("vnni"):
            found.append("this CPU has no VNNI: int8 products of torch run by a slow path, same digest")
        if not self.has("avx2"):
            found.append(f"this CPU has no AVX2: kernels are compiled for {self.name}, slower, same digest")
        return found


@dataclass(frozen=True)
class Level:
    """caps: environment variables of its child process. needs: a feature, as `Processor.has` knows it."""

    name: str
    caps: dict[str, str]
    needs: str = ""


def _caps(numba: str, aten: str, onednn: str, mkl: str) -> dict[str, str]:
    # with the name alone numba would keep the features of the host
    return {
        "NUMBA_CPU_NAME": numba,
        "NUMBA_CPU_FEATURES": "",
        "ATEN_CPU_CAPABILITY": aten,
        "ONEDNN_MAX_CPU_ISA": onednn,
        "MKL_ENABLE_INSTRUCTIONS": mkl,
    }


X86_LEVELS = (
    Level("x86-64", _caps("x86-64", "default", "SSE41", "SSE4_2")),
    Level("AVX2", _caps("haswell", "avx2", "AVX2", "AVX2"), "avx2"),
    Level("AVX-512", _caps("skylake-avx512", "avx512", "AVX512_CORE", "AVX512"), "avx512"),
)
OTHER_LEVELS = (Level("generic", {"NUMBA_CPU_NAME": "generic", "ATEN_CPU_CAPABILITY": "default"}),)
CONTROLLED = {name for level in X86_LEVELS for name in level.caps}


def levels(processor: Processor) -> list[Level]:
    """The levels of this kind of CPU: no caps first, then from the least."""
    return [Level(HOST, {}), *(X86_LEVELS if processor.x86 else OTHER_LEVELS)]


def environment(level: Level) -> dict[str, str]:
    """Of a child process. numba keys what it keeps on disk by CPU name and features, so levels share a cache folder."""
    package = str(Path(__file__).absolute().parents[2])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    kept = {k: v for k, v in os.environ.items() if k not in CONTROLLED}
    return kept | {"PYTHONPATH": os.pathsep.join(paths)} | level.caps


# ---- rows


@dataclass(frozen=True)
class Setting:
    """One row. threads: of the CPU; batch: pictures that the synthesis paints at once; small: leave out large streams."""

    level: str
    execution: str
    threads: int = 1
    batch: int = 1
    device: str = "cpu"
    small: bool = False

    def __str__(self) -> str:
        where = "" if self.device == "cpu" else f" on {self.device}"
        return f"{self.execution}{where}, {self.level}, {self.threads} threads, batch {self.batch}"


@dataclass
class Row:
    """What a setting gave. digests: {stream: {"symbols", "pixels"}}; seconds of all its streams, models loaded; got: the CPU
    that numba compiled for, or ATen's instruction set; cannot: why it does not run here; failed: {stream: error}."""

    setting: Setting
    digests: dict[str, dict[str, str]] = field(default_factory=dict)
    seconds: float = 0.0
    got: str = ""
    cannot: str = ""
    failed: dict[str, str] = field(default_factory=dict)


def settings(processor: Processor, quick: bool = False) -> list[Setting]:
    """All rows for this machine, or a covering few of them."""
    every = threads.count()
    if quick:
        host = [Setting(HOST, "kernel"), Setting(HOST, "kernel", 2, BATCH), Setting(HOST, "reference", small=True)]
        host += [Setting(HOST, name, small=True) for name in ("int8", "float")]
        least = levels(processor)[1].name
        return host + [Setting(least, name, small=name != "kernel") for name in ("kernel", "int8", "float")]
    host = [Setting(HOST, "kernel", count) for count in sorted({1, 2, ODD, every})]
    host += [Setting(HOST, "kernel", every, BATCH), Setting(HOST, "reference")]
    for name in ("int8", "float"):
        host += [Setting(HOST, name, every), Setting(HOST, name, 1, small=True), Setting(HOST, name, every, BATCH, small=True)]
    host.append(Setting(HOST, "compiled", every, small=True))
    for level in levels(processor)[1:]:
        host += [Setting(level.name, "kernel", 1), Setting(level.name, "kernel", max(2, every))]
        host += [Setting(level.name, name, every, small=True) for name in ("int8", "float")]
    return host + on_device("mps" if sys.platform == "darwin" else "cuda")


def on_device(device: str) -> list[Setting]:
    """The rows of a device, every stream."""
    return [Setting(HOST, name, 1, batch, device) for name in ("int8", "float") for batch in (1, BATCH)]


@dataclass(frozen=True)
class Report:
    """What a run found. rows: in the order of the settings; committed: what the streams must give, {} where nobody knows."""

    rows: list[Row]
    committed: Mapping[str, Mapping[str, str]]

    @cached_property
    def expected(self) -> dict[str, Mapping[str, str]]:
        """Of each stream: the committed digests, else those of the first row that has them."""
        found: dict[str, Mapping[str, str]] = dict(self.committed)
        for row in self.rows:
            for name, digests in row.digests.items():
                found.setdefault(name, digests)
        return found

    def differs(self, row: Row, name: str) -> bool:
        """Whether a row gives another result for a stream, or none."""
        return name in row.failed or (name in row.digests and row.digests[name] != self.expected[name])

    @cached_property
    def differing(self) -> list[str]:
        """Settings that differ, in words."""
        found = []
        for row in self.rows:
            names = [name for name in (*row.digests, *row.failed) if self.differs(row, name)]
            if names:
                found.append(f"{row.setting} ({', '.join(names)})")
        return found or ([] if any(row.digests for row in self.rows) else ["nothing ran"])

    @property
    def verdict(self) -> str:
        """In one line."""
        ran = sum(not row.cannot for row in self.rows)
        if self.differing:
            return f"digests differ in {len(self.differing)} of {ran} settings: {'; '.join(self.differing)}"
        against = "equal to the committed ones" if self.committed else "nothing committed to compare with"
        decodings = sum(len(row.digests) for row in self.rows)
        return f"1 digest a stream: {against} ({decodings} decodings in {ran} settings)"


# ---- running


def run(
    streams: Mapping[str, bytes],
    committed: Mapping[str, Mapping[str, str]],
    rows: Sequence[Setting],
    processor: Processor,
    model: str | Path | None = None,
    progress: Progress | None = None,
) -> Report:
    """Decode streams in every setting, two levels at a time: all of them in those of `kernel`, in others those whose codec has
    executions. Raises CorruptStreamError for what is no stream."""
    headers = {name: read(data).header for name, data in streams.items()}
    small = [name for name, header in headers.items() if header.width * header.height <= SMALL] or list(streams)
    executed = {name for name, header in headers.items() if header.codec in EXECUTED}
    found: dict[Setting, Row] = {}
    jobs: list[tuple[Level, list[Setting]]] = []
    for level in levels(processor):
        wanted = [s for s in rows if s.level == level.name]
        if level.needs and not processor.has(level.needs):
            found |= {s: Row(s, cannot=f"this CPU has no {level.name}") for s in wanted}
        elif wanted:
            # a child of its own for torch.compile, which takes longest; the longest first
            slow = [s for s in wanted if s.execution == "compiled"]
            jobs += [(level, part) for part in (slow, [s for s in wanted if s not in slow]) if part]
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(min(2, threads.count())) as pool:
        folder = Path(name)
        for number, data in enumerate(streams.values()):
            (folder / f"{number}.calo").write_bytes(data)

        def tell(row: Row) -> None:
            found[row.setting] = row
            if progress:
                progress(len(found), len(rows), str(row.setting))

        def work(number: int) -> None:
            level, part = jobs[number]
            names = list(streams)

            def of(s: Setting) -> list[int]:
                chosen = small if s.small else names
                return [names.index(n) for n in chosen if s.execution == "kernel" or n in executed]

            asked = [asdict(s) | {"streams": of(s)} for s in part]
            place = folder / f"job{number}.json"
            place.write_text(json.dumps({"settings": asked, "model": None if model is None else str(model)}))
            for row in _child(place, level, part, names):
                tell(row)

        list(pool.map(work, range(len(jobs))))
    return Report([found[s] for s in rows], committed)


def _child(place: Path, level: Level, part: Sequence[Setting], names: Sequence[str]) -> Iterator[Row]:
    """Rows of one child as they come; those that it died before have failed."""
    command = [sys.executable, "-m", "calotype.eval.matrix_child", str(place)]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, env=environment(level), text=True, **(pipes | {"stderr": errors}))
        done = 0
        try:
            for line in process.stdout or ():
                if line.startswith("{"):
                    answer = json.loads(line)
                    answer |= {key: {names[int(k)]: v for k, v in answer[key].items()} for key in ("digests", "failed")}
                    yield Row(part[done], **answer)
                    done += 1
            process.wait()
        finally:
            process.kill()
            process.wait()
        errors.seek(0)
        last = (errors.read().strip().splitlines() or [""])[-1]
    for setting in part[done:]:
        yield Row(setting, failed={names[0]: f"the process ended with {process.returncode}: {last}"})
