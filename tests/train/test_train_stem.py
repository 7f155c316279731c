"""A stem prior starts as the image model's, learns from pairs of frames while all else stays, and is put into a model file."""

from __future__ import annotations

import shutil
from dataclasses import fields
from fractions import Fraction

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from calotype.cli.train_stem import stem
from calotype.codecs.y4m import write_frame, write_header
from calotype.errors import ModelError, UsageError
from calotype.models import modelfile, zoo
from calotype.models.integer.convertprior import integer_arrays
from calotype.models.integer.executions import make_execution
from calotype.models.integer.places import Quality
from calotype.models.integer.prior import IntegerPrior
from calotype.models.stem import STEM, Past, Stem, stem_config
from calotype.models.videobundle import VideoBundle
from calotype.train import exportstem
from calotype.train.clips import Clips
from calotype.train.loop import Run
from calotype.train.recipes import StemRecipe
from calotype.train.stem import StemTask, coded
from calotype.train.video import VALIDATION_CROP

pytest.importorskip("av", reason="clips are read by PyAV")
RECIPE = StemRecipe(steps=3, batch=2, crop=64, late=0.0, warmup=1, seed=3)


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Clips:
    """Two clips of smooth noise that drifts."""
    folder, side = tmp_path_factory.mktemp("clips"), VALIDATION_CROP + 16
    for number in range(2):
        rng = np.random.default_rng(number)
        noise = np.kron(rng.integers(40, 215, (40, 40)), np.ones((8, 8))).astype(np.uint8)
        with (folder / f"{number}.y4m").open("wb") as stream:
            write_header(stream, side, side, Fraction(25))
            for k in range(3):
                luma = noise[k : k + side, 2 * k : 2 * k + side]
                write_frame(stream, [np.ascontiguousarray(p) for p in (luma, luma[::2, ::2], 255 - luma[::2, ::2])])
    return Clips([folder], None, VALIDATION_CROP)


@pytest.fixture(scope="module")
def run(clips, tmp_path_factory) -> Run:
    """A run that took its three steps."""
    torch.set_num_threads(1)
    made = Run(tmp_path_factory.mktemp("runs") / "stem", RECIPE, clips)
    made.train(log_every=1, validate_every=100)
    return made


def test_it_starts_with_the_bits_of_the_image_models_prior(clips, tmp_path) -> None:
    fresh = Run(tmp_path / "run", RECIPE, clips)
    for point in fresh.validate():
        assert point["bpp"] == point["plain"] and point["psnr"] > 15


def test_only_the_prior_learns_and_all_of_it_does(clips, run, tmp_path) -> None:
    fresh = Run(tmp_path / "run", RECIPE, clips)
    moved = {n for n, p in run.model.named_parameters() if not torch.equal(p, dict(fresh.model.named_parameters())[n])}
    assert moved == {n for n, _ in fresh.model.named_parameters()}
    for part in (run.task.still.model, run.task.still.prior):
        assert not any(p.requires_grad for p in part.parameters())
    again = Run(tmp_path / "again", RECIPE, clips)
    again.train(log_every=1, validate_every=100)
    assert all(torch.equal(value, again.ema[name]) for name, value in run.ema.items())


def test_processes_share_a_batch_of_neighbouring_qualities(run, clips) -> None:
    parts = [StemTask(RECIPE, clips, "cpu", rank, 2).sample(5, 4, 64) for rank in range(2)]
    whole = run.task.sample(5, 4, 64)
    for rank, (pair, quality) in enumerate(parts):
        assert torch.equal(quality, whole[1][rank::2])
        assert all(torch.allclose(mine, every[rank::2], atol=1e-3) for mine, every in zip(pair, whole[0], strict=True))


def test_what_the_integers_of_the_file_code_is_what_the_run_trained(run, clips, tmp_path, monkeypatch) -> None:
    if not (zoo.WEIGHTS / f"{zoo.DEFAULT_VIDEO_MODEL}.safetensors").is_file():
        pytest.skip(f"needs the shipped model {zoo.DEFAULT_VIDEO_MODEL}: calotype/models/weights has none")
    monkeypatch.setattr(exportstem, "BATCHES", 2)
    out = tmp_path / "video-t.safetensors"
    with pytest.raises(UsageError, match="video model"):
        exportstem.export_run(run.folder, out, clips, {})
    shutil.copy(zoo.WEIGHTS / f"{zoo.DEFAULT_VIDEO_MODEL}.safetensors", out)
    exportstem.export_run(run.folder, out, clips, {"note": "x"})
    info, arrays, _ = modelfile.read(out)
    model = RECIPE.model()
    model.load_state_dict(run.ema)
    assert all(np.array_equal(arrays[STEM + name], value) for name, value in integer_arrays(model).items())
    assert info.card["stem"]["note"] == "x" and info.card["stem"]["steps"] == 3
    assert VideoBundle.read(out).stem is not None


def test_the_integer_prior_gives_the_float_priors_means(run, clips, tmp_path) -> None:
    torch.manual_seed(1)
    model = RECIPE.model()
    model.load_state_dict(run.ema)
    model.past_in.weight.data += 0.02 * torch.randn_like(model.past_in.weight)  # so that the past matters
    task = run.task
    pair = task.still.pair(tuple(p[None, :2] for p in task.held_out[0]), (torch.tensor([400.0]), torch.tensor([400.0])))
    with torch.no_grad():
        found = coded(model, pair)
    prior = IntegerPrior(stem_config(task.still.bundle.config), integer_arrays(model), make_execution())
    latents = (pair.past[0] * 16).round().int().numpy()
    y = pair.y[0].numpy()
    misses = []

    def code(mean: np.ndarray, index: np.ndarray, step: int) -> np.ndarray:
        own = prior.cut(found.mean[0].numpy(), step)
        misses.append(np.abs(own - mean / 16).ravel())
        symbols = prior.cut((found.y_hat - found.mean)[0].round().numpy(), step)
        return np.ascontiguousarray(symbols, np.int32)

    past = Past(Stem(prior, task.still.bundle.y_bank), latents)
    prior.walk(pair.z[0].numpy().astype(np.int32), y.shape[:2], Quality((400,)), code, temporal=past.temporal)
    assert np.mean(np.concatenate(misses) > 0) < 0.05  # where a float is rounded the other way, as in the image model's


def test_a_run_starts_from_another_runs_weights_and_from_no_model_of_another_kind(run, clips, tmp_path) -> None:
    started = Run(tmp_path / "next", RECIPE, clips, init=run.folder)
    assert all(torch.equal(value, run.ema[name]) for name, value in started.model.state_dict().items())
    with pytest.raises(ModelError):
        StemRecipe(image="image-that-is-none")


def test_every_field_of_the_recipe_is_an_option() -> None:
    shown = CliRunner().invoke(stem, ["--help"])
    assert shown.exit_code == 0 and all(f"--{f.name.replace('_', '-')}" in shown.output for f in fields(StemRecipe))
