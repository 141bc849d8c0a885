"""Slow plain twins: loops over pairs, as the definitions are written."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

Float = NDArray[np.float64]
Int = NDArray[np.int64]


def kernel(positive: float, negative: float) -> float:
    return 1.0 if positive > negative else 0.5 if positive == negative else 0.0


def pairs(labels: Int, scores: Float) -> Float:
    """(positives, negatives) who wins each pair."""
    return np.array([[kernel(x, y) for y in scores[labels == 0]] for x in scores[labels == 1]])


def plain_auc(labels: Int, scores: Float) -> float:
    return float(pairs(labels, scores).mean())


def plain_delong(labels: Int, first: Float, second: Float) -> tuple[Float, Float]:
    """Areas and covariance from the O(mn) kernel."""
    wins = [pairs(labels, scores) for scores in (first, second)]
    of_positives = np.stack([one.mean(axis=1) for one in wins])
    of_negatives = np.stack([one.mean(axis=0) for one in wins])
    covariance = np.cov(of_positives) / of_positives.shape[1] + np.cov(of_negatives) / of_negatives.shape[1]
    return np.array([one.mean() for one in wins]), covariance


def example(seed: int, n: int = 60, ties: bool = True) -> tuple[Int, Float]:
    """Labels and informative probabilities, with ties."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.4).astype(np.int64)
    labels[:4] = [0, 1, 0, 1]
    scores = expit(rng.normal(size=n) + labels)
    return labels, np.round(scores, 1) if ties else scores
