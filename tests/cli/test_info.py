"""`calotype info` shows what a file says, also where it cannot be decoded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from calotype.codecs import container
from calotype.codecs.container import ICC, TILE, Chunk, Header


@pytest.fixture
def file(tmp_path: Path) -> Path:
    params = {"quality_deci": 425, "tile_width": 512, "tile_height": 512}
    header = Header(
        media="image", codec="image", model="image-x.1", model_hash=b"\xab" * 8, width=1000, height=500, params=params
    )
    path = tmp_path / "a.calo"
    path.write_bytes(container.write(header, [Chunk(ICC, b"profile"), Chunk(TILE, b"12345"), Chunk(TILE, b"123")]))
    return path


def test_info_names_everything_in_header_and_chunks(run, file: Path) -> None:
    result = run("info", file)
    assert (result.code, result.err) == (0, "")
    for what in (
        "1000 x 500",
        "image-x.1",
        "abababababababab",
        "quality: 42.5",
        "tile_width: 512",
        "2 x Tile: 8 bytes",
        "iccp: 7 bytes",
        "rgb",
    ):
        assert what in result.out


def test_json_is_one_object_a_file(run, file: Path) -> None:
    result = run("info", "--json", file, file)
    first, second = map(json.loads, result.out.splitlines())
    assert first == second
    assert first["bytes"] == file.stat().st_size == first["overhead"] + 15
    assert [chunk["kind"] for chunk in first["chunks"]] == ["iccp", "Tile", "Tile"]
    assert first["params"]["quality_deci"] == 425 and first["damage"] is None


def test_a_cut_file_is_shown_as_far_as_it_goes_with_exit_code_3(run, file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-12])
    result = run("info", file)
    assert result.code == 3
    assert "Tile: 5 bytes" in result.out
    assert str(file) in result.err and "get it again" in result.err


def test_a_claim_that_a_decoder_refuses_is_shown(run, tmp_path: Path) -> None:
    path = tmp_path / "big.calo"
    path.write_bytes(
        container.write(Header(media="image", codec="i", model="m", model_hash=bytes(8), width=65535, height=65535), [])
    )
    assert path.stat().st_size <= 48
    result = run("info", path)
    assert result.code == 0 and "65535 x 65535" in result.out


@pytest.mark.parametrize(
    "content, code, says",
    [
        (b"", 3, "empty"),
        (b"\x89PNG\r\n\x1a\n", 3, "PNG"),
        (b"CAL", 3, "cut short"),
        (b"CALO\x07", 3, "version 7"),
        (b"CALO\x01junk", 3, ""),
    ],
)
def test_what_is_no_calo_file_is_named(run, tmp_path: Path, content: bytes, code: int, says: str) -> None:
    path = tmp_path / "x.calo"
    path.write_bytes(content)
    result = run("info", path)
    assert (result.code, result.out) == (code, "")
    assert says in result.err and str(path) in result.err and result.err.count("\n") == 1


def test_a_directory_and_a_missing_file_are_usage_errors(run, tmp_path: Path) -> None:
    assert run("info", tmp_path).code == 2
    assert run("info", tmp_path / "no.calo").code == 2


def test_one_bad_file_does_not_hide_the_others(run, file: Path, tmp_path: Path) -> None:
    result = run("info", tmp_path / "no.calo", file)
    assert result.code == 2
    assert "1000 x 500" in result.out
    assert "1 of 2 files failed" in result.err
