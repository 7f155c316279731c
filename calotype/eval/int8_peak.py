"""What this machine can do in int8 matrix products, by whatever here does them: the yardstick of a net's layers."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

from .synthesis_rivals import imported

SIZES = ((1024, 1024, 1024), (768, 320, 768))  # rows, inputs, outputs
_LARGEST = 63  # of a weight: no product saturates on any CPU

Open = Callable[[np.ndarray, np.ndarray, int], Callable[[], Any]]


def open_int_mm(x: np.ndarray, weight: np.ndarray, threads: int) -> Callable[[], Any]:
    """torch._int_mm: int8 x int8 -> int32."""
    a, b = torch.from_numpy(x), torch.from_numpy(weight)
    return lambda: torch._int_mm(a, b)


def open_matmul_integer(x: np.ndarray, weight: np.ndarray, threads: int) -> Callable[[], Any]:
    """onnxruntime's MatMulInteger: uint8 x int8 -> int32. Raises ImportError."""
    return _operator(x, weight, threads, "MatMulInteger", "INT32", lambda zero, one: ["x", "weight", zero])


def open_qlinear_matmul(x: np.ndarray, weight: np.ndarray, threads: int) -> Callable[[], Any]:
    """onnxruntime's QLinearMatMul: uint8 x int8 -> uint8. Raises ImportError."""

    def inputs(zero: str, one: str) -> list[str]:
        return ["x", one, zero, "weight", one, "weight_zero", "scale", zero]

    return _operator(x, weight, threads, "QLinearMatMul", "UINT8", inputs)


def open_tile(x: np.ndarray, weight: np.ndarray, threads: int) -> Callable[[], Any]:
    """Our own kernel: int16 x int16 -> int32, requantised to int16."""
    from calotype.models.integer import kernels
    from calotype.models.integer.tile import pack

    rows, inputs = x.shape
    outputs = weight.shape[1]
    source, packed, out = x.astype(np.int16).reshape(-1), pack(weight.T).reshape(-1), np.empty(rows * outputs, np.int16)
    bias, shift, high = np.zeros((1, outputs), np.int32), np.full(outputs, 8, np.int32), np.full(outputs, 16383, np.int32)
    layer = packed, bias, shift, -high, high
    rest = layer, inputs // 2, np.empty(0, np.uint8), kernels.PLAIN, out, out
    ends = [rows * (k + 1) // threads for k in range(threads)]
    pool = ThreadPoolExecutor(threads - 1) if threads > 1 else None

    def part(start: int, end: int) -> None:
        kernels.linear(source, start * inputs, inputs, end - start, *rest, start * outputs, outputs)

    def run() -> None:
        others = [pool.submit(part, a, b) for a, b in zip(ends, ends[1:], strict=False)] if pool else []
        part(0, ends[0])
        for other in others:
            other.result()

    return run


PRODUCTS: dict[str, Open] = {
    "torch._int_mm": open_int_mm,
    "onnxruntime MatMulInteger": open_matmul_integer,
    "onnxruntime QLinearMatMul": open_qlinear_matmul,
    "our tile kernel": open_tile,
}


def operands(size: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """(rows, inputs) and (inputs, outputs) int8 noise."""
    rng, (rows, inputs, outputs) = np.random.default_rng(5), size
    x = rng.integers(-128, 128, (rows, inputs), dtype=np.int8)
    return x, rng.integers(-_LARGEST, _LARGEST + 1, (inputs, outputs), dtype=np.int8)


def _operator(
    x: np.ndarray, weight: np.ndarray, threads: int, name: str, out: str, inputs: Callable[[str, str], list[str]]
) -> Callable[[], Any]:
    """One ONNX operator on x less its zero point of 128, times a constant weight."""
    onnx, runtime = imported("onnx"), imported("onnxruntime")
    helper, kinds = onnx.helper, onnx.TensorProto
    constants = {
        "weight": weight,
        "zero": np.array(128, np.uint8),
        "one": np.array(1, np.float32),
        "weight_zero": np.array(0, np.int8),
        "scale": np.array(2**15, np.float32),
    }
    used = inputs("zero", "one")
    graph = helper.make_graph(
        [helper.make_node(name, used, ["out"])],
        name,
        [helper.make_tensor_value_info("x", kinds.UINT8, list(x.shape))],
        [helper.make_tensor_value_info("out", getattr(kinds, out), [x.shape[0], weight.shape[1]])],
        [onnx.numpy_helper.from_array(v, k) for k, v in constants.items() if k in used],
    )
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    session = runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    given = {"x": (x.astype(np.int16) + 128).astype(np.uint8)}
    return lambda: session.run(None, given)[0]
