"""The float synthesis at one quality and size as an ONNX graph, for runtimes that are not torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from calotype.models.imageconfig import CELL, ImageConfig
from calotype.models.integer.layers import KNOT_SPACING
from calotype.models.integer.synthesis import dequantised
from calotype.models.priorgraph import KNOTS, MEAN_FRAC

BLOCK = 2 * CELL
HALF = BLOCK // 2  # pixels at each edge that no border filter reaches
INPUT, OUTPUT = "y_hat", "pixels"
OPSET, IR_VERSION = 17, 9  # of 2022: every runtime in use reads them


class Graph:
    """A graph under construction: values by name, of which `at` is the last."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self.at = INPUT

    def constant(self, name: str, value: np.ndarray) -> str:
        """A named array."""
        from onnx import numpy_helper

        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, op: str, name: str, inputs: Sequence[str] | None = None, **attributes: Any) -> str:
        """A node of that name, whose one output is named so too; on the last value where no inputs are given."""
        from onnx import helper

        self.nodes.append(helper.make_node(op, list(inputs or [self.at]), [name], name=name, **attributes))
        self.at = name
        return name

    def affine(self, name: str, weight: np.ndarray, bias: np.ndarray | None = None, **attributes: Any) -> str:
        """A convolution of the last value: weight (O, K / groups, k, k)."""
        parts = [self.at, self.constant(f"{name}.weight", weight.astype(np.float32))]
        if bias is not None:
            parts.append(self.constant(f"{name}.bias", bias.astype(np.float32)))
        return self.add("Conv", name, parts, **attributes)

    def indices(self, name: str, *values: int) -> str:
        """A vector of int64."""
        return self.constant(name, np.array(values, np.int64))


def synthesis_graph(
    config: ImageConfig, arrays: Mapping[str, np.ndarray], quality: int, shape: tuple[int, int]
) -> tuple[Any, list[str]]:
    """(ONNX model: "y_hat" int32 (1, h, w, M) in 1/16 -> "pixels" uint8 (16 h, 16 w, 3), names of its nodes that 8 bits are
    too few for: what adds the trunk to the KLT, and all after it).

    The float net that the integers `arrays` (`IntegerSynthesis.arrays`) stand for, with the gains of `quality` (0..1000)
    multiplied into the neighbouring weights. shape: (h, w). Raises ImportError without onnx.
    """
    from onnx import TensorProto, helper

    (h, w), state, graph = shape, dequantised(arrays, config), Graph()
    knots = np.clip(1 - np.abs(quality / KNOT_SPACING - np.arange(KNOTS)), 0, None)
    gain = {k: np.exp(knots @ v) for k, v in state.items() if "log_" in k}
    graph.add("Cast", "float", to=TensorProto.FLOAT)
    graph.add("Transpose", "planes", perm=[0, 3, 1, 2])
    weight = state["from_latent.weight"] * (gain["log_inverse_gain"] / (1 << MEAN_FRAC))[:, None, None]
    graph.affine("from_latent", weight)
    base = graph.add("DepthToSpace", "coefficients", blocksize=2, mode="CRD")
    up = gain["synthesis.log_enter"]
    x = graph.affine("enter", state["synthesis.enter.weight"] * up[:, None, None, None], state["synthesis.enter.bias"] * up)
    for k in range(config.synthesis_blocks):
        parts = ("depthwise", "grow", "shrink")
        layer = {n: [state[f"synthesis.blocks.{k}.{n}.{part}"] for part in ("weight", "bias")] for n in parts}
        graph.affine(f"depthwise{k}", *layer["depthwise"], group=config.width, pads=[1, 1, 1, 1])
        grown = graph.affine(f"grow{k}", *layer["grow"])
        if config.activation == "leaky":
            graph.add("LeakyRelu", f"leaky{k}", alpha=0.125)
        else:
            four = graph.constant(f"four{k}", np.array(4, np.float32))
            graph.add("Mul", f"steep{k}", [grown, four])
            gate = graph.add("Sigmoid", f"sigmoid{k}")
            graph.add("Mul", f"wsilu{k}", [grown, gate])
        x = graph.add("Add", f"block{k}", [x, graph.affine(f"shrink{k}", *layer["shrink"])])
    down = gain["synthesis.log_leave"][:, None, None]
    trunk = graph.affine("leave", state["synthesis.leave.weight"] * down, state["synthesis.leave.bias"])
    before = len(graph.nodes)
    graph.add("Add", "sum", [base, trunk])
    graph.add("DepthToSpace", "picture", blocksize=CELL, mode="CRD")
    _filter(graph, state["post"], BLOCK * h, BLOCK * w)
    graph.add("Mul", "levels", [graph.at, graph.constant("white", np.array(255, np.float32))])
    graph.add("Add", "centred", [graph.at, graph.constant("grey", np.array(127.5, np.float32))])
    graph.add("Round", "rounded")
    ends = [graph.constant(name, np.array(v, np.float32)) for name, v in (("lowest", 0), ("highest", 255))]
    graph.add("Clip", "clipped", [graph.at, *ends])
    graph.add("Cast", "bytes", to=TensorProto.UINT8)
    graph.add("Transpose", "interleaved", perm=[0, 2, 3, 1])
    graph.add("Squeeze", OUTPUT, [graph.at, graph.indices("first", 0)])
    given = helper.make_tensor_value_info(INPUT, TensorProto.INT32, [1, h, w, config.latents])
    made = helper.make_tensor_value_info(OUTPUT, TensorProto.UINT8, [BLOCK * h, BLOCK * w, 3])
    whole = helper.make_graph(graph.nodes, "synthesis", [given], [made], graph.weights)
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    return model, [node.name for node in graph.nodes[before:]]


def _filter(graph: Graph, post: np.ndarray, height: int, width: int) -> None:
    """`lapped.filter_borders`: along rows, then columns, of (1, 3, height, width)."""
    along = {"rows": (3, width, post.T, (1, 3, height, -1, BLOCK)), "columns": (2, height, post, (1, 3, -1, BLOCK, width))}
    for name, (axis, size, matrix, folded) in along.items():
        if size <= BLOCK:
            continue
        whole = graph.at
        ends = {"start": (0, HALF), "core": (HALF, size - HALF), "end": (size - HALF, size)}
        cut = {}
        for part, (a, b) in ends.items():
            bounds = [graph.indices(f"{name}_{part}_{i}", v) for i, v in enumerate((a, b, axis))]
            cut[part] = graph.add("Slice", f"{name}_{part}", [whole, *bounds])
        graph.add("Reshape", f"{name}_folded", [cut["core"], graph.indices(f"{name}_fold", *folded)])
        weight = graph.constant(f"{name}_filter", np.ascontiguousarray(matrix, np.float32))
        graph.add("MatMul", f"{name}_filtered", [graph.at, weight] if name == "rows" else [weight, graph.at])
        shape = (1, 3, height, width - BLOCK) if name == "rows" else (1, 3, height - BLOCK, width)
        core = graph.add("Reshape", f"{name}_unfolded", [graph.at, graph.indices(f"{name}_unfold", *shape)])
        graph.add("Concat", f"{name}_whole", [cut["start"], core, cut["end"]], axis=axis)
