"""From a run to a model file that codes pictures as the trained net promised."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from PIL import Image

from calotype.codecs import container
from calotype.codecs.image import ImageCodec
from calotype.codecs.targets import psnr
from calotype.errors import ModelError
from calotype.models import modelfile
from calotype.models.bundle import ImageBundle
from calotype.train.data import Photos
from calotype.train.export import export_run, load_run


@pytest.fixture(scope="module")
def exported(uninterrupted, photos, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("export") / "tiny-x.1.safetensors"
    export_run(uninterrupted, path, Photos([photos], 256), {"licence": "none"})
    return path


def test_an_exported_run_encodes_and_decodes(exported, photos) -> None:
    codec = ImageCodec(ImageBundle.read(exported))
    pixels = np.array(Image.open(photos / "001.png"))[:96, :112]
    encoded = codec.encode(pixels, 60, reconstruct=True)
    stream = container.read(encoded.data)
    assert stream.header.model == "tiny-x.1" and stream.header.model_hash == codec.bundle.hash[:8]
    assert np.array_equal(codec.decode(stream).pixels, encoded.reconstruction)
    ideal = encoded.estimated_bits / 8
    assert len(encoded.data) <= max(1.01 * ideal, ideal + 64) + 72


def test_the_coded_picture_is_the_one_that_training_validated(exported, uninterrupted, photos) -> None:
    model, _ = load_run(uninterrupted)
    pixels = np.array(Image.open(photos / "000.png"))[:128, :128]
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    codec = ImageCodec(ImageBundle.read(exported))
    for quality in (20, 80):
        with torch.no_grad():
            x_hat, y_bits, z_bits = model(x, torch.tensor([10.0 * quality]), hard=True)
        shown = (x_hat[0].clamp(0, 1) * 255).round().permute(1, 2, 0).numpy().astype(np.uint8)
        encoded = codec.encode(pixels, quality, reconstruct=True)
        assert psnr(encoded.reconstruction, pixels) == pytest.approx(psnr(shown, pixels), abs=0.7)
        assert encoded.estimated_bits < 1.1 * float(y_bits + z_bits)  # counted tables are the better ones


def test_the_file_carries_card_recipe_and_name(exported) -> None:
    info = modelfile.read_info(exported)
    assert info.name == "tiny-x.1" and info.kind == "image" and info.card["licence"] == "none"
    assert info.card["steps"] == tiny.RECIPE.steps and info.card["recipe"]["width"] == tiny.RECIPE.width


def test_exporting_what_is_no_run_is_a_model_error(tmp_path: Path, photos) -> None:
    with pytest.raises(ModelError):
        export_run(tmp_path, tmp_path / "a.safetensors", Photos([photos], 256), {})
    assert not (tmp_path / "a.safetensors").exists()
