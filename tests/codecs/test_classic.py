"""The classic codec: what the encoder reconstructs is what the decoder shows, for every architecture, with random weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import calotype
from calotype.cli.main import main
from calotype.codecs import classic, container
from calotype.codecs.classic import ClassicCodec
from calotype.codecs.container import TILE, Chunk, Colour
from calotype.codecs.header import UnsupportedError
from calotype.codecs.registry import open_model, open_stream
from calotype.codecs.targets import Target, encode_to
from calotype.errors import CorruptStreamError, DesyncError, LimitError, ModelError, UsageError
from calotype.models.classic.architecture import gaussian_level
from calotype.models.classic.bundle import ClassicBundle, write_classic_model
from calotype.models.classic.density import GaussianConditional
from calotype.models.classic.families import ARCHITECTURES, ClassicConfig

NAMES = list(ARCHITECTURES)


@torch.no_grad()
def write_random(path: Path, name: str, seed: int = 0) -> Path:
    """A model file of 8 channels and 12 latents (8 where there are as many) whose latents span several steps."""
    config = ClassicConfig(NAMES.index(name), 8, 8 if name.startswith("cheng") else 12)
    net, generator = config.build(), torch.Generator().manual_seed(seed)
    for key, p in sorted(net.named_parameters()):
        noise = torch.randn(p.shape, generator=generator)
        if key.endswith(("beta", "gamma")):
            p.add_(0.03 * noise.abs())
        elif key.startswith("entropy_bottleneck"):
            p.add_(0.3 * noise)
        else:
            gain = 12.0 if key in ("g_a.6.weight", "h_a.4.weight", "h_a.8.weight") else 1.0
            p.copy_(noise * (0.1 if p.ndim == 1 else gain / p[0].numel() ** 0.5))
    if net.has_side:
        layers = net.entropy_parameters if hasattr(net, "entropy_parameters") else net.h_s
        [layer for layer in layers if hasattr(layer, "bias")][-1].bias[: config.M] += 1.5
    write_classic_model(path, path.stem, config, net, {"architecture": name})
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {name: write_random(folder / f"{name}.safetensors", name) for name in NAMES}


@pytest.fixture(scope="module")
def codecs(files) -> dict[str, ClassicCodec]:
    return {name: open_model(path) for name, path in files.items()}


def photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    shade = 128 + 70 * np.sin(x / 23 + seed) * np.cos(y / 31)
    colour = np.stack([shade, shade - 30.0 * ((x // 19 + y // 27) % 2), 255 - shade], 2)
    return (colour + rng.normal(0, 6, colour.shape)).clip(0, 255).astype(np.uint8)


def rewritten(data: bytes, keep=lambda chunks: chunks, **header) -> container.Container:
    """The stream with other chunks or header fields and, again, every checksum right."""
    stream = container.read(data)
    return container.read(
        container.write(replace(stream.header, **header), keep([Chunk(c.kind, bytes(c.payload)) for c in stream.chunks]))
    )


@pytest.mark.parametrize("size", [(1, 1), (64, 64), (50, 70)], ids=lambda s: f"{s[0]}x{s[1]}")
@pytest.mark.parametrize("name", NAMES)
def test_the_decoder_shows_the_encoders_reconstruction(codecs, files, name: str, size) -> None:
    pixels = photo(*size)
    encoded = codecs[name].encode(pixels, icc=b"profile", reconstruct=True)
    stream, codec = open_stream(encoded.data, model=files[name])
    decoded = codec.decode(stream)
    assert isinstance(codec, ClassicCodec) and decoded.pixels.shape == pixels.shape and decoded.pixels.dtype == np.uint8
    assert np.array_equal(decoded.pixels, encoded.reconstruction)
    assert decoded.icc == b"profile" and decoded.missing == 0
    assert stream.header.codec == "classic" and stream.header.model == name and stream.header.params == {}


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(NAMES), height=st.integers(1, 70), width=st.integers(1, 70), seed=st.integers(0, 9), flat=st.booleans()
)
def test_any_picture_comes_back(codecs, name: str, height: int, width: int, seed: int, flat: bool) -> None:
    pixels = np.full((height, width, 3), 28 * seed, np.uint8) if flat else photo(height, width, seed)
    encoded = codecs[name].encode(pixels, reconstruct=True)
    decoded = codecs[name].decode(container.read(encoded.data))
    assert np.array_equal(decoded.pixels, encoded.reconstruction)


@pytest.mark.parametrize("name", NAMES)
def test_real_bytes_are_within_a_percent_or_64_bytes_of_the_estimate(codecs, name: str) -> None:
    encoded = codecs[name].encode(photo(128, 128))
    ideal = encoded.estimated_bits / 8
    assert ideal > 100  # symbols that cost something
    assert ideal - 1 <= len(encoded.data) <= max(1.01 * ideal, ideal + 64 + len(name))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "bmshj2018-factorized"])
def test_the_frozen_tables_cost_what_the_float_gaussians_say(codecs, name: str) -> None:
    """But for the rounding of scales to 64 levels, which these weights' tails gain by: hence likely symbols only."""
    codec = codecs[name]
    tile = container.read(codec.encode(photo(128, 128)).data).payloads(TILE)[0]
    (z, _), y_hat = codec.symbols(tile, (8, 8))
    ours = ideal = 0.0

    def replay(where, mean, scale):
        nonlocal ours, ideal
        value = y_hat[(slice(None), *where)]
        symbols = np.rint(value.numpy() - mean.numpy()).astype(np.int32)
        likelihood = GaussianConditional.likelihood(value, scale, mean).numpy().reshape(-1)
        usual = likelihood > 0.05
        bits = codec.bundle.y_bank.bits(symbols.reshape(-1), gaussian_level(scale).reshape(-1))
        ours, ideal = ours + bits[usual].sum(), ideal - np.log2(likelihood[usual]).sum()
        return symbols

    with torch.inference_mode():
        codec.bundle.model.walk(z, (8, 8), replay)
    assert ideal > 100 and ours == pytest.approx(ideal, rel=0.05)


@pytest.mark.parametrize("name", ["mbt2018", "cheng2020-anchor"])
def test_position_by_position_is_the_masked_convolution(codecs, name: str) -> None:
    """Means and scales that the walk gives are those of the whole net on the finished y_hat."""
    codec = codecs[name]
    tile = container.read(codec.encode(photo(64, 128)).data).payloads(TILE)[0]
    (z, _), y_hat = codec.symbols(tile, (4, 8))
    model, seen = codec.bundle.model, []

    def replay(where, mean, scale):
        seen.append((where, mean.clone(), scale.clone()))
        return np.rint(y_hat[(slice(None), *where)].numpy() - mean.numpy()).astype(np.int32)

    with torch.inference_mode():
        assert torch.allclose(model.walk(z, (4, 8), replay), y_hat, atol=1e-9)
        parts = model.h_s(model.z_hat(z)), model.context_prediction(y_hat[None])
        scale, mean = model.entropy_parameters(torch.cat(parts, 1))[0].chunk(2)
    assert [where for where, _, _ in seen] == [(r, c) for r in range(4) for c in range(8)]
    for (r, c), m, s in seen:
        assert torch.allclose(m, mean[:, r, c], atol=1e-9) and torch.allclose(s, scale[:, r, c], atol=1e-9)


def test_a_wrong_symbol_hash_is_a_desync_and_other_damage_is_corruption(codecs) -> None:
    codec = codecs["mbt2018-mean"]
    data = codec.encode(photo(64, 64)).data

    def with_tile(change) -> container.Container:
        return rewritten(data, lambda chunks: [Chunk(c.kind, change(c.payload)) for c in chunks])

    with pytest.raises(DesyncError):
        codec.decode(with_tile(lambda p: bytes([p[0] ^ 1]) + p[1:]))
    for change in (lambda p: p[:3], lambda p: p[:-2], lambda p: p + b"\0\0", lambda p: p[:4]):
        with pytest.raises(CorruptStreamError):
            codec.decode(with_tile(change))
    with pytest.raises(CorruptStreamError, match="tile"):
        codec.decode(rewritten(data, lambda chunks: []))
    with pytest.raises(CorruptStreamError, match="2 tiles"):
        codec.decode(rewritten(data, lambda chunks: chunks * 2))
    for params in ({"quality_deci": 500}, {"tile_width": 128, "tile_height": 128}, {"pad": 64}):
        with pytest.raises(CorruptStreamError, match="parameter"):
            codec.decode(rewritten(data, params=params))
    with pytest.raises(UnsupportedError):
        codec.decode(rewritten(data, colour=Colour(depth=10)))


def test_a_prior_that_differs_is_found_by_the_hash_or_the_streams_end(files, codecs) -> None:
    """A machine whose floats differ much: the decoder fails with CorruptStreamError, of which DesyncError is one."""
    data = codecs["mbt2018"].encode(photo(64, 64)).data
    other = ClassicCodec(ClassicBundle.read(files["mbt2018"]))
    other.bundle.model.h_s[4].bias.mul_(1.5)
    with pytest.raises(CorruptStreamError):
        other.decode(container.read(data))


def test_rounding_noise_in_the_prior_does_not_change_the_symbols(files, codecs) -> None:
    """In float64, a machine that adds in another order (1e-13 relative) still decodes the same symbols."""
    for name in ("bmshj2018-hyperprior", "mbt2018-mean", "mbt2018"):
        encoded = codecs[name].encode(photo(64, 64), reconstruct=True)
        other = ClassicCodec(ClassicBundle.read(files[name]))
        for p in other.bundle.model.h_s.parameters():
            p.mul_(1 + 1e-13)
        decoded = other.decode(container.read(encoded.data))
        assert np.abs(decoded.pixels.astype(int) - encoded.reconstruction).max() <= 1


def test_a_picture_too_large_to_transform_at_once_is_a_limit_error_before_any_work(codecs, monkeypatch) -> None:
    codec = codecs["bmshj2018-factorized"]
    data = codec.encode(photo(64, 64)).data
    with pytest.raises(LimitError, match="16777216"):
        codec.decode(rewritten(data, width=8000, height=8000))
    monkeypatch.setattr(classic, "PIXELS_MAX", 64 * 64)
    codec.decode(container.read(data))
    with pytest.raises(LimitError):
        codec.encode(photo(65, 64))


def test_a_dial_is_refused_since_there_is_one_rate(codecs) -> None:
    codec, pixels = codecs["mbt2018-mean"], photo(20, 20)
    for quality in (0, 49.9, 100):
        with pytest.raises(UsageError, match="one rate"):
            codec.encode(pixels, quality)
    for kind in ("bpp", "size", "psnr"):
        with pytest.raises(UsageError, match="one rate"):
            encode_to(codec, pixels, Target(kind, 30))
    with pytest.raises(UsageError, match="effort"):
        ClassicCodec(codec.bundle, effort=9)
    for bad in (pixels[..., :2], pixels.astype(np.int32), pixels[:0]):
        with pytest.raises(UsageError):
            codec.encode(bad)


def test_a_stream_needs_its_own_model(files, codecs, tmp_path: Path) -> None:
    data = codecs["mbt2018-mean"].encode(photo(20, 20)).data
    with pytest.raises(ModelError, match="no model"):
        open_stream(data)
    with pytest.raises(ModelError, match="hash|made with"):
        open_stream(data, model=write_random(tmp_path / "other.safetensors", "mbt2018-mean", 1))
    header = replace(container.read(data).header, codec="image")
    with pytest.raises(ModelError, match="kind"):
        open_stream(container.write(header, []), model=files["mbt2018-mean"])


def test_the_public_functions_take_a_model_file(files) -> None:
    pixels = photo(30, 40)
    data = calotype.encode(pixels, model=files["bmshj2018-hyperprior"])
    assert calotype.decode(data, model=files["bmshj2018-hyperprior"]).size == (40, 30)
    assert calotype.info(data)["codec"] == "classic"


def test_the_command_line_encodes_describes_verifies_and_decodes(files, tmp_path: Path, capsys) -> None:
    source, middle, back = tmp_path / "a.png", tmp_path / "a.calo", tmp_path / "b.png"
    Image.fromarray(photo(40, 60)).save(source)
    model = str(files["mbt2018"])
    assert main(["encode", str(source), str(middle), "-m", model, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["model"] == "mbt2018" and record["bytes"] == middle.stat().st_size
    assert main(["info", str(middle)]) == 0
    assert "prior: float, not exact across devices" in capsys.readouterr().out
    assert main(["decode", str(middle), str(back), "-m", model]) == 0
    assert main(["verify", str(middle), "-m", model, "--against", str(source), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["psnr"] == record["psnr"]
    assert main(["verify", str(middle), "-m", model, "--executions"]) == 2
    assert main(["decode", str(middle), str(back)]) == 5
    for options in (["-q", "60"], ["--bpp", "1"], ["--size", "1k"], ["--psnr", "30"], ["-e", "5"]):
        assert main(["encode", str(source), str(tmp_path / "c.calo"), "-m", model, *options]) == 2
        assert not (tmp_path / "c.calo").exists()
    assert main(["encode", str(source), str(tmp_path / "c.calo"), "-m", model, "-q", "50"]) == 0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "photos"
    place.mkdir()
    for number in range(2):
        Image.fromarray(photo(50 + 20 * number, 70, number)).save(place / f"{number}.png")
    return place


def command_line(*arguments: object) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    line = [sys.executable, "-m", "calotype", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, env=environment)


def test_an_archive_is_encoded_with_a_classic_model_and_kept_the_second_time(folder, files, codecs, tmp_path, capsys) -> None:
    name = "mbt2018-mean"
    assert main(["archive", "list", str(folder), str(tmp_path / "m.jsonl")]) == 0
    encode = ["archive", "encode", *map(str, (tmp_path / "m.jsonl", tmp_path / "out", "-m", files[name], "--json"))]
    for state in ("encoded", "kept"):
        capsys.readouterr()
        code = main(encode)
        out, err = capsys.readouterr()
        assert code == 0, err
        assert [json.loads(line)["state"] for line in out.splitlines()] == [state] * 2
    for number in range(2):
        pixels = np.asarray(Image.open(folder / f"{number}.png"))
        assert (tmp_path / "out" / f"{number}.png.calo").read_bytes() == codecs[name].encode(pixels).data
    assert main([*encode, "--quality", "60"]) == 2
    assert "one rate" in capsys.readouterr().err


def test_eval_measures_a_classic_model_at_its_one_rate(folder, files) -> None:
    path = files["bmshj2018-hyperprior"]
    done = command_line("eval", folder, "--codec", f"ours:{path}", "--metric", "psnr_rgb", "--json")
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)
    [(label, identity)] = run["codecs"].items()
    assert label == f"ours:{path.stem}" and identity["architecture"] == path.stem and "kmac_per_pixel" not in identity
    assert [(row["source"], row["point"]) for row in run["rows"]] == [("0.png", 50), ("1.png", 50)]
    assert not any(row["differing_pixels"] for row in run["rows"])
    assert all(row["metrics"]["psnr_rgb"] > 0 and row["bytes"] > 0 for row in run["rows"])


def test_eval_refuses_an_effort_that_a_classic_model_does_not_have(folder, files, capsys) -> None:
    assert main(["eval", str(folder), "--codec", f"ours:{files['mbt2018-mean']}:e3"]) == 2
    assert "no effort dial" in capsys.readouterr().err
