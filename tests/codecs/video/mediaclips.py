"""Small clips that the tests of media files make with PyAV."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from calotype.codecs.y4m import plane_shapes


def smooth_planes(width, height, number=0, chroma="420"):
    """Soft content, so that lossy coders stay close; differs from frame to frame."""
    y, x = np.mgrid[:height, :width]
    luma = 60 + 100 * (x + 2 * number) / (width + 20) + 50 * y / height
    _, shape, _ = plane_shapes(width, height, chroma)
    v, u = np.mgrid[: shape[0], : shape[1]]
    return tuple(np.clip(plane, 0, 255).astype(np.uint8) for plane in (luma, 100 + u % 60, 150 - v % 60))


def encoder(name):
    try:
        av.Codec(name, "w")
    except Exception:
        pytest.skip(f"this PyAV has no encoder {name}")
    return name


def make(path, form="yuv420p", codec="ffv1", count=4, size=(34, 18), rate=Fraction(25), audio=None, **more):
    """A clip; more: frame(i) -> av.VideoFrame, times, ticks, options, setup(stream), container options. Returns the path."""
    width, height = size
    encoder(codec)
    with av.open(str(path), "w", format=more.get("muxer"), options=more.get("muxing", {})) as container:
        stream = container.add_stream(codec, rate=rate, options=more.get("options", {}))
        stream.width, stream.height, stream.pix_fmt = width, height, form
        ticks = more.get("ticks", 1 / rate)
        stream.codec_context.time_base = ticks
        if "setup" in more:
            more["setup"](stream)
        sound = None
        if audio:
            sound = container.add_stream(encoder(audio), rate=48000, options={"strict": "-2"})
            sound.layout = "stereo"
        for number in range(count):
            if "frame" in more:
                frame = more["frame"](number)
            else:
                frame = yuv_frame(smooth_planes(width, height, number)).reformat(format=form)
            frame.pts = more["times"][number] if "times" in more else number
            frame.time_base = ticks
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound:
            add_tone(container, sound, count / rate)
    return Path(path)


def add_tone(container, stream, seconds):
    for start in range(0, int(seconds * 48000), 1024):
        noise = np.random.default_rng(start).normal(0, 0.1, (2, 1024)).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(noise, "fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def yuv_frame(planes):
    height, width = planes[0].shape
    frame = av.VideoFrame(width, height, "yuv420p")
    for plane, samples in zip(frame.planes, planes, strict=True):
        rows, columns = samples.shape
        np.frombuffer(plane, np.uint8)[: rows * plane.line_size].reshape(rows, -1)[:, :columns] = samples
    return frame


def filled(form, size, values, dtype=np.uint8):
    """A frame of one value a plane."""
    frame = av.VideoFrame(*size, form)
    for plane, value in zip(frame.planes, values, strict=True):
        np.frombuffer(plane, dtype)[:] = value
    return frame


class Pipe:
    """A stream that can only be read on."""

    def __init__(self, stream):
        self._stream = stream
        self.read, self.readline = stream.read, stream.readline


def same(first, second):
    return all(map(np.array_equal, first, second))
