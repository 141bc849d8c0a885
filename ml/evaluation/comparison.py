"""Is one model better than another on the same patients?

* DeLong (1988, doi:10.2307/2531595): two correlated AUCs, patients random, models fixed. Midranks make it O(n log n)
  (Sun & Xu 2014, doi:10.1109/LSP.2014.2337313).
* McNemar (1947, doi:10.1007/BF02295996): who is right where only one is. Exact, and mid-p, which is less timid (Fagerland
  2013, doi:10.1186/1471-2288-13-91).
* Corrected resampled t (Nadeau & Bengio 2003, doi:10.1023/A:1024068626366; for repeated folds Bouckaert & Frank 2004,
  doi:10.1007/978-3-540-24775-3_3): differences fold by fold, training set random. Folds share training patients, so the
  variance of the mean is (1/k + test/train) s^2 and not s^2 / k.

The first two take one prediction per patient: the mean over the repeats of cross-validation and the patient's rows.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from scipy.special import expit, logit

from ml.evaluation.intervals import LEVEL, Estimate, Float


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A difference (first minus second), its 95 % interval and two-sided p; nan where it does not exist."""

    estimate: Estimate
    p: float


@dataclass(frozen=True, slots=True, kw_only=True)
class McNemar:
    """Patients for whom only the first, only the second was right, and two-sided p."""

    only_first: int
    only_second: int
    p_exact: float
    p_mid: float


def delong(labels: ArrayLike, scores: ArrayLike) -> tuple[Float, Float]:
    """AUC of each score and their covariance over patients.

    Args:
        labels: (n,) 0 or 1, two of each at least.
        scores: (k, n), higher for class 1.

    Returns:
        (k,) areas, ties counting half, and (k, k) covariance.

    Raises:
        ValueError: if a class has fewer than two patients.
    """
    positive = np.asarray(labels) == 1
    values = np.atleast_2d(np.asarray(scores, dtype=np.float64))
    m, n = int(positive.sum()), int((~positive).sum())
    if min(m, n) < 2:
        raise ValueError(f"DeLong's variance needs two patients of each class, got {m} positive and {n} negative")
    ranks = stats.rankdata(values, axis=1)
    # Per positive patient the share of negatives below; per negative patient the share of positives above.
    below = (ranks[:, positive] - stats.rankdata(values[:, positive], axis=1)) / n
    above = 1 - (ranks[:, ~positive] - stats.rankdata(values[:, ~positive], axis=1)) / m
    covariance = np.atleast_2d(np.cov(below)) / m + np.atleast_2d(np.cov(above)) / n
    return below.mean(axis=1), covariance


def auc_interval(area: float, variance: float) -> Estimate:
    """One AUC with DeLong's variance, on the logit scale so that it stays within 0..1; none at 0 or 1 or without variance."""
    if not 0 < area < 1 or variance <= 0:
        return Estimate(value=area, low=np.nan, high=np.nan)
    half = _z() * np.sqrt(variance) / (area * (1 - area))
    low, high = expit(logit(area) + np.array([-half, half]))
    return Estimate(value=area, low=float(low), high=float(high))


def compare_aucs(labels: ArrayLike, first: ArrayLike, second: ArrayLike) -> Difference:
    """DeLong's test of two scores on the same patients, each (n,). Two that rank alike have p = 1."""
    areas, covariance = delong(labels, np.stack([np.asarray(first), np.asarray(second)]))
    difference = float(areas[0] - areas[1])
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    if variance < 1e-15:  # rounding of equal components
        p = 1.0 if abs(difference) < 1e-12 else float("nan")
        return Difference(estimate=Estimate(value=difference, low=np.nan, high=np.nan), p=p)
    error = float(np.sqrt(variance))
    return Difference(
        estimate=Estimate(value=difference, low=difference - _z() * error, high=difference + _z() * error),
        p=float(2 * stats.norm.sf(abs(difference) / error)),
    )


def mcnemar(first_right: ArrayLike, second_right: ArrayLike) -> McNemar:
    """McNemar's test from two (n,) arrays of whether each patient was called rightly."""
    first, second = np.asarray(first_right, dtype=bool), np.asarray(second_right, dtype=bool)
    b, c = int((first & ~second).sum()), int((second & ~first).sum())
    exact = float(stats.binomtest(b, b + c).pvalue) if b + c else 1.0
    at_observed = float(stats.binom.pmf(b, b + c, 0.5))
    p_mid = 1 - at_observed / 2 if b == c else exact - at_observed
    return McNemar(only_first=b, only_second=c, p_exact=exact, p_mid=p_mid)


def corrected_t(differences: ArrayLike, test_over_train: float) -> Difference:
    """Corrected resampled t test of differences, one per fold and repeat.

    Args:
        differences: (k,) of a metric; folds in which it did not exist (nan) are left out.
        test_over_train: patients tested per patient trained on, 1 / (folds - 1) in cross-validation.
    """
    values = np.asarray(differences, dtype=np.float64).ravel()
    values = values[np.isfinite(values)]
    k = len(values)
    if k < 2 or np.ptp(values) < 1e-12:
        same = k > 0 and abs(values).max() < 1e-12
        value = float(values.mean()) if k else float("nan")
        return Difference(estimate=Estimate(value=value, low=np.nan, high=np.nan), p=1.0 if same else float("nan"))
    mean, error = float(values.mean()), float(np.sqrt((1 / k + test_over_train) * values.var(ddof=1)))
    half = float(stats.t.ppf((1 + LEVEL) / 2, k - 1)) * error
    return Difference(
        estimate=Estimate(value=mean, low=mean - half, high=mean + half),
        p=float(2 * stats.t.sf(abs(mean) / error, k - 1)),
    )


def _z() -> float:
    return float(stats.norm.ppf((1 + LEVEL) / 2))
