"""Bjøntegaard deltas: how much less rate for the same PSNR, how much more PSNR for the same rate.

VCEG-M33 (Bjøntegaard 2001) with piecewise cubic Hermite interpolation on log-rate, as the JVET sheets do (JVET-T2010);
Akima beside it, since a gap between the two means that the curves have too few points.

    per source   {source: Curve} x 2 -> compare() each -> mean over sources, bootstrap interval   compare_sources()
    averaged     mean rate and mean quality per point -> one Curve x 2 -> compare()

Other metrics than PSNR go through `scale_of`, which says on which axis of quality they are integrated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from calotype.errors import CalotypeError, UsageError

MIN_POINTS = 4
MIN_OVERLAP = 0.75
MAX_DISAGREEMENT = 0.5  # percentage points of BD-rate between PCHIP and Akima
METHODS = ("pchip", "akima")
RESAMPLES, CONFIDENCE, SEED = 2000, 0.95, 0  # of the bootstrap over sources


class CurveError(CalotypeError):
    """A rate-distortion curve, or a pair of them, from which no Bjøntegaard delta can be had (exit code 1)."""


@dataclass(frozen=True)
class Curve:
    """A rate-distortion curve: bits per pixel (any unit of rate will do) and PSNR in dB at each point, in any order.

    metric, unit: what `psnrs` holds where that is not PSNR, rising with quality (see `scale_of`); for messages only.
    """

    name: str
    rates: Sequence[float]
    psnrs: Sequence[float]
    metric: str = "PSNR"
    unit: str = "dB"


@dataclass(frozen=True)
class Scale:
    """The axis of quality on which a metric's Bjøntegaard deltas are integrated. note: the convention, in words."""

    unit: str
    note: str
    of: Callable[[float], float]


def scale_of(metric: str) -> Scale:
    """By the metric's name: SSIM and MS-SSIM as -10 log10(1 - x) dB, distances (LPIPS, DISTS, FID, KID, SqueezeNet's) negated,
    others as is.

    `Scale.of` gives inf for a (MS-)SSIM of 1: leave such points out, as those of infinite PSNR.
    """
    if metric.startswith(("ssim", "ms_ssim")):
        return Scale("dB", "as -10 log10(1 - x) dB", lambda x: -10 * math.log10(1 - x) if x < 1 else math.inf)
    if metric.startswith(("lpips", "dists", "fid", "kid", "squeeze")):
        return Scale("", "negated, so that more is better", lambda x: -x)
    return Scale("dB" if "psnr" in metric else "", "", float)


@dataclass(frozen=True)
class Span:
    """Where two curves overlap: low to high, and its share of the range that either covers (0 to 1)."""

    low: float
    high: float
    share: float


@dataclass(frozen=True)
class Comparison:
    """A test curve against an anchor.

    bd_rate: percent, negative where the test needs less rate. bd_psnr: dB, positive where the test is better; None
    where the rates do not overlap. The `_akima` ones are the same by Akima. psnr: the dB that bd_rate averages over;
    rate: the rates that bd_psnr averages over, shares taken of their logarithms.
    """

    anchor: str
    test: str
    bd_rate: float
    bd_rate_akima: float
    bd_psnr: float | None
    bd_psnr_akima: float | None
    psnr: Span
    rate: Span | None
    metric: str = "PSNR"

    @property
    def overlap_warning(self) -> str | None:
        """That the curves share too little of their range, where they do."""
        if self.psnr.share >= MIN_OVERLAP:
            return None
        return f"the curves share only {self.psnr.share:.0%} of their {self.metric} range"

    @property
    def warnings(self) -> list[str]:
        """Why bd_rate should be read with care; empty when nothing is wrong with it."""
        found = [self.overlap_warning] if self.overlap_warning else []
        gap = abs(self.bd_rate - self.bd_rate_akima)
        if gap > MAX_DISAGREEMENT:
            found.append(f"PCHIP and Akima are {gap:.2f} points apart: the curves have too few points")
        return found


def compare(anchor: Curve, test: Curve) -> Comparison:
    """BD-rate and BD-PSNR of `test` against `anchor`.

    Raises CurveError for a curve of fewer than 4 points, with values that are not finite or rates not above 0, whose
    PSNR does not rise strictly with its rate, and for curves that share no PSNR range; UsageError without scipy.
    """
    rate_a, psnr_a = _checked(anchor)
    rate_t, psnr_t = _checked(test)
    by_psnr = _overlap(psnr_a, psnr_t)
    if by_psnr is None:
        raise CurveError(
            f"no BD-rate: '{test.name}' covers {_amount(test, psnr_t[0])} to {_amount(test, psnr_t[-1])} and "
            f"'{anchor.name}' {_amount(anchor, psnr_a[0])} to {_amount(anchor, psnr_a[-1])}, which do not overlap; "
            "measure at other qualities"
        )
    rates = [100 * math.expm1(_delta(psnr_a, rate_a, psnr_t, rate_t, by_psnr, method)) for method in METHODS]
    by_rate = _overlap(rate_a, rate_t)
    gains: list[float | None] = [None, None]
    rate_span = None
    if by_rate is not None:
        gains = [_delta(rate_a, psnr_a, rate_t, psnr_t, by_rate, method) for method in METHODS]
        rate_span = Span(math.exp(by_rate.low), math.exp(by_rate.high), by_rate.share)
    return Comparison(anchor.name, test.name, rates[0], rates[1], gains[0], gains[1], by_psnr, rate_span, test.metric)


@dataclass(frozen=True)
class SourceComparison:
    """A test against an anchor source by source: the arithmetic mean over sources of each one's deltas, as JVET averages.

    bd_rate and bd_psnr (and `_akima`) as in `Comparison`; bd_psnr None where no source has one. interval: of the mean
    bd_rate, by bootstrap; None below 2 sources. sources: those that count; refused: source -> why it does not.
    """

    anchor: str
    test: str
    bd_rate: float
    bd_rate_akima: float
    bd_psnr: float | None
    bd_psnr_akima: float | None
    interval: tuple[float, float] | None
    sources: Mapping[str, Comparison]
    refused: Mapping[str, str]

    @property
    def overlap_warning(self) -> str | None:
        """In how many sources the curves share too little of their range, where they do in any."""
        narrow = sum(comparison.psnr.share < MIN_OVERLAP for comparison in self.sources.values())
        if not narrow:
            return None
        return f"{narrow} of {len(self.sources)} sources share less than {MIN_OVERLAP:.0%} of their quality range"

    @property
    def warnings(self) -> list[str]:
        """Why bd_rate should be read with care: few common qualities, sources left out, methods that disagree."""
        found = [self.overlap_warning] if self.overlap_warning else []
        if self.refused:
            total = len(self.refused) + len(self.sources)
            source, why = next(iter(self.refused.items()))
            found.append(f"{len(self.refused)} of {total} sources give no BD-rate and are left out ({source}: {why})")
        gap = abs(self.bd_rate - self.bd_rate_akima)
        if gap > MAX_DISAGREEMENT:
            found.append(f"PCHIP and Akima are {gap:.2f} points apart: the curves have too few points")
        return found


def compare_sources(
    anchors: Mapping[str, Curve],
    tests: Mapping[str, Curve],
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = SEED,
) -> SourceComparison:
    """`compare` on every source that both name (source -> its curve), then averaged.

    A source that `compare` refuses is left out and named with the reason. Raises CurveError where none is left (the
    reason of the first), UsageError without scipy.
    """
    both = [source for source in anchors if source in tests]
    if not both:
        raise CurveError("no BD-rate: the two codecs were measured on different sources; measure both on the same ones")
    found: dict[str, Comparison] = {}
    refused: dict[str, str] = {}
    for source in both:
        try:
            found[source] = compare(anchors[source], tests[source])
        except CurveError as error:
            refused[source] = str(error)
    if not found:
        source, why = next(iter(refused.items()))
        raise CurveError(f"no source gives a BD-rate; {source}: {why}")
    rates = [comparison.bd_rate for comparison in found.values()]
    gains = [c for c in found.values() if c.bd_psnr is not None and c.bd_psnr_akima is not None]
    first = next(iter(found.values()))
    return SourceComparison(
        first.anchor,
        first.test,
        float(np.mean(rates)),
        float(np.mean([comparison.bd_rate_akima for comparison in found.values()])),
        float(np.mean([comparison.bd_psnr for comparison in gains])) if gains else None,
        float(np.mean([comparison.bd_psnr_akima for comparison in gains])) if gains else None,
        bootstrap_interval(rates, resamples, confidence, seed),
        found,
        refused,
    )


def bootstrap_interval(
    values: Sequence[float], resamples: int = RESAMPLES, confidence: float = CONFIDENCE, seed: int = SEED
) -> tuple[float, float] | None:
    """Percentile interval of the mean of `values`, resampled with replacement (Efron 1979); None below 2 values.

    The same seed gives the same interval. It speaks of other sources of the same kind, not of noise in the measurement.
    """
    if len(values) < 2:
        return None
    known = np.asarray(values, np.float64)
    picks = np.random.default_rng(seed).integers(0, len(known), (resamples, len(known)))
    tail = 50 * (1 - confidence)
    low, high = np.percentile(known[picks].mean(axis=1), [tail, 100 - tail])
    return float(low), float(high)


def _amount(curve: Curve, quality: float) -> str:
    return f"{quality:.2f} {curve.unit}" if curve.unit else f"{quality:.4g}"


def _checked(curve: Curve) -> tuple[np.ndarray, np.ndarray]:
    """Natural logarithms of the rates, and the PSNRs, float64, by rising rate."""
    if len(curve.rates) != len(curve.psnrs):
        raise CurveError(f"curve '{curve.name}' has {len(curve.rates)} rates but {len(curve.psnrs)} {curve.metric}s")
    if len(curve.rates) < MIN_POINTS:
        raise CurveError(
            f"curve '{curve.name}' has {len(curve.rates)} points, a BD-rate needs {MIN_POINTS}; measure more qualities"
        )
    rates, psnrs = np.asarray(curve.rates, np.float64), np.asarray(curve.psnrs, np.float64)
    if not (np.isfinite(rates).all() and np.isfinite(psnrs).all() and (rates > 0).all()):
        raise CurveError(f"curve '{curve.name}' has a value that is not a finite number, or a rate that is not above 0")
    order = np.argsort(rates, kind="stable")
    rates, psnrs = rates[order], psnrs[order]
    bad = np.flatnonzero((np.diff(rates) <= 0) | (np.diff(psnrs) <= 0))
    if bad.size:
        i = int(bad[0])
        raise CurveError(
            f"curve '{curve.name}' is not monotone: {psnrs[i]:.3f} {curve.unit} at rate {rates[i]:.5g}, "
            f"{psnrs[i + 1]:.3f} {curve.unit} at {rates[i + 1]:.5g}; leave out the point that does not belong to it"
        )
    return np.log(rates), psnrs


def _overlap(a: np.ndarray, b: np.ndarray) -> Span | None:
    low, high = max(a[0], b[0]), min(a[-1], b[-1])
    if high <= low:
        return None
    return Span(float(low), float(high), float((high - low) / (max(a[-1], b[-1]) - min(a[0], b[0]))))


def _delta(xa: np.ndarray, ya: np.ndarray, xt: np.ndarray, yt: np.ndarray, span: Span, method: str) -> float:
    """Mean of (test - anchor) over the span, each interpolated as y of x."""
    ends = np.array((span.low, span.high))
    areas = [np.diff(_integral(x.tobytes(), y.tobytes(), method)(ends))[0] for x, y in ((xa, ya), (xt, yt))]
    return float(areas[1] - areas[0]) / (span.high - span.low)


@lru_cache(maxsize=4096)  # a report compares each curve with every other one
def _integral(x: bytes, y: bytes, method: str) -> Callable[[np.ndarray], np.ndarray]:
    """Antiderivative of the curve through float64 points, x rising."""
    try:
        from scipy.interpolate import Akima1DInterpolator, PchipInterpolator
    except ImportError as error:
        raise UsageError("BD-rates need scipy: install it with `pip install calotype[metrics]`") from error
    interpolator = {"pchip": PchipInterpolator, "akima": Akima1DInterpolator}[method]
    return interpolator(np.frombuffer(x), np.frombuffer(y)).antiderivative()
