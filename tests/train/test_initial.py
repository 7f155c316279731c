"""A run may start from another run, from a model file or from an installed model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

from calotype.errors import ModelError, UsageError
from calotype.models.image import ImageModel, knot_weights
from calotype.models.integer.inter import to_cells
from calotype.models.video import InterModel, Prediction, to_planes
from calotype.models.videobundle import VideoBundle
from calotype.models.zoo import DEFAULT_IMAGE_MODEL, DEFAULT_VIDEO_MODEL, find_model
from calotype.train.data import Photos
from calotype.train.export import export_run
from calotype.train.image import start, validate
from calotype.train.initial import initial_video_weights, initial_weights
from calotype.train.loop import Run


def started(folder: Path, photos: Path, init: Path | str, **changes: object) -> Run:
    recipe = tiny.changed(**changes)
    return Run(folder, recipe, Photos([photos], 128), init=init)


def test_a_run_started_from_an_exported_model_validates_as_the_run_that_it_was_exported_from(
    uninterrupted: Path, photos: Path, tmp_path: Path
) -> None:
    """Transforms go through float16 and the prior's biases through integers: 0.5 % of the rate and 0.05 dB are allowed."""
    model = tmp_path / "tiny-x.1.safetensors"
    export_run(uninterrupted, model, Photos([photos], 256), {})
    before = tiny.make_run(uninterrupted, photos).validate()
    run = started(tmp_path / "run", photos, model)
    for a, b in zip(before, run.validate(), strict=True):
        assert b["bpp"] == pytest.approx(a["bpp"], rel=5e-3)
        assert b["psnr"] == pytest.approx(a["psnr"], abs=0.05)
    run.train(until=1)
    assert run.step == 1 and run.skipped == 0


def test_a_run_started_from_a_run_has_its_moving_average(uninterrupted: Path, photos: Path, tmp_path: Path) -> None:
    old, run = tiny.make_run(uninterrupted, photos), started(tmp_path / "run", photos, uninterrupted, lr=1e-4)
    assert run.step == 0
    assert all(torch.equal(old.ema[k], v) for k, v in run.model.state_dict().items())


def test_an_installed_model_is_found_by_name_and_fits_the_recipe_that_made_it() -> None:
    config, state = initial_weights(DEFAULT_IMAGE_MODEL)
    assert all(value.dtype == torch.float32 for value in state.values())
    ImageModel(config).load_state_dict(state)


def test_weights_of_another_size_or_of_none_are_typed_errors(uninterrupted: Path, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="width 8, not 12"):
        started(tmp_path / "a", photos, uninterrupted, width=12)
    with pytest.raises(ModelError, match=DEFAULT_IMAGE_MODEL):
        started(tmp_path / "b", photos, "image-x.9")
    with pytest.raises(ModelError):
        started(tmp_path / "c", photos, photos)


def test_of_a_model_of_another_size_what_fits_is_taken_where_that_is_asked_for(
    uninterrupted: Path, photos: Path, tmp_path: Path
) -> None:
    old = tiny.make_run(uninterrupted, photos).ema
    recipe = tiny.changed(latents=24)
    run = Run(tmp_path / "run", recipe, Photos([photos], 128), init=uninterrupted, fitting=True)
    plain = Run(tmp_path / "plain", recipe, Photos([photos], 128)).model.state_dict()
    fits = {k for k, v in old.items() if v.shape == plain[k].shape}
    assert "synthesis.enter.weight" in fits and "to_latent.weight" not in fits
    for name, value in run.model.state_dict().items():
        assert torch.equal(value, old[name] if name in fits else plain[name])


def test_a_shipped_video_model_is_found_by_name_and_decodes_as_its_integers_do() -> None:
    config, state = initial_video_weights(DEFAULT_VIDEO_MODEL)
    model = InterModel(config)
    model.load_state_dict(state)
    bundle = VideoBundle.read(find_model(DEFAULT_VIDEO_MODEL))
    rng = np.random.default_rng(2)
    base = tuple(rng.integers(-2000, 2000, side, np.int16) for side in ((64, 96), (32, 48), (32, 48)))
    difference, y_hat = tuple(p // 8 for p in base), 16 * rng.integers(-1, 2, (4, 6, config.latents), np.int32)
    c, given = bundle.inter.known(base, difference, 500)
    planes = bundle.inter(y_hat, c, base, 500)
    weights = knot_weights(torch.tensor([500.0]))
    cells = [torch.from_numpy(to_cells(p)).permute(0, 3, 1, 2).float() / 2**13 for p in (base, difference)]
    with torch.no_grad():
        known, said = model.known(Prediction(*cells, torch.zeros(0)), weights)
        x_hat = model.synthesise(torch.from_numpy(y_hat).permute(2, 0, 1)[None].float() / 16, cells[0], known, weights)
    assert np.abs(said[0].numpy() - given / 2**8).mean() < 0.02 * said.abs().mean()
    for ours, theirs in zip(to_planes(x_hat * 256 + 128), planes, strict=True):
        error = ours[0].clamp(0, 255).numpy() - theirs
        assert np.abs(error).mean() < 0.4  # rounding to a level is 0.25 of it


def test_both_starts_are_codecs_before_the_first_step_and_that_of_the_photos_the_better_one(photos: Path) -> None:
    source, points = Photos([photos], 128), {}
    for kind in ("klt", "random"):
        recipe = tiny.changed(start=kind, latents=768)  # all of them: then both are orthonormal and complete
        model = recipe.model()
        start(model, source, recipe)
        low, *_, high = points[kind] = validate(model, source.validation(128))
        assert 0 < low["bpp"] < high["bpp"] < 24 and high["psnr"] > low["psnr"] + 15
    assert all(k["cost"] < r["cost"] for k, r in zip(points["klt"], points["random"], strict=True))
