"""The image codec: what the encoder reconstructs is what every decoder shows, in tiles, of any size."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest

from calotype.codecs import container
from calotype.codecs.container import TILE, Chunk, Colour
from calotype.codecs.dial import Dial
from calotype.codecs.header import UnsupportedError
from calotype.codecs.image import CODEC, HALO, LATENT, Grid, ImageCodec, iter_tiles
from calotype.codecs.registry import open_stream
from calotype.errors import CorruptStreamError, DesyncError, UsageError
from calotype.models.zoo import load_model

SIZES = [(1, 1), (1, 257), (257, 1), (2, 3), (16, 16), (17, 15), (31, 33), (32, 32), (48, 64), (129, 127), (257, 255)]


def photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth shading, hard edges and noise: (height, width, 3) uint8."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    shade = 128 + 70 * np.sin(x / 23 + seed) * np.cos(y / 31)
    edges = 60.0 * ((x // 19 + y // 27) % 2)
    colour = np.stack([shade + edges, shade - 0.5 * edges, 255 - shade], 2)
    return (colour + rng.normal(0, 6, colour.shape)).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def bundle():
    return load_model()


@pytest.fixture(scope="module")
def codec(bundle) -> ImageCodec:
    return ImageCodec(bundle)


@pytest.fixture(scope="module")
def tiled(bundle):
    """(codec with tiles of 128 pixels, a picture of 2 x 3 tiles, its encoding)."""
    small, pixels = ImageCodec(bundle, tile=128), photo(230, 300)
    return small, pixels, small.encode(pixels, 60, b"profile", reconstruct=True)


def rewritten(data: bytes, keep=lambda chunks: chunks, **header) -> container.Container:
    """The stream with other chunks or header fields and, again, every checksum right."""
    stream = container.read(data)
    return container.read(
        container.write(replace(stream.header, **header), keep([Chunk(c.kind, bytes(c.payload)) for c in stream.chunks]))
    )


@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
def test_the_decoder_shows_the_encoders_reconstruction(codec, size) -> None:
    pixels = photo(*size)
    for quality in (12.5,) if max(size) > 100 else (0, 50.1, 100):
        encoded = codec.encode(pixels, quality, reconstruct=True)
        stream = container.read(encoded.data)
        decoded = codec.decode(stream)
        assert encoded.quality == quality and stream.header.params == {"quality_deci": round(10 * quality)}
        assert decoded.pixels.shape == pixels.shape and decoded.pixels.dtype == np.uint8
        assert np.array_equal(decoded.pixels, encoded.reconstruction)
        assert decoded.missing == 0 and decoded.icc is None


def test_grey_black_white_and_noise_pictures_come_back(codec) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (40, 50, 3), np.uint8)
    for pixels in (np.full((40, 50, 3), v, np.uint8) for v in (0, 128, 255)):
        encoded = codec.encode(pixels, 80, reconstruct=True)
        assert np.abs(encoded.reconstruction.astype(int) - pixels).max() < 32
        assert np.array_equal(codec.decode(container.read(encoded.data)).pixels, encoded.reconstruction)
    encoded = codec.encode(noise, 100, reconstruct=True)
    assert np.array_equal(codec.decode(container.read(encoded.data)).pixels, encoded.reconstruction)


@pytest.mark.parametrize("execution", ["int8", "float", "reference"])
def test_every_execution_decodes_the_same_symbols_and_picture(codec, execution) -> None:
    encoded = codec.encode(photo(70, 50), 70, reconstruct=True)
    stream, other = open_stream(encoded.data, execution=execution)
    assert isinstance(other, ImageCodec)
    assert np.array_equal(other.decode(stream).pixels, encoded.reconstruction)


def test_pixels_in_any_memory_layout_give_the_same_file(codec) -> None:
    pixels = photo(40, 60)
    data = codec.encode(pixels).data
    assert codec.encode(np.asfortranarray(pixels)).data == data
    assert codec.encode(np.repeat(pixels, 2, 1)[:, ::2]).data == data
    pixels.setflags(write=False)  # as np.asarray(picture) gives
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert codec.encode(pixels).data == data


def test_no_seam_a_tiled_picture_is_that_of_all_latents_at_once(tiled) -> None:
    codec, pixels, encoded = tiled
    stream, bundle = container.read(encoded.data), codec.bundle
    grid = Grid.of(*pixels.shape[:2], 128)
    assert grid.shape == (2, 3) and len(stream.payloads(TILE)) == 6
    whole = np.zeros((grid.height, grid.width, bundle.config.latents), np.int32)
    for number, tile in enumerate(iter_tiles(stream)):
        top, bottom, left, right = grid.box(*divmod(number, 3))
        whole[top:bottom, left:right] = codec.symbols(*tile)[1]
    picture = bundle.synthesis(whole[None], Dial((600,)).quality)[0, :230, :300]
    assert np.array_equal(picture, codec.decode(stream).pixels)


def test_tiles_come_back_as_the_encoder_saw_them_with_profile_and_progress(tiled) -> None:
    codec, pixels, encoded = tiled
    calls = []
    decoded = codec.decode(container.read(encoded.data), lambda done, tiles: calls.append((done, tiles)))
    assert np.array_equal(decoded.pixels, encoded.reconstruction)
    assert decoded.icc == b"profile" and calls == [(n, 6) for n in range(1, 7)]
    assert np.array_equal(ImageCodec(codec.bundle).decode(container.read(encoded.data)).pixels, decoded.pixels)


def test_real_bytes_are_the_estimated_bits(codec, tiled) -> None:
    for quality in (0, 30, 65, 100):
        encoded = codec.encode(photo(160, 200), quality)
        payload = sum(len(p) for p in container.read(encoded.data).payloads(TILE))
        ideal = encoded.estimated_bits / 8
        assert ideal - 1 <= payload <= max(1.01 * ideal, ideal + 64)
        assert len(encoded.data) - payload + container.SYMBOL_HASH_BYTES <= 72
    ideal = tiled[2].estimated_bits / 8
    assert ideal <= len(tiled[2].data) <= 1.01 * ideal + 72 + 6 * 32


def test_a_better_quality_takes_more_bytes_and_errs_less(codec) -> None:
    pixels = photo(96, 96)
    encoded = [codec.encode(pixels, q, reconstruct=True) for q in range(0, 101, 20)]
    sizes = [len(e.data) for e in encoded]
    errors = [np.square(e.reconstruction.astype(float) - pixels).mean() for e in encoded]
    assert sizes == sorted(set(sizes)) and errors == sorted(errors, reverse=True)


def test_a_cut_file_shows_its_leading_tiles(tiled) -> None:
    codec, _, encoded = tiled
    whole = codec.decode(container.read(encoded.data)).pixels
    cut = encoded.data.rindex(b"Tile")  # 5 of 6 tiles precede it
    with pytest.raises(CorruptStreamError):
        container.read(encoded.data[:cut])
    for length, missing in ((cut, 1), (cut + 40, 1), (len(encoded.data) - 1, 0), (encoded.data[:cut].rindex(b"Tile") + 4, 2)):
        part = codec.decode(container.read(encoded.data[:length], allow_partial=True))
        assert part.missing == missing and part.pixels.shape == whole.shape
        safe = np.zeros(whole.shape[:2], bool)
        safe[: 128 - HALO * LATENT] = True  # the synthesis of what is left sees no lost latents
        safe[:, : (3 - missing) * 128 - HALO * LATENT] = True
        assert np.array_equal(part.pixels[safe], whole[safe])
        for column in range(3 - missing, 3):
            assert (part.pixels[128:, column * 128 : column * 128 + 128] == 128).all()


def test_a_file_without_one_whole_tile_shows_nothing(tiled) -> None:
    codec, _, encoded = tiled
    with pytest.raises(CorruptStreamError, match="nothing"):
        codec.decode(container.read(encoded.data[: encoded.data.index(b"Tile") + 9], allow_partial=True))


def test_a_wrong_count_of_tiles_is_corrupt(tiled) -> None:
    codec, _, encoded = tiled
    for keep in (lambda c: c[:-1], lambda c: [*c, c[-1]], lambda c: c[:1]):
        with pytest.raises(CorruptStreamError):
            codec.decode(rewritten(encoded.data, keep))
    with pytest.raises(CorruptStreamError):
        list(iter_tiles(rewritten(encoded.data, lambda c: [*c, c[-1]])))


def test_a_wrong_symbol_hash_with_right_checksums_is_a_desync(codec) -> None:
    data = codec.encode(photo(40, 40)).data
    with pytest.raises(DesyncError):
        codec.decode(rewritten(data, lambda c: [Chunk(TILE, bytes([c[0].payload[0] ^ 1]) + c[0].payload[1:])]))


def test_short_empty_and_oversized_payloads_are_corrupt(codec) -> None:
    data = codec.encode(photo(40, 40)).data
    for change in (
        lambda p: b"",
        lambda p: p[:3],
        lambda p: p[:4],
        lambda p: p[:5],
        lambda p: p[:-1],
        lambda p: p + b"\0",
        lambda p: p + p,
    ):
        with pytest.raises(CorruptStreamError):
            codec.decode(rewritten(data, lambda c, change=change: [Chunk(TILE, change(c[0].payload))]))


@pytest.mark.parametrize(
    "params",
    [{}]
    + [
        {"quality_deci": 500, "tile_width": w, "tile_height": h}
        for w, h in ((128, 160), (96, 96), (130, 130), (4128, 4128), (1, 1))
    ],
)
def test_parameters_that_no_encoder_writes_are_corrupt(codec, params) -> None:
    with pytest.raises(CorruptStreamError):
        codec.decode(rewritten(codec.encode(photo(40, 40)).data, params=params))


@pytest.mark.parametrize(
    "field",
    [
        {"media": "video", "rate": (25, 1)},
        {"colour": Colour(depth=10)},
        {"colour": Colour("bt709")},
        {"colour": Colour("bt709", chroma="420")},
    ],
)
def test_what_this_codec_does_not_decode_is_refused_not_shown_wrongly(codec, field) -> None:
    with pytest.raises(UnsupportedError):
        codec.decode(rewritten(codec.encode(photo(40, 40)).data, **field))


def test_an_unknown_critical_chunk_is_refused_and_an_ancillary_one_skipped(codec) -> None:
    encoded = codec.encode(photo(40, 40), reconstruct=True)
    with pytest.raises(UnsupportedError):
        codec.decode(rewritten(encoded.data, lambda c: [Chunk(b"Xtra", b""), *c]))
    assert np.array_equal(
        codec.decode(rewritten(encoded.data, lambda c: [Chunk(b"xtra", b""), *c])).pixels, encoded.reconstruction
    )


def test_what_cannot_be_encoded_is_a_usage_error(codec) -> None:
    good = photo(8, 8)
    for pixels in (
        good[:, :, 0],
        good[:, :, :2],
        good[:0],
        good.astype(np.float32),
        good.astype(np.int16),
        np.dstack((good, good[:, :, :1])),
    ):
        with pytest.raises(UsageError):
            codec.encode(pixels)
    for quality in (-0.1, 100.1, float("nan"), float("inf")):
        with pytest.raises(UsageError):
            codec.encode(good, quality)
    for tile in (0, 96, 130, 4128, -128):
        with pytest.raises(UsageError):
            ImageCodec(codec.bundle, tile)


def test_an_unknown_codec_is_refused() -> None:
    header = container.Header(media="image", codec="other", model="image-s.1", model_hash=bytes(8), width=8, height=8)
    with pytest.raises(UnsupportedError, match="other"):
        open_stream(container.write(header, [Chunk(TILE, b"")]))
    assert CODEC == "image"
