"""Recipes: what each names can be built, shipped and decoded within its bounds; schedules end at zero."""

from __future__ import annotations

import dataclasses

import pytest
import tiny
import torch

from calotype.codecs.image import HALO, LATENT
from calotype.errors import UsageError
from calotype.models.complexity import decoder_kmac, inter_kmac
from calotype.models.image import ImageConfig, wsilu
from calotype.train import exportvideo
from calotype.train.export import exported_bytes
from calotype.train.recipes import RECIPES, ImageRecipe, VideoRecipe

KMAC = {"image-s": 20, "image-m": 45, "image-l": 120}
VIDEO_KMAC = {"video-s": 6, "video-m": 16}
FILE_LIMIT = 16 * 2**20


def test_the_family_is_whole_and_image_s_is_the_default() -> None:
    assert RECIPES.keys() == KMAC.keys() | VIDEO_KMAC.keys()
    assert RECIPES["image-s"] == ImageRecipe() and RECIPES["video-s"] == VideoRecipe()


@pytest.mark.parametrize("name", VIDEO_KMAC)
def test_a_named_video_recipe_decodes_and_ships_within_its_bounds(name: str) -> None:
    recipe = RECIPES[name]
    assert inter_kmac(recipe.config().to_dict()) <= VIDEO_KMAC[name]
    assert exportvideo.exported_bytes(recipe.model()) <= FILE_LIMIT - 2**17


@pytest.mark.parametrize("name", KMAC)
def test_a_named_recipe_decodes_ships_and_tiles_within_its_bounds(name: str) -> None:
    recipe = RECIPES[name]
    config = recipe.config()
    assert decoder_kmac(config.to_dict()) <= KMAC[name]
    assert 8 + 8 * config.synthesis_blocks <= HALO * LATENT
    model = recipe.model()
    assert exported_bytes(model) <= FILE_LIMIT - 2**17  # tables and header take the rest
    with torch.no_grad():
        x_hat, y_bits, z_bits = model(torch.rand(1, 3, 64, 64), torch.tensor([300.0]))
    assert x_hat.shape == (1, 3, 64, 64) and y_bits.shape == z_bits.shape == (1,)
    assert torch.isfinite(y_bits + z_bits).all()


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
@pytest.mark.parametrize("budget", [{"steps": 1000}, {"minutes": 2.5}])
def test_the_rate_warms_up_and_reaches_zero_with_the_budget(schedule: str, budget: dict) -> None:
    recipe = ImageRecipe(schedule=schedule, warmup=10, late=0.25, **budget)
    seconds = 60 * recipe.minutes
    spent = [recipe.progress(step, step / 1000 * seconds) for step in range(1001)]
    assert spent[0] == 0 and spent[-1] == 1 and spent == sorted(spent)
    factors = [recipe.lr_factor(step, p) for step, p in enumerate(spent)]
    assert factors[0] == pytest.approx(0.1) and max(factors) == factors[9] and factors[-1] == 0
    assert factors[9:] == sorted(factors[9:], reverse=True)
    assert factors[500] == pytest.approx(0.5)
    assert factors[250] == pytest.approx({"linear": 0.75, "cosine": 0.853553}[schedule])
    stages = [recipe.stage(p) for p in spent]
    assert stages[:750] == [(recipe.batch, recipe.crop)] * 750
    assert stages[751:] == [(recipe.late_batch, recipe.late_crop)] * 250 and recipe.late_crop > recipe.crop


@pytest.mark.parametrize(
    "wrong",
    [
        {"schedule": "constant"},
        {"optimiser": "sgd"},
        {"start": "zero"},
        {"activation": "relu"},
        {"prior": "oracle"},
        {"width": 0},
        {"steps": 0},
        {"minutes": -1.0},
        {"minutes": float("inf")},
        {"warmup": 0},
        {"crop": 100},
        {"late": 1.5},
        {"latents": 18},
    ],
)
def test_what_no_run_can_have_is_a_usage_error(wrong: dict) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        ImageRecipe(**wrong)


def test_a_stored_recipe_is_read_with_defaults_for_what_it_lacks_and_without_what_is_no_more() -> None:
    assert ImageRecipe.restored({"width": 64, "anneal": 3}) == ImageRecipe(width=64)


def test_model_choices_reach_the_model_and_defaults_stay_out_of_its_config() -> None:
    assert ImageRecipe().config().to_dict().keys() == {f.name for f in dataclasses.fields(ImageConfig) if f.type == "int"}
    chosen = dataclasses.replace(tiny.RECIPE, activation="wsilu", prior="checkerboard", scales="side")
    assert chosen.config().to_dict().items() >= {"activation": "wsilu", "prior": "checkerboard", "scales": "side"}.items()
    assert ImageConfig(**chosen.config().to_dict()) == chosen.config()


def test_wsilu_is_in_the_trunks_and_nowhere_else() -> None:
    x = torch.linspace(-4, 4, 99)
    torch.testing.assert_close(wsilu(x), x * torch.sigmoid(4 * x))
    model = dataclasses.replace(tiny.RECIPE, activation="wsilu").model()
    using = {name for name, module in model.named_modules() if getattr(module, "act", None) is wsilu}
    assert using == {"analysis.blocks.0", "synthesis.blocks.0"}


@pytest.mark.parametrize("changes", [{"top": 0}, {"top": 1001}, {"squared": -1.0}, {"perceptual": float("inf")}])
def test_an_image_recipe_with_weights_that_cannot_be_is_a_usage_error(changes) -> None:
    with pytest.raises(UsageError):
        ImageRecipe(**changes)
