"""Video model files: what is written is read back, and what does not fit together is a ModelError that says so."""

from __future__ import annotations

import shutil
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from small_inter import SMALL, arrays_of, latents_of, model_of, prediction_of

from calotype.cli import main as cli
from calotype.entropy import factorised_bank, gaussian_bank
from calotype.errors import ModelError
from calotype.models import modelfile, zoo
from calotype.models.bundle import FLOAT, PRIOR, ImageBundle
from calotype.models.motion.field import Field
from calotype.models.motion.fieldcoding import motion_banks
from calotype.models.priorgraph import LEVELS, SIGMA_MAX, SIGMA_MIN
from calotype.models.videobundle import INTER, INTRA_HASH, KIND, VideoBundle, write_video_model

NAME = "video-x.1"
ENCODER = ("analysis.", "to_latent.", "log_gain", "hyper.", "log_z_gain")
CARD = {"data": "none"}


@lru_cache
def intra() -> ImageBundle:
    if not (zoo.WEIGHTS / f"{zoo.DEFAULT_IMAGE_MODEL}.safetensors").is_file():
        pytest.skip(f"needs the shipped model {zoo.DEFAULT_IMAGE_MODEL}: calotype/models/weights has none")
    return zoo.load_model()


@lru_cache
def parts() -> tuple:
    """(floats, banks of z and y, banks of motion)."""
    floats = {k: v.numpy() for k, v in model_of(0).state_dict().items() if k.startswith(ENCODER)}
    pmf = np.exp(-np.abs(np.arange(-20, 21)) / 4)
    z_bank = factorised_bank([pmf / pmf.sum() * 0.99] * SMALL.side, [-20] * SMALL.side)
    field = Field(16, np.zeros((3, 4), np.uint8), np.zeros((2, 3, 4, 2), np.int16))
    return floats, (z_bank, gaussian_bank(LEVELS, SIGMA_MIN, SIGMA_MAX, 12)), motion_banks([(field, 1), (field, 2)])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A model file of random weights."""
    floats, banks, motion = parts()
    prior, inter = arrays_of(0)
    target = tmp_path / f"{NAME}.safetensors"
    write_video_model(target, NAME, SMALL, intra(), {PRIOR: prior, INTER: inter, FLOAT: floats}, banks, motion, CARD)
    return target


def rewritten(path: Path, changes=None, **meta: object) -> Path:
    """The file with other tensors (None: without it) or metadata, every checksum right."""
    info, arrays, _ = modelfile.read(path)
    arrays |= {k: v for k, v in (changes or {}).items() if v is not None}
    arrays = {k: v for k, v in arrays.items() if k not in (changes or {}) or changes[k] is not None}
    fields = {"name": info.name, "kind": info.kind, "config": info.config, "card": info.card} | meta
    modelfile.write(path, *fields.values(), arrays)
    return path


def test_what_is_written_is_read_back(path) -> None:
    bundle, info = VideoBundle.read(path), modelfile.read_info(path)
    assert (bundle.name, bundle.config, info.kind, info.card) == (NAME, SMALL, KIND, CARD)
    assert bundle.hash.hex() == info.hash and bundle.parameters == info.parameters
    assert bundle.intra.hash == intra().hash
    prior, inter = arrays_of(0)
    assert all(np.array_equal(bundle.inter.arrays[k], v) for k, v in inter.items())
    floats, (z_bank, y_bank), motion = parts()
    for bank, expected in ((bundle.z_bank, z_bank), (bundle.y_bank, y_bank), *((bundle.motion[k], motion[k]) for k in motion)):
        ours, theirs = bank.to_arrays("t"), expected.to_arrays("t")
        assert all(np.array_equal(ours[k], v) for k, v in theirs.items()) and ours.keys() == theirs.keys()
    rng = np.random.default_rng(0)
    (base, difference), y_hat = prediction_of(rng), latents_of(rng, model_of(0), 4, 6, 500)
    c, _ = bundle.inter.known(base, difference, 500)
    assert [p.shape for p in bundle.inter(y_hat, c, base, 500)] == [(64, 96), (32, 48), (32, 48)]
    state = bundle.model.state_dict()
    assert all(np.allclose(state[k].numpy(), v, atol=1e-2) for k, v in floats.items())
    assert bundle.worth(500).shape == (1, SMALL.latents) and (bundle.worth(1000) > 0).all()


def test_the_zoo_reads_it_by_its_path_and_takes_it_for_no_image_model(path) -> None:
    kind, bundle = zoo.load_any_model(path)
    assert kind == KIND and isinstance(bundle, VideoBundle)
    with pytest.raises(ModelError, match="video"):
        zoo.load_model(path)


@pytest.mark.parametrize("name", [zoo.DEFAULT_VIDEO_MODEL, NAME])
def test_a_packed_file_is_the_same_model(path, name, tmp_path, capsys) -> None:
    source = path if name == NAME else zoo.WEIGHTS / f"{name}.safetensors"
    if not source.is_file():
        pytest.skip(f"needs the shipped model {name}: calotype/models/weights has none")
    packed = tmp_path / "packed.safetensors"
    assert cli.main(["models", "pack", str(source), str(packed)]) == 0
    (_, first, digest), (info, second, again) = modelfile.read(source), modelfile.read(packed)
    assert digest == again and info.name == name and first.keys() == second.keys()
    assert all(v.dtype == second[k].dtype and np.array_equal(v, second[k]) for k, v in first.items())
    bundle = VideoBundle.read(packed)
    assert bundle.hash == digest and digest.hex()[:16] in capsys.readouterr().out


def test_another_image_model_than_the_one_it_was_made_with_is_refused(path) -> None:
    with pytest.raises(ModelError, match="hash") as raised:
        VideoBundle.read(rewritten(path, {INTRA_HASH: np.zeros(32, np.uint8)}))
    assert zoo.DEFAULT_IMAGE_MODEL in str(raised.value)


def test_the_image_model_may_lie_beside_it_and_counts_before_the_shipped_one(path) -> None:
    beside = path.parent / f"{zoo.DEFAULT_IMAGE_MODEL}.safetensors"
    shutil.copy(zoo.WEIGHTS / beside.name, beside)
    assert VideoBundle.read(path).intra.hash == intra().hash
    beside.write_bytes(b"no model")
    with pytest.raises(ModelError):
        VideoBundle.read(path)


def test_an_image_model_that_is_not_there_is_named(path) -> None:
    config = SMALL.to_dict()
    with pytest.raises(ModelError, match=r"image-lost\.9"):
        VideoBundle.read(rewritten(path, config=config | {"intra": "image-lost.9"}))
    with pytest.raises(ModelError, match="intra"):
        VideoBundle.read(rewritten(path, config=config))


def test_a_model_of_another_kind_is_refused(path) -> None:
    with pytest.raises(ModelError, match="image"):
        VideoBundle.read(zoo.WEIGHTS / f"{zoo.DEFAULT_IMAGE_MODEL}.safetensors")
    with pytest.raises(ModelError, match="sound"):
        VideoBundle.read(rewritten(path, kind="sound"))
    with pytest.raises(ModelError, match="sound"):
        zoo.load_any_model(path)


@pytest.mark.parametrize(
    "key",
    [INTRA_HASH, f"{PRIOR}past_in.weight", f"{INTER}to_prior.bias", "tables.mode"],
)
def test_a_tensor_that_is_missing_is_a_model_error(path, key) -> None:
    key = next(k for k in modelfile.read(path)[1] if k.startswith(key))
    with pytest.raises(ModelError):
        VideoBundle.read(rewritten(path, {key: None}))


def test_sizes_and_tables_of_another_config_are_a_model_error(path) -> None:
    config = modelfile.read_info(path).config
    for other in ({"width": 24}, {"latents": 18}, {"depth": 3}):
        with pytest.raises(ModelError):
            VideoBundle.read(rewritten(path, config=config | other))
    rewritten(path, config=config)
    _, _, motion = parts()
    for few, key in ((motion["vector"], "tables.mode"), (motion["mode"], "tables.vector")):
        with pytest.raises(ModelError):
            VideoBundle.read(rewritten(path, few.to_arrays(key)))


def test_an_encoders_weights_that_are_missing_are_an_error_of_the_encoder_alone(path) -> None:
    bundle = VideoBundle.read(rewritten(path, {f"{FLOAT}hyper.0.weight": None}))
    assert bundle.prices is bundle.prices
    with pytest.raises(ModelError, match="encoder"):
        _ = bundle.model


def test_damage_is_a_model_error(path) -> None:
    data = path.read_bytes()
    for changed in (data[:-5], data[: len(data) // 2], b"", data[:-40] + bytes([data[-40] ^ 1]) + data[-39:]):
        path.write_bytes(changed)
        with pytest.raises(ModelError):
            VideoBundle.read(path)
