"""Metrics of predicted probabilities of response, one row per patient, with intervals over patients."""

from functools import partial

import numpy as np

from ml.evaluation.intervals import Resampled, resample
from ml.evaluation.metrics import Task, mean_over_repeats
from twin.planning.response_cohort import Float, Int

TASK = Task(kind="two classes", classes=("0", "1"))


def drawn_metrics(outcome: Int, predicted: Float, resamples: int, *, calibration: bool = False) -> Resampled:
    """Every metric, mean over the repeats; the same number of resamples draws the same patients, so that differences pair.

    Args:
        outcome: (n,) 0 or 1.
        predicted: (repeats, n) probability of 1, or one (n,).
        resamples: of the patients.
        calibration: also slope and intercept, which cost more than all others together.
    """
    pairs = [np.column_stack([1 - one, one]) for one in np.atleast_2d(predicted)]
    statistics = partial(mean_over_repeats, TASK, outcome, pairs, calibration=calibration)
    return resample(statistics, np.arange(len(outcome)), resamples=resamples)
