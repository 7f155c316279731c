from __future__ import annotations

import math
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calotype.eval.anchors import read_anchor
from calotype.eval.bdrate import Curve, CurveError, bootstrap_interval, compare, compare_sources, scale_of

pytest.importorskip("scipy")

ANCHOR = Curve("anchor", [0.1, 0.2, 0.45, 0.9, 1.6], [27.0, 29.5, 32.6, 36.1, 39.0])
TEST = Curve("test", [0.09, 0.21, 0.4, 1.0], [27.3, 30.2, 32.9, 37.4])
KODAK_ANCHORS = Path(os.environ.get("CALOTYPE_DATA", "")) / "anchors" / "kodak"
PUBLISHED = {"bmshj2018-hyperprior": 30.5, "mbt2018-mean": 21.3, "mbt2018": 11.0, "cheng2020-anchor": 3.7}


def curves(draw, name: str) -> Curve:
    steps = st.lists(st.tuples(st.floats(0.05, 1.5), st.floats(0.3, 6)), min_size=4, max_size=9)
    rises = np.cumsum(np.array(draw(steps)), axis=0)
    rates = np.exp(draw(st.floats(-3, -2)) + rises[:, 0])
    return Curve(name, rates.tolist(), (draw(st.floats(24, 26)) + rises[:, 1]).tolist())


@st.composite
def pairs(draw) -> tuple[Curve, Curve]:
    return curves(draw, "anchor"), curves(draw, "test")


def assert_as_bjontegaard(anchor: Curve, test: Curve) -> None:
    peer = pytest.importorskip("bjontegaard")
    ours = compare(anchor, test)
    data = (anchor.rates, anchor.psnrs, test.rates, test.psnrs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for method, rate, psnr in (
            ("pchip", ours.bd_rate, ours.bd_psnr),
            ("akima", ours.bd_rate_akima, ours.bd_psnr_akima),
        ):
            theirs = peer.bd_rate(*data, method, require_matching_points=False)
            assert rate == pytest.approx(theirs, rel=1e-9, abs=1e-9)
            if psnr is not None:
                theirs = peer.bd_psnr(*data, method, require_matching_points=False)
                assert psnr == pytest.approx(theirs, rel=1e-9, abs=1e-9)


def test_equals_the_bjontegaard_package_on_codec_like_curves():
    assert_as_bjontegaard(ANCHOR, TEST)
    assert_as_bjontegaard(TEST, ANCHOR)


@settings(max_examples=30, deadline=None)
@given(pairs())
def test_equals_the_bjontegaard_package_on_any_rising_curves(pair):
    anchor, test = pair
    if min(anchor.psnrs[-1], test.psnrs[-1]) - max(anchor.psnrs[0], test.psnrs[0]) > 0.1:
        assert_as_bjontegaard(anchor, test)


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.0, 1.25])
def test_a_rate_scaled_everywhere_is_a_bd_rate_of_that_factor(factor):
    found = compare(ANCHOR, Curve("scaled", [factor * rate for rate in ANCHOR.rates], ANCHOR.psnrs))
    assert found.bd_rate == pytest.approx(100 * (factor - 1), abs=1e-9)
    assert found.bd_rate_akima == pytest.approx(100 * (factor - 1), abs=1e-9)
    assert found.psnr.share == 1


def test_lines_on_log_rate_give_the_closed_form():
    # psnr = 30 + 8 ln(rate), and 0.5 dB above it at other points
    rates_a, rates_t = [0.1, 0.3, 0.7, 1.5], [0.08, 0.2, 0.5, 1.0, 1.7]
    anchor = Curve("a", rates_a, [30 + 8 * math.log(rate) for rate in rates_a])
    test = Curve("t", rates_t, [30.5 + 8 * math.log(rate) for rate in rates_t])
    found = compare(anchor, test)
    assert found.bd_rate == pytest.approx(100 * math.expm1(-0.5 / 8), abs=1e-9)
    assert found.bd_psnr == pytest.approx(0.5, abs=1e-9)
    assert (found.psnr.low, found.psnr.high) == pytest.approx((anchor.psnrs[0], anchor.psnrs[-1]))
    assert (found.rate.low, found.rate.high) == pytest.approx((0.1, 1.5))


def test_swapping_the_curves_inverts_the_delta():
    there, back = compare(ANCHOR, TEST), compare(TEST, ANCHOR)
    assert (1 + there.bd_rate / 100) * (1 + back.bd_rate / 100) == pytest.approx(1, abs=1e-12)
    assert there.bd_psnr == pytest.approx(-back.bd_psnr, abs=1e-12)


def test_the_order_of_the_points_does_not_matter():
    turned = Curve("test", TEST.rates[::-1], TEST.psnrs[::-1])
    assert compare(ANCHOR, turned) == compare(ANCHOR, TEST)


def test_the_overlap_is_the_share_of_the_range_that_either_covers():
    found = compare(Curve("a", [1, 2, 4, 8], [30, 32, 34, 36]), Curve("t", [2, 4, 8, 16], [32, 34, 36, 38]))
    assert (found.psnr.low, found.psnr.high, found.psnr.share) == (32, 36, 0.5)
    assert any("50%" in warning for warning in found.warnings)


def test_a_gap_between_pchip_and_akima_is_said():
    rough = Curve("rough", [0.1, 0.5, 0.52, 1.6], [27.0, 28.0, 37.0, 39.0])
    assert any("Akima" in warning for warning in compare(ANCHOR, rough).warnings)
    assert compare(ANCHOR, TEST).warnings == []


def test_curves_without_a_common_rate_have_no_bd_psnr():
    found = compare(ANCHOR, Curve("far", [100, 200, 400, 800], [28, 30, 33, 36]))
    assert found.bd_psnr is None and found.rate is None and found.bd_rate > 0


@pytest.mark.parametrize(
    ("rates", "psnrs", "why"),
    [
        ([0.1, 0.2, 0.4], [28, 30, 33], "3 points"),
        ([0.1, 0.2, 0.4, 0.8], [28, 31, 30, 33], "not monotone: 31.000 dB at rate 0.2"),
        ([0.1, 0.2, 0.2, 0.8], [28, 30, 31, 33], "not monotone"),
        ([0.1, 0.2, 0.4, 0.8], [28, 30, 30, 33], "not monotone"),
        ([0.1, 0.2, 0.4, math.nan], [28, 30, 31, 33], "not a finite number"),
        ([0.0, 0.2, 0.4, 0.8], [28, 30, 31, 33], "not above 0"),
        ([0.1, 0.2, 0.4, 0.8], [28, 30, 31], "4 rates but 3 PSNRs"),
        ([0.1, 0.2, 0.4, 0.8], [48, 50, 51, 53], "do not overlap"),
    ],
)
def test_a_bad_curve_is_refused_with_the_reason(rates, psnrs, why):
    for pair in ((ANCHOR, Curve("bad", rates, psnrs)), (Curve("bad", rates, psnrs), ANCHOR)):
        with pytest.raises(CurveError, match="'bad'") as caught:
            compare(*pair)
        assert why in str(caught.value)


@pytest.mark.skipif(not (KODAK_ANCHORS / "vtm.json").is_file(), reason="needs $CALOTYPE_DATA/anchors/kodak")
@pytest.mark.parametrize("model", PUBLISHED)
def test_published_curves_give_the_known_bd_rates_against_vtm(model):
    found = compare(read_anchor(KODAK_ANCHORS / "vtm.json"), read_anchor(KODAK_ANCHORS / f"compressai-{model}_mse_cuda.json"))
    assert found.bd_rate == pytest.approx(PUBLISHED[model], abs=0.3)


# ---- over sources, and for other metrics


def scaled(factor: float, name: str = "test") -> Curve:
    return Curve(name, [factor * rate for rate in ANCHOR.rates], ANCHOR.psnrs)


def test_sources_are_compared_one_by_one_and_averaged():
    factors = {"a": 0.5, "b": 0.8, "c": 1.1}
    found = compare_sources(dict.fromkeys(factors, ANCHOR), {source: scaled(f) for source, f in factors.items()})
    each = {source: comparison.bd_rate for source, comparison in found.sources.items()}
    assert each == pytest.approx({"a": -50, "b": -20, "c": 10}, abs=1e-9)
    assert found.bd_rate == pytest.approx(-20, abs=1e-9) and found.bd_rate_akima == pytest.approx(-20, abs=1e-9)
    assert found.bd_psnr == pytest.approx(np.mean([c.bd_psnr for c in found.sources.values()]))
    low, high = found.interval
    assert -50.001 < low < -20 < high < 10.001 and found.warnings == []


def test_a_source_that_is_refused_is_left_out_and_named():
    flat = Curve("test", [0.1, 0.2, 0.3, 0.4], [30, 30, 31, 32])
    found = compare_sources(dict.fromkeys("abc", ANCHOR), {"a": scaled(0.8), "b": flat, "d": ANCHOR})
    assert list(found.sources) == ["a"] and "not monotone" in found.refused["b"] and found.interval is None
    assert any("1 of 2 sources" in warning for warning in found.warnings)
    with pytest.raises(CurveError, match="no source gives a BD-rate; b: .*not monotone"):
        compare_sources({"b": ANCHOR}, {"b": flat})
    with pytest.raises(CurveError, match="different sources"):
        compare_sources({"a": ANCHOR}, {"b": ANCHOR})


def test_the_interval_is_the_bootstrap_of_the_mean_and_the_same_every_time():
    values = np.random.default_rng(3).normal(-10, 4, 24)
    low, high = bootstrap_interval(values)
    assert bootstrap_interval(values) == (low, high) != bootstrap_interval(values, seed=1)
    half = 1.96 * values.std() / math.sqrt(24)  # what it tends to, by the central limit theorem
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.25 * half)
    assert bootstrap_interval([5.0] * 9) == (5, 5) and bootstrap_interval([5.0]) is None


def test_ms_ssim_is_compared_in_db_and_distances_negated():
    assert scale_of("ms_ssim_rgb").of(0.99) == pytest.approx(20) and scale_of("ssim_rgb").of(1.0) == math.inf
    assert scale_of("lpips_alex").of(0.2) == -0.2 and scale_of("dists").unit == ""
    assert scale_of("psnr_611").of(33.0) == scale_of("vmaf").of(33.0) == 33.0
    assert "log10" in scale_of("ms_ssim_y").note and scale_of("psnr_y").note == ""


def test_messages_name_the_metric_of_the_curve():
    curve = Curve("x", [0.1, 0.2, 0.4, 0.8], [-0.4, -0.3, -0.2, -0.1], "LPIPS", "")
    with pytest.raises(CurveError, match=r"'x' covers -0.4 to -0.1 and"):
        compare(ANCHOR, curve)
    half = Curve("y", [0.1, 0.2, 0.4, 0.8], [-0.3, -0.2, -0.1, -0.01], "LPIPS", "")
    assert any("LPIPS range" in warning for warning in compare(curve, half).warnings)
