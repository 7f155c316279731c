"""The model file of a generative decoder: small, and the net that was written within its rounding."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from calotype.errors import ModelError
from calotype.models import modelfile
from calotype.models.bundle import ImageBundle
from calotype.models.generative.bundle import KIND, GenerativeBundle, write_generative_model
from calotype.models.zoo import DEFAULT_IMAGE_MODEL, find_model

sys.path.insert(0, str(Path(__file__).parents[2] / "codecs"))
from generatives import CONFIG  # noqa: E402


@pytest.fixture
def written(tmp_path):
    from calotype.models.generative.net import Denoiser

    floats = {k: v.numpy() for k, v in Denoiser(CONFIG).state_dict().items()}
    floats["last.weight"] = np.zeros_like(floats["last.weight"])
    path = tmp_path / "generative-tiny.1.safetensors"
    write_generative_model(path, path.stem, CONFIG, ImageBundle.read(find_model(DEFAULT_IMAGE_MODEL)), floats, {})
    return path, floats


def test_weights_come_back_within_half_a_step_of_eight_bits_an_output(written) -> None:
    path, floats = written
    found = GenerativeBundle.read(path).floats
    assert found.keys() == floats.keys()
    for name, weight in floats.items():
        assert found[name].shape == weight.shape and found[name].dtype == np.float32
        largest = np.abs(weight).reshape(len(weight), -1).max(1) if weight.ndim > 1 else np.abs(weight)
        bound = (0.51 / 127 if weight.ndim > 1 else 1e-3) * largest + 2e-6
        assert (np.abs(found[name] - weight).reshape(len(weight), -1).max(1) <= bound).all(), name


def test_matrices_and_kernels_are_eight_bits_in_the_file(written) -> None:
    arrays = modelfile.read(written[0])[1]
    assert all((v.dtype == np.int8) == (v.ndim > 1) for k, v in arrays.items() if k.startswith("net."))


def test_integers_without_a_scale_are_refused(written, tmp_path) -> None:
    info, arrays, _ = modelfile.read(written[0])
    del arrays["scale.enter.weight"]
    modelfile.write(tmp_path / "without.safetensors", "generative-without", KIND, info.config, {}, arrays)
    with pytest.raises(ModelError, match="scale"):
        GenerativeBundle.read(tmp_path / "without.safetensors")
