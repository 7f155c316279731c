"""The codec of few indices: exact from bytes to pixels, alike in any parts, dialled at both ends; damage is an error."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from damage import check_refused
from fsqs import CONFIG, write_model
from generatives import picture
from hypothesis import given, settings
from hypothesis import strategies as st

import calotype
from calotype.codecs import container, fsq
from calotype.codecs.fsq import FsqCodec
from calotype.codecs.registry import open_model, open_stream
from calotype.errors import CorruptStreamError, DesyncError, LimitError, ModelError, UsageError
from calotype.models import modelfile
from calotype.models.fsq.bundle import FsqBundle
from calotype.models.fsq.net import FsqNet, Indices


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "tiny.safetensors")


@pytest.fixture(scope="module")
def codec(model: Path) -> FsqCodec:
    return open_model(model)


@pytest.fixture(scope="module")
def small(codec: FsqCodec) -> bytes:
    return codec.encode(picture(70, 90), 60).data


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 100), st.integers(1, 100), st.integers(0, 1000), st.integers(0, 99))
def test_the_encoders_reconstruction_is_the_decoders_at_any_size_and_quality(
    model: Path, height: int, width: int, deci: int, seed: int
) -> None:
    pixels = picture(height, width, seed)
    encoded = open_model(model).encode(pixels, deci / 10, b"profile", reconstruct=True)
    stream, codec = open_stream(encoded.data, model=model)
    decoded = codec.decode(stream)
    assert np.array_equal(decoded.pixels, encoded.reconstruction)
    assert decoded.pixels.shape == pixels.shape and decoded.icc == b"profile" and encoded.quality == deci / 10
    assert abs(8 * len(encoded.data) - encoded.estimated_bits) <= max(0.01 * encoded.estimated_bits, 8 * 64 + 8 * 28)


def test_parts_show_no_seam_in_what_is_decoded(codec: FsqCodec, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = container.read(codec.encode(picture(150, 420), 100).data)
    whole = codec.decode(stream).pixels
    monkeypatch.setattr(fsq, "PART", 2)
    assert np.array_equal(codec.decode(stream).pixels, whole)


def test_an_encoder_that_works_in_parts_finds_the_same_indices(codec: FsqCodec, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = picture(150, 500)
    whole = codec.analyse(pixels, 50)
    monkeypatch.setattr(fsq, "PART", 3)
    parts = codec.analyse(pixels, 50)
    # floats of other shapes round otherwise, so one at a boundary may differ
    assert all((a != b).mean() < 0.01 and a.any() for a, b in zip(whole, parts, strict=True))


def test_what_is_decoded_is_what_was_trained_but_for_rounding(codec: FsqCodec, model: Path) -> None:
    torch.manual_seed(1)
    net = FsqNet(CONFIG)
    with torch.no_grad():
        net.decoder.weights[-1] *= 5
        indices = codec.analyse(picture(64, 96), 50)
        floats = Indices(*(torch.from_numpy(part)[None].float() for part in indices))
        expected = net.decode(floats, torch.tensor([5]))[0].permute(1, 2, 0).clamp(0, 1) * 255
    shown = codec.decode(container.read(codec.encode(picture(64, 96), 60).data)).pixels
    assert CONFIG.counted(600) == 5 and 5 < shown.std()
    assert np.abs(shown - expected.numpy()).mean() < 1


def test_decoding_loads_no_torch_and_is_the_same_there(model: Path, small: bytes, codec: FsqCodec, tmp_path: Path) -> None:
    (tmp_path / "a.calo").write_bytes(small)
    program = (
        "import sys, hashlib, calotype; p = calotype.decode(open(sys.argv[1], 'rb').read(), model=sys.argv[2]);"
        "print('torch' in sys.modules, hashlib.sha256(p.tobytes()).hexdigest())"
    )
    # another number of threads, and no vector unit beyond the least, for numpy's and OpenBLAS's kernels
    environment = os.environ | {"OMP_NUM_THREADS": "2", "OPENBLAS_CORETYPE": "Prescott", "NPY_DISABLE_CPU_FEATURES": "AVX2"}
    arguments = [sys.executable, "-c", program, str(tmp_path / "a.calo"), str(model)]
    found = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=True).stdout.split()
    import hashlib

    assert found == ["False", hashlib.sha256(codec.decode(container.read(small)).pixels.tobytes()).hexdigest()]


def test_files_grow_with_the_dial_and_each_channel_is_a_step_of_it(codec: FsqCodec) -> None:
    pixels = picture(192, 256)
    counts = [CONFIG.counted(deci) for deci in range(0, 1001, 10)]
    assert counts == sorted(counts) and sorted(set(counts)) == list(range(2, CONFIG.channels + 1))
    sizes = [len(codec.encode(pixels, quality).data) for quality in range(0, 101, 10)]
    assert sizes == sorted(sizes) and sizes[-1] > 2 * sizes[0]


def test_an_analysis_serves_every_quality(codec: FsqCodec) -> None:
    pixels = picture(64, 64)
    found = codec.analyse(pixels, 0)
    for quality in (0, 50, 100):
        assert codec.encode(pixels, quality, analysis=found).data == codec.encode(pixels, quality).data


def test_targets_of_size_are_met_and_one_of_psnr_is_refused(model: Path) -> None:
    pixels = picture(192, 256)
    sizes = [len(calotype.encode(pixels, model=model, quality=q)) for q in (0, 100)]
    for size in (sizes[0] + 20, sum(sizes) // 2, sizes[1]):
        assert len(calotype.encode(pixels, model=model, size=size)) <= size
    with pytest.raises(UsageError, match="size"):
        calotype.encode(pixels, model=model, size=sizes[0] - 1)
    with pytest.raises(UsageError, match="PSNR"):
        calotype.encode(pixels, model=model, psnr=30)


def test_every_cut_and_every_flipped_byte_is_a_typed_error(model: Path, small: bytes) -> None:
    check_refused(small, model=model)


def test_other_symbols_under_right_checksums_are_a_desync_or_corrupt(codec: FsqCodec, small: bytes) -> None:
    stream = container.read(small)
    (payload,) = stream.payloads(container.TILE)
    for at in range(len(payload)):
        other = bytes(payload[:at]) + bytes([payload[at] ^ 16]) + bytes(payload[at + 1 :])
        changed = container.write(stream.header, [container.Chunk(container.TILE, other)])
        with pytest.raises((CorruptStreamError, DesyncError)):
            codec.decode(container.read(changed))


def test_a_header_that_claims_a_larger_picture_is_refused_before_it_is_made(model: Path, small: bytes) -> None:
    stream = container.read(small)
    for sides, error in (((96, 4000), CorruptStreamError), ((1 << 16, 1 << 16), LimitError)):
        data = container.write(replace(stream.header, height=sides[0], width=sides[1]), stream.chunks)
        with pytest.raises(error):
            calotype.decode(data, model=model)


def test_chunks_and_parameters_that_no_encoder_writes_are_corrupt(model: Path, small: bytes) -> None:
    stream = container.read(small)
    (payload,) = stream.payloads(container.TILE)
    params = dict(stream.header.params)
    changed = [
        (stream.header, []),
        (stream.header, [payload, payload]),
        (stream.header, [payload[:4]]),
        *((stream.header, [bytes(payload[:4]) + bytes([count]) + bytes(payload[5:])]) for count in (0, 1, 8, 255)),
        *((replace(stream.header, params=params | more), [payload]) for more in ({"tile_width": 64}, {"scale": 2})),
    ]
    for header, payloads in changed:
        data = container.write(header, [container.Chunk(container.TILE, p) for p in payloads])
        with pytest.raises(CorruptStreamError):
            calotype.decode(data, model=model)


def test_what_the_codec_lacks_is_a_usage_error(model: Path) -> None:
    lacking = ({"roi": np.zeros((8, 8), np.uint8)}, {"effort": 1}, {"realism": 0.5}, {"quality": 101}, {"minutes": 1})
    for options in lacking:
        with pytest.raises(UsageError):
            calotype.encode(picture(8, 8), model=model, **options)


def test_a_model_file_that_is_not_whole_is_refused(model: Path, tmp_path: Path) -> None:
    info, arrays, _ = modelfile.read(model)
    first, large = "decoder.0.weights", np.full_like(arrays["decoder.0.weights"], 5000)
    for name, changed, config in (
        ("a", {k: v for k, v in arrays.items() if k != first}, info.config),
        ("b", arrays | {first: arrays[first][:-1]}, info.config),
        ("c", arrays | {first: large}, info.config),
        ("d", arrays | {"maps": arrays["maps"][1:]}, info.config),
        ("e", arrays, info.config | {"depth": 3}),
        ("f", {k: v for k, v in arrays.items() if k != "encoder.enter.bias"}, info.config),
    ):
        modelfile.write(path := tmp_path / f"{name}.safetensors", "tiny", "fsq", config, {}, changed)
        with pytest.raises(ModelError):
            FsqBundle.read(path).encoder  # noqa: B018 (weights are looked at when they are asked for)
