"""`bench synthesis`: what is timed beside what, what is counted, and what is said where a runtime is not here."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from fake_coder import make_picture
from torch import nn

from calotype.cli import bench
from calotype.codecs import container
from calotype.codecs.image import ImageCodec
from calotype.codecs.registry import open_model
from calotype.errors import CalotypeError, UsageError
from calotype.eval import int8_peak, synthesis_bench, synthesis_rivals
from calotype.eval.synthesis_bench import ALONE, NETS, bench_synthesis, whole_latents
from calotype.eval.synthesis_layers import POINTWISE, layer_macs
from calotype.eval.synthesis_onnx import synthesis_graph
from calotype.models.complexity import decoder_kmac
from calotype.models.image import ImageModel, knot_weights
from calotype.models.imageconfig import ImageConfig
from calotype.models.integer.places import Quality
from calotype.models.integer.synthesis import dequantised

PIXELS = np.random.default_rng(3).integers(0, 256, (40, 72, 3), dtype=np.uint8)
ORT = importlib.util.find_spec("onnxruntime") is not None and importlib.util.find_spec("onnx") is not None
OPENVINO = importlib.util.find_spec("openvino") is not None


@pytest.fixture(scope="module")
def codec() -> ImageCodec:
    return open_model()


@pytest.fixture(autouse=True)
def small_products(monkeypatch):
    """Products of a size that is quick where torch._int_mm has no VNNI."""
    monkeypatch.setattr(int8_peak, "SIZES", ((64, 32, 48), (32, 64, 32)))


@pytest.fixture
def no_runtimes(monkeypatch):
    """onnx and onnxruntime cannot be imported, nor OpenVINO."""
    for name in ("onnx", "onnxruntime", "openvino"):
        monkeypatch.setitem(sys.modules, name, None)


def test_multiply_accumulates_are_those_of_the_layers_as_they_run():
    config = ImageConfig(width=16, latents=32, side=8, hidden=16, synthesis_blocks=3)
    model, counted = ImageModel(config), {}

    def add(name: str):
        def hook(layer: nn.Conv2d, _: object, out: torch.Tensor) -> None:
            counted.setdefault(name.rsplit(".", 1)[-1], []).append(out[0].numel() * layer.weight[0].numel())

        return hook

    for name, layer in model.named_modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(add(name))
    with torch.no_grad():
        model.synthesise(torch.zeros(1, 32, 4, 6), knot_weights(torch.tensor([500.0])))
    macs = layer_macs(config, 4, 6)
    assert {name: [count] * times for name, (count, times) in macs.items() if name != "filter"} == {
        name.replace("from_latent", "expand"): counts for name, counts in counted.items()
    }
    assert macs["filter"] == (3 * 16 * (64 * 80 + 48 * 96), 1)


def test_a_trunk_costs_what_the_decoders_complexity_says():
    small, large = (ImageConfig(width=16 * n, latents=32, side=8, hidden=16, synthesis_blocks=n) for n in (1, 2))
    counts = [sum(count * times for count, times in layer_macs(config, 6, 8).values()) for config in (small, large)]
    kmacs = [decoder_kmac(config.to_dict()) for config in (small, large)]
    assert (counts[1] - counts[0]) / (96 * 128) == pytest.approx(1000 * (kmacs[1] - kmacs[0]))


def test_ours_in_each_execution_and_eager_are_timed_with_the_layers_and_the_products(codec, no_runtimes):
    steps, nets = [], ("kernel", ALONE, "float", "int8", "reference", "eager")
    found = bench_synthesis(codec, PIXELS, 50, 2, 2, nets, lambda *step: steps.append(step))
    assert list(found["nets"]) == [name for name in NETS if name in nets]
    assert all(found["nets"][name]["psnr"] is None for name in found["nets"] if name != "eager")
    assert 40 < found["nets"]["eager"]["psnr"] < 80
    assert found["nets"][ALONE]["threads"] == 1 and found["nets"]["kernel"]["threads"] == 2
    assert found["nets"]["eager"]["faster"] == {"median_ms": 1, "min_ms": 1}
    assert set(POINTWISE) < set(found["layers"]) and found["layers"]["grow"]["times"] == 6
    for figures in (*found["nets"].values(), *found["layers"].values()):
        assert figures["gmac_s"] == pytest.approx(1e-6 * figures["macs"] / figures["min_ms"])
        assert figures["share"] == pytest.approx(figures["gmac_s"] / found["peak"]["gmac_s"])
        assert figures["min_ms"] <= figures["median_ms"] <= figures["max_ms"] and figures["runs"] <= 2
    shares = [figures["share"] for sizes in found["products"].values() for figures in sizes.values()]
    assert max(shares) == 1 and set(found["products"]["our tile kernel"]) == {"64x32x48", "32x64x32"}
    assert list(found["decode"]) == ["2 threads", "1 thread"]
    assert all(set(figures["parts"]) == {"network", "entropy"} for figures in found["decode"].values())
    assert steps == [(1, 2), (2, 2)] and (found["width"], found["height"]) == (72, 40)


def test_runtimes_that_are_not_here_are_said_with_the_extra_that_has_them(codec, no_runtimes):
    found = bench_synthesis(
        codec, PIXELS, runs=1, nets=("kernel", "onnxruntime", "onnxruntime-int8", "openvino", "openvino-int8")
    )
    assert list(found["nets"]) == ["kernel"] and found["notes"] == {}
    for name in ("onnxruntime", "onnxruntime-int8", "openvino", "openvino-int8", "onnxruntime MatMulInteger"):
        assert "calotype[bench]" in found["missing"][name]


def test_a_torch_compile_that_fails_is_said(codec, monkeypatch):
    def broken(function):
        def run(*_):
            raise ValueError("no C++ compiler\nand a long story")

        return run

    monkeypatch.setattr(torch, "compile", broken)
    found = bench_synthesis(codec, PIXELS, runs=1, nets=("kernel", "torch.compile"))
    assert found["missing"]["torch.compile"] == "torch.compile failed: no C++ compiler"


def test_an_execution_with_other_pixels_is_an_error(codec, monkeypatch):
    from calotype.models.integer.kernelexecution import Kernel

    class Wrong(Kernel):
        def paint(self, *arguments):
            return super().paint(*arguments) ^ 1

    right = synthesis_bench.make_execution
    monkeypatch.setattr(synthesis_bench, "make_execution", lambda name: Wrong() if name == "float" else right(name))
    with pytest.raises(CalotypeError, match="'float' gave other pixels"):
        bench_synthesis(codec, PIXELS, runs=1, nets=("float",))


def test_latents_of_all_tiles_make_the_picture_that_the_tiles_make(codec):
    tiled = ImageCodec(codec.bundle, tile=128)
    pixels = np.random.default_rng(4).integers(0, 256, (150, 290, 3), dtype=np.uint8)
    stream = container.read(tiled.encode(pixels, 30).data)
    y_hat = whole_latents(tiled, stream)
    assert y_hat.shape == (10, 20, codec.bundle.config.latents)
    whole = codec.bundle.synthesis(y_hat[None], Quality((300,)))[0]
    assert np.array_equal(whole[:150, :290], tiled.decode(stream).pixels)


@pytest.mark.parametrize("arguments", [{"nets": ("tensorrt",)}, {"runs": 0}, {"threads": 0}])
def test_unknown_nets_and_no_runs_or_threads_are_refused(codec, arguments):
    with pytest.raises(UsageError):
        bench_synthesis(codec, PIXELS, **arguments)


def test_a_codec_without_an_integer_synthesis_is_refused():
    with pytest.raises(UsageError, match="no image model"):
        bench_synthesis(object(), PIXELS)


def test_products_are_those_of_their_operands():
    x, weight = int8_peak.operands((64, 32, 48))
    exact = x.astype(np.int64) @ weight
    assert np.array_equal(int8_peak.open_int_mm(x, weight, 1)().numpy(), exact)
    if ORT:
        assert np.array_equal(int8_peak.open_matmul_integer(x, weight, 1)(), exact)
        assert int8_peak.open_qlinear_matmul(x, weight, 1)().dtype == np.uint8


@pytest.mark.skipif(not ORT, reason="onnx and onnxruntime are not installed")
@pytest.mark.parametrize("activation", ["leaky", "wsilu"])
@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (4, 2)])
def test_the_onnx_graph_gives_the_pixels_of_the_float_net(codec, activation, shape):
    import onnxruntime

    config, arrays = replace(codec.bundle.config, activation=activation), codec.bundle.synthesis.arrays
    y_hat = np.random.default_rng(1).integers(-48, 49, (1, *shape, config.latents), dtype=np.int32)
    graph, tail = synthesis_graph(config, arrays, 730, shape)
    assert tail[0] == "sum" and tail[-1] == "pixels"
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    pixels = session.run(["pixels"], {"y_hat": y_hat})[0]
    model = ImageModel(config)
    model.load_state_dict({k: torch.from_numpy(v) for k, v in dequantised(arrays, config).items()}, strict=False)
    with torch.no_grad():
        weights = knot_weights(torch.tensor([730.0]))
        x = model.eval().synthesise(torch.from_numpy(y_hat).permute(0, 3, 1, 2) / 16, weights)[0]
    assert pixels.dtype == np.uint8 and np.abs(pixels - (255 * x).clamp(0, 255).permute(1, 2, 0).numpy()).max() < 0.51


@pytest.mark.skipif(not ORT or not OPENVINO, reason="onnx, onnxruntime and openvino are not installed")
def test_every_runtime_gives_about_our_pixels(codec):
    nets = ("kernel", "onnxruntime", "onnxruntime-int8", "openvino", "openvino-int8")
    found = bench_synthesis(codec, PIXELS, runs=1, nets=nets)
    assert tuple(found["nets"]) == nets and not found["missing"]
    for name in nets[1:]:
        assert found["nets"][name]["psnr"] > (20 if name.endswith("int8") else 40)


@pytest.mark.skipif(not ORT or not OPENVINO, reason="onnx, onnxruntime and openvino are not installed")
def test_openvino_without_nncf_runs_what_onnxruntime_quantises(codec, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(synthesis_rivals.importlib.util, "find_spec", lambda name: None if name == "nncf" else find(name))
    assert bench_synthesis(codec, PIXELS, runs=1, nets=("openvino-int8",))["nets"]["openvino-int8"]["psnr"] > 20


def test_bench_synthesis_prints_its_tables(tmp_path, no_runtimes):
    make_picture(tmp_path / "p.png", 60, 33, 1)
    command = ["synthesis", str(tmp_path / "p.png"), "--size", "100x32", "--runs", "1", "--net", "kernel", "--net", "openvino"]
    found = CliRunner().invoke(bench.command, command)
    assert found.exit_code == 0, found.output
    assert "p.png, 100x32" in found.output and "all 1x1 layers" in found.output and "entropy, prior" in found.output
    assert "openvino is not here, so not measured" in found.output and "calotype[bench]" in found.output
    found = json.loads(CliRunner().invoke(bench.command, [*command, "--json"]).stdout)
    assert found["width"] == 100 and found["nets"]["kernel"]["psnr"] is None and found["environment"]["torch"]


def test_a_picture_is_cut_or_mirrored_to_the_size_asked_for(tmp_path):
    pixels = make_picture(tmp_path / "p.png", 6, 4, 2)
    assert np.array_equal(bench._picture(tmp_path / "p.png", (5, 3)), pixels[:3, :5])
    mirrored = bench._picture(tmp_path / "p.png", (15, 9))
    assert mirrored.shape == (9, 15, 3) and np.array_equal(mirrored[:4, 6:12], pixels[:, ::-1])
    assert np.array_equal(mirrored[8:, 12:], pixels[:1, :3])


def test_a_size_that_is_none_is_a_usage_error(tmp_path):
    command = [sys.executable, "-m", "calotype", "bench", "synthesis", str(tmp_path / "p.png"), "--size", "0x7"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and "0x7" in done.stderr and "1920x1080" in done.stderr
