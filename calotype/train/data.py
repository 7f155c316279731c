"""Photos from folders and tars, decoded once to uint8, and crops that are a pure function of (seed, step)."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..errors import UsageError
from ..models.perceptual import SqueezeNet

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".avif", ".tif", ".tiff", ".bmp", ".ppm"}
HELD_OUT_EVERY = 16  # each 16th photo, in order of name, validates


def _sources(paths: list[Path]) -> Iterator[tuple[str, bytes]]:
    """(path, file) of each photo; within a tar, the member's path."""
    for path in paths:
        if path.is_dir():
            inner = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES | {".tar"})
            yield from _sources(inner)
        elif path.suffix == ".tar":
            with tarfile.open(path) as tar:
                for member in tar:
                    if member.isfile() and Path(member.name).suffix.lower() in SUFFIXES:
                        yield member.name, tar.extractfile(member).read()  # type: ignore[union-attr]
        elif path.is_file():
            yield str(path), path.read_bytes()
        else:
            raise UsageError(
                f"{path}: no such file or folder; --data takes folders of photos, photos, or .tar files of photos"
            )


class Seen(NamedTuple):
    """Photos, and the net that sees how like two pictures are."""

    photos: Photos
    features: SqueezeNet


class Photos:
    """Photos in memory, split into training and held-out ones by name order.

    paths: folders (searched through), pictures, or tars of pictures. min_side: smaller pictures are left out.
    device: where the uint8 pixels live; crops are cut there. The order is that of file names, then of folders, so that
    it does not depend on where the data lie. Raises UsageError when a picture is broken or too few are left.
    """

    def __init__(self, paths: list[Path], min_side: int, device: torch.device | str = "cpu"):
        named: dict[tuple[str, int], Tensor] = {}
        for number, (name, data) in enumerate(_sources(paths)):
            try:
                with Image.open(io.BytesIO(data)) as im:
                    if min(im.size) >= min_side:
                        named[Path(name).name, number] = torch.from_numpy(np.array(im.convert("RGB")))
            except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises on broken files
                raise UsageError(f"{name} is no whole picture ({error}); remove it from the training data") from error
        if len(named) < 2:
            raise UsageError(f"found {len(named)} photos of at least {min_side} pixels a side; at least 2 are needed")
        names = sorted(named)
        self.held_out = [named[n] for n in names[::HELD_OUT_EVERY]]
        train = [named[n].to(device) for n in names if n not in set(names[::HELD_OUT_EVERY])]
        self.train = train
        area = np.array([(t.shape[0] - min_side + 1.0) * (t.shape[1] - min_side + 1.0) for t in train])
        self._cumulative = np.cumsum(area / area.sum())
        self.megapixels = sum(t.shape[0] * t.shape[1] for t in train) / 1e6

    def batch(self, seed: int, step: int, size: int, crop: int) -> tuple[Tensor, Tensor]:
        """Crops of `step`: (size, 3, crop, crop) float in [0, 1] and qualities (size,) in 0..1000, stratified.

        Every position of every photo is equally likely; flips and quarter turns. Same (seed, step): same batch.
        """
        rng = np.random.default_rng((seed, step))
        crops = []
        for u in rng.random(size):
            piece = self._cut(rng, u, crop)
            if rng.random() < 0.5:
                piece = piece.flip(1)
            if rng.random() < 0.5:
                piece = piece.transpose(0, 1)
            crops.append(piece)
        quality = (rng.permutation(size) + rng.random(size)) / size * 1000
        pixels = torch.stack(crops).permute(0, 3, 1, 2)
        return pixels.float() / 255, torch.from_numpy(quality).float().to(pixels.device, non_blocking=True)

    def piece(self, rng: np.random.Generator, crop: int) -> Tensor:
        """A random (crop, crop, 3) uint8 piece of a training photo, a view."""
        return self._cut(rng, rng.random(), crop)

    def _cut(self, rng: np.random.Generator, u: float, crop: int) -> Tensor:
        photo = self.train[min(int(np.searchsorted(self._cumulative, u)), len(self.train) - 1)]
        top, left = (int(rng.integers(photo.shape[k] - crop + 1)) for k in (0, 1))
        return photo[top : top + crop, left : left + crop]

    def validation(self, crop: int, per_photo: int = 2) -> Tensor:
        """Fixed centre-ish crops of the held-out photos: (N, 3, crop, crop) float in [0, 1]."""
        rng = np.random.default_rng(0)
        crops = []
        for photo in self.held_out:
            for _ in range(per_photo):
                top, left = (int(rng.integers(photo.shape[k] - crop + 1)) for k in (0, 1))
                crops.append(photo[top : top + crop, left : left + crop])
        return torch.stack(crops).permute(0, 3, 1, 2).float() / 255
