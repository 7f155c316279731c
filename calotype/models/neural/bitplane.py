"""Bit-planes out of coordinates: a network that says, from a place and the index of a bit, how probable a 1 is there.

Source: Han et al., "Towards Lossless Implicit Neural Representation via Bit Plane Decomposition" (2025, arXiv 2502.21001): one
network for all bit-planes of a picture, whose inputs are the coordinates and the index of the bit.
Different: theirs is fitted until no bit is wrong; here the output is a probability, by which the bit is coded, so that any fit
is lossless. The bits above, of the sample and of those around it, are inputs too, for they are decoded before. Integers
(stack.py); a cosine basis (nirvana.py) in place of sines with learned frequencies.

    basis of (x, y) --trunk, 1 x 1, per sample--> picture M, features
    bits above, M, features, index of the bit --head of the channel, 1 x 1--> ln(p / (1 - p))

With b the index of a bit, samples are seen in units of 2^b: how far M lies from the place that the bit decides about, and how
far those around lie from it as they are known by then. That makes one head do for all planes, at any depth.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np

from ...errors import CorruptStreamError
from . import nirvana, stack
from .coding import Reader, Stack, Writer, read_stack, write_stack
from .stack import ACT_FRACTION, ACT_TOP, Shape

AROUND = 9  # samples of a channel that are seen
UNIT = 1 << ACT_FRACTION
SAMPLE_FRACTION = 4  # M and the centres of intervals are in 1/16 of a sample
ENDS = (-ACT_TOP - 1, ACT_TOP)
LOGIT_FRACTION, LOGIT_TOP = 8, 2047
MIDDLE = 1 << 7 + SAMPLE_FRACTION  # M of a trunk's 0, at depth 8
MOST = (256, 64, 16, 64)  # of each number of a plan
_SIZES = (((1 << 12), (8, 6, 1, 6)), ((1 << 14), (24, 12, 2, 12)), ((1 << 17), (64, 24, 4, 32)))  # pixels at most, plan
_LARGEST = (96, 40, 6, 32)


@dataclass(frozen=True)
class Plan:
    """inputs: cosines of a place; width: of the trunk's layers; features: that it gives beside M; hidden: width of a head."""

    inputs: int
    width: int
    features: int
    hidden: int

    @staticmethod
    def choose(height: int, width: int) -> Plan:
        """For a picture of this size."""
        inputs, *rest = next((plan for pixels, plan in _SIZES if height * width <= pixels), _LARGEST)
        return Plan(min(inputs, height * width), *rest)

    def numbers(self) -> tuple[int, ...]:
        """What a file carries."""
        return astuple(self)

    def checked(self, height: int, width: int) -> Plan:
        """Itself. Raises CorruptStreamError where a number is none that a picture of this size may have."""
        fine = all(1 <= number <= most for number, most in zip(self.numbers(), MOST, strict=True))
        if not fine or self.inputs > height * width:
            raise CorruptStreamError("a network's numbers are out of range: the file is damaged")
        return self

    def trunk(self, channels: int) -> list[Shape]:
        """Its layers."""
        widths = (self.inputs, self.width, self.width, channels + self.features)
        return [Shape(1, a, b, 1) for a, b in zip(widths, widths[1:], strict=False)]

    def head(self, channels: int, depth: int) -> list[Shape]:
        """The layers of each."""
        widths = (AROUND * channels + self.features + depth, self.hidden, self.hidden, 1)
        return [Shape(1, a, b, 1) for a, b in zip(widths, widths[1:], strict=False)]


@dataclass(frozen=True)
class BitNet:
    """A picture's trunk, and a head for each of its channels."""

    plan: Plan
    depth: int
    trunk: Stack
    heads: list[Stack]

    def write(self) -> tuple[bytes, list[np.ndarray], float]:
        """Bytes, the integers in them, estimated bits."""
        writer = Writer()
        for layers in (self.trunk, *self.heads):
            write_stack(writer, layers, None)
        return writer.finish(), writer.seen, writer.bits

    @staticmethod
    def read(data: bytes | memoryview, plan: Plan, channels: int, depth: int) -> tuple[BitNet, list[np.ndarray]]:
        """The inverse of `write`. Raises CorruptStreamError."""
        reader = Reader(data)
        trunk = read_stack(reader, plan.trunk(channels), None)
        heads = [read_stack(reader, plan.head(channels, depth), None) for _ in range(channels)]
        reader.finish()
        return BitNet(plan, depth, trunk, heads), reader.seen

    def places(self, height: int, width: int, rows: slice) -> np.ndarray:
        """int16 (rows, width, channels + features): what the trunk says of some rows of a picture."""
        at = np.arange(rows.start, rows.stop)[:, None], np.arange(width)[None]
        return stack.levels(self.trunk, nirvana.basis(height, width, self.plan.inputs, at), ENDS).astype(np.int16)

    def logits(self, known: np.ndarray, rows: slice, places: np.ndarray, channel: int, bit: int) -> np.ndarray:
        """int32 (rows, width): ln(p / (1 - p)) in 1/256 of bit `bit` of a channel. known: int32 (height, width, channels), the
        bits that are decoded, 0 below: of earlier channels from `bit` on, of the others those above it. places: of the rows."""
        centres = _centres(_around(known, rows), channel, bit)
        height, width, channels = centres.shape[:3]
        picture = (places[..., :channels].astype(np.int32) + MIDDLE) << (self.depth - 8)
        own = centres[:, :, channel, AROUND // 2, None, None]
        seen = centres - own
        seen[..., AROUND // 2] = picture - centres[..., AROUND // 2]
        seen = (seen << (ACT_FRACTION - SAMPLE_FRACTION)) >> bit
        index = np.zeros((height, width, self.depth), np.int32)
        index[..., bit] = UNIT
        grid = np.concatenate([np.clip(seen.reshape(height, width, -1), *ENDS), places[..., channels:], index], -1)
        return stack.levels(self.heads[channel], grid, (-LOGIT_TOP, LOGIT_TOP))[..., 0].astype(np.int32)


def _around(known: np.ndarray, rows: slice) -> np.ndarray:
    """(rows, width, channels, AROUND): the 3 x 3 samples of each place, in raster order; edges are repeated."""
    height, width = known.shape[:2]
    down = np.clip(np.arange(rows.start - 1, rows.stop + 1), 0, height - 1)
    across = np.clip(np.arange(-1, width + 1), 0, width - 1)
    windows = np.lib.stride_tricks.sliding_window_view(known[down[:, None], across], (3, 3), (0, 1))
    return windows.reshape(*windows.shape[:3], AROUND)


def _centres(values: np.ndarray, channel: int, bit: int) -> np.ndarray:
    """Middles of what samples (..., channels, AROUND) may be, in 1/16: of 2^bit numbers where the bit is known, else of twice
    as many."""
    widths = np.full((values.shape[-2], 1), 2 << bit, np.int32)
    widths[:channel] >>= 1
    half = 1 << SAMPLE_FRACTION - 1
    return (values << SAMPLE_FRACTION) + half * (widths - 1)
