"""A classifier whose answers are kept in files, so that a long cross-validation that was cut off goes on where it was.

What is kept stands under a hash of the estimator with all its settings, the rows that it was fitted to, and the rows that it
was asked. The code of the models is not in the hash: after a change of a model, remove the folder.
"""

from pathlib import Path
from typing import Any, Self

import joblib
import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, clone


class Remembered(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Fits `model` only when it is asked for probabilities that are not in `folder` yet."""

    classes_: NDArray[Any]

    def __init__(self, model: BaseEstimator, folder: Path) -> None:
        self.model = model
        self.folder = folder

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:  # noqa: N803 (as scikit-learn)
        self.classes_ = np.unique(y)
        self._rows = (X, y)
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:  # noqa: N803
        path = self.folder / f"{joblib.hash((self.model, self._rows, X))}.npy"
        if not path.is_file():
            found = clone(self.model).fit(*self._rows).predict_proba(X)
            self.folder.mkdir(parents=True, exist_ok=True)
            whole = path.with_suffix(".part.npy")  # a run may be cut off while it writes
            np.save(whole, found)
            whole.replace(path)
        kept: NDArray[np.float64] = np.load(path)
        return kept
