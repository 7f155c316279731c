"""Makes the released streams that must decode for ever: python tests/conformance/make_streams.py, once a released model.

The pictures and clips are drawn by arithmetic, so that nothing but streams, latents and digests needs keeping. Streams of other
installed models stay as they are, digests too; those of models that are gone go.
"""

from __future__ import annotations

import io
import json
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from calotype.codecs import bitplane, conformance
from calotype.codecs.conformance.nets import Latents, walk_digest
from calotype.codecs.neural.grouphead import NETS
from calotype.codecs.registry import open_model, open_stream
from calotype.models.zoo import ALIASES, DEFAULT_VIDEO_MODEL, list_models, load_any_model

if TYPE_CHECKING:
    from calotype.codecs.video.source import VideoSource

SHAPES = {"small": (96, 64), "odd": (131, 203), "tiled": (290, 150), "region": (160, 200)}
QUALITIES = (10, 55, 95, 70)
# Size, frames, quality, structure, first frame of another scene, which takes no intra frame.
CLIPS = {
    "low-delay": ((97, 130), 5, 40, "low-delay", None),
    "random-access-8": ((64, 96), 10, 75, "random-access-8", None),
    "scene": ((70, 101), 7, 55, "low-delay", 3),
    "alone": ((70, 101), 7, 55, "low-delay", 3),  # as the one before, of an encoder that codes its first frame by itself
    "stem": ((64, 70), 4, 45, "stem", None),
}
OVERFITTED = {"uneven": ((131, 167), 60), "low": ((131, 167), 15)}  # size, quality: the lower takes a coarse net
OVERFITTED_CLIPS = {"both-ways": ((70, 101), 6, 55, "random-access-8", None)}
OVERFITTED_RGB = {"rgb": ((45, 70), 5, 80, "random-access-8", None)}  # as 4:4:4
NEURAL = ((45, 70), 7, None)  # size, frames, no other scene; of each network
EXACT = {"odd": (45, 70)}  # size; with a network of its own
GENERATED = {"half": ((131, 203), 30, 0.0), "path": ((67, 101), 20, 0.05)}  # size, quality: coded at half the size; refine
INDEXED = {"odd": ((131, 203), 60)}  # size, quality
WITH_LATENTS = ("small", "region")  # of one tile each


def picture(height: int, width: int, seed: int) -> np.ndarray:
    """(height, width, 3) uint8: smooth shapes, edges, texture and a little noise, the same everywhere."""
    y, x = np.mgrid[:height, :width]
    rng = np.random.default_rng(seed)
    noise = rng.integers(-6, 7, (height, width, 3))
    stripes = 40 * ((x // 7 + y // 11) % 2)
    disc = 70 * ((x - width // 2) ** 2 + (y - height // 3) ** 2 < (min(height, width) // 4) ** 2)
    planes = [(3 * x + y) % 256 // 2 + stripes, 255 - (x + 2 * y) % 256 // 2 - disc, 60 + stripes // 2 + disc]
    return np.clip(np.stack(planes, -1) + noise, 0, 255).astype(np.uint8)


def panned(shape: tuple[int, int], frames: int, scene: int | None, full_chroma: bool = False) -> VideoSource:
    """Frames that pan over a picture, and from `scene` on over another."""
    from calotype.codecs.video.colour import to_planes
    from calotype.codecs.video.source import ASSUMED_COLOUR, RGB_AS_YUV, TimedFrame, VideoSource

    height, width = shape
    first, second = (picture(height + 4 * frames, width + 4 * frames, seed) for seed in (9, 10))
    shown = [first if scene is None or k < scene else 255 - second[::-1] for k in range(frames)]
    colour = RGB_AS_YUV if full_chroma else ASSUMED_COLOUR
    planes = [to_planes(whole[3 * k : 3 * k + height, 2 * k : 2 * k + width], colour) for k, whole in enumerate(shown)]
    return VideoSource(width, height, Fraction(25), Fraction(1, 25), (TimedFrame(p, k) for k, p in enumerate(planes)), colour)


def clip(
    shape: tuple[int, int],
    frames: int,
    quality: float,
    structure: str,
    scene: int | None,
    model: str = DEFAULT_VIDEO_MODEL,
    full_chroma: bool = False,
) -> bytes:
    """A video file with a shipped model."""
    from calotype.codecs.video.encoder import VideoEncoder
    from calotype.codecs.video.rate import Constant
    from calotype.codecs.video.sink import Clip
    from calotype.codecs.video.structure import load

    source = panned(shape, frames, scene, full_chroma)
    info = Clip(source.width, source.height, source.rate, source.ticks, source.colour)
    sink, bundle = io.BytesIO(), load_any_model(model)[1]
    encoder = VideoEncoder(bundle, info, load(structure), cuts=False)
    for _ in encoder.encode(source.frames(), Constant(quality), sink):
        pass
    return sink.getvalue()


def fitted(net: str) -> bytes:
    """A video file with its own networks."""
    from calotype.codecs.neural.encoder import Settings, encode_clip

    return encode_clip(panned(*NEURAL), Settings(net, 60, effort=2)).data


def main() -> None:
    """Write what `calotype/codecs/conformance` lacks for the installed models, and remove what no installed model made.

    What is there stays: released streams are never made anew, an encoder's floats may give other symbols elsewhere.
    """
    from calotype.codecs.container import read
    from calotype.codecs.image import ImageCodec, iter_tiles
    from calotype.codecs.roi import Roi
    from calotype.models.zoo import load_model

    folder, bundle = conformance.FOLDER, load_model()
    installed = [info.name for info in list_models()] + [*NETS, bitplane.MODEL]
    kept = json.loads((folder / "digests.json").read_text()) if (folder / "digests.json").exists() else {}
    streams = {k: v for k, v in kept.get("streams", {}).items() if k.startswith(tuple(f"{name}-" for name in installed))}
    priors = {k: v for k, v in kept.get("priors", {}).items() if k in installed}
    for path in (*folder.glob("*.calo"), *folder.glob("*.npz")):
        if path.with_suffix(".calo").name not in streams:
            path.unlink()
    for number, ((name, shape), quality) in enumerate(zip(SHAPES.items(), QUALITIES, strict=True)):
        path = folder / f"{bundle.name}-{name}.calo"
        if path.name in streams:
            continue
        codec = ImageCodec(bundle, 128) if name == "tiled" else ImageCodec(bundle)
        pixels = picture(*shape, number)
        roi = Roi(np.tile(np.arange(shape[1], dtype=np.uint8), (shape[0], 1)), 40) if name == "region" else None  # 0 to 199
        data = codec.encode(pixels, quality, roi=roi).data
        path.write_bytes(data)
        stream = read(data)
        streams[path.name] = conformance.digests(stream, codec)
        if name in WITH_LATENTS:
            ((payload, shape, dial),) = iter_tiles(stream)
            latents = Latents(codec.symbols(payload, shape, dial)[1], dial.quality, pixels.shape[0], pixels.shape[1])
            latents.write(path.with_suffix(".npz"))
    for name, settings in CLIPS.items():
        path = folder / f"{DEFAULT_VIDEO_MODEL}-{name}.calo"
        if path.name in streams:
            continue
        path.write_bytes(clip(*settings))
        streams[path.name] = conformance.digests(*open_stream(path.read_bytes()))
    for name, (shape, quality) in OVERFITTED.items():
        path = folder / f"{ALIASES['overfit']}-{name}.calo"
        if path.name in streams:
            continue
        path.write_bytes(open_model("overfit", effort=3).encode(picture(*shape, 5), quality).data)
        streams[path.name] = conformance.digests(*open_stream(path.read_bytes()))
    for name, settings in (OVERFITTED_CLIPS | OVERFITTED_RGB).items():
        path = folder / f"{ALIASES['overfit-video']}-{name}.calo"
        if path.name in streams:
            continue
        path.write_bytes(clip(*settings, model="overfit-video", full_chroma=name in OVERFITTED_RGB))
        streams[path.name] = conformance.digests(*open_stream(path.read_bytes()))
    for net in NETS:
        path = folder / f"{net}-pan.calo"
        if path.name in streams:
            continue
        path.write_bytes(fitted(net))
        streams[path.name] = conformance.digests(*open_stream(path.read_bytes()))
    for name, shape in EXACT.items():
        path = folder / f"{bitplane.MODEL}-{name}.calo"
        if path.name in streams:
            continue
        path.write_bytes(bitplane.BitplaneCodec(effort=2).encode(picture(*shape, 7)).data)
        streams[path.name] = conformance.digests(*open_stream(path.read_bytes()))
    for name, (shape, quality, refine) in GENERATED.items():
        path = folder / f"{ALIASES['generative']}-{name}.calo"
        if path.name in streams:
            continue
        path.write_bytes(open_model("generative", refine=refine).encode(picture(*shape, 6), quality).data)
        streams[path.name] = conformance.digests(*open_stream(path.read_bytes()))
    for name, (shape, quality) in INDEXED.items():
        path = folder / f"{ALIASES['fsq']}-{name}.calo"
        if path.name in streams:
            continue
        path.write_bytes(open_model("fsq").encode(picture(*shape, 8), quality).data)
        streams[path.name] = conformance.digests(*open_stream(path.read_bytes()))
    priors[bundle.name] = walk_digest(bundle.prior)
    (folder / "digests.json").write_text(json.dumps({"streams": streams, "priors": priors}, indent=1) + "\n")


if __name__ == "__main__":
    main()
