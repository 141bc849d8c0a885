"""Segmentation by folds of patients: the Dice of every slice, drawn by a network that has seen nothing of its patient."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin

from ml.evaluation.intervals import Float
from ml.evaluation.kept_fits import KeptFits
from ml.evaluation.protocol import FitCounter, Progress, folds_of, out_of_fold, state_problem

Float32 = NDArray[np.float32]
Dice = Callable[[NDArray[np.bool_], NDArray[np.bool_]], Float]


class _DiceOf(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A segmenter whose input has the true mask as its last channel, and whose answer is the Dice of each slice."""

    def __init__(self, segmenter: Any, dice: Dice) -> None:
        self.segmenter = segmenter
        self.dice = dice

    def fit(
        self,
        X: Float32,  # noqa: N803 (as scikit-learn)
        y: ArrayLike,  # noqa: ARG002
        groups: ArrayLike | None = None,
        checkpoints: Path | None = None,
    ) -> Self:
        self.segmenter.fit(X[:, :-1], X[:, -1] == 1, groups=groups, checkpoints=checkpoints)
        return self

    def predict(self, X: Float32) -> Float:  # noqa: N803
        return self.dice(self.segmenter.predict(X[:, :-1]), X[:, -1] == 1)


def dice_by_folds(
    segmenter: Any,
    slices: Float32,
    masks: NDArray[np.bool_],
    patients: ArrayLike,
    dice: Dice,
    *,
    folds: int = 5,
    seeds: int = 10,
    progress: Progress | None = None,
    checkpoints: Path | None = None,
) -> Float:
    """Cross-validate a segmenter.

    Args:
        segmenter: a `ScarSegmenter`, left as it is; every `random_state` becomes the seed of the repeat.
        slices: (n, channels, height, width) its input.
        masks: (n, height, width) what is to be drawn.
        patients: (n,) names; the slices of one patient stay together.
        dice: two (n, height, width) masks to (n,): `ml.segmentation.dice`, which needs torch as this file does not.
        folds: of a repeat.
        seeds: repeats.
        progress: called with fits done and fits in all.
        checkpoints: as `ml.evaluation.evaluate`.

    Returns:
        (seeds, n) Dice of each slice.

    Raises:
        ValueError: if there are fewer patients than folds, or the segmenter refuses the data.
    """
    both = np.concatenate([slices, masks[:, None]], axis=1, dtype=np.float32)
    wrapped = _DiceOf(segmenter, dice)
    problem = state_problem([wrapped], both, np.zeros(len(both)), patients)
    count = FitCounter(seeds * folds, progress)
    kept = None if checkpoints is None else KeptFits(checkpoints, both)
    return np.stack(
        [
            out_of_fold(
                wrapped, problem, folds_of(problem, folds, seed), seed=seed, name="the segmenter", done=count, kept=kept
            )
            for seed in range(seeds)
        ]
    )
