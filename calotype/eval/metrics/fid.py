"""FID (Heusel et al. 2017, arXiv 1706.08500) and KID (Binkowski et al. 2018, arXiv 1801.01401) over patches.

The patches are those of HiFiC (Mentzer et al. 2020, arXiv 2006.09965, A.7): the whole 256 x 256 ones of a grid from the
corner, and of the same grid moved by half a patch in both directions. The features are those of the Inception of the
FID paper, by the package torch-fidelity; torchvision's Inception has other weights and would give other figures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from calotype.errors import UsageError
from calotype.eval.metrics.learned import missing_weights
from calotype.eval.metrics.metric import check

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


def fid_kid(
    reference: Iterable[np.ndarray], decoded: Iterable[np.ndarray], features: Features | None = None, patch: int = PATCH
) -> dict[str, float | None]:
    """{"fid", "kid"} between two lists of (H, W, 3) uint8 pictures, each decoded one beside its source.

    features: (N, patch, patch, 3) uint8 -> (N, D); inception() by default. None for fewer than two patches, which have
    no spread; far more than D are needed for a figure that means something. Raises UsageError.
    """
    features = features or inception()
    sides: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for a, b in _pairs(reference, decoded):
        for side, picture in zip(sides, (a, b), strict=True):
            side += _in_batches(patches(picture, patch), features)
    if len(sides[0]) < 2:
        return {"fid": None, "kid": None}
    one, two = (np.asarray(side, np.float64) for side in sides)
    return {"fid": frechet(one, two), "kid": kernel(one, two)}


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


def kernel(a: np.ndarray, b: np.ndarray) -> float:
    """Unbiased MMD^2 of samples (N, D) and (M, D) with the kernel (x y / D + 1)^3; may be below 0."""

    def total(x: np.ndarray, y: np.ndarray) -> float:
        # 1024 rows at a time: the 28650 patches of CLIC would make a matrix of 6.6 GB
        return sum(float(((x[i : i + 1024] @ y.T / x.shape[1] + 1) ** 3).sum()) for i in range(0, len(x), 1024))

    def within(x: np.ndarray) -> float:
        own = float((((x * x).sum(1) / x.shape[1] + 1) ** 3).sum())
        return (total(x, x) - own) / (len(x) * (len(x) - 1))

    return within(a) + within(b) - 2 * total(a, b) / (len(a) * len(b))


def _pairs(reference: Iterable[np.ndarray], decoded: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    left, right = iter(reference), iter(decoded)
    while True:
        a, b = next(left, None), next(right, None)
        if a is None and b is None:
            return
        if a is None or b is None:
            raise UsageError("FID needs as many decoded pictures as sources")
        check(a, b)
        yield a, b


def _in_batches(some: Iterator[np.ndarray], features: Features) -> Iterator[np.ndarray]:
    batch: list[np.ndarray] = []
    for patch in some:
        batch.append(patch)
        if len(batch) == BATCH:
            yield from features(np.stack(batch))
            batch = []
    if batch:
        yield from features(np.stack(batch))
