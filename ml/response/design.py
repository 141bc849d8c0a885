"""Missing values and scales: what of the encoded table each member of the model sees.

The linear member gets medians of the training rows for what is missing, one more column of 0/1 for each predictor that
was missing in some training row, and all of it with mean 0 and standard deviation 1. The trees find their own way for
what is missing; where training never missed a column they have learnt none, and get the median.

Medians, means and deviations come from the rows that `fit_design` gets, which are those of the training fold.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.response.predictors import Float, Int, Predictor


@dataclass(frozen=True, kw_only=True, eq=False)
class Design:
    """How c encoded columns become what the members see.

    Attributes:
        owner: (c,) number of the predictor of each column.
        median: (c,) of what is known; 0 for a column that is always missing.
        gaps: (g,) numbers of the predictors that were missing in some training row.
        centre, scale: (c + g,) of the columns of the linear member; scale 1 for a column that never changes.
        constant: (c,) whether it never changes.
        unknown: (c,) whether it is always missing.
    """

    owner: Int
    median: Float
    gaps: Int
    centre: Float
    scale: Float
    constant: NDArray[np.bool_]
    unknown: NDArray[np.bool_]

    @property
    def owners(self) -> Int:
        """(c + g,) number of the predictor of each column of the linear member."""
        return np.concatenate([self.owner, self.gaps])

    def filled(self, numbers: Float) -> Float:
        """(n, c) medians for what is missing."""
        return np.where(np.isnan(numbers), self.median, numbers)

    def for_trees(self, numbers: Float) -> Float:
        """(n, c) medians for what is missing in columns that training never missed."""
        return np.where(np.isnan(numbers) & ~np.isin(self.owner, self.gaps), self.median, numbers)

    def for_linear(self, numbers: Float) -> Float:
        """(n, c + g) filled, with columns for gaps, standardised."""
        table = _with_gaps(self.filled(numbers), numbers, self.owner, self.gaps)
        return np.ascontiguousarray((table - self.centre) / self.scale)


def owner_of_columns(predictors: Sequence[Predictor]) -> Int:
    """(c,) number of the predictor of each encoded column."""
    return np.repeat(np.arange(len(predictors)), [len(predictor.columns) for predictor in predictors])


def fit_design(numbers: Float, owner: Int) -> Design:
    """The design of (n, c) encoded training rows."""
    missing = np.isnan(numbers)
    unknown = np.asarray(missing.all(axis=0))
    median = np.zeros(numbers.shape[1])
    median[~unknown] = np.nanmedian(numbers[:, ~unknown], axis=0)
    gaps = np.unique(owner[missing.any(axis=0)])
    table = _with_gaps(np.where(missing, median, numbers), numbers, owner, gaps)
    constant = np.ptp(table, axis=0) == 0
    # The mean of equal numbers may differ from them in the last digit, which a scale of 1 would keep.
    centre = np.where(constant, table[0], table.mean(axis=0))
    scale = np.where(constant, 1.0, table.std(axis=0))
    columns = numbers.shape[1]
    return Design(
        owner=owner,
        median=median,
        gaps=gaps,
        centre=centre,
        scale=scale,
        constant=constant[:columns],
        unknown=unknown,
    )


def _with_gaps(filled: Float, numbers: Float, owner: Int, gaps: Int) -> Float:
    """The filled columns and, for each predictor with gaps, one that says where."""
    first = np.searchsorted(owner, gaps)  # all columns of a predictor are missing together
    return np.hstack([filled, np.isnan(numbers[:, first]).astype(np.float64)])
