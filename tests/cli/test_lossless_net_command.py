"""`calotype encode --lossless --net bitplane`: pictures that carry a network, and every pixel."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from calotype.codecs.bitplane import CODEC, MODEL


def saved(path: Path, pixels: np.ndarray) -> np.ndarray:
    Image.fromarray(pixels).save(path)
    return pixels


def test_pictures_of_8_and_16_bits_come_back_and_info_and_verify_know_the_codec(run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    deep = saved(tmp_path / "deep.png", rng.integers(0, 65536, (9, 10)).astype(np.uint16))
    plain = saved(tmp_path / "plain.png", rng.integers(0, 256, (12, 7, 3)).astype(np.uint8))
    inputs, out = (tmp_path / "deep.png", tmp_path / "plain.png"), tmp_path / "out"
    done = run("encode", *inputs, out, "--lossless", "--net", "bitplane", "-e", "0", "--json")
    assert done.code == 0, done.err
    assert [json.loads(line)["model"] for line in done.out.splitlines()] == [MODEL, MODEL]
    assert run("decode", out, tmp_path / "back").code == 0
    assert np.array_equal(np.asarray(Image.open(tmp_path / "back/deep.png")), deep)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "back/plain.png")), plain)
    seen = json.loads(run("info", out / "plain.calo", "--json").out)
    assert (seen["codec"], seen["model"]) == (CODEC, MODEL)
    parts = seen[CODEC]
    assert 0 < parts["network_bytes"] and parts["network_bytes"] + parts["bit_bytes"] < seen["chunks"][0]["bytes"]
    assert f"network bytes: {parts['network_bytes']}" in run("info", out / "plain.calo").out
    checked = run("verify", out / "plain.calo", "--against", tmp_path / "plain.png")
    assert checked.code == 0 and "identical" in checked.out


def test_pipes_carry_pictures_both_ways_and_decoding_takes_no_torch(spawn, tmp_path: Path) -> None:
    pixels = saved(tmp_path / "a.png", (np.arange(99) % 256).astype(np.uint8).reshape(9, 11))
    encode = spawn("-m", "calotype", "encode", "-", "-", "--lossless", "--net", "bitplane", "-e", "0")
    data, said = encode.communicate((tmp_path / "a.png").read_bytes(), timeout=200)
    assert encode.returncode == 0, said
    target = tmp_path / "b.png"
    lean = "import sys, calotype.cli.main as m; code = m.main(sys.argv[1:]); sys.exit(code or 'torch' in sys.modules)"
    decode = spawn("-c", lean, "decode", "-", target)
    decode.communicate(data, timeout=200)
    assert decode.returncode == 0 and np.array_equal(np.asarray(Image.open(target)), pixels)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--net", "bitplane"), "--lossless"),
        (("--net", "bitplane", "-m", "inr-video"), "--lossless"),
        (("--lossless", "--net", "hnerv"), "inr-video"),
        (("--lossless", "--minutes", "1"), "--minutes"),
        (("--lossless", "-e", "3"), "--effort"),
        (("--lossless", "--net", "bitplane", "-q", "5"), "--quality"),
        (("--lossless", "--net", "bitplane", "-m", "overfit"), "--model"),
        (("--lossless", "--net", "bitplane", "--minutes", "0"), "minutes"),
    ],
)
def test_options_that_do_not_go_together_are_refused(run, tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    saved(tmp_path / "a.png", np.zeros((4, 4), np.uint8))
    done = run("encode", tmp_path / "a.png", tmp_path / "a.calo", *options)
    assert done.code == 2 and said in done.err and not (tmp_path / "a.calo").exists()
