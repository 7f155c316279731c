"""`bench decode`: times of our coder and of CompressAI's on the same picture, and what is said of them."""

from __future__ import annotations

import importlib.util
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fake_coder import FakeCoded, FakeCoder, FakeSeen
from torch import nn

from calotype import threads
from calotype.errors import CalotypeError, UsageError
from calotype.eval import decode_bench
from calotype.eval.coders import compressai
from calotype.eval.decode_bench import PEER, bench_decode

PIXELS = np.random.default_rng(3).integers(0, 256, (40, 24, 3), dtype=np.uint8)
HERE = importlib.util.find_spec("compressai") is not None


class FakePart:
    """An entropy coder: rounds."""

    def compress(self, y):
        return [y.round().to(torch.uint8).numpy().tobytes()]

    def decompress(self, strings, shape):
        return torch.frombuffer(bytearray(strings[0]), dtype=torch.uint8).reshape(1, 3, *shape).float()


class FakeModel(nn.Module):
    """Stands for a model of the zoo: its entropy coders cannot be used before update()."""

    def __init__(self, quality: int, pretrained: bool, serial: bool = False):
        super().__init__()
        self.quality, self.pretrained, self.tables = quality, pretrained, False
        self.entropy_bottleneck = FakePart()
        if serial:
            self.context_prediction = nn.Identity()

    def update(self):
        self.tables = True

    def compress(self, x):
        assert self.tables and self.quality == 3 and x.shape[2] % 64 == 0 == x.shape[3] % 64
        return {"strings": [self.entropy_bottleneck.compress(x * 255)], "shape": x.shape[2:]}

    def decompress(self, strings, shape):
        return {"x_hat": self.entropy_bottleneck.decompress(strings[0], shape) / 255}


@pytest.fixture
def zoo(monkeypatch):
    """CompressAI's zoo replaced: `mbt2018-mean`, and `mbt2018`, whose coder and network take turns; and what it was asked."""
    asked = []

    def make(serial: bool):
        def model(quality, metric="mse", pretrained=False):
            asked.append(pretrained)
            if pretrained and len(asked) > 2:
                raise OSError("no route to the weights")
            return FakeModel(quality, pretrained, serial)

        return model

    models = {"mbt2018-mean": make(False), "mbt2018": make(True)}
    monkeypatch.setitem(sys.modules, "compressai.zoo", SimpleNamespace(image_models=models))
    for module in (decode_bench, compressai):
        monkeypatch.setattr(module, "import_compressai", lambda: None)
    return asked


def test_every_coder_gets_its_medians_and_the_threads_are_put_back():
    before = torch.get_num_threads()
    steps = []
    found = bench_decode(FakeCoder(), PIXELS, 50, threads=1, peer=None, progress=lambda *step: steps.append(step))
    ours = found["coders"]["calotype"]
    assert ours["bytes"] == len(FakeCoder().encode(PIXELS, 50, False).data)
    assert ours["bpp"] == pytest.approx(8 * ours["bytes"] / (40 * 24))
    assert ours["encode"]["network"] == {"median_ms": 250, "min_ms": 250, "max_ms": 250}
    assert ours["decode"]["network"] == {"median_ms": 125, "min_ms": 125, "max_ms": 125}
    for verb in ("encode", "decode"):
        assert ours[verb]["total"]["min_ms"] <= ours[verb]["total"]["median_ms"] <= ours[verb]["total"]["max_ms"]
    assert found["threads"] == 1 and found["missing"] == {} and found["speedup"] == {}
    assert steps == [(i, 10) for i in range(1, 11)] and torch.get_num_threads() == before


def test_our_threads_and_those_of_torch_are_as_asked_meanwhile():
    seen, ours = set(), threads.count()

    class Watched(FakeCoder):
        def decode(self, data: bytes) -> FakeSeen:
            seen.add((threads.count(), torch.get_num_threads()))
            return super().decode(data)

    bench_decode(Watched(), PIXELS, threads=3, peer=None)
    assert seen == {(3, 3)} and threads.count() == ours


def test_an_absent_compressai_is_said_with_the_extra_that_has_it(monkeypatch):
    def absent():
        raise ImportError("No module named 'compressai'")

    monkeypatch.setattr(decode_bench, "import_compressai", absent)
    found = bench_decode(FakeCoder(), PIXELS)
    assert list(found["coders"]) == ["calotype"]
    assert "No module named 'compressai'" in found["missing"][PEER] and "calotype[compare]" in found["missing"][PEER]


def test_the_peer_codes_the_same_picture_in_the_same_run(zoo):
    found = bench_decode(FakeCoder(), PIXELS)
    theirs = found["coders"][PEER]
    assert theirs["bytes"] == 64 * 64 * 3 and not any(zoo)
    for verb in ("encode", "decode"):
        assert theirs[verb]["entropy"]["min_ms"] > 0 and found["speedup"][PEER][verb] > 0
        assert theirs[verb]["network"]["min_ms"] + theirs[verb]["entropy"]["min_ms"] <= theirs[verb]["total"]["max_ms"]
    assert "random weights" in found["notes"][PEER] and "mean nothing" in found["notes"][PEER]


def test_a_peer_whose_coder_and_network_take_turns_gets_no_parts(zoo):
    found = bench_decode(FakeCoder(), PIXELS, peer="mbt2018")
    assert found["coders"]["mbt2018"]["decode"].keys() == {"total", "cpu"}


def test_weights_that_can_be_fetched_are_used_and_ones_that_cannot_are_said(zoo):
    found = bench_decode(FakeCoder(), PIXELS, pretrained=True)
    assert zoo == [True, True] and found["notes"][PEER] == "CompressAI's at quality 3, with its own weights"
    found = bench_decode(FakeCoder(), PIXELS, pretrained=True)
    assert zoo[2:] == [True, False, False]
    assert "no route to the weights" in found["notes"][PEER] and "random weights" in found["notes"][PEER]


@pytest.mark.skipif(not HERE, reason="compressai is not installed")
@pytest.mark.parametrize("peer", ["mbt2018-mean", "bmshj2018-factorized"])
def test_compressai_codes_with_random_weights(peer):
    found = bench_decode(FakeCoder(), PIXELS, peer=peer)
    theirs = found["coders"][peer]
    assert theirs["bytes"] > 0 and theirs["encode"]["total"]["min_ms"] > 0 < theirs["decode"]["total"]["min_ms"]


def test_pixels_or_bytes_that_change_between_runs_are_an_error():
    class Unsteady(FakeCoder):
        count = 0

        def decode(self, data: bytes) -> FakeSeen:
            self.count += 1
            return FakeSeen(np.full((4, 4, 3), self.count, np.uint8))

    with pytest.raises(CalotypeError, match="different pixels"):
        bench_decode(Unsteady(), PIXELS, peer=None)

    class Growing(FakeCoder):
        def encode(self, pixels: np.ndarray, quality: float, reconstruct: bool) -> FakeCoded:
            coded = super().encode(pixels, quality, reconstruct)
            return FakeCoded(coded.data + bytes(self.encodings), coded.estimated_bits, None)

    with pytest.raises(CalotypeError, match="different bytes"):
        bench_decode(Growing(), PIXELS, peer=None)


@pytest.mark.parametrize("arguments", [{"runs": 9}, {"threads": 0}, {"peer": "vtm"}])
def test_too_few_runs_or_threads_or_an_unknown_peer_are_refused(arguments):
    with pytest.raises(UsageError):
        bench_decode(FakeCoder(), PIXELS, **arguments)
