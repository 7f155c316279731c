"""Photos, and processes that start as a fork of one that has imported torch already."""

from __future__ import annotations

import multiprocessing
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny
import torch

from calotype.models.perceptual import SqueezeNet
from calotype.train.data import Photos
from calotype.train.generative import Seen


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three pictures, at least 260 pixels a side."""
    return tiny.write_photos(tmp_path_factory.mktemp("data") / "photos")


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """What generative training sees: photos, and features of random weights."""
    torch.manual_seed(0)
    net = SqueezeNet().eval().requires_grad_(False)
    return Seen(Photos([tiny.write_photos(tmp_path_factory.mktemp("data") / "photos")], 192), net)


@pytest.fixture(scope="session")
def processes() -> multiprocessing.context.BaseContext:
    """A context whose processes start with torch and the training imported, so that many can be killed in little time."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["calotype.train.image", "calotype.train.loop"])  # before 3.13 it finds no file of a test
    return context


@pytest.fixture(scope="session")
def at_zero(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was started and saved before its first step."""
    folder = tmp_path_factory.mktemp("runs") / "zero"
    tiny.train(folder, photos, until=0)
    return folder


@pytest.fixture
def begin(at_zero: Path, tmp_path: Path) -> Callable[[str], Path]:
    """begin(name): a copy of that run, so that the KLT need not be computed again."""
    return lambda name: shutil.copytree(at_zero, tmp_path / name)


@pytest.fixture(scope="session")
def uninterrupted(at_zero: Path, photos: Path) -> Path:
    """The folder of a run that went from the first step to the last."""
    folder = shutil.copytree(at_zero, at_zero.with_name("uninterrupted"))
    tiny.train(folder, photos)
    return folder
