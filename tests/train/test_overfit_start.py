"""What overfitted pictures start from: learnt from photos, it codes them in fewer bits, with less error, within the bounds."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from calotype.models.overfit import prior as prior_kernels
from calotype.models.overfit.bundle import OverfitBundle, write_overfit_model
from calotype.models.overfit.mixing import Mixing
from calotype.models.overfit.sizes import NEXT_STATE
from calotype.models.zoo import load_any_model
from calotype.train import overfit, overfittrellis
from calotype.train.data import Photos


def test_a_start_is_learnt_written_and_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for k in range(3):
        y, x = np.mgrid[:100, :110]
        tones = np.stack([(x * (k + 1)) % 200, (y * 2) % 190, (x + y) % 180], -1)
        Image.fromarray((tones + rng.integers(0, 20, (100, 110, 3))).astype(np.uint8)).save(tmp_path / f"{k}.png")
    prior, start = overfit.blank()
    crops = overfit.cut(Photos([tmp_path], 64), start, 4, 64, seed=0)
    before = overfit.count(prior, crops)[1]
    means = overfit.fit_means(overfit.collect(crops, prior.arrays["means"], 100, seed=0))
    rows = overfit.collect(crops, means, 200, seed=0)
    assert len(rows) == 12 and all(r.features.shape == (len(r.values), 18) for r in rows)
    said: list[str] = []
    arrays = overfit.fit_scales(prior.arrays, rows, 200, 64, 5e-3, said.append) | {"means": means}
    prior, after = overfit.count(replace(prior, arrays=arrays), crops)
    assert after < before
    overfit.round_crops(prior, crops)
    planes = overfit.both_planes(start, crops)
    start = replace(start, arrays=overfit.fit_filter(start.arrays, planes, False, 20, 2e-3, said.append))
    path = tmp_path / "own.safetensors"
    write_overfit_model(path, "own", prior.checked(), start.checked(), {})
    back = OverfitBundle.read(path)
    assert all(np.array_equal(back.prior.arrays[k], v) for k, v in prior.arrays.items())
    assert np.array_equal(back.prior.chances, prior.chances) and np.array_equal(back.synthesis.colours, start.colours)


def test_a_start_that_mixes_is_learnt_from_crops_that_a_former_one_fits_and_read_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for k in range(3):
        y, x = np.mgrid[:150, :140]
        tones = np.stack([(x * (k + 1)) % 200, (y * 2) % 190, (x + y) % 180], -1)
        Image.fromarray((tones + rng.integers(0, 20, (150, 140, 3))).astype(np.uint8)).save(tmp_path / f"{k}.png")
    former = load_any_model("overfit-s.1")[1]
    crops = overfit.fitted(Photos([tmp_path], 64), former, 3, 64, seed=0)
    blank = Mixing.blank()
    prior, first = overfit.count(former.prior, crops, blank)
    prior, second = overfit.count(former.prior, crops, prior.mixing)
    assert second < first and np.array_equal(blank.maps, Mixing.blank().maps)
    path = tmp_path / "own.safetensors"
    write_overfit_model(path, "own", prior.checked(), former.synthesis, {})
    back = OverfitBundle.read(path).prior.mixing
    assert np.array_equal(back.maps, prior.mixing.maps) and np.array_equal(back.weights, prior.mixing.weights)


def test_a_start_with_a_trellis_is_learnt_from_one_that_mixes_and_read_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for k in range(3):
        y, x = np.mgrid[:150, :140]
        tones = np.stack([(x * (k + 1)) % 200, (y * 2) % 190, (x + y) % 180], -1)
        Image.fromarray((tones + rng.integers(0, 20, (150, 140, 3))).astype(np.uint8)).save(tmp_path / f"{k}.png")
    former = overfit.with_trellis(load_any_model("overfit-s.2")[1])
    crops = overfit.fitted(Photos([tmp_path], 64), former, 3, 64, seed=0)
    prior, first = overfit.count(former.prior, crops, former.prior.mixing)
    prior, second = overfit.count(former.prior, crops, prior.mixing)
    assert second < first and prior.trellis
    path = tmp_path / "own.safetensors"
    write_overfit_model(path, "own", prior.checked(), former.synthesis, {})
    back = OverfitBundle.read(path)
    assert back.prior.trellis and np.array_equal(back.prior.mixing.maps, prior.mixing.maps)
    assert (back.synthesis.gains == overfit.GAIN).all()
    with pytest.raises(ValueError, match="mix"):
        overfit.with_trellis(load_any_model("overfit-s.1")[1])


def test_pieces_to_validate_on_are_of_held_out_photos_alone() -> None:
    train, aside = (torch.full((80, 80, 3), tone, dtype=torch.uint8) for tone in (10, 200))
    photos = SimpleNamespace(train=[train], held_out=[aside])
    for held, tone in ((False, 10), (True, 200)):
        for qualities in (None, (300, 320)):
            found = list(overfittrellis.pieces(photos, 3, 64, 0, qualities, held))  # type: ignore[arg-type]
            assert len(found) == 3 and all((pixels == tone).all() for pixels, _ in found)


def test_a_start_is_learnt_again_from_latents_of_a_trellis_and_goes_on_from_what_was_kept(tmp_path: Path) -> None:
    rng, said = np.random.default_rng(0), []
    for k in range(3):
        y, x = np.mgrid[:150, :140]
        tones = np.stack([(x * (k + 1)) % 200, (y * 2) % 190, (x + y) % 180], -1)
        Image.fromarray((tones + rng.integers(0, 20, (150, 140, 3))).astype(np.uint8)).save(tmp_path / f"{k}.png")
    photos, former, work = Photos([tmp_path], 64), load_any_model("overfit-s.3")[1], tmp_path / "work"
    coded = list(overfittrellis.coded(lambda: photos, former, 4, 64, 0, 0, work))
    assert len({c.quality for c in coded}) == 4
    within = list(overfittrellis.pieces(photos, 4, 64, 0, (300, 320)))
    assert all(300 <= quality <= 320 for _, quality in within) and len({quality for _, quality in within}) > 1
    for (pixels, _), (same, _) in zip(within, overfittrellis.pieces(photos, 4, 64, 0), strict=True):
        assert np.array_equal(pixels, same)
    (work / "0002.npz").unlink()
    again = list(overfittrellis.coded(lambda: photos, former, 4, 64, 0, 0, work))
    kept = list(overfittrellis.coded(lambda: pytest.fail("all crops are there"), former, 4, 64, 0, 0, work))
    for other in (again, kept):
        for (a, quality), (b, its) in zip(coded, other, strict=True):
            assert quality == its and np.array_equal(a.planes, b.planes)
            assert all(np.array_equal(v, w) for v, w in zip(a.latents, b.latents, strict=True))
    prior = overfittrellis.learn_prior(former.prior, [c.crop for c in coded], 30, 64, 2, said.append)
    bits = [overfit.count(prior, [c.crop for c in coded], m)[1] for m in (Mixing.blank(trellis=True), prior.mixing)]
    assert bits[1] < bits[0]
    everywhere = [c._replace(quality=k) for k, c in zip((100, 400, 600, 900), coded, strict=True)]
    nets, widths = [], (64, 32, 0)
    for number in range(overfittrellis.NETS):
        learn = partial(overfittrellis.learn_net, former, everywhere, number, 20, 2e-3, widths[number], said.append)
        nets.append(overfittrellis.kept_net(work, number, learn))
        again = overfittrellis.kept_net(work, number, lambda: pytest.fail("the net is there"))
        assert all(np.array_equal(again[name], array) for name, array in nets[-1].items())
    start, more = overfittrellis.by_class(former.synthesis, nets, everywhere, said.append), nets[1:]
    path = tmp_path / "own.safetensors"
    write_overfit_model(path, "own", prior, start, {}, more)
    back = OverfitBundle.read(path)
    assert len(back.filters) == overfittrellis.NETS and back.prior.parted and back.prior.trellis
    assert np.array_equal(back.synthesis.classes, start.classes)
    assert [len(arrays.get("coarse.enter_bias", ())) for arrays in back.filters] == [*widths]
    assert all(np.array_equal(back.more[k][n], v) for k in range(2) for n, v in more[k].items())


def test_how_far_latents_of_a_trellis_are_from_their_means_is_in_steps_of_their_quantiser() -> None:
    values = np.array([[2, 1, -3, 0, -1]], np.int32)  # indices 1, then of the second quantiser: 1, then ...
    left, means = np.zeros((1, 5), np.float32), np.zeros((1, 5), np.int64)
    prior_kernels.trellis_kernels().missing(values, means, left)
    state, expected = 0, []
    for v in values[0].tolist():
        index = (abs(v) + (state & 1)) // 2
        expected.append(index if v > 0 else -index)
        state = NEXT_STATE[state][index & 1]
    assert left[0].tolist() == expected
