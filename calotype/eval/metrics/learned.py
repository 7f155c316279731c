"""LPIPS (Zhang et al. 2018, arXiv 1801.03924) and DISTS (Ding et al. 2020, arXiv 2004.07728), by their authors' packages.

Their backbones' weights are not in the packages: torchvision would download them. That is never tried here, so that a
machine without a network neither waits nor fails: the weights are taken from torch hub's cache, or the metric is n/a.
"""

from __future__ import annotations

import hashlib
import importlib
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from calotype.eval.metrics.metric import PICTURE, FrameMetric

ALEXNET, VGG16 = "alexnet-owt-7be5be79.pth", "vgg16-397923af.pth"


def missing_weights(name: str, fetch: str) -> str | None:
    """Why the file `name` of torch hub's cache cannot be used; None where it can. `fetch`: Python that downloads it.

    The name ends in the first digits of the file's SHA-256, as torch hub wants it; they are checked.
    """
    import torch

    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    remedy = f'fetch it with `python -c "{fetch}"`, or set TORCH_HOME to where it is'
    if not path.is_file():
        return f"there are no weights {path}; {remedy}"
    if not _sha256(path).startswith(path.stem.rsplit("-", 1)[1]):
        return f"the weights {path} are damaged; delete them, then {remedy}"
    return None


@cache
def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


class Learned(FrameMetric):
    """A distance by a network. package: what to import; weights: its backbone's file in torch hub's cache."""

    kinds = (PICTURE,)
    higher_is_better = False
    package: str
    weights: str
    fetch: str

    def __init__(self) -> None:
        self._network: Any = None

    def unavailable(self) -> str | None:
        # a torchvision that was built for another torch raises RuntimeError or OSError here
        try:
            importlib.import_module(self.package)
        except (ImportError, OSError, RuntimeError) as error:
            return f"{self.package} cannot be imported ({error}); install it, and a torchvision that fits this torch"
        return missing_weights(self.weights, self.fetch)

    def of_frame(self, a: np.ndarray, b: np.ndarray) -> float:
        import torch

        if self._network is None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of arguments that the packages give torchvision
                self._network = self.load().eval()
        with torch.inference_mode():
            return float(self.distance(*(_tensor(picture) for picture in (a, b))))

    def load(self) -> Any:
        raise NotImplementedError

    def distance(self, a: Any, b: Any) -> Any:
        """Of two (1, 3, H, W) float32 tensors in [0, 1]."""
        raise NotImplementedError


class LpipsAlex(Learned):
    name = "lpips_alex"
    convention = (
        "LPIPS v0.1 with AlexNet (package lpips), on the whole RGB picture at its own size, null below 31, lower is better"
    )
    package = "lpips"
    weights = ALEXNET
    fetch = "import torchvision; torchvision.models.alexnet(weights='IMAGENET1K_V1')"

    def load(self) -> Any:
        import lpips

        return lpips.LPIPS(net="alex", verbose=False)

    def limit(self, width: int, height: int) -> str | None:
        # what AlexNet's second pooling leaves of less is nothing
        return None if min(width, height) >= 31 else f"lpips_alex needs 31 pixels or more a side, not {width}x{height}"

    def distance(self, a: Any, b: Any) -> Any:
        return self._network(a, b, normalize=True)


class Dists(Learned):
    name = "dists"
    convention = "DISTS (package DISTS_pytorch), on the whole RGB picture at its own size, not resized, lower is better"
    package = "DISTS_pytorch"
    weights = VGG16
    fetch = "import torchvision; torchvision.models.vgg16(weights='IMAGENET1K_V1')"

    def load(self) -> Any:
        import DISTS_pytorch
        import torch

        # the package looks for its own weights in sys.prefix only, where not every way to install puts them
        network = DISTS_pytorch.DISTS(load_weights=False)
        own = torch.load(Path(DISTS_pytorch.__file__).parent / "weights.pt", map_location="cpu", weights_only=True)
        network.alpha.data, network.beta.data = own["alpha"], own["beta"]
        return network

    def distance(self, a: Any, b: Any) -> Any:
        return self._network(a, b)


def _tensor(pixels: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32) / np.float32(255))[None]
