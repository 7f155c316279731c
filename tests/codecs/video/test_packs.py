"""Packs of small frames: what is written is read back, in fewer bytes, and nothing of a wrong one is shown."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from movingclips import encoded, frames_of, same, shipped
from test_stream import CLIP, GOP, HEADER, Pipe, clips, thorough, written

from calotype.codecs import container
from calotype.codecs.container import END, Chunk, symbol_hash
from calotype.codecs.describe import describe
from calotype.codecs.video.decoder import Video
from calotype.codecs.video.framehead import FRAME, FrameHead, decode_head, encode_head, going_on
from calotype.codecs.video.packs import (
    FULL_BYTES,
    FULL_FRAMES,
    JOINT,
    LARGE,
    MAX_FRAMES,
    MAX_PACK,
    PACK,
    Part,
    begun,
    encode_pack,
    joined,
    joint_hash,
)
from calotype.codecs.video.splice import cut, join
from calotype.codecs.video.stream import Frame, StreamReader, StreamWriter
from calotype.entropy import RansDecoder, RansEncoder
from calotype.entropy.tables import factorised_bank
from calotype.errors import CorruptStreamError, DesyncError

P1 = FrameHead("P", 500, 1, (0,), (0,))
BANK = factorised_bank([np.full(256, 1 / 256)], [0])


def part(payload: bytes) -> Part:
    """Four bytes that stand for a symbol hash, a block of 2, and a stream with a symbol for each byte."""
    stream, kept = RansEncoder(), RansEncoder()
    stream.push(BANK, np.frombuffer(payload, np.uint8).astype(np.int32), np.zeros(len(payload), np.uint16))
    kept.extend(stream)
    return Part(b"hash\2" + stream.finish(), kept, 0)


def pulled(decoder: RansDecoder, count: int) -> bytes:
    return decoder.pull(BANK, np.zeros(count, np.uint16)).astype(np.uint8).tobytes()


def packed(clip: list, audio: bool = False) -> bytes:
    """All frames but intra ones may be packed."""
    sink = io.BytesIO()
    with StreamWriter(sink, HEADER) as writer:
        if audio:
            writer.audio_head(b"two channels")
        for number, segment in enumerate(clip):
            for head, payload in segment:
                before, own = writer.size, part(payload)
                writer.frame(head, own.payload, own if head.kind != "I" else None)
                assert writer.size > before
            if audio:
                writer.audio(b"packet %d" % number)
        writer.close()
        assert writer.size == len(sink.getvalue())
    return sink.getvalue()


def frames(data: bytes, **options) -> list[Frame]:
    return [event for event in StreamReader(Pipe(data), **options) if isinstance(event, Frame)]


def long(count: int, size: int = 30) -> list:
    """A segment of an intra frame and `count` P frames."""
    return [GOP[0], *((FrameHead("P", 500, n, (n - 1,), (n - 1,)), bytes([n]) * size) for n in range(1, count + 1))]


@thorough
@given(clips)
def test_packed_frames_are_those_that_were_written(clip: list) -> None:
    data = packed(clip)
    found, plain = frames(data), frames(written(clip))
    assert [(f.head, f.shown) for f in found] == [(f.head, f.shown) for f in plain]
    assert [f.segment.first for f in found] == [f.segment.first for f in plain]
    hashes: list[bytes] = []
    joint = None
    for frame, (_, payload) in zip(found, [f for segment in clip for f in segment], strict=True):
        if frame.packed is None:
            assert bytes(frame.payload) == part(payload).payload
            continue
        motion, joint = begun(frame.payload, joint)
        assert motion == 2 | JOINT and pulled(joint, len(payload)) == payload
        hashes.append(b"hash")
        if frame.packed.last:
            joint = joint.finish()
            assert frame.packed.joint == joint_hash(hashes) and len(hashes) > 1
            hashes = []
    assert not hashes and joint is None


def test_a_frame_in_a_pack_takes_13_bytes_less_and_4_less_where_it_goes_on_like_the_last() -> None:
    segment = long(32)
    turns = [(replace(head, delay=k % 2), payload) for k, (head, payload) in enumerate(segment)]
    for clip, least in ((segment, 13 + 4 * 7 / 8), (turns, 13)):
        alone = len(written([[(head, part(payload).payload) for head, payload in clip]]))
        assert (alone - len(packed([clip]))) / 32 > least


def test_a_frame_of_a_pack_that_does_not_go_on_in_its_stream_is_refused() -> None:
    first, second = joined([part(b"one"), part(b"two")])
    _, joint = begun(first)
    for wrong in (b"", b"\2", second + b"\0"):
        with pytest.raises(CorruptStreamError):
            begun(wrong, joint)


def test_going_on_keeps_the_key_frame_and_moves_with_the_last_one() -> None:
    before = FrameHead("P", 500, 5, (4, 0), (4,))
    head = FrameHead("P", 437, 6, (5, 0), (5,))
    assert going_on(before, 6, 437) == head
    assert encode_head(head, 6, before) == b"\x03\x7d" and decode_head(memoryview(b"\x03\x7d"), 6, before) == (head, 2)
    near = replace(head, quality_deci=500 + 31)
    for coded in (b"\xff", b"\x03\x3e"):  # as is written now, and as was
        assert decode_head(memoryview(coded), 6, before) == (near, len(coded))
    assert encode_head(near, 6, before) == b"\xff" and encode_head(replace(near, quality_deci=500), 6, before) == b"\x07"
    with pytest.raises(CorruptStreamError):
        decode_head(memoryview(b"\x03\x7d"), 6)
    with pytest.raises(CorruptStreamError):
        decode_head(memoryview(encode_head(head, 6)), 6, before)
    with pytest.raises(CorruptStreamError):
        decode_head(memoryview(b"\x03\xff\x7f"), 6, before)  # no such quality


def test_a_pack_ends_at_eight_frames_at_four_kilobytes_and_before_any_other_chunk() -> None:
    for segment, most in ((long(20), FULL_FRAMES), (long(20, 1100), -(-FULL_BYTES // 1100))):
        counts = [len(list(members)) for members in packs_of(packed([segment]))]
        assert max(counts) == most and sum(counts) == 20 - 20 % most + (20 % most if 20 % most > 1 else 0)
    assert not packs_of(packed([long(9, LARGE)]))
    reader = StreamReader(Pipe(packed(CLIP, audio=True)))
    assert ["a" if isinstance(e, Chunk) else e.head.kind for e in reader] == list("IPBaIaIPBa")


def packs_of(data: bytes) -> list[list[Frame]]:
    found: list[list[Frame]] = [[]]
    for frame in frames(data):
        if frame.packed is not None:
            found[-1].append(frame)
            if frame.packed.last:
                found.append([])
    return found[:-1]


def test_packs_are_found_without_an_index_counted_and_copied_as_they_are() -> None:
    clip = [long(12), long(5), long(9)]
    data = packed(clip)
    whole = container.read(data)
    bare = container.write(whole.header, [c for c in whole.chunks if c.kind != b"indx"])
    assert StreamReader(io.BytesIO(bare)).index == StreamReader(io.BytesIO(data)).index
    clip_of = describe(container.read(data))["clip"]
    assert clip_of["frames"] == 29 and clip_of["kinds"]["P"]["frames"] == 26
    parts = []
    for first, last in ((0, 12), (13, 18), (19, 28)):
        parts.append(io.BytesIO())
        assert cut(io.BytesIO(data), parts[-1], first, last) == range(first, last + 1)
        parts[-1].seek(0)
    joined = io.BytesIO()
    join(parts, joined)
    assert container.read(joined.getvalue()).chunks[:-1] == whole.chunks[:-1]  # the header, and so the index, say 29 frames


def test_every_changed_byte_is_refused_and_what_precedes_the_pack_is_given_when_asked_for() -> None:
    data = packed([long(12)])
    start = data.index(PACK)
    for at in range(start, len(data)):
        for wrong in (data[:at], data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]):
            with pytest.raises(CorruptStreamError):
                frames(wrong)
            assert len(frames(wrong, allow_partial=True)) in (1, 9, 13)


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"hash", b"hash\x05abc", b"hash\x00",
        pytest.param(encode_pack(b"hash", [encode_head(replace(GOP[0][0], delay=3), 0)]), id="an intra frame"),
        pytest.param(encode_pack(b"hash", [encode_head(P1, 1) + bytes(MAX_PACK)]), id="too long"),
    ],
)  # fmt: skip
def test_packs_that_make_no_sense_are_refused_though_their_checksums_are_right(payload: bytes) -> None:
    data = container.write(HEADER, [Chunk(FRAME, encode_head(GOP[0][0], 0)), Chunk(PACK, payload)])
    with pytest.raises(CorruptStreamError):
        frames(data)
    with pytest.raises(CorruptStreamError):
        StreamReader(io.BytesIO(data)).index  # noqa: B018 (found by reading the heads)


def test_a_pack_of_more_frames_than_a_reader_holds_is_refused() -> None:
    for count in (MAX_FRAMES, MAX_FRAMES + 1):
        heads = [head for head, _ in long(count)[1:]]
        heads = [encode_head(h, h.number, heads[k - 1] if k else None) for k, h in enumerate(heads)]
        chunks = [Chunk(FRAME, encode_head(GOP[0][0], 0)), Chunk(PACK, encode_pack(b"hash", heads))]
        reader = StreamReader(Pipe(container.write(HEADER, chunks)))
        if count > MAX_FRAMES:
            with pytest.raises(CorruptStreamError):
                list(reader)
        else:
            assert len(list(reader)) == 1 + count


def test_a_pack_before_the_first_intra_frame_is_refused() -> None:
    with pytest.raises(CorruptStreamError):
        frames(container.write(HEADER, [Chunk(PACK, encode_pack(b"hash", [encode_head(P1, 1)]))]))


# ---- with a model


@pytest.fixture(scope="module")
def real() -> bytes:
    return encoded(shipped(), frames_of(17))


def test_what_is_decoded_from_packs_is_what_was_encoded_and_seeking_works(real: bytes) -> None:
    assert real.count(PACK) == 2
    with Video(io.BytesIO(real), bundle=shipped()) as video:
        shown = list(video)
        assert [frame.number for frame in shown] == list(range(17))
        video.seek(11)
        assert all(same(a.planes, b.planes) for a, b in zip(video, shown[11:], strict=True))


def test_a_pack_with_other_symbols_is_a_desync_and_none_of_it_is_shown(real: bytes) -> None:
    whole = container.read(real)
    chunks = [c for c in whole.chunks if c.kind not in (END, b"indx")]
    pack = next(k for k, chunk in enumerate(chunks) if chunk.kind == PACK)
    chunks[pack] = Chunk(PACK, symbol_hash([b"other"]) + bytes(chunks[pack].payload[4:]))
    shown = []
    with Video(io.BytesIO(container.write(whole.header, chunks)), bundle=shipped()) as video:
        with pytest.raises(DesyncError):
            shown.extend(iter(video))
    assert len(shown) <= 1
