"""The entropy bench: its figures are whole and its coders lossless on whatever latents it is given."""

from __future__ import annotations

import numpy as np
import pytest

from calotype.errors import UsageError
from calotype.eval.entropy_bench import bench_entropy, ideal_bytes


def test_given_latents_are_measured_with_every_coder_at_hand() -> None:
    rng = np.random.default_rng(0)
    latents = np.rint(rng.normal(size=(6, 20, 30)) * np.array([0.01, 0.3, 1, 4, 20, 90])[:, None, None]).astype(
        np.int32
    )
    report = bench_entropy(latents, repeats=1)
    given = report["rates"]["given"]
    assert given["symbols"] == latents.size
    for name in ("calotype", "constriction"):
        coder = given["coders"][name]
        assert -2 < coder["over_ideal_percent"] < 2
        assert all(coder[verb]["min_ms"] > 0 for verb in ("encode", "decode"))
    assert set(given["speedup"]) | set(report["missing"]) == {"constriction", "compressai"}


def test_ideal_bytes_are_the_gaussian_entropy() -> None:
    # At sigma 0.11 a zero is all but certain; a wide scale costs log2(sigma * sqrt(2 pi)) at its middle.
    assert ideal_bytes(np.zeros(8, dtype=np.int32), np.zeros(8, dtype=np.uint8)) < 1e-4
    bits = np.log2(256 * np.sqrt(2 * np.pi))
    assert ideal_bytes(np.zeros(8, dtype=np.int32), np.full(8, 63)) == pytest.approx(bits, rel=1e-4)


def test_senseless_arguments_are_refused() -> None:
    for call in (lambda: bench_entropy(repeats=0), lambda: bench_entropy(np.zeros(4, dtype=np.int32))):
        with pytest.raises(UsageError):
            call()
