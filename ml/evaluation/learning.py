"""Would more patients help? Performance against the number of patients trained on.

The test folds stay; the training patients are thinned class by class, the smaller sets within the larger. A curve that
still rises at its end says that more patients would help.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from ml.evaluation.intervals import Estimate, Int, resample
from ml.evaluation.metrics import mean_over_repeats
from ml.evaluation.protocol import FitCounter, Problem, Progress, Rows, folds_of, out_of_fold, state_problem


@dataclass(frozen=True, kw_only=True)
class LearningPoint:
    """Metrics, with intervals over patients, after training on so many patients (mean over the folds)."""

    patients: float
    metrics: dict[str, Estimate]


def learning_curve(  # noqa: D417
    estimator: BaseEstimator,
    X: Rows,  # noqa: N803
    y: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    shares: Sequence[float] = (0.25, 0.5, 0.75, 1.0),
    folds: int = 5,
    seeds: int = 10,
    resamples: int = 2000,
    positive: object = None,
    progress: Progress | None = None,
) -> tuple[LearningPoint, ...]:
    """Cross-validated performance for growing shares of the training patients; what is not listed is as in `evaluate`.

    Args:
        estimator: left as it is.
        shares: of the training patients of each class, within 0..1; at least two patients of a class are kept.

    Raises:
        ValueError: as `evaluate`, and for a share that is none.
    """
    wrong = [share for share in shares if not 0 < share <= 1]
    if wrong:
        raise ValueError(
            f"shares holds {wrong[0]:g}, need more than 0 and at most 1 ({len(wrong)} of {len(shares)} are not)"
        )
    problem = state_problem([estimator], X, y, groups, positive=positive)
    count = FitCounter(len(shares) * seeds * folds, progress)
    points = []
    for share in shares:
        repeats, sizes = [], []
        for seed in range(seeds):
            fold_of = folds_of(problem, folds, seed)
            thin = partial(thinned, problem, share, seed)
            repeats.append(out_of_fold(estimator, problem, fold_of, seed=seed, name="the model", thin=thin, done=count))
            trained = [thin(np.flatnonzero(fold_of != fold)) for fold in range(folds)]
            sizes += [len(np.unique(problem.patients[train])) for train in trained]
        statistics = partial(mean_over_repeats, problem.task, problem.truth, repeats)
        drawn = resample(statistics, problem.patients, resamples=resamples)
        points.append(
            LearningPoint(patients=float(np.mean(sizes)), metrics={name: drawn.estimate(name) for name in drawn.values})
        )
    return tuple(points)


def thinned(problem: Problem, share: float, seed: int, train: Int) -> Int:
    """The rows of a share of the training patients, class by class; a larger share holds those of a smaller one."""
    patients, first = np.unique(problem.patients[train], return_index=True)
    stratum = np.zeros(len(patients)) if problem.task.kind == "number" else problem.truth[train][first]
    order = np.random.default_rng(seed).permutation(len(patients))
    kept = []
    for one in np.unique(stratum):
        of_class = order[stratum[order] == one]
        kept.append(patients[of_class[: max(2, round(share * len(of_class)))]])
    return train[np.isin(problem.patients[train], np.concatenate(kept))]
