"""Logistic regression with elastic net, with weights of rows and signs of coefficients given.

Minimised over intercept c and coefficients b, with row weights w that add up to W:

    1/W sum_i w_i log(1 + exp(-s_i (c + x_i b))) + strength (mix |b|_1 + (1 - mix)/2 |b|^2),   s_i = +-1,

the penalty of Zou & Hastie 2005 [doi:10.1111/j.1467-9868.2005.00503.x]. The curvature of the loss is nowhere above
X' diag(w) X / 4W, so that each minimum of that parabola plus the penalty lies lower than the last point
[Bohning & Lindsay 1988, doi:10.1007/BF00049423]; it is found by cyclic coordinate descent, which holds a coefficient with
a given sign at 0 where it would take the other one [Friedman 2010, doi:10.18637/jss.v033.i01]. The matrix is made once for
all strengths, which is what makes a path over strengths cheap.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from scipy.special import expit
from scipy.stats import norm

from ml.response.predictors import Float, Int

_STEPS = 500  # parabolas for one strength
_SWEEPS = 30  # over the coefficients of one parabola; the next one starts from there
CHOOSING = 1e-3  # largest change of a coefficient at the end, while strengths are compared
EXACT = 1e-6


@dataclass(frozen=True, kw_only=True)
class Penalty:
    """Elastic net.

    Attributes:
        strength: of the whole penalty, at least 0.
        mix: share of the absolute values in it, 0 (ridge) to 1 (lasso).
    """

    strength: float
    mix: float


def fit_path(
    columns: Float,
    labels: Float,
    weights: Float,
    penalties: tuple[Penalty, ...],
    signs: Int,
    *,
    start: Float | None = None,
    tolerance: float = EXACT,
) -> Float:
    """One fit per penalty, each started from the last: sort them from strong to weak.

    Args:
        columns: (n, k), standardised; C order.
        labels: (n,) 0 or 1; both must occur with weight.
        weights: (n,) at least 0.
        penalties: of the fits.
        signs: (k,) +1 or -1: the coefficient is 0 or of that sign; 0: free.
        start: (k + 1,) near the first solution; None: no effects.
        tolerance: largest change of a coefficient in the last step.

    Returns:
        (penalties, k + 1) coefficients, the intercept last.
    """
    table = np.column_stack([columns, np.ones(len(columns))])
    weights = weights / weights.sum()
    bound = (table * (weights / 4)[:, None]).T @ table
    directions = np.append(signs, 0).astype(np.int64)
    coefficients = np.zeros(table.shape[1]) if start is None else start.copy()
    fits = np.empty((len(penalties), table.shape[1]))
    for i, penalty in enumerate(penalties):
        lasso = np.full(table.shape[1], penalty.strength * penalty.mix)
        ridge = np.full(table.shape[1], penalty.strength * (1 - penalty.mix))
        lasso[-1] = ridge[-1] = 0.0
        for _ in range(_STEPS):
            slope = table.T @ (weights * (expit(table @ coefficients) - labels))
            if _descend(bound, slope, lasso, ridge, directions, coefficients, tolerance, _SWEEPS) <= tolerance:
                break
        fits[i] = coefficients
    return fits


def prior_variance(penalty: Penalty, n: int) -> float:
    """Variance of the density exp(-n penalty(b)) of one coefficient: what the penalty takes for likely, as a prior.

    On either side of 0 it is a normal density with its peak on the other side, cut off at 0.
    """
    ridge = n * penalty.strength * (1 - penalty.mix)
    cut = n * penalty.strength * penalty.mix / np.sqrt(ridge)
    hazard = np.exp(norm.logpdf(cut) - norm.logsf(cut))
    return float((1 + cut**2 - cut * hazard) / ridge)


def strongest(columns: Float, labels: Float, mix: float) -> float:
    """The strength from which on all coefficients are 0, for a mix above 0."""
    slope = columns.T @ (labels - labels.mean()) / len(labels)
    return float(np.abs(slope).max(initial=0.0) / mix)


@njit(cache=True)
def _descend(bound, slope, lasso, ridge, signs, coefficients, tolerance, sweeps):  # type: ignore[no-untyped-def]
    """Move coefficients (k,) to the minimum of the parabola with the penalty; return the largest move in all."""
    before = coefficients.copy()
    slope = slope.copy()
    for _ in range(sweeps):
        largest = 0.0
        for j in range(len(coefficients)):
            if bound[j, j] + ridge[j] == 0.0:
                continue
            pull = bound[j, j] * coefficients[j] - slope[j]
            size = max(abs(pull) - lasso[j], 0.0) / (bound[j, j] + ridge[j])
            new = size if pull > 0 else -size
            if new * signs[j] < 0:
                new = 0.0
            move = new - coefficients[j]
            if move != 0.0:
                coefficients[j] = new
                slope += bound[j] * move
                largest = max(largest, abs(move))
        if largest <= 0.3 * tolerance:
            break
    return np.abs(coefficients - before).max()
