"""Any picture becomes exact 8-bit RGB, or RGB with every loss said, or a clear error."""

from __future__ import annotations

import io
import os
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageCms

from calotype.codecs.limits import Limits
from calotype.codecs.pictures import read_picture, write_picture
from calotype.codecs.suffixes import PICTURE_FORMATS, PICTURE_SUFFIXES
from calotype.errors import CorruptStreamError, LimitError, UsageError

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
rng = np.random.default_rng(0)
NOISE = rng.integers(0, 256, (20, 30, 3), np.uint8)


def saved(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def png_chunks(width: int, height: int, depth: int, colour: int, body: bytes) -> bytes:
    """A PNG written by hand, for what Pillow does not write."""
    import zlib

    def chunk(kind: bytes, payload: bytes) -> bytes:
        return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")


# ---- exact


@settings(max_examples=30, deadline=None)
@given(
    pixels=st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(3)).flatmap(lambda shape: arrays(np.uint8, shape))
)
def test_rgb_comes_back_exactly(pixels: np.ndarray) -> None:
    stream = io.BytesIO()
    assert write_picture(stream, pixels) == []
    picture = read_picture(stream.getvalue())
    assert picture.pixels.dtype == np.uint8 and picture.pixels.flags.c_contiguous and picture.pixels.flags.writeable
    assert np.array_equal(picture.pixels, pixels)
    assert (picture.icc, picture.notes) == (None, [])


@pytest.mark.parametrize("suffix", ["png", "webp", "tif", "bmp", "ppm"])
def test_lossless_formats_keep_every_pixel_and_say_nothing(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    assert write_picture(path, NOISE) == []
    assert np.array_equal(read_picture(path).pixels, NOISE)
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("suffix", ["jpg", "avif"])
def test_lossy_formats_say_so(tmp_path: Path, suffix: str) -> None:
    smooth = np.broadcast_to(np.arange(64, dtype=np.uint8)[:, None, None], (64, 64, 3)).copy()
    notes = write_picture(tmp_path / f"a.{suffix}", smooth)
    assert len(notes) == 1 and "loses" in notes[0]
    assert np.abs(read_picture(tmp_path / f"a.{suffix}").pixels.astype(int) - smooth).max() < 8


@pytest.mark.parametrize("form", sorted(set(PICTURE_FORMATS.values()) - {"BMP", "PPM"}))
def test_the_colour_profile_is_kept(form: str) -> None:
    stream = io.BytesIO()
    write_picture(stream, NOISE, SRGB, form.lower().replace("jpeg", "jpg").replace("tiff", "tif"))
    assert read_picture(stream.getvalue()).icc == SRGB


def test_a_format_without_profiles_says_so() -> None:
    assert "profile" in write_picture(io.BytesIO(), NOISE, SRGB, "bmp")[0]


@pytest.mark.parametrize("mode", ["1", "L"])
def test_grey_becomes_equal_channels_without_a_word(mode: str) -> None:
    image = Image.fromarray(NOISE[..., 0]).convert(mode)
    picture = read_picture(saved(image))
    assert np.array_equal(picture.pixels, np.repeat(np.array(image.convert("L"))[..., None], 3, 2))
    assert picture.notes == []


def test_a_palette_keeps_its_colours() -> None:
    image = Image.fromarray(NOISE).quantize(16)
    assert np.array_equal(read_picture(saved(image)).pixels, np.array(image.convert("RGB")))
    assert np.array_equal(read_picture(saved(image, "GIF")).pixels, np.array(image.convert("RGB")))


def test_a_pil_image_is_taken_as_it_is() -> None:
    image = Image.fromarray(NOISE)
    image.info["icc_profile"] = SRGB
    picture = read_picture(image)
    assert np.array_equal(picture.pixels, NOISE) and picture.icc == SRGB


# ---- said aloud


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_the_exif_orientation_is_applied_once_and_noted(orientation: int, form: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = {
        2: NOISE[:, ::-1],
        3: NOISE[::-1, ::-1],
        4: NOISE[::-1],
        5: NOISE.transpose(1, 0, 2),
        6: np.rot90(NOISE, -1),
    }
    turned |= {7: NOISE[::-1, ::-1].transpose(1, 0, 2), 8: np.rot90(NOISE)}
    picture = read_picture(saved(Image.fromarray(NOISE), form, exif=exif))
    assert np.array_equal(picture.pixels, turned[orientation])
    assert form == "TIFF" or picture.notes == ["turned upright as its EXIF orientation says"]


@pytest.mark.parametrize("mode", ["I;16", "I", "I;16B"])
def test_16_bit_grey_is_rounded_and_said(mode: str) -> None:
    deep = np.array([[0, 128, 129, 257, 32767, 65535 - 129, 65535]], np.uint16)
    image = Image.frombytes("I;16", (7, 1), deep.tobytes())
    image = (
        Image.frombytes("I;16B", (7, 1), deep.astype(">u2").tobytes())
        if mode == "I;16B"
        else image.convert(mode)
        if mode == "I"
        else image
    )
    picture = read_picture(image)
    assert picture.pixels[0, :, 0].tolist() == [0, 0, 1, 1, 127, 254, 255]
    assert "16 bits" in picture.notes[0]


def test_16_bit_colour_is_said() -> None:
    deep = rng.integers(0, 65536, (2, 3, 3)).astype(">u2")
    body = b"".join(b"\0" + row.tobytes() for row in deep)
    picture = read_picture(png_chunks(3, 2, 16, 2, body))
    assert np.abs(picture.pixels.astype(float) - deep / 257).max() < 1.01
    assert "more than 8 bits" in picture.notes[0]
    picture = read_picture(b"P6 3 2 65535\n" + deep.tobytes())
    assert np.abs(picture.pixels.astype(float) - deep / 257).max() < 1.01
    assert "more than 8 bits" in picture.notes[0]


def test_samples_of_32_bits_and_floats_are_refused() -> None:
    for image in (Image.fromarray(np.full((2, 2), 1 << 20, np.int32)), Image.fromarray(np.zeros((2, 2), np.float32))):
        with pytest.raises(UsageError, match="convert"):
            read_picture(saved(image, "TIFF"))


def test_cmyk_is_converted_without_its_profile_and_said() -> None:
    image = Image.fromarray(NOISE).convert("CMYK")
    picture = read_picture(saved(image, "TIFF", icc_profile=SRGB[:16] + b"CMYK" + SRGB[20:]))
    assert np.array_equal(picture.pixels, np.array(image.convert("RGB")))
    assert picture.icc is None and "CMYK" in picture.notes[0]


def test_a_profile_that_is_not_of_rgb_is_left_out_and_said() -> None:
    picture = read_picture(saved(Image.fromarray(NOISE[..., 0]), icc_profile=SRGB[:16] + b"GRAY" + SRGB[20:]))
    assert picture.icc is None and "profile" in picture.notes[0]


def test_of_an_animation_the_first_frame_is_taken_and_said() -> None:
    frames = [Image.fromarray(NOISE), Image.fromarray(255 - NOISE)]
    picture = read_picture(saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True))
    assert np.array_equal(picture.pixels, NOISE)
    assert "holds 2 pictures" in picture.notes[0]


# ---- alpha


def with_alpha(alpha: int) -> Image.Image:
    image = Image.fromarray(NOISE).convert("RGBA")
    image.putalpha(Image.fromarray(np.full((20, 30), alpha, np.uint8)))
    return image


def test_transparency_is_refused_saying_what_to_do() -> None:
    grey, palette = Image.fromarray(NOISE[..., 0]), Image.fromarray(NOISE).quantize(4)
    deep = Image.fromarray(np.zeros((2, 2), np.uint16))
    files = [
        saved(with_alpha(254)),
        saved(with_alpha(0).convert("LA")),
        saved(palette, transparency=0),
        saved(deep, transparency=0),
    ]
    files += [
        saved(grey, transparency=int(NOISE[0, 0, 0])),
        saved(Image.fromarray(NOISE), transparency=tuple(NOISE[0, 0].tolist())),
    ]
    for data in files:
        with pytest.raises(UsageError, match="--drop-alpha"):
            read_picture(data)
        assert read_picture(data, drop_alpha=True).notes


def test_drop_alpha_keeps_the_colours_below() -> None:
    picture = read_picture(saved(with_alpha(0)), drop_alpha=True)
    assert np.array_equal(picture.pixels, NOISE)
    assert "dropped" in picture.notes[0]


def test_an_opaque_alpha_channel_is_left_out() -> None:
    picture = read_picture(saved(with_alpha(255)))
    assert np.array_equal(picture.pixels, NOISE)
    assert "opaque" in picture.notes[0]


# ---- errors


def test_what_is_no_picture_gets_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello, I am no picture")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "a.calo").write_bytes(b"CALO....")
    for name, error, says in (
        ("text", CorruptStreamError, "no picture that Pillow can read"),
        ("empty", CorruptStreamError, "empty"),
        ("a.calo", UsageError, "decode"),
        (".", UsageError, "directory"),
        ("gone.png", UsageError, "no file"),
        ("text/x.png", UsageError, "no file"),
    ):
        with pytest.raises(error, match=says):
            read_picture(tmp_path / name)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP", "PPM", "AVIF"])
def test_a_cut_or_damaged_picture_is_a_typed_error_or_a_picture(form: str) -> None:
    data = saved(Image.fromarray(NOISE), form)
    noise = np.random.default_rng(1)
    broken = [data[: len(data) * k // 12] for k in range(12)]
    for _ in range(40):
        flipped = bytearray(data)
        flipped[noise.integers(len(data))] ^= 1 << noise.integers(8)
        broken.append(bytes(flipped))
    for piece in broken:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Pillow warns of damaged tags
                picture = read_picture(piece, drop_alpha=True, limits=Limits(max_pixels=10**6))
        except (CorruptStreamError, LimitError, UsageError):
            continue
        assert picture.pixels.ndim == 3


def test_a_picture_over_the_limits_is_refused_before_it_is_decoded() -> None:
    bomb = png_chunks(60_000, 60_000, 8, 2, b"")
    with pytest.raises(LimitError, match="max_width"):
        read_picture(bomb)
    with pytest.raises(LimitError, match="max_bytes"):
        read_picture(png_chunks(16_000, 16_000, 8, 2, b""))
    with pytest.raises(LimitError, match="max_pixels=100"):
        read_picture(saved(Image.fromarray(NOISE)), limits=Limits(max_pixels=100))
    with pytest.raises(LimitError, match="max_height"):
        read_picture(Image.fromarray(NOISE), limits=Limits(max_height=10))


def test_pillows_own_bound_is_as_before_afterwards() -> None:
    bound = Image.MAX_IMAGE_PIXELS
    with pytest.raises(CorruptStreamError):
        read_picture(b"no picture")
    assert Image.MAX_IMAGE_PIXELS == bound


def test_a_format_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    for name in ("a.calo", "a", "a.xyz", "a.gif"):
        if name != "a":
            with pytest.raises(UsageError, match="png"):
                write_picture(tmp_path / name, NOISE)
    with pytest.raises(UsageError, match="write PNG"):
        write_picture(tmp_path / "a.webp", np.zeros((1, 17_000, 3), np.uint8))
    with pytest.raises(UsageError, match="directory"):
        write_picture(tmp_path, NOISE, format="png")
    with pytest.raises(UsageError, match="no directory"):
        write_picture(tmp_path / "no" / "a.png", NOISE)
    assert os.listdir(tmp_path) == []


def test_every_written_format_is_found_in_folders() -> None:
    assert {f".{name}" for name in PICTURE_FORMATS} <= PICTURE_SUFFIXES
