"""One frame of an overfitted clip: planes <-> payload. docs/FORMAT.md specifies payloads.

    I    the overfitted picture codec's payload of the whole frame, in RGB
    P B  symbol hash 4 | block 1, and 4 more where there are intra blocks | filter 1, of models with one | n varint |
         rANS: motion, n bytes | latents           of models whose prior mixes in place of n and what follows: motion, latents
         symbol hash 4 | 254 | the rest of I's: a frame coded by itself

    references, motion -> prediction ------------------------------------------+
                             | what the priors see                             v
    planes - prediction -> latents fitted to it -> prior, learning on -> bits; + -> planes

Source: Leguay et al., "Cool-chic video: Learned video coding with 800 parameters" (arXiv 2402.03179); Kim et al., "C3"
(arXiv 2312.02753). Taken: latents fitted to the frame itself, small autoregressive networks that become the clip's own, motion
compensation from decoded frames, hierarchies of quality. Different: see models/overfit/residual.py and temporal.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...entropy import RansDecoder, RansEncoder, binary
from ...errors import CorruptStreamError, UsageError
from ...models.imageconfig import QUALITY_MAX
from ...models.motion.compensate import Int16Planes, compensate
from ...models.motion.field import BLOCKS, Field, field_shape
from ...models.motion.fieldcoding import decode_field, encode_field
from ...models.overfit import motioncoding, residual, temporal
from ...models.overfit.loop import PLAIN
from ...models.overfit.mixing import Mixing
from ...models.overfit.sizes import TEMPORAL
from ...models.overfit.temporal import Memory, Seen
from ...models.overfit.videobundle import OverfitVideoBundle
from ..container import SYMBOL_HASH_BYTES, check_hash, symbol_hash
from ..header import Colour, decode_varint, encode_varint
from ..image import SKIP
from ..overfit import EFFORT, from_payload, to_payload
from ..y4m import Planes
from .colour import codable, to_planes, to_rgb
from .frames import ALONE, HAS_INTRA, CodedFrame, mark_of, marked, motion_symbols, searched_blocks, unmarked
from .packs import Joint, Part


@dataclass(frozen=True, eq=False)
class GridPicture:
    """A decoded picture as later frames see it: padded planes, and of an inter frame its field, its latents and what its prior
    had learnt."""

    planes: Planes
    field: Field | None = None
    latents: list[np.ndarray] | None = None
    memory: Memory | None = None


class GridFrameCodec:
    """Codes single frames of overfitted clips, as `frames.FrameCodec` those of others. Not safe for use by several threads."""

    chromas = ("420", "444")
    intra_spread = 0.0  # a lower intra frame costs chains of 40 frames some 1 %: all of it shows in what is predicted from it

    def __init__(self, bundle: OverfitVideoBundle, colour: Colour, effort: int = EFFORT):
        """colour: of the planes, 8-bit 4:2:0 or 4:4:4; effort: rounds of fitting, 0 to 9. Raises UsageError for others."""
        if not codable(colour, self.chromas):
            raise UsageError(f"frames of overfitted clips are 8-bit 4:2:0 or 4:4:4 in BT.709, BT.601 or BT.2020, not {colour}")
        self.bundle, self.colour, self.effort = bundle, colour, effort

    # ---- intra frames

    def encode_intra(self, planes: Planes, quality: int) -> CodedFrame:
        """planes: padded; quality 0..1000."""
        from ..overfitting import fit

        sides, intra = planes[0].shape, self.bundle.intra
        fitted = fit(intra, to_rgb(planes, self.colour), quality, self.effort, None, lambda state: None)
        payload, bits = to_payload(intra, fitted, sides)
        pixels = fitted.side.applied(intra)[1](fitted.grids, *sides)
        return CodedFrame(payload, GridPicture(to_planes(pixels, self.colour)), bits)

    def decode_intra(self, payload: bytes | memoryview, height: int, width: int, quality: int) -> GridPicture:
        """height, width: of padded luma. Raises CorruptStreamError, DesyncError."""
        grids, side = from_payload(self.bundle.intra, payload, (height, width))
        return GridPicture(to_planes(side.applied(self.bundle.intra)[1](grids, height, width), self.colour))

    def encode_alone(self, planes: Planes, quality: int) -> CodedFrame:
        """As `FrameCodec.encode_alone`."""
        coded = self.encode_intra(planes, quality)
        return replace(coded, payload=marked(coded.payload, ALONE))

    def encode_stem(self, planes: Planes, before: GridPicture, quality: int) -> CodedFrame:
        """Raises UsageError."""
        raise UsageError(f"model '{self.bundle.name}' codes no independent frames: take another structure")

    # ---- inter frames

    def encode(self, planes: Planes, references: Sequence[GridPicture], quality: int, block: int | None = None) -> CodedFrame:
        """planes: padded; one or two references; quality 0..1000; block: of motion, by default as suits the size."""
        from .gridfitting import fit_frame, predict

        bundle, size = self.bundle, planes[0].shape
        field, (base, doubt) = predict(bundle, planes, references, quality, searched_blocks(*size, block))
        step, memory, seen = self.past(references, quality, field, base, doubt)
        grids = fit_frame(bundle.prior, memory, planes, base, seen, step, self.effort)
        coder = binary.encoding()
        motion, bits, learnt = self._encode_motion(coder, field, references)
        coded = temporal.encode(bundle.prior, memory, coder, grids, seen, *size, residual.form_of(planes))
        shown, filtering = self._filtered(residual.synthesise(grids, base, step), base, step, planes)
        head = bytes([BLOCKS.index(field.block) + HAS_INTRA * field.has_intra]) + filtering
        payload = symbol_hash([motion_symbols(field), *grids, filtering]) + head + motion + coded.data
        picture = GridPicture(shown, field, grids, coded.memory._replace(motion=learnt))
        return CodedFrame(payload, picture, bits + coded.bits, Part(payload))

    def _encode_motion(
        self, coder: np.ndarray, field: Field, references: Sequence[GridPicture]
    ) -> tuple[bytes, float, Mixing | None]:
        """The bytes up to where latents go on with the coder, their bits and what is learnt of them."""
        if self.bundle.start is None:
            motion = RansEncoder()
            encode_field(motion, self.bundle.motion, field, len(references))
            stream = motion.finish(SKIP)
            return encode_varint(len(stream)) + stream, motion.bits, None
        coded = motioncoding.encode(*self._learnt(references), coder, field, len(references))
        return coded.data, coded.bits, coded.learnt

    def _learnt(self, references: Sequence[GridPicture]) -> tuple[Mixing, Field | None]:
        """What motion goes on from, and the field of the frame that has learnt it."""
        of = references[remembers(references)]
        return (self.bundle.start, None) if of.memory is None else (of.memory.motion, of.field)

    def decode(self, payload: bytes | memoryview, references: Sequence[GridPicture], quality: int) -> GridPicture:
        """From one or two references of its size. Raises CorruptStreamError, DesyncError."""
        if mark_of(payload) == ALONE:
            return self.decode_intra(unmarked(payload), *references[0].planes[0].shape, quality)
        picture, found = self._decode(payload[SYMBOL_HASH_BYTES:], references, quality)
        check_hash(payload[:SYMBOL_HASH_BYTES], found)
        return picture

    def decode_packed(
        self, rest: bytes | memoryview, references: Sequence[GridPicture], quality: int, joint: Joint, last: bool
    ) -> tuple[GridPicture, bytes]:
        """As `FrameCodec.decode_packed`; the frames of a pack share no stream."""
        return self._decode(rest, references, quality)

    def _decode(
        self, payload: bytes | memoryview, references: Sequence[GridPicture], quality: int
    ) -> tuple[GridPicture, bytes]:
        """A frame whose payload is without its symbol hash, and the hash of what was decoded."""
        bundle, planes = self.bundle, [picture.planes for picture in references]
        h, w = planes[0][0].shape
        view = memoryview(payload)
        if len(view) < 2 or view[0] % HAS_INTRA >= len(BLOCKS) or view[0] >= 2 * HAS_INTRA:
            raise CorruptStreamError("a frame says nothing of its motion: the file is damaged")
        block, has_intra = BLOCKS[view[0] % HAS_INTRA], bool(view[0] // HAS_INTRA)
        loop = bundle.loop
        filtering = b"" if loop is None else bytes(view[1:2])
        view = view[1 + len(filtering) :]
        shape, learnt = field_shape(h, w, block), None
        if bundle.start is None:
            field, view = self._decode_motion(view, shape, block, len(references), has_intra)
        buffer = np.frombuffer(view, np.uint8).copy()
        coder = binary.decoding(buffer)
        if bundle.start is not None:
            motion = motioncoding.decode(*self._learnt(references), coder, buffer, shape, block, len(references), has_intra)
            field, learnt = motion.field, motion.learnt
        base, doubt = compensate(planes, field)
        step, memory, seen = self.past(references, quality, field, base, doubt)
        coded = temporal.decode(bundle.prior, memory, coder, buffer, seen, h, w, residual.form_of(base))
        wide = residual.synthesise(coded.grids, base, step)
        strengths = PLAIN if loop is None else divmod(filtering[0], 16)
        shown = residual.show(wide, base, step, loop, strengths)
        picture = GridPicture(shown, field, coded.grids, coded.memory._replace(motion=learnt))
        return picture, symbol_hash([motion_symbols(field), *coded.grids, filtering])

    def _decode_motion(
        self, view: memoryview, shape: tuple[int, int], block: int, references: int, has_intra: bool
    ) -> tuple[Field, memoryview]:
        """The field, of models with tables of motion, and what is behind its stream."""
        length, at = decode_varint(view, 0, 32)
        if length > len(view) - at:
            raise CorruptStreamError("a frame's motion is not whole: the file is damaged")
        decoder = RansDecoder(bytes(view[at : at + length]))
        field = decode_field(decoder, self.bundle.motion, shape, block, references, has_intra)
        decoder.finish()
        return field, view[at + length :]

    def _filtered(self, wide: Int16Planes, base: Int16Planes, step: int, planes: Planes) -> tuple[Planes, bytes]:
        """What is shown, and the byte of its filter's strengths, of a model that has one."""
        if self.bundle.loop is None:
            return residual.show(wide, base, step, None, PLAIN), b""
        (luma, chroma), shown = residual.filtered(wide, base, step, self.bundle.loop, planes)
        return shown, bytes([16 * luma + chroma])

    def past(
        self, references: Sequence[GridPicture], quality: int, field: Field, base: Int16Planes, doubt: Int16Planes
    ) -> tuple[int, Memory | None, Seen]:
        """The step, the memory of the first reference that has any, and what the prior sees. base, doubt: of `compensate`."""
        if not 0 <= quality <= QUALITY_MAX:
            raise UsageError(f"quality {quality}: an inter frame has 0 to {QUALITY_MAX}")
        number = remembers(references)
        of, step = references[number], int(self.bundle.steps[quality])
        motion = residual.Motion(field, number) if self.bundle.prior.seen == TEMPORAL[1] else None
        return step, of.memory, residual.context(base, doubt, of.latents, step, motion, self.bundle.prior.mixing is not None)


def remembers(references: Sequence[GridPicture]) -> int:
    """The number of the first that has learnt something; 0 where none has."""
    return next((k for k, picture in enumerate(references) if picture.memory is not None), 0)
