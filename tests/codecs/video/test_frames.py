"""Single frames: a decoder's picture is the encoder's, whatever executes it, and damage is an error or the same picture."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from movingclips import COLOUR, moving, same, shipped

from calotype import threads
from calotype.codecs.container import SYMBOL_HASH_BYTES, Colour
from calotype.codecs.video.frames import CodedFrame, FrameCodec, Picture, crop, pad
from calotype.errors import CorruptStreamError, DesyncError, UsageError
from calotype.models.image import quality_lmbda
from calotype.models.motion.field import BLOCKS
from calotype.models.video import CHROMA_WEIGHT

SIZES = [(1, 1), (33, 65), (48, 64), (32, 31)]
KINDS = ["P of one", "P of two", "B"]
ALL = ["I", "alone", *KINDS]


@lru_cache
def codec(execution: str | None = None) -> FrameCodec:
    return FrameCodec(shipped(execution), COLOUR)


@lru_cache
def coded(kind: str, quality: int, block: int | None = None, size=(48, 64)) -> tuple[CodedFrame, list[Picture], list[bytes]]:
    """A frame of that kind, its references, and the payloads of these."""
    frames = [pad(moving(*size, number)) for number in range(4)]
    first = codec().encode_intra(frames[0], 500)
    if kind == "I":
        return codec().encode_intra(frames[0], quality), [], []
    if kind == "alone":
        return codec().encode_alone(frames[2], quality), [first.picture], [first.payload]
    second = codec().encode(frames[3 if kind == "B" else 1], [first.picture], 450)
    references = [first.picture] if kind == "P of one" else [second.picture, first.picture]
    return codec().encode(frames[2], references, quality, block), references, [first.payload, second.payload]


def equal(first: Picture, second: Picture) -> bool:
    """All that later frames see."""
    fields = [(p.field.block, p.field.mode.tolist(), p.field.vectors.tolist()) if p.field else None for p in (first, second)]
    latents = np.array_equal(first.latents, second.latents) and first.latents.dtype == second.latents.dtype
    return same(first.planes, second.planes) and latents and fields[0] == fields[1]


def decoded(frame: CodedFrame, references: list[Picture], quality: int, by: FrameCodec | None = None) -> Picture:
    by = by or codec()
    if references:
        return by.decode(frame.payload, references, quality)
    return by.decode_intra(frame.payload, *frame.picture.planes[0].shape, quality)


@pytest.mark.parametrize("quality", [0, 500, 1000])
@pytest.mark.parametrize("kind", ALL)
def test_the_decoders_picture_is_the_encoders(kind, quality) -> None:
    for block in BLOCKS if kind in KINDS else (None,):
        frame, references, _ = coded(kind, quality, block)
        assert equal(decoded(frame, references, quality), frame.picture)
        if block:
            assert frame.picture.field.block == block and frame.payload[SYMBOL_HASH_BYTES] == BLOCKS.index(block)


@pytest.mark.parametrize("kind", KINDS)
def test_effort_never_raises_rate_plus_lmbda_distortion_and_decodes_alike(kind) -> None:
    plain, references, _ = coded(kind, 400)
    wanted = pad(moving(48, 64, 2))
    fitted = FrameCodec(shipped(), COLOUR, effort=3).encode(wanted, references, 400)
    assert equal(decoded(fitted, references, 400), fitted.picture)
    lmbda = float(quality_lmbda(torch.tensor(400.0)))

    def cost(frame: CodedFrame) -> float:
        errors = [np.square(a.astype(float) - b).sum() for a, b in zip(frame.picture.planes, wanted, strict=True)]
        return frame.estimated_bits + 0.75 * lmbda * (errors[0] + CHROMA_WEIGHT * (errors[1] + errors[2]))

    assert cost(fitted) <= cost(plain) * 1.005  # the judge's synthesis is in floats and does not clip


@pytest.mark.parametrize("size", SIZES, ids="{0[0]}x{0[1]}".format)
def test_any_size_is_padded_for_coding_and_cropped_after_it(size) -> None:
    planes = moving(*size, 2)
    assert same(crop(pad(planes), *size), planes)
    for kind in ("I", "B"):
        frame, references, _ = coded(kind, 900, None, size)
        picture = decoded(frame, references, 900)
        assert equal(picture, frame.picture)
        expected = [side + -side % 32 for side in size]
        assert list(picture.planes[0].shape) == expected and picture.planes[2].shape == (expected[0] // 2, expected[1] // 2)
        assert [p.shape for p in crop(picture.planes, *size)] == [p.shape for p in planes]


def test_padding_repeats_edges_also_where_luma_is_odd() -> None:
    y, u, v = pad(moving(33, 31, 0))
    source = moving(33, 31, 0)
    assert (y[33:, :31] == source[0][-1]).all() and (y[:33, 31:] == source[0][:, -1:]).all()
    assert (u.shape, v.shape) == ((32, 16), (32, 16)) and (u[17:] == source[1][-1]).all() and (v[:17] == source[2]).all()


@pytest.mark.parametrize("execution", ["int8", "float", "reference"])
def test_every_execution_decodes_the_same_pictures(execution) -> None:
    for kind in ALL:
        frame, references, _ = coded(kind, 500)
        assert equal(decoded(frame, references, 500, codec(execution)), frame.picture), kind


@pytest.mark.parametrize("count", [1, 2])
def test_every_number_of_threads_codes_the_same_frames(count) -> None:
    frames = [pad(moving(64, 96, number)) for number in range(2)]
    straight = codec().encode_intra(frames[0], 700)
    before = threads.set_count(count)
    try:
        intra = codec().encode_intra(frames[0], 700)
        inter = codec().encode(frames[1], [intra.picture], 300)
        assert equal(codec().decode(inter.payload, [intra.picture], 300), inter.picture)
        assert equal(codec().decode_intra(straight.payload, 64, 96, 700), straight.picture)
    finally:
        threads.set_count(before)
    assert equal(codec().decode(inter.payload, [intra.picture], 300), inter.picture)


def test_a_chain_of_frames_stays_that_of_the_encoder() -> None:
    """A picture decoded from decoded ones, not only from the encoder's own."""
    here = there = None
    for number in range(6):
        planes = pad(moving(48, 64, number))
        frame = codec().encode(planes, here, 400) if here else codec().encode_intra(planes, 400)
        picture = decoded(frame, there or [], 400)
        assert equal(picture, frame.picture)
        here, there = [frame.picture, *(here or [])][:2], [picture, *(there or [])][:2]


def test_what_stands_still_costs_next_to_nothing_and_comes_near_its_source() -> None:
    planes = pad(moving(64, 96, 0))
    intra = codec().encode_intra(planes, 900)
    frame = codec().encode(intra.picture.planes, [intra.picture], 500)
    assert len(frame.payload) < len(intra.payload) / 8
    assert np.abs(frame.picture.planes[0].astype(int) - intra.picture.planes[0]).mean() < 2


def test_higher_quality_takes_more_bytes_and_comes_nearer() -> None:
    sizes, errors = [], []
    for quality in (0, 500, 1000):
        frame = coded("B", quality)[0]
        sizes.append(len(frame.payload))
        errors.append(np.abs(frame.picture.planes[0].astype(int) - pad(moving(48, 64, 2))[0]).mean())
    assert sizes == sorted(sizes) and errors == sorted(errors, reverse=True)


def test_the_ideal_length_is_that_of_the_bytes() -> None:
    for kind in ALL:
        frame = coded(kind, 1000)[0]
        overhead = 8 * len(frame.payload) - frame.estimated_bits
        assert 0 < overhead < 8 * (SYMBOL_HASH_BYTES + 1 + 16) + 0.02 * frame.estimated_bits, kind


def test_another_quality_reference_or_order_of_them_is_noticed() -> None:
    frame, (first, second), _ = coded("B", 500)
    for references, quality in (([first, second], 499), ([second, first], 500), ([first], 500)):
        try:
            picture = codec().decode(frame.payload, references, quality)
        except (CorruptStreamError, DesyncError):
            continue
        assert not references[1:] or equal(picture, frame.picture)  # one step of the dial may change no symbol


def test_what_no_frame_codec_codes_is_a_usage_error() -> None:
    for colour in (Colour("bt709", "limited", "444", 8), Colour("bt709", "limited", "420", 10)):
        with pytest.raises(UsageError, match="4:2:0"):
            FrameCodec(codec().bundle, colour)
    frame, references, _ = coded("B", 500)
    for quality in (-1, 1001):
        with pytest.raises(UsageError, match="quality"):
            codec().decode(frame.payload, references, quality)
    with pytest.raises(UsageError):
        codec().encode(pad(moving(64, 96, 0)), references, 500)


# ---- damage


def undamaged_or_refused(kind: str, quality: int, payload: bytes) -> None:
    frame, references, _ = coded(kind, quality)
    try:
        picture = decoded(CodedFrame(payload, frame.picture, 0.0), references, quality)
    except (CorruptStreamError, DesyncError):
        return
    assert equal(picture, frame.picture), "a wrong picture, and no error"


kinds, qualities = st.sampled_from(ALL), st.sampled_from([0, 500, 1000])


@settings(max_examples=200, deadline=None)
@given(kind=kinds, quality=qualities, flips=st.lists(st.tuples(st.integers(0), st.integers(1, 255)), min_size=1, max_size=4))
def test_changed_bytes_are_an_error_or_change_nothing(kind, quality, flips) -> None:
    payload = bytearray(coded(kind, quality)[0].payload)
    for at, change in flips:
        payload[at % len(payload)] ^= change
    undamaged_or_refused(kind, quality, bytes(payload))


@settings(max_examples=100, deadline=None)
@given(kind=kinds, quality=qualities, keep=st.floats(0, 1), more=st.binary(max_size=24))
def test_a_cut_and_other_bytes_after_it_are_an_error_or_change_nothing(kind, quality, keep, more) -> None:
    payload = coded(kind, quality)[0].payload
    undamaged_or_refused(kind, quality, payload[: int(keep * len(payload))] + more)


@settings(max_examples=150, deadline=None)
@given(kind=kinds, quality=qualities, payload=st.binary(max_size=80), block=st.sampled_from([0, 1, 2, 254, 255]))
def test_any_bytes_are_no_frame(kind, quality, payload, block) -> None:
    head = bytes(SYMBOL_HASH_BYTES) + bytes([block]) if kind != "I" else b""
    frame, references, _ = coded(kind, quality)
    with pytest.raises((CorruptStreamError, DesyncError)):
        decoded(CodedFrame(head + payload, frame.picture, 0.0), references, quality)
