from __future__ import annotations

import io
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calotype.codecs import y4m
from calotype.errors import CorruptStreamError, LimitError, UsageError


def clip(width: int, height: int, count: int, rate: Fraction = Fraction(25)) -> tuple[bytes, list[y4m.Planes]]:
    rng = np.random.default_rng(width * height)
    frames = [
        tuple(rng.integers(0, 256, shape, dtype=np.uint8) for shape in y4m.plane_shapes(width, height))
        for _ in range(count)
    ]
    stream = io.BytesIO()
    y4m.write_header(stream, width, height, rate)
    for frame in frames:
        y4m.write_frame(stream, frame)
    return stream.getvalue(), frames


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 3), st.fractions(Fraction(1, 1001), 240))
def test_what_is_written_is_read_back_at_any_size_and_rate(width, height, count, rate):
    data, frames = clip(width, height, count, rate)
    stream = io.BytesIO(data)
    header = y4m.read_header(stream)
    assert header == y4m.Y4mHeader(width, height, rate)
    assert y4m.count_frames(io.BytesIO(data[len(data) - count * (6 + header.frame_bytes) :]), header) == count
    for frame in frames:
        assert all(map(np.array_equal, y4m.read_frame(stream, header), frame))
    assert y4m.read_frame(stream, header) is None


def test_other_programs_headers_are_read():
    line = b"YUV4MPEG2 W176 H144 F30000:1001 Ip A128:117 C420mpeg2 XYSCSS=420MPEG2\n"
    assert y4m.read_header(io.BytesIO(line)) == y4m.Y4mHeader(176, 144, Fraction(30000, 1001))


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"", CorruptStreamError),
        (b"RIFF....", CorruptStreamError),
        (b"YUV4MPEG2 W4 H4 F25:1", CorruptStreamError),
        (b"YUV4MPEG2 W4 F25:1\n", CorruptStreamError),
        (b"YUV4MPEG2 W4 H-4 F25:1\n", CorruptStreamError),
        (b"YUV4MPEG2 W4 Hx F25:1\n", CorruptStreamError),
        (b"YUV4MPEG2 W4 H4 F25:0\n", CorruptStreamError),
        (b"YUV4MPEG2 W4 H4 F0:1\n", CorruptStreamError),
        (b"YUV4MPEG2 W4 H4 F25:1 C444\n", UsageError),
        (b"YUV4MPEG2 W4 H4 F25:1 C420p10\n", UsageError),
        (b"YUV4MPEG2 W4 H4 F25:1 It\n", UsageError),
        (b"YUV4MPEG2 W99999 H99999 F25:1\n", LimitError),
    ],
)
def test_a_header_that_cannot_be_read_is_a_typed_error(line, error):
    with pytest.raises(error):
        y4m.read_header(io.BytesIO(line))


def test_a_clip_cut_anywhere_within_a_frame_is_damaged():
    data, frames = clip(4, 4, 2)
    start = data.index(b"FRAME")
    for end in range(start + 1, len(data)):
        if end == start + 6 + 24:
            continue
        with pytest.raises(CorruptStreamError):
            stream = io.BytesIO(data[:end])
            header = y4m.read_header(stream)
            while y4m.read_frame(stream, header):
                pass
        with pytest.raises(CorruptStreamError):
            stream = io.BytesIO(data[:end])
            y4m.count_frames(stream, y4m.read_header(stream))
