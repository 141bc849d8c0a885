import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from ml.evaluation.calibration import brier_parts, calibration_bins, recalibration
from tests.ml.evaluation.plain import Float, Int, example


def recalibrated(labels: Int, p: Float) -> tuple[float, float]:
    intercept, slope = recalibration(labels, p, np.ones((1, len(p))))
    return float(intercept[0]), float(slope[0])


def grouped(p: float, positives: int, n: int) -> tuple[Int, Float]:
    return np.r_[np.ones(positives, dtype=np.int64), np.zeros(n - positives, dtype=np.int64)], np.full(n, p)


def test_predictions_that_come_true_have_slope_one_and_intercept_zero() -> None:
    (a, p), (b, q) = grouped(0.2, 2, 10), grouped(0.8, 8, 10)
    np.testing.assert_allclose(recalibrated(np.r_[a, b], np.r_[p, q]), [0, 1], atol=1e-9)


def test_two_groups_of_predictions_have_a_line_in_closed_form() -> None:
    # Observed shares 1/4 and 1/2 at predictions 0.2 and 0.8: the line goes through both points of the logit plane.
    (a, p), (b, q) = grouped(0.2, 5, 20), grouped(0.8, 10, 20)
    slope = (logit(1 / 2) - logit(1 / 4)) / (logit(0.8) - logit(0.2))
    assert recalibrated(np.r_[a, b], np.r_[p, q])[1] == pytest.approx(slope, rel=1e-8)


def test_the_slope_is_that_of_an_unpenalised_logistic_regression() -> None:
    labels, p = example(0, ties=False)
    peer = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(logit(p)[:, None], labels)
    assert recalibrated(labels, p)[1] == pytest.approx(peer.coef_[0, 0], rel=1e-5)


def test_the_intercept_makes_the_mean_prediction_right() -> None:
    labels, p = example(1, ties=False)
    intercept, _ = recalibrated(labels, p)
    assert expit(logit(p) + intercept).mean() == pytest.approx(labels.mean(), abs=1e-9)


def test_predictions_too_extreme_by_a_factor_have_the_inverse_slope() -> None:
    labels, p = example(2, ties=False)
    assert recalibrated(labels, expit(3 * logit(p)))[1] == pytest.approx(recalibrated(labels, p)[1] / 3, rel=1e-6)


def test_separated_classes_have_no_slope() -> None:
    assert np.isnan(recalibrated(np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.8, 0.9]))[1])


@pytest.mark.parametrize("seed", range(3))
def test_the_parts_of_the_brier_score_add_up_to_it(seed: int) -> None:
    labels, p = example(seed, n=200, ties=False)
    parts = brier_parts(labels, p)
    total = parts.reliability - parts.resolution + parts.uncertainty + parts.within
    assert total == pytest.approx(np.mean((p - labels) ** 2), rel=1e-12)
    assert abs(parts.within) < 0.1 * parts.uncertainty


def test_murphys_parts_are_exact_when_a_bin_holds_one_prediction() -> None:
    (a, p), (b, q) = grouped(0.2, 30, 100), grouped(0.8, 60, 100)
    parts = brier_parts(np.r_[a, b], np.r_[p, q])
    assert parts.within == pytest.approx(0, abs=1e-15)
    assert parts.reliability == pytest.approx((0.1**2 + 0.2**2) / 2)
    assert parts.resolution == pytest.approx(0.15**2)


def test_the_bins_hold_every_row_once_however_often_it_is_predicted() -> None:
    labels, p = example(0, n=300, ties=False)
    once = calibration_bins(labels, p)
    thrice = calibration_bins(np.tile(labels, 3), np.tile(p, 3), repeats=3)
    assert len(once) == 10
    assert sum(one.rows for one in once) == 300
    for one, other in zip(once, thrice, strict=True):
        np.testing.assert_allclose(
            [one.rows, one.predicted, one.observed, one.low, one.high],
            [other.rows, other.predicted, other.observed, other.low, other.high],
            rtol=1e-12,
        )
