"""Codecs by the id that streams carry. A new codec is one line here."""

from __future__ import annotations

from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

from ..errors import CorruptStreamError, UsageError
from ..models.zoo import DEFAULT_IMAGE_MODEL, load_any_model, model_for_stream
from .container import Container, read
from .header import UnsupportedError
from .limits import Limits

CODECS = {
    "image": "calotype.codecs.image:ImageCodec",
    "video": "calotype.codecs.video.whole:VideoCodec",
    "classic": "calotype.codecs.classic:ClassicCodec",
    "lossless": "calotype.codecs.lossless:LosslessCodec",
    "inr-lossless": "calotype.codecs.bitplane:BitplaneCodec",
    "overfit": "calotype.codecs.overfit:OverfitCodec",
    "overfit-video": "calotype.codecs.video.whole:VideoCodec",
    "inr-video": "calotype.codecs.neural.codec:NeuralCodec",
    "generative": "calotype.codecs.generative:GenerativeCodec",
    "fsq": "calotype.codecs.fsq:FsqCodec",
}


# settings: a model that has them
WITH = {"minutes": "overfit", "realism": "generative", "refine": "generative", "effort": "image-s.4"}
OF_GENERATIVE = {"realism", "scale"}  # parameters of no other codec
EXECUTED = {"image", "video", "generative"}  # codecs with integer executions; of the last what its float net is given
WITHOUT_MODEL = {"lossless", "inr-lossless", "inr-video"}  # codecs that need no model file; they check the header's model


def codec_class(codec: str) -> Any:
    """The class of a codec in CODECS, imported."""
    module, name = CODECS[codec].split(":")
    return getattr(import_module(module), name)


def open_model(model: str | Path | None = None, device: str = "cpu", **settings: Any) -> Any:
    """The codec that encodes with a model, by the model's kind; None for the default image model.

    settings: of the codec's class (effort, minutes, realism). Raises ModelError, UsageError for those that it does not have.
    """
    kind, bundle = load_any_model(model or DEFAULT_IMAGE_MODEL, device)
    made = codec_class(kind)
    unknown = sorted(settings.keys() - signature(made).parameters.keys())
    if unknown:
        name = unknown[0]
        raise UsageError(f"model '{bundle.name}' has no --{name}: leave it out, or take another model (-m {WITH[name]})")
    return made(bundle, **settings)


def open_stream(
    data: bytes | memoryview,
    limits: Limits | None = None,
    allow_partial: bool = False,
    model: str | Path | None = None,
    device: str = "cpu",
    execution: str | None = None,
) -> tuple[Container, Any]:
    """Read a container and load the codec and model that it names.

    Raises CorruptStreamError, UnsupportedError (a codec this version lacks), LimitError, ModelError.
    """
    stream = read(data, limits, allow_partial)
    if stream.header.codec not in CODECS:
        raise UnsupportedError(
            f"the stream needs codec '{stream.header.codec}', which this version lacks: update calotype"
        )
    foreign = stream.header.params.keys() & OF_GENERATIVE if stream.header.codec != "generative" else set()
    if foreign:
        raise CorruptStreamError(f"codec '{stream.header.codec}' has no parameter {min(foreign)}: the file is damaged")
    if stream.header.codec in WITHOUT_MODEL:
        return stream, codec_class(stream.header.codec)()
    bundle = model_for_stream(
        stream.header.codec, stream.header.model, stream.header.model_hash, model, device, execution
    )
    return stream, codec_class(stream.header.codec)(bundle)
