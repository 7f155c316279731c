"""`calotype encode` and `decode` with the shipped model, in this process: round trips, odd pictures, batches, pipes."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gradients import gradient
from PIL import Image

import calotype
from calotype import atomic
from calotype.codecs import container
from calotype.models.integer import executions

pytestmark = pytest.mark.usefixtures("shipped")
not_root = pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")


def mean_error(a: Path, b: Path) -> float:
    x, y = (np.asarray(Image.open(path).convert("RGB"), np.float32) for path in (a, b))
    assert x.shape == y.shape
    return float(np.abs(x - y).mean())


def there_and_back(run, source: Path, *options: object) -> Path:
    """Encode and decode next to `source`; the decoded PNG."""
    middle, back = source.with_suffix(".calo"), source.with_suffix(".back.png")
    result = run("encode", source, middle, *options)
    assert result.code == 0, result.err
    result = run("decode", middle, back)
    assert result.code == 0, result.err
    return back


# ---- one picture


@pytest.mark.parametrize("width, height", [(1, 1), (1, 40), (33, 7), (31, 32), (257, 255)])
def test_any_size_comes_back_at_its_size(run, tmp_path: Path, width: int, height: int) -> None:
    source = tmp_path / "a.png"
    Image.fromarray(gradient(height, width) // 2 + 60).save(source)
    assert mean_error(there_and_back(run, source, "-q", 90), source) < 12


def test_the_result_line_says_sizes_rate_and_psnr(run, photo: Path) -> None:
    result = run("encode", photo, photo.with_suffix(".calo"))
    assert (result.code, result.err) == (0, "")
    size = photo.with_suffix(".calo").stat().st_size
    for what in ("70x50", f"{photo.stat().st_size} -> {size} bytes", f"{8 * size / 3500:.3f} bpp", " dB", "q 50"):
        assert what in result.out


def test_json_says_the_same_and_the_psnr_is_that_of_the_decoded_file(run, photo: Path) -> None:
    record = json.loads(run("encode", "--json", photo, photo.with_suffix(".calo")).out)
    assert (record["width"], record["height"], record["quality"]) == (70, 50, 50)
    checked = json.loads(run("verify", "--json", photo.with_suffix(".calo"), "--against", photo).out)
    assert checked["psnr"] == record["psnr"]
    decoded = json.loads(run("decode", "--json", photo.with_suffix(".calo"), photo.with_suffix(".bmp")).out)
    assert (decoded["missing_tiles"], decoded["notes"]) == (0, [])


def test_targets_are_reached(run, photo: Path) -> None:
    out = photo.with_suffix(".calo")
    assert json.loads(run("encode", "--json", photo, out, "--size", "0.4k").out)["bytes"] <= 400
    assert json.loads(run("encode", "--json", photo, out, "--bpp", 2).out)["bpp"] <= 2
    assert json.loads(run("encode", "--json", photo, out, "--psnr", 25).out)["psnr"] >= 25


@pytest.mark.parametrize("target", [["--size", "70"], ["--psnr", "90"], ["--bpp", "0.001"]])
def test_a_target_out_of_reach_says_what_is_reachable(run, photo: Path, target: list[str]) -> None:
    result = run("encode", photo, photo.with_suffix(".calo"), *target)
    assert result.code == 2 and "ask for" in result.err
    assert not photo.with_suffix(".calo").exists()


@pytest.mark.parametrize(
    "options",
    [
        ["-q", 101],
        ["-q", 5, "--bpp", 1],
        ["--size", "many"],
        ["--bpp", "nan"],
        ["--psnr", 0],
        ["--device", "abacus"],
        ["--device", "meta"],
        ["--threads", 0],
    ],
)
def test_options_that_make_no_sense_are_usage_errors(run, photo: Path, options: list) -> None:
    result = run("encode", photo, photo.with_suffix(".calo"), *options)
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)


def test_a_missing_model_gives_exit_code_5(run, photo: Path) -> None:
    result = run("encode", photo, photo.with_suffix(".calo"), "-m", "image-none.9")
    assert result.code == 5 and "image-none.9" in result.err


def test_a_stream_of_another_model_gives_exit_code_5(run, tmp_path: Path) -> None:
    for name, model in (("a", "image-none.9"), ("b", "s.1")):
        header = container.Header(media="image", codec="image", model=model, model_hash=bytes(8), width=8, height=8)
        (tmp_path / f"{name}.calo").write_bytes(container.write(header, []))
        assert run("decode", tmp_path / f"{name}.calo", tmp_path / "a.png").code == 5


# ---- odd pictures


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "I;16"])
def test_modes_round_trip_or_say_what_they_lose(run, tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(gradient(40, 60))
    source = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    if mode == "I;16":
        Image.fromarray(np.linspace(0, 65535, 2400).astype(np.uint16).reshape(40, 60)).save(source)
    else:
        image.convert(mode).save(source)
    result = run("encode", source, tmp_path / "a.calo", "-q", 95)
    assert result.code == 0
    assert result.err.startswith("calotype: note: ") == (mode in ("CMYK", "I;16"))
    assert run("decode", tmp_path / "a.calo", tmp_path / "b.png").code == 0
    assert Image.open(tmp_path / "b.png").size == (60, 40)


def test_transparency_is_refused_or_dropped(run, tmp_path: Path) -> None:
    source = tmp_path / "a.png"
    Image.fromarray(np.dstack([gradient(20, 30), np.full((20, 30), 100, np.uint8)])).save(source)
    result = run("encode", source, tmp_path / "a.calo")
    assert result.code == 2 and "--drop-alpha" in result.err and str(source) in result.err
    result = run("encode", source, tmp_path / "a.calo", "--drop-alpha")
    assert result.code == 0 and "transparency is dropped" in result.err


def test_an_exif_rotated_photo_comes_back_upright(run, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(gradient(40, 60)).save(tmp_path / "a.jpg", exif=exif)
    result = run("encode", tmp_path / "a.jpg", tmp_path / "a.calo")
    assert "turned upright" in result.err
    run("decode", tmp_path / "a.calo", tmp_path / "b.jpg")
    assert Image.open(tmp_path / "b.jpg").size == (40, 60)


@pytest.mark.parametrize(
    "name, code, says",
    [("empty.png", 3, "empty"), ("text.png", 3, "no picture"), ("gone.png", 2, "no file"), ("done.calo", 2, "decode")],
)
def test_what_is_no_picture_is_a_clear_error(run, tmp_path: Path, name: str, code: int, says: str) -> None:
    for file, content in (("empty.png", b""), ("text.png", b"hello there"), ("done.calo", b"CALO\x01...")):
        (tmp_path / file).write_bytes(content)
    result = run("encode", tmp_path / name, tmp_path / "out.calo")
    assert (result.code, result.out, result.err.count("\n")) == (code, "", 1)
    assert says in result.err and name in result.err
    assert not (tmp_path / "out.calo").exists()


# ---- outputs


def test_an_output_that_cannot_be_written_is_a_usage_error(run, photo: Path, tmp_path: Path) -> None:
    assert run("encode", photo, tmp_path / "no" / "such" / "a.calo").code == 2
    assert run("encode", photo, photo).code == 2
    assert run("encode", photo, "/dev/null").code == 2
    run("encode", photo, tmp_path / "a.calo")
    for name in ("a.xyz", "no/a.png", "b.calo", "a.calo"):
        result = run("decode", tmp_path / "a.calo", tmp_path / name)
        assert (result.code, result.err.count("\n")) == (2, 1)


@not_root
def test_a_write_protected_folder_is_a_usage_error(run, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    assert run("encode", photo, tmp_path / "locked" / "a.calo").code == 2


def test_a_full_disk_leaves_the_old_file(run, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.calo").write_bytes(b"old")

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic, "_sync_file", full)
    result = run("encode", photo, tmp_path / "a.calo")
    assert result.code == 1 and "No space left" in result.err
    assert sorted(os.listdir(tmp_path)) == ["a.calo", "photo.png"]
    assert (tmp_path / "a.calo").read_bytes() == b"old"


# ---- batches


def test_a_folder_keeps_its_tree_both_ways_and_a_bad_file_does_not_stop_it(run, tmp_path: Path) -> None:
    for name in ("a.png", "deep/b.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(gradient(20, 30)).save(tmp_path / "in" / name)
    (tmp_path / "in" / "bad.png").write_bytes(b"no picture")
    result = run("encode", tmp_path / "in", tmp_path / "mid")
    assert result.code == 3
    assert "1 of 3 files failed" in result.err.splitlines()[-1] and "bad.png" in result.err.splitlines()[-1]
    assert len(result.out.splitlines()) == 2
    assert run("decode", tmp_path / "mid", tmp_path / "back").code == 0
    found = sorted(str(path.relative_to(tmp_path / "back")) for path in (tmp_path / "back").rglob("*.*"))
    assert found == ["a.png", "deep/b.png"]


def test_a_folder_that_is_written_as_one_is_made_for_one_file_too(run, photo: Path, tmp_path: Path) -> None:
    assert run("encode", photo, f"{tmp_path}/new/deep/").code == 0
    assert (tmp_path / "new" / "deep" / "photo.calo").exists()


# ---- damaged streams


def test_a_cut_file_is_decoded_as_far_as_it_goes_only_when_asked(run, tmp_path: Path) -> None:
    Image.fromarray(gradient(60, 1100)).save(tmp_path / "a.png")  # two tiles
    run("encode", tmp_path / "a.png", tmp_path / "a.calo")
    data = (tmp_path / "a.calo").read_bytes()
    (tmp_path / "cut.calo").write_bytes(data[:-20])
    result = run("decode", tmp_path / "cut.calo", tmp_path / "b.png")
    assert result.code == 3 and not (tmp_path / "b.png").exists()
    result = run("decode", "--allow-partial", tmp_path / "cut.calo", tmp_path / "b.png")
    assert result.code == 0 and "1 tiles are missing" in result.err
    assert np.all(np.asarray(Image.open(tmp_path / "b.png"))[:, 1024:] == 128)
    assert run("verify", tmp_path / "cut.calo").code == 3
    assert run("verify", tmp_path / "a.calo").code == 0


def test_limits_are_checked_and_can_be_raised(run, photo: Path, tmp_path: Path) -> None:
    run("encode", photo, tmp_path / "a.calo")
    result = run("decode", tmp_path / "a.calo", tmp_path / "b.png", "--max-pixels", 1000)
    assert result.code == 4 and "max_pixels" in result.err
    assert run("encode", photo, tmp_path / "b.calo", "--max-width", 69).code == 4
    huge = container.Header(media="image", codec="image", model="s.1", model_hash=bytes(8), width=65535, height=65535)
    (tmp_path / "huge.calo").write_bytes(container.write(huge, []))
    assert run("decode", tmp_path / "huge.calo", tmp_path / "b.png").code == 4


# ---- verify, models


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the execution that torch compiles first, for half a minute: `test_streams.py` and `test_layers.py` have it."""
    monkeypatch.setattr(executions, "EXECUTIONS", tuple(name for name in executions.EXECUTIONS if name != "compiled"))


def test_verify_compares_the_integer_executions(run, quickly, photo: Path) -> None:
    run("encode", photo, photo.with_suffix(".calo"))
    result = run("verify", "--executions", photo.with_suffix(".calo"))
    assert result.code == 0 and "same in" in result.out and "reference" in result.out


def test_verify_finds_damage_and_a_wrong_symbol_hash(run, photo: Path, tmp_path: Path) -> None:
    run("encode", photo, tmp_path / "a.calo")
    data = (tmp_path / "a.calo").read_bytes()
    stream = container.read(data)
    tile = bytes(stream.chunks[0].payload)
    (tmp_path / "hash.calo").write_bytes(
        container.write(stream.header, [container.Chunk(container.TILE, bytes([tile[0] ^ 1]) + tile[1:])])
    )
    result = run("verify", tmp_path / "hash.calo")
    assert result.code == 3 and "undamaged" in result.err
    (tmp_path / "flip.calo").write_bytes(data[:100] + bytes([data[100] ^ 4]) + data[101:])
    for name, header, tiles in (("none", stream.header, []), ("twice", stream.header, stream.chunks * 2)):
        (tmp_path / f"{name}.calo").write_bytes(container.write(header, tiles))
        assert run("verify", tmp_path / f"{name}.calo").code == 3
    (tmp_path / "quality.calo").write_bytes(container.write(replace(stream.header, params={}), stream.chunks))
    assert run("verify", tmp_path / "quality.calo").code == 3
    result = run("verify", tmp_path / "flip.calo", tmp_path / "a.calo")
    assert result.code == 3 and "damaged" in result.err and "a.calo: good" in result.out


def test_verify_refuses_to_compare_pictures_of_two_sizes(run, photo: Path, tmp_path: Path) -> None:
    run("encode", photo, tmp_path / "a.calo")
    Image.fromarray(gradient(9, 9)).save(tmp_path / "small.png")
    assert run("verify", tmp_path / "a.calo", "--against", tmp_path / "small.png").code == 2


def test_models_lists_the_default_with_the_hash_that_streams_carry(run, photo: Path, tmp_path: Path) -> None:
    result = run("models")
    assert result.code == 0 and [line[:9] for line in result.out.splitlines() if line[0] == "*"] == ["*  image-", "*  video-"]
    records = [r for r in map(json.loads, run("models", "--json").out.splitlines()) if r["default"]]
    (record,) = (r for r in records if r["kind"] == "image")
    assert sorted(r["kind"] for r in records) == ["image", "video"]
    run("encode", photo, tmp_path / "a.calo")
    assert json.loads(run("info", "--json", tmp_path / "a.calo").out)["model_hash"] == record["hash"][:16]


@pytest.mark.parametrize("model", [(), ("-m", "overfit", "-e", "1")])
def test_a_mask_spends_the_bits_where_it_is_white(run, quickly, tmp_path: Path, model: tuple[str, ...]) -> None:
    photo, (width, height) = tmp_path / "noisy.png", (192, 128)
    noise = np.random.default_rng(0).normal(0, 20, (height, width, 3))
    Image.fromarray((gradient(height, width) + noise).clip(0, 255).astype(np.uint8)).save(photo)
    mask = Image.new("L", (width, height), 0)
    mask.paste(255, (0, 0, width // 2, height))
    mask.save(tmp_path / "mask.png")
    sizes = []
    for options in ([], ["--roi", tmp_path / "mask.png", "--roi-drop", 60]):
        result = run("encode", "-q", 80, *model, *options, "--json", photo, tmp_path / "a.calo")
        assert result.code == 0, result.err
        sizes.append(json.loads(result.out)["bytes"])
        assert run("decode", tmp_path / "a.calo", tmp_path / "a.png").code == 0
    assert sizes[1] < 0.8 * sizes[0]
    assert run("verify", *([] if model else ["--executions"]), tmp_path / "a.calo").code == 0
    fitted = {"model": "overfit", "effort": 1} if model else {}
    data = calotype.encode(Image.open(photo), 80, roi=tmp_path / "mask.png", roi_drop=60, **fitted)
    assert data == (tmp_path / "a.calo").read_bytes()


def test_masks_that_do_not_fit_are_usage_errors(run, photo: Path, tmp_path: Path) -> None:
    Image.new("L", (3, 3)).save(tmp_path / "small.png")
    assert run("encode", "--roi", tmp_path / "small.png", photo, tmp_path / "a.calo").code == 2
    two = run("encode", "--roi", tmp_path / "small.png", photo, tmp_path / "small.png", tmp_path / "out")
    assert two.code == 2 and "one picture" in two.err
    assert not (tmp_path / "a.calo").exists()
