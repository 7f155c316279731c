"""The generative codec: exact up to what its net is given, alike in any parts, dialled at both ends; damage is an error."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from damage import check_refused
from generatives import picture, write_model
from hypothesis import given, settings
from hypothesis import strategies as st

import calotype
from calotype.codecs import container, generative
from calotype.codecs.generative import GenerativeCodec
from calotype.codecs.registry import open_model, open_stream
from calotype.errors import CorruptStreamError, DesyncError, ModelError, UsageError
from calotype.models import modelfile
from calotype.models.generative.bundle import GenerativeBundle, with_fidelity
from calotype.models.generative.fidelity import SHAPE, Filters
from calotype.models.generative.net import Setting, enlarge, sampled
from calotype.models.generative.noise import noise


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "tiny.safetensors")


@pytest.fixture(scope="module")
def codec(model: Path) -> GenerativeCodec:
    return open_model(model)


@pytest.fixture(scope="module")
def small(codec: GenerativeCodec) -> bytes:
    """A stream of a small picture, coded at half its size."""
    return codec.encode(picture(70, 90), 30).data


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 100), st.integers(1, 100), st.integers(0, 1000), st.integers(0, 100), st.integers(0, 99))
def test_the_encoders_reconstruction_is_the_decoders_at_any_size_quality_and_realism(
    model: Path, height: int, width: int, deci: int, percent: int, seed: int
) -> None:
    pixels = picture(height, width, seed)
    encoded = open_model(model, realism=percent / 100).encode(pixels, deci / 10, b"profile", reconstruct=True)
    stream, codec = open_stream(encoded.data, model=model)
    decoded = codec.decode(stream)
    assert np.array_equal(decoded.pixels, encoded.reconstruction)
    assert decoded.pixels.shape == pixels.shape and decoded.icc == b"profile"
    assert encoded.quality == deci / 10 and generative.realism_of(stream) == percent / 100
    assert abs(8 * len(encoded.data) - encoded.estimated_bits) <= max(
        0.01 * encoded.estimated_bits, 8 * 64 + 8 * 28
    )  # profile, parameters


@pytest.mark.parametrize(("quality", "steps"), [(10, 1), (30, 1), (60, 1), (10, 3), (60, 2)])
def test_parts_show_no_seam(model: Path, monkeypatch: pytest.MonkeyPatch, quality: float, steps: int) -> None:
    codec = open_model(model)
    stream = container.read(codec.encode(picture(250, 305), quality).data)
    whole = codec.decode(stream, steps=steps).pixels.astype(int)
    monkeypatch.setattr(generative, "PART", 96)
    # a level at most, where floats of other shapes round otherwise
    difference = np.abs(codec.decode(stream, steps=steps).pixels - whole)
    assert difference.max() <= 1 and (difference > 0).mean() < 0.001


def test_a_file_decodes_alike_each_time_and_pictures_have_noise_of_their_own(codec: GenerativeCodec, small: bytes) -> None:
    first, again = (codec.decode(container.read(small)).pixels for _ in range(2))
    assert np.array_equal(first, again)
    assert generative.seed(container.read(small)) != generative.seed(container.read(codec.encode(picture(70, 90, 1), 30).data))


def test_what_the_net_is_given_is_exact_in_every_execution(model: Path, small: bytes) -> None:
    found = {}
    for execution in ("reference", "kernel", "float"):
        stream, codec = open_stream(small, model=model, execution=execution)
        found[execution] = codec.decode_exact(stream), codec.digests(stream)
    shown = [pixels for pixels, _ in found.values()]
    assert shown[0].shape == (35, 45, 3)
    assert all(np.array_equal(shown[0], other) for other in shown[1:])
    assert len({tuple(digests.values()) for _, digests in found.values()}) == 1


def test_realism_is_chosen_when_decoding_and_zero_has_no_noise(codec: GenerativeCodec, small: bytes, monkeypatch) -> None:
    stream = container.read(small)
    real, half, still = (codec.decode(stream, realism=b).pixels for b in (1.0, 0.5, 0.0))
    assert np.array_equal(real, codec.decode(stream).pixels)
    assert not np.array_equal(real, half) and not np.array_equal(half, still)
    monkeypatch.setattr(generative, "seed", lambda stream: 5)
    assert np.array_equal(codec.decode(stream, realism=0.0).pixels, still)
    assert not np.array_equal(codec.decode(stream).pixels, real)


def test_more_steps_are_another_picture_alike_each_time_and_one_is_the_default(codec: GenerativeCodec, small: bytes) -> None:
    stream = container.read(small)
    default, one, two, again = (codec.decode(stream, **options).pixels for options in ({}, {"steps": 1}, *[{"steps": 2}] * 2))
    assert np.array_equal(default, one) and np.array_equal(two, again) and not np.array_equal(one, two)


def test_several_steps_of_a_part_are_those_of_the_net_alone(codec: GenerativeCodec, small: bytes) -> None:
    stream = container.read(small)
    scale, quality = 2, stream.header.params["quality_deci"]
    exact = np.pad(codec.decode_exact(stream), ((0, 5), (0, 3), (0, 0)), mode="edge")
    assert exact.shape == (40, 48, 3)
    m = enlarge(torch.from_numpy(exact).permute(2, 0, 1)[None].float() / 255, scale)
    state = torch.from_numpy(noise(generative.seed(stream), 0, 0, 80, 96))[None]
    with torch.inference_mode():
        made = sampled(codec.bundle.net, m, state, Setting.of(1, scale, quality, 1.0), 3)[0, :, :70, :90]
    shown = (made * 255).round().clamp(0, 255).permute(1, 2, 0).numpy()
    assert np.array_equal(codec.decode(stream, steps=3).pixels, shown)


def test_filters_count_the_more_the_less_real_a_picture_is(codec: GenerativeCodec, model: Path, small: bytes, tmp_path) -> None:
    filters = Filters(np.full(SHAPE, 60, np.int16), np.array([0, 20, 0], np.uint8))
    with_fidelity(model, tmp_path / "filtered.safetensors", filters, {"filters": "even"})
    own = GenerativeCodec(GenerativeBundle.read(tmp_path / "filtered.safetensors"))
    assert all(map(np.array_equal, own.bundle.fidelity, filters)) and own.bundle.hash != codec.bundle.hash
    stream, by = container.read(small), {}
    for beta in (0.0, 0.5, 1.0):
        without, with_ = (c.decode(stream, realism=beta).pixels.astype(int) for c in (codec, own))
        by[beta] = np.abs(with_ - without).mean()
    assert 0.1 * by[0.0] < by[1.0] < 0.35 * by[0.0] < by[0.5] < 0.8 * by[0.0]


@pytest.mark.parametrize("rest", [[0, 0], [0, 101, 0]])
def test_filters_that_are_none_are_a_model_error(model: Path, tmp_path: Path, rest: list[int]) -> None:
    with_fidelity(model, tmp_path / "other.safetensors", Filters(np.zeros(SHAPE, np.int16), np.array(rest, np.uint8)), {})
    with pytest.raises(ModelError, match="filters"):
        GenerativeBundle.read(tmp_path / "other.safetensors")


def test_files_grow_with_the_dial(codec: GenerativeCodec) -> None:
    pixels = np.asarray(picture(192, 256))
    sizes = [len(codec.encode(pixels, quality).data) for quality in (0, 10, 14.9, 15, 30, 44.9, 45, 60, 80, 100)]
    assert sizes == sorted(sizes) and sizes[-1] > 3 * sizes[0]


def test_targets_of_size_are_met_and_one_of_psnr_is_refused(model: Path) -> None:
    pixels = picture(192, 256)
    for size in (400, 900, 1500):
        data = calotype.encode(pixels, model=model, size=size)
        assert 0.75 * size < len(data) <= size  # between two scales of the dial there is nothing
    with pytest.raises(UsageError, match="PSNR"):
        calotype.encode(pixels, model=model, psnr=30)


def test_every_cut_and_every_flipped_byte_is_a_typed_error(model: Path, small: bytes) -> None:
    check_refused(small, 5, model=model)


def test_other_symbols_under_right_checksums_are_a_desync_or_corrupt(codec: GenerativeCodec, small: bytes) -> None:
    stream = container.read(small)
    (payload,) = stream.payloads(container.TILE)
    for at in range(0, len(payload), 4):
        other = bytes(payload[:at]) + bytes([payload[at] ^ 16]) + bytes(payload[at + 1 :])
        changed = container.write(stream.header, [container.Chunk(container.TILE, other)])
        with pytest.raises((CorruptStreamError, DesyncError)):
            codec.decode(container.read(changed))


def test_lost_tiles_are_counted_when_a_cut_file_is_shown(model: Path, codec: GenerativeCodec) -> None:
    codec.image.tile = 128
    try:
        data = codec.encode(picture(300, 300), 60).data
    finally:
        codec.image.tile = 1024
    stream, other = open_stream(data[: int(0.8 * len(data))], allow_partial=True, model=model)
    decoded = other.decode(stream)
    assert decoded.missing > 0 and decoded.pixels.shape == (300, 300, 3)


def test_parameters_that_no_encoder_writes_are_corrupt(model: Path, small: bytes) -> None:
    stream = container.read(small)
    params = dict(stream.header.params)
    for changes in ({"scale": 4}, {"quality_deci": 301}, {"tile_width": 100, "tile_height": 100}):
        header = replace(stream.header, params=params | changes)
        with pytest.raises(CorruptStreamError):
            calotype.decode(container.write(header, stream.chunks), model=model)
    with pytest.raises(CorruptStreamError, match="scale"):  # and these are no parameters of another codec
        image = calotype.encode(picture(40, 40))
        header = container.read(image).header
        calotype.decode(
            container.write(replace(header, params=dict(header.params) | {"scale": 2}), container.read(image).chunks)
        )


def test_what_the_codec_lacks_is_a_usage_error(model: Path, small: bytes) -> None:
    for options in ({"roi": np.zeros((8, 8), np.uint8)}, {"effort": 10}, {"realism": 1.1}, {"quality": 101}, {"minutes": 1}):
        with pytest.raises(UsageError):
            calotype.encode(picture(8, 8), model=model, **options)
    with pytest.raises(UsageError, match="generative"):
        calotype.encode(picture(8, 8), realism=1)
    with pytest.raises(UsageError):
        calotype.decode(calotype.encode(picture(8, 8)), realism=0.5)
    for options in ({"realism": -0.5}, {"steps": 0}, {"steps": 65}):
        with pytest.raises(UsageError):
            calotype.decode(small, model=model, **options)
    with pytest.raises(UsageError, match="leave steps out"):
        calotype.decode(calotype.encode(picture(8, 8)), steps=1)
    stream, codec = open_stream(small, model=model)
    codec.backbone = codec.bundle.net
    with pytest.raises(UsageError, match="backbone"):
        codec.decode(stream, steps=2)


def test_a_model_of_another_image_model_or_without_weights_is_refused(model: Path, tmp_path: Path) -> None:
    info, arrays, _ = modelfile.read(model)
    wrong = arrays | {"image.hash": np.zeros(32, np.uint8)}
    less = {k: v for k, v in arrays.items() if k != "net.last.bias"}
    for name, changed, config in (
        ("a", wrong, info.config),
        ("b", arrays, info.config | {"depth": 3}),
        ("c", less, info.config),
    ):
        modelfile.write(path := tmp_path / f"{name}.safetensors", "tiny", "generative", config, {}, changed)
        with pytest.raises(ModelError):
            GenerativeBundle.read(path).net  # noqa: B018 (weights are looked at when they are asked for)
