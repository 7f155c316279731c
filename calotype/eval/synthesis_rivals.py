"""The same synthesis net in other runtimes: eager torch, torch.compile, onnxruntime, OpenVINO; float32 and int8.

Each `open_*` gives a function of no arguments from the int32 latents to pixels (16 h, 16 w, 3) uint8, warm where its first
call compiles. Their 8-bit nets are quantised with the picture's own latents as calibration: the best case for them. None
of them gives the same pixels on every machine.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from calotype.models.bundle import ImageBundle
from calotype.models.priorgraph import MEAN_FRAC

from .synthesis_onnx import INPUT, OUTPUT, synthesis_graph
from .turns import thread_count

Run = Callable[[], np.ndarray]
INSTALL = "install it with `pip install calotype[bench]`"
EXCEPTIONS = (ImportError, RuntimeError)  # what a runtime that is not here, or broken, raises


class Net:
    """The net of a bundle at a quality (0..1000) on latents y_hat (1, h, w, M) int32 in 1/16."""

    def __init__(self, bundle: ImageBundle, y_hat: np.ndarray, quality: int, threads: int):
        self.bundle, self.y_hat, self.quality, self.threads = bundle, y_hat, quality, threads
        self._quantised: Any = None

    @property
    def graph(self) -> tuple[Any, list[str]]:
        """As `synthesis_graph`, a fresh one. Raises ImportError."""
        imported("onnx")
        return synthesis_graph(self.bundle.config, self.bundle.synthesis.arrays, self.quality, self.y_hat.shape[1:3])

    @property
    def quantised(self) -> bytes:
        """The graph with 8-bit trunk by onnxruntime's static quantisation. Raises ImportError."""
        self._quantised = self._quantised or _quantised(*self.graph, self.y_hat)
        return self._quantised


def open_eager(net: Net) -> Run:
    """torch, channels_last, under inference_mode."""
    return _on_torch(net, lambda function: function)


def open_compiled(net: Net) -> Run:
    """torch.compile of the whole of it. Raises RuntimeError without a C++ compiler."""
    import torch

    run = _on_torch(net, torch.compile)
    try:
        with thread_count(net.threads):
            run()
    except Exception as error:  # torch._dynamo's and inductor's own, whose modules cost 3 s to import
        raise RuntimeError(f"torch.compile failed: {str(error).splitlines()[0]}") from error
    return run


def open_onnxruntime(net: Net) -> Run:
    """onnxruntime, float32. Raises ImportError."""
    imported("onnxruntime")
    return _session(net, net.graph[0].SerializeToString())


def open_onnxruntime_int8(net: Net) -> Run:
    """onnxruntime, QDQ int8. Raises ImportError."""
    imported("onnxruntime")
    return _session(net, net.quantised)


def open_openvino(net: Net) -> Run:
    """OpenVINO, float32. Raises ImportError."""
    core = imported("openvino").Core()
    return _request(net, core, core.read_model(net.graph[0].SerializeToString()))


def open_openvino_int8(net: Net) -> Run:
    """OpenVINO, int8 by NNCF; where that is not installed, the graph that onnxruntime's quantisation makes. Raises
    ImportError."""
    core = imported("openvino").Core()
    if importlib.util.find_spec("nncf") is None:
        return _request(net, core, core.read_model(net.quantised))
    graph, tail = net.graph
    logging.getLogger("nncf").setLevel(logging.ERROR)
    with contextlib.redirect_stdout(io.StringIO()):  # its progress bars
        nncf = importlib.import_module("nncf")
        model = nncf.quantize(
            core.read_model(graph.SerializeToString()),
            nncf.Dataset([{INPUT: net.y_hat}]),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=1,
            ignored_scope=nncf.IgnoredScope(names=tail, validate=False),
        )
    return _request(net, core, model)


RIVALS: dict[str, Callable[[Net], Run]] = {
    "eager": open_eager,
    "torch.compile": open_compiled,
    "onnxruntime": open_onnxruntime,
    "onnxruntime-int8": open_onnxruntime_int8,
    "openvino": open_openvino,
    "openvino-int8": open_openvino_int8,
}


def imported(name: str) -> Any:
    """A module. Raises ImportError, which says where it comes from."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f"{error}; {INSTALL}") from error


def _on_torch(net: Net, made: Callable[[Any], Any]) -> Run:
    import torch

    from calotype.models.image import knot_weights

    model, weights = net.bundle.model, knot_weights(torch.tensor([float(net.quality)]))

    def pixels(y_hat: torch.Tensor) -> torch.Tensor:
        x = model.synthesise(y_hat.permute(0, 3, 1, 2).float() * (1 / (1 << MEAN_FRAC)), weights)[0]
        return (x * 255).round_().clamp_(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous()

    function = made(pixels)

    def run() -> np.ndarray:
        with torch.inference_mode():
            return function(torch.from_numpy(net.y_hat)).numpy()

    return run


def _session(net: Net, graph: bytes) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = net.threads, 1
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return lambda: session.run([OUTPUT], {INPUT: net.y_hat})[0]


def _request(net: Net, core: Any, model: Any) -> Run:
    config = {
        "INFERENCE_NUM_THREADS": net.threads,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",  # where nothing is quantised; else bfloat16 on CPUs that have it
    }
    request = core.compile_model(model, "CPU", config).create_infer_request()
    return lambda: request.infer({INPUT: net.y_hat}, share_inputs=True, share_outputs=True)[0]


def _quantised(graph: Any, tail: list[str], y_hat: np.ndarray) -> bytes:
    """8-bit activations, 7-bit weights by channel: with 8, pairs of products saturate on CPUs without VNNI."""
    quantization = imported("onnxruntime.quantization")

    class Latents(quantization.CalibrationDataReader):
        given = iter([{INPUT: y_hat}])

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.given, None)

    level = logging.root.level
    logging.root.setLevel(logging.ERROR)  # it recommends a pre-processing that this graph does not need
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "int8.onnx"
            quantization.quantize_static(
                graph,
                path,
                Latents(),
                quant_format=quantization.QuantFormat.QDQ,
                per_channel=True,
                reduce_range=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                nodes_to_exclude=tail,
            )
            return path.read_bytes()
    finally:
        logging.root.setLevel(level)
