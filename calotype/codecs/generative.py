"""The generative codec: a picture as an image model codes it, and a net that makes what it decodes look real.

    pixels --smaller at low rates--> image codec --> the same tiles, under this codec's id (docs/FORMAT.md, section 5.9)
    tiles --> image codec: m, integers, exact --enlarged--> net (m, seeded noise, scale, quality, realism), floats --+--> pixels
                                                        +--> filters, the more the less real --------------------------+

The noise may be coded too, so that the net makes what the photo had (`noisepath`): another chunk, behind the tiles.

Sources and what differs: models/generative/net.py. Everything up to m is the image codec's; the net's pixels may differ by
rounding between devices. It works on parts with a margin of more than it sees, so that memory stays bounded and no seam shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..errors import CorruptStreamError, UsageError
from ..models.generative import reverse
from ..models.generative.bundle import GenerativeBundle
from ..models.generative.config import CELL, HALO
from ..models.generative.dial import QUALITIES, SCALES, Coded, place
from ..models.generative.flow import STEPS_MAX, times
from ..models.generative.noise import PLANES, noise
from . import container, noisepath
from .container import TILE, Container
from .image import EFFORT, Decoded, Encoded, ImageCodec, Progress, Stopwatch, iter_tiles
from .noisepath import PATH
from .request import check_pixels, picture_header, tenths
from .roi import Roi

if TYPE_CHECKING:
    from ..models.generative.backbone import Backbone
    from .analysis import Analysis

CODEC = "generative"
REALISM = 1.0  # of decoding, where neither the file nor the caller says
PART = 768  # pixels a side that the net is given at a time, without the margin; parts and margin are multiples of 24
REFINE_MAX = 2.0  # bits a pixel
REACH = 50  # steps of the image model's quality that an analysis serves: at low rates less than elsewhere


class SmallAnalysis(NamedTuple):
    """The latents of a picture, as for coding it so."""

    how: Coded
    latents: Analysis

    def serves(self, how: Coded) -> bool:
        """Whether they do for coding it so too."""
        return self.how.scale == how.scale and abs(self.how.quality - how.quality) <= REACH


class GenerativeCodec:
    """Encodes and decodes pictures with one generative model. Not safe for use by several threads at once."""

    by_psnr = False  # what it is for is not PSNR

    def __init__(self, bundle: GenerativeBundle, effort: int = EFFORT, realism: float = REALISM, refine: float = 0.0):
        """effort: of the image codec. realism: 0 (closest to the source) to 1 (most real), what files say of themselves.
        refine: bits a pixel that a path of noise takes besides, about; 0: none. Raises UsageError."""
        self.bundle, self.image, self.realism = bundle, ImageCodec(bundle.image, effort=effort), checked(realism)
        self.refine = refined(refine)
        self.backbone: Backbone | None = None  # decodes in the place of the model's net

    # ---- encode

    def encode(
        self,
        pixels: np.ndarray,
        quality: float = 50.0,
        icc: bytes | None = None,
        reconstruct: bool = False,
        progress: Progress | None = None,
        roi: Roi | None = None,
        analysis: SmallAnalysis | None = None,
    ) -> Encoded:
        """Encode pixels (H, W, 3) uint8 RGB at quality 0..100 (steps of 0.1): some 0.015 to 0.2 bits a pixel of a photo.

        analysis: of these pixels, left aside where it does not serve. reconstruction: as decoded at this codec's realism.
        Raises UsageError, for a region of interest too.
        """
        if roi is not None:
            raise UsageError(f"model '{self.bundle.name}' has one quality for all of a picture: leave roi out")
        how, dial = _place(pixels, quality)
        given = analysis.latents if analysis is not None and analysis.serves(how) else None
        small, needed = _small(pixels, how.scale), reconstruct or self.refine > 0
        coded = self.image.encode(small, how.quality / 10, icc, needed, progress, analysis=given)
        inner, watch = container.read(coded.data), Stopwatch()
        height, width = pixels.shape[:2]
        params = dict(inner.header.params) | ({"scale": how.scale} if how.scale > 1 else {})
        if self.realism != REALISM:
            params["realism"] = round(self.realism * 100)
        header = picture_header(CODEC, self.bundle, height, width, params)
        chunks, bits, picture, ended = inner.chunks, coded.estimated_bits, None, None
        if self.refine:
            steps, state, time = self._chosen(pixels, coded.reconstruction, how, seed(inner))
            ended = state, time
            if steps:
                chunks = (*chunks, container.Chunk(PATH, noisepath.write(steps)))
                bits += 8 * len(chunks[-1].payload)
        if reconstruct:
            picture = self._real(coded.reconstruction, how, seed(inner), self.realism, (height, width), ended=ended)
        watch.lap("network")
        seconds = {name: spent + watch.seconds[name] for name, spent in coded.seconds.items()}
        return Encoded(container.write(header, chunks), dial / 10, bits, picture, seconds)

    def analyse(self, pixels: np.ndarray, quality: float, roi: Roi | None = None) -> SmallAnalysis:
        """The latents at that quality: `encode` at qualities near it can start from them. Raises UsageError."""
        how = _place(pixels, quality)[0]
        return SmallAnalysis(how, self.image.analyse(_small(pixels, how.scale), how.quality / 10, roi))

    # ---- decode

    def decode(
        self, stream: Container, progress: Progress | None = None, realism: float | None = None, steps: int = 1
    ) -> Decoded:
        """Decode a read container; realism: 0 to 1, by default what the file says; steps: calls of the net, each taking away a
        part of the noise; those of a coded path, which a backbone leaves out, come before. Lost tiles are allowed only where it
        was read with `allow_partial`. Raises CorruptStreamError, DesyncError, UsageError."""
        if not 1 <= steps <= STEPS_MAX:
            raise UsageError(f"{steps} steps: give 1 to {STEPS_MAX}")
        if steps > 1 and self.backbone is not None:
            raise UsageError("a backbone is called once: leave steps out")
        beta = realism_of(stream) if realism is None else checked(realism)
        inner, how = self._inner(stream)
        path, size = path_of(stream), (stream.header.height, stream.header.width)
        coded, watch = self.image.decode(inner, progress), Stopwatch()
        ended = None
        if path and self.backbone is None:
            net = self._residual(coded.pixels, how)
            ended = noisepath.follow(path, seed(inner), _start(seed(inner), size, how), size, net)
        picture = self._real(coded.pixels, how, seed(inner), beta, size, steps, ended)
        watch.lap("network")
        seconds = {name: spent + watch.seconds[name] for name, spent in coded.seconds.items()}
        return Decoded(picture, coded.icc, coded.missing, seconds)

    def decode_exact(self, stream: Container) -> np.ndarray:
        """The picture that the net is given, (h, w, 3) uint8 at 1 / scale of the size: the same on every machine. Raises as
        `decode`."""
        return self.image.decode(self._inner(stream)[0]).pixels

    def symbol_hashes(self, stream: Container) -> Iterator[bytes]:
        """The hash of the symbols of each tile, decoded, and of a path. Raises as `decode`."""
        for tile in iter_tiles(self._inner(stream)[0]):
            yield container.symbol_hash(self.image.symbols(*tile)[0])
        if path := path_of(stream):
            yield container.symbol_hash(noisepath.symbols(path))

    def digests(self, stream: Container) -> dict[str, str]:
        """{"symbols": ..., "pixels": ...} as of `conformance.digests`; the pixels are those of `decode_exact`. Of a path
        also "noise": all of it."""
        from .conformance import digests, symbol_digest

        inner, path = self._inner(stream)[0], path_of(stream)
        found = digests(inner, self.image)
        if path:
            samples = PLANES * stream.header.height * stream.header.width
            noises = (reverse.drawn(seed(inner), k, step.indices, samples) for k, step in enumerate(path))
            found["noise"] = symbol_digest(noises)
        return found

    def _inner(self, stream: Container) -> tuple[Container, Coded]:
        """The stream as the image codec reads it, and how it is coded. Raises CorruptStreamError."""
        stream.require_known({TILE, PATH})
        header = stream.header
        params = dict(header.params)
        params.pop("realism", None)
        how = Coded(params.pop("scale", 1), params.get("quality_deci", QUALITIES))
        if how.scale > SCALES or how.quality > QUALITIES:
            raise CorruptStreamError(
                f"codec 'generative' codes nothing at 1/{how.scale} of its size and quality {how.quality / 10:g}: the file is "
                "damaged"
            )
        height, width = (-(-side // how.scale) for side in (header.height, header.width))
        chunks = tuple(chunk for chunk in stream.chunks if chunk.kind != PATH)
        header = replace(header, codec="image", height=height, width=width, params=params)
        return replace(stream, header=header, chunks=chunks), how

    def _chosen(
        self, pixels: np.ndarray, given: np.ndarray, how: Coded, start: int
    ) -> tuple[list[noisepath.Step], np.ndarray, float]:
        """`noisepath.choose` towards pixels (H, W, 3), of `given`."""
        import torch

        from ..models.generative.net import SPREAD, enlarge

        size = pixels.shape[0], pixels.shape[1]
        truth = np.empty((PLANES, *size), np.float32)
        for part in _parts(size, how.scale * CELL):
            small = torch.from_numpy(_cut(given, *(v // how.scale for v in part.seen))).permute(2, 0, 1)[None].float() / 255
            target = truth[:, part.y : part.y + PART, part.x : part.x + PART]
            large = part.within(enlarge(small, how.scale)[0].numpy())[:, : target.shape[1], : target.shape[2]]
            goal = pixels[part.y : part.y + PART, part.x : part.x + PART].transpose(2, 0, 1)
            target[...] = (goal / np.float32(255) - large) / np.float32(SPREAD)
        bits = self.refine * size[0] * size[1]
        return noisepath.choose(truth, bits, start, _start(start, size, how), size, self._residual(given, how))

    def _residual(self, given: np.ndarray, how: Coded) -> noisepath.Residual:
        """Of the net, on the whole of a picture."""

        def called(state: np.ndarray, time: float) -> np.ndarray:
            out, size = np.empty_like(state), (state.shape[1], state.shape[2])
            for part in _parts(size, how.scale * CELL):
                small = _cut(given, *(v // how.scale for v in part.seen))
                target = out[:, part.y : part.y + PART, part.x : part.x + PART]
                made = self._made(small, part.around(state), how, 1.0, time, None)
                target[...] = part.within(made)[:, : target.shape[1], : target.shape[2]]
            return out

        return called

    def _real(
        self,
        given: np.ndarray,
        how: Coded,
        start: int,
        realism: float,
        size: tuple[int, int],
        steps: int = 1,
        ended: tuple[np.ndarray, float] | None = None,
    ) -> np.ndarray:
        """What the net makes of `given` (h, w, 3) uint8: (height, width, 3) uint8. Of several steps each sees what the one
        before left around a part, so that they hold 24 bytes a pixel more. ended: state and time that a path led to."""
        canvas, unit = np.empty((*size, 3), np.uint8), how.scale * CELL
        state, begin = ended or (None, 1.0)
        for time, after in times(steps, begin):
            later = np.empty((PLANES, *(-(-side // unit) * unit for side in size)), np.float32) if after else None
            goal = canvas.transpose(2, 0, 1) if later is None else later
            for part in _parts(size, unit):
                small = _cut(given, *(v // how.scale for v in part.seen))
                here = realism * noise(start, *part.seen) if state is None else part.around(state)
                made = self._made(small, here, how, realism, time, after)
                target = goal[:, part.y : part.y + PART, part.x : part.x + PART]
                target[...] = part.within(made)[:, : target.shape[1], : target.shape[2]]
            state = later
        return canvas

    def _made(
        self, small: np.ndarray, state: np.ndarray, how: Coded, realism: float, time: float, after: float | None
    ) -> np.ndarray:
        """One call of the net: small (h, w, 3) uint8, state (3, scale h, scale w) at `time` -> (3, scale h, scale w), the state
        at `after`, or at 0 the pixels, uint8; the residual where it is None."""
        import torch

        from ..models.generative.net import SPREAD, Setting, enlarge, stepped

        net, device = self.backbone or self.bundle.net, self.bundle.device
        with torch.inference_mode():
            x = torch.from_numpy(small).permute(2, 0, 1)[None].to(device).float() / 255
            setting = Setting.of(1, how.scale, how.quality, realism, device, time)
            large, noisy = enlarge(x, how.scale), torch.from_numpy(state)[None].to(device)
            made = net(large, noisy, setting)
            if after is None:
                return ((made - large) / SPREAD)[0].cpu().numpy()
            if after:
                return stepped(large, noisy, made, time, after)[0].cpu().numpy()
            made, filters = made[0], self.bundle.fidelity
            if filters is not None and self.backbone is None:
                nearer = filters.corrections(large[0].cpu().numpy(), how)
                made = made + filters.share(how, realism) * torch.from_numpy(nearer).to(device)
            return (made * 255).round().clamp(0, 255).to(torch.uint8).cpu().numpy()


class Part(NamedTuple):
    """A part of a picture from (y, x) on, at most PART pixels a side, and what the net is given for it: whole cells."""

    y: int
    x: int
    seen: tuple[int, int, int, int]  # top, left, height, width

    def around(self, picture: np.ndarray) -> np.ndarray:
        """What is seen of (C, H, W)."""
        top, left, height, width = self.seen
        return np.ascontiguousarray(picture[:, top : top + height, left : left + width])

    def within(self, made: np.ndarray) -> np.ndarray:
        """What is seen (C, height, width), from the part's first row and column on."""
        return made[:, self.y - self.seen[0] :, self.x - self.seen[1] :]


def _parts(size: tuple[int, int], unit: int) -> Iterator[Part]:
    """The parts of a picture that is coded in cells of `unit` pixels; they go beyond its last row and column."""
    for y in range(0, size[0], PART):
        for x in range(0, size[1], PART):
            top, left = max(0, y - HALO), max(0, x - HALO)
            ends = [min(at + PART + HALO, side) for at, side in zip((y, x), size, strict=True)]
            yield Part(y, x, (top, left, *(-(-(end - at) // unit) * unit for end, at in zip(ends, (top, left), strict=True))))


def checked(realism: float) -> float:
    """The realism itself. Raises UsageError where it is none."""
    if not 0 <= realism <= 1:
        raise UsageError(f"realism {realism:g}: give 0 (closest to the source) to 1 (most real)")
    return realism


def refined(bits: float) -> float:
    """The bits a pixel themselves. Raises UsageError where they are none."""
    if not 0 <= bits <= REFINE_MAX:
        raise UsageError(f"refine {bits:g}: give 0 to {REFINE_MAX:g} bits a pixel")
    return bits


def path_of(stream: Container) -> list[noisepath.Step]:
    """Of a stream that was read; empty where it has none. Raises CorruptStreamError, DesyncError."""
    found = stream.payloads(PATH)
    if found and (len(found) > 1 or stream.chunks[-1].kind != PATH):
        raise CorruptStreamError("a path of noise must be one, behind the tiles: the file is damaged")
    return noisepath.read(found[0], stream.header.height, stream.header.width) if found else []


def realism_of(stream: Container) -> float:
    """What a file says, or the default."""
    return stream.header.params.get("realism", round(REALISM * 100)) / 100


def seed(stream: Container) -> int:
    """Of the noise: the symbol hash of the first tile, so that a file decodes alike each time; 0 where there is no tile."""
    tiles = stream.payloads(TILE)
    return int.from_bytes(tiles[0][: container.SYMBOL_HASH_BYTES], "little") if tiles else 0


def _start(start: int, size: tuple[int, int], how: Coded) -> np.ndarray:
    """The state that a path begins with, of whole cells."""
    unit = how.scale * CELL
    return noise(start, 0, 0, *(-(-side // unit) * unit for side in size))


def _place(pixels: np.ndarray, quality: float) -> tuple[Coded, int]:
    """How a picture is coded at that quality, and the dial's position in tenths."""
    check_pixels(pixels)
    dial = tenths(quality)
    return place(dial), dial


def _cut(pixels: np.ndarray, top: int, left: int, height: int, width: int) -> np.ndarray:
    """A part (height, width, 3); what is beyond the last row or column repeats it."""
    part = pixels[top : top + height, left : left + width]
    return np.pad(part, ((0, height - part.shape[0]), (0, width - part.shape[1]), (0, 0)), mode="edge")


def _small(pixels: np.ndarray, scale: int) -> np.ndarray:
    """pixels at 1 / scale of their size, rounded up; the last row and column are repeated to a multiple first."""
    if scale == 1:
        return pixels
    import torch

    from ..models.generative.net import shrink

    height, width = (-(-side // scale) * scale for side in pixels.shape[:2])
    x = torch.from_numpy(_cut(pixels, 0, 0, height, width)).permute(2, 0, 1)[None]
    return shrink(x, scale)[0].permute(1, 2, 0).contiguous().numpy()
