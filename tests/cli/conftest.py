"""Running the command line: in this process (most tests), or as a process of its own (what only that can show)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from gradients import gradient
from PIL import Image

from calotype.cli import main as cli
from calotype.models import zoo

ROOT = Path(__file__).parents[2]


class Result(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def shipped() -> str:
    """The default model's name; the test is skipped where its weights are not there."""
    if not (zoo.WEIGHTS / f"{zoo.DEFAULT_IMAGE_MODEL}.safetensors").is_file():
        pytest.skip(f"needs the shipped model {zoo.DEFAULT_IMAGE_MODEL}: calotype/models/weights has none")
    return zoo.DEFAULT_IMAGE_MODEL


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """run("encode", path, ...) in this process."""

    def call(*arguments: object) -> Result:
        capsys.readouterr()
        code = cli.main([str(argument) for argument in arguments])
        return Result(code, *capsys.readouterr())

    return call


@pytest.fixture
def spawn() -> Iterator[Callable[..., subprocess.Popen]]:
    """spawn(arguments of Python...) a process with pipes, killed in the end."""
    started: list[subprocess.Popen] = []
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a suite in a shell's background, whose children would ignore it too
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def start(*arguments: object, **settings: object) -> subprocess.Popen:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, *map(str, arguments)]
        started.append(subprocess.Popen(command, env=environment, **(pipes | settings)))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            pipe.close()


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A PNG of 70 x 50 pixels."""
    path = tmp_path / "photo.png"
    Image.fromarray(gradient(50, 70)).save(path)
    return path
