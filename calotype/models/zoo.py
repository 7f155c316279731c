"""The shipped weights: `ARCHITECTURE.TAG` names, found without torch, loaded once."""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError
from . import modelfile
from .modelfile import ModelInfo

if TYPE_CHECKING:
    from .bundle import ImageBundle

WEIGHTS = Path(__file__).parent / "weights"
# kind of model file -> the class that reads it. A new kind is one line here.
BUNDLES = {
    "image": "calotype.models.bundle:ImageBundle",
    "video": "calotype.models.videobundle:VideoBundle",
    "classic": "calotype.models.classic.bundle:ClassicBundle",
    "overfit": "calotype.models.overfit.bundle:OverfitBundle",
    "overfit-video": "calotype.models.overfit.videobundle:OverfitVideoBundle",
    "generative": "calotype.models.generative.bundle:GenerativeBundle",
    "fsq": "calotype.models.fsq.bundle:FsqBundle",
}
DEFAULT_IMAGE_MODEL = "image-s.4"
DEFAULT_VIDEO_MODEL = "video-s.4"
ALIASES = {  # short names of shipped models
    "overfit": "overfit-s.7",
    "overfit-video": "overfit-video-s.5",
    "generative": "generative-s.2",
    "fsq": "fsq-s.1",
}
FOR_CLIPS = {"overfit": "overfit-video"}  # what such a name means beside a clip


def list_models() -> list[ModelInfo]:
    """Every shipped model, by name; reads headers only."""
    return [modelfile.read_info(path) for path in sorted(WEIGHTS.glob("*.safetensors"))]


def find_model(name: str | Path) -> Path:
    """The file of a shipped model, or `name` itself where it is a file. Raises ModelError naming what there is."""
    shipped = WEIGHTS / f"{ALIASES.get(str(name), name)}.safetensors"
    if shipped.is_file():
        return shipped
    if Path(name).is_file():
        return Path(name)
    known = ", ".join(i.name for i in list_models()) or "none"
    raise ModelError(f"no model '{name}': give the name of a shipped model ({known}) or the path of a model file")


@lru_cache(maxsize=4)
def _load(path: Path, device: str, execution: str | None, kind: str) -> Any:
    module, name = BUNDLES[kind].split(":")
    return getattr(import_module(module), name).read(path, device, execution)


def load_model(
    name: str | Path = DEFAULT_IMAGE_MODEL, device: str = "cpu", execution: str | None = None
) -> ImageBundle:
    """An image model ready to code with, kept for the next call.

    device: where the transforms run; execution: of the integer prior (`models.integer.EXECUTIONS`; default: what is fast
    here). Raises ModelError, for a model of another kind too.
    """
    return _load(find_model(name).resolve(), device, execution, "image")


def load_any_model(name: str | Path, device: str = "cpu") -> tuple[str, Any]:
    """(kind, bundle) of a model of any kind in BUNDLES, kept for the next call. Raises ModelError."""
    path = find_model(name).resolve()
    kind = modelfile.read_info(path).kind
    if kind not in BUNDLES:
        raise ModelError(f"{path} is a model of kind '{kind}', which this version lacks: update calotype")
    return kind, _load(path, device, None, kind)


def model_for_stream(
    codec: str,
    name: str,
    model_hash: bytes,
    model: str | Path | None = None,
    device: str = "cpu",
    execution: str | None = None,
) -> Any:
    """The model that a stream of `codec` names, or `model` in its place; ModelError unless its hash is the stream's.

    A stream spells `image-s.1` of codec `image` as `s.1`.
    """
    full = f"{codec}-{name}"
    wanted = model if model is not None else full if (WEIGHTS / f"{full}.safetensors").is_file() else name
    bundle = _load(find_model(wanted).resolve(), device, execution, codec)
    if bundle.hash[: len(model_hash)] != model_hash:
        raise ModelError(
            f"the stream was made with model '{name}' {model_hash.hex()}, but the one here is {bundle.hash[:8].hex()}: "
            "pass the model file it was made with (-m FILE), or install the version of calotype that made it"
        )
    return bundle
