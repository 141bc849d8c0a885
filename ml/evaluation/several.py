"""Models that answer with several numbers at once: fitted once per fold, then each number evaluated as if it were alone."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin

from ml.evaluation.experiment import evaluate
from ml.evaluation.intervals import Float
from ml.evaluation.kept_fits import KeptFits
from ml.evaluation.protocol import FitCounter, Progress, Rows, folds_of, out_of_fold, state_problem
from ml.evaluation.published import Published
from ml.evaluation.result import Evaluation


class _Said(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Tells what a model has said out of its folds; rows are known by their number, repeats by their seed."""

    def __init__(self, model: BaseEstimator, said: Float, random_state: int = 0) -> None:
        self.model = model
        self.said = said
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:  # noqa: N803, ARG002 (as scikit-learn)
        return self

    def predict(self, X: NDArray[np.int64]) -> Float:  # noqa: N803
        found: Float = self.said[self.random_state, X]
        return found

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:  # noqa: N803 (as scikit-learn)
        return str(self.model.__repr__(N_CHAR_MAX))


def evaluate_each(
    name: str,
    model: BaseEstimator,
    X: Rows,  # noqa: N803
    numbers: Mapping[str, Float],
    *,
    groups: ArrayLike | None = None,
    folds: int = 5,
    seeds: int = 10,
    published: Mapping[str, Sequence[Published]] | None = None,
    progress: Progress | None = None,
    checkpoints: Path | None = None,
    **options: Any,
) -> dict[str, Evaluation]:
    """Cross-validate a regressor of several numbers.

    Args:
        name: of the model.
        model: its `fit` takes (n, numbers), its `predict` gives that.
        X: (n, ...) its input.
        numbers: (n,) by name, in the order of the model.
        groups: (n,) patient of each row; None: every row is another patient.
        folds: of a repeat.
        seeds: repeats.
        published: to stand beside each number.
        progress: called with fits done and fits in all.
        checkpoints: as `evaluate`.
        options: further ones of `evaluate`: virtual, subgroups, resamples.

    Returns:
        The evaluation of each number.

    Raises:
        ValueError: as `evaluate`.
    """
    targets = np.column_stack(list(numbers.values()))
    problem = replace(state_problem([model], X, targets[:, 0], groups), outcome=targets)
    count = FitCounter(seeds * folds, progress)
    kept = None if checkpoints is None else KeptFits(checkpoints, problem.samples)
    said = np.stack(
        [
            out_of_fold(model, problem, folds_of(problem, folds, seed), seed=seed, name=name, done=count, kept=kept)
            for seed in range(seeds)
        ]
    )
    return {
        column: evaluate(
            {name: _Said(model, said[:, :, i])},
            np.arange(len(X)),
            outcome,
            groups=groups,
            folds=folds,
            seeds=seeds,
            published=(published or {}).get(column, ()),
            **options,
        )
        for i, (column, outcome) in enumerate(numbers.items())
    }
