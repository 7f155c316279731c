"""Coded noise of generative pictures: read to the bit, drawn as it should be, of the bits asked for; damage is an error."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from damage import check_refused
from generatives import picture, write_model
from hypothesis import given, settings
from hypothesis import strategies as st

import calotype
from calotype.codecs import container, generative, noisepath
from calotype.codecs.header import encode_varint
from calotype.codecs.noisepath import PATH, Step
from calotype.codecs.registry import open_model, open_stream
from calotype.entropy.rangecoder import INTEGER_CONTEXTS, BinaryEncoder
from calotype.errors import CorruptStreamError, DesyncError, UsageError
from calotype.models.generative import reverse

REFINE = 0.05


@pytest.fixture(scope="module", autouse=True)
def quick():
    """Few candidates: how many an encoder tries changes nothing that a decoder does."""
    before, reverse.CANDIDATES = reverse.CANDIDATES, 256
    yield before
    reverse.CANDIDATES = before


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "tiny.safetensors")


@pytest.fixture(scope="module")
def small(model: Path, quick: int) -> bytes:
    """A stream with a path."""
    return open_model(model, refine=REFINE).encode(picture(70, 90), 30).data


def stated(steps: list[tuple[int, int]], indices: list[int], digest: bytes | None = None) -> bytes:
    """The payload of a path, whatever it says: (time, blocks) of each step."""
    encoder = BinaryEncoder(INTEGER_CONTEXTS)
    encoder.encode_integers(np.array(indices, np.int64), np.zeros(len(indices), np.int64))
    head = b"".join(encode_varint(time) + encode_varint(blocks) for time, blocks in steps)
    symbols, at = [], 0
    for time, blocks in steps:
        symbols += [np.array([time], np.int32), np.array(indices[at : at + blocks], np.uint32).view(np.int32)]
        at += blocks
    own = container.symbol_hash(symbols)
    return (digest or own) + encode_varint(len(steps)) + head + encoder.finish()


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 100), st.integers(1, 100), st.integers(0, 1000), st.integers(0, 99), st.floats(0.001, 0.3))
def test_the_encoders_reconstruction_is_the_decoders_and_so_is_its_noise(
    model: Path, height: int, width: int, deci: int, seed: int, refine: float
) -> None:
    pixels, chosen = picture(height, width, seed), []
    codec = open_model(model, refine=refine)
    kept = codec._chosen
    codec._chosen = lambda *given: chosen.append(kept(*given)) or chosen[-1]
    encoded = codec.encode(pixels, deci / 10, reconstruct=True)
    stream, other = open_stream(encoded.data, model=model)
    assert np.array_equal(other.decode(stream).pixels, encoded.reconstruction)
    steps, state, time = chosen[0]
    read = generative.path_of(stream)
    assert [step.time for step in read] == [step.time for step in steps]
    for number, (one, two) in enumerate(zip(read, steps, strict=True)):
        drawn = [reverse.drawn(1, number, step.indices, pixels.size) for step in (one, two)]
        assert np.array_equal(one.indices, two.indices) and np.array_equal(*drawn)
    inner, how = other._inner(stream)
    seed = generative.seed(inner)
    start = generative._start(seed, pixels.shape[:2], how)
    followed = noisepath.follow(read, seed, start, pixels.shape[:2], other._residual(other.decode_exact(stream), how))
    assert np.array_equal(followed[0], state) and followed[1] == time


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_what_is_written_is_read(data) -> None:
    height, width = data.draw(st.integers(1, 200)), data.draw(st.integers(1, 200))
    times = sorted(data.draw(st.sets(st.integers(1, noisepath.UNIT - 1), min_size=1, max_size=64)), reverse=True)
    steps = []
    for time in times:
        blocks = data.draw(st.integers(1, min(reverse.most(3 * height * width), 20)))
        found = data.draw(st.lists(st.integers(0, noisepath.INDEX_MAX), min_size=blocks, max_size=blocks))
        steps.append(Step(time, np.array(found, np.int32)))
    for one, two in zip(noisepath.read(noisepath.write(steps), height, width), steps, strict=True):
        assert one.time == two.time and np.array_equal(one.indices, two.indices)


@pytest.mark.parametrize("net", ["nothing", "all"])
def test_the_state_at_the_end_is_the_photo_in_noise_of_its_time_whatever_the_net_says(net: str, monkeypatch) -> None:
    monkeypatch.setattr(reverse, "CANDIDATES", 1 << 12)
    monkeypatch.setattr(reverse, "KL_BITS", 3)  # which so many candidates reach
    rng = np.random.default_rng(2)
    size = 64, 96
    truth, start = (rng.standard_normal((3, *size)).astype(np.float32) for _ in range(2))
    said = np.zeros_like(truth) if net == "nothing" else 0.9 * truth
    steps, state, time = noisepath.choose(truth, 1500, 4, start, size, lambda state, time: said)
    assert len(steps) == noisepath.STEPS
    signal = float((state * truth).sum() / (truth * truth).sum()) / (1 - time)
    noise = (state - (1 - time) * truth) / time
    assert abs(signal - 1) < 4 * time / (1 - time) / truth.size**0.5
    assert abs(noise.mean()) < 0.03 and abs(noise.var() - 1) < 0.04


def test_a_path_takes_the_bits_asked_for(model: Path, quick: int, monkeypatch) -> None:
    monkeypatch.setattr(reverse, "CANDIDATES", quick)
    pixels = picture(80, 100)
    for refine in (0.05, 0.2):
        codec = open_model(model, refine=refine)
        (payload,) = container.read(codec.encode(pixels, 30).data).payloads(PATH)
        assert 0.8 < 8 * (len(payload) - 17) / (refine * 8000) < 1.25  # without what is stated


def test_a_path_towards_a_photo_leads_nearer_to_it_where_the_net_knows_the_way() -> None:
    rng = np.random.default_rng(3)
    size = 64, 64
    truth = np.repeat(np.repeat(rng.standard_normal((3, 8, 8)), 8, 1), 8, 2).astype(np.float32)
    start = rng.standard_normal((3, *size)).astype(np.float32)

    def net(state: np.ndarray, time: float) -> np.ndarray:
        """The mean of flat cells of variance 1, each seen 64 times."""
        if time == 1:
            return np.zeros_like(state)
        means = (state / (1 - time)).reshape(3, 8, 8, 8, 8).mean((2, 4))
        cells = means * 64 / (64 + (time / (1 - time)) ** 2)
        return np.repeat(np.repeat(cells, 8, 1), 8, 2).astype(np.float32)

    errors = []
    for bits in (100, 400, 800):
        _, state, time = noisepath.choose(truth, bits, 4, start, size, net)
        errors.append(float(np.square(net(state, time) - truth).mean()))
    assert errors[0] > errors[1] > errors[2] and errors[2] < 0.2


def test_the_rest_of_the_way_may_take_several_steps_of_any_realism(model: Path, small: bytes) -> None:
    stream, codec = open_stream(small, model=model)
    shown = [codec.decode(stream, **options).pixels for options in ({}, {"steps": 1}, {"steps": 2}, {"realism": 0.0})]
    assert np.array_equal(shown[0], shown[1])
    assert not np.array_equal(shown[0], shown[2]) and not np.array_equal(shown[0], shown[3])
    without = container.write(stream.header, [c for c in stream.chunks if c.kind != PATH])
    plain = open_stream(without, model=model)[0]
    assert not np.array_equal(codec.decode(plain).pixels, shown[0])
    assert np.array_equal(codec.decode_exact(plain), codec.decode_exact(stream))


def test_what_is_decoded_is_exact_in_every_execution_and_takes_no_float_net(model: Path, small: bytes) -> None:
    found = set()
    for execution in ("reference", "kernel", "float"):
        stream, codec = open_stream(small, model=model, execution=execution)
        codec._made = None
        digests = codec.digests(stream)
        assert digests.keys() == {"symbols", "pixels", "noise"}
        found.add((*digests.values(), *codec.symbol_hashes(stream)))
    assert len(found) == 1


def test_every_cut_and_every_flipped_byte_is_a_typed_error(model: Path, small: bytes) -> None:
    check_refused(small, 5, model=model)


def test_other_bytes_under_right_checksums_are_a_desync_or_corrupt(model: Path, small: bytes) -> None:
    stream, codec = open_stream(small, model=model)
    (payload,) = stream.payloads(PATH)
    assert len(payload) > 20
    for at in range(len(payload)):
        other = bytes(payload[:at]) + bytes([payload[at] ^ 16]) + bytes(payload[at + 1 :])
        changed = container.write(stream.header, [stream.chunks[0], container.Chunk(PATH, other)])
        with pytest.raises((CorruptStreamError, DesyncError)):
            list(codec.symbol_hashes(container.read(changed)))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\0\0\0\0\0",
        stated([(65536, 1)], [3]),
        stated([(0, 1)], [3]),
        stated([(50000, 1), (50000, 1)], [3, 4]),
        stated([(50000, 0)], []),
        stated([(50000, 1 << 28)], [3]),
        stated([(65535 - n, 1) for n in range(65)], [3] * 65),
        stated([(50000, 1)], [1 << 24]),
        stated([(50000, 1)], [3, 4]),
        stated([(50000, 2)], [3, 4])[:-2],
    ],
    ids="empty none late early again blockless many long far more less".split(),
)
def test_a_forged_path_is_corrupt_and_asks_for_no_work(payload: bytes) -> None:
    with pytest.raises(CorruptStreamError):
        noisepath.read(payload, 70, 90)
    with pytest.raises(DesyncError):
        noisepath.read(stated([(50000, 2)], [3, 4], b"abcd"), 70, 90)
    with pytest.raises(CorruptStreamError, match="pixels"):
        noisepath.read(stated([(50000, 1)], [3]), 2049, 2048)


def test_two_paths_one_before_the_tiles_and_one_of_another_codec_are_corrupt(model: Path, small: bytes) -> None:
    stream = container.read(small)
    tile, path = stream.chunks
    for chunks in ([path, tile], [tile, path, path]):
        with pytest.raises(CorruptStreamError):
            calotype.decode(container.write(stream.header, chunks), model=model)
    image = container.read(calotype.encode(picture(40, 40)))
    with pytest.raises(CorruptStreamError):
        calotype.decode(container.write(image.header, [*image.chunks, path]))


def test_a_file_cut_in_its_path_is_shown_without_it(model: Path, small: bytes) -> None:
    stream, codec = open_stream(small[:-20], allow_partial=True, model=model)
    whole = container.read(small)
    plain = replace(whole, chunks=tuple(c for c in whole.chunks if c.kind != PATH))
    assert np.array_equal(codec.decode(stream).pixels, codec.decode(plain).pixels)


def test_bits_that_are_none_and_pictures_too_large_are_a_usage_error(model: Path, monkeypatch) -> None:
    for refine in (-0.1, 2.1):
        with pytest.raises(UsageError, match="refine"):
            calotype.encode(picture(8, 8), model=model, refine=refine)
    with pytest.raises(UsageError, match="generative"):
        calotype.encode(picture(8, 8), refine=0.1)
    with pytest.raises(UsageError):
        calotype.encode(picture(8, 8), lossless=True, refine=0.1)
    monkeypatch.setattr(noisepath, "PIXELS_MAX", 63)
    with pytest.raises(UsageError, match="63 pixels"):
        calotype.encode(picture(8, 8), model=model, refine=0.1)
