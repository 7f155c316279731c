"""Chains of frames for training video models: real clips and photos in synthetic motion, a pure function of (seed, number)."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import UsageError
from .colour import BT601, to_planes
from .data import Photos
from .synthetic import MARGIN, clip

MOVIES = {".mp4", ".mkv", ".webm", ".mov", ".avi", ".y4m"}
HELD_OUT_EVERY = 6  # each 6th clip, in order of name, validates
HELD_OUT_FIRST = 3

Planes = tuple[Tensor, Tensor, Tensor]  # Y (N, H, W), U and V (N, H/2, W/2), uint8


def _movies(paths: list[Path]) -> Iterator[tuple[str, Planes]]:
    """(file name, frames) of each clip in folders, files and tars."""
    for path in paths:
        if path.is_dir():
            yield from _movies(sorted(p for p in path.rglob("*") if p.suffix.lower() in MOVIES | {".tar"}))
        elif path.suffix == ".tar":
            with tarfile.open(path) as tar, tempfile.TemporaryDirectory() as folder:
                tar.extractall(folder, [m for m in tar if Path(m.name).suffix.lower() in MOVIES], filter="data")
                yield from _movies([Path(folder)])
        elif path.suffix.lower() in MOVIES:
            yield path.name, _decoded(path)
        else:
            raise UsageError(f"{path}: --clips takes folders of clips, clips, or .tar files of clips")


def _decoded(path: Path) -> Planes:
    """By PyAV, or by OpenCV where that is missing."""
    try:
        import av
    except ImportError:
        return _by_opencv(path)
    frames = []
    try:
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                even = frame.reformat(frame.width & ~1, frame.height & ~1, "yuv420p")
                frames.append(torch.from_numpy(even.to_ndarray()))
        whole = torch.stack(frames)
    except (av.FFmpegError, IndexError, RuntimeError) as error:
        raise _no_clip(path, error) from error
    height, width = even.height, even.width
    u, v = whole[:, height:].reshape(len(whole), 2, height // 2, width // 2).unbind(1)
    return whole[:, :height].contiguous(), u.contiguous(), v.contiguous()


def _by_opencv(path: Path) -> Planes:
    """OpenCV gives RGB alone, as BT.601 has it: so chroma is that of a picture that went there and back."""
    import cv2

    reader, frames = cv2.VideoCapture(str(path)), []
    while True:
        whole, bgr = reader.read()
        if not whole:
            break
        rgb = torch.from_numpy(bgr).flip(2).permute(2, 0, 1)
        frames.append(to_planes(rgb[:, : rgb.shape[1] & ~1, : rgb.shape[2] & ~1], BT601))
    if not frames:
        raise _no_clip(path, "OpenCV finds no frames in it")
    y, u, v = (torch.stack(p) for p in zip(*frames, strict=True))
    return y, u, v


def _no_clip(path: Path, error: object) -> UsageError:
    return UsageError(f"{path} is no clip that can be decoded ({error}); remove it from the training data")


class Clips:
    """Clips in memory as 8-bit 4:2:0, split into training and held-out ones by name order; photos beside them, if any.

    paths: folders, clips, or tars of clips. photos: for synthetic motion, on the same device. min_side: smaller clips are left
    out. device: where frames live and chains are cut. Raises UsageError where a clip is broken or too few are left.
    """

    def __init__(
        self,
        paths: list[Path],
        photos: Photos | None,
        min_side: int,
        least: int = 2,
        device: torch.device | str = "cpu",
    ):
        named = sorted((name, planes) for name, planes in _movies(paths) if min(planes[0].shape[1:]) >= min_side)
        named = [(name, planes) for name, planes in named if len(planes[0]) >= least]
        held = [k for k in range(len(named)) if k % HELD_OUT_EVERY == min(HELD_OUT_FIRST, len(named) - 1)]
        on_device = [tuple(plane.to(device) for plane in planes) for _, planes in named]
        self.held_out = [on_device[k] for k in held]
        self.train = [planes for k, planes in enumerate(on_device) if k not in held]
        if not self.held_out or not self.train:
            raise UsageError(
                f"found {len(named)} clips of at least {min_side} pixels a side and {least} frames; give 2 at least"
            )
        self.photos = photos
        frames = np.array([len(p[0]) for p in self.train], float)
        self._cumulative = np.cumsum(frames / frames.sum())
        self.megapixels = sum(p[0].numel() for p in self.train) / 1e6

    def chain(
        self, seed: int, number: int, sample: int, length: int, crop: int, real: float, cut: float = 0.0
    ) -> Planes:
        """Frames in order of time of one sample of a chain: Y (length, crop, crop), U, V, uint8.

        real: probability of a clip where there are photos too. cut: probability of a scene cut, at any of the later frames.
        """
        rng = np.random.default_rng((seed, number, sample))
        before = self._scene(rng, length, crop, real)
        if rng.random() >= cut:
            return before
        at = int(rng.integers(1, length))
        after = self._scene(rng, length - at, crop, real)
        y, u, v = (torch.cat((a[:at], b)) for a, b in zip(before, after, strict=True))
        return y, u, v

    def _scene(self, rng: np.random.Generator, length: int, crop: int, real: float) -> Planes:
        if self.photos is not None and rng.random() >= real:
            return self._synthetic(rng, length, crop)
        planes = self.train[min(int(np.searchsorted(self._cumulative, rng.random())), len(self.train) - 1)]
        return _cut(rng, planes, length, crop)

    def _synthetic(self, rng: np.random.Generator, length: int, crop: int) -> Planes:
        assert self.photos is not None
        pieces = [self.photos.piece(rng, crop + 2 * MARGIN) for _ in range(2)]
        return to_planes(clip(rng, *pieces, length, crop))

    def validation(self, length: int, crop: int, count: int = 2) -> list[Planes]:
        """Fixed crops of the held-out clips, `count` of each."""
        rng = np.random.default_rng(0)
        return [_cut(rng, planes, length, crop, still=True) for planes in self.held_out for _ in range(count)]


def _cut(rng: np.random.Generator, planes: Planes, length: int, crop: int, still: bool = False) -> Planes:
    """A random piece of a clip: where, when, and unless `still` forwards or backwards, mirrored, each or every second frame.

    A clip that is too short goes back and forth.
    """
    frames, height, width = planes[0].shape
    stride = 1 if still or rng.random() < 0.75 or frames < 2 * length else 2
    first = int(rng.integers(max(frames - stride * (length - 1), 1)))
    turn = max(2 * frames - 2, 1)
    at = [(first + stride * k) % turn for k in range(length)]
    at = [turn - k if k >= frames else k for k in at]
    top, left = (2 * int(rng.integers((side - crop) // 2 + 1)) for side in (height, width))
    backwards, mirrored, turned = (not still and rng.random() < 0.5 for _ in range(3))
    if backwards:
        at.reverse()
    out = []
    for plane, scale in zip(planes, (1, 2, 2), strict=True):
        s = crop // scale
        cut = plane[:, top // scale : top // scale + s, left // scale : left // scale + s]
        piece = torch.stack([cut[k] for k in at])  # an index tensor would have to go to the device first
        piece = piece.flip(2) if mirrored else piece
        out.append((piece.transpose(1, 2) if turned else piece).contiguous())
    return out[0], out[1], out[2]
