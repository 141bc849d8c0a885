"""Do predicted probabilities mean what they say? Curve, recalibration line, parts of the Brier score.

Recalibration (Cox 1958, doi:10.1093/biomet/45.3-4.562) fits  logit P(y = 1) = a + b logit(p).  The *slope* is b: below 1
the predictions are too extreme, as after overfitting. The *intercept* is a with b held at 1 (calibration in the large):
below 0 the predictions are too high on average. Perfect: slope 1, intercept 0.

Weights say how often each row counts, one line per resample of the patients.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from ml.evaluation.intervals import Float, Int, wilson

CLIP = 1e-6  # a probability of exactly 0 or 1 has no logit; our choice
_ROWS_PER_BIN = 25
_LARGEST_STEP = 5.0
_MAX_STEPS = 30  # Newton needs about 7; without a finite solution it walks on by 1 per step


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationBin:
    """Rows of similar prediction.

    Attributes:
        rows: how many, in one repeat on average.
        predicted: mean probability.
        observed: share of class 1.
        low, high: Wilson 95 % interval of that share.
    """

    rows: float
    predicted: float
    observed: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BrierParts:
    """Brier score = reliability - resolution + uncertainty + within (Murphy; Stephenson 2008, doi:10.1175/2007WAF2006116.1).

    Attributes:
        reliability: mean squared distance of the bins from the diagonal; 0 is best.
        resolution: variance of the observed shares between the bins; more is better.
        uncertainty: variance of the outcome itself; no model changes it.
        within: what is left because a bin holds predictions that differ; 0 for as many bins as predictions.
    """

    reliability: float
    resolution: float
    uncertainty: float
    within: float


def calibration_bins(
    labels: Int, probabilities: Float, *, bins: int = 10, repeats: int = 1
) -> tuple[CalibrationBin, ...]:
    """The calibration curve over bins of equal size; ties stay together, so there may be fewer bins.

    Args:
        labels: (n,) 0 or 1.
        probabilities: (n,) of class 1.
        bins: at most so many, and at most one per 25 rows (our choice).
        repeats: so many predictions of each row stand in the arrays; intervals count a row once.
    """
    curve = []
    for rows in _rows_of_bins(probabilities, bins, repeats):
        once = len(rows) / repeats
        observed = float(labels[rows].mean())
        low, high = wilson(observed * once, once)
        curve.append(
            CalibrationBin(
                rows=once, predicted=float(probabilities[rows].mean()), observed=observed, low=low, high=high
            )
        )
    return tuple(curve)


def brier_parts(labels: Int, probabilities: Float, *, bins: int = 10) -> BrierParts:
    """Parts of the Brier score over the bins of `calibration_bins`; they add up to it exactly."""
    share = labels.mean()
    reliability = resolution = 0.0
    for rows in _rows_of_bins(probabilities, bins, 1):
        observed = labels[rows].mean()
        reliability += len(rows) / len(labels) * (probabilities[rows].mean() - observed) ** 2
        resolution += len(rows) / len(labels) * (observed - share) ** 2
    uncertainty = share * (1 - share)
    brier = np.mean((probabilities - labels) ** 2)
    return BrierParts(
        reliability=float(reliability),
        resolution=float(resolution),
        uncertainty=float(uncertainty),
        within=float(brier - (reliability - resolution + uncertainty)),
    )


def recalibration(labels: Int, probabilities: Float, weights: Float) -> tuple[Float, Float]:
    """Calibration intercept and slope under each line of weights, by Newton's method.

    Args:
        labels: (n,) 0 or 1.
        probabilities: (n,) of class 1.
        weights: (b, n), at least 0.

    Returns:
        Intercept (b,) and slope (b,); nan with one class only; the slope also if all predictions are equal or separate
        the classes.
    """
    x = logit(np.clip(probabilities, CLIP, 1 - CLIP))
    one = np.ones_like(x)
    intercept = _newton(labels, x, one[:, None], weights)[:, 0]
    spread = x.std()
    if spread < 1e-9:
        return intercept, np.full(len(weights), np.nan)
    line = _newton(labels, 0 * x, np.column_stack([one, (x - x.mean()) / spread]), weights)
    return intercept, line[:, 1] / spread


def _newton(labels: Int, offset: Float, columns: Float, weights: Float) -> Float:
    """Weighted logistic regression on (n, k) columns with a fixed offset (n,), one fit per line: (b, k), nan where none."""
    n_columns = columns.shape[1]
    products = (columns[:, :, None] * columns[:, None, :]).reshape(len(columns), -1)
    # All lines start from the fit to their mean, which is close to theirs.
    start = (
        np.zeros(n_columns) if len(weights) == 1 else _newton(labels, offset, columns, weights.mean(axis=0)[None])[0]
    )
    fits = np.tile(np.nan_to_num(start), (len(weights), 1))
    todo = np.flatnonzero((weights @ (labels == 1) > 0) & (weights @ (labels == 0) > 0))
    fits[np.setdiff1d(np.arange(len(weights)), todo)] = np.nan
    for _ in range(_MAX_STEPS):
        w = weights[todo]
        fitted = expit(offset + fits[todo] @ columns.T)
        slope = (w * (labels - fitted)) @ columns
        curvature = ((w * fitted * (1 - fitted)) @ products).reshape(-1, n_columns, n_columns)
        curvature += 1e-10 * np.eye(n_columns)  # a resample may hold one prediction only
        step = np.linalg.solve(curvature, slope[:, :, None])[:, :, 0].clip(-_LARGEST_STEP, _LARGEST_STEP)
        fits[todo] += step
        todo = todo[np.abs(step).max(axis=1) > 1e-6]  # the error of the next step is about its square
        if not len(todo):
            break
    fits[todo] = np.nan
    return fits


def _rows_of_bins(probabilities: Float, bins: int, repeats: int) -> list[Int]:
    """Row numbers of each bin, cut at quantiles of the predictions; empty bins are left out."""
    count = max(1, min(bins, len(probabilities) // (repeats * _ROWS_PER_BIN)))
    edges = np.quantile(probabilities, np.arange(1, count) / count)
    bin_of = np.searchsorted(edges, probabilities, side="left")
    return [np.flatnonzero(bin_of == i) for i in np.unique(bin_of)]
