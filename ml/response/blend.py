"""Two members to one probability: how much of each, and what its log-odds are worth.

    logit p = intercept + slope (share * linear + (1 - share) * trees)

with the members' log-odds. All three numbers come from log-odds that the members gave for patients they had not seen
(the inner folds): the share fits best, then intercept and slope are those of Platt [2000, Advances in Large Margin
Classifiers, 61-74]. The share has a Gaussian prior of mean 0.5 and standard deviation 0.25, the slope one of mean 1 and
standard deviation 0.5 (our choice): under a hundred patients tell neither, thousands hardly feel the priors.

The slope stays at 0.05 or above, so that the order of patients, and the directions that physiology gives, hold. An
affine map of the log-odds keeps contributions additive, which is why there is no isotonic or beta calibration.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from ml.response.predictors import Float

_SLOPE_SD = 0.5
_SHARE_SD = 0.25
_LEAST_SLOPE = 0.05
_SHARES = np.linspace(0, 1, 11)
_STEPS = 50
_FURTHEST = 2.0  # a Newton step, at most


@dataclass(frozen=True, kw_only=True)
class Blend:
    """See the module.

    Attributes:
        share: of the linear member, 0 to 1.
        intercept, slope: of the calibration.
    """

    share: float
    intercept: float
    slope: float

    def mix(self, linear: Float, trees: Float) -> Float:
        """Log-odds of both before calibration."""
        return self.share * linear + (1 - self.share) * trees

    def log_odds(self, linear: Float, trees: Float) -> Float:
        """Calibrated log-odds of the members'."""
        return self.intercept + self.slope * self.mix(linear, trees)


def log_loss(labels: Float, log_odds: Float, weights: Float | None = None) -> float:
    """Mean over the rows, natural logarithm."""
    return float(np.average(np.logaddexp(0, log_odds) - labels * log_odds, weights=weights))


def best_share(labels: Float, linear: Float, trees: Float) -> float:
    """Share of the linear member, in tenths, of the largest posterior."""
    prior = ((_SHARES - 0.5) / _SHARE_SD) ** 2 / 2
    losses = [log_loss(labels, share * linear + (1 - share) * trees) for share in _SHARES]
    return float(_SHARES[np.argmin(len(labels) * np.array(losses) + prior)])


def calibrate(labels: Float, log_odds: Float, weights: Float) -> tuple[float, float]:
    """Intercept and slope of (n,) log-odds under (n,) weights, by Newton's method; both classes must have weight."""
    line = np.column_stack([np.ones_like(log_odds), log_odds])
    intercept, slope = _newton(labels, 0 * log_odds, line, weights, np.array([0.0, 1 / _SLOPE_SD**2]))
    if slope >= _LEAST_SLOPE:
        return float(intercept), float(slope)
    (intercept,) = _newton(labels, _LEAST_SLOPE * log_odds, line[:, :1], weights, np.zeros(1))
    return float(intercept), _LEAST_SLOPE


def _newton(labels: Float, offset: Float, columns: Float, weights: Float, prior: Float) -> Float:
    """Logistic regression (k,) with a fixed offset; `prior` is the precision of a Gaussian about 1 for each coefficient."""
    found = np.zeros(columns.shape[1])
    for _ in range(_STEPS):
        chance = expit(offset + columns @ found)
        pull = columns.T @ (weights * (labels - chance)) - prior * (found - 1)
        curvature = (columns * (weights * chance * (1 - chance))[:, None]).T @ columns + np.diag(prior)
        step = np.clip(np.linalg.solve(curvature, pull), -_FURTHEST, _FURTHEST)
        found += step
        if np.abs(step).max() < 1e-9:
            break
    return found
