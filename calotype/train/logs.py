"""A run's log: one JSON object a line, and TensorBoard events where tensorboard is installed (extra `[train]`)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

LOG = "log.jsonl"


class RunLog:
    """Appends records to `folder`/log.jsonl and scalars to `folder`/tensorboard."""

    def __init__(self, folder: Path):
        self.path = folder / LOG
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            self.board = None
        else:
            self.board = SummaryWriter(str(folder / "tensorboard"))

    def add(self, record: dict[str, Any]) -> None:
        """record: "step", numbers by name, and perhaps "validation", a list of rate-distortion points."""
        with self.path.open("a") as f:
            f.write(json.dumps(record) + "\n")
        if self.board is None:
            return
        for name, value in record.items():
            if isinstance(value, int | float) and name != "step":
                self.board.add_scalar(f"train/{name}", value, record["step"])
        for point in record.get("validation", ()):
            for name in ("bpp", "psnr", "cost"):
                self.board.add_scalar(f"validation/q{point['quality']}/{name}", point[name], record["step"])
        self.board.flush()
