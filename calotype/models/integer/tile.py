"""The inner loops of the fast execution: LLVM vector code for int16 products that numba compiles for the CPU at hand.

Products of int16 pairs are summed to int32: one `vpmaddwd` where there is AVX2, whose multipliers then do twice as many a
cycle as of float32. What is written here is plain vector IR, no instruction of one CPU, so every machine runs it: with what
LLVM finds for it there, with the same result, as all sums are exact in int32. `calotype bench synthesis` measures it.

Layouts: activations NHWC int16; weights of a product in panels (O/16, K/2, 16, 2), int16 (`pack`); of a depthwise layer in
pairs of taps (C/16, 5, 2, 8, 2) (`pack_depthwise`), whose halves of 8 hold channels 0-3, 8-11 and 4-7, 12-15: where the
unpack instructions put them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

LANES = 16  # outputs of a panel, channels of a depthwise group
ROWS = 6  # of a tile: 6 x 2 accumulators fill AVX2's registers
_I16, _I32, _I64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)
_H8, _H16, _W8, _W16 = (ir.VectorType(t, n) for t, n in ((_I16, 8), (_I16, 16), (_I32, 8), (_I32, 16)))
_LOW = [c for half in (0, 8) for k in range(half, half + 4) for c in (k, 16 + k)]  # unpack of the low, the high halves
_HIGH = [c + 4 for c in _LOW]
HALVES = np.array([*range(4), *range(8, 12), *range(4, 8), *range(12, 16)])  # channels as `_LOW` and `_HIGH` order them
_MERGE = [int(i) for i in np.argsort(HALVES)]


def pack(weight: np.ndarray) -> np.ndarray:
    """(O, K) -> panels (O'/16, K'/2, 16, 2) int16, padded by zeros to whole panels and pairs."""
    o, k = weight.shape
    full = np.zeros((-(-o // LANES) * LANES, k + k % 2), np.int16)
    full[:o, :k] = weight
    return np.ascontiguousarray(full.reshape(-1, LANES, full.shape[1] // 2, 2).transpose(0, 2, 1, 3))


def pack_depthwise(weight: np.ndarray) -> np.ndarray:
    """(C, 9) -> pairs of taps (C/16, 5, 2, 8, 2) int16; C a multiple of 16, the tenth tap is zero."""
    full = np.concatenate((weight, np.zeros_like(weight[:, :1])), 1).astype(np.int16)
    grouped = full.reshape(-1, LANES, 5, 2)[:, HALVES]  # group, channel, pair, tap of the pair
    return np.ascontiguousarray(grouped.reshape(-1, 2, 8, 5, 2).transpose(0, 3, 1, 2, 4))


class _Emitter:
    """A few words of vector IR."""

    def __init__(self, builder: Any):
        self.b = builder

    @staticmethod
    def index(v: int) -> ir.Constant:
        return ir.Constant(_I64, v)

    @staticmethod
    def _mask(lanes: list[int]) -> ir.Constant:
        return ir.Constant(ir.VectorType(_I32, len(lanes)), lanes)

    def at(self, pointer: Any, offset: Any, kind: Any) -> Any:
        return self.b.bitcast(self.b.gep(pointer, [offset]), kind.as_pointer())

    def load(self, pointer: Any, offset: Any, kind: Any) -> Any:
        return self.b.load(self.at(pointer, offset, kind), align=2 if kind in (_H8, _H16) else 4)

    def shuffle(self, a: Any, b: Any, lanes: list[int]) -> Any:
        return self.b.shuffle_vector(a, b, self._mask(lanes))

    def splat(self, scalar: Any) -> Any:
        one = self.b.insert_element(ir.Constant(_W8, ir.Undefined), scalar, ir.Constant(_I32, 0))
        return self.shuffle(one, ir.Constant(_W8, ir.Undefined), [0] * 8)

    def dot(self, a: Any, b: Any) -> Any:
        """<16 x i16> pairs -> <8 x i32>: a[2i] b[2i] + a[2i+1] b[2i+1]; exact as |a b| < 2**30."""
        product = self.b.mul(self.b.sext(a, _W16), self.b.sext(b, _W16), flags=["nsw"])
        none = ir.Constant(_W16, ir.Undefined)
        return self.b.add(
            self.shuffle(product, none, list(range(0, 16, 2))), self.shuffle(product, none, list(range(1, 16, 2)))
        )

    def clamp(self, v: Any, low: Any, high: Any) -> Any:
        v = self.larger(v, low)
        return self.b.select(self.b.icmp_signed("<", v, high), v, high)

    def larger(self, a: Any, b: Any) -> Any:
        return self.b.select(self.b.icmp_signed(">", a, b), a, b)


def _pointers(context: Any, builder: Any, signature: Any, args: Any) -> list[Any]:
    """Arrays as pointers to their first element, scalars as they are."""
    return [
        context.make_array(kind)(context, builder, value).data if isinstance(kind, types.Array) else value
        for kind, value in zip(signature.args, args, strict=True)
    ]


def _make_tile(rows: int, leaky: bool, residual: bool) -> Any:
    @intrinsic
    def tile(
        typing, x, x_at, x_stride, weight, w_at, pairs, bias, b_at, shift, low, high, o_at, limit, skip, out, out_at, out_stride
    ):  # noqa: ANN001, ANN202, PLR0913, E501
        """`rows` rows by 16 outputs: out = requantise(x . weight + bias) [leaky] [+ skip].

        x, weight, skip, out: flat int16 and an offset each, x_stride and out_stride between rows (skip has out's); bias,
        shift, low, high: int32, at b_at and o_at; limit: of |out| after skip.
        """
        signature = types.void(
            x, types.intp, types.intp, weight, types.intp, types.intp, bias, types.intp, shift, low, high,
            types.intp, types.int32, skip, out, types.intp, types.intp,
        )  # fmt: skip

        def codegen(context: Any, b: Any, sig: Any, args: Any) -> Any:
            (xs, x0, xd, ws, w0, count, biases, b0, shifts, lows, highs, o0, bound, skips, outs, out0, outd) = _pointers(
                context, b, sig, args
            )
            e = _Emitter(b)
            inputs = [e.at(xs, b.add(x0, b.mul(xd, e.index(r))), _I32) for r in range(rows)]
            panel, entry = e.at(ws, w0, _H16), b.block
            loop, done = b.append_basic_block("pairs"), b.append_basic_block("requantise")
            b.branch(loop)
            b.position_at_end(loop)
            k = b.phi(_I64)
            k.add_incoming(e.index(0), entry)
            sums = [[b.phi(_W8) for _ in range(2)] for _ in range(rows)]
            weights = [b.load(b.gep(panel, [b.add(b.mul(k, e.index(2)), e.index(v))]), align=2) for v in range(2)]
            after = []
            for pointer in inputs:
                pair = b.bitcast(e.splat(b.load(b.gep(pointer, [k]), align=2)), _H16)
                after.append([b.add(s, e.dot(pair, w)) for s, w in zip(sums[len(after)], weights, strict=True)])
            following = b.add(k, e.index(1))
            k.add_incoming(following, loop)
            for old, new in zip(sums, after, strict=True):
                for a, z in zip(old, new, strict=True):
                    a.add_incoming(ir.Constant(_W8, [0] * 8), entry)
                    a.add_incoming(z, loop)
            b.cbranch(b.icmp_signed("<", following, count), loop, done)
            b.position_at_end(done)
            for v in range(2):
                lane = e.index(8 * v)
                at = b.add(o0, lane)
                add, by, least, most = (
                    e.load(p, o, _W8) for p, o in ((biases, b.add(b0, lane)), (shifts, at), (lows, at), (highs, at))
                )
                for r in range(rows):
                    value = e.clamp(b.ashr(b.add(after[r][v], add), by), least, most)
                    if leaky:
                        value = e.larger(value, b.ashr(b.add(value, ir.Constant(_W8, [4] * 8)), ir.Constant(_W8, [3] * 8)))
                    where = b.add(b.add(out0, b.mul(outd, e.index(r))), lane)
                    if residual:
                        limits = e.splat(bound)
                        value = b.add(value, b.sext(e.load(skips, where, _H8), _W8))
                        value = e.clamp(value, b.sub(ir.Constant(_W8, [0] * 8), limits), limits)
                    b.store(b.trunc(value, _H8), e.at(outs, where, _H8), align=2)
            return context.get_dummy_value()

        return signature, codegen

    return tile


@intrinsic
def depthwise_tile(typing, x, taps, c_at, weight, w_at, bias, shift, limit, out, out_at):  # noqa: ANN001, ANN201
    """16 channels of a 3x3 depthwise layer at one place: out = clamp((sum of taps + bias) >> shift).

    x: flat int16; taps: int64, where each of the 9 neighbours' channels begins in x; c_at: first channel; bias, shift: int32
    by channel, in `HALVES` order within each group of 16; limit: of |out|.
    """
    signature = types.void(x, taps, types.intp, weight, types.intp, bias, shift, types.int32, out, types.intp)

    def codegen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        xs, offsets, c0, ws, w0, biases, shifts, bound, outs, out0 = _pointers(context, b, sig, args)
        e = _Emitter(b)
        near = [e.load(xs, b.add(b.load(b.gep(offsets, [e.index(t)])), c0), _H16) for t in range(9)]
        near.append(ir.Constant(_H16, [0] * 16))
        sums = [e.load(biases, b.add(c0, e.index(8 * v)), _W8) for v in range(2)]
        for pair in range(5):
            for v, lanes in enumerate((_LOW, _HIGH)):
                both = e.shuffle(near[2 * pair], near[2 * pair + 1], lanes)
                w = e.load(ws, b.add(w0, e.index(32 * pair + 16 * v)), _H16)
                sums[v] = b.add(sums[v], e.dot(both, w))
        high = e.splat(bound)
        low = b.sub(ir.Constant(_W8, [0] * 8), high)
        halves = []
        for v in range(2):
            by = e.load(shifts, b.add(c0, e.index(8 * v)), _W8)
            halves.append(b.trunc(e.clamp(b.ashr(sums[v], by), low, high), _H8))
        b.store(e.shuffle(halves[0], halves[1], _MERGE), e.at(outs, out0, _H16), align=2)
        return context.get_dummy_value()

    return signature, codegen


plain, plain_one = _make_tile(ROWS, False, False), _make_tile(1, False, False)
leaky, leaky_one = _make_tile(ROWS, True, False), _make_tile(1, True, False)
skipping, skipping_one = _make_tile(ROWS, False, True), _make_tile(1, False, True)
