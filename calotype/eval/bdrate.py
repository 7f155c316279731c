"""Bjøntegaard deltas: how much less rate for the same PSNR, how much more PSNR for the same rate.

VCEG-M33 (Bjøntegaard 2001) with piecewise cubic Hermite interpolation on log-rate, as the JVET sheets do (JVET-T2010);
Akima beside it, since a gap between the two means that the curves have too few points.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from calotype.errors import CalotypeError, UsageError

MIN_POINTS = 4
MIN_OVERLAP = 0.75
MAX_DISAGREEMENT = 0.5  # percentage points of BD-rate between PCHIP and Akima
METHODS = ("pchip", "akima")


class CurveError(CalotypeError):
    """A rate-distortion curve, or a pair of them, from which no Bjøntegaard delta can be had (exit code 1)."""


@dataclass(frozen=True)
class Curve:
    """A rate-distortion curve: bits per pixel (any unit of rate will do) and PSNR in dB at each point, in any order."""

    name: str
    rates: Sequence[float]
    psnrs: Sequence[float]


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

    @property
    def warnings(self) -> list[str]:
        """Why bd_rate should be read with care; empty when nothing is wrong with it."""
        found = []
        if self.psnr.share < MIN_OVERLAP:
            found.append(f"the curves share only {self.psnr.share:.0%} of their PSNR range")
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
            f"no BD-rate: '{test.name}' covers {psnr_t[0]:.2f} to {psnr_t[-1]:.2f} dB and '{anchor.name}' "
            f"{psnr_a[0]:.2f} to {psnr_a[-1]:.2f} dB, which do not overlap; measure at other qualities"
        )
    rates = [100 * math.expm1(_delta(psnr_a, rate_a, psnr_t, rate_t, by_psnr, method)) for method in METHODS]
    by_rate = _overlap(rate_a, rate_t)
    gains: list[float | None] = [None, None]
    rate_span = None
    if by_rate is not None:
        gains = [_delta(rate_a, psnr_a, rate_t, psnr_t, by_rate, method) for method in METHODS]
        rate_span = Span(math.exp(by_rate.low), math.exp(by_rate.high), by_rate.share)
    return Comparison(anchor.name, test.name, rates[0], rates[1], gains[0], gains[1], by_psnr, rate_span)


def _checked(curve: Curve) -> tuple[np.ndarray, np.ndarray]:
    """Natural logarithms of the rates, and the PSNRs, float64, by rising rate."""
    if len(curve.rates) != len(curve.psnrs):
        raise CurveError(f"curve '{curve.name}' has {len(curve.rates)} rates but {len(curve.psnrs)} PSNRs")
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
            f"curve '{curve.name}' is not monotone: {psnrs[i]:.3f} dB at rate {rates[i]:.5g}, {psnrs[i + 1]:.3f} dB at "
            f"{rates[i + 1]:.5g}; leave out the point that does not belong to it"
        )
    return np.log(rates), psnrs


def _overlap(a: np.ndarray, b: np.ndarray) -> Span | None:
    low, high = max(a[0], b[0]), min(a[-1], b[-1])
    if high <= low:
        return None
    return Span(float(low), float(high), float((high - low) / (max(a[-1], b[-1]) - min(a[0], b[0]))))


def _delta(xa: np.ndarray, ya: np.ndarray, xt: np.ndarray, yt: np.ndarray, span: Span, method: str) -> float:
    """Mean of (test - anchor) over the span, each interpolated as y of x."""
    interpolator = _interpolator(method)
    areas = [float(interpolator(x, y).integrate(span.low, span.high)) for x, y in ((xa, ya), (xt, yt))]
    return (areas[1] - areas[0]) / (span.high - span.low)


def _interpolator(method: str) -> Callable[[np.ndarray, np.ndarray], Any]:
    try:
        from scipy.interpolate import Akima1DInterpolator, PchipInterpolator
    except ImportError as error:
        raise UsageError("BD-rates need scipy: install it with `pip install calotype[metrics]`") from error
    return {"pchip": PchipInterpolator, "akima": Akima1DInterpolator}[method]
