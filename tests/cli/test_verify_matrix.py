"""`calotype verify --matrix`: every setting of this machine gives one digest, and what differs is found and said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from calotype.cli import options
from calotype.codecs import conformance
from calotype.eval import matrix
from calotype.eval.matrix import HOST, Processor, Row, Setting

ROOT = Path(__file__).parents[2]
RELEASED = conformance.released()
SMALL = next(name for name in RELEASED if name.endswith("-small.calo"))
HERE = Processor.here()
OLD = Processor("core2", frozenset({"sse2", "ssse3"}), "x86_64")
NEW = Processor("cascadelake", frozenset({"avx2", "avx512f", "avx512bw", "avx512vnni"}), "x86_64")


@pytest.fixture(scope="module")
def quick() -> list[dict]:
    """The lines of the quick matrix, by the command as a process of its own."""
    command = [sys.executable, "-m", "calotype", "verify", "--matrix", "--quick", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_quick_matrix_gives_the_committed_digests_in_every_setting(quick) -> None:
    *rows, last = quick
    assert {row["execution"] for row in rows} == {"kernel", "int8", "float", "reference"}
    assert len({row["level"] for row in rows}) == 2 and {row["batch"] for row in rows} == {1, 4}
    for row in rows:
        assert not row["cannot"] and not row["failed"] and SMALL in row["digests"]
        assert all(found == RELEASED[name] for name, found in row["digests"].items())
    assert {name for row in rows for name in row["digests"]} == set(RELEASED)
    elsewhere = {name for row in rows if row["execution"] != "kernel" for name in row["digests"]}
    assert elsewhere and all(name.startswith(("image-", "video-", "generative-")) for name in elsewhere)
    assert last["verdict"].startswith("1 digest a stream: equal to the committed ones") and not last["differing"]


def test_levels_take_effect(quick) -> None:
    *rows, _ = quick
    for execution in ("kernel", *(("float", "int8") if HERE.has("avx2") else ())):
        assert len({row["got"] for row in rows if row["execution"] == execution}) == 2


ASSEMBLY = """
import sys
import numba, numpy as np
sys.path.insert(0, sys.argv[1])
from kept import total
total(np.arange(64, dtype=np.int16))
text = "".join(total.inspect_asm().values())
print(sum(total.stats.cache_hits.values()), sum(total.stats.cache_misses.values()), "%ymm" in text or "%zmm" in text)
"""
KEPT = """
import numba
@numba.njit("int64(int16[::1])", cache=True)
def total(x):
    s = 0
    for v in x:
        s += v * v
    return s
"""


@pytest.mark.skipif(not (HERE.x86 and HERE.has("avx2")), reason="tells levels apart by AVX2's registers")
def test_numba_keeps_the_code_of_each_level_apart_in_one_cache_folder(tmp_path: Path) -> None:
    (tmp_path / "kept.py").write_text(KEPT)

    def child(level: matrix.Level) -> list[str]:
        environment = matrix.environment(level) | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
        command = [sys.executable, "-c", ASSEMBLY, str(tmp_path)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return done.stdout.split()

    host, least, avx2 = matrix.levels(HERE)[:3]
    assert child(host) == ["0", "1", "True"]
    assert child(least) == ["0", "1", "False"], "the least level got the host's code"
    assert child(avx2)[1] == "1"
    assert child(least)[:2] == ["1", "0"], "it does not keep its own code"
    assert child(host)[:2] == ["1", "0"]


# ---- what differs, and what cannot run


def test_a_wrong_digest_is_named_with_its_setting_and_exits_with_3(run, monkeypatch) -> None:
    wrong = {SMALL: RELEASED[SMALL] | {"pixels": "0" * 64}}
    monkeypatch.setattr(conformance, "released", lambda: wrong)
    monkeypatch.setattr(matrix, "settings", lambda processor, quick: [Setting(HOST, "kernel"), Setting(HOST, "reference")])
    result = run("verify", "--matrix")
    assert result.code == 3
    assert "differ in 2 of 2 settings" in result.err and SMALL in result.err and "reference, this CPU" in result.err
    assert result.out.count(f"{RELEASED[SMALL]['pixels'][:8]} !") == 2


def test_files_of_ones_own_run_without_committed_digests(run, monkeypatch, photo: Path) -> None:
    assert run("encode", photo, photo.with_suffix(".calo")).code == 0
    monkeypatch.setattr(matrix, "settings", lambda processor, quick: [Setting(HOST, "kernel"), Setting(HOST, "float")])
    result = run("verify", "--matrix", photo.with_suffix(".calo"))
    assert result.code == 0
    assert "1 digest a stream: nothing committed to compare with (2 decodings in 2 settings)" in result.out


def test_what_no_execution_decodes_is_no_matrix_of_a_device(run, monkeypatch) -> None:
    monkeypatch.setattr(options, "prepare", lambda device, threads: device)  # as where there is a GPU
    result = run("verify", "--matrix", conformance.FOLDER / "overfit-s.4-uneven.calo", "--device", "cuda")
    assert result.code == 2 and "decodes on the CPU alone" in result.err


def test_what_this_machine_lacks_is_a_row_that_says_so_and_no_failure(run, monkeypatch) -> None:
    import torch

    rows = [Setting(HOST, "kernel"), Setting("AVX-512", "kernel")]
    rows += [] if torch.cuda.is_available() else [Setting(HOST, "float", device="cuda")]
    monkeypatch.setattr(Processor, "here", staticmethod(lambda: OLD))
    monkeypatch.setattr(matrix, "settings", lambda processor, quick: rows)
    result = run("verify", "--matrix")
    assert result.code == 0
    assert "cannot run here: this CPU has no AVX-512" in result.out
    assert "no VNNI: int8 products of torch run by a slow path, same digest" in result.out
    assert "no AVX2: kernels are compiled for core2, slower, same digest" in result.out
    assert torch.cuda.is_available() or "cannot run here: torch sees no CUDA device" in result.out


def test_without_a_compiler_torch_compile_is_a_row_that_says_so(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CXX", str(tmp_path / "none"))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
    streams = {SMALL: (conformance.FOLDER / SMALL).read_bytes()}
    report = matrix.run(streams, RELEASED, [Setting(HOST, "compiled"), Setting(HOST, "kernel")], HERE)
    assert report.rows[0].cannot == "torch.compile finds no C++ compiler" and not report.differing


def test_a_child_that_dies_is_a_failure_of_the_settings_it_left(monkeypatch) -> None:
    monkeypatch.setattr(matrix, "environment", lambda level: {"PYTHONHOME": "/nowhere"})
    streams = {SMALL: (conformance.FOLDER / SMALL).read_bytes()}
    report = matrix.run(streams, RELEASED, [Setting(HOST, "kernel")], HERE)
    assert "the process ended with" in report.rows[0].failed[SMALL] and len(report.differing) == 1


def test_nothing_that_ran_is_no_success() -> None:
    report = matrix.Report([Row(Setting(HOST, "float", device="cuda"), cannot="torch sees no CUDA device here")], RELEASED)
    assert report.differing == ["nothing ran"]


# ---- settings


def test_every_execution_thread_count_batch_and_level_is_in_the_default_settings() -> None:
    from calotype import threads
    from calotype.models.integer.executions import EXECUTIONS

    rows = matrix.settings(NEW)
    assert {row.execution for row in rows} == set(EXECUTIONS)
    assert {1, 2, threads.count()} <= {row.threads for row in rows if row.execution == "kernel" and row.level == HOST}
    assert {row.level for row in rows} == {level.name for level in matrix.levels(NEW)}
    assert {row.execution for row in rows if row.batch > 1} >= {"kernel", "int8", "float"}
    assert all(not row.small for row in rows if row.device != "cpu") and len(rows) == len(set(rows))


def test_a_cpu_says_what_it_lacks_and_one_that_lacks_nothing_says_nothing() -> None:
    assert len(OLD.remarks) == 2 and NEW.remarks == []
    assert "AVX2 no" in str(OLD) and "VNNI yes" in str(NEW)
    assert Processor("apple-m1", frozenset(), "arm64").remarks == []


@pytest.mark.parametrize(
    "arguments", [["--quick", "a.calo"], ["--matrix", "--executions"], ["--matrix", "--against", "a.png"], ["--json"]]
)
def test_options_that_do_not_go_together_are_refused(run, arguments) -> None:
    assert run("verify", *arguments).code == 2
