import numpy as np
import pytest
from scipy import stats

from ml.evaluation.comparison import auc_interval, compare_aucs, corrected_t, delong, mcnemar
from tests.ml.evaluation.plain import example, plain_delong


def test_delong_of_a_case_worked_by_hand() -> None:
    # Positives score 3 and 1, negatives 2 and 0: 3 beats both, 1 beats one, so the shares are 1, 1/2 and 1/2, 1.
    # AUC 3/4; each variance of two shares is 1/8; 1/8 / 2 + 1/8 / 2 = 1/8.
    areas, covariance = delong([1, 1, 0, 0], [3, 1, 2, 0])
    assert areas[0] == 0.75
    assert covariance[0, 0] == pytest.approx(0.125, rel=1e-14)


@pytest.mark.parametrize("seed", range(5))
def test_midranks_give_the_same_as_all_pairs(seed: int) -> None:
    labels, first = example(seed)
    second = np.round(np.random.default_rng(seed + 100).normal(size=60) + 0.5 * labels, 1)
    areas, covariance = delong(labels, [first, second])
    plain_areas, plain_covariance = plain_delong(labels, first, second)
    np.testing.assert_allclose(areas, plain_areas, rtol=1e-12)
    np.testing.assert_allclose(covariance, plain_covariance, rtol=1e-10)


def test_delong_holds_its_level_when_both_scores_are_equally_good() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 40)
    trials = rng.normal(size=(400, 2, 80)) + rng.normal(size=(400, 1, 80)) + labels
    rejected = sum(compare_aucs(labels, *pair).p < 0.05 for pair in trials)
    assert 8 <= rejected <= 34  # 20 expected, 3 standard deviations


def test_swapping_the_models_turns_delongs_difference_round() -> None:
    labels, first = example(0, ties=False)
    second = np.random.default_rng(9).normal(size=60)
    one, other = compare_aucs(labels, first, second), compare_aucs(labels, second, first)
    assert one.p == pytest.approx(other.p)
    assert one.estimate.low == pytest.approx(-other.estimate.high)


def test_scores_that_rank_alike_do_not_differ() -> None:
    labels, first = example(0, ties=False)
    assert compare_aucs(labels, first, np.exp(5 * first)).p == 1


def test_an_auc_interval_stays_within_zero_and_one_and_fails_openly_at_one() -> None:
    wide = auc_interval(0.97, 0.03**2)
    assert 0.8 < wide.low < 0.97 < wide.high < 1
    assert not auc_interval(1.0, 0.0).has_interval


def test_one_patient_of_a_class_has_no_variance() -> None:
    with pytest.raises(ValueError, match="two patients of each class, got 1 positive"):
        delong([1, 0, 0], [0.3, 0.2, 0.1])


def test_mcnemar_of_the_example_of_fagerland() -> None:
    # Fagerland 2013: 1 against 7 discordant pairs; exact 2 (1 + 8) / 256, mid-p less 8 / 256.
    first = np.repeat([True, False, True, False], [1, 7, 1, 12])
    second = np.repeat([False, True, True, False], [1, 7, 1, 12])
    got = mcnemar(first, second)
    assert (got.only_first, got.only_second) == (1, 7)
    assert got.p_exact == pytest.approx(18 / 256)
    assert got.p_mid == pytest.approx(10 / 256)


def test_mcnemar_without_a_winner_is_sure_of_nothing() -> None:
    tie = mcnemar([True, False, True], [False, True, True])
    assert tie.p_exact == 1
    assert tie.p_mid == pytest.approx(1 - 0.25)
    assert mcnemar([True], [True]).p_exact == 1


def test_the_corrected_t_without_shared_training_patients_is_students() -> None:
    values = np.random.default_rng(0).normal(size=12) + 0.3
    ours, peer = corrected_t(values, 0.0), stats.ttest_1samp(values, 0)
    interval = peer.confidence_interval()
    np.testing.assert_allclose(ours.p, peer.pvalue, rtol=1e-12)
    np.testing.assert_allclose([ours.estimate.low, ours.estimate.high], interval, rtol=1e-12)


def test_the_correction_widens_by_its_formula() -> None:
    values = np.random.default_rng(0).normal(size=50) + 0.3
    plain, corrected = corrected_t(values, 0.0).estimate, corrected_t(values, 0.25).estimate
    widened = (corrected.high - corrected.value) / (plain.high - plain.value)
    assert widened == pytest.approx(np.sqrt((1 / 50 + 0.25) * 50))


def test_repeats_of_the_same_difference_give_no_interval_and_none_at_all_p_one() -> None:
    assert corrected_t(np.zeros((10, 5)), 0.25).p == 1
    assert np.isnan(corrected_t(np.full(50, 0.1), 0.25).p)
    assert np.isnan(corrected_t(np.full(5, np.nan), 0.25).estimate.value)
