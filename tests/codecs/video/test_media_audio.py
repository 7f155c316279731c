from __future__ import annotations

import io
from fractions import Fraction

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mediaclips import Pipe, make, smooth_planes
from movingclips import clip_info, frames_of, shipped

from calotype import threads
from calotype.codecs.header import encode_varint
from calotype.codecs.video.audio import (
    AudioDescription,
    AudioPacket,
    AudioStream,
    decode_packets,
    encode_packets,
)
from calotype.codecs.video.encoder import VideoEncoder
from calotype.codecs.video.media_in import open_video
from calotype.codecs.video.media_out import Clip, open_output
from calotype.codecs.video.rate import Constant
from calotype.codecs.video.structure import load
from calotype.errors import CorruptStreamError, UsageError

times = st.integers(-(2**61), 2**61)
packets = st.builds(AudioPacket, st.integers(0, 3), times, times, st.integers(0, 2**61), st.booleans(), st.binary(max_size=40))
streams = st.builds(
    AudioStream,
    st.from_regex(r"[a-z0-9_-]{1,64}", fullmatch=True),
    st.integers(0, 2**32 - 1),
    st.integers(0, 255),
    st.fractions(Fraction(1, 2**32 - 1), 1, max_denominator=2**32 - 1),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(packets, max_size=8))
def test_groups_of_packets_come_back_from_their_bytes(group):
    assert decode_packets(encode_packets(group), 4) == group


@settings(max_examples=100, deadline=None)
@given(st.lists(packets, max_size=3), st.data())
def test_damaged_groups_are_corrupt_or_other_packets_never_anything_else(group, data):
    found = bytearray(encode_packets(group))
    at = data.draw(st.integers(0, len(found) - 1))
    found[at] ^= data.draw(st.integers(1, 255))
    try:
        for packet in decode_packets(found, 4):
            assert 0 <= packet.stream < 4 and packet.duration >= 0
    except CorruptStreamError:
        pass
    for end in range(len(found)):
        with pytest.raises(CorruptStreamError):
            decode_packets(encode_packets(group)[:end], 4)
    with pytest.raises(CorruptStreamError):
        decode_packets(encode_packets(group) + b"\0", 4)


def test_usual_packets_cost_six_bytes_beside_their_data():
    group = [AudioPacket(0, 1024 * number, 1024 * number, 1024, True, bytes(300)) for number in range(50)]
    assert len(encode_packets(group)) == 50 * (300 + 6) + 1 + 1  # the count; the first duration takes a byte more


@pytest.mark.parametrize(
    "packet", [AudioPacket(64, 0, 0, 0, True, b""), AudioPacket(0, 2**62, 0, 0, True, b""), AudioPacket(0, 0, 0, -1, True, b"")]
)
def test_packets_out_of_range_are_refused(packet):
    with pytest.raises(UsageError):
        encode_packets([packet])


def test_packets_of_a_stream_that_the_file_has_not_are_corrupt():
    data = encode_packets([AudioPacket(1, 0, 0, 1, True, b"x")])
    with pytest.raises(CorruptStreamError):
        decode_packets(data, 1)


@settings(max_examples=60, deadline=None)
@given(st.lists(streams, min_size=1, max_size=3), st.binary(max_size=50))
def test_descriptions_come_back_from_their_bytes(found, template):
    description = AudioDescription(tuple(found), template)
    data = description.to_bytes()
    assert AudioDescription.from_bytes(data) == description
    for end in range(len(data) - len(template)):
        with pytest.raises(CorruptStreamError):
            AudioDescription.from_bytes(data[:end])


@pytest.mark.parametrize(
    "data",
    [
        b"\x00",
        encode_varint(65),
        b"\x01\x00" + bytes([1, 1, 1, 1]),  # no name
        b"\x01\x03aa\xff" + bytes([1, 1, 1, 1]),
        b"\x01\x03aac" + bytes([1, 1, 0, 1]),  # a time base of 0, over 0, not in lowest terms
        b"\x01\x03aac" + bytes([1, 1, 1, 0]),
        b"\x01\x03aac" + bytes([1, 1, 2, 4]),
    ],
)
def test_descriptions_that_make_no_sense_are_corrupt(data):
    with pytest.raises(CorruptStreamError):
        AudioDescription.from_bytes(data)


# ---- through files


def audio_of(path):
    with av.open(str(path)) as container:
        return [[bytes(p) for p in container_packets(path, stream.index)] for stream in container.streams.audio]


def container_packets(path, index):
    with av.open(str(path)) as container:
        return [packet for packet in container.demux(container.streams[index]) if packet.size]


def copied(source, target, form=None, **options):
    """Read with audio, through our own bytes, and written; returns the packets in the order they came with the frames."""
    taken = []
    with open_video(source, audio=True, **options) as clip:
        description = AudioDescription.from_bytes(clip.audio.description.to_bytes())
        kind = Clip(clip.width, clip.height, clip.rate, clip.ticks, clip.colour)
        with open_output(target, form, kind, audio=description) as sink:
            for frame in clip.frames():
                sink.write(*frame)
                group = decode_packets(encode_packets(clip.audio.take()), len(description.streams))
                sink.write_audio(group)
                taken.append(group)
            group = clip.audio.take()
            sink.write_audio(group)
    return [*taken, group]


CASES = [
    (".mp4", "libx264", "aac", ".mp4"),
    (".mp4", "libx264", "aac", ".mov"),
    (".mp4", "libx264", "aac", ".mkv"),
    (".mkv", "ffv1", "libopus", ".mkv"),
    (".mkv", "ffv1", "libopus", ".mp4"),
    (".webm", "libvpx-vp9", "libopus", ".webm"),
    (".mkv", "ffv1", "vorbis", ".mkv"),
    (".mkv", "ffv1", "flac", ".mkv"),
    (".mkv", "ffv1", "libmp3lame", ".mp4"),
    (".mov", "libx264", "pcm_s16le", ".mov"),
]


@pytest.mark.parametrize(("suffix", "codec", "audio", "out"), CASES)
def test_audio_packets_are_the_same_bytes_after_a_round_trip(tmp_path, suffix, codec, audio, out):
    path = make(tmp_path / f"in{suffix}", codec=codec, audio=audio, count=25, size=(64, 48))
    copied(path, tmp_path / f"out{out}")
    first, second = audio_of(path), audio_of(tmp_path / f"out{out}")
    assert len(first) == 1 and [b"".join(stream) for stream in first] == [b"".join(stream) for stream in second]
    if not audio.startswith("pcm"):
        assert first == second
    with av.open(str(path)) as one, av.open(str(tmp_path / f"out{out}")) as other:
        contexts = [container.streams.audio[0].codec_context for container in (one, other)]
        assert contexts[0].sample_rate == contexts[1].sample_rate
        assert [context.layout.nb_channels for context in contexts] == [2, 2]
        sound = [sum(frame.samples for frame in container.decode(audio=0)) for container in (one, other)]
        assert abs(sound[0] - sound[1]) <= 2048  # edit lists may count the codec's padding


def late_sound(count):
    """A file of frames whose sound is read twelve frames behind them, coded with so many threads."""
    read, given, sink, before = 0, 0, io.BytesIO(), threads.set_count(count)

    def frames():
        nonlocal read
        for frame in frames_of(40, 16, 16):
            read += 1
            yield frame

    class Late:
        description = AudioDescription((AudioStream("flac", 25, 2, Fraction(1, 25)),), b"template")

        def take(self):
            nonlocal given
            first, given = given, max(read - 12, given)
            return [AudioPacket(0, k, k, 1, True, bytes(20)) for k in range(first, given)]

    try:
        encoder = VideoEncoder(shipped(), clip_info(16, 16), load("random-access-8"), intra_period=16)
        list(encoder.encode(frames(), Constant(10.0), sink, Late()))
    finally:
        threads.set_count(before)
    assert encoder.audio_bytes > 500
    return sink.getvalue()


def test_where_sound_stands_in_a_file_does_not_depend_on_the_threads():
    assert late_sound(1) == late_sound(2) == late_sound(5)


def test_sound_stays_with_the_picture(tmp_path):
    path = make(tmp_path / "in.mp4", codec="libx264", audio="aac", count=25)
    copied(path, tmp_path / "out.mp4")

    def lead(file):
        with av.open(str(file)) as container:
            found = {}
            for packet in container.demux():
                if packet.size and packet.pts is not None:
                    at = packet.pts * packet.time_base
                    found[packet.stream.type] = min(found.get(packet.stream.type, at), at)
        return found["audio"] - found["video"]

    assert lead(path) == lead(tmp_path / "out.mp4")


def test_an_mp4_in_a_pipe_has_the_times_of_one_in_a_file(tmp_path):
    path, piped = make(tmp_path / "in.mp4", codec="libx264", audio="aac", count=25), io.BytesIO()
    copied(path, tmp_path / "out.mp4")
    copied(path, piped, form="mp4")

    def times(file):
        with av.open(file) as container:
            return sorted((p.stream.type, p.pts * p.time_base) for p in container.demux() if p.size)

    assert times(io.BytesIO(piped.getvalue())) == times(str(tmp_path / "out.mp4"))


def test_several_audio_streams_pass(tmp_path):
    path = make(tmp_path / "one.mkv", audio="flac", count=25)
    with av.open(str(path)) as source, av.open(str(tmp_path / "two.mkv"), "w") as target:
        inputs = [source.streams.video[0], source.streams.audio[0], source.streams.audio[0]]
        if not hasattr(target, "add_stream_from_template"):
            pytest.skip("an old PyAV")
        outputs = [target.add_stream_from_template(stream, opaque=True) for stream in inputs]
        for packet in source.demux():
            if packet.size:
                for stream in outputs[:1] if packet.stream.type == "video" else outputs[1:]:
                    copy = av.Packet(bytes(packet))
                    copy.pts, copy.dts, copy.duration = packet.pts, packet.dts, packet.duration
                    copy.time_base, copy.stream, copy.is_keyframe = packet.time_base, stream, packet.is_keyframe
                    target.mux(copy)
    copied(tmp_path / "two.mkv", tmp_path / "out.mkv")
    found = audio_of(tmp_path / "out.mkv")
    assert len(found) == 2 and found == audio_of(tmp_path / "two.mkv")


def test_audio_comes_along_with_the_frames_also_through_a_pipe(tmp_path):
    source = make(tmp_path / "src.mkv", audio="flac", count=100)
    copied(source, tmp_path / "in.mkv")  # interleaved by the muxer
    with (tmp_path / "in.mkv").open("rb") as stream:
        groups = copied(Pipe(stream), tmp_path / "out.mkv")
    assert sum(map(bool, groups)) > 20
    assert audio_of(tmp_path / "out.mkv") == audio_of(source)


def test_a_part_of_a_clip_takes_the_sound_of_that_part(tmp_path):
    path = make(tmp_path / "in.mp4", codec="libx264", audio="aac", count=75)
    group = [packet for part in copied(path, tmp_path / "out.mp4", start=1, frames=25) for packet in part]
    assert -1024 < group[0].pts <= 0 and 47000 < group[-1].pts + group[-1].duration <= 48000 + 1024
    with open_video(path, start=1, frames=25) as clip:
        assert clip.audio is None


def test_forms_that_cannot_hold_the_audio_say_so(tmp_path):
    path = make(tmp_path / "in.mp4", codec="libx264", audio="aac", count=3)
    with pytest.raises(UsageError, match="aac"):
        copied(path, tmp_path / "out.webm")
    with open_video(path, audio=True) as clip:
        kind = Clip(clip.width, clip.height, clip.rate, clip.ticks, clip.colour)
        with open_output(tmp_path / "out.y4m", None, kind, audio=clip.audio.description) as sink:
            sink.write(*next(clip.frames()))
            sink.write_audio(clip.audio.take())
        assert any("no audio" in note for note in sink.notes)
    assert {file.name for file in tmp_path.iterdir()} == {"in.mp4", "out.y4m"}


@pytest.mark.parametrize("template", [b"", b"nonsense" * 20])
def test_a_damaged_template_is_corrupt(tmp_path, template):
    description = AudioDescription((AudioStream("aac", 48000, 2, Fraction(1, 48000)),), template)
    height, width = smooth_planes(34, 18)[0].shape
    with open_video(make(tmp_path / "in.mkv")) as clip:
        kind = Clip(width, height, clip.rate, clip.ticks, clip.colour)
    with pytest.raises(CorruptStreamError):
        open_output(tmp_path / "out.mp4", None, kind, audio=description)
    assert not (tmp_path / "out.mp4").exists() and len(list(tmp_path.iterdir())) == 1
