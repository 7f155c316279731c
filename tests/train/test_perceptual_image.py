"""An image model trained by SqueezeNet's distance too."""

from __future__ import annotations

import pytest
import tiny
import torch

from calotype.errors import UsageError
from calotype.models.perceptual import SqueezeNet
from calotype.train.data import Photos, Seen
from calotype.train.image import loss
from calotype.train.loop import Run


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
