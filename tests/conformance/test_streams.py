"""Released streams decode for ever: to the same symbols and the same pixels, bit for bit.

Here every stream by the kernels, and pictures in every execution; clips in every execution: `tests/cli/test_verify_matrix.py`.
"""

from __future__ import annotations

import pytest

from calotype.codecs import conformance
from calotype.codecs.conformance.nets import Latents, released_latents, walk_digest
from calotype.codecs.registry import open_stream
from calotype.models.integer.executions import EXECUTIONS
from calotype.models.zoo import load_model

RELEASED = conformance.released()
PICTURES = [name for name in RELEASED if name.startswith("image-")]


def found(name: str, execution: str, batch: int = 1) -> dict[str, str]:
    return conformance.digests(*open_stream((conformance.FOLDER / name).read_bytes(), execution=execution), batch)


def test_there_are_released_streams() -> None:
    assert len(RELEASED) >= 4 and all((conformance.FOLDER / name).is_file() for name in RELEASED)


@pytest.mark.parametrize("name", RELEASED)
def test_a_released_stream_decodes_to_the_same_symbols_and_pixels(name: str) -> None:
    assert found(name, "kernel") == RELEASED[name]


@pytest.mark.parametrize("execution", [name for name in EXECUTIONS if name not in ("kernel", "compiled")])
@pytest.mark.parametrize("name", PICTURES)
def test_so_it_does_in_every_execution(name: str, execution: str) -> None:
    assert found(name, execution) == RELEASED[name]


def test_so_it_does_when_torch_compiles_the_execution() -> None:
    name = next(name for name in RELEASED if name.endswith("-odd.calo"))
    assert found(name, "compiled") == RELEASED[name]


@pytest.mark.parametrize("name", PICTURES)
def test_what_else_is_painted_at_the_same_time_changes_nothing(name: str) -> None:
    assert found(name, "kernel", 4) == RELEASED[name]


@pytest.mark.parametrize("path", released_latents(), ids=lambda path: path.stem)
def test_released_latents_are_those_of_their_stream(path) -> None:
    name = path.with_suffix(".calo").name
    assert Latents.read(path).pixel_digest(load_model(name.rsplit("-", 1)[0]).synthesis) == RELEASED[name]["pixels"]


@pytest.mark.parametrize(("model", "digest"), conformance.released_priors().items())
def test_a_released_prior_walks_over_fixed_symbols_as_ever(model: str, digest: str) -> None:
    assert walk_digest(load_model(model).prior) == digest
