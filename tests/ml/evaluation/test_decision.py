import numpy as np
import pytest

from ml.evaluation.decision import THRESHOLDS, mean_net_benefit, net_benefit
from tests.ml.evaluation.plain import Float, example

ONE = np.ones((1, 60))
EVERYBODY = np.ones(60)


def test_treating_everybody_is_worth_the_share_less_the_odds_of_the_rest() -> None:
    labels, _ = example(0)
    expected = labels.mean() - (1 - labels.mean()) * THRESHOLDS / (1 - THRESHOLDS)
    np.testing.assert_allclose(net_benefit(labels, EVERYBODY, ONE)[0], expected, atol=1e-12)


def test_treating_everybody_breaks_even_at_the_prevalence() -> None:
    labels = np.repeat([1, 0], [24, 36])
    assert net_benefit(labels, EVERYBODY, ONE, np.array([0.4]))[0, 0] == pytest.approx(0, abs=1e-15)


def test_a_perfect_model_is_worth_the_prevalence_at_every_threshold() -> None:
    labels, _ = example(1)
    np.testing.assert_allclose(net_benefit(labels, labels.astype(float), ONE)[0], labels.mean())


def test_a_table_of_four_by_hand_also_as_weights() -> None:
    # 24 useful and 10 needless treatments of 74; at a threshold of 1/5 four needless ones cost one useful one.
    labels, p = np.array([1, 1, 0, 0]), np.array([0.9, 0.1, 0.9, 0.1])
    counts: Float = np.array([[24.0, 6.0, 10.0, 34.0]])
    assert net_benefit(labels, p, counts, np.array([0.2]))[0, 0] == pytest.approx((24 - 10 / 4) / 74)


def test_repeats_are_averaged_in_net_benefit_not_in_probability() -> None:
    labels, p = example(2)
    expected = (net_benefit(labels, p, ONE) + net_benefit(labels, p[::-1], ONE)) / 2
    np.testing.assert_allclose(mean_net_benefit(labels, np.stack([p, p[::-1]]), ONE), expected, rtol=1e-12)


def test_a_threshold_of_one_is_refused() -> None:
    with pytest.raises(ValueError, match="a threshold of 1 is no probability below 1"):
        net_benefit(np.array([0, 1]), np.array([0.1, 0.9]), np.ones((1, 2)), np.r_[THRESHOLDS, 1.0])
