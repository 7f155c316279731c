"""Training data: batches that depend on (seed, step) alone, and photos held out for good."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from calotype.errors import UsageError
from calotype.train.data import HELD_OUT_EVERY, Photos

SIDE = 48


def flat_photo(number: int, side: int = SIDE) -> Image.Image:
    """A picture that carries its number as its one colour."""
    return Image.fromarray(np.full((side, side + number, 3), (number, 100, 200), np.uint8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """35 numbered photos, in subfolders."""
    for number in range(35):
        place = tmp_path / "photos" / f"part{number % 3}"
        place.mkdir(parents=True, exist_ok=True)
        flat_photo(number).save(place / f"{number:03}.png")
    (tmp_path / "photos" / "notes.txt").write_text("no photo")
    return tmp_path / "photos"


def numbers(batch: torch.Tensor) -> set[int]:
    return set((batch[:, 0] * 255).round().int().flatten().tolist())


def test_held_out_photos_never_train(folder) -> None:
    photos = Photos([folder], 32)
    held_out = numbers(photos.validation(32))
    assert held_out == set(range(0, 35, HELD_OUT_EVERY))
    trained = set().union(*(numbers(photos.batch(seed, step, 8, 32)[0]) for seed in (0, 1) for step in range(60)))
    assert trained == set(range(35)) - held_out
    assert photos.megapixels == pytest.approx(sum(SIDE * (SIDE + n) for n in trained) / 1e6)


def test_a_batch_is_a_function_of_seed_and_step(folder) -> None:
    one, two = Photos([folder], 32), Photos([folder], 32)
    two.batch(9, 9, 5, 16)
    torch.manual_seed(5)
    for a, b in zip(one.batch(1, 7, 4, 32), two.batch(1, 7, 4, 32), strict=True):
        assert torch.equal(a, b)
    for other in ((1, 8), (2, 7)):
        assert not torch.equal(one.batch(1, 7, 4, 32)[1], one.batch(*other, 4, 32)[1])


def test_qualities_are_stratified_over_the_dial(folder) -> None:
    photos = Photos([folder], 32)
    for step in range(20):
        pixels, quality = photos.batch(0, step, 8, 32)
        assert pixels.shape == (8, 3, 32, 32) and 0 <= pixels.min() and pixels.max() <= 1
        assert sorted((quality // 125).int().tolist()) == list(range(8))


def test_a_tar_of_photos_is_the_folder(folder, tmp_path: Path) -> None:
    tar = tmp_path / "photos.tar"
    with tarfile.open(tar, "w") as out:
        out.add(folder, "photos")
    a, b = Photos([folder], 32), Photos([tar], 32)
    assert torch.equal(a.batch(0, 0, 8, 32)[0], b.batch(0, 0, 8, 32)[0])


def test_crops_reach_every_corner(tmp_path: Path) -> None:
    for name in "ab":
        pixels = np.random.default_rng(0).integers(0, 256, (33, 34, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    photos = Photos([tmp_path], 32)
    seen = {photos.batch(0, step, 8, 32)[0][k].numpy().tobytes() for step in range(40) for k in range(8)}
    assert len(seen) == 2 * 3 * 4  # places x (as it is, mirrored, turned, both)


def test_small_photos_are_left_out_and_too_few_are_a_usage_error(folder, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least 2"):
        Photos([folder], SIDE + 1)
    with pytest.raises(UsageError, match="no such"):
        Photos([tmp_path / "gone"], 32)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError):
        Photos([tmp_path / "empty"], 32)


def test_photos_of_one_name_in_two_folders_are_two_photos(tmp_path: Path) -> None:
    for number in range(4):
        place = tmp_path / f"camera{number}"
        place.mkdir()
        flat_photo(number).save(place / "001.png")
    photos = Photos([tmp_path], 32)
    assert len(photos.train) + len(photos.held_out) == 4


def test_a_broken_photo_is_named(folder) -> None:
    whole = io.BytesIO()
    flat_photo(1).save(whole, "png")
    for data in (b"", b"no picture", whole.getvalue()[:60]):
        (folder / "broken.png").write_bytes(data)
        with pytest.raises(UsageError, match="broken.png"):
            Photos([folder], 32)
