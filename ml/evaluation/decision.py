"""Would acting on the model do more good than treating everybody or nobody?

Someone who would implant at a probability of t or more weighs one needless implant as t / (1 - t) of a useful one. Net
benefit (Vickers & Elkin 2006, doi:10.1177/0272989X06295361) counts in useful ones per patient:

    NB(t) = TP / n - FP / n * t / (1 - t)

Treating nobody gives 0, treating everybody is a model that always says 1. All three are drawn against t; a model that
nowhere lies on top helps no decision.
"""

from collections.abc import Iterable

import numpy as np

from ml.evaluation.intervals import Float, Int

THRESHOLDS: Float = np.linspace(0.01, 0.99, 99)
SHOWN: Float = np.array([0.2, 0.3, 0.4, 0.5, 0.6, 0.7])  # in tables; our choice


def net_benefit(labels: Int, probabilities: Float, weights: Float, thresholds: Float = THRESHOLDS) -> Float:
    """Net benefit of acting on the probability, in true positives per row, under each line of weights.

    Args:
        labels: (n,) 0 or 1.
        probabilities: (n,) of class 1.
        weights: (b, n), as in `metrics`.
        thresholds: (t,) within 0..1, 1 left out.

    Returns:
        (b, t).
    """
    if not ((thresholds >= 0) & (thresholds < 1)).all():
        bad = thresholds[(thresholds < 0) | (thresholds >= 1)]
        raise ValueError(
            f"a threshold of {bad[0]:g} is no probability below 1 ({bad.size} of {thresholds.size} are not)"
        )
    called = probabilities[:, None] >= thresholds
    true, false = weights @ (called & (labels == 1)[:, None]), weights @ (called & (labels != 1)[:, None])
    benefit: Float = (true - false * thresholds / (1 - thresholds)) / weights.sum(axis=1, keepdims=True)
    return benefit


def mean_net_benefit(labels: Int, repeats: Iterable[Float], weights: Float, thresholds: Float = THRESHOLDS) -> Float:
    """Mean (b, t) of the net benefits of several predictions of the same rows."""
    mean: Float = np.mean([net_benefit(labels, one, weights, thresholds) for one in repeats], axis=0)
    return mean
