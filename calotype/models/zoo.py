"""The shipped weights: `ARCHITECTURE.TAG` names, found without torch, loaded once."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ModelError
from . import modelfile
from .modelfile import ModelInfo

if TYPE_CHECKING:
    from .bundle import ImageBundle

WEIGHTS = Path(__file__).parent / "weights"
DEFAULT_IMAGE_MODEL = "image-s.2"


def list_models() -> list[ModelInfo]:
    """Every shipped model, by name; reads headers only."""
    return [modelfile.read_info(path) for path in sorted(WEIGHTS.glob("*.safetensors"))]


def find_model(name: str | Path) -> Path:
    """The file of a shipped model, or `name` itself where it is a file. Raises ModelError naming what there is."""
    shipped = WEIGHTS / f"{name}.safetensors"
    if shipped.is_file():
        return shipped
    if Path(name).is_file():
        return Path(name)
    known = ", ".join(i.name for i in list_models()) or "none"
    raise ModelError(f"no model '{name}': give the name of a shipped model ({known}) or the path of a model file")


@lru_cache(maxsize=4)
def _load(path: Path, device: str, execution: str | None) -> ImageBundle:
    from .bundle import ImageBundle

    return ImageBundle.read(path, device, execution)


def load_model(
    name: str | Path = DEFAULT_IMAGE_MODEL, device: str = "cpu", execution: str | None = None
) -> ImageBundle:
    """A model ready to code with, kept for the next call.

    device: where the transforms run; execution: of the integer prior (`models.integer.EXECUTIONS`; default: what is fast
    here). Raises ModelError.
    """
    return _load(find_model(name).resolve(), device, execution)


def model_for_stream(
    codec: str,
    name: str,
    model_hash: bytes,
    model: str | Path | None = None,
    device: str = "cpu",
    execution: str | None = None,
) -> ImageBundle:
    """The model that a stream of `codec` names, or `model` in its place; ModelError unless its hash is the stream's.

    A stream spells `image-s.1` of codec `image` as `s.1`.
    """
    full = f"{codec}-{name}"
    wanted = model if model is not None else full if (WEIGHTS / f"{full}.safetensors").is_file() else name
    bundle = load_model(wanted, device, execution)
    if bundle.hash[: len(model_hash)] != model_hash:
        raise ModelError(
            f"the stream was made with model '{name}' {model_hash.hex()}, but the one here is {bundle.hash[:8].hex()}: "
            "pass the model file it was made with (-m FILE), or install the version of calotype that made it"
        )
    return bundle
