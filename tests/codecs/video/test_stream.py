"""Streams of video files: round trips, pipes, seeking, and typed errors for what is cut, damaged, hostile or excessive."""

from __future__ import annotations

import io
import json
import tracemalloc
from dataclasses import replace
from fractions import Fraction
from math import floor
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calotype.codecs import container
from calotype.codecs.container import Chunk, Colour, Header, Limits, UnsupportedError
from calotype.codecs.describe import describe
from calotype.codecs.header import FRAMES_UNKNOWN
from calotype.codecs.video.audio import AudioDescription, AudioStream
from calotype.codecs.video.framehead import FrameHead, decode_head, encode_head
from calotype.codecs.video.index import INDEX, Index, Segment, encode_index
from calotype.codecs.video.splice import cut, join
from calotype.codecs.video.stream import AUDIO, FRAME, Frame, StreamReader, StreamWriter
from calotype.codecs.video.structure import load, names, schedule
from calotype.errors import CorruptStreamError, LimitError, UsageError

HEADER = Header(
    media="video", codec="video", model="s.1", model_hash=bytes(8), width=64, height=48, frames=FRAMES_UNKNOWN,
    rate=(30000, 1001), colour=Colour("bt709", "limited", "420", 8), params={"ticks_num": 1000},
)  # fmt: skip
I0 = FrameHead("I", 580)
thorough = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


class Pipe(io.RawIOBase):
    """What only gives bytes front to back, at most `step` at a time."""

    def __init__(self, data: bytes, step: int = 7):
        self.data, self.step, self.at = data, step, 0

    def read(self, size: int = -1) -> bytes:
        assert size >= 0, "a reader that asks for all there is"
        piece = self.data[self.at : self.at + min(size, self.step)]
        self.at += len(piece)
        return piece


class Sink(io.RawIOBase):
    """What only takes bytes, at most `step` at a time."""

    def __init__(self, step: int = 5) -> None:
        self.step, self.pieces = step, []

    def write(self, piece: bytes) -> int:
        self.pieces.append(bytes(piece[: self.step]))
        return len(self.pieces[-1])

    @property
    def data(self) -> bytes:
        return b"".join(self.pieces)


SOUND = AudioDescription((AudioStream("opus", 48000, 2, Fraction(1, 48000)),), b"").to_bytes()


@st.composite
def segments(draw: st.DrawFn) -> list[tuple[FrameHead, bytes]]:
    """Frames of one segment, in any order that can be followed."""
    payload = st.binary(max_size=12)
    count = draw(st.integers(1, 9))
    order = draw(st.permutations(range(1, count)))
    delays = st.just(0) | st.integers(-33, 10**6)
    held = {0}
    frames = [(FrameHead("I", draw(st.integers(0, 1000)), delay=draw(delays)), draw(payload))]
    for place, number in enumerate(order):
        references = tuple(draw(st.permutations(sorted(held)))[: draw(st.integers(1, 2))])
        held.add(number)
        kept = draw(st.sets(st.sampled_from(sorted(held)), max_size=8, min_size=min(1, count - 2 - place)))
        drops, held = tuple(sorted(held - kept)), kept
        kind = "P" if max(references) < number else "B"
        head = FrameHead(kind, draw(st.integers(0, 1000)), number, references, drops, draw(delays))
        frames.append((head, draw(payload)))
    return frames


clips = st.lists(segments(), min_size=1, max_size=4)


def written(clip: list, header: Header = HEADER, audio: bool = False, step: int = 5) -> bytes:
    sink = Sink(step)
    with StreamWriter(sink, header) as writer:
        if audio:
            writer.audio_head(SOUND)
        for number, segment in enumerate(clip):
            for head, payload in segment:
                writer.frame(head, payload)
            if audio:
                writer.audio(b"packet %d" % number)
    return sink.data


def frames_of(source: io.RawIOBase | io.BytesIO, **options: object) -> list[Frame]:
    return [event for event in StreamReader(source, **options) if isinstance(event, Frame)]


def times_of(clip: list) -> tuple[list[int], int]:
    """Of all frames in display order, and of the end, by the words of the specification."""
    step = Fraction(1000 * HEADER.rate[1], HEADER.rate[0])
    times, start = [], 0
    for place, segment in enumerate(clip):
        delays = [head.delay for head, _ in sorted(segment, key=lambda frame: frame[0].number)]
        start += delays[0] if place else 0
        for number in range(len(segment) + 1):
            times.append(start + floor(number * step + Fraction(1, 2)) + sum(delays[1 : number + 1]))
        start = times.pop()
    return times, start


GOP = [(I0, b"intra"), (FrameHead("P", 500, 2, (0,)), b"pred"), (FrameHead("B", 450, 1, (0, 2), (0, 1), 5), b"bi")]
CLIP = [GOP, [(replace(I0, delay=9), b"second")], GOP]
SMALL = written(CLIP, audio=True)


# ---- frame heads

@thorough
@given(clips)
def test_heads_are_read_back_with_their_length(clip: list) -> None:
    for segment in clip:
        come = set()
        for head, payload in segment:
            expected = next(n for n in range(99) if n not in come)
            come.add(head.number)
            raw = encode_head(head, expected)
            assert decode_head(memoryview(raw + payload), expected) == (head, len(raw))


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=12), st.integers(1, 40))
def test_any_bytes_are_no_head_or_the_one_spelling_of_one(raw: bytes, expected: int) -> None:
    try:
        head, size = decode_head(memoryview(raw), expected)
    except CorruptStreamError:
        return
    assert encode_head(head, 0 if head.kind == "I" else expected) == raw[:size]


def test_the_head_of_the_specification_takes_5_bytes() -> None:
    assert encode_head(FrameHead("P", 500, 7, (6,), (6,)), 7) == bytes.fromhex("51 f4 03 02 02")


# ---- round trips

@thorough
@given(clips)
def test_what_is_written_is_read_back_from_a_pipe_and_from_a_file(clip: list) -> None:
    data = written(clip)
    times, end = times_of(clip)
    for source in (Pipe(data), io.BytesIO(data)):
        reader = StreamReader(source)
        frames = list(reader)
        assert [(frame.head, bytes(frame.payload)) for frame in frames] == sum(clip, [])
        assert [shown.time for frame in frames for shown in frame.shown] == times
        assert [shown.index for frame in frames for shown in frame.shown] == list(range(len(times)))
        assert (reader.count, reader.duration, reader.damage) == (len(times), end, "")


@thorough
@given(clips)
def test_the_same_segments_are_found_by_the_index_and_without_it(clip: list) -> None:
    data = written(clip)
    whole = container.read(data)
    bare = container.write(HEADER, [chunk for chunk in whole.chunks if chunk.kind != INDEX])
    by_index, by_scan = (StreamReader(io.BytesIO(raw)).index for raw in (data, bare))
    assert by_index == by_scan and by_index.frames == sum(map(len, clip))
    assert frames_of(io.BytesIO(bare)) == frames_of(io.BytesIO(data))


@thorough
@given(clips, st.data())
def test_seeking_goes_to_the_segment_and_everything_there_is_as_without(clip: list, data: st.DataObject) -> None:
    raw = written(clip, audio=True)
    straight = list(StreamReader(Pipe(raw)))
    times, end = times_of(clip)
    file = io.BytesIO(b"before" + raw)
    file.seek(6)
    reader = StreamReader(file)
    for _ in range(3):
        number = data.draw(st.integers(0, len(times) - 1))
        segment = reader.seek(number)
        assert segment.first == max(s.first for s in reader.index.segments if s.first <= number)
        if end:
            tick = data.draw(st.integers(0, end - 1))
            segment = reader.seek_time(tick)
            assert segment.start == max(s.start for s in reader.index.segments if s.start <= tick)
        rest = list(reader)
        assert rest == straight[-len(rest) :] and rest[0].segment == segment
    assert reader.audio_head == SOUND


@pytest.mark.parametrize("name", names())
def test_every_shipped_structure_can_be_written(name: str) -> None:
    with StreamWriter(io.BytesIO(), HEADER) as writer:
        first, shown = 0, []
        for coded in schedule(load(name), range(70), intra_period=37):
            first = coded.number if coded.kind == "I" else first
            references, drops = (tuple(n - first for n in numbers if n >= first) for numbers in (coded.references, coded.drop))
            head = FrameHead(coded.kind, 500, coded.number - first, references, drops)
            shown += writer.frame(head, b"")
    assert [frame.index for frame in shown] == list(range(70))


def test_audio_comes_where_it_was_written() -> None:
    reader = StreamReader(Pipe(SMALL))
    assert reader.audio_head == SOUND
    kinds = ["a" if isinstance(event, Chunk) else event.head.kind for event in reader]
    assert "".join(kinds) == "IPBaIaIPBa"


def test_without_ticks_a_tick_is_a_frame() -> None:
    header = replace(HEADER, params={})
    frames = frames_of(Pipe(written([GOP, GOP], header)))
    assert [shown.time for frame in frames for shown in frame.shown] == [0, 6, 7, 8, 14, 15]


def test_the_reader_asks_a_pipe_for_no_byte_beyond_the_header_and_the_frames_that_were_asked_for() -> None:
    pipe = Pipe(written([GOP, GOP]))
    reader = StreamReader(pipe)
    assert pipe.at == len(container.write(HEADER, [])) - 8
    next(reader)
    assert pipe.at == len(container.write(HEADER, [Chunk(FRAME, encode_head(I0, 0) + b"intra")])) - 8


def test_memory_for_reading_and_writing_does_not_grow_with_the_clip() -> None:
    class Null(io.RawIOBase):
        def write(self, piece: bytes) -> int:
            return len(piece)

    segment = [(I0, bytes(20_000))] + [(FrameHead("P", 1, n, (n - 1,), (n - 1,)), bytes(20_000)) for n in range(1, 50)]
    data = written([segment] * 8, step=2**16)
    tracemalloc.start()
    sink = StreamWriter(Null(), HEADER)
    for event in StreamReader(Pipe(data, 2**16)):
        sink.frame(event.head, event.payload)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(data) > 8_000_000 and peak < 400_000


def test_the_container_reads_the_same_chunks() -> None:
    whole = container.read(SMALL)
    assert [bytes(chunk.payload) for chunk in whole.chunks if chunk.kind == AUDIO] == [b"packet 0", b"packet 1", b"packet 2"]
    assert container.write(whole.header, whole.chunks) == SMALL


# ---- joining and cutting

@thorough
@given(st.lists(clips, min_size=1, max_size=3), st.booleans())
def test_joined_files_are_the_file_of_all_segments(parts: list[list], known: bool) -> None:
    def header(segments: list) -> Header:
        return replace(HEADER, frames=sum(map(len, segments)) if known else FRAMES_UNKNOWN)

    sink, whole = Sink(), sum(parts, [])
    join([Pipe(written(part, header(part), audio=True)) for part in parts], sink)
    joined = list(StreamReader(io.BytesIO(sink.data)))
    frames = [event for event in joined if isinstance(event, Frame)]
    assert [(frame.head, bytes(frame.payload)) for frame in frames] == sum(whole, [])
    assert [shown.time for frame in frames for shown in frame.shown] == times_of(whole)[0]


@thorough
@given(clips, st.data())
def test_what_is_cut_and_joined_again_is_the_file(clip: list, data: st.DataObject) -> None:
    count = sum(map(len, clip))
    whole = written(clip, replace(HEADER, frames=count), audio=True)
    at = data.draw(st.integers(0, count - 1))
    one, two, again = io.BytesIO(), io.BytesIO(), io.BytesIO()
    kept = cut(io.BytesIO(whole), one, 0, at)
    assert at in kept and kept.start == 0
    if kept.stop == count:
        assert one.getvalue() == whole
        return
    assert cut(io.BytesIO(whole), two, kept.stop, count - 1) == range(kept.stop, count)
    join([io.BytesIO(one.getvalue()), io.BytesIO(two.getvalue())], again)
    assert again.getvalue() == whole


def test_files_that_do_not_fit_are_not_joined() -> None:
    other = written([GOP], replace(HEADER, width=66))
    for one, two in ((written([GOP]), other), (written([GOP]), SMALL)):
        with pytest.raises(UsageError, match="alike"):
            join([Pipe(one), Pipe(two)], Sink())
    with pytest.raises(UsageError):
        join([], Sink())
    for first, last in ((2, 1), (0, 7), (-1, 0)):
        with pytest.raises(UsageError):
            cut(io.BytesIO(SMALL), Sink(), first, last)


# ---- damage

def damaged() -> list[tuple[int, bytes]]:
    """Everything that one cut or one changed byte makes of SMALL, with the place of the damage."""
    variants = [(length, SMALL[:length]) for length in range(len(SMALL))]
    for at in range(len(SMALL)):
        for change in (1 << at % 8, 0x80):
            variants.append((at, SMALL[:at] + bytes([SMALL[at] ^ change]) + SMALL[at + 1 :]))
    return variants


def test_every_cut_and_every_changed_byte_is_refused_and_what_precedes_it_is_given_when_asked_for() -> None:
    whole = list(StreamReader(Pipe(SMALL)))
    reader, ends = StreamReader(pipe := Pipe(SMALL)), []
    begin = pipe.at
    for _ in reader:
        ends.append(pipe.at)
    for at, data in damaged():
        for source in (Pipe, io.BytesIO):
            with pytest.raises(CorruptStreamError):
                list(StreamReader(source(data)))
            if at < begin:
                with pytest.raises(CorruptStreamError):
                    StreamReader(source(data), allow_partial=True)
                continue
            reader = StreamReader(source(data), allow_partial=True)
            assert list(reader) == whole[: sum(end <= at for end in ends)] and reader.damage


def test_seeking_in_a_damaged_file_gives_its_frames_or_an_error() -> None:
    good = {(frame.segment.first, frame.head, bytes(frame.payload)) for frame in frames_of(Pipe(SMALL))}
    for _, data in damaged():
        for number in (0, 3, 6):
            try:
                reader = StreamReader(io.BytesIO(data))
                reader.seek(number)
                frames = [event for event in reader if isinstance(event, Frame)]
            except CorruptStreamError:
                continue
            except UsageError:  # a cut before the frame that is asked for
                continue
            assert {(frame.segment.first, frame.head, bytes(frame.payload)) for frame in frames} <= good


def test_seeking_works_without_the_end_of_the_file_when_that_is_asked_for() -> None:
    reader = StreamReader(io.BytesIO(SMALL[:-20]), allow_partial=True)
    assert reader.seek(5).first == 4 and reader.count == 7
    assert [event.head.kind for event in reader if isinstance(event, Frame)] == ["I", "P", "B"] and reader.damage
    with pytest.raises(CorruptStreamError):
        StreamReader(io.BytesIO(SMALL[:-20])).seek(0)


def chunks_of(clip: list) -> list[Chunk]:
    return [chunk for chunk in container.read(written(clip)).chunks if chunk.kind == FRAME]


REAL = StreamReader(io.BytesIO(written(CLIP))).index


def shifted(number: int, **changes: int) -> Index:
    segments = list(REAL.segments)
    segments[number] = segments[number]._replace(**{key: getattr(segments[number], key) + by for key, by in changes.items()})
    return REAL._replace(segments=segments)


@pytest.mark.parametrize(
    "index",
    [
        pytest.param(shifted(1, offset=-1), id="offset between chunks"),
        pytest.param(shifted(1, offset=REAL.segments[2].offset - REAL.segments[1].offset - 1), id="offset in another chunk"),
        pytest.param(shifted(1, offset=-(REAL.segments[1].offset - REAL.segments[0].offset) + 24), id="offset of a P frame"),
        pytest.param(shifted(2, offset=2**40), id="offset beyond the file"),
        pytest.param(shifted(1, first=1), id="number"),
        pytest.param(shifted(1, start=1), id="time"),
        pytest.param(REAL._replace(frames=8), id="frames"),
        pytest.param(REAL._replace(duration=REAL.duration + 1), id="duration"),
        pytest.param(Index(REAL.segments[:2], 7, REAL.duration), id="a segment too few"),
        pytest.param(Index([*REAL.segments, Segment(REAL.segments[2].offset + 9, 7, 999)], 9, 1000), id="a segment too many"),
    ],
)
def test_an_index_that_does_not_fit_is_refused_by_who_uses_it(index: Index) -> None:
    data = container.write(HEADER, [*chunks_of(CLIP), Chunk(INDEX, encode_index(index))])
    for number in (0, index.segments[1].first):
        reader = StreamReader(io.BytesIO(data))
        with pytest.raises(CorruptStreamError):
            reader.seek(number)
            list(reader)


def test_an_index_of_no_known_shape_is_not_used_for_seeking_and_refused_in_reading() -> None:
    good = encode_index(REAL)
    huge = b"\xff\xff\xff\xff\x0f" + good[1:]
    for payload in (b"", b"\0" + good[1:], good[:-1] + b"\1", good[:-4] + b"\xff\xff\xff\x7f", huge):
        data = container.write(HEADER, [*chunks_of(CLIP), Chunk(INDEX, payload)])
        with pytest.raises((CorruptStreamError, LimitError)):
            list(StreamReader(Pipe(data)))
        reader = StreamReader(io.BytesIO(data))
        try:
            assert reader.index.segments == REAL.segments
        except LimitError:
            assert payload[:1] == b"\xff"


def test_heads_that_no_decoder_can_follow_are_neither_written_nor_read() -> None:
    def head(kind: str = "P", number: int = 1, references: tuple = (0,), **rest: object) -> FrameHead:
        return FrameHead(kind, **({"quality_deci": 9, "number": number, "references": references} | rest))

    late = head("B", 1, (0, 2), delay=-500)
    for what, heads in {
        "begins with": [head()],
        "not one of": [I0, head("X")],
        "quality": [I0, head(quality_deci=1001)],
        "an I frame has": [I0, head("I", 0, (0,))],
        "one or two": [I0, head(references=(0, 0))],
        "is no B": [I0, head("B")],
        "is no P": [I0, head(number=2), head("P", 1, (0, 2))],
        "comes twice": [I0, head(), head()],
        "not all of which": [I0, head(number=2, references=(1,))],
        "refers to": [I0, head(drops=(0,)), head(number=2)],
        "drops": [I0, head(drops=(1, 0))],
        "before the one": [I0, head(number=2), late],
        "has not come": [I0, head(number=2), I0],
        "too many": [I0, *(head(number=n) for n in range(1, 9))],
        "wait": [I0, *(head(number=n, drops=(n,)) for n in range(2, 67))],
    }.items():
        writer, chunks, come = StreamWriter(io.BytesIO(), HEADER), [], set()
        for one in heads:
            expected = 0 if one.kind == "I" else next(n for n in range(99) if n not in come)
            if one.kind == "X" or one.number < expected:
                break  # cannot be spelt
            chunks.append(Chunk(FRAME, encode_head(one, expected)))
            come.add(one.number)
        for one in heads[:-1]:
            writer.frame(one, b"")
        with pytest.raises(UsageError, match=what):
            writer.frame(heads[-1], b"")
        if len(chunks) == len(heads):
            with pytest.raises(CorruptStreamError, match=what):
                list(StreamReader(Pipe(container.write(HEADER, chunks))))


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param([], id="no frame"),
        pytest.param([Chunk(FRAME, b"")], id="no head"),
        pytest.param([*chunks_of([GOP])[:2]], id="a frame is missing at the end"),
        pytest.param([*chunks_of([GOP])[:2], *chunks_of([GOP])], id="a frame is missing in a segment"),
        pytest.param([*chunks_of([GOP]), Chunk(b"audh", b"x")], id="audio description after a frame"),
        pytest.param([Chunk(b"audh", b"x"), Chunk(b"audh", b"x"), *chunks_of([GOP])], id="two of them"),
        pytest.param([Chunk(b"audh", b"x"), Chunk(AUDIO, b"x"), *chunks_of([GOP])], id="audio before the first frame"),
        pytest.param([*chunks_of([GOP]), Chunk(AUDIO, b"x")], id="audio without a description"),
        pytest.param([*chunks_of(CLIP), Chunk(INDEX, encode_index(REAL)), Chunk(b"note", b"")], id="a chunk after the index"),
    ],
)
def test_chunks_that_make_no_clip_are_refused_though_their_checksums_are_right(chunks: list[Chunk]) -> None:
    data = container.write(HEADER, chunks)
    with pytest.raises(CorruptStreamError):
        list(StreamReader(Pipe(data)))
    reader = StreamReader(Pipe(data), allow_partial=True)
    list(reader)
    assert reader.damage


def test_another_number_of_frames_than_the_header_says_is_refused() -> None:
    for frames in (2, 4):
        data = container.write(replace(HEADER, frames=frames), chunks_of([GOP]))
        with pytest.raises(CorruptStreamError, match="header"):
            list(StreamReader(Pipe(data)))
        with pytest.raises(UsageError, match="FRAMES_UNKNOWN"):
            written([GOP], replace(HEADER, frames=frames))


def test_an_unknown_critical_chunk_is_refused_even_in_part_and_an_unknown_ancillary_one_is_given() -> None:
    data = container.write(HEADER, [*chunks_of([GOP]), Chunk(b"Nova", b"")])
    with pytest.raises(UnsupportedError, match="newer version"):
        list(StreamReader(Pipe(data), allow_partial=True))
    data = container.write(HEADER, [Chunk(b"iccp", b"p"), *chunks_of([GOP]), Chunk(b"note", b"x")])
    reader = StreamReader(Pipe(data))
    assert reader.preamble == (Chunk(b"iccp", b"p"),)
    assert list(reader)[-1] == Chunk(b"note", b"x")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=120), st.integers(0, len(SMALL)))
def test_random_bytes_after_any_start_give_a_typed_error(noise: bytes, kept: int) -> None:
    for source in (Pipe, io.BytesIO):
        try:
            reader = StreamReader(source(SMALL[:kept] + noise))
            _ = reader.count
            assert list(reader) == list(StreamReader(Pipe(SMALL)))
        except (CorruptStreamError, LimitError):
            pass


# ---- limits

def test_a_length_beyond_the_file_is_damage_and_allocates_nothing() -> None:
    data = container.write(HEADER, [])[:-8] + FRAME + b"\xff\xff\xff\xff\x0f" + bytes(50)
    for source in (Pipe(data), io.BytesIO(data)):
        tracemalloc.start()
        with pytest.raises(CorruptStreamError, match="cut short"):
            list(StreamReader(source))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2**21


def test_limits_hold_even_for_a_part() -> None:
    for limits, name in (
        (Limits(max_frames=6), "max_frames"),
        (Limits(max_width=63), "max_width"),
        (Limits(max_bytes=64 * 48 * 3 // 2 - 1), "max_bytes"),
    ):
        with pytest.raises(LimitError, match=name):
            list(StreamReader(Pipe(SMALL), limits, allow_partial=True))
    with pytest.raises(LimitError, match="max_frames"):
        StreamReader(Pipe(written([GOP], replace(HEADER, frames=3))), Limits(max_frames=2))
    with pytest.raises(LimitError, match="max_chunks"):
        _ = StreamReader(io.BytesIO(SMALL), Limits(max_chunks=2)).index
    big = written([[(I0, bytes(5000))]])
    with pytest.raises(LimitError, match="max_bytes"):
        list(StreamReader(Pipe(big), Limits(max_bytes=4999)))
    many = container.write(HEADER, [Chunk(b"note", b"")] * 5 + chunks_of([GOP]))
    with pytest.raises(LimitError, match="max_chunks"):
        list(StreamReader(Pipe(many), Limits(max_chunks=4)))


# ---- use

def test_what_makes_no_sense_is_a_usage_error() -> None:
    picture = Header(media="image", codec="image", model="m", model_hash=bytes(8), width=1, height=1)
    with pytest.raises(UsageError, match="video"):
        StreamWriter(io.BytesIO(), picture)
    with pytest.raises(UsageError, match="picture"):
        StreamReader(Pipe(container.write(picture, [])))
    with pytest.raises(UsageError, match="pipe"):
        StreamReader(Pipe(SMALL)).seek(0)
    for number in (-1, 7):
        with pytest.raises(UsageError):
            StreamReader(io.BytesIO(SMALL)).seek(number)
    for tick in (-1, StreamReader(io.BytesIO(SMALL)).duration):
        with pytest.raises(UsageError):
            StreamReader(io.BytesIO(SMALL)).seek_time(tick)
    writer = StreamWriter(io.BytesIO(), HEADER)
    with pytest.raises(UsageError, match="end the file"):
        writer.close()
    for chunk in (Chunk(AUDIO, b""), Chunk(INDEX, b""), Chunk(FRAME, b"")):
        with pytest.raises(UsageError):
            writer.chunk(chunk)
    writer.frame(I0, b"")
    writer.close()
    writer.close()
    with pytest.raises(UsageError, match="closed"):
        writer.audio(b"")


def test_an_error_leaves_the_file_without_its_end() -> None:
    sink = io.BytesIO()
    with pytest.raises(ZeroDivisionError), StreamWriter(sink, HEADER) as writer:
        writer.frame(I0, b"")
        raise ZeroDivisionError
    with pytest.raises(CorruptStreamError, match="cut short"):
        list(StreamReader(io.BytesIO(sink.getvalue())))


def test_info_sums_a_clip_up_without_decoding_it(tmp_path: Path) -> None:
    from calotype.cli.info import info

    clip = describe(container.read(SMALL))["clip"]
    assert (clip["frames"], clip["segments"], clip["seconds"], clip["audio_bytes"]) == (7, 3, 0.252, 24 + len(SOUND))
    assert clip["audio"] == [{"codec": "opus", "sample_rate": 48000, "channels": 2}]
    assert {kind: counts["frames"] for kind, counts in clip["kinds"].items()} == {"I": 3, "P": 2, "B": 2}
    assert clip["kbps"] == pytest.approx(len(SMALL) * 8 / 252, abs=0.01)
    file = tmp_path / "clip.calo"
    file.write_bytes(SMALL)
    shown = CliRunner().invoke(info, [str(file)])
    assert "frames: 7 at 29.97 (30000/1001) a second, 0.252 s" in shown.output and "7 x Fram" in shown.output
    file.write_bytes(SMALL[:-60])
    cut_short = CliRunner().invoke(info, ["--json", str(file)])
    record = json.loads(cut_short.stdout.splitlines()[0])
    assert record["truncated"] and 0 < record["frames"] < 7
