"""A stream made at one level of instruction set decodes at another; a float prior, with the same weights, would not.

What every setting of a machine decodes: `calotype verify --matrix` and `tests/cli/test_verify_matrix.py`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from calotype.codecs import conformance
from calotype.codecs.conformance.nets import numbers
from calotype.codecs.registry import open_stream
from calotype.eval import matrix
from calotype.models import fakequant, prior
from calotype.models.image import knot_weights
from calotype.models.integer.convertprior import float_prior
from calotype.models.integer.places import Quality
from calotype.models.zoo import load_model

SIDE = 64
QUALITY = 620
ENCODE = """
import sys
from pathlib import Path
import numpy as np
from calotype.codecs import conformance
from calotype.codecs.image import ImageCodec
from calotype.models.zoo import load_model
made = ImageCodec(load_model()).encode(np.load(sys.argv[1]), 62, reconstruct=True)
Path(sys.argv[2]).write_bytes(made.data)
print(conformance.pixel_digest(made.reconstruction))
"""


@pytest.mark.parametrize("execution", ["kernel", "float", "reference"])
def test_a_stream_made_on_the_least_level_is_what_its_encoder_saw_here(capped: tuple[bytes, str], execution: str) -> None:
    data, reconstruction = capped
    assert conformance.digests(*open_stream(data, execution=execution))["pixels"] == reconstruction


@pytest.fixture(scope="module")
def capped(tmp_path_factory) -> tuple[bytes, str]:
    """A stream from a process held to the least instruction set, and the digest of its reconstruction."""
    folder: Path = tmp_path_factory.mktemp("capped")
    y, x = np.mgrid[:112, :144]
    shade = 128 + 60 * np.sin(x / 9) * np.cos(y / 13) + 50 * ((x // 17 + y // 11) % 2)
    np.save(folder / "picture.npy", np.stack([shade, 255 - shade, shade / 2], 2).clip(0, 255).astype(np.uint8))
    command = [sys.executable, "-c", ENCODE, str(folder / "picture.npy"), str(folder / "made.calo")]
    level = matrix.levels(matrix.Processor.here())[1]
    done = subprocess.run(command, env=matrix.environment(level), capture_output=True, text=True, check=True)
    return (folder / "made.calo").read_bytes(), done.stdout.split()[-1]


# ---- the contrast: the same weights in float, activations off their integer grids, as a peer's are


@pytest.fixture
def off_grids(monkeypatch) -> Iterator[None]:
    for module in (fakequant, prior):
        monkeypatch.setattr(module, "on_grid", lambda x, *_: x)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def inputs(config: Any) -> tuple[np.ndarray, list[np.ndarray]]:
    plan = config.plan
    shapes = [(len(g), len(g[0][1]) * SIDE // 2, SIDE // 2, plan.width(s)) for s, g in enumerate(plan.steps)]
    return numbers((SIDE // 4, SIDE // 4, config.side), 6, 1), [numbers(shape, 9, 2 + s) for s, shape in enumerate(shapes)]


def float_walk(net: Any) -> tuple[np.ndarray, np.ndarray]:
    """Mean in 1/16 and scale index of every latent, rounded."""
    z, symbols = inputs(net.config)
    steps = iter([torch.from_numpy(s).float()[:, None] for s in symbols])
    y = torch.zeros(1, SIDE, SIDE, net.config.latents)
    weights = knot_weights(torch.tensor([QUALITY]))
    mean, index, _ = net(y, torch.from_numpy(z).float()[None], weights, lambda y, mean, index: mean + next(steps))
    return (mean * 16).round().numpy(), index.round().numpy()


def integer_walk(net: Any) -> list[np.ndarray]:
    z, symbols = inputs(net.config)
    seen: list[np.ndarray] = []

    def code(mean: np.ndarray, index: np.ndarray, step: int) -> np.ndarray:
        seen.extend((mean.copy(), index.copy()))
        return symbols[step]

    return [*seen, net.walk(z, (SIDE, SIDE), Quality((QUALITY,)), code)]


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this build of torch has one library for products only")
def test_another_library_for_products_changes_what_a_float_prior_says_and_never_the_integer_prior(off_grids) -> None:
    integer = load_model(execution="float").prior
    net = float_prior(integer)
    before, exact = float_walk(net), integer_walk(integer)
    assert all((a == b).all() for a, b in zip(before, float_walk(net), strict=True)), "what differs is the setting, not chance"
    with torch.backends.mkldnn.flags(enabled=False):
        torch.set_num_threads(2)
        assert all((a == b).all() for a, b in zip(exact, integer_walk(integer), strict=True))
        assert sum(int((a != b).sum()) for a, b in zip(before, float_walk(net), strict=True)) > 0
