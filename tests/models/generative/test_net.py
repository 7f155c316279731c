"""The generative decoder's net, its noise and its dial: what the specification and the codec's margin rely on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from calotype.models.complexity import generative_kmac
from calotype.models.generative.config import HALO, GenerativeConfig
from calotype.models.generative.dial import QUALITIES, SCALES, STRETCHES, place
from calotype.models.generative.flow import times
from calotype.models.generative.net import SPREAD, Denoiser, Setting, enlarge, sampled, shrink, stepped
from calotype.models.generative.noise import noise

SMALL = GenerativeConfig(width=16, fine=8, blocks=2, fine_blocks=1)


@pytest.fixture(scope="module")
def net() -> Denoiser:
    """A net whose every layer matters."""
    torch.manual_seed(0)
    made = Denoiser(SMALL).eval().requires_grad_(False)
    for layer in (made.last, made.embed[2]):
        torch.nn.init.normal_(layer.weight, std=0.2)
    return made


def noise_by_definition(seed: int, plane: int, y: int, x: int) -> float:
    """docs/FORMAT.md, section 5.7, in Python's integers."""
    whole = (1 << 64) - 1

    def mix(v: int) -> int:
        v = (v ^ v >> 30) * 0xBF58476D1CE4E5B9 & whole
        v = (v ^ v >> 27) * 0x94D049BB133111EB & whole
        return v ^ v >> 31

    h = mix(mix(mix(seed * 0x9E3779B97F4A7C15 + plane & whole) + y & whole) ^ (x * 0xD1B54A32D192ED03 & whole))
    return (sum(h >> shift & 0xFFFF for shift in (0, 16, 32, 48)) - 131070) / ((2**32 - 1) / 3) ** 0.5


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 2), st.integers(0, 5000), st.integers(0, 5000))
def test_noise_is_what_the_specification_says_at_any_place(seed: int, plane: int, y: int, x: int) -> None:
    assert noise(seed, y, x, 1, 1)[plane, 0, 0] == pytest.approx(noise_by_definition(seed, plane, y, x), abs=1e-5)


def test_noise_of_a_part_is_the_part_of_the_noise_and_nearly_normal() -> None:
    whole = noise(7, 0, 0, 200, 220)
    assert np.array_equal(noise(7, 40, 64, 30, 50), whole[:, 40:70, 64:114])
    assert abs(whole.mean()) < 0.01 and abs(whole.std() - 1) < 0.01
    assert np.abs(np.corrcoef(whole.reshape(3, -1)) - np.eye(3)).max() < 0.02
    assert not np.array_equal(noise(8, 0, 0, 20, 20), whole[:, :20, :20])


@pytest.mark.parametrize("steps", [1, 2, 7, 64])
def test_steps_go_along_the_line_from_noise_to_a_picture_that_the_net_knows(steps: int) -> None:
    torch.manual_seed(3)
    m, x, n = (torch.rand(2, 3, 8, 8) for _ in range(3))
    state, seen = n, []
    for time, after in times(steps):
        seen.append(time)
        state = stepped(m, state, x, time, after)
        torch.testing.assert_close(state, (1 - after) * (x - m) / SPREAD + after * n, rtol=1e-4, atol=1e-4)
    assert len(seen) == steps and seen[0] == 1 and after == 0
    told = []
    known = lambda given, state, setting: told.append(float(setting.time[0])) or x  # noqa: E731
    made = sampled(known, m, n, Setting.of(2, 1, 9, 1.0), steps)
    assert torch.equal(made, x) and told == pytest.approx(seen)


def test_a_new_net_gives_back_what_it_is_given() -> None:
    x = torch.rand(2, 3, 24, 40)
    assert torch.equal(Denoiser(SMALL)(x, torch.randn_like(x), Setting.of(2, 2, 100, 1.0)), x)


def test_a_pixel_depends_on_nothing_beyond_the_reach(net: Denoiser) -> None:
    side, at = 256, 128
    x = torch.rand(1, 3, side, side)
    x.requires_grad_()
    net(x, torch.zeros_like(x), Setting.of(1, 1, 100, 1.0))[0, :, at, at].sum().backward()
    rows, columns = (torch.nonzero(x.grad[0].abs().sum((0, k)))[:, 0] for k in (2, 1))
    for seen in (rows, columns):
        assert at - seen.min() <= SMALL.reach and seen.max() - at <= SMALL.reach
        assert at - seen.min() > 20  # it does see its surroundings
    assert GenerativeConfig().reach <= HALO


def test_realism_scale_quality_and_noise_all_matter(net: Denoiser) -> None:
    x, state = torch.rand(1, 3, 32, 32), torch.randn(1, 3, 32, 32)
    settings = [(1, 100, 1.0), (1, 100, 0.0), (2, 100, 1.0), (1, 300, 1.0)]
    made = [net(x, state, Setting.of(1, *s)) for s in settings] + [net(x, 0 * state, Setting.of(1, *settings[0]))]
    assert all((a - b).abs().max() > 1e-4 for k, a in enumerate(made) for b in made[:k])


def test_the_macs_stated_are_those_of_the_layers() -> None:
    net, macs = Denoiser(SMALL), []

    def count(layer: torch.nn.Conv2d, _: object, out: torch.Tensor) -> None:
        macs.append(out[0, 0].numel() * layer.weight.numel())

    for layer in net.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(count)
    x = torch.zeros(1, 3, 64, 64)
    net(x, x, Setting.of(1, 1, 0, 0.0))
    assert sum(macs) / 64**2 / 1000 == pytest.approx(generative_kmac(SMALL.to_dict()))


def test_a_net_that_sees_further_than_the_margin_is_refused() -> None:
    for sizes in ({"blocks": 20}, {"fine_blocks": 12}, {"width": 0}, {"fine": 64.0}):
        with pytest.raises(ValueError):
            GenerativeConfig(**sizes)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 1000), st.integers(0, 1000))
def test_the_dial_goes_from_small_pictures_to_large_and_never_back(a: int, b: int) -> None:
    low, high = place(min(a, b)), place(max(a, b))
    assert (-low.scale, low.quality) <= (-high.scale, high.quality)
    assert 1 <= low.scale <= SCALES and 0 <= low.quality <= QUALITIES


def test_the_dials_ends_are_the_ends_of_its_stretches() -> None:
    assert place(0) == (3, 0) and place(1000) == (1, QUALITIES)
    for before, after in zip(STRETCHES, STRETCHES[1:], strict=False):
        assert place(after.start - 1) == before[1::2] and place(after.start) == after[1:3]


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_smaller_and_larger_again_keeps_a_smooth_picture(scale: int) -> None:
    y, x = torch.meshgrid(torch.linspace(0, 1, 96), torch.linspace(0, 1, 48), indexing="ij")
    picture = torch.stack((y, x, (x + y) / 2))[None]
    again = enlarge(shrink(picture, scale), scale)
    assert again.shape == picture.shape and (again - picture)[..., 6:-6, 6:-6].abs().max() < 0.01
