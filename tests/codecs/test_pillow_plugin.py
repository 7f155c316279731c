"""Pillow opens and saves .calo files, with a stand-in for the codec; with the real one where its weights are there."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import calotype
import calotype.codecs.pillow_plugin  # noqa: F401
from calotype.codecs import container
from calotype.codecs.container import ICC, TILE, Chunk, Header
from calotype.errors import CorruptStreamError, LimitError
from calotype.models import zoo

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 9, 3), np.uint8)


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """A codec that stores pixels as they are; the list holds the options of every encode."""
    calls: list[dict] = []

    def encode(image: Image.Image, **options: object) -> bytes:
        calls.append(options)
        header = Header(
            media="image", codec="plain", model="none", model_hash=bytes(8), width=image.width, height=image.height
        )
        return container.write(header, [Chunk(ICC, b"profile"), Chunk(TILE, image.tobytes())])

    def decode(data: bytes) -> Image.Image:
        stream = container.read(data)
        size = (stream.header.width, stream.header.height)
        return Image.frombytes("RGB", size, bytes(stream.payloads(TILE)[0]))

    monkeypatch.setattr(calotype, "encode", encode)
    monkeypatch.setattr(calotype, "decode", decode)
    return calls


def test_save_and_open_by_suffix(plain: list[dict], tmp_path: Path) -> None:
    path = tmp_path / "a.calo"
    Image.fromarray(PIXELS).save(path, quality=30, device="cpu")
    assert plain == [{"quality": 30, "device": "cpu"}]
    with Image.open(path) as image:
        assert (image.format, image.mode, image.size) == ("CALO", "RGB", (9, 5))
        assert image.info["icc_profile"] == b"profile"
        assert image.info["calotype"]["codec"] == "plain"
        assert np.array_equal(np.asarray(image), PIXELS)
        assert np.array_equal(np.asarray(image.crop((1, 1, 3, 3))), PIXELS[1:3, 1:3])


def test_opening_a_stream_does_not_decode(plain: list[dict], monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.BytesIO()
    Image.fromarray(PIXELS).save(stream, "CALO")
    monkeypatch.setattr(calotype, "decode", None)
    assert Image.open(stream).size == (9, 5)
    assert Image.MIME["CALO"] == "image/x-calotype"


def test_a_damaged_file_is_a_typed_error_when_opened(plain: list[dict]) -> None:
    stream = io.BytesIO()
    Image.fromarray(PIXELS).save(stream, "CALO")
    data = stream.getvalue()
    with pytest.raises(CorruptStreamError):
        Image.open(io.BytesIO(data[:-1]))
    huge = Header(media="image", codec="plain", model="none", model_hash=bytes(8), width=65535, height=65535)
    with pytest.raises(LimitError):
        Image.open(io.BytesIO(container.write(huge, [])))


def test_the_shipped_model_saves_and_opens(tmp_path: Path) -> None:
    if not (zoo.WEIGHTS / f"{zoo.DEFAULT_IMAGE_MODEL}.safetensors").is_file():
        pytest.skip(f"needs the shipped model {zoo.DEFAULT_IMAGE_MODEL}: calotype/models/weights has none")
    smooth = np.broadcast_to(np.arange(0, 200, 4, dtype=np.uint8)[:, None, None], (50, 40, 3)).copy()
    path = tmp_path / "a.calo"
    Image.fromarray(smooth).save(path, quality=90)
    with Image.open(path) as image:
        assert np.abs(np.asarray(image).astype(int) - smooth).mean() < 4
