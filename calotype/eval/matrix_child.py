"""A child of `matrix.py`: python -m calotype.eval.matrix_child JOB.json; an answer a line, as JSON, on standard output."""

from __future__ import annotations

import json
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from .. import threads
from ..codecs.conformance import digests
from ..codecs.registry import open_stream
from ..errors import CalotypeError
from ..models.integer.executions import ON_DEVICE

NO_COMPILER = "InvalidCxxCompiler"  # how torch.compile says so, wrapped in errors of its own


def main() -> None:
    """Answer every setting of a job."""
    place = Path(sys.argv[1])
    job = json.loads(place.read_text())
    for setting in job["settings"]:
        answer = answer_of(setting, place.parent, job["model"])
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def answer_of(setting: dict[str, Any], folder: Path, model: str | None) -> dict[str, Any]:
    """Fields of a `matrix.Row`, streams by number."""
    answer: dict[str, Any] = {"digests": {}, "failed": {}, "cannot": "", "got": "", "seconds": 0.0}
    execution, device = setting["execution"], setting["device"]
    if execution in ON_DEVICE:
        import torch

        available = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}
        if not available.get(device.split(":")[0], lambda: True)():
            return answer | {"cannot": f"torch sees no {device.upper()} device here"}
    threads.set_count(setting["threads"])
    for number in setting["streams"]:
        try:
            data = (folder / f"{number}.calo").read_bytes()
            stream, codec = open_stream(data, model=model, device=device, execution=execution)
            if execution == "kernel" and setting["threads"] > 1 and stream.header.codec in ("image", "video", "generative"):
                codec.bundle.prior.execution.LEAST = 1  # that threads share even small layers
            started = time.perf_counter()
            answer["digests"][number] = digests(stream, codec, setting["batch"])
            answer["seconds"] += time.perf_counter() - started
            answer["got"] = instruction_set(execution) if device == "cpu" else ""
        except CalotypeError as error:
            answer["failed"][number] = f"{type(error).__name__}: {error}"
        except Exception as error:  # noqa: BLE001 (whatever it is, the row says it and the others go on)
            if reason := cannot(error, execution, device):
                return answer | {"digests": {}, "failed": {}, "cannot": reason}
            answer["failed"][number] = f"{type(error).__name__}: {error}"
    return answer


def instruction_set(execution: str) -> str:
    """What the libraries say that they use: numba's CPU for `kernel`, ATen's capability for those of torch."""
    if execution in ON_DEVICE:
        import torch

        return torch.backends.cpu.get_cpu_capability()
    if execution == "kernel":
        from numba.core.registry import cpu_target

        return cpu_target.target_context.codegen().magic_tuple()[1]  # which is a part of the key of numba's cache
    return ""


def cannot(error: Exception, execution: str, device: str) -> str:
    """Why a setting does not run on this machine; empty where it should."""
    if execution == "compiled" and NO_COMPILER in "".join(traceback.format_exception(error)):
        return "torch.compile finds no C++ compiler"
    if device.startswith("mps") and isinstance(error, NotImplementedError):
        return f"torch has no such product on {device}"
    return ""


if __name__ == "__main__":
    main()
