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
from calotype.eval.bdrate import Curve, CurveError, compare

pytest.importorskip("scipy")

ANCHOR = Curve("anchor", [0.1, 0.2, 0.45, 0.9, 1.6], [27.0, 29.5, 32.6, 36.1, 39.0])
TEST = Curve("test", [0.09, 0.21, 0.4, 1.0], [27.3, 30.2, 32.9, 37.4])
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


@pytest.mark.skipif("CALOTYPE_DATA" not in os.environ, reason="needs the published curves below $CALOTYPE_DATA/anchors")
@pytest.mark.parametrize("model", PUBLISHED)
def test_published_curves_give_the_known_bd_rates_against_vtm(model):
    anchors = Path(os.environ["CALOTYPE_DATA"]) / "anchors" / "kodak"
    found = compare(read_anchor(anchors / "vtm.json"), read_anchor(anchors / f"compressai-{model}_mse_cuda.json"))
    assert found.bd_rate == pytest.approx(PUBLISHED[model], abs=0.3)
