"""Directions of a start: what amounts move is the same integers everywhere, and an encoder finds the amounts that help."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from calotype.codecs import container, overfitnets
from calotype.codecs.overfit import OverfitCodec, from_payload
from calotype.errors import CorruptStreamError, ModelError
from calotype.models.overfit.bundle import OverfitBundle, write_overfit_model
from calotype.models.overfit.modulation import SHIFT, Directions, moved
from calotype.models.overfit.net import SynthesisNet
from calotype.models.overfit.side import Side
from calotype.models.zoo import load_any_model

COUNT = 3


def directions(arrays: dict[str, np.ndarray], seed: int, size: int = 300) -> Directions:
    rng = np.random.default_rng(seed)
    return {k: rng.integers(-size, size + 1, (COUNT, *v.shape)).astype(np.int32) for k, v in arrays.items()}


def start() -> OverfitBundle:
    """The shipped one, whose first net alone has directions."""
    bundle = load_any_model("overfit-s.6")[1]
    rest = (None,) * len(bundle.more)
    return replace(bundle, directions=(directions(bundle.filters[0], 0), *rest))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-(1 << 15), 1 << 15), min_size=COUNT, max_size=COUNT), st.integers(0, 99))
def test_a_moved_weight_is_the_rounded_sum_in_integers(amounts: list[int], seed: int) -> None:
    arrays = {"enter": np.random.default_rng(seed).integers(-999, 999, (2, 5)).astype(np.int32)}
    own = directions(arrays, seed, (1 << 20))
    found = moved(arrays, own, amounts)["enter"]
    for place in np.ndindex(2, 5):
        total = sum(a * int(own["enter"][k][place]) for k, a in enumerate(amounts))
        exact = int(arrays["enter"][place]) + ((total + 32) >> SHIFT)
        assert found[place] == min(max(exact, -(1 << 30)), 1 << 30)


def test_amounts_of_nothing_leave_a_net_as_it_is() -> None:
    net, own = start().filters[0], start().directions[0]
    assert all(np.array_equal(v, net[k]) for k, v in moved(net, own, [0] * COUNT).items())


def test_the_float_twin_moves_as_the_integers_do() -> None:
    bundle, amounts = start(), [5, -9, 30]
    net, own = SynthesisNet(), SynthesisNet()
    net.from_integers(bundle.filters[0])
    own.from_integers(moved(bundle.filters[0], bundle.directions[0], amounts))
    steps = net.from_directions(bundle.directions[0])
    wanted = dict(own.named_parameters())
    for name, value in net.named_parameters():
        there = value + torch.tensordot(torch.tensor(amounts, dtype=torch.float32), steps[name], 1)
        assert torch.allclose(there, wanted[name], atol=0.51 / 1024)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(-200, 200), min_size=COUNT, max_size=COUNT), st.integers(0, 2))
def test_amounts_come_back_where_the_choice_has_directions(amounts: list[int], choice: int) -> None:
    counts = (COUNT, 0, COUNT)
    own = tuple(amounts) if counts[choice] else ()
    side = replace(Side.plain(77), strengths=(1, 2, 3), choice=choice, amounts=own)
    back = Side.from_bytes(77, side.to_bytes(), True, counts)
    assert back.amounts == own and back.choice == choice and np.array_equal(back.numbers(True), side.numbers(True))


def test_amounts_past_the_bounds_are_corrupt() -> None:
    side = replace(Side.plain(64), strengths=(0, 0, 0), amounts=(1 << 15,) * COUNT)
    bundle = replace(start(), directions=(directions(start().filters[0], 0, 1 << 20), *(None,) * 5))
    with pytest.raises(CorruptStreamError, match="own networks"):
        side.applied(bundle)
    with pytest.raises(CorruptStreamError, match="own networks"):
        Side.from_bytes(64, replace(side, amounts=(1 << 16,) * COUNT).to_bytes(), True, (COUNT,))


def test_a_step_finds_how_far_a_net_was_moved() -> None:
    bundle = start()
    net, away = SynthesisNet().requires_grad_(False), SynthesisNet().requires_grad_(False)
    net.from_integers(bundle.filters[0])
    away.from_integers(moved(bundle.filters[0], bundle.directions[0], [12, -7, 0]))
    planes = torch.from_numpy(np.random.default_rng(0).laplace(0, 2, (3, 64, 64)).astype(np.float32))
    given = planes, away(planes[None])[0, :, :60, :50], torch.ones(1, 1)
    found = overfitnets.amounts(net, net.from_directions(bundle.directions[0]), *given, 1e-4, (0, 0, 0))
    assert np.abs(np.subtract(found, [12, -7, 0])).max() <= 1


def test_a_file_of_a_start_with_directions_shows_what_its_encoder_saw(tmp_path: Path) -> None:
    bundle = start()
    path = tmp_path / "own.safetensors"
    whole = replace(bundle.synthesis, arrays=moved(bundle.filters[0], bundle.directions[0], [-16, 12, 0]))
    write_overfit_model(path, "own", bundle.prior, whole, {}, (), bundle.directions[:1])
    back = OverfitBundle.read(path)
    assert back.counts == (COUNT,) and back.config["directions"] == COUNT
    codec = OverfitCodec(back, effort=1)
    y, x = np.mgrid[:96, :64]
    pixels = np.stack([(x * 3) % 200, (y * 2) % 190, (x + y) % 180], -1).astype(np.uint8)
    made = codec.encode(pixels, 40, reconstruct=True)
    stream = container.read(made.data)
    side = from_payload(back, stream.payloads(container.TILE)[0], (96, 64))[1]
    assert any(side.amounts) and np.array_equal(codec.decode(stream).pixels, made.reconstruction)


def test_directions_that_do_not_fit_their_net_are_no_model(tmp_path: Path) -> None:
    bundle, path = start(), tmp_path / "own.safetensors"
    wrong = {k: v for k, v in bundle.directions[0].items() if k != "enter"}
    write_overfit_model(path, "own", bundle.prior, bundle.synthesis, {}, (), (wrong,))
    with pytest.raises(ModelError, match="whole"):
        OverfitBundle.read(path)
