"""One column of the table as a whole model: a measurement with a logistic curve fitted to it, or probabilities as given."""

from typing import Self

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
from numpy.typing import ArrayLike
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from ml.response.linear import Penalty, fit_path
from ml.response.predictors import Float, Int

_PRIOR_SD = 5.0


class LogisticCurve:
    """P(1) = 1 / (1 + exp(-(a + b z))) of one standardised number; where it is missing, z is 0.

    b has a Gaussian prior of mean 0 and standard deviation 5 (our choice), felt only where the number separates the classes.
    """

    def fit(self, values: Float, labels: Float) -> Self:
        """Learn from (n,) numbers and (n,) 0 or 1; of numbers that never differ only the share of 1 is learnt."""
        known = values[~np.isnan(values)]
        self.mean = known.mean() if known.size else 0.0
        self.scale = known.std() if len(np.unique(known)) > 1 else np.inf
        weak = Penalty(strength=1 / (_PRIOR_SD**2 * len(values)), mix=0.0)
        column = self._standardised(values)[:, None]
        fits = fit_path(column, labels, np.ones(len(values)), (weak,), np.zeros(1, dtype=np.int64))
        self.slope, self.intercept = fits[0]
        return self

    def chance(self, values: Float) -> Float:
        """(n,) of class 1."""
        found: Float = expit(self.intercept + self.slope * self._standardised(values))
        return found

    def _standardised(self, values: Float) -> Float:
        return np.where(np.isnan(values), 0.0, (values - self.mean) / self.scale)


class OneColumn(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Logistic curve of one numeric column, fitted to the training rows.

    Args:
        column: of the table.
    """

    def __init__(self, column: str) -> None:
        self.column = column

    def fit(self, X: pd.DataFrame, y: ArrayLike) -> Self:  # noqa: N803 (as scikit-learn)
        """Learn from rows and (n,) outcomes 0 or 1.

        Raises:
            ValueError: if the column is missing or no numbers, or the outcomes are not 0 and 1.
        """
        self._curve = LogisticCurve().fit(numbers_of(X, self.column), labels_of(y))
        self.classes_ = np.array([0, 1])
        return self

    def predict_proba(self, X: pd.DataFrame) -> Float:  # noqa: N803
        """(n, 2) probabilities of 0 and 1."""
        check_is_fitted(self, "classes_")
        return two_columns(self._curve.chance(numbers_of(X, self.column)))

    def predict(self, X: pd.DataFrame) -> Int:  # noqa: N803
        """(n,) 1 where the probability is at least one half."""
        return (self.predict_proba(X)[:, 1] >= 0.5).astype(np.int64)


class ExternalScore(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Probabilities that stand in a column, frozen: nothing is fitted to them.

    Where one is missing, the share of responders among the training rows stands in.

    Args:
        column: of the table, 0 to 1.
    """

    def __init__(self, column: str = "external_score") -> None:
        self.column = column

    def fit(self, X: pd.DataFrame, y: ArrayLike) -> Self:  # noqa: N803
        """Learn the share of responders.

        Raises:
            ValueError: as `predict_proba`, or if the outcomes are not 0 and 1.
        """
        self._scores(X)
        self.share_ = float(labels_of(y).mean())
        self.classes_ = np.array([0, 1])
        return self

    def predict_proba(self, X: pd.DataFrame) -> Float:  # noqa: N803
        """(n, 2) probabilities of 0 and 1.

        Raises:
            ValueError: if the column is missing, no numbers, or not within 0..1.
        """
        check_is_fitted(self, "classes_")
        scores = self._scores(X)
        return two_columns(np.where(np.isnan(scores), self.share_, scores))

    def predict(self, X: pd.DataFrame) -> Int:  # noqa: N803
        """(n,) 1 where the probability is at least one half."""
        return (self.predict_proba(X)[:, 1] >= 0.5).astype(np.int64)

    def _scores(self, table: pd.DataFrame) -> Float:
        scores = numbers_of(table, self.column)
        wrong = np.flatnonzero((scores < 0) | (scores > 1))
        if wrong.size:
            raise ValueError(
                f"{self.column} = {scores[wrong[0]]:g} in row {wrong[0]} is no probability ({wrong.size} of {len(scores)}); "
                "divide percentages by 100"
            )
        return scores


def numbers_of(table: pd.DataFrame, column: str) -> Float:
    """(n,) numbers of a column, NaN where empty.

    Raises:
        ValueError: if there is no such column, or it holds something else.
    """
    if column not in table.columns:
        raise ValueError(f"the table lacks the column {column}")
    try:
        numbers: Float = pd.to_numeric(table[column].astype(object)).to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as fault:
        raise ValueError(f"{column} holds something that is no number: {fault}") from None
    return numbers


def labels_of(y: ArrayLike) -> Float:
    """(n,) outcomes.

    Raises:
        ValueError: if they are not all 0 or 1, or all the same.
    """
    labels = np.asarray(y)
    if set(np.unique(labels).tolist()) != {0, 1}:
        raise ValueError(f"the outcomes are {np.unique(labels)[:5].tolist()}; need 0 and 1, both of them")
    return labels.astype(np.float64)


def two_columns(chance: Float) -> Float:
    """(n, 2) probabilities of 0 and 1."""
    return np.column_stack([1 - chance, chance])
