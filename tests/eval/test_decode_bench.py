from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch
from fake_coder import FakeCoder, FakeSeen

from calotype.errors import CalotypeError, UsageError
from calotype.eval import decode_bench
from calotype.eval.decode_bench import PEER, bench_decode

PIXELS = np.random.default_rng(3).integers(0, 256, (40, 24, 3), dtype=np.uint8)


def test_every_decoder_gets_its_medians_and_the_threads_are_put_back():
    before = torch.get_num_threads()
    steps = []
    found = bench_decode(FakeCoder(), PIXELS, 50, threads=1, peer=False, progress=lambda *step: steps.append(step))
    ours = found["decoders"]["calotype"]
    assert ours["bytes"] == len(FakeCoder().encode(PIXELS, 50, False).data)
    assert ours["bpp"] == pytest.approx(8 * ours["bytes"] / (40 * 24))
    assert ours["network"] == {"median_ms": 125, "min_ms": 125, "max_ms": 125}
    assert ours["total"]["min_ms"] <= ours["total"]["median_ms"] <= ours["total"]["max_ms"]
    assert found["threads"] == 1 and found["missing"] == {} and found["speedup"] == {}
    assert steps == [(i, 10) for i in range(1, 11)] and torch.get_num_threads() == before


def test_an_absent_compressai_is_said(monkeypatch):
    def absent():
        raise ImportError("No module named 'compressai'")

    monkeypatch.setattr(decode_bench, "import_compressai", absent)
    found = bench_decode(FakeCoder(), PIXELS)
    assert list(found["decoders"]) == ["calotype"] and "compressai" in found["missing"][PEER]


@pytest.mark.skipif(importlib.util.find_spec("compressai") is None, reason="compressai is not installed")
def test_compressai_decodes_the_same_picture_in_the_same_run():
    found = bench_decode(FakeCoder(), PIXELS)
    theirs = found["decoders"][PEER]
    assert theirs["bytes"] > 0 and theirs["network"]["min_ms"] > 0 and theirs["entropy"]["min_ms"] > 0
    assert theirs["network"]["min_ms"] + theirs["entropy"]["min_ms"] <= theirs["total"]["max_ms"]
    assert found["speedup"][PEER] > 0 and "not trained" in found["notes"][PEER]


def test_pixels_that_change_between_runs_are_an_error():
    class Unsteady(FakeCoder):
        count = 0

        def decode(self, data: bytes) -> FakeSeen:
            self.count += 1
            return FakeSeen(np.full((4, 4, 3), self.count, np.uint8))

    with pytest.raises(CalotypeError, match="different pixels"):
        bench_decode(Unsteady(), PIXELS, peer=False)


@pytest.mark.parametrize("arguments", [{"runs": 9}, {"threads": 0}])
def test_too_few_runs_or_threads_are_refused(arguments):
    with pytest.raises(UsageError):
        bench_decode(FakeCoder(), PIXELS, **arguments)
