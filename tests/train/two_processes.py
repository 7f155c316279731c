"""What each of two processes does in test_distributed.py.

Runs in FOLDER, each a copy of a run at step 0: `both`, four plain steps; `bad`, in whose second step the second process
alone meets a gradient that is no number; `timed`, where the second process has a faster clock.
"""

from __future__ import annotations

import json
from pathlib import Path

import tiny
import torch.distributed as dist
from safetensors.torch import save_file

from calotype.errors import UsageError
from calotype.train.loop import Run

STEPS = 4


def keep(run: Run) -> None:
    """Leave this process's weights beside the run."""
    tensors = {f"model.{k}": v.contiguous().clone() for k, v in run.model.state_dict().items()}
    tensors |= {f"ema.{k}": v.contiguous().clone() for k, v in run.ema.items()}
    save_file(tensors, run.folder / f"rank{run.rank}.safetensors", {"step": str(run.step), "skipped": str(run.skipped)})


def main(rank: int, folder: Path, photos: Path) -> None:
    """All three runs, and a batch that cannot be shared."""
    dist.init_process_group("gloo", (folder / "meeting").as_uri(), rank=rank, world_size=2)
    run = tiny.make_run(folder / "both", photos)
    run.train(until=STEPS, log_every=1)
    keep(run)

    run = tiny.make_run(folder / "bad", photos)
    run.train(until=1, log_every=1)
    handle = run.model.prior.up.weight.register_hook(lambda grad: grad * (float("inf") if rank else 1.0))
    run.train(until=2, log_every=1)
    handle.remove()
    run.train(until=3, log_every=1)
    keep(run)

    run = tiny.make_run(folder / "timed", photos, minutes=5 / 60)
    run.clock = lambda: run.step * (7.0 if rank else 1.0)
    run.train()
    keep(run)

    try:
        tiny.make_run(folder / "odd", photos, batch=3)
    except UsageError as error:
        (folder / f"refused{rank}.json").write_text(json.dumps(str(error)))
    dist.destroy_process_group()
