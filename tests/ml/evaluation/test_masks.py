"""Dice by folds of patients, with segmenters whose drawings are known."""

from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from ml.evaluation.masks import dice_by_folds

N = 12
RNG = np.random.default_rng(0)
SLICES = RNG.uniform(size=(N, 2, 8, 8)).astype(np.float32)
MASKS = SLICES[:, 0] > 0.5
PATIENTS = np.repeat(np.arange(N // 2), 2)


def plain_dice(one: NDArray[np.bool_], two: NDArray[np.bool_]) -> NDArray[np.float64]:
    pairs = zip(one, two, strict=True)
    return np.array([2 * (a & b).sum() / (a.sum() + b.sum()) for a, b in pairs], dtype=np.float64)


class Threshold(BaseEstimator):
    """Draws what is brighter than a level that follows from its seed."""

    fits: ClassVar[list[tuple[int, ...]]] = []

    def __init__(self, random_state: int = 0) -> None:
        self.random_state = random_state

    def fit(self, X: Any, y: Any, groups: Any, checkpoints: Path | None = None) -> Self:  # noqa: N803, ARG002
        np.testing.assert_array_equal(y, X[:, 0] > 0.5)
        Threshold.fits.append(tuple(np.unique(groups)))
        self.known_ = X
        return self

    def predict(self, X: Any) -> NDArray[np.bool_]:  # noqa: N803
        assert not (X[:, None] == self.known_).all(axis=(2, 3, 4)).any(), "fitted to a slice that is scored"
        drawn: NDArray[np.bool_] = X[:, 0] > 0.3 + 0.1 * self.random_state
        return drawn


def test_every_slice_is_drawn_by_a_segmenter_that_knows_nothing_of_its_patient() -> None:
    Threshold.fits.clear()
    found = dice_by_folds(Threshold(), SLICES, MASKS, PATIENTS, plain_dice, folds=3, seeds=2)
    for seed in range(2):
        expected = plain_dice(SLICES[:, 0] > 0.3 + 0.1 * seed, MASKS)
        np.testing.assert_array_equal(found[seed], expected)
    assert [len(patients) for patients in Threshold.fits] == [4] * 6


def test_what_is_kept_is_not_drawn_again_and_other_masks_are(tmp_path: Path) -> None:
    def run(masks: NDArray[np.bool_] = MASKS) -> NDArray[np.float64]:
        Threshold.fits.clear()
        found: NDArray[np.float64] = dice_by_folds(
            Threshold(), SLICES, masks, PATIENTS, plain_dice, folds=3, seeds=1, checkpoints=tmp_path
        )
        return found

    first = run()
    np.testing.assert_array_equal(run(), first)
    assert Threshold.fits == []
    with pytest.raises(AssertionError):  # asked to learn the other masks
        run(~MASKS)
