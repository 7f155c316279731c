"""Which latents are counted as those that the prior's net runs for, beside what a prior sees of them."""

from __future__ import annotations

import numpy as np
import pytest

from calotype.codecs.overfitting import first_fit
from calotype.models.overfit import layout
from calotype.models.overfit.live import live
from calotype.models.zoo import load_any_model
from calotype.train.overfit import rows_of


@pytest.mark.parametrize("quality", [0, 500, 1000])
def test_latents_and_bits_are_nearly_those_of_which_a_prior_sees_something(quality: int) -> None:
    y, x = np.mgrid[:96, :128]
    noise = np.random.default_rng(0).integers(0, 40, (96, 128, 3))
    pixels = (np.stack([x % 90, (x + y) % 80, 200 - y], -1) + noise * (x > 64)[..., None]).astype(np.uint8)
    bundle = load_any_model("overfit")[1]
    grids, latents, bits = first_fit(bundle, pixels, quality).grids, 0, 0
    known, rng = dict(zip(layout.order(), grids, strict=True)), np.random.default_rng(0)
    for grid, own in known.items():
        if own.any():
            for features, signed, q, *_ in rows_of(grid, known, bundle.prior.arrays["means"], 1 << 20, rng, trellis=True):
                seen = features.any(1) | signed.any(1)
                size = (np.abs(q[seen]) + 1) >> 1
                latents += int(seen.sum())
                bits += int((1 + (size > 0) * (1 + np.minimum(size, 14))).sum())
    assert live(grids, trellis=True) == (pytest.approx(latents, rel=0.02), pytest.approx(bits, rel=0.02))


def test_zeros_take_nothing_and_one_latent_wakes_those_around_it() -> None:
    values = [np.zeros(g.shape(64, 64), np.int32) for g in layout.order()]
    assert live(values, trellis=False) == (0, 0)
    finest = layout.order().index(layout.Grid(2, 1, 2))
    values[finest][10, 10] = 1
    assert live(values, trellis=False) == (8, 8)
