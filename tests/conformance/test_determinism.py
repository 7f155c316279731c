"""The same symbols, means and indices under every thread count and instruction set; a float prior fails the same test.

A covering subset of the matrix in a handful of processes; `scripts/determinism.py --full` runs all of it.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "determinism.py"


@pytest.fixture(scope="module")
def determinism():
    spec = importlib.util.spec_from_file_location("determinism", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["determinism"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def reports(determinism):
    """Of every setting that this CPU can run; the first setting's twice."""
    found = [(s, r) for s, r in determinism.matrix(determinism.COVERING, "image-s.3", 64) if r is not None]
    assert len(found) >= 6
    return found


def test_settings_took_effect(reports) -> None:
    assert len({r["aten"] for _, r in reports}) >= 2 and len({r["onednn"] for _, r in reports}) >= 2


def test_every_stream_decodes_to_one_digest_in_every_setting_and_execution(reports) -> None:
    digests: dict[str, set[str]] = {}
    for _, report in reports:
        for name, found in report["streams"].items():
            assert set(found) == {"blas", "int8", "reference"}
            digests.setdefault(name, set()).update(found.values())
    assert len(digests) >= 8 and all(len(d) == 1 for d in digests.values())
    last = reports[-1][1]["streams"]
    assert set(last) == set(digests), "the first setting, come again, decodes the streams of all the others"


def test_the_integer_prior_never_differs_and_the_float_prior_does(determinism, reports) -> None:
    summary = determinism.summarise([report for _, report in reports])
    assert summary["digests of the integer prior"] == 1
    assert summary["digests of the float prior"] > 1 and summary["most float entries changed"] > 0
    first, again = reports[0][1], reports[-1][1]
    assert first["float"] == again["float"], "what differs is the setting, not chance"
