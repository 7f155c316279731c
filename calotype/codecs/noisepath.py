"""The chunk that holds the noise of a generative picture: how it is chosen, coded, read and followed.

    seeded noise, time 1 --net: residual; an index of noise for each block--> state at t_1 --...--> at t_n --net--> picture

Source: DiffC (Theis et al., arXiv 2206.08889; Vonderfecht and Liu, arXiv 2501.09815). At each step the encoder sends a sample
of q(s_after | s_time, the photo's residual), by reverse-channel coding (models/generative/reverse.py); the proposal is
p(s_after | s_time), which has the net's residual in the place of the photo's. Different: it starts at a picture that a codec
has coded; times and numbers of blocks are stated, so that indices, and the noise that they mean, are integers that take no
float: only the net's residuals may differ by rounding between devices (docs/FORMAT.md, 5.9).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..entropy.rangecoder import INTEGER_CONTEXTS, BinaryDecoder, BinaryEncoder
from ..errors import CorruptStreamError, UsageError
from ..models.generative import reverse
from ..models.generative.flow import STEPS_MAX, precision, redrawn
from ..models.generative.noise import PLANES
from .container import SYMBOL_HASH_BYTES, check_symbols, symbol_hash
from .header import decode_varint, encode_varint

PATH = b"Path"
STEPS = 4  # that an encoder takes
BITS = 9.2  # that a block takes, for an encoder to aim by (docs/experiments/2026-11-29-reverse-channel.md)
UNIT = 1 << 16  # of stated times
EARLIEST = UNIT // 32  # time that an encoder goes to: with so little noise left there is nothing to code
INDEX_MAX = (1 << 24) - 1
PIXELS_MAX = 1 << 22  # of a picture with a path, whose places and noise take some 200 bytes a pixel while it is followed

Residual = Callable[[np.ndarray, float], np.ndarray]  # the net's, of a state (3, H, W) at a time, at realism 1


@dataclass(frozen=True)
class Step:
    """To `time`, of UNIT; indices: int32 (blocks,)."""

    time: int
    indices: np.ndarray


def read(payload: bytes | memoryview, height: int, width: int) -> list[Step]:
    """The steps of a chunk of a picture of that size; no net is called. Raises CorruptStreamError, DesyncError."""
    samples, view = PLANES * height * width, memoryview(payload)
    if height * width > PIXELS_MAX:
        raise CorruptStreamError(f"a path of noise for more than {PIXELS_MAX} pixels: the file is damaged")
    count, at = decode_varint(view, SYMBOL_HASH_BYTES, 32)
    if not 1 <= count <= STEPS_MAX:
        raise CorruptStreamError(f"a path of noise of {count} steps: the file is damaged")
    stated, before = [], UNIT
    for _ in range(count):
        time, at = decode_varint(view, at, 32)
        blocks, at = decode_varint(view, at, 32)
        if not 1 <= time < before or not 1 <= blocks <= reverse.most(samples):
            raise CorruptStreamError(f"a step of noise to {time} in {blocks} blocks: the file is damaged")
        stated.append((time, blocks))
        before = time
    decoder, steps = BinaryDecoder(view[at:], INTEGER_CONTEXTS), []
    for time, blocks in stated:
        indices = decoder.decode_integers(np.zeros(blocks, np.int64))
        if indices.max() > INDEX_MAX:
            raise CorruptStreamError(f"an index of noise over {INDEX_MAX}: the file is damaged")
        steps.append(Step(time, indices.astype(np.int32)))
    check_symbols(view[:SYMBOL_HASH_BYTES], symbols(steps))
    if write(steps) != payload:  # the coder's end has several spellings
        raise CorruptStreamError("a path of noise that no encoder writes so: the file is damaged")
    return steps


def write(steps: list[Step]) -> bytes:
    """The chunk's payload."""
    encoder = BinaryEncoder(INTEGER_CONTEXTS)
    head = symbol_hash(symbols(steps)) + encode_varint(len(steps))
    for step in steps:
        head += encode_varint(step.time) + encode_varint(len(step.indices))
        encoder.encode_integers(step.indices, np.zeros(len(step.indices), np.int64))
    return head + encoder.finish()


def symbols(steps: list[Step]) -> list[np.ndarray]:
    """What the symbol hash is of: of each step its time and its indices, int32."""
    return [array for step in steps for array in (np.array([step.time], np.int32), step.indices)]


def follow(steps: list[Step], seed: int, start: np.ndarray, size: tuple[int, int], net: Residual) -> tuple[np.ndarray, float]:
    """The state at the end of a path, and its time; start: the state at time 1, float32 (3, H, W), of at least `size`, height
    and width of the picture. What is beyond the picture has that noise at each step."""
    state, time = start, 1.0
    for number, step in enumerate(steps):
        residual = net(state, time)
        noise = _noise(step, number, seed, start, size)
        state, time = redrawn(state, residual, noise, time, step.time / UNIT), step.time / UNIT
    return state, time


def choose(
    truth: np.ndarray, bits: float, seed: int, start: np.ndarray, size: tuple[int, int], net: Residual
) -> tuple[list[Step], np.ndarray, float]:
    """A path of some `bits` bits towards the photo, and what `follow` gives; truth: the photo's residual, as the net's, float32
    (3, *size). Raises UsageError for a picture too large."""
    samples, state, time, steps = truth.size, start, 1.0, list[Step]()
    if samples > PLANES * PIXELS_MAX:
        raise UsageError(f"a path of noise is coded for at most {PIXELS_MAX} pixels")
    blocks = min(max(round(bits / STEPS / BITS), 1), reverse.most(samples))
    for number in range(STEPS):
        residual = net(state, time)
        off = truth - residual[:, : size[0], : size[1]]
        energy = float(np.square(off, dtype=np.float64).sum())
        wanted = precision(time) + 2 * reverse.KL_BITS * np.log(2) * blocks / max(energy, 1e-9)
        after = max(int(UNIT / (1 + wanted**0.5)), EARLIEST)
        if after >= round(time * UNIT):
            break
        gain = (precision(after / UNIT) - precision(time)) ** 0.5
        steps.append(Step(after, reverse.choose(np.float32(gain) * off.ravel(), seed, number, blocks)))
        noise = _noise(steps[-1], number, seed, start, size)
        state, time = redrawn(state, residual, noise, time, after / UNIT), after / UNIT
    return steps, state, time


def _noise(step: Step, number: int, seed: int, start: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Of a step, of unit variance, of the state's shape."""
    noise = start.copy()
    within = reverse.drawn(seed, number, step.indices, PLANES * size[0] * size[1]).reshape(PLANES, *size)
    noise[:, : size[0], : size[1]] = within * np.float32(0.5)
    return noise
