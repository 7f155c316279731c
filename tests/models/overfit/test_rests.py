"""Rests of overfitted pictures, which go on beyond their edges: as specified, there and back, and learnt from photos."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from calotype.models.overfit import layout, prior
from calotype.models.overfit.prior import Prior
from calotype.models.overfit.sizes import MARGIN, MEAN_FEATURES, NEIGHBOURS, PLANES
from calotype.models.zoo import load_any_model
from calotype.train import overfitrest

FORMER = "overfit-s.5"


def beyond() -> Prior:
    """Of a start without edges, with some."""
    edges = np.zeros((PLANES, MEAN_FEATURES), np.int32)
    edges[:, 0] = 4096
    return replace(load_any_model(FORMER)[1].prior, edges=edges).checked()


def seen(values: np.ndarray, y: int, x: int, up: int, right: int) -> int:
    """A neighbour, by the words of docs/FORMAT.md."""
    h, w = values.shape
    if 0 <= y - up and 0 <= x + right < w:
        return int(values[y - up, x + right])
    return int(values[y - 1, min(max(x + right, 0), w - 1)]) if y else 0


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 99))
def test_neighbours_beyond_the_edge_are_the_nearest_of_the_row_above(h: int, w: int, seed: int) -> None:
    values = np.random.default_rng(seed).integers(-99, 100, (h, w)).astype(np.int32)
    wide = np.pad(values, MARGIN)
    wide[MARGIN + 1 :] = 0  # rows not known yet
    for y in range(h):
        wide[MARGIN + y, MARGIN:-MARGIN] = values[y]
        if y:
            prior.go_on(wide, y)
        for x in range(w):
            found = [wide[MARGIN + y - up, MARGIN + x + right] for up, right in NEIGHBOURS]
            assert found == [seen(values, y, x, up, right) for up, right in NEIGHBOURS]


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.sampled_from((0.2, 3.0, 40.0)), st.integers(0, 99))
def test_chosen_latents_come_back_and_cost_what_was_said(rows: int, columns: int, spread: float, seed: int) -> None:
    own, size, rng = beyond(), (32 * rows, 32 * columns), np.random.default_rng(seed)
    targets = [rng.laplace(0, spread, g.shape(*size)) + 20 * (g.orientation == 3) for g in layout.order()]
    found = prior.choose(own, targets, np.full(len(targets), 0.2), np.zeros(len(targets)), 1.0, *size)
    present = prior.present_of(found.values)
    coded = prior.encode(own, found.values, present, *size)
    assert all(np.array_equal(a, b) for a, b in zip(prior.decode(own, coded.data, present, *size), found.values, strict=True))
    assert abs(8 * len(coded.data) - coded.bits) <= 200


def test_learnt_rests_take_fewer_bits_and_what_is_known_of_other_grids_stays() -> None:
    bundle, rng = load_any_model(FORMER)[1], np.random.default_rng(0)
    y, x = np.mgrid[:512, :640]
    photos = []
    for _ in range(4):
        waves = [80 * np.sin((x * rng.uniform(1, 3) + y * rng.uniform(1, 3)) / 150 + c) + 120 for c in range(3)]
        photos.append(torch.from_numpy(np.clip(np.stack(waves, -1) + rng.normal(0, 5, (512, 640, 3)), 0, 255).astype(np.uint8)))
    found = list(overfitrest.rests(photos, bundle, 0))
    assert len(found) == 8 and found[0][0].shape == (16, 20) and found[1][0].shape == (8, 10)
    own = overfitrest.learn_rests(bundle.prior, found, 60, 64, lambda line: None)
    size, rests = (512, 640), overfitrest.PRESENT
    grids = [*found[0], *(np.zeros(g.shape(*size), np.int32) for g in layout.order()[PLANES:])]
    bits = [prior.encode(p, grids, rests, *size).bits for p in (bundle.prior, own)]
    assert bits[1] < 0.95 * bits[0]
    for name, array in own.arrays.items():
        former = bundle.prior.arrays[name]
        assert np.array_equal(*(np.delete(each, overfitrest.REST_NETS, 0) for each in (array, former)))


def test_edges_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="edges"):
        replace(beyond(), edges=np.zeros((PLANES, 2), np.int32)).checked()
