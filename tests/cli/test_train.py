"""`calotype train`: options made from the recipe, resuming, exporting; one step of a tiny model."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from calotype.cli.recipes import changed, comments, recipe_options


@dataclass(frozen=True)
class Recipe:
    """A recipe to make options of."""

    width: int = 96  # channels: the dial
    rate_balance: float = 0.5
    muon: bool = True  # not AdamW


def test_every_field_is_an_option_with_type_default_and_its_comment_as_help() -> None:
    @click.command()
    @recipe_options(Recipe)
    def show(**values: object) -> None:
        click.echo(json.dumps(values))

    result = CliRunner().invoke(show, ["--width", "3", "--no-muon"])
    assert json.loads(result.output) == {"width": 3, "rate_balance": 0.5, "muon": False}
    assert "Channels: the dial" in CliRunner().invoke(show, ["--help"]).output
    assert CliRunner().invoke(show, ["--width", "0.5"]).exit_code == 2
    assert comments(Recipe) == {"width": "channels: the dial", "muon": "not AdamW"}


def test_what_contradicts_a_stored_recipe_is_named() -> None:
    assert changed({"width": 96, "lr": 0.1}, {"width": 64, "lr": 0.1, "new": 1}) == ["--width 64, not 96"]


def test_the_image_recipe_is_all_options(run) -> None:
    from calotype.train.image import ImageRecipe

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


def test_a_run_trains_resumes_and_refuses_another_recipe(run, photos: Path, tmp_path: Path) -> None:
    small = [
        "--width",
        8,
        "--analysis-blocks",
        1,
        "--synthesis-blocks",
        1,
        "--latents",
        16,
        "--hidden",
        16,
        "--batch",
        1,
        "--late-batch",
        1,
    ]
    place = ["--data", photos, "--out", tmp_path / "run"]
    result = run(
        "train",
        "image",
        *place,
        *small,
        "--crop",
        64,
        "--late-crop",
        64,
        "--steps",
        2,
        "--until",
        1,
        "--log-every",
        1,
        "--json",
    )
    assert result.code == 0, result.err
    assert json.loads(result.out.splitlines()[0])["step"] == 1
    assert "stopped at step 1 of 2" in result.err
    result = run("train", "image", *place, "--log-every", 1, "--steps", 2)
    assert result.code == 0, result.err
    assert (
        "from step 1 to 2" in result.err
        and "step 2/2" in result.out
        and "steps/s" in result.out
        and "validation" in result.out
    )
    result = run("train", "image", *place, "--width", 9)
    assert result.code == 2 and "--width 9, not 8" in result.err


def test_export_passes_the_card_on_and_says_what_was_made(
    run, shipped, photos: Path, tmp_path: Path, monkeypatch
) -> None:
    from calotype.models import zoo
    from calotype.train import export

    cards = []

    def copy(folder: Path, out: Path, given: object, card: dict) -> None:
        cards.append(card)
        out.write_bytes(zoo.find_model(shipped).read_bytes())

    monkeypatch.setattr(export, "export_run", copy)
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
