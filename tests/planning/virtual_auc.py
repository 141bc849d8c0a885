"""AUC by ranks."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata


def auc(positive: NDArray[np.bool_], score: NDArray[np.float64]) -> float:
    """Share of pairs in the right order, ties counting one half."""
    k = int(positive.sum())
    return float((rankdata(score)[positive].sum() - k * (k + 1) / 2) / (k * (len(score) - k)))
