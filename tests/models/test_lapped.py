"""The lapped KLT is orthonormal: what it starts a model from loses nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from calotype.models.lapped import BLOCK, filter_borders, klt, prefilter


def test_the_prefilter_is_orthogonal() -> None:
    p = prefilter().double()
    assert p.shape == (BLOCK, BLOCK)
    torch.testing.assert_close(p @ p.T, torch.eye(BLOCK, dtype=torch.float64), rtol=0, atol=1e-6)


def test_the_prefilter_keeps_a_flat_picture_flat() -> None:
    x = torch.full((1, 3, 48, 64), 0.7)
    torch.testing.assert_close(filter_borders(x, prefilter()), x, rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [(16, 16), (16, 32), (32, 16), (32, 32), (16, 80), (48, 64), (128, 16)])
def test_the_transpose_inverts_the_border_filter(size) -> None:
    p = prefilter()
    x = torch.from_numpy(np.random.default_rng(0).random((2, 3, *size)).astype(np.float32))
    y = filter_borders(x, p)
    torch.testing.assert_close(filter_borders(y, p.T), x, rtol=0, atol=1e-5)
    torch.testing.assert_close(y.square().sum(), x.square().sum(), rtol=1e-5, atol=0)
    assert torch.equal(y, x) == (size == (16, 16))


def test_only_pixels_near_an_inner_border_change_each_other() -> None:
    x = torch.zeros(1, 1, 48, 48)
    x[0, 0, 0, 20] = 1  # within the 16 pixels centred on column 16; no row border is above row 8
    touched = filter_borders(x, prefilter()).abs()[0, 0] > 1e-7
    assert not touched[1:].any() and not touched[0, :8].any() and not touched[0, 24:].any()
    assert touched[0, 8:24].sum() > 1


def test_klt_rows_are_orthonormal_by_falling_variance() -> None:
    rng = np.random.default_rng(1)
    smooth = torch.from_numpy(rng.random((6, 3, 12, 12)).astype(np.float32))
    crops = torch.nn.functional.interpolate(smooth, size=(96, 96), mode="bicubic").clamp(0, 1)
    basis, variance = klt(crops, 40)
    assert basis.shape == (40, 768) and variance.shape == (40,)
    torch.testing.assert_close(basis @ basis.T, torch.eye(40), rtol=0, atol=1e-4)
    assert (variance.diff() <= 0).all() and variance[0] > 10 * variance[-1]


def test_klt_variances_are_those_of_its_coefficients() -> None:
    crops = torch.from_numpy(np.random.default_rng(2).random((4, 3, 64, 64)).astype(np.float32))
    basis, variance = klt(crops, 8)
    u = torch.nn.functional.pixel_unshuffle(filter_borders(crops - 0.5, prefilter()), 8)
    blocks = torch.nn.functional.pixel_unshuffle(u, 2)[:, :, 1:-1, 1:-1]
    y = torch.nn.functional.conv2d(blocks, basis[:, :, None, None])
    torch.testing.assert_close(y.square().mean((0, 2, 3)), variance, rtol=1e-3, atol=1e-5)
