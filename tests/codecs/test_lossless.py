"""The lossless codec: every pixel comes back, and what is damaged is said to be, never shown wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from exact import decode, picture
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import calotype
from calotype.cli.main import main
from calotype.codecs import container, lossless
from calotype.codecs.lossless import LosslessCodec
from calotype.codecs.registry import open_stream
from calotype.errors import CalotypeError, CorruptStreamError, DesyncError, LimitError, ModelError, UsageError


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 20), st.integers(1, 20), st.sampled_from((1, 3)), st.sampled_from((np.uint8, np.uint16)), st.integers(0, 99)
)  # fmt: skip
def test_a_picture_of_any_size_kind_and_depth_comes_back(height: int, width: int, planes: int, dtype: type, seed: int) -> None:
    pixels = picture(height, width, planes, dtype, seed)
    back = decode(LosslessCodec().encode(pixels).data)
    assert back.dtype == pixels.dtype and np.array_equal(back, pixels)


def test_stripes_come_back_and_a_cut_file_gives_those_before_the_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lossless, "STRIPE", 15 * 8)
    pixels = picture(20, 15)
    data = LosslessCodec().encode(pixels, b"profile").data
    stream = container.read(data)
    assert len(stream.payloads(container.TILE)) == 3 and stream.header.params == {"tile_height": 8}
    assert np.array_equal(decode(data), pixels)
    cut, codec = open_stream(data[:-20], allow_partial=True)
    shown = codec.decode(cut)
    assert shown.missing == 1 and np.array_equal(shown.pixels[:16], pixels[:16]) and (shown.pixels[16:] == 128).all()


def test_every_cut_and_every_flipped_byte_is_a_typed_error() -> None:
    data = LosslessCodec().encode(picture(3, 4)).data
    for length in range(len(data)):
        with pytest.raises(CorruptStreamError):
            decode(data[:length])
    for at in range(len(data)):
        with pytest.raises(CalotypeError):
            decode(data[:at] + bytes([data[at] ^ 0x41]) + data[at + 1 :])


def test_other_samples_under_right_checksums_are_a_desync_or_corrupt() -> None:
    stream = container.read(LosslessCodec().encode(picture(9, 9)).data)
    (payload,) = stream.payloads(container.TILE)
    for at in range(len(payload)):
        other = bytes(payload[:at]) + bytes([payload[at] ^ 1]) + bytes(payload[at + 1 :])
        with pytest.raises((DesyncError, CorruptStreamError)):
            decode(container.write(stream.header, [container.Chunk(container.TILE, other)]))


def test_another_coder_or_parameter_is_refused() -> None:
    from dataclasses import replace

    stream = container.read(LosslessCodec().encode(picture(9, 9)).data)
    for changes, error in (
        ({"model": "pixels.2"}, ModelError),
        ({"model_hash": bytes(8)}, ModelError),
        ({"params": {"quality_deci": 5}}, CorruptStreamError),
        ({"params": {"tile_height": 9}}, CorruptStreamError),
        ({"colour": container.Colour(depth=10)}, container.UnsupportedError),
        ({"height": 10**4, "width": 10**4, "params": {"tile_height": 1}}, CorruptStreamError),
    ):
        with pytest.raises(error):
            decode(container.write(replace(stream.header, **changes), stream.chunks))


def test_limits_hold_before_anything_is_allocated() -> None:
    from dataclasses import replace

    stream = container.read(LosslessCodec().encode(picture(2, 2)).data)
    with pytest.raises(LimitError):
        decode(container.write(replace(stream.header, width=16000, height=16000), stream.chunks))


def test_what_is_no_picture_is_refused() -> None:
    for pixels in (np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4), np.uint8), np.zeros((4, 4), np.int32)):
        with pytest.raises(UsageError):
            LosslessCodec().encode(pixels)


def test_python_encodes_and_decodes_without_loss_and_refuses_what_has_no_meaning() -> None:
    pixels = picture(11, 13)
    assert np.array_equal(np.asarray(calotype.decode(calotype.encode(pixels, lossless=True))), pixels)
    grey = Image.fromarray(picture(5, 6, 1))
    back = calotype.decode(calotype.encode(grey, lossless=True))
    assert back.mode == "L" and np.array_equal(np.asarray(back), np.asarray(grey))
    with pytest.raises(UsageError, match="leave out what"):
        calotype.encode(pixels, 60, lossless=True)
    with pytest.raises(UsageError, match="transparency"):
        calotype.encode(Image.new("RGBA", (3, 3), (1, 2, 3, 4)), lossless=True)


def test_a_16_bit_grey_png_keeps_its_bits_on_the_command_line(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    deep, plain = picture(9, 10, 1, np.uint16), picture(12, 7)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    Image.fromarray(plain).save(tmp_path / "plain.png")
    assert main(["encode", "deep.png", "plain.png", "out", "--lossless"]) == 0
    assert main(["decode", "out", "back"]) == 0
    assert np.array_equal(np.asarray(Image.open(tmp_path / "back/deep.png")), deep)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "back/plain.png")), plain)
    seen = calotype.info((tmp_path / "out/plain.calo").read_bytes())
    assert (seen["codec"], seen["model"]) == ("lossless", lossless.MODEL)
    assert main(["verify", "out/plain.calo", "--against", "plain.png"]) == 0
    assert "identical" in capsys.readouterr().out
    assert main(["encode", "plain.png", "x.calo", "--lossless", "-q", "5"]) == 2
    assert "--quality" in capsys.readouterr().err
