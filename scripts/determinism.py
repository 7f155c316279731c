"""One decoded result on every setting of the machine: the matrix behind that promise, and a float prior that fails it.

    python scripts/determinism.py            a covering subset, about a minute
    python scripts/determinism.py --full     {1, 2, 4 threads} x {ATen} x {oneDNN, MKL, OpenBLAS caps}, torch.compile too

Each child process is one setting. It encodes a picture of its own with each layout of the float transforms, decodes every
stream made before it with each execution of the integer prior, and walks integer and float priors over fixed latents; the
first setting comes once more at the end, so that streams cross both ways. Exit code 1 unless every stream and the integer
prior give one digest.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

EXECUTIONS = ("blas", "int8", "reference")
CAPS: dict[str, dict[str, str]] = {  # what limits each library that multiplies, in one word
    "none": {},
    "SSE41": {"ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2", "OPENBLAS_CORETYPE": "Nehalem"},
    "AVX2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2", "OPENBLAS_CORETYPE": "Haswell"},
    "AVX512_CORE": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE", "MKL_ENABLE_INSTRUCTIONS": "AVX512"},
}
ATEN = ("", "default", "avx2", "avx512")  # "": what PyTorch finds
CONTROLLED = {"OMP_NUM_THREADS", "ATEN_CPU_CAPABILITY", "ONEDNN_VERBOSE"} | {k for cap in CAPS.values() for k in cap}
QUALITY = 620
SMALL_SIDE = 16


@dataclass(frozen=True)
class Setting:
    """What a child runs under. layouts: of the float transforms and the float prior."""

    threads: int
    aten: str
    cap: str
    layouts: tuple[str, ...] = ("channels_last", "contiguous")

    def environment(self) -> dict[str, str]:
        """Variables that must be there before torch and numpy are imported."""
        chosen = {k: v for k, v in os.environ.items() if k not in CONTROLLED}
        chosen |= {"OMP_NUM_THREADS": str(self.threads), "OPENBLAS_NUM_THREADS": str(self.threads), "ONEDNN_VERBOSE": "1"}
        return chosen | ({"ATEN_CPU_CAPABILITY": self.aten} if self.aten else {}) | CAPS[self.cap]


COVERING = (  # each value of each dimension at least once
    Setting(1, "", "none"),
    Setting(2, "default", "SSE41"),
    Setting(4, "avx2", "AVX2"),
    Setting(1, "avx512", "none"),
    Setting(2, "", "AVX512_CORE", ("contiguous",)),
    Setting(1, "avx2", "SSE41", ("channels_last",)),
)


def full() -> list[Setting]:
    """Every combination; torch.compile once for each ATen level (it takes a while)."""
    plain = ("channels_last", "contiguous")
    every = itertools.product((1, 2, 4), ATEN, CAPS)
    return [Setting(t, a, c, (*plain, "compiled") if (t, c) == (1, "none") else plain) for t, a, c in every]


# ---- in a child


def digest(arrays: Sequence[Any]) -> str:
    """Of type, shape and bytes, 12 hex digits."""
    h = hashlib.sha256()
    for a in arrays:
        h.update(f"{a.dtype}{a.shape}".encode() + a.tobytes())
    return h.hexdigest()[:12]


def fixed_latents(config: Any, side: int) -> tuple[Any, list[Any]]:
    """z and the symbols of all steps, from integers alone: the same on every machine."""
    import numpy as np

    rng = np.random.default_rng(7)
    z = rng.integers(-6, 7, (side // 4, side // 4, config.side)).astype(np.int32)
    shapes = [
        (len(groups), len(groups[0][1]) * side // 2, side // 2, config.plan.width(s))
        for s, groups in enumerate(config.plan.steps)
    ]
    return z, [(rng.integers(-9, 10, shape) // rng.integers(1, 12, shape)).astype(np.int32) for shape in shapes]


def integer_walk(prior: Any, side: int) -> list[Any]:
    """Mean and index of each step over the fixed latents."""
    from calotype.models.integer.places import Quality

    z, symbols = fixed_latents(prior.config, side)
    seen: list[Any] = []

    def code(mean: Any, index: Any, step: int) -> Any:
        seen.extend((mean.copy(), index.copy()))
        return symbols[step]

    seen.append(prior.walk(z, (side, side), Quality((QUALITY,)), code))
    return seen


def float_walk(prior: Any, side: int, layout: str) -> list[Any]:
    """The same of the float prior, activations off their integer grids as a peer's are: mean in 1/16 and index, rounded."""
    import numpy as np
    import torch
    import torch.nn.functional as F

    from calotype.models import fakequant
    from calotype.models import prior as prior_module
    from calotype.models.image import knot_weights

    z, symbols = fixed_latents(prior.config, side)
    given = [torch.from_numpy(s).float()[:, None] for s in symbols]
    steps = iter(given)

    def dense_depthwise(self: Any, x: Any) -> Any:
        w = fakequant.quantise_weight(self.weight).view(-1, 1, 3, 3)
        y = F.conv2d(x.permute(0, 3, 1, 2).contiguous(), w, padding=1, groups=w.shape[0])
        return fakequant.clamp_act(y.permute(0, 2, 3, 1))

    own, on_grid = fakequant.FakeQuantDepthwise.forward, fakequant.on_grid
    try:
        fakequant.on_grid = prior_module.on_grid = lambda x, *_: x
        if layout == "contiguous":
            fakequant.FakeQuantDepthwise.forward = dense_depthwise
        hyper, step = prior.hyper, prior.step
        if layout == "compiled":
            prior.hyper, prior.step = torch.compile(hyper), torch.compile(step)
        y = torch.zeros(1, side, side, prior.config.latents)
        weights = knot_weights(torch.tensor([QUALITY]))
        mean, index, _ = prior(y, torch.from_numpy(z).float()[None], weights, lambda y, mean, index: mean + next(steps))
        prior.hyper, prior.step = hyper, step
    finally:
        fakequant.FakeQuantDepthwise.forward = own
        fakequant.on_grid = prior_module.on_grid = on_grid
    return [(mean * 16).round().numpy().astype(np.int16), index.round().clamp(0, 63).numpy().astype(np.int16)]


def picture(seed: int) -> Any:
    """A synthetic picture of (112, 144, 3), another for each seed."""
    import numpy as np

    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:112, :144]
    shade = 128 + 60 * np.sin(x / (9 + seed)) * np.cos(y / 13)
    edges = 50 * ((x // 17 + y // 11 + seed) % 2)
    return (
        (np.stack([shade + edges, shade - edges, 255 - shade], 2) + rng.normal(0, 8, (112, 144, 3)))
        .clip(0, 255)
        .astype(np.uint8)
    )


def decode_digests(codec: Any, data: bytes) -> dict[str, str]:
    """{execution: digest of symbols, means and indices} of a stream."""
    from calotype.codecs import container
    from calotype.codecs.image import iter_tiles
    from calotype.models.integer import make_execution

    stream, prior, result = container.read(data), codec.bundle.prior, {}
    walk = type(prior).walk
    for name in EXECUTIONS:
        prior.execution, seen = make_execution(name), []

        def watched(z: Any, shape: Any, quality: Any, coder: Any, ahead: Any = None, seen: list[Any] = seen) -> Any:
            def code(mean: Any, index: Any, step: int) -> Any:
                seen.extend((mean.copy(), index.copy()))
                return coder(mean, index, step)

            return walk(prior, z, shape, quality, code, ahead)

        prior.walk = watched
        for tile in iter_tiles(stream):
            seen.extend(codec.symbols(*tile)[0])
        del prior.walk
        result[name] = digest(seen)
    return result


def child(job: dict[str, Any]) -> dict[str, Any]:
    """Encode, decode, walk; called in a process whose environment is the setting's."""
    import numpy as np
    import torch

    from calotype.codecs.image import ImageCodec
    from calotype.models.integer import float_prior, make_execution
    from calotype.models.zoo import load_model

    torch.set_num_threads(job["threads"])
    bundle = load_model(job["model"])
    codec, folder = ImageCodec(bundle), Path(job["folder"])
    plain, made, analyse = codec.bundle.model, [], bundle.model.analyse
    for layout in job["layouts"]:
        plain.to(memory_format=torch.contiguous_format if layout == "contiguous" else torch.channels_last)
        bundle.model.analyse = torch.compile(analyse) if layout == "compiled" else analyse
        path = folder / f"{job['number']:03}-{layout}.calo"
        path.write_bytes(codec.encode(picture(job["number"]), QUALITY / 10).data)
        made.append(path.name)
    bundle.model.analyse = analyse
    streams = {path.name: decode_digests(codec, path.read_bytes()) for path in sorted(folder.glob("*.calo"))}
    integer = {}
    for name in EXECUTIONS:
        bundle.prior.execution = make_execution(name)
        # int8 without VNNI and the reference are slow: they walk a corner's worth, `blas` both sizes
        for side in (SMALL_SIDE, job["side"]) if name == "blas" else (SMALL_SIDE,):
            integer[f"{name}@{side}"] = digest(integer_walk(bundle.prior, side))
    prior = float_prior(bundle.prior)
    floats = {}
    for layout in job["layouts"]:
        walked = float_walk(prior, job["side"], layout)
        np.savez(folder / f"{job['number']:03}-{layout}-float.npz", *walked)
        floats[layout] = digest(walked)
    return {
        "streams": streams,
        "integer": integer,
        "float": floats,
        "made": made,
        "aten": torch.backends.cpu.get_cpu_capability(),
    }


# ---- in the parent


def run(setting: Setting, number: int, folder: Path, model: str, side: int) -> dict[str, Any] | None:
    """One child's report, with the instruction set that oneDNN says it uses; None where the CPU has no AVX-512.

    PyTorch takes ATEN_CPU_CAPABILITY=avx512 at its word, and the process ends in an illegal instruction.
    """
    job = asdict(setting) | {"number": number, "folder": str(folder), "model": model, "side": side}
    command = [sys.executable, __file__, "--child", json.dumps(job)]
    # torch.compile's own cache would hand one ATen level the code it made for another
    environment = setting.environment() | {"TORCHINDUCTOR_CACHE_DIR": str(folder / f"inductor{number}")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode == -signal.SIGILL and setting.aten == "avx512":
        return None
    if done.returncode:
        raise SystemExit(f"{setting}: the child ended with {done.returncode}\n{done.stderr}")
    lines = done.stdout.splitlines()
    onednn = [line.split("isa:")[1] for line in lines if line.startswith("onednn_verbose") and "cpu,isa:" in line]
    return json.loads(lines[-1]) | {"onednn": onednn[0] if onednn else "-"}


def matrix(settings: Sequence[Setting], model: str, side: int) -> Iterator[tuple[Setting, dict[str, Any] | None]]:
    """Run every setting, and the first once more; yields (setting, report, or None where the CPU cannot run it).

    Reports gain "flips": entries of the float prior that differ from the first setting's, per layout.
    """
    import numpy as np

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base: list[Any] | None = None
        impossible: set[str] = set()
        for number, setting in enumerate((*settings, settings[0])):
            report = None if setting.aten in impossible else run(setting, number, folder, model, side)
            if report is None:
                impossible.add(setting.aten)
                yield setting, None
                continue
            report["flips"] = {}
            for layout in setting.layouts:
                with np.load(folder / f"{number:03}-{layout}-float.npz") as file:
                    walked = [file[key] for key in file.files]
                base = base or walked
                report["flips"][layout] = int(sum((a != b).sum() for a, b in zip(base, walked, strict=True)))
            yield setting, report


def summarise(reports: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Distinct digests over all settings: of each stream, of the integer prior by size, of the float prior."""
    streams: dict[str, set[str]] = {}
    integer: dict[str, set[str]] = {}
    for report in reports:
        for name, found in report["streams"].items():
            streams.setdefault(name, set()).update(found.values())
        for key, value in report["integer"].items():
            integer.setdefault(key.split("@")[1], set()).add(value)
    floats = {value for report in reports for value in report["float"].values()}
    return {
        "children": len(reports),
        "streams": len(streams),
        "decodings": sum(len(found) for report in reports for found in report["streams"].values()),
        "digests a stream": max(map(len, streams.values())),
        "digests of the integer prior": max(map(len, integer.values())),
        "digests of the float prior": len(floats),
        "most float entries changed": max(n for report in reports for n in report["flips"].values()),
    }


def row(setting: Setting, report: dict[str, Any] | None) -> str:
    """One line of the table."""
    asked = f"{setting.threads:>7}  {setting.aten or '-':<11}"
    if report is None:
        return f"{asked}  {'-':<9}  {setting.cap:<11}  not run: this CPU has no {setting.aten}"
    alike = sum(len(set(found.values())) == 1 for found in report["streams"].values())
    floats = "  ".join(f"{k}: {v[:6]} ({report['flips'][k]})" for k, v in report["float"].items())
    integers = "/".join(sorted({v[:6] for k, v in report["integer"].items() if not k.endswith(f"@{SMALL_SIDE}")}))
    streams = f"{alike}/{len(report['streams'])}"
    return (
        f"{asked}  {report['aten']:<9}  {setting.cap:<11}  {report['onednn'][:16]:<16}  {streams:>8}  {integers:<13}  {floats}"
    )


def main() -> int:
    """Command line; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="the whole matrix, 48 settings")
    parser.add_argument("--model", default="image-s.4", help="a shipped model or a model file")
    parser.add_argument("--side", type=int, default=64, help="latents a side that the priors walk over, a multiple of 4")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print("\n" + json.dumps(child(json.loads(options.child))))
        return 0
    titles = f"{'threads':>7}  {'ATen: asked':<11}  {'got':<9}  {'caps asked':<11}  {'oneDNN got':<16}  {'streams':>8}"
    print(f"{titles}  {'integer prior':<13}  float prior by layout (entries changed)")
    reports = []
    for setting, report in matrix(full() if options.full else COVERING, options.model, options.side):
        print(row(setting, report), flush=True)
        reports += [report] if report else []
    found = [", ".join(sorted({r[key] for r in reports})) for key in ("aten", "onednn")]
    print(f"took effect on this machine: ATen {found[0]}; oneDNN {found[1]}")
    summary = summarise(reports)
    print("; ".join(f"{k}: {v}" for k, v in summary.items()))
    exact = summary["digests a stream"] == summary["digests of the integer prior"] == 1
    print("one digest a stream: exact here" if exact else "DIGESTS DIFFER: streams made here may not decode elsewhere")
    return 0 if exact else 1


if __name__ == "__main__":
    raise SystemExit(main())
