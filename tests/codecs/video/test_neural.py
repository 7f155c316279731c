"""Clips that carry their own networks: what comes back, from where, and what damage does."""

from __future__ import annotations

import io
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from neuralclips import NETS, coded, source

import calotype
from calotype.codecs import container
from calotype.codecs.container import Chunk
from calotype.codecs.header import UnsupportedError
from calotype.codecs.limits import Limits
from calotype.codecs.neural import nets
from calotype.codecs.neural.codec import NeuralVideo
from calotype.codecs.neural.encoder import Settings, encode_clip
from calotype.codecs.neural.fitting import first_symbols
from calotype.codecs.neural.grouphead import GROUP, Clock, GroupHead, decode_head, encode_head
from calotype.codecs.neural.nirvana import Nirvana
from calotype.codecs.overfit import State
from calotype.codecs.registry import open_stream
from calotype.errors import CalotypeError, CorruptStreamError, DesyncError, LimitError, ModelError, UsageError

COUNT = 10  # nirvana: a key group and two that follow, the last of two frames


@cache
def file(net: str) -> bytes:
    return coded(net, COUNT).data


def frames(data: bytes, **options: object) -> list[tuple[int, int, bytes]]:
    return [(f.number, f.ticks, b"".join(p.tobytes() for p in f.planes)) for f in calotype.open(io.BytesIO(data), **options)]


@pytest.fixture
def short_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every other group of NIRVANA's is a key group."""
    monkeypatch.setattr(Nirvana, "keys", 2)


@pytest.mark.parametrize("net", NETS)
def test_the_decoder_gives_the_encoders_pictures_and_times(net) -> None:
    kept: dict[int, bytes] = {}
    made = encode_clip(
        source(COUNT),
        Settings(net, effort=0),
        pictures=lambda k, planes: kept.update({k: b"".join(p.tobytes() for p in planes)}),
    )
    assert frames(made.data) == [(k, k, kept[k]) for k in range(COUNT)]
    assert made.frames == COUNT and len(made.groups) == {"hnerv.1": 1, "nirvana.1": 3}[net]


@pytest.mark.parametrize("net", NETS)
def test_bytes_of_groups_are_within_a_hundredth_or_16_bytes_of_the_estimate(net) -> None:
    made = coded(net, 4, quality=100.0)
    assert abs(made.bits / 8 - sum(made.groups)) < max(0.01 * sum(made.groups), 16)


@pytest.mark.parametrize("net", NETS)
def test_more_effort_and_more_quality_give_better_pictures(net) -> None:
    low, high = coded(net, 4, effort=0), coded(net, 4, effort=3, quality=90.0)
    assert np.mean(high.psnr) > np.mean(low.psnr) + 1


def test_a_network_that_starts_at_the_last_one_is_as_good_in_half_the_steps_and_bytes() -> None:
    made = coded("nirvana.1", 8, effort=2)  # with more, the margin depends on how floats are added
    assert made.groups[1] < 0.6 * made.groups[0]
    assert np.mean(made.psnr[4:]) > np.mean(made.psnr[:4]) - 1


@pytest.mark.parametrize("number", [0, 3, 4, 8, 9, 11])
def test_frames_are_found_from_the_key_group_before_them(number, short_runs) -> None:
    data = coded("nirvana.1", 12).data
    whole = frames(data)
    with calotype.open(io.BytesIO(data)) as video:
        list(zip(video, range(5), strict=False))
        video.seek(number)
        assert next(iter(video)).planes[0].tobytes() == whole[number][2][: 18 * 27]
        video.seek_time(number)
        assert [f.number for f in video] == list(range(number, 12))
        video.seek(number)
        next(iter(video))
        with pytest.raises(UsageError):
            video.seek(12)
        with pytest.raises(UsageError):
            video.seek_time(12)
        assert [f.number for f in video] == list(range(number + 1, 12))  # where it was


def test_key_groups_do_not_depend_on_what_precedes_them(short_runs) -> None:
    data = coded("nirvana.1", 16).data
    stream = container.read(data)
    second = [c for c in stream.chunks if c.kind == GROUP][2:]
    alone = container.write(replace(stream.header, frames=8), second)
    assert [f[2] for f in frames(alone)] == [f[2] for f in frames(data)][8:]


def test_a_group_that_follows_none_is_refused() -> None:
    stream = container.read(file("nirvana.1"))
    alone = container.write(replace(stream.header, frames=6), stream.chunks[1:])
    with pytest.raises(CorruptStreamError, match="follows none"):
        frames(alone)


def test_uneven_times_come_back() -> None:
    times = [0, 40, 81, 120, 500, 540, 545, 600, 640, 680]
    data = coded("nirvana.1", COUNT, times).data
    assert [f[1] for f in frames(data)] == times
    with calotype.open(io.BytesIO(data)) as video:
        video.seek_time(499)
        assert next(iter(video)).number == 3
        video.seek_time(500)
        assert next(iter(video)).number == 4


@settings(max_examples=50, deadline=None)
@given(
    st.binary(min_size=4, max_size=4), st.booleans(), st.lists(st.integers(-1000, 1000), min_size=1, max_size=9), st.binary()
)
def test_heads_come_back_from_their_bytes(hash_, key, delays, rest) -> None:
    head = GroupHead(hash_, key, tuple(delays))
    back, data = decode_head(memoryview(encode_head(head) + rest))
    assert back == head and bytes(data) == rest


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 90), min_size=1, max_size=12), st.integers(1, 5))
def test_clocks_of_writer_and_reader_agree(steps, size) -> None:
    header = container.read(file("nirvana.1")).header
    times = np.cumsum([0, *steps]).tolist()
    writer, reader = Clock(header), Clock(header)
    for k in range(0, len(times), size):
        head = GroupHead(bytes(4), True, writer.delays(times[k : k + size]))
        writer.times(head)
        assert reader.times(head) == times[k : k + size]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(NETS), st.data())
def test_damage_is_a_typed_error_and_never_another_picture(net, data) -> None:
    whole = file(net)
    at, bit = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 7))
    broken = bytearray(whole)
    broken[at] ^= 1 << bit
    cut = data.draw(st.booleans())
    with pytest.raises(CalotypeError):
        frames(whole[:at] if cut else bytes(broken))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(NETS), st.data())
def test_a_network_of_other_bytes_with_right_checksums_is_a_typed_error(net, data) -> None:
    stream = container.read(file(net))
    payload = bytearray(stream.chunks[0].payload)
    at = data.draw(st.integers(0, len(payload) - 1))
    payload[at] ^= 1 << data.draw(st.integers(0, 7))
    forged = container.write(stream.header, [Chunk(GROUP, bytes(payload)), *stream.chunks[1:]])
    limits = Limits(max_bytes=1 << 24)
    video = NeuralVideo(io.BytesIO(forged), limits)
    if at == 4:  # the flags: what they say may be as good
        with pytest.raises(CalotypeError):
            list(video)
        return
    with pytest.raises((CorruptStreamError, DesyncError, LimitError)):
        list(video)


@pytest.mark.parametrize("net", NETS)
def test_the_groups_before_a_cut_are_given_when_asked_for(net) -> None:
    data = file(net)
    last = container.read(data).chunks[-1]
    cut = data[: len(data) - 20 - len(last.payload) // 2]
    with calotype.open(io.BytesIO(cut), allow_partial=True) as video:
        given_frames = [f.number for f in video]
        assert given_frames == list(range({"hnerv.1": 0, "nirvana.1": 8}[net])) and "cut" in video.damage


@pytest.mark.parametrize("net", NETS)
def test_what_a_file_says_is_shown_without_decoding(net) -> None:
    said = calotype.info(file(net))
    assert said["codec"] == "inr-video" and said["model"] == net and said["clip"]["frames"] == COUNT
    kinds = {name: kind["frames"] for name, kind in said["clip"]["kinds"].items()}
    assert kinds == {"hnerv.1": {"key": 10}, "nirvana.1": {"key": 4, "following": 6}}[net]


@pytest.mark.parametrize("net", NETS)
def test_digests_are_of_all_symbols_and_samples(net) -> None:
    found = [open_stream(data)[1].digests(open_stream(data)[0]) for data in (file(net), file(net), coded(net, 9).data)]
    assert found[0] == found[1] and found[0]["pixels"] != found[2]["pixels"] and found[0]["symbols"] != found[2]["symbols"]


def test_a_wrong_symbol_hash_is_named_a_desync() -> None:
    stream = container.read(file("hnerv.1"))
    payload = bytearray(stream.chunks[0].payload)
    payload[0] ^= 1
    with pytest.raises(DesyncError):
        frames(container.write(stream.header, [Chunk(GROUP, bytes(payload))]))


def test_files_of_unknown_networks_chunks_and_other_headers_are_refused() -> None:
    stream = container.read(file("hnerv.1"))
    with pytest.raises(ModelError):
        frames(container.write(replace(stream.header, model="hnerv.9"), stream.chunks))
    with pytest.raises(UnsupportedError):
        frames(container.write(stream.header, [*stream.chunks, Chunk(b"Newc", b"")]))
    assert len(frames(container.write(stream.header, [*stream.chunks, Chunk(b"newc", b"")]))) == COUNT
    with pytest.raises(CorruptStreamError):
        frames(container.write(replace(stream.header, frames=9), stream.chunks))
    with pytest.raises(CorruptStreamError):
        frames(container.write(replace(stream.header, params={"tile_width": 64}), stream.chunks))


def test_limits_hold_before_a_network_is_run() -> None:
    with pytest.raises(LimitError):
        list(NeuralVideo(io.BytesIO(file("hnerv.1")), Limits(max_bytes=3000)))
    with pytest.raises(LimitError):
        NeuralVideo(io.BytesIO(file("hnerv.1")), Limits(max_frames=9))
    with pytest.raises(LimitError):
        encode_clip(source(4), Settings(effort=0), Limits(max_bytes=2000))


def test_pipes_are_read_front_to_back_and_not_from_elsewhere() -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    with calotype.open(Pipe(file("nirvana.1"))) as video:
        assert len(list(video)) == COUNT
        with pytest.raises(UsageError, match="pipe"):
            video.seek(2)


@pytest.mark.parametrize("settings_", [{"quality": 101}, {"effort": 10}, {"minutes": 0.0}, {"minutes": 1e6}])
def test_settings_without_meaning_are_usage_errors(settings_) -> None:
    with pytest.raises(UsageError):
        Settings(**settings_)


def test_minutes_end_a_fit_and_are_shared_by_its_groups() -> None:
    told: list[State] = []
    made = encode_clip(source(8), Settings("nirvana.1", minutes=0.01), report=told.append)
    assert made.frames == 8 and made.steps == len(told) < nets.net("nirvana.1").steps(9, 8, True)


def test_an_interrupt_ends_the_clip_with_the_group_being_fitted() -> None:
    def stop(state: State) -> None:
        if state.done > 500:
            raise KeyboardInterrupt

    made = encode_clip(source(12), Settings("nirvana.1", effort=0), report=stop)
    assert 4 <= made.frames < 12 and any("ended" in note for note in made.notes)
    assert len(frames(made.data)) == made.frames


def test_a_further_network_is_one_entry(monkeypatch) -> None:
    monkeypatch.setitem(nets.NETS, "plain.1", "test_neural:Plain")
    made = coded("plain.1", 5)
    assert len(made.groups) == 3 and frames(made.data)[4][2][0] == 4 and set(frames(made.data)[4][2]) == {4}


class Plain:
    """Groups of two frames, each of one value."""

    frames, keys, following = 2, 1, 1.0

    def steps(self, effort, count, key):
        return 1

    def encode_group(self, group, place, task, before):
        return self.decode_group(memoryview(bytes([4 * task.run])), len(group), place, None)

    def decode_group(self, data, count, place, before):
        height, width = place.height, place.width
        half = (height + 1) // 2, (width + 1) // 2
        planes = tuple(np.full(shape, data[0], np.uint8) for shape in ((height, width), half, half))
        return nets.Group(bytes(data), [np.array([data[0]], np.int32)], [planes] * count)


def test_grids_begin_as_principal_components() -> None:
    cells = np.random.default_rng(0).integers(0, 255, (3, 16, 16, 6), np.uint8)
    cells[..., :8, :] //= 4
    start = first_symbols(cells, 8, 4)
    assert start.shape == (3, 4, 2, 2) and np.isfinite(start).all()
    dark, bright = start[:, 0, :, 0], start[:, 0, :, 1]
    assert dark.max() < bright.min() or bright.max() < dark.min()
