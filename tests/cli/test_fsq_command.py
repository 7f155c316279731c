"""`calotype encode -m fsq`, through processes and back."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "codecs"))
from fsqs import write_model  # noqa: E402
from generatives import picture  # noqa: E402


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "tiny.safetensors")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    Image.fromarray(picture(120, 160)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_a_picture_is_coded_described_verified_and_decoded(run, spawn, model: Path, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.calo"
    process = spawn("-m", "calotype", "encode", source, out, "-m", model, "-q", "60", "--json")
    record, error = process.communicate(timeout=120)
    assert process.returncode == 0, error.decode()
    assert json.loads(record)["bytes"] == out.stat().st_size
    said = run("info", out).out
    assert "codec: fsq" in said and "channels: 5" in said and "rounding" not in said
    assert "good" in run("verify", out, "-m", model).out
    process = spawn("-m", "calotype", "decode", out, tmp_path / "b.png", "-m", model)
    assert process.wait(timeout=120) == 0
    assert np.asarray(Image.open(tmp_path / "b.png")).shape == (120, 160, 3)


def test_a_damaged_file_is_an_error_of_its_own_code_and_leaves_nothing(run, model: Path, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.calo"
    assert run("encode", source, out, "-m", model).code == 0
    data = bytearray(out.read_bytes())
    data[-20] ^= 1
    out.write_bytes(bytes(data))
    result = run("decode", out, tmp_path / "b.png", "-m", model)
    assert result.code == 3 and "damaged" in result.err and not (tmp_path / "b.png").exists()


def test_options_that_the_codec_lacks_are_usage_errors(run, model: Path, source: Path, tmp_path: Path) -> None:
    for options in (("--psnr", "30"), ("--realism", "1"), ("-e", "3")):
        assert run("encode", source, tmp_path / "a.calo", "-m", model, *options).code == 2
