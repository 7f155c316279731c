"""The classic codec: pictures through one-rate models of CompressAI's architectures, in .calo files (docs/FORMAT.md, 5.2).

The whole picture is one tile, padded to a multiple of 64. The priors are floats, so a stream is promised to decode only on a
machine like the encoder's; they run in float64 on the CPU, so that others rarely differ, and where one does the symbol hash
says so (DesyncError). mbt2018 and cheng2020-anchor are coded position by position in Python: seconds a megapixel, at least.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..entropy import RansDecoder, RansEncoder
from ..errors import CorruptStreamError, LimitError, ModelError, UsageError
from ..models.classic.architecture import LATENT, SIDE, gaussian_level
from ..models.classic.bundle import ClassicBundle
from . import container
from .container import ICC, TILE, Chunk, Container
from .image import EFFORT, Decoded, Encoded, Progress, Stopwatch
from .request import check_pixels, picture_header

CODEC = "classic"
QUALITY = 50.0  # the dial's default: these models have no dial
PIXELS_MAX = 1 << 24  # padded; the whole picture at once takes 0.8 kB a pixel (mbt2018-mean, N 128) to 1.6 (cheng2020, 192)
SYMBOL_LIMIT = 1 << 15


class ClassicCodec:
    """Encodes and decodes pictures with one classic model. Not safe for use by several threads at once."""

    dial = False

    def __init__(self, bundle: ClassicBundle, effort: int = EFFORT):
        """effort: the default only. Raises UsageError for another."""
        if effort != EFFORT:
            raise UsageError(f"model '{bundle.name}' has no effort dial: leave --effort out")
        self.bundle = bundle

    # ---- encode

    def encode(
        self,
        pixels: np.ndarray,
        quality: float = QUALITY,
        icc: bytes | None = None,
        reconstruct: bool = False,
        progress: Progress | None = None,
    ) -> Encoded:
        """Encode pixels (H, W, 3) uint8 RGB. quality: the default only, since each of these models has one rate.

        Raises UsageError, LimitError for more than 2**24 pixels, ModelError for a model that gives no numbers.
        """
        check_pixels(pixels)
        if quality != QUALITY:
            raise UsageError(
                f"model '{self.bundle.name}' has one rate: leave --quality, --bpp, --size and --psnr out, or take an image "
                "model, which has a dial"
            )
        bundle, (height, width), watch = self.bundle, pixels.shape[:2], Stopwatch()
        shape = _latents(height, width)
        with torch.inference_mode():
            y, z = bundle.model.analyse(_padded(pixels, shape).to(bundle.device))
            watch.lap("network")
            payload, bits, y_hat = self._code(_numbers(y), None if z is None else _numbers(z), shape)
            watch.lap("entropy")
            picture = self._picture(y_hat, height, width) if reconstruct else None
            watch.lap("network")
        header = picture_header(CODEC, bundle, height, width, {})
        chunks = ([] if icc is None else [Chunk(ICC, icc)]) + [Chunk(TILE, payload)]
        if progress:
            progress(1, 1)
        return Encoded(container.write(header, chunks), QUALITY, bits, picture, watch.seconds)

    def _code(self, y: np.ndarray, z: np.ndarray | None, shape: tuple[int, int]) -> tuple[bytes, float, Tensor]:
        """Latents (M, h, w) and side latents (N, h/4, w/4), not rounded -> the chunk's payload, its ideal bits, y_hat."""
        bundle, encoder, bits, coded = self.bundle, RansEncoder(), 0.0, []
        side = None
        if z is not None:
            median = bundle.model.entropy_bottleneck.median()[0].numpy()
            side = _rounded(z - median)
            index = _channels(side.shape)
            encoder.push(bundle.z_bank, side.reshape(-1), index)
            bits += float(bundle.z_bank.bits(side.reshape(-1), index).sum())
            coded.append(side)
        symbols, levels = [], []

        def code(where: tuple, mean: Tensor, scale: Tensor) -> np.ndarray:
            made = _rounded(y[(slice(None), *where)] - mean.numpy())
            symbols.append(made.reshape(-1))
            levels.append(self._level(scale))
            return made

        y_hat = bundle.model.walk(side, shape, code)
        coded.append(np.concatenate(symbols))
        index = np.concatenate(levels)
        encoder.push(bundle.y_bank, coded[-1], index)
        bits += float(bundle.y_bank.bits(coded[-1], index).sum())
        return container.symbol_hash(coded) + encoder.finish(), bits, y_hat

    def _level(self, scale: Tensor) -> np.ndarray:
        """Table index of each symbol, flat; without a side latent `scale` is the channel itself."""
        return (gaussian_level(scale) if self.bundle.model.has_side else scale.numpy().astype(np.int32)).reshape(-1)

    # ---- decode

    def decode(self, stream: Container, progress: Progress | None = None) -> Decoded:
        """Decode a read container. Raises CorruptStreamError, DesyncError, LimitError, ModelError."""
        header, (shape, payload), watch = stream.header, self._tile(stream), Stopwatch()
        with torch.inference_mode():
            _, y_hat = self.symbols(payload, shape)
            watch.lap("entropy")
            picture = self._picture(y_hat, header.height, header.width)
            watch.lap("network")
        if progress:
            progress(1, 1)
        icc = stream.payloads(ICC)
        return Decoded(picture, bytes(icc[0]) if icc else None, 0, watch.seconds)

    def _tile(self, stream: Container) -> tuple[tuple[int, int], bytes | memoryview]:
        """((h, w) in latents, payload) of the one tile."""
        header, tiles = stream.header, stream.payloads(TILE)
        stream.require_known({TILE})
        if header.media != "image" or header.colour != container.Colour():
            raise container.UnsupportedError(
                "codec 'classic' holds 8-bit RGB pictures and this stream claims other contents: update calotype"
            )
        foreign = header.params.keys() & {"quality_deci", "tile_width", "tile_height", "tile_overlap", "pad"}
        if foreign:
            raise CorruptStreamError(f"codec 'classic' has no parameter {min(foreign)}: the file is damaged")
        shape = _latents(header.height, header.width)
        if not tiles:
            raise CorruptStreamError("the one tile of the picture is not whole: nothing can be shown; get the file again")
        if len(tiles) > 1:
            raise CorruptStreamError(f"{len(tiles)} tiles where codec 'classic' has one: the file is damaged")
        return shape, tiles[0]

    def symbols(self, payload: bytes | memoryview, shape: tuple[int, int]) -> tuple[list[np.ndarray], Tensor]:
        """Decode a tile's payload to its symbols (z where there is one, then y) and y_hat (M, h, w) float64.

        Raises CorruptStreamError where the stream does not end as it must, DesyncError where the symbols are not those
        that were encoded, which a prior of floats cannot always tell from damage.
        """
        if len(payload) < container.SYMBOL_HASH_BYTES:
            raise CorruptStreamError("a tile is too short to be one: the file is damaged")
        bundle, (h, w), step = self.bundle, shape, SIDE // LATENT
        decoder = RansDecoder(bytes(payload[container.SYMBOL_HASH_BYTES :]))
        coded, z, symbols = [], None, []
        if bundle.z_bank is not None:
            z_shape = (bundle.config.N, h // step, w // step)
            z = decoder.pull(bundle.z_bank, _channels(z_shape)).reshape(z_shape)
            coded.append(z)

        def code(where: tuple, mean: Tensor, scale: Tensor) -> np.ndarray:
            symbols.append(decoder.pull(bundle.y_bank, self._level(scale)))
            return symbols[-1].reshape(mean.shape)

        with torch.inference_mode():
            y_hat = bundle.model.walk(z, shape, code)
        coded.append(np.concatenate(symbols))
        decoder.finish()
        container.check_symbols(bytes(payload[: container.SYMBOL_HASH_BYTES]), coded)
        return coded, y_hat

    def symbol_hashes(self, stream: Container) -> Iterator[bytes]:
        """The hash of the symbols of each tile, decoded."""
        shape, payload = self._tile(stream)
        yield container.symbol_hash(self.symbols(payload, shape)[0])

    def _picture(self, y_hat: Tensor, height: int, width: int) -> np.ndarray:
        x = self.bundle.model.synthesise(y_hat.float()[None].contiguous().to(self.bundle.device))[0, :, :height, :width]
        return (x.nan_to_num() * 255).round_().clamp_(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous().cpu().numpy()


def _latents(height: int, width: int) -> tuple[int, int]:
    """(h, w) of y for a picture of so many pixels. Raises LimitError where its transforms would take too much memory."""
    rows, columns = (-(-side // SIDE) * SIDE for side in (height, width))
    if rows * columns > PIXELS_MAX:
        raise LimitError(
            f"a picture of {width} x {height} pixels is over the {PIXELS_MAX} that codec 'classic' transforms at once: "
            "scale or cut it, or take an image model, which works in tiles"
        )
    return rows // LATENT, columns // LATENT


def _padded(pixels: np.ndarray, shape: tuple[int, int]) -> Tensor:
    """(1, 3, 16 h, 16 w) float in [0, 1], edges repeated to the right and bottom."""
    x = torch.from_numpy(np.array(pixels, order="C")).permute(2, 0, 1)[None].float() / 255
    return F.pad(x, (0, shape[1] * LATENT - x.shape[3], 0, shape[0] * LATENT - x.shape[2]), mode="replicate")


def _numbers(x: Tensor) -> np.ndarray:
    """(1, C, h, w) -> (C, h, w) float64. Raises ModelError where a value is no number."""
    values = x[0].double().cpu().numpy()
    if not np.isfinite(values).all():
        raise ModelError("the model gives values that are no numbers for this picture: its weights are damaged")
    return values


def _rounded(x: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(x), -SYMBOL_LIMIT, SYMBOL_LIMIT).astype(np.int32)


def _channels(shape: tuple[int, int, int]) -> np.ndarray:
    """Table index of each symbol of (C, h, w): its channel."""
    return np.repeat(np.arange(shape[0], dtype=np.uint16), shape[1] * shape[2])
