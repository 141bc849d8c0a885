"""Nine-variable naive Bayes, refitted to the training rows: variables of Feeny 2019 [doi:10.1161/CIRCEP.119.007316].

    log P(class | x) = log share of the class + sum over the known variables log P(variable | class) + constant

QRS duration, LVEF and LV end-diastolic diameter are Gaussian in each class, the other six are shares with one patient
added to each category (Laplace). The published model's likelihoods are not known to us; these distributions are our
choice, and all numbers come from the training rows. A value that is missing, or a category that is none of those known,
leaves its factor out, in training and in prediction; so does a column that never changes or is not in the table at all.
"""

from collections.abc import Mapping
from typing import Self

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
from numpy.typing import ArrayLike
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from ml.baselines.one_column import labels_of, numbers_of
from ml.response.predictors import Float, Int

GAUSSIAN = ("ecg_qrs_ms", "lvef_percent", "lvedd_mm")
CATEGORIES: Mapping[str, tuple[object, ...]] = {
    "ecg_pattern": ("lbbb", "rbbb", "normal", "other"),
    "nyha": (1, 2, 3, 4),
    "sex": ("female", "male"),
    "aetiology": ("ischaemic", "non-ischaemic"),
    "af": (False, True),
    "epicardial_lead": (False, True),
}
_LEAST_VARIANCE = 0.01  # of a class, as a share of the variance of all; our choice


class NineVariableNaiveBayes(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """See the module. The table needs one of the nine columns at least."""

    def fit(self, X: pd.DataFrame, y: ArrayLike) -> Self:  # noqa: N803 (as scikit-learn)
        """Learn from rows and (n,) outcomes 0 or 1.

        Raises:
            ValueError: if none of the nine columns is there, one of the three measurements is no number, or the outcomes
                are not 0 and 1.
        """
        labels = labels_of(y)
        columns = [name for name in (*GAUSSIAN, *CATEGORIES) if name in X.columns]
        if not columns:
            raise ValueError(f"the table has none of the nine columns {', '.join((*GAUSSIAN, *CATEGORIES))}")
        of_class = [labels == 0, labels == 1]
        self._shares = np.array([rows.mean() for rows in of_class])
        self._moments = {
            name: moments
            for name in columns
            if name in GAUSSIAN
            if (moments := _moments(numbers_of(X, name), of_class))
        }
        self._tables = {name: _table(_codes(X, name), of_class, name) for name in columns if name in CATEGORIES}
        self.classes_ = np.array([0, 1])
        return self

    def predict_proba(self, X: pd.DataFrame) -> Float:  # noqa: N803
        """(n, 2) probabilities of 0 and 1.

        Raises:
            ValueError: if a column is missing that training had.
        """
        check_is_fitted(self, "classes_")
        missing = [name for name in (*self._moments, *self._tables) if name not in X.columns]
        if missing:
            raise ValueError(f"the table lacks {', '.join(missing)}, which training had")
        found = np.tile(np.log(self._shares), (len(X), 1))
        for name, (means, variances) in self._moments.items():
            values = numbers_of(X, name)[:, None]
            factor = -0.5 * (np.log(2 * np.pi * variances) + (values - means) ** 2 / variances)
            found += np.nan_to_num(factor, nan=0.0)
        for name, table in self._tables.items():
            found += table[_codes(X, name)]
        return np.asarray(softmax(found, axis=1))

    def predict(self, X: pd.DataFrame) -> Int:  # noqa: N803
        """(n,) 1 where the probability is at least one half."""
        return (self.predict_proba(X)[:, 1] >= 0.5).astype(np.int64)


def _moments(values: Float, of_class: list[Int]) -> tuple[Float, Float] | None:
    """Means and variances (2,) in the classes; None where a class has no value or nothing changes."""
    known = [values[rows & ~np.isnan(values)] for rows in of_class]
    if not all(one.size for one in known):
        return None
    least = _LEAST_VARIANCE * np.concatenate(known).var()
    if least == 0:
        return None
    return np.array([one.mean() for one in known]), np.array([max(one.var(), least) for one in known])


def _table(codes: Int, of_class: list[Int], name: str) -> Float:
    """(categories + 1, 2) log shares of the categories in the classes; the last row is of missing: no factor."""
    number = len(CATEGORIES[name])
    counts = np.stack([np.bincount(codes[rows], minlength=number + 1)[:number] for rows in of_class], axis=1) + 1.0
    return np.vstack([np.log(counts / counts.sum(axis=0)), np.zeros(2)])


def _codes(table: pd.DataFrame, name: str) -> Int:
    """(n,) number of each row's category; one more than the last where it is none of them."""
    code_of = {category: i for i, category in enumerate(CATEGORIES[name])}
    cells = table[name].astype(object).to_numpy()
    return np.array([code_of.get(cell, len(code_of)) for cell in cells], dtype=np.int64)
