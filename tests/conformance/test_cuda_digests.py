"""`scripts/cuda_digests.py`: released digests on a machine without numba, click or anything that reads a model file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from calotype.codecs.conformance import released_priors
from calotype.codecs.conformance.nets import released_latents

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "cuda_digests.py"
BARE = """
import runpy, sys
for name in ("numba", "llvmlite", "click", "crc32c", "safetensors", "av", "tqdm", "PIL"):
    sys.modules[name] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def bare(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", BARE, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def nets(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("cuda") / "nets.npz"
    subprocess.run([sys.executable, str(SCRIPT), "--pack", str(path)], check=True, timeout=600)
    return path


def test_the_committed_digests_come_out_on_a_bare_machine(nets: Path) -> None:
    done = bare(nets, "--device", "cpu")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == "every digest equals the committed one"
    assert len(lines) == 2 + 2 * (1 + 2 * len(released_latents())) and len(released_priors()) >= 1


def test_one_wrong_weight_is_found(nets: Path, tmp_path: Path) -> None:
    with np.load(nets) as file:
        arrays = dict(file)
    weight = arrays["synthesis.post.weight"].copy()
    weight[8, 8] -= 1
    np.savez(tmp_path / "wrong.npz", **arrays | {"synthesis.post.weight": weight})
    done = bare(tmp_path / "wrong.npz", "--device", "cpu")
    assert done.returncode == 3 and "DIFFERS" in done.stdout
