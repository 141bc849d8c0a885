import numpy as np
import pytest
from scipy import stats

from ml.evaluation.intervals import Resampled, bca, resample, wilson
from ml.evaluation.metrics import auc
from tests.ml.evaluation.plain import Float, plain_auc


def mean_of(values: Float, patients: np.ndarray, *, seed: int = 0, resamples: int = 400) -> Resampled:
    return resample(lambda w: {"mean": w @ values / w.sum(axis=1)}, patients, seed=seed, resamples=resamples)


def test_bca_agrees_with_scipy_on_the_biased_variance_of_a_skewed_sample() -> None:
    values = np.random.default_rng(0).exponential(size=40)

    def variance(weights: Float) -> dict[str, Float]:
        total = weights.sum(axis=1)
        return {"variance": weights @ values**2 / total - (weights @ values / total) ** 2}

    ours = resample(variance, np.arange(40), resamples=20_000).estimate("variance")
    peer = stats.bootstrap((values,), np.var, method="BCa", n_resamples=20_000, rng=np.random.default_rng(1))
    np.testing.assert_allclose([ours.low, ours.high], list(peer.confidence_interval), rtol=0.03)


def test_an_interval_covers_the_truth_about_nineteen_times_in_twenty() -> None:
    hits, truth = 0, stats.norm.cdf(1 / np.sqrt(2))  # AUC of two normal scores one standard deviation apart
    rng = np.random.default_rng(3)
    labels = np.repeat([0, 1], 20)
    for _ in range(100):
        scores = rng.normal(size=40) + labels
        drawn = resample(lambda w, s=scores: {"auc": auc(labels, s, w)}, np.arange(40), resamples=300)
        estimate = drawn.estimate("auc")
        hits += estimate.low <= truth <= estimate.high
    assert 89 <= hits <= 99  # 2.5 standard deviations of 95 hits, no more than 99


def test_rows_of_a_patient_are_drawn_together() -> None:
    # Ten identical rows per patient carry no more than one: the interval must not shrink.
    values = np.random.default_rng(0).normal(size=30)
    once = mean_of(values, np.arange(30)).estimate("mean")
    tenfold = mean_of(np.repeat(values, 10), np.repeat(np.arange(30), 10)).estimate("mean")
    np.testing.assert_allclose([tenfold.low, tenfold.high], [once.low, once.high], rtol=1e-12)


def test_resampling_weights_is_resampling_rows() -> None:
    rng = np.random.default_rng(0)
    labels, scores = np.repeat([0, 1], 10), np.round(rng.normal(size=20) + np.repeat([0, 1], 10), 1)
    lines = []

    def keep(weights: Float) -> dict[str, Float]:
        lines.append(weights)
        return {"auc": auc(labels, scores, weights)}

    drawn = resample(keep, np.arange(20), resamples=20)
    for counts, area in zip(lines[1].astype(int), drawn.draws["auc"], strict=True):
        rows = np.repeat(np.arange(20), counts)
        np.testing.assert_allclose(area, plain_auc(labels[rows], scores[rows]), rtol=1e-12)
        assert counts.sum() == 20


def test_a_difference_of_equal_models_is_certain() -> None:
    values = np.random.default_rng(0).normal(size=20)
    drawn = mean_of(values, np.arange(20))
    other = mean_of(values + 3, np.arange(20))
    assert drawn.difference(other, "mean").value == pytest.approx(-3)
    assert np.ptp(drawn.draws["mean"] - other.draws["mean"]) < 1e-12


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    values = np.random.default_rng(0).normal(size=20)
    first, again, other = (mean_of(values, np.arange(20), seed=seed).estimate("mean") for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_no_interval_is_given_where_the_resamples_do_not_vary_or_often_fail() -> None:
    left_out = np.linspace(0, 1, 10)
    assert not bca(1.0, np.ones(100), left_out).has_interval
    draws = np.random.default_rng(0).normal(size=100)
    assert bca(0.0, draws, left_out).has_interval
    draws[:6] = np.nan
    assert not bca(0.0, draws, left_out).has_interval


def test_wilson_agrees_with_scipy() -> None:
    for hits, n in ((0, 9), (58, 74), (9, 9)):
        peer = stats.binomtest(hits, n).proportion_ci(method="wilson")
        np.testing.assert_allclose(wilson(hits, n), [peer.low, peer.high], atol=1e-12)
