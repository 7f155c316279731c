"""One frame of video: planes <-> payload, given the pictures that it refers to. docs/FORMAT.md specifies payloads.

    I   symbol hash 4 | rANS: the image codec's tile of the whole frame, in RGB
    P B symbol hash 4 | block 1, and 4 more where there are intra blocks | rANS: motion, z, then y step by step
        symbol hash 4 | 254 | rANS: a frame coded by itself, a tile as of I
        symbol hash 4 | 255 | rANS: an independent frame, a tile as of I whose prior sees the latents of the frame before

What a picture leaves to later ones is its planes and its integer latents; all that is computed from them before a symbol is
read or a sample is written is integer arithmetic, so an encoder's pictures are the decoder's on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ...entropy import RansDecoder, RansEncoder
from ...errors import CalotypeError, CorruptStreamError, UsageError
from ...models.imageconfig import QUALITY_MAX
from ...models.integer.places import Quality
from ...models.motion.compensate import compensate
from ...models.motion.field import BLOCKS, Field, field_shape
from ...models.motion.fieldcoding import decode_field, encode_field
from ...models.priorgraph import MEAN_FRAC, Z_MAX
from ...models.stem import Past
from ...models.videobundle import VideoBundle
from ...models.videoconfig import search_lmbda
from ..container import SYMBOL_HASH_BYTES, check_hash, symbol_hash
from ..grid import LATENT, PAD, TILE_MAX
from ..header import Colour
from ..image import EFFORT, SKIP, SYMBOL_LIMIT, ImageCodec, Push, kept_bits
from ..rdoq import Rounder
from ..y4m import Planes, plane_shapes
from .colour import codable, to_planes, to_rgb
from .packs import Joint, Part, begun

if TYPE_CHECKING:
    from torch import Tensor

    from .gridframes import GridPicture

MAX_SIDE = TILE_MAX  # luma pixels: latents of a frame are one tile
ALONE, INDEPENDENT = b"\xfe", b"\xff"  # in the place of an inter frame's block
HAS_INTRA = 4  # added to an inter frame's block
SMALL = 352 * 288  # luma pixels of a frame up to which blocks are of 8 or 16 pixels, above it of 16 or 32


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded picture as later frames see it: padded planes (luma sides multiples of 32), latents (h, w, M) int32 in 1/16,
    zero of an intra or independent frame, and its own field of motion, where it has one; image: latents of the image model
    (h, w, its M) int32 in 1/16, of intra and independent frames."""

    planes: Planes
    latents: np.ndarray
    field: Field | None = None
    image: np.ndarray | None = None


@dataclass(frozen=True)
class CodedFrame:
    """payload; picture: what a decoder gets; estimated_bits: ideal code length of its symbols; part: for a pack, of an inter
    frame."""

    payload: bytes
    picture: Picture | GridPicture
    estimated_bits: float
    part: Part | None = None


def pad(planes: Planes, chroma: str = "420") -> Planes:
    """Edges repeated until luma sides are multiples of 32 and chroma's are half of them, or the same of 4:4:4."""
    height, width = (-(-side // PAD) * PAD for side in planes[0].shape)
    out = []
    for plane, (h, w) in zip(planes, plane_shapes(width, height, chroma), strict=True):
        out.append(np.pad(plane, ((0, h - plane.shape[0]), (0, w - plane.shape[1])), mode="edge"))
    return out[0], out[1], out[2]


def crop(planes: Planes, height: int, width: int, chroma: str = "420") -> Planes:
    """The reverse of `pad`: views."""
    y, u, v = (plane[:h, :w] for plane, (h, w) in zip(planes, plane_shapes(width, height, chroma), strict=True))
    return y, u, v


def searched_blocks(height: int, width: int, block: int | None) -> tuple[int, ...]:
    """The sizes of motion's blocks that an encoder tries: the one asked for, or what suits the size of luma."""
    return (block,) if block else BLOCKS[:2] if height * width <= SMALL else BLOCKS[1:]


def marked(payload: bytes, mark: bytes) -> bytes:
    """An intra frame's payload as that of an inter frame."""
    return payload[:SYMBOL_HASH_BYTES] + mark + payload[SYMBOL_HASH_BYTES:]


def mark_of(payload: bytes | memoryview) -> bytes:
    """What stands in the place of an inter frame's block."""
    return bytes(payload[SYMBOL_HASH_BYTES : SYMBOL_HASH_BYTES + 1])


def unmarked(payload: bytes | memoryview) -> bytes:
    """The reverse of `marked`."""
    return bytes(payload[:SYMBOL_HASH_BYTES]) + bytes(payload[SYMBOL_HASH_BYTES + 1 :])


class FrameCodec:
    """Codes single frames with one model. Not safe for use by several threads at once."""

    chromas = ("420",)
    intra_spread = 1.0  # by what a structure's offset of intra frames is multiplied

    def __init__(self, bundle: VideoBundle, colour: Colour, effort: int = EFFORT):
        """colour: of the planes, 8-bit 4:2:0; it matters to intra frames. effort: passes that fit the latents to a frame before
        they are coded, 0 to 9 (`closedloop.py`). Raises UsageError for others."""
        if not codable(colour):
            raise UsageError(f"video frames are 8-bit 4:2:0 in BT.709, BT.601 or BT.2020, not {colour}")
        self.bundle, self.colour, self.effort = bundle, colour, effort
        self.image = ImageCodec(bundle.intra, TILE_MAX, effort)

    # ---- intra frames

    def encode_intra(self, planes: Planes, quality: int) -> CodedFrame:
        """planes: padded; quality 0..1000."""
        payload, bits, *decoded = self.image.encode_frame(to_rgb(planes, self.colour), quality)
        return CodedFrame(payload, self._intra(*decoded), bits)

    def decode_intra(self, payload: bytes | memoryview, height: int, width: int, quality: int) -> Picture:
        """height, width: of padded luma. Raises CorruptStreamError, DesyncError."""
        return self._intra(*self.image.decode_frame(payload, height, width, quality))

    def _intra(self, pixels: np.ndarray, y_hat: np.ndarray) -> Picture:
        latents = np.zeros((*y_hat.shape[:2], self.bundle.config.latents), np.int32)
        return Picture(to_planes(pixels, self.colour), latents, image=y_hat)

    # ---- independent frames

    def encode_alone(self, planes: Planes, quality: int) -> CodedFrame:
        """An inter frame that nothing before is like, coded as an intra frame is. planes: padded; quality 0..1000."""
        coded = self.encode_intra(planes, quality)
        return replace(coded, payload=marked(coded.payload, ALONE))

    def encode_stem(self, planes: Planes, before: Picture, quality: int) -> CodedFrame:
        """planes: padded; before: an intra or independent frame, of whose latents the entropy model knows; quality 0..1000.
        Raises UsageError for another, and where the model has no stem prior."""
        past = self._past(before, planes[0].shape, UsageError)
        payload, bits, *decoded = self.image.encode_frame(to_rgb(planes, self.colour), quality, past)
        return CodedFrame(marked(payload, INDEPENDENT), self._intra(*decoded), bits)

    def decode_stem(self, payload: bytes | memoryview, before: Picture, quality: int) -> Picture:
        """Raises CorruptStreamError, DesyncError."""
        h, w = before.planes[0].shape
        past = self._past(before, (h, w), CorruptStreamError)
        return self._intra(*self.image.decode_frame(unmarked(payload), h, w, quality, past))

    def _past(self, before: Picture, shape: tuple[int, ...], error: type[CalotypeError]) -> Past:
        if self.bundle.stem is None:
            raise error(f"model '{self.bundle.name}' codes no independent frames: take one with a stem prior")
        if before.image is None or before.planes[0].shape != shape:
            raise error("an independent frame is coded after an intra or an independent one of its size")
        return Past(self.bundle.stem, before.image)

    # ---- inter frames

    def encode(self, planes: Planes, references: Sequence[Picture], quality: int, block: int | None = None) -> CodedFrame:
        """planes: padded; one or two references; quality 0..1000; block: of motion, by default as suits the size."""
        from . import frameanalysis

        bundle = self.bundle
        h, w = planes[0].shape
        blocks = searched_blocks(h, w, block)
        field, (base, difference) = frameanalysis.predict(bundle, planes, references, search_lmbda(quality), blocks)
        c, given = bundle.inter.known(base, difference, quality)
        analysis = frameanalysis.Analysis(bundle, planes, base, bundle.inter.execution.numpy(c), quality)
        rounder = Rounder(bundle.y_bank, bundle.worth(quality), bundle.config.of_prior.plan, SKIP)

        def code(y: Tensor, push: Push) -> tuple[list[np.ndarray], np.ndarray]:
            """z, then the symbols of y step by step, each given to `push`; y_hat."""
            y, z = analysis.symbols(y)
            flat, coded = y.clip(-SYMBOL_LIMIT, SYMBOL_LIMIT), [z]

            def step(mean: np.ndarray, index: np.ndarray, step: int) -> np.ndarray:
                residual = bundle.prior.cut(flat, step) - mean * np.float32(1 / (1 << MEAN_FRAC))
                symbols = rounder(residual, index, step, None)
                push(bundle.y_bank, symbols.reshape(-1), index.reshape(-1), True)
                coded.append(symbols)
                return symbols

            push(bundle.z_bank, z.reshape(-1), _z_indices(z.shape), False)
            return coded, self._walk(z, given, references[0], quality, step)

        def trial(y: Tensor) -> tuple[float, np.ndarray]:
            spent: list[float] = []
            latents = code(y, lambda *symbols: spent.append(kept_bits(*symbols)))[1]
            return sum(spent), latents

        y = analysis.latents()
        if self.effort:
            y = analysis.fit(y, self.effort, trial)
        encoder, kept = RansEncoder(), RansEncoder()
        encode_field(encoder, bundle.motion, field, len(references))
        coded, latents = code(y, lambda *symbols: encoder.push(*symbols[:3], scale_indexed=symbols[3]))
        kept.extend(encoder, SKIP)
        stream = encoder.finish(SKIP)
        motion = BLOCKS.index(field.block) + HAS_INTRA * field.has_intra
        payload = symbol_hash([motion_symbols(field), *coded]) + bytes([motion]) + stream
        picture = Picture(bundle.inter(latents, c, base, quality), latents, field)
        return CodedFrame(payload, picture, encoder.bits, Part(payload, kept, SKIP))

    def decode(self, payload: bytes | memoryview, references: Sequence[Picture], quality: int) -> Picture:
        """An inter or independent frame from one or two references of its size. Raises CorruptStreamError, DesyncError."""
        if mark_of(payload) == ALONE:
            return self.decode_intra(unmarked(payload), *references[0].planes[0].shape, quality)
        if mark_of(payload) != INDEPENDENT:
            motion, decoder = begun(payload[SYMBOL_HASH_BYTES:])
            finish, found = self._decode_inter(motion, decoder, references, quality)
            decoder.finish()
            check_hash(payload[:SYMBOL_HASH_BYTES], found)
            return finish()
        if len(references) > 1:
            raise CorruptStreamError("an independent frame names two frames before it: the file is damaged")
        return self.decode_stem(payload, references[0], quality)

    def decode_packed(
        self, rest: bytes | memoryview, references: Sequence[Picture], quality: int, joint: Joint, last: bool
    ) -> tuple[Picture, bytes]:
        """The next frame of a pack, whose bytes are without a symbol hash, and the hash of what was decoded, for whoever checks
        it. Raises CorruptStreamError."""
        with joint.frame(rest, last) as (motion, decoder):
            finish, found = self._decode_inter(motion, decoder, references, quality)
        return finish(), found

    def _decode_inter(
        self, motion: int, decoder: RansDecoder, references: Sequence[Picture], quality: int
    ) -> tuple[Callable[[], Picture], bytes]:
        """What makes a picture of the symbols, and their hash. motion: block and flag of intra blocks."""
        bundle, before = self.bundle, [picture.planes for picture in references]
        h, w = before[0][0].shape
        has_intra, size = divmod(motion, HAS_INTRA)
        if size >= len(BLOCKS) or has_intra > 1:
            raise CorruptStreamError("a frame says nothing of its motion: the file is damaged")
        if has_intra and "intra" not in bundle.motion:
            raise CorruptStreamError(f"a frame has intra blocks, which model '{bundle.name}' has not: the file is damaged")
        block = BLOCKS[size]
        field = decode_field(decoder, bundle.motion, field_shape(h, w, block), block, len(references), bool(has_intra))
        base, difference = compensate(before, field)
        z_shape = (-(-h // (4 * LATENT)), -(-w // (4 * LATENT)), bundle.config.side)
        z = decoder.pull(bundle.z_bank, _z_indices(z_shape)).reshape(z_shape)
        if np.abs(z.astype(np.int64)).max() > Z_MAX:
            raise CorruptStreamError("a side latent is out of range: the file is damaged")
        coded = [motion_symbols(field), z]
        c, given = bundle.inter.known(base, difference, quality)

        def code(mean: np.ndarray, index: np.ndarray, step: int) -> np.ndarray:
            symbols = decoder.pull(bundle.y_bank, index.reshape(-1), scale_indexed=True).reshape(index.shape)
            coded.append(symbols)
            return symbols

        latents = self._walk(z, given, references[0], quality, code)
        return lambda: Picture(bundle.inter(latents, c, base, quality), latents, field), symbol_hash(coded)

    def _walk(self, z: np.ndarray, given: np.ndarray, first: Picture, quality: int, code) -> np.ndarray:
        if not 0 <= quality <= QUALITY_MAX:
            raise UsageError(f"quality {quality}: an inter frame has 0 to {QUALITY_MAX}")
        return self.bundle.prior.walk(z, given.shape[:2], Quality((quality,)), code, temporal=(given, first.latents))


def motion_symbols(field: Field) -> np.ndarray:
    """What of a field the symbol hash covers: modes, then vectors, int32."""
    return np.concatenate([field.mode.reshape(-1), field.vectors.reshape(-1)], dtype=np.int32)


def _z_indices(shape: tuple[int, ...]) -> np.ndarray:
    """Table index of each z symbol: its channel."""
    return np.broadcast_to(np.arange(shape[-1], dtype=np.uint16), shape).reshape(-1).copy()
