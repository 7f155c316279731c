"""The integer nets on a device against the committed digests, on a machine that has torch and numpy and nothing else.

    python scripts/cuda_digests.py --pack nets.npz      where Calotype is installed: the nets of the default model, or -m
    python scripts/cuda_digests.py nets.npz             on the other machine, in a copy of this folder; --device cpu, cuda, mps

Where all of Calotype is installed, `calotype verify --matrix --device cuda` does the same for whole streams. Here the prior
walks over fixed symbols, and the synthesis paints the latents of released streams, alone and in a batch of four. Exit code
3 where a digest differs.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from calotype.codecs.conformance import released, released_priors  # noqa: E402 (found by the line above)
from calotype.codecs.conformance.nets import Latents, pack, released_latents, unpack, walk_digest  # noqa: E402

EXECUTIONS = ("int8", "float")
BATCHES = (1, 4)


def checks(nets: Path, device: str) -> Iterator[tuple[str, str, str, str, float]]:
    """(execution, what, digest, the committed one, seconds) of each check."""
    with np.load(nets, allow_pickle=False) as file:
        arrays = dict(file)
    streams, priors = released(), released_priors()
    for execution in EXECUTIONS:
        model, prior, synthesis = unpack(arrays, execution, device)
        started = time.perf_counter()
        yield execution, f"prior of {model}", walk_digest(prior), priors.get(model, "none"), time.perf_counter() - started
        for path in released_latents():
            stream = path.with_suffix(".calo").name
            if stream.rsplit("-", 1)[0] != model:
                continue
            latents = Latents.read(path)
            for batch in BATCHES:
                started = time.perf_counter()
                found = latents.pixel_digest(synthesis, batch)
                expected = streams[stream]["pixels"]
                yield execution, f"pixels of {stream}, batch {batch}", found, expected, time.perf_counter() - started


def main() -> int:
    """Command line; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nets", type=Path, help="the .npz file")
    parser.add_argument("--pack", action="store_true", help="write it")
    parser.add_argument("-m", "--model", help="with --pack: a shipped model or a model file")
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    if options.pack:
        from calotype.models.zoo import DEFAULT_IMAGE_MODEL

        with options.nets.open("wb") as out:
            np.savez_compressed(out, **pack(options.model or DEFAULT_IMAGE_MODEL))
        return 0
    import torch

    on_cuda = options.device.startswith("cuda")
    if on_cuda and not torch.cuda.is_available():
        parser.error("torch sees no CUDA device here; --device cpu checks the CPU")
    print(f"torch {torch.__version__}, {torch.cuda.get_device_name(options.device) if on_cuda else options.device}")
    differing = 0
    for execution, what, found, expected, seconds in checks(options.nets, options.device):
        same = found == expected
        differing += not same
        verdict = "equal to the committed one" if same else f"DIFFERS from {expected[:8]}"
        print(f"{execution:<6}  {what:<48}  {found[:8]}  {seconds:7.3f} s  {verdict}", flush=True)
    print(f"{differing} digests differ" if differing else "every digest equals the committed one")
    return 3 if differing else 0


if __name__ == "__main__":
    raise SystemExit(main())
