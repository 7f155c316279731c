"""What torch does for training on a device: compensation and colours to the bit as the codec, a search nearly as good."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "models" / "motion"))
from motion_cases import picture, random_field, textured  # noqa: E402 (found by the line above)

from calotype.codecs.header import Colour  # noqa: E402
from calotype.codecs.video import colour as codec_colour  # noqa: E402
from calotype.models.motion.compensate import compensate  # noqa: E402
from calotype.models.motion.field import BOTH, FIRST, LIMIT, SECOND, Field  # noqa: E402
from calotype.models.motion.search import search  # noqa: E402
from calotype.train import colour, devicemotion  # noqa: E402

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU"))]


def stacked(pictures, device="cpu"):
    """pictures[r][b], planes each -> planes (R, B, H, W)."""
    parts = ([[planes[k] for planes in row] for row in pictures] for k in range(3))
    return tuple(torch.from_numpy(np.array(part)).to(device) for part in parts)


def field_of(motion, number):
    """A picture's field as the codec has it."""
    vectors = np.zeros((2, *motion.mode.shape[1:], 2), np.int16)
    vectors[: len(motion.vectors)] = motion.vectors[:, number].cpu()
    return Field(motion.block, motion.mode[number].cpu().numpy().astype(np.uint8), vectors)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("block", [8, 16])
@pytest.mark.parametrize("largest", [3, 90, LIMIT])
@pytest.mark.parametrize("references", [1, 2])
def test_compensation_is_the_codecs_bit_for_bit(device, block, largest, references) -> None:
    rng = np.random.default_rng(block + largest + references)
    pictures = [[picture(rng) for _ in range(3)] for _ in range(references)]
    fields = [random_field(rng, block=block, references=references, largest=largest) for _ in range(3)]
    mode = torch.from_numpy(np.stack([f.mode for f in fields])).long()
    vectors = torch.from_numpy(np.stack([f.vectors[:references] for f in fields], 1)).int()
    motion = devicemotion.Motion(block, mode.to(device), vectors.to(device))
    found = devicemotion.compensate(devicemotion.interpolate(stacked(pictures, device)), motion)
    for number, field in enumerate(fields):
        expected = compensate([row[number] for row in pictures], field)
        for planes, others in zip(found, expected, strict=True):
            assert all(np.array_equal(a[number].cpu().numpy(), b) for a, b in zip(planes, others, strict=True))


@pytest.mark.parametrize("kind", [colour.BT709, colour.BT601])
def test_colours_are_the_codecs_bit_for_bit(kind) -> None:
    rng, other = np.random.default_rng(0), Colour(*kind, "420", 8)
    pictures = [picture(rng) for _ in range(2)]
    rgb = colour.to_rgb(tuple(p[0] for p in stacked([pictures])), kind)
    for planes, found in zip(pictures, rgb, strict=True):
        assert np.array_equal(found.permute(1, 2, 0).numpy(), codec_colour.to_rgb(planes, other))
    noise = rng.integers(0, 256, (64, 96, 3), np.uint8)
    back = colour.to_planes(torch.from_numpy(noise).permute(2, 0, 1)[None], kind)
    assert all(np.array_equal(a[0].numpy(), b) for a, b in zip(back, codec_colour.to_planes(noise, other), strict=True))


def cut(scene, dy=0, dx=0, edge=64):
    luma = np.ascontiguousarray(scene[edge + dy : edge + dy + 96, edge + dx : edge + dx + 128])
    return luma, *(np.full((48, 64), 128, np.uint8) for _ in range(2))


@pytest.mark.parametrize("block", [8, 16])
def test_each_picture_of_a_batch_gets_its_own_translation(block) -> None:
    scene = textured(np.random.default_rng(7), 224, 256)
    moves = ((0, 0), (3, -5), (-17, 22), (31, 40))
    targets = torch.from_numpy(np.stack([cut(scene, *move)[0] for move in moves]))
    tables = devicemotion.interpolate(stacked([[cut(scene)] * len(moves)]))
    motion = devicemotion.search(targets, tables, torch.full((len(moves),), 4.0), block)
    inside = slice(32 // block, 64 // block), slice(32 // block, 80 // block)
    for number, move in enumerate(moves):
        assert (field_of(motion, number).vectors[0][inside] == 4 * np.array(move)).all()


def test_each_block_takes_the_reference_that_shows_it_or_the_mean_of_both() -> None:
    rng = np.random.default_rng(9)
    target = cut(textured(rng, 224, 256))
    first, second = (tuple(p.copy() for p in target) for _ in range(2))
    first[0][:, 64:], second[0][:, :64] = 0, 0
    noisy = [(np.clip(target[0] + rng.normal(0, 12, target[0].shape), 0, 255).astype(np.uint8), *target[1:]) for _ in range(2)]
    tables = devicemotion.interpolate(stacked([[first, noisy[0]], [second, noisy[1]]]))
    motion = devicemotion.search(torch.from_numpy(np.stack([target[0]] * 2)), tables, torch.tensor([4.0, 1.0]), 16)
    field = field_of(motion, 0)
    assert (field.mode[:, :3] == FIRST).all() and (field.mode[:, 5:] == SECOND).all()
    assert not field.vectors[1, :, :3].any() and not field.vectors[0, :, 5:].any()
    assert (motion.mode[1] == BOTH).float().mean() > 0.9


@pytest.mark.parametrize("block", [8, 16])
def test_a_prediction_misses_little_more_than_by_the_codecs_search(block) -> None:
    rng = np.random.default_rng(11)
    scene = textured(rng, 224, 256)
    warped = np.stack([np.roll(row, int(round(6 * np.sin(k / 30)))) for k, row in enumerate(scene)])  # motion of every row
    target, references = cut(scene), [cut(warped, 2, 3), cut(scene, -4, 6)]
    tables = devicemotion.interpolate(stacked([[r] for r in references]))
    motion = devicemotion.search(torch.from_numpy(target[0])[None], tables, torch.tensor([4.0]), block)
    fields = field_of(motion, 0), search(target, references, 4.0, block)
    ours, codecs = (
        np.abs(compensate(references, field)[0][0] + 4096 - 32 * target[0].astype(int)).mean() / 32 for field in fields
    )
    assert ours < 1.1 * codecs + 0.05
