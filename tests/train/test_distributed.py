"""Two processes train one model."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

from calotype.train.loop import CHECKPOINT

CHILD = """
import sys
from pathlib import Path
import torch.distributed as dist
from safetensors.torch import save_file
import tiny
folder, photos = map(Path, sys.argv[1:])
dist.init_process_group("gloo")
run = tiny.make_run(folder, photos)
run.train(until=4)
tensors = {f"model.{k}": v.contiguous().clone() for k, v in run.model.state_dict().items()}
tensors |= {f"ema.{k}": v.contiguous().clone() for k, v in run.ema.items()}
save_file(tensors, folder / f"rank{dist.get_rank()}.safetensors")
dist.destroy_process_group()
"""


def test_two_processes_end_with_the_same_weights(begin, photos, tmp_path: Path) -> None:
    folder, script = begin("both"), tmp_path / "child.py"
    script.write_text(CHILD)
    path = os.pathsep.join((str(Path(__file__).parents[2]), str(Path(__file__).parent)))
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*start, str(folder), str(photos)], env=environment, capture_output=True, text=True, timeout=540)
    assert done.returncode == 0, done.stderr
    ranks = [load_file(folder / f"rank{r}.safetensors") for r in (0, 1)]
    saved = load_file(folder / CHECKPOINT)
    for key, value in ranks[0].items():
        assert torch.equal(value, ranks[1][key]), key
        assert torch.equal(value, saved[key]), key
    assert any(not torch.equal(v, load_file(begin("start") / CHECKPOINT)[k]) for k, v in list(ranks[0].items())[:3])
