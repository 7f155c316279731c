"""`calotype train`: options made from the recipe, resuming, exporting; one step of a tiny model."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import click
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from calotype.cli.recipes import changed, comments, recipe_options
from calotype.cli.train_plot import PLOT
from calotype.train import image
from calotype.train.logs import LOG


@dataclass(frozen=True)
class Recipe:
    """A recipe to make options of."""

    width: int = 96  # channels: the dial
    rate_balance: float = 0.5
    muon: bool = True  # not AdamW
    start: Literal["klt", "random"] = "klt"


def test_every_field_is_an_option_with_type_default_and_its_comment_as_help() -> None:
    @click.command()
    @recipe_options(Recipe)
    def show(**values: object) -> None:
        click.echo(json.dumps(values))

    result = CliRunner().invoke(show, ["--width", "3", "--no-muon"])
    assert json.loads(result.output) == {"width": 3, "rate_balance": 0.5, "muon": False, "start": "klt"}
    assert "Channels: the dial" in CliRunner().invoke(show, ["--help"]).output
    assert CliRunner().invoke(show, ["--width", "0.5"]).exit_code == 2
    assert CliRunner().invoke(show, ["--start", "zero"]).exit_code == 2
    assert comments(Recipe) == {"width": "channels: the dial", "muon": "not AdamW"}


def test_what_contradicts_a_stored_recipe_is_named() -> None:
    assert changed({"width": 96, "lr": 0.1}, {"width": 64, "lr": 0.1, "new": 1}) == ["--width 64, not 96"]


def test_the_image_recipe_is_all_options(run) -> None:
    from calotype.train.recipes import ImageRecipe

    result = run("train", "image", "--help")
    assert result.code == 0
    assert all(f"--{field.name.replace('_', '-')}" in result.out for field in fields(ImageRecipe))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    noise = np.random.default_rng(0)
    for number in range(3):
        small = Image.fromarray(noise.integers(0, 256, (20, 20, 3), np.uint8))
        small.resize((260, 260)).save(folder / f"{number}.png")
    return folder


@pytest.fixture(autouse=True)
def rough_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few crops for the KLT that a run starts from."""
    monkeypatch.setattr(image, "START_BATCHES", 1)


SMALL = "--width 8 --analysis-blocks 1 --synthesis-blocks 1 --latents 16 --hidden 16 --batch 1 --late-batch 1".split()
SMALL += "--crop 64 --late-crop 64 --log-every 1".split()


def test_a_run_trains_resumes_draws_its_curves_and_refuses_another_recipe(run, photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    place = ["--data", photos, "--out", folder]
    result = run("train", "image", *place, *SMALL, "--steps", 2, "--until", 1, "--json")
    assert result.code == 0, result.err
    assert json.loads(result.out.splitlines()[0])["step"] == 1
    assert "stopped at step 1 of 2" in result.err
    result = run("train", "image", *place, "--log-every", 1, "--steps", 2)
    assert result.code == 0, result.err
    assert "from step 1 to 2" in result.err and "step 2 of 2" in result.out
    assert "steps/s" in result.out and "validation" in result.out
    drawn = (folder / PLOT).read_text()
    assert "step 1<" in drawn and "step 2<" in drawn and "PSNR RGB (dB)" in drawn
    result = run("train", "image", *place, "--width", 9)
    assert result.code == 2 and "--width 9, not 8" in result.err
    result = run("train", "image", *place, "--recipe", "image-s")
    assert result.code == 2 and "--width 96, not 8" in result.err
    result = run("train", "image", *place, "--optimiser", "adamw")
    assert result.code == 2 and "--optimiser adamw, not muon" in result.err
    with (folder / LOG).open("a") as log:
        log.write('{"step": 3, "valida')  # as a killed process may leave it
    result = run("train", "plot", folder, tmp_path / "curves.svg")
    assert result.code == 0 and (tmp_path / "curves.svg").read_text() == drawn
    assert run("train", "plot", photos).code == 2


def test_a_budget_of_minutes_stops_and_goes_on_by_the_clock(run, photos: Path, tmp_path: Path) -> None:
    place = ["--data", photos, "--out", tmp_path / "run", "--log-every", 1]
    result = run("train", "image", *place, *SMALL, "--minutes", 1000, "--until", 1, "--json")
    assert result.code == 0, result.err
    record = json.loads(result.out.splitlines()[0])
    assert record["step"] == 1 and "of 1000 minutes" in result.err
    result = run("train", "image", *place, "--minutes", 500, "--until", 2)
    assert result.code == 0 and "of 500 minutes" in result.err and "of 500 minutes  loss" in result.out
    result = run("train", "image", *place, "--stop-after", 0)
    assert result.code == 0 and "stopped at step 2, " in result.err and "of 500 minutes" in result.err
    result = run("train", "image", *place, "--steps", 2)
    assert result.code == 0 and "to 2" in result.err and "stopped" not in result.err
    result = run("train", "image", *place, "--steps", 2, "--minutes", 3)
    assert result.code == 2 and "--steps or --minutes" in result.err


def test_a_named_recipe_gives_the_defaults_and_the_command_line_wins(run, photos, tmp_path, monkeypatch) -> None:
    from calotype.cli import train_image, train_run
    from calotype.train.recipes import RECIPES

    asked = []

    class Stop(Exception):
        """Enough: the recipe is known."""

    def remember(folder: Path, recipe: object, *_: object, **__: object) -> None:
        asked.append(recipe)
        raise Stop

    monkeypatch.setattr(train_run, "Run", remember)
    monkeypatch.setattr(train_image, "Photos", lambda *_: SimpleNamespace(megapixels=0))
    for options, changes in (
        ([], {}),
        (["--recipe", "image-s"], {}),
        (["--recipe", "image-m"], {}),
        (["--recipe", "image-l", "--width", 96, "--minutes", 30], {"width": 96, "minutes": 30.0}),
    ):
        with pytest.raises(Stop):
            run("train", "image", "--data", photos, "--out", tmp_path / "run", *options)
        name = options[1] if options else "image-s"
        assert asked.pop() == replace(RECIPES[name], **changes)
    assert run("train", "image", "--data", photos, "--out", tmp_path / "run", "--recipe", "image-xl").code == 2


def test_the_recipes_are_listed_with_what_their_models_cost(run) -> None:
    result = run("train", "recipes")
    assert result.code == 0 and all(name in result.out for name in ("image-s", "image-m", "image-l", "kMAC/pixel"))
    records = [json.loads(line) for line in run("train", "recipes", "--json").out.splitlines()]
    kmac = [record["kmac_per_pixel"] for record in records if record["name"].startswith("image")]
    assert kmac == sorted(kmac) and all(record["parameters"] > 10**6 for record in records)


def test_what_weights_cannot_start_from_is_a_typed_error(run, shipped, photos: Path, tmp_path: Path) -> None:
    place = ["--data", photos, "--out", tmp_path / "run", *SMALL]
    result = run("train", "image", *place, "--init", "image-x.9")
    assert result.code == 5 and shipped in result.err
    result = run("train", "image", *place, "--init", shipped)
    assert result.code == 2 and "not 8" in result.err


def test_export_passes_the_card_on_and_says_what_was_made(
    run, shipped, photos: Path, tmp_path: Path, monkeypatch
) -> None:
    from calotype.models import zoo
    from calotype.train import checkpoint, export

    cards = []

    def copy(folder: Path, out: Path, given: object, card: dict) -> None:
        cards.append(card)
        out.write_bytes(zoo.find_model(shipped).read_bytes())

    monkeypatch.setattr(export, "export_run", copy)
    monkeypatch.setattr(checkpoint, "load_meta", lambda path: {"kind": "image"})
    (tmp_path / "run").mkdir()
    (tmp_path / "card.json").write_text('{"data": "noise"}')
    place = [tmp_path / "run", tmp_path / "a.safetensors", "--data", photos]
    result = run("train", "export", *place, "--card", tmp_path / "card.json")
    assert result.code == 0 and shipped in result.out and "parameters" in result.out
    assert cards == [{"data": "noise"}]
    (tmp_path / "card.json").write_text("[1]")
    assert run("train", "export", *place, "--card", tmp_path / "card.json").code == 2


def test_wrong_data_and_runs_are_typed_errors(run, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    assert run("train", "image", "--data", tmp_path / "none", "--out", tmp_path / "run").code == 2
    assert run("train", "image", "--data", tmp_path / "gone", "--out", tmp_path / "run").code == 2
    assert run("train", "export", tmp_path / "none", tmp_path / "a.bin", "--data", photos).code == 2
    assert run("train", "export", tmp_path / "none", tmp_path / "a.safetensors", "--data", photos).code == 5
    nowhere = run("train", "export", tmp_path / "none", tmp_path / "no" / "a.safetensors", "--data", photos)
    assert nowhere.code == 2 and "make it first" in nowhere.err
