"""Clips are told from pictures by their first bytes."""

from __future__ import annotations

import io

import av
import pytest
from PIL import Image

from calotype.codecs.signatures import CLIP_HEAD, is_clip


def head_of_clip(form: str, codec: str) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format=form) as container:
        try:
            stream = container.add_stream(codec, rate=25)
        except av.codec.codec.UnknownCodecError:
            pytest.skip(f"this PyAV has no encoder {codec}")
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        container.mux(stream.encode(av.VideoFrame(32, 32, "yuv420p")))
        container.mux(stream.encode(None))
    return out.getvalue()[:CLIP_HEAD]


@pytest.mark.parametrize(
    ("form", "codec"),
    [("mp4", "mpeg4"), ("mov", "mpeg4"), ("matroska", "mpeg4"), ("webm", "libvpx"), ("avi", "mpeg4"), ("ivf", "libvpx")]
    + [("flv", "flv"), ("h264", "libx264"), ("hevc", "libx265"), ("mpeg", "mpeg1video"), ("yuv4mpegpipe", "rawvideo")],
)
def test_clips_are_clips(form, codec) -> None:
    assert is_clip(head_of_clip(form, codec))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "AVIF", "TIFF", "BMP", "PPM", "GIF", "ICO", "JPEG2000"])
def test_pictures_are_not(form) -> None:
    out = io.BytesIO()
    try:
        Image.new("RGB", (32, 32)).save(out, form)
    except (KeyError, OSError):
        pytest.skip(f"this Pillow writes no {form}")
    assert not is_clip(out.getvalue()[:CLIP_HEAD])


def test_heic_is_a_picture_and_nothing_is_nothing() -> None:
    assert not is_clip(b"\0\0\0\x18ftypheic") and not is_clip(b"") and not is_clip(b"\0\0\0")
