"""Chains, loss and validation of the inter-frame model.

A step codes one frame. A recipe's `chain` of them, in its `stages` fewer, follows an intra frame, each predicted from what the
steps before decoded, by the codec's own motion search: so the net learns on its own errors, and no gradient goes from frame to
frame. Chains are long: in short ones errors that pile up from frame to frame stay small, and the net learns to leave them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..codecs.video.hierarchy import LEAST, MOST
from ..codecs.video.structure import load
from ..models.image import knot_weights, quality_lmbda
from ..models.imageconfig import LMBDA, QUALITY_MAX
from ..models.motion.compensate import compensate
from ..models.motion.field import BLOCKS, Field
from ..models.motion.fieldcoding import motion_banks
from ..models.motion.search import Prices, search
from ..models.video import CHROMA_SCALE, CHROMA_WEIGHT, LUMA, Coded, InterModel, Prediction, to_cells, to_planes
from ..models.videoconfig import CELLS, search_lmbda
from . import colour, devicemotion
from .clips import Clips, Planes
from .recipes import VideoRecipe

VALIDATION_QUALITIES = (50, 250, 500, 750, 950)
VALIDATION_CROP = 192
SCALARS = ("loss", "bpp", "db", "z")  # what `loss` says of a step; db: PSNR of the prediction alone; z as in `image`
INTRA = (-50, 100)  # of 1000: an intra frame's quality lies so far above its chain's, around what structures say: -20 or 60
PRICED = 48  # pieces of clips whose motion is counted before training
JITTER = 60  # of 1000, either way: frames of one chain differ in quality
LEVEL = 256.0  # levels in a cell's unit
SHIFT = 32 * LEVEL  # a prediction's unit in a cell's

P_FRAMES, B_FRAMES = "low-delay", ("random-access-8", "random-access-16")
ABOVE = 60  # of 1000: quality of the structures' best frames above the chain's


class Decoded(NamedTuple):
    """What a later frame sees of an earlier one: planes (B, H, W), ... uint8, latents (B, M, h, w)."""

    planes: Planes
    latents: Tensor


def chain_of(structure: str, frames: int, spread: float = 1.0) -> list[tuple[int, tuple[int, ...], int]]:
    """(frame, its references, quality above the chain's in thousandths) of so many frames after an intra frame, in coding
    order; the intra frame is number 0. spread: by what the structure's offsets are multiplied."""
    found: list[tuple[int, tuple[int, ...], int]] = []
    gop, base = load(structure), 0
    while base < frames:
        entries = gop.entries(min(gop.length, frames - base))
        for entry in entries:
            references = tuple(base + r for r in entry.references if base + r >= 0)
            found.append((base + entry.show, references, round(10 * entry.quality * spread) + ABOVE))
        base += len(entries)
    return found


def distortion(x_hat: Tensor, x: Tensor) -> Tensor:
    """0.75 of Y's mean squared error (0..255) of cells (B, 96, h, w), and chroma's by CHROMA_WEIGHT a sample: (B,)."""
    square = (x_hat - x).square().mean((2, 3)) * LEVEL**2
    y, u, v = square.split((LUMA, LUMA // 4, LUMA // 4), 1)
    return 0.75 * (y.mean(1) + CHROMA_WEIGHT / 4 * (u.mean(1) + v.mean(1)))


def psnr611(x_hat: Tensor, x: Tensor) -> Tensor:
    """(6 Y + U + V) / 8 of the planes' PSNRs of cells (B, 96, h, w): (B,)."""
    square = ((x_hat - x).square().mean((2, 3)) * LEVEL**2).split((LUMA, LUMA // 4, LUMA // 4), 1)
    y, u, v = (10 * torch.log10(255**2 / s.mean(1).clamp_min(0.01)) for s in square)
    return 0.75 * y + 0.125 * (u + v)


def cells_of(planes: Planes, device: str) -> Tensor:
    """uint8 planes -> cells."""
    return to_cells(*((p.to(device).float() - 128) / LEVEL for p in planes))


def planes_of(cells: Tensor) -> Planes:
    """Cells -> uint8 planes, as a decoder rounds and clips them."""
    y, u, v = ((p.detach() * LEVEL + 128).round().clamp(0, 255).to(torch.uint8) for p in to_planes(cells))
    return y, u, v


class Wanted(NamedTuple):
    """A frame of B pictures to be coded: its number and references in the chain, cells (B, 96, h, w), its prediction, quality
    (B,) in 0..1000, and the fields of motion behind the prediction (none where a device searched)."""

    number: int
    references: tuple[int, ...]
    cells: Tensor
    prediction: Prediction
    quality: Tensor
    fields: list[Field]

    @property
    def pixels(self) -> int:
        """Luma pixels of one picture."""
        return self.cells.shape[2] * self.cells.shape[3] * LUMA


class Intra:
    """Intra frames as the codec codes them: the shipped image model, latents rounded to the nearest."""

    def __init__(self, device: str):
        from ..models.bundle import ImageBundle
        from ..models.zoo import DEFAULT_IMAGE_MODEL, find_model

        # execution: its integers never run here, and these need no numba
        self.device, self.model = device, ImageBundle.read(find_model(DEFAULT_IMAGE_MODEL), device, "float").model

    @torch.no_grad()
    def __call__(self, planes: Planes, quality: Tensor) -> Planes:
        """planes of B pictures, quality (B,) in 0..1000 -> planes as decoded, on this net's device."""
        x = colour.to_rgb(tuple(p.to(self.device) for p in planes)).float() / 255
        weights = knot_weights(quality.to(self.device, non_blocking=True))
        x_hat = self.model.synthesise(self.model.analyse(x, weights).round(), weights)
        return colour.to_planes((x_hat * 255).round().clamp(0, 255).to(torch.uint8))


@cache
def searches_on(device: str) -> bool:
    """Whether motion is searched on the device, by torch: the codec's own search needs a CPU and numba."""
    return device != "cpu" or find_spec("numba") is None


def predict(
    target: Planes, references: list[Decoded], quality: Tensor, block: int, device: str, prices: Prices | None = None
) -> tuple[Prediction, list[Field]]:
    """The motion-compensated prediction of each of B pictures, and their motion. By the codec's search, prices as it has
    them, or where `searches_on` by the device's, which makes no `Field`s."""
    fields: list[Field] = []
    if searches_on(device):
        y, u, v = (torch.stack(p).to(device) for p in zip(*(r.planes for r in references), strict=True))
        tables = devicemotion.interpolate((y, u, v))
        lmbda = torch.tensor([search_lmbda(q) for q in quality.tolist()]).to(device, non_blocking=True)
        parts = devicemotion.compensate(tables, devicemotion.search(target[0].to(device), tables, lmbda, block))
    else:
        bases, differences = [], []
        for k, q in enumerate(quality.tolist()):
            own = [tuple(p[k].numpy() for p in reference.planes) for reference in references]
            fields.append(search(tuple(p[k].numpy() for p in target), own, search_lmbda(q), block, prices=prices))
            for found, planes in zip((bases, differences), compensate(own, fields[-1]), strict=True):
                found.append([torch.from_numpy(p) for p in planes])
        parts = tuple(tuple(torch.stack(p) for p in zip(*found, strict=True)) for found in (bases, differences))
    base, difference = (to_cells(*(p.to(device).float() / SHIFT for p in planes)) for planes in parts)
    return Prediction(base, difference, references[0].latents), fields


class VideoTask:
    """How a run trains an inter-frame model on clips (`tasks.Task`)."""

    scalars = SCALARS

    def __init__(self, recipe: VideoRecipe, clips: Clips, device: str, rank: int, world: int):
        self.recipe, self.clips, self.device, self.rank, self.world = recipe, clips, device, rank, world
        self._first = self._end = 0  # steps of the chain that was begun last
        self.intra = Intra(device)
        self.held_out = clips.validation(recipe.chain + 1, VALIDATION_CROP)
        self._decoded: dict[int, Decoded] = {}
        self.prices = None if searches_on(device) else self._prices()

    @torch.no_grad()
    def start(self, model: InterModel) -> None:
        """Start the transforms as the KLT of what predictions miss."""
        total, count = torch.zeros(4 * CELLS, 4 * CELLS, dtype=torch.float64), 0
        scale = torch.ones(CELLS, 1, 1, device=self.device)
        scale[LUMA:] = CHROMA_SCALE
        for number in range(6):
            frames, quality = self._sample(number, 16, self.recipe.crop, 2)
            first = tuple(p[:, 0] for p in frames), tuple(p[:, 1] for p in frames)
            decoded = self._intra(first[0], quality)
            prediction, _ = predict(first[1], [decoded], quality, 16, self.device)
            error = torch.nn.functional.pixel_unshuffle((cells_of(first[1], self.device) - prediction.base) * scale, 2)
            blocks = error.permute(0, 2, 3, 1).reshape(-1, 4 * CELLS).double().cpu()
            total, count = total + blocks.T @ blocks, count + len(blocks)
        variance, basis = torch.linalg.eigh(total / count)
        order = torch.arange(4 * CELLS - 1, 4 * CELLS - 1 - model.config.latents, -1)
        model.start_from_klt(basis.T[order].float().contiguous(), variance[order].float())

    def initial(self, source: Path | str) -> tuple[Any, dict[str, Tensor]]:
        from .initial import initial_video_weights

        return initial_video_weights(source)

    def begin(self, number: int, batch: int, crop: int, frames: int) -> None:
        """Start chain `number`: its frames, so many after the intra frame, structure and qualities, and its intra frame."""
        recipe, self._number = self.recipe, number
        self._frames, self._quality = self._sample(number, batch, crop, frames + 1)
        rng = np.random.default_rng((recipe.seed, number, 1 << 20))
        structure = str(rng.choice(B_FRAMES)) if rng.random() < recipe.bidirectional else P_FRAMES
        self._chain = chain_of(structure, frames, math.exp(rng.uniform(math.log(LEAST), math.log(MOST))))
        self._jitter = torch.from_numpy(rng.uniform(-JITTER, JITTER, (frames, len(self._quality)))).float()
        above = torch.from_numpy(rng.uniform(*INTRA, len(self._quality))).float()
        self._block = int(rng.choice(BLOCKS))
        first = tuple(p[:, 0] for p in self._frames)
        self._decoded = {0: self._intra(first, (self._quality + above).clamp(0, QUALITY_MAX))}

    def frame(self, place: int) -> Wanted:
        """The frame to be coded at that place of the chain that was begun, predicted from those before."""
        number, references, above = self._chain[place]
        quality = (self._quality + above + self._jitter[place]).clamp(0, QUALITY_MAX)
        target = tuple(p[:, number] for p in self._frames)
        known = [self._decoded[r] for r in references]
        prediction, fields = predict(target, known, quality, self._block, self.device, self.prices)
        prediction = self._parted(prediction, place)
        return Wanted(number, references, cells_of(target, self.device), prediction, quality.to(self.device), fields)

    def _parted(self, prediction: Prediction, place: int) -> Prediction:
        """Some pictures without their prediction: where there was nothing like them, a model must still code them."""
        rng = np.random.default_rng((self.recipe.seed, self._number, self.rank, 1 << 21 | place))
        size = tuple(8 * n for n in prediction.base.shape[2:])
        lost = torch.zeros(len(prediction.base), 1, size[0] // self._block, size[1] // self._block)
        for mask in lost:
            if rng.random() < self.recipe.alone:
                level = 2.0 if rng.random() < 0.5 else rng.normal(0, 0.7)  # the whole picture or blobs
                noise = torch.from_numpy(rng.normal(0, 1, (1, 1, 4, 4))).float()
                mask.copy_(torch.nn.functional.interpolate(noise, mask.shape[1:], mode="bicubic")[0] < 2 * level)
        if not lost.any():
            return prediction
        kept = 1 - torch.nn.functional.interpolate(lost, size, mode="bilinear")[:, 0]  # the weights of overlapped blocks
        coarse = torch.nn.functional.avg_pool2d(kept, 2)
        share = to_cells(kept, coarse, coarse).to(self.device)
        return Prediction(prediction.base * share, prediction.difference * share, prediction.past)

    def keep(self, wanted: Wanted, coded: Coded) -> None:
        """Give what a frame was decoded to, for the frames after it."""
        self._decoded[wanted.number] = Decoded(planes_of(coded.x_hat), coded.y_hat.detach())

    def whole(self, step: int) -> bool:
        return not self._first < step < self._end

    def loss(self, forward: Callable, step: int, progress: float) -> tuple[Tensor, Tensor]:
        if self.whole(step):
            self._first, self._end = step, step + self.recipe.frames(progress)
            self.begin(step, *self.recipe.stage(progress), self._end - step)
        wanted = self.frame(step - self._first)
        coded: Coded = forward(wanted.cells, wanted.prediction, wanted.quality)
        self.keep(wanted, coded)
        bpp = (coded.y_bits + coded.z_bits) / wanted.pixels
        lmbda = quality_lmbda(wanted.quality)
        weight = (lmbda / (LMBDA[0] * LMBDA[1]) ** 0.5) ** -self.recipe.rate_balance
        total = (weight * (bpp + lmbda * distortion(coded.x_hat, wanted.cells))).mean()
        share = coded.z_bits.mean() / coded.y_bits.mean().clamp_min(1e-6)
        alone = psnr611(wanted.prediction.base, wanted.cells).mean()
        return total, torch.stack((total, bpp.mean(), alone, share)).detach()

    @torch.no_grad()
    def validate(self, model: InterModel) -> list[dict[str, float]]:
        """Means over the P frames of one chain on held-out clips; bits of motion are not counted."""
        frames = tuple(torch.stack(p) for p in zip(*self.held_out, strict=True))
        points = []
        for q in VALIDATION_QUALITIES:
            chain_quality = torch.full((len(frames[0]),), float(q))
            first = (chain_quality + sum(INTRA) / 2).clamp(0, QUALITY_MAX)
            decoded = {0: self._intra(tuple(p[:, 0] for p in frames), first)}
            rows = []
            for number, references, above in chain_of(P_FRAMES, self.recipe.chain):
                quality = (chain_quality + above).clamp(0, QUALITY_MAX)
                target = tuple(p[:, number] for p in frames)
                prediction, _ = predict(target, [decoded[r] for r in references], quality, 16, self.device, self.prices)
                x, quality = cells_of(target, self.device), quality.to(self.device)
                coded, _ = model.coded(x, prediction, quality)
                decoded[number] = Decoded(planes_of(coded.x_hat), coded.y_hat)
                x_hat = cells_of(decoded[number].planes, self.device)
                bpp = (coded.y_bits + coded.z_bits) / (x.shape[2] * x.shape[3] * LUMA)
                cost = bpp + quality_lmbda(quality) * distortion(x_hat, x)
                rows.append(torch.stack((bpp, psnr611(x_hat, x), cost)).mean(1))
            bpp, db, cost = torch.stack(rows).mean(0).tolist()
            points.append({"quality": q, "bpp": round(bpp, 5), "psnr": round(db, 3), "cost": round(cost, 5)})
        return points

    def _prices(self) -> Prices:
        """What motion takes, near enough: tables counted on original frames, twice, the second time at the first's prices."""
        prices: Prices | None = None
        for _ in range(2):
            fields: list[tuple[Field, int]] = []
            for number in range(PRICED):
                y, u, v = self.clips.chain(self.recipe.seed + 1, number, 0, 3, self.recipe.crop, self.recipe.real)
                frames = [tuple(p[k].cpu().numpy() for p in (y, u, v)) for k in range(3)]
                lmbda = search_lmbda((number + 0.5) * QUALITY_MAX / PRICED)
                for block in BLOCKS:
                    for references in (frames[:1], frames[::2]):
                        field = search(frames[1], references, lmbda, block, prices=prices)
                        fields.append((field, len(references)))
            prices = Prices.of(motion_banks(fields))
        assert prices is not None
        return prices

    def _intra(self, planes: Planes, quality: Tensor) -> Decoded:
        decoded = self.intra(planes, quality.to(self.device))
        b, h, w = decoded[0].shape
        return Decoded(decoded, torch.zeros(b, self.recipe.latents, h // 16, w // 16, device=self.device))

    def _sample(self, number: int, batch: int, crop: int, length: int) -> tuple[Planes, Tensor]:
        """Frames (B, length, ...) and qualities (B,), stratified, of this process's share of a chain."""
        recipe = self.recipe
        mine = range(self.rank, batch, self.world)
        samples = [self.clips.chain(recipe.seed, number, k, length, crop, recipe.real, recipe.cut) for k in mine]
        rng = np.random.default_rng((recipe.seed, number))
        quality = (rng.permutation(batch) + rng.random(batch)) / batch * QUALITY_MAX
        y, u, v = (torch.stack(p) for p in zip(*samples, strict=True))
        return (y, u, v), torch.from_numpy(quality[self.rank :: self.world].copy()).float()
