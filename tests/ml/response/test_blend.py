"""Laws of the blend: known distortions are undone, and little data changes little."""

import numpy as np
import pytest
from scipy.special import expit, logit

from ml.response.blend import Blend, best_share, calibrate
from tests.ml.response.patients import Float


def outcomes(n: int, seed: int = 0) -> tuple[Float, Float]:
    """True log-odds and outcomes."""
    rng = np.random.default_rng(seed)
    log_odds = 1.5 * rng.standard_normal(n)
    return log_odds, (rng.random(n) < expit(log_odds)).astype(np.float64)


def test_an_affine_distortion_of_many_patients_is_undone() -> None:
    truth, labels = outcomes(50_000)
    intercept, slope = calibrate(labels, (truth - 0.7) / 1.6, np.ones(50_000))
    assert (intercept, slope) == pytest.approx((0.7, 1.6), abs=0.06)


def test_few_patients_move_the_slope_about_half_as_far() -> None:
    truth, labels = outcomes(50_000)
    few = [calibrate(labels[i : i + 40], truth[i : i + 40] / 3, np.ones(40))[1] for i in range(0, 20_000, 40)]
    assert 1.3 < np.mean(few) < 2.2  # 3 without the prior, 1 without the data


def test_the_slope_of_an_order_upside_down_stays_above_0_and_the_mean_is_kept() -> None:
    truth, labels = outcomes(5000)
    intercept, slope = calibrate(labels, -truth + 3, np.ones(5000))
    assert slope == 0.05
    assert expit(intercept + slope * (3 - truth)).mean() == pytest.approx(labels.mean(), abs=1e-9)


def test_a_constant_score_is_calibrated_to_the_share_of_responders() -> None:
    _, labels = outcomes(200)
    intercept, slope = calibrate(labels, np.full(200, 2.0), np.ones(200))
    assert intercept + 2 * slope == pytest.approx(logit(labels.mean()), abs=1e-9)


def test_weights_count_rows() -> None:
    truth, labels = outcomes(300)
    weights = np.random.default_rng(0).integers(0, 3, 300)
    rows = np.repeat(np.arange(300), weights)
    assert calibrate(labels, truth, weights.astype(float)) == pytest.approx(
        calibrate(labels[rows], truth[rows], np.ones(len(rows))), abs=1e-9
    )


def test_the_member_that_knows_gets_the_share_and_of_equals_each_gets_half() -> None:
    truth, labels = outcomes(3000)
    noise = np.random.default_rng(1).standard_normal(3000)
    assert best_share(labels, truth, noise) >= 0.9
    assert best_share(labels, noise, truth) <= 0.1
    assert best_share(labels, truth, truth) == 0.5
    assert best_share(labels[:4], truth[:4], noise[:4]) == pytest.approx(0.5, abs=0.2)


def test_the_blend_is_affine_in_the_log_odds_of_its_members() -> None:
    blend = Blend(share=0.3, intercept=0.2, slope=2.0)
    np.testing.assert_allclose(blend.log_odds(np.array([1.0, -1]), np.array([0.0, 2])), [0.8, 2.4])
