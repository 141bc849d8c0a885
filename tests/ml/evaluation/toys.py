"""Estimators whose behaviour is known without fitting anything."""

from typing import Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin

from tests.ml.evaluation.plain import Float, Int

Rows = NDArray[np.float64]


class Memoriser(ClassifierMixin, BaseEstimator):
    """Knows the label of every id (column 0) that it was fitted on, and nothing of others."""

    def fit(self, X: Rows, y: Int) -> Self:  # noqa: N803
        self.classes_ = np.unique(y)
        self.known_ = dict(zip(X[:, 0].tolist(), (y == self.classes_[1]).tolist(), strict=True))
        return self

    def predict_proba(self, X: Rows) -> Float:  # noqa: N803
        p = np.array([float(self.known_.get(one, 0.5)) for one in X[:, 0].tolist()])
        return np.column_stack([1 - p, p])


class Guard(Memoriser):
    """Refuses to predict for an id that it was fitted on."""

    def __init__(self, unused: int = 0) -> None:
        self.unused = unused

    def predict_proba(self, X: Rows) -> Float:  # noqa: N803
        assert not set(X[:, 0].tolist()) & self.known_.keys(), "fitted on a patient of the test fold"
        return super().predict_proba(X)


class Echo(ClassifierMixin, BaseEstimator):
    """Gives column 0 as the probability, plus a hundredth of its seed; learns nothing."""

    def __init__(self, random_state: int = 77) -> None:
        self.random_state = random_state

    def fit(self, X: Rows, y: Int) -> Self:  # noqa: ARG002, N803
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X: Rows) -> Float:  # noqa: N803
        p = np.clip(X[:, 0] + 0.01 * self.random_state, 0, 1)
        return np.column_stack([1 - p, p])


class Shares(ClassifierMixin, BaseEstimator):
    """Predicts the class shares of its training rows."""

    def fit(self, X: Rows, y: Int) -> Self:  # noqa: ARG002, N803
        self.classes_, counts = np.unique(y, return_counts=True)
        self.shares_ = counts / counts.sum()
        return self

    def predict_proba(self, X: Rows) -> Float:  # noqa: N803
        return np.tile(self.shares_, (len(X), 1))
