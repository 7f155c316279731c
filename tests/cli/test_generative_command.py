"""`calotype encode -m generative` and `decode --realism`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "codecs"))
sys.path.insert(0, str(Path(__file__).parents[1] / "models" / "generative"))
from generatives import picture, write_model  # noqa: E402

pytestmark = pytest.mark.usefixtures("shipped")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "tiny.safetensors")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    Image.fromarray(picture(120, 160)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_a_picture_is_coded_verified_and_decoded_by_realism(run, spawn, model: Path, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.calo"
    process = spawn("-m", "calotype", "encode", source, out, "-m", model, "-q", "30", "--realism", "0.5", "--json")
    record, error = process.communicate(timeout=120)
    assert process.returncode == 0, error.decode()
    assert json.loads(record)["bytes"] == out.stat().st_size and json.loads(record)["psnr"] > 10
    said = run("info", out).out
    assert "codec: generative" in said and "may differ by rounding" in said and "scale: 2" in said and "realism: 50" in said
    assert "good" in run("verify", out, "-m", model).out
    shown = {}
    for name, options in (
        ("file", ()),
        ("half", ("--realism", "0.5", "--steps", "1")),
        ("least", ("--realism", "0")),
        ("twice", ("--steps", "2")),
    ):
        assert run("decode", out, tmp_path / f"{name}.png", "-m", model, *options).code == 0
        shown[name] = np.asarray(Image.open(tmp_path / f"{name}.png"))
    assert np.array_equal(shown["file"], shown["half"]) and not np.array_equal(shown["file"], shown["least"])
    assert not np.array_equal(shown["file"], shown["twice"])


def test_a_path_of_noise_is_coded_told_verified_and_decoded_without_being_asked_for(
    run, spawn, model: Path, source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "a.calo"
    process = spawn("-m", "calotype", "encode", source, out, "-m", model, "-q", "30", "--refine", "0.02", "--json")
    record, error = process.communicate(timeout=300)
    assert process.returncode == 0, error.decode()
    assert json.loads(record)["bytes"] == out.stat().st_size
    assert "noise path: 4 steps" in run("info", out).out and "good" in run("verify", out, "-m", model).out
    assert run("decode", out, tmp_path / "b.png", "-m", model).code == 0
    shown = np.asarray(Image.open(tmp_path / "b.png")).astype(float)
    error = np.square(shown - np.asarray(Image.open(source))).mean()
    assert abs(10 * np.log10(255**2 / error) - json.loads(record)["psnr"]) < 0.02
    out.write_bytes(out.read_bytes()[:-9])
    assert run("decode", out, tmp_path / "c.png", "-m", model).code == 3
    assert not (tmp_path / "c.png").exists()


def test_options_without_meaning_are_usage_errors_that_write_nothing(run, model: Path, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.calo"
    for options in (
        ("-m", model, "--psnr", "30"),
        ("--realism", "1"),
        ("--lossless", "--realism", "1"),
        ("--refine", "0.1"),
        ("--lossless", "--refine", "0.1"),
        ("-m", model, "--refine", "3"),
        ("-m", model, "--minutes", "1"),
    ):
        assert run("encode", source, out, *options).code == 2
        assert not out.exists()
    assert run("encode", source, out).code == 0
    for option in ("--realism", "--steps"):
        refused = run("decode", out, tmp_path / "b.png", option, "1")
        assert refused.code == 2 and f"leave {option} out" in refused.err
    assert not (tmp_path / "b.png").exists()


def test_a_damaged_file_is_code_3_and_a_missing_model_code_5(run, model: Path, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.calo"
    assert run("encode", source, out, "-m", model, "--size", "1k").code == 0
    assert run("decode", out, tmp_path / "b.png").code == 5
    out.write_bytes(out.read_bytes()[:-9])
    assert run("decode", out, tmp_path / "b.png", "-m", model).code == 3
    assert not (tmp_path / "b.png").exists()


def test_a_backbone_of_the_users_decodes_in_the_nets_place(run, model: Path, source: Path, tmp_path: Path) -> None:
    pytest.importorskip("diffusers")
    pytest.importorskip("transformers")
    from tinypipeline import write_pipeline

    out, folder = tmp_path / "a.calo", write_pipeline(tmp_path / "pipeline")
    assert run("encode", source, out, "-m", model, "-q", "60").code == 0
    shown = {}
    for name, options in (("net", ()), ("once", ("--backbone", folder)), ("again", ("--backbone", folder))):
        assert run("decode", out, tmp_path / f"{name}.png", "-m", model, *options).code == 0
        shown[name] = np.asarray(Image.open(tmp_path / f"{name}.png"))
    assert np.array_equal(shown["once"], shown["again"]) and not np.array_equal(shown["once"], shown["net"])
    assert run("decode", out, tmp_path / "b.png", "-m", model, "--backbone", tmp_path).code != 0
    assert run("encode", source, out).code == 0
    refused = run("decode", out, tmp_path / "b.png", "--backbone", folder)
    assert refused.code == 2 and "--backbone" in refused.err and not (tmp_path / "b.png").exists()
