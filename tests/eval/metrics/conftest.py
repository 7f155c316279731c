"""The packages that the metrics are held against; a test that needs one which is not installed is skipped."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType

import pytest
import torch

_defined = []  # a library's operators go with it


@pytest.fixture(scope="session")
def peer() -> Callable[[str], ModuleType]:
    """The package of a name, though torchvision's compiled operators may fit another build of torch: none is used here."""
    if importlib.util.find_spec("torchvision"):
        try:
            importlib.import_module("torchvision")
        except RuntimeError:
            for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
                del sys.modules[name]
            _defined.append(torch.library.Library("torchvision", "FRAGMENT"))
            for name in ("nms", "qnms"):
                _defined[0].define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return pytest.importorskip
