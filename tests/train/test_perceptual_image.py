"""An image model trained by SqueezeNet's distance too."""

from __future__ import annotations

import json
import math

import pytest
import tiny
import torch

from calotype.cli import train_plot
from calotype.errors import UsageError
from calotype.models.generative.net import enlarge, shrink
from calotype.models.image import LMBDA, quality_lmbda
from calotype.models.perceptual import SqueezeNet, distance
from calotype.train.data import Photos, Seen
from calotype.train.image import ImageTask, loss
from calotype.train.loop import LOG, Run


@pytest.fixture(scope="module")
def seen(tmp_path_factory) -> Seen:
    torch.manual_seed(0)
    photos = Photos([tiny.write_photos(tmp_path_factory.mktemp("data") / "photos")], 96)
    return Seen(photos, SqueezeNet().eval().requires_grad_(False))


def test_the_loss_is_the_plain_one_and_the_distance_by_its_weight(seen: Seen, tmp_path) -> None:
    run = Run(tmp_path / "run", tiny.changed(), seen)
    x, quality = seen.photos.batch(1, 1, 2, 64)
    values = []
    for weight in (0.0, 1.0, 3.0):
        torch.manual_seed(4)
        values.append(float(loss(run.model, tiny.changed(perceptual=weight), x, quality, seen.features)[0]))
    torch.manual_seed(4)
    plain = float(loss(run.model, tiny.changed(), x, quality)[0])
    assert values[0] == plain
    assert values[2] - plain == pytest.approx(3 * (values[1] - plain), rel=1e-3) and values[1] > plain


def test_it_trains_and_says_the_distance_of_held_out_photos(seen: Seen, tmp_path) -> None:
    run = Run(tmp_path / "run", tiny.changed(perceptual=1.0, squared=0.5, top=350), seen)
    run.train(2, log_every=1, validate_every=100)
    assert all(point["distance"] > 0 for point in run.validate())


def test_a_weight_without_the_net_that_sees_is_a_usage_error(seen: Seen, tmp_path) -> None:
    with pytest.raises(UsageError, match="--features"):
        Run(tmp_path / "run", tiny.changed(perceptual=1.0), seen.photos)


def test_steps_have_all_sizes_by_their_share_and_a_resumed_run_the_same(seen: Seen) -> None:
    settings = seen, "cpu", 0, 1
    task, again, whole = (ImageTask(tiny.changed(late_crop=64, shrunk=share), *settings) for share in (0.6, 0.6, 0.0))
    scales = [task.scale(step) for step in range(600)]
    counts = [scales.count(scale) / 600 for scale in (1, 2, 3)]
    assert counts == pytest.approx([0.4, 0.3, 0.3], abs=0.06) and sum(counts) == 1
    assert scales == [again.scale(step) for step in range(600)]
    assert all(whole.scale(step) == 1 for step in range(600))


@pytest.mark.parametrize("scale", [2, 3])
def test_a_smaller_picture_costs_its_own_bits_and_the_distance_of_what_it_is_enlarged_to(seen: Seen, scale: int) -> None:
    model, quality = tiny.RECIPE.model(), torch.tensor([50.0, 50.0])
    x = seen.photos.batch(1, 1, 2, 64 * scale)[0]
    small, found = shrink(x, scale), []
    assert small.shape[2:] == (64, 64)
    for given, at in ((x, scale), (small, 1)):
        torch.manual_seed(4)
        found.append(loss(model, tiny.changed(), given, quality, seen.features, at))
    assert torch.equal(found[0][1], found[1][1])
    torch.manual_seed(4)
    total = loss(model, tiny.changed(perceptual=1.0), x, quality, seen.features, scale)[0]
    torch.manual_seed(4)
    shown = enlarge(model(small, quality)[0], scale)
    start = (64 * scale - 96) // 2
    a, b = (seen.features(v[:, :, start : start + 96, start : start + 96]) for v in (shown, x))
    weight = (quality_lmbda(quality) / math.sqrt(LMBDA[0] * LMBDA[1])) ** -tiny.RECIPE.rate_balance
    assert float(total - found[0][0]) == pytest.approx(float((weight * distance(a, b)).mean()), rel=1e-3)


def test_shrunk_photos_validate_beside_whole_ones_and_are_not_drawn(tmp_path) -> None:
    recipe = tiny.changed(late_crop=64, shrunk=0.5)
    photos = Photos([tiny.write_photos(tmp_path / "photos")], recipe.reach)
    assert recipe.reach == 192 and min(p.shape[0] for p in photos.train) >= 192
    task = ImageTask(recipe, Seen(photos, SqueezeNet().eval().requires_grad_(False)), "cpu", 0, 1)
    points = task.validate(recipe.model())
    assert [p.get("scale", 1) for p in points] == [1] * 5 + [2, 2, 3, 3] and all(p["distance"] > 0 for p in points)
    (tmp_path / LOG).write_text(json.dumps({"step": 3, "validation": points}))
    ((_, drawn),) = train_plot._validations(tmp_path).items()
    assert len(drawn) == 5


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_that_is_none_is_a_usage_error(share: float) -> None:
    with pytest.raises(UsageError, match="shrunk"):
        tiny.changed(shrunk=share)
