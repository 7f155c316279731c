"""Generative pictures as `eval` measures them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from calotype.codecs import container
from calotype.errors import CalotypeError
from calotype.eval.coders import make
from calotype.eval.sources import open_sources

sys.path.insert(0, str(Path(__file__).parents[1] / "codecs"))
from generatives import picture, write_model  # noqa: E402


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model") / "generative-tiny.1.safetensors")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    from PIL import Image

    folder = tmp_path_factory.mktemp("pictures")
    Image.fromarray(picture(70, 90)).save(folder / "shapes.png")
    return next(open_sources([folder]))


def test_the_bytes_are_those_of_the_file_and_the_picture_that_of_its_decoder(model, source) -> None:
    coder = make(f"generative:{model}")
    coded = coder.code(source, 50)
    assert coded.data_bytes == len(coded.stream) and coded.differing_pixels is None
    decoded = coder._codec.decode(container.read(coded.stream)).pixels
    assert np.array_equal(next(iter(coded.decoded.frames())), decoded)


def test_the_realism_of_a_spec_is_what_files_are_decoded_with(model, source) -> None:
    faithful, real = (make(f"generative:{model}{r}") for r in (":r0", ""))
    assert faithful.label == real.label + ":r0" and faithful.identity["realism"] == 0 and real.identity["realism"] == 1
    a, b = (next(iter(c.code(source, 50).decoded.frames())) for c in (faithful, real))
    assert not np.array_equal(a, b)


def test_the_bits_of_a_path_of_noise_are_said_and_spent(model, source) -> None:
    plain, refined = (make(f"generative:{model}:r50{p}") for p in ("", ":p0.02"))
    assert refined.label == plain.label + ":p0.02" and refined.identity["refine"] == 0.02 and plain.identity["refine"] == 0
    assert 4 < refined.code(source, 50).data_bytes - plain.code(source, 50).data_bytes < 80


@pytest.mark.parametrize("spec", ["generative:image-s.4", "generative:nothing-x.9"])
def test_models_of_other_kinds_are_refused(spec) -> None:
    with pytest.raises(CalotypeError, match="image-s.4|nothing-x.9"):
        make(spec)
