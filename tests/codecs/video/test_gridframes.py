"""Overfitted clips: a decoder's frames are the encoder's bit for bit, what a frame learns stays with it, damage is an error."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from movingclips import COLOUR, FULL_CHROMA, clip_info, encoded, frames_of, moving, same

import calotype
from calotype import threads
from calotype.cli.main import main
from calotype.codecs import container, y4m
from calotype.codecs.header import Colour
from calotype.codecs.registry import open_stream
from calotype.codecs.targets import psnr
from calotype.codecs.video.colour import to_planes, to_rgb
from calotype.codecs.video.decoder import Video
from calotype.codecs.video.encoder import VideoEncoder
from calotype.codecs.video.frames import CodedFrame, pad
from calotype.codecs.video.gridframes import GridFrameCodec, GridPicture
from calotype.codecs.video.rate import Constant
from calotype.codecs.video.structure import load
from calotype.errors import CorruptStreamError, DesyncError, ModelError, UsageError
from calotype.models import zoo
from calotype.models.overfit.layout import order
from calotype.models.overfit.videobundle import OverfitVideoBundle

KINDS = ["P of one", "P of two", "B"]
NEWEST, FORMER = "overfit-video", "overfit-video-s.2"  # motion in the latents' stream, and by tables


@lru_cache
def bundle(model: str = NEWEST) -> OverfitVideoBundle:
    return zoo.load_any_model(model)[1]


@lru_cache
def codec(model: str = NEWEST, colour: Colour = COLOUR) -> GridFrameCodec:
    return GridFrameCodec(bundle(model), colour, effort=1)


def frame_of(number: int, colour: Colour) -> tuple[np.ndarray, ...]:
    return pad(moving(48, 64, number, chroma=colour.chroma), colour.chroma)


@lru_cache
def first(model: str, colour: Colour) -> GridPicture:
    """What every other frame has as a reference."""
    return codec(model, colour).encode_intra(frame_of(0, colour), 500).picture


@lru_cache
def second(number: int, model: str, colour: Colour) -> GridPicture:
    """Another reference: that frame, from the first."""
    return codec(model, colour).encode(frame_of(number, colour), [first(model, colour)], 450).picture


@lru_cache
def coded(kind: str, quality: int, model: str = NEWEST, colour: Colour = COLOUR) -> tuple[CodedFrame, list[GridPicture]]:
    """A frame of that kind and its references."""
    own = codec(model, colour)
    if kind == "I":
        return own.encode_intra(frame_of(0, colour), quality), []
    references = [first(model, colour)]
    if kind == "alone":
        return own.encode_alone(frame_of(2, colour), quality), references
    if kind != "P of one":
        references.insert(0, second(3 if kind == "B" else 1, model, colour))
    return own.encode(frame_of(2, colour), references, quality), references


def decoded(
    payload: bytes, kind: str, references: list[GridPicture], quality: int, model: str = NEWEST, colour: Colour = COLOUR
) -> GridPicture:
    if kind == "I":
        return codec(model, colour).decode_intra(payload, 64, 64, quality)
    return codec(model, colour).decode(payload, references, quality)


def equal(a: GridPicture, b: GridPicture) -> bool:
    """All that later frames see."""
    if (a.memory is None) != (b.memory is None) or not same(a.planes, b.planes):
        return False
    if a.memory is None:
        return True
    return same(a.latents, b.latents) and same(learnt(a), learnt(b)) and np.array_equal(a.field.vectors, b.field.vectors)


def learnt(picture: GridPicture) -> list[np.ndarray]:
    """All arrays of its memory."""
    chances, means, *mixings = picture.memory
    return [chances, means, *(array for mixing in mixings if mixing for array in (mixing.maps, mixing.weights))]


@pytest.mark.parametrize("model", [NEWEST, FORMER])
@pytest.mark.parametrize("quality", [0, 500, 1000])
@pytest.mark.parametrize("kind", ["I", "alone", *KINDS])
def test_what_a_decoder_keeps_of_a_frame_is_what_its_encoder_keeps(kind: str, quality: int, model: str) -> None:
    frame, references = coded(kind, quality, model)
    assert equal(decoded(frame.payload, kind, references, quality, model), frame.picture)
    assert abs(8 * len(frame.payload) - frame.estimated_bits) <= max(0.01 * frame.estimated_bits, 8 * 64)


@pytest.mark.parametrize("model", [NEWEST, FORMER, "overfit-video-s.1"])
@pytest.mark.parametrize("kind", ["I", "alone", *KINDS])
def test_frames_of_full_size_chroma_are_the_encoders_in_models_new_and_old(kind: str, model: str) -> None:
    frame, references = coded(kind, 700, model, FULL_CHROMA)
    assert all(plane.shape == (64, 64) for plane in frame.picture.planes)
    assert equal(decoded(frame.payload, kind, references, 700, model, FULL_CHROMA), frame.picture)
    assert abs(8 * len(frame.payload) - frame.estimated_bits) <= max(0.01 * frame.estimated_bits, 8 * 64)


def test_full_size_chroma_keeps_the_detail_that_half_size_cannot_hold() -> None:
    frame, _ = coded("P of two", 1000, colour=FULL_CHROMA)
    wanted = moving(48, 64, 2, chroma="444")[1].astype(int)
    missing = frame.picture.planes[1][:48, :64] - wanted
    halved = wanted - wanted.reshape(24, 2, 32, 2).mean((1, 3)).repeat(2, 0).repeat(2, 1)
    assert np.square(missing).mean() < 0.1 * np.square(halved).mean()
    assert any(grid.plane and grid.level == 1 and g.any() for grid, g in zip(order(), frame.picture.latents, strict=True))


@settings(max_examples=12, deadline=None)
@given(
    st.integers(1, 70),
    st.integers(1, 70),
    st.integers(0, 100),
    st.sampled_from(["low-delay", "random-access-8", "intra"]),
    st.integers(0, 2),
    st.sampled_from([COLOUR, FULL_CHROMA]),
)
def test_every_frame_of_a_clip_is_the_encoders_at_any_size_quality_structure_effort_and_chroma(
    height: int, width: int, quality: int, structure: str, effort: int, colour: Colour
) -> None:
    frames, sink, believed = frames_of(6, height, width, chroma=colour.chroma), io.BytesIO(), {}
    encoder = VideoEncoder(bundle(), clip_info(height, width, colour=colour), load(structure), effort=effort)
    list(encoder.encode(iter(frames), Constant(quality), sink, pictures=believed.__setitem__))
    sink.seek(0)
    with Video(sink) as video:
        found = {frame.number: frame.planes for frame in video}
    assert found.keys() == believed.keys() and all(same(found[k], believed[k]) for k in found)
    assert [plane.shape for plane in found[0]] == [*y4m.plane_shapes(width, height, colour.chroma)]


def test_a_clip_is_coded_and_shown_alike_on_one_thread_and_on_three() -> None:
    files, shown = [], []
    for count in (1, 3):
        threads.set_count(count)  # each test begins with one
        files.append(encoded(bundle(), frames_of(4), effort=1))
        with Video(io.BytesIO(files[0])) as video:
            shown.append([frame.planes for frame in video])
    assert files[0] == files[1] and all(same(a, b) for a, b in zip(*shown, strict=True))


@pytest.mark.parametrize("colour", [COLOUR, FULL_CHROMA])
def test_seeking_begins_at_an_intra_frame_and_gives_the_same_pictures(colour: Colour) -> None:
    data = encoded(bundle(), frames_of(9, chroma=colour.chroma), clip=clip_info(colour=colour), intra_period=4, effort=0)
    with Video(io.BytesIO(data)) as video:
        straight = [frame.planes for frame in video]
        video.seek(6)
        assert all(same(frame.planes, straight[k]) for k, frame in enumerate(video, 6))


def test_more_quality_is_more_bytes_and_less_error() -> None:
    rows, wanted = [], pad(moving(48, 64, 2))
    for quality in (0, 500, 1000):
        frame, _ = coded("B", quality)
        error = sum(float(np.square(a.astype(float) - b).sum()) for a, b in zip(frame.picture.planes, wanted, strict=True))
        rows.append((len(frame.payload), -error))
    assert rows == sorted(rows) and len(set(rows)) == 3


def test_what_stands_still_costs_next_to_nothing() -> None:
    first = codec().encode_intra(pad(moving(48, 64, 0)), 500).picture
    again = codec().encode(first.planes, [first], 500)
    assert len(again.payload) <= 40 and same(again.picture.planes, first.planes)


def test_a_prior_goes_on_from_its_reference() -> None:
    frame, references = coded("P of two", 500)
    assert not any(np.array_equal(a, b) for a, b in zip(learnt(frame.picture), learnt(references[0]), strict=True))
    forgotten = [GridPicture(r.planes, r.field) for r in references]
    with pytest.raises((CorruptStreamError, DesyncError)):
        codec().decode(frame.payload, forgotten, 500)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(KINDS),
    st.integers(0),
    st.integers(1, 255),
    st.sampled_from([NEWEST, FORMER]),
    st.sampled_from([COLOUR, FULL_CHROMA]),
)
def test_a_damaged_payload_is_an_error_or_the_same_picture(
    kind: str, place: int, change: int, model: str, colour: Colour
) -> None:
    frame, references = coded(kind, 500, model, colour)
    payload = bytearray(frame.payload)
    payload[place % len(payload)] ^= change
    try:
        picture = codec(model, colour).decode(bytes(payload), references, 500)
    except (CorruptStreamError, DesyncError):
        return
    assert equal(picture, frame.picture)


@pytest.mark.parametrize("change", range(1, 256, 17))
@pytest.mark.parametrize("kind", KINDS)
def test_a_filter_that_is_not_the_encoders_is_an_error(kind: str, change: int) -> None:
    frame, references = coded(kind, 500)
    payload = bytearray(frame.payload)
    payload[5] ^= change
    with pytest.raises(DesyncError):
        codec().decode(bytes(payload), references, 500)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(KINDS), st.integers(0, 10_000), st.sampled_from([NEWEST, FORMER]))
def test_a_cut_payload_is_an_error(kind: str, length: int, model: str) -> None:
    frame, references = coded(kind, 1000, model)
    with pytest.raises((CorruptStreamError, DesyncError)):
        codec(model).decode(frame.payload[: length % len(frame.payload)], references, 1000)


def test_damage_in_a_file_is_found_by_its_checksum() -> None:
    data = bytearray(encoded(bundle(), frames_of(3), effort=0))
    data[len(data) // 2] ^= 1
    with pytest.raises(CorruptStreamError):
        list(Video(io.BytesIO(bytes(data))))


def test_a_header_of_another_chroma_than_the_frames_is_an_error() -> None:
    stream = container.read(encoded(bundle(), frames_of(3, chroma="444"), clip=clip_info(colour=FULL_CHROMA), effort=0))
    for chroma in ("420", "422"):
        other = replace(stream.header, colour=replace(FULL_CHROMA, chroma=chroma))
        with pytest.raises((CorruptStreamError, DesyncError)):
            list(Video(io.BytesIO(container.write(other, stream.chunks))))


def test_models_of_half_size_chroma_refuse_the_other_in_clips_and_files() -> None:
    other = zoo.load_any_model(zoo.DEFAULT_VIDEO_MODEL)[1]
    with pytest.raises(UsageError, match="4:2:0"):
        encoded(other, frames_of(1, chroma="444"), clip=clip_info(colour=FULL_CHROMA))
    stream = container.read(encoded(other, frames_of(1), effort=0))
    with pytest.raises(CorruptStreamError, match="no encoder"):
        Video(io.BytesIO(container.write(replace(stream.header, colour=FULL_CHROMA), stream.chunks)))


def test_rgb_frames_of_a_program_come_back_beyond_what_half_size_chroma_can_hold() -> None:
    frames = [to_rgb(moving(48, 64, number, chroma="444"), FULL_CHROMA) for number in range(3)]
    sink = io.BytesIO()
    calotype.encode_video(frames, sink, 100, rate=25, structure="low-delay", model="overfit", effort=1)
    with calotype.open(sink.getvalue()) as video:
        assert video.header.colour == FULL_CHROMA
        for frame, exact in zip(video, frames, strict=True):
            assert psnr(video.rgb(frame), exact) > psnr(to_rgb(to_planes(exact, COLOUR), COLOUR), exact) + 5


def test_a_structure_of_independent_frames_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="independent"):
        encoded(bundle(), frames_of(3), "stem", effort=0)


def test_a_model_file_of_another_kind_is_a_model_error() -> None:
    with pytest.raises(ModelError, match="overfitted clips"):
        OverfitVideoBundle.read(zoo.find_model("overfit"))


def test_a_stream_names_its_codec_and_digests_repeat() -> None:
    data = encoded(bundle(), frames_of(3), effort=0)
    stream, opened = open_stream(data)
    assert (stream.header.codec, stream.header.model) == ("overfit-video", bundle().name.removeprefix("overfit-video-"))
    assert opened.digests(stream) == opened.digests(container.read(data))


def test_the_command_line_makes_tells_of_and_shows_a_clip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out, back = (tmp_path / name for name in ("a.y4m", "a.calo", "b.y4m"))
    with source.open("wb") as sink:
        y4m.write_header(sink, 64, 48, clip_info().rate)
        for frame in frames_of(5):
            y4m.write_frame(sink, frame.planes)

    def run(*arguments: str) -> str:
        code = main(arguments)
        out, err = capsys.readouterr()
        assert code == 0, err
        return out

    options = ("-m", "overfit", "-q", "60", "-e", "1", "--frames", "4", "--structure", "low-delay", "--json")
    record = json.loads(run("encode", str(source), str(out), *options))
    assert record["model"].startswith("overfit-video") and record["frames"] == 4 and record["bytes"] == out.stat().st_size
    assert "overfit-video" in run("info", str(out)) and "good" in run("verify", str(out))
    run("decode", str(out), str(back))
    with Video(out) as video:
        shown = b"".join(plane.tobytes() for frame in video for plane in frame.planes)
    assert shown == b"".join(_samples(back.read_bytes().split(b"\n", 1)[1], 64 * 48 * 3 // 2))


def _samples(data: bytes, size: int) -> list[bytes]:
    """Of the frames of a y4m file without its header, each behind its own header of 6 bytes."""
    return [data[at + 6 : at + 6 + size] for at in range(0, len(data), size + 6)]
