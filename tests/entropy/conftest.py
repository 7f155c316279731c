"""Small banks shared by the tests of the entropy layer."""

from __future__ import annotations

import numpy as np
import pytest

from calotype.entropy.tables import TableBank, gaussian_bank


@pytest.fixture(scope="session", params=[12, 13, 14])
def gaussians(request: pytest.FixtureRequest) -> TableBank:
    """The default Gaussian bank at each precision."""
    return gaussian_bank(precision=request.param)


@pytest.fixture(scope="session")
def hand_bank() -> TableBank:
    """Three tables written out by hand: no float arithmetic stands between them and a pinned stream."""
    cdf = np.array([[0, 4095, 4096, 4096, 4096], [0, 1000, 3000, 4000, 4096], [0, 2048, 4000, 4096, 4096]])
    return TableBank(12, cdf, np.array([2, 4, 3]), np.array([0, -1, -1]), np.array([0, 0, 3]))
