from __future__ import annotations

import pytest
from metric_sources import make_picture, noisy
from PIL import Image

from calotype.eval.metrics import METRICS

ssimulacra2 = pytest.importorskip("ssimulacra2")
METRIC = METRICS["ssimulacra2"]


def test_it_is_the_packages_figure_of_the_files(tmp_path):
    a = make_picture(40, 61)
    b = noisy(a, 6, 1)
    for name, pixels in (("a", a), ("b", b)):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    theirs = ssimulacra2.compute_ssimulacra2(tmp_path / "a.png", tmp_path / "b.png")
    assert METRIC.measure([a], [b]) == {"ssimulacra2": pytest.approx(theirs, abs=1e-9)}
    assert theirs < 100


def test_an_equal_picture_has_100():
    a = make_picture(24, 32)
    assert METRIC.measure([a], [a.copy()]) == {"ssimulacra2": 100}


def test_a_picture_that_is_too_small_has_none():
    a = make_picture(7, 32)
    assert METRIC.measure([a], [noisy(a, 6, 1)]) == {"ssimulacra2": None}
    assert "32x7" in METRIC.limit(32, 7)
