"""FID (Heusel et al. 2017, arXiv 1706.08500) and KID (Binkowski et al. 2018, arXiv 1801.01401) over patches.

The patches are those of HiFiC (Mentzer et al. 2020, arXiv 2006.09965, A.7): the whole 256 x 256 ones of a grid from the
corner, and of the same grid moved by half a patch in both directions. The features are those of the Inception of the
FID paper, by the package torch-fidelity; torchvision's Inception has other weights and would give other figures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property

import numpy as np

from calotype.errors import UsageError
from calotype.eval.metrics.learned import missing_weights

PATCH = 256
BATCH = 16
WEIGHTS = "weights-inception-2015-12-05-6726825d.pth"
FETCH = "from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3 as F; F('inception', ['2048'])"
CONVENTIONS = {
    "fid": "FID between the sources' 256x256 patches and the decoded ones' (grid from the corner and the same moved by 128, "
    "as HiFiC), pool features (2048) of the FID paper's Inception by torch-fidelity, covariances over n - 1, lower is better",
    "kid": "KID between the same patches by the same features: unbiased MMD^2 with kernel (x y / 2048 + 1)^3 over all patches "
    "at once, lower is better",
}

Features = Callable[[np.ndarray], np.ndarray]


def unavailable() -> str | None:
    """Why inception() cannot be had here; None where it can."""
    try:
        import torch_fidelity.feature_extractor_inceptionv3  # noqa: F401
    except (ImportError, OSError, RuntimeError) as error:
        return f"torch-fidelity cannot be imported ({error}); install it, and a torchvision that fits this torch"
    return missing_weights(WEIGHTS, FETCH)


def inception() -> Features:
    """(N, H, W, 3) uint8 -> (N, 2048) float64, the FID paper's Inception. Raises UsageError where it cannot be had."""
    reason = unavailable()
    if reason:
        raise UsageError(f"no FID: {reason}")
    import torch
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"])

    def features(pictures: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network(torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))))[0].double().numpy()

    return features


class Inception:
    """Both figures (`sets.SetMetric`)."""

    conventions = CONVENTIONS

    def unavailable(self) -> str | None:
        return unavailable()

    @cached_property
    def _network(self) -> Features:
        return inception()

    def features(self, picture: np.ndarray) -> np.ndarray:
        """(N, 2048) of an (H, W, 3) uint8 picture's patches; none of one smaller than a patch."""
        return np.reshape(list(in_batches(patches(picture), self._network)), (-1, 2048)).astype(np.float64)

    def figures(self, a: np.ndarray, b: np.ndarray) -> dict[str, float | None]:
        """Of sources (N, D) and decoded ones (N, D). None for fewer than two patches, which have no spread; far more than D
        are needed for a figure that means something."""
        return {"fid": frechet(a, b), "kid": kernel(a, b)} if len(a) > 1 else dict.fromkeys(CONVENTIONS)


def patches(picture: np.ndarray, side: int = PATCH) -> Iterator[np.ndarray]:
    """The whole side x side patches of a (H, W, 3) picture: a grid from the corner, then one moved by half a side."""
    height, width = picture.shape[:2]
    for start in (0, side // 2):
        for y in range(start, height - side + 1, side):
            for x in range(start, width - side + 1, side):
                yield picture[y : y + side, x : x + side]


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """Frechet distance of two Gaussians fitted to samples (N, D) and (M, D), N and M > 1."""
    gap = a.mean(0) - b.mean(0)
    one, two = np.atleast_2d(np.cov(a, rowvar=False)), np.atleast_2d(np.cov(b, rowvar=False))
    # the trace of the root of `one @ two`, through the symmetric matrix of the same eigenvalues: >= 0 but for rounding
    values, vectors = np.linalg.eigh(one)
    half = vectors * np.sqrt(np.clip(values, 0, None))
    root = np.sqrt(np.clip(np.linalg.eigvalsh(half.T @ two @ half), 0, None)).sum()
    return max(0.0, float(gap @ gap + np.trace(one) + np.trace(two) - 2 * root))


def kernel(a: np.ndarray, b: np.ndarray, paired: bool = False) -> float:
    """Unbiased MMD^2 of samples (N, D) and (M, D) with the kernel (x y / D + 1)^3; may be below 0.

    paired: each of b was made from the one of a beside it. Such pairs are left out, as a sample and itself are, for without
    that the likeness of b to its own source would count as one of the distributions (Gretton et al. 2012, JMLR 13, lemma 6).
    """

    def total(x: np.ndarray, y: np.ndarray) -> float:
        # 1024 rows at a time: the 28650 patches of CLIC would make a matrix of 6.6 GB
        return sum(float(((x[i : i + 1024] @ y.T / x.shape[1] + 1) ** 3).sum()) for i in range(0, len(x), 1024))

    def apart(x: np.ndarray, y: np.ndarray) -> float:
        own = float((((x * y).sum(1) / x.shape[1] + 1) ** 3).sum())
        return (total(x, y) - own) / (len(x) * (len(x) - 1))

    across = apart(a, b) if paired else total(a, b) / (len(a) * len(b))
    return apart(a, a) + apart(b, b) - 2 * across


def in_batches(some: Iterable[np.ndarray], features: Features) -> Iterator[np.ndarray]:
    """The features of each patch, BATCH patches at once."""
    batch: list[np.ndarray] = []
    for patch in some:
        batch.append(patch)
        if len(batch) == BATCH:
            yield from features(np.stack(batch))
            batch = []
    if batch:
        yield from features(np.stack(batch))
