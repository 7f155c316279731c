"""The lossless codec with a network of its own: every pixel comes back, and damage is said to be, never shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from exact import decode, picture
from hypothesis import given, settings
from hypothesis import strategies as st

from calotype.codecs import bitplane, bitplanefitting, container
from calotype.codecs.bitplane import BitplaneCodec
from calotype.codecs.registry import open_stream
from calotype.errors import CalotypeError, CorruptStreamError, DesyncError, LimitError, ModelError, UsageError
from calotype.models.neural.bitplane import BitNet, Plan
from calotype.models.neural.stack import Layer


def some_net(samples: np.ndarray, depth: int, seed: int = 0, top: int = 60) -> BitNet:
    """One that was not fitted to anything."""
    rng, channels = np.random.default_rng(seed), samples.shape[2]
    plan = Plan.choose(*samples.shape[:2])

    def layers(shapes: list) -> list[Layer]:
        return [Layer(s, 6, rng.integers(-top, top + 1, (s.rows, s.columns)), rng.integers(-99, 99, s.rows)) for s in shapes]

    return BitNet(plan, depth, layers(plan.trunk(channels)), [layers(plan.head(channels, depth)) for _ in range(channels)])


@pytest.fixture
def unfitted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bitplanefitting, "fit", lambda samples, depth, *_: some_net(samples, depth))


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 20), st.integers(1, 20), st.sampled_from((1, 3)), st.sampled_from((np.uint8, np.uint16)), st.integers(0, 99)
)  # fmt: skip
def test_a_picture_of_any_size_kind_and_depth_comes_back_by_any_network(
    h: int, w: int, planes: int, dtype: type, seed: int
) -> None:
    pixels = picture(h, w, planes, dtype, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bitplanefitting, "fit", lambda samples, depth, *_: some_net(samples, depth, seed, 4095))
        back = decode(BitplaneCodec().encode(pixels).data)
    assert back.dtype == pixels.dtype and np.array_equal(back, pixels)


@pytest.mark.parametrize(("planes", "dtype"), [(3, np.uint8), (1, np.uint8), (1, np.uint16)])
def test_a_fitted_picture_comes_back_and_the_fit_makes_it_smaller(
    planes: int, dtype: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bitplanefitting, "BITS", 1024)
    monkeypatch.setattr(bitplanefitting, "STEPS", (1, 90))
    pixels = picture(16, 24, planes, dtype)
    first, fitted = (BitplaneCodec(effort=effort).encode(pixels, b"profile") for effort in (0, 1))
    for encoded in (first, fitted):
        stream, codec = open_stream(encoded.data)
        decoded = codec.decode(stream)
        assert np.array_equal(decoded.pixels, pixels) and decoded.icc == b"profile"
    bits = [bitplane.split(container.read(e.data).payloads(container.TILE)[0])[3] for e in (first, fitted)]
    assert len(bits[1]) < len(bits[0])


def test_what_a_strip_is_changes_no_byte(unfitted: None, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = picture(11, 9)
    data = BitplaneCodec().encode(pixels).data
    monkeypatch.setattr(bitplane, "STRIP", 20)
    assert BitplaneCodec().encode(pixels).data == data and np.array_equal(decode(data), pixels)


def test_the_fit_sees_what_the_integers_see() -> None:
    import torch

    samples = picture(9, 14).astype(np.int32)
    fit = bitplanefitting._Fit(samples, 8, "cpu")
    net = BitNet(fit.plan, 8, fit.nets[0].layers(), [head.layers() for head in fit.nets[1:]])
    expected, bits = [], []
    places = net.places(9, 14, slice(0, 9))
    for bit in range(8):
        for channel in range(3):
            known = samples >> bit + 1 << bit + 1
            known[..., :channel] = samples[..., :channel] >> bit << bit
            logit = net.logits(known, slice(0, 9), places, channel, bit) / 256
            sign = np.where(samples[..., channel] >> bit & 1, -logit, logit)
            expected.append(np.logaddexp(0, sign).sum() / np.log(2))
    with torch.no_grad():
        bits = float(fit.bits(torch.arange(9 * 14))) * samples.size
    assert abs(sum(expected) - bits) < 0.01 * bits


def test_ctrl_c_writes_what_the_fit_has(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(state: object) -> None:
        raise KeyboardInterrupt

    pixels = picture(8, 8)
    assert np.array_equal(decode(BitplaneCodec(effort=9).encode(pixels, report=stop).data), pixels)


def test_a_fit_says_how_far_it_is_and_ends_with_its_minutes() -> None:
    seen = []
    BitplaneCodec(minutes=0.03).encode(picture(8, 8), report=seen.append)
    assert seen and seen[-1].done == seen[-1].total and all(state.left >= 0 for state in seen)
    assert seen[-1].left <= 0.001 * seen[-1].seconds
    assert all(a.done <= b.done for a, b in zip(seen, seen[1:], strict=False)) and all(s.bpp > 0 and s.db is None for s in seen)


def test_every_cut_and_every_flipped_byte_is_a_typed_error(unfitted: None) -> None:
    data = BitplaneCodec().encode(picture(3, 4, 1)).data
    for length in range(len(data)):
        with pytest.raises(CorruptStreamError):
            decode(data[:length])
    for at in range(len(data)):
        with pytest.raises(CalotypeError):
            decode(data[:at] + bytes([data[at] ^ 0x41]) + data[at + 1 :])


def test_other_bytes_under_right_checksums_are_a_desync_or_corrupt(unfitted: None) -> None:
    stream = container.read(BitplaneCodec().encode(picture(3, 4, 1)).data)
    (payload,) = stream.payloads(container.TILE)
    rest = bitplane.split(payload)[3]
    free = len(payload) - len(rest) - 1  # the range coder's last byte: several say the same
    for at in (at for at in range(len(payload)) if at != free):
        other = bytes(payload[:at]) + bytes([payload[at] ^ 1]) + bytes(payload[at + 1 :])
        with pytest.raises((DesyncError, CorruptStreamError)):
            decode(container.write(stream.header, [container.Chunk(container.TILE, other)]))


def test_another_network_parameter_size_or_chunk_is_refused(unfitted: None) -> None:
    stream = container.read(BitplaneCodec().encode(picture(9, 9)).data)
    for changes, error in (
        ({"model": "bitplane.2"}, ModelError),
        ({"model_hash": bytes(8)}, ModelError),
        ({"params": {"quality_deci": 5}}, CorruptStreamError),
        ({"params": {"tile_height": 3}}, CorruptStreamError),
        ({"colour": container.Colour(depth=10)}, container.UnsupportedError),
        ({"colour": container.Colour(depth=16)}, CorruptStreamError),
        ({"width": 1, "height": 2}, CorruptStreamError),
        ({"width": 5000, "height": 5000}, LimitError),
    ):
        with pytest.raises(error):
            decode(container.write(replace(stream.header, **changes), stream.chunks))
    with pytest.raises(CorruptStreamError):
        decode(container.write(stream.header, stream.chunks * 2))
    with pytest.raises(CorruptStreamError, match="out of range"):
        Plan(8, 1000, 1, 1).checked(9, 9)


def test_a_file_that_lies_about_its_size_is_refused_after_a_few_rows(unfitted: None, monkeypatch: pytest.MonkeyPatch) -> None:
    stream, asked = container.read(BitplaneCodec().encode(picture(2, 2)).data), []
    real = BitNet.logits
    monkeypatch.setattr(BitNet, "logits", lambda net, known, rows, *rest: asked.append(rows) or real(net, known, rows, *rest))
    with pytest.raises(CorruptStreamError, match="ends before"):
        decode(container.write(replace(stream.header, width=4096, height=4096), stream.chunks))
    assert len(asked) < 20  # of 24576


def test_the_format_page_says_the_hash_of_the_rules(unfitted: None) -> None:
    page = (Path(__file__).parents[2] / "docs" / "FORMAT.md").read_text("utf-8")
    header = container.read(BitplaneCodec().encode(picture(2, 2)).data).header
    assert f"`{header.model_hash.hex(' ')}`" in page and f"`{header.model}`" in page


def test_what_is_no_picture_or_setting_is_refused() -> None:
    for pixels in (np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4), np.uint8), np.zeros((4, 4), np.int32)):
        with pytest.raises(UsageError):
            BitplaneCodec().encode(pixels)
    with pytest.raises(LimitError):
        BitplaneCodec().encode(np.zeros((4097, 4096), np.uint8))
    for wrong in ({"effort": 10}, {"minutes": 0.0}):
        with pytest.raises(UsageError):
            BitplaneCodec(**wrong)
