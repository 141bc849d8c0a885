"""Boosted trees for few rows, with weights of rows and directions of columns given (LightGBM, Ke 2017).

All settings are our choice: trees of few leaves, leaves of some rows at least, coarse bins, half of the columns per tree.
`ml.lightgbm_classifier.fit_trees` is the same for tables of hundreds of columns, without weights and directions.

LightGBM sorts each column into bins once for all weights; a row of weight 0 has no part in any split or leaf.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import lightgbm

from ml.response.predictors import Float, Int

_FEW_ROWS = 500


@dataclass(frozen=True, kw_only=True)
class TreeSettings:
    """What grows with the number of training rows.

    Attributes:
        leaves: of a tree, at most.
        leaf_rows: in a leaf, about, at least.
        rounds: numbers of trees to choose from, growing.
    """

    leaves: int
    leaf_rows: float
    rounds: tuple[int, ...]


def settings_for(n: int) -> TreeSettings:
    """Settings for n training rows; our choice."""
    if n < _FEW_ROWS:
        return TreeSettings(leaves=4, leaf_rows=max(3.0, min(10.0, n / 15)), rounds=(5, 10, 20, 40))
    return TreeSettings(leaves=6, leaf_rows=20.0, rounds=(20, 40, 80, 160))


class TreeFitter:
    """Boosted trees on the same table and labels, under several weights.

    Args:
        table: (n, c); NaN is missing.
        labels: (n,) 0 or 1.
        directions: (c,) +1, -1 or 0, see `Predictor.increases`.
        settings: see `settings_for`.
        random_state: which columns each tree sees.
    """

    def __init__(
        self, table: Float, labels: Float, directions: Int, *, settings: TreeSettings, random_state: int
    ) -> None:
        share = labels.mean()
        self._settings: dict[str, Any] = {
            "objective": "binary",
            "learning_rate": 0.1,
            "num_leaves": settings.leaves,
            # A row counts as much as its curvature, which weights change, too.
            "min_data_in_leaf": 1,
            "min_sum_hessian_in_leaf": settings.leaf_rows * share * (1 - share),
            "lambda_l2": 1.0,
            "max_bin": 31,
            "feature_fraction": 0.5,
            "monotone_constraints": directions.tolist(),
            "num_threads": 1,
            "seed": random_state,
            "verbosity": -1,
            # Without the choice of a layout by timing, and with sums in a fixed order: the same bits each time.
            "deterministic": True,
            "force_row_wise": True,
        }
        self._data = lightgbm.Dataset(table, labels, params=self._settings, free_raw_data=False).construct()

    def fit(self, weights: Float, rounds: int) -> lightgbm.Booster:
        """So many trees under (n,) weights."""
        booster = self._begin(weights)
        for _ in range(rounds):
            booster.update()
        return booster

    def path(self, weights: Float, rounds: tuple[int, ...], rows: Float) -> Iterator[Float]:
        """(m,) log-odds of other rows after each of some growing numbers of trees."""
        booster = self._begin(weights)
        for before, after in pairwise((0, *rounds)):
            for _ in range(after - before):
                booster.update()
            yield log_odds(booster, rows)

    def _begin(self, weights: Float) -> lightgbm.Booster:
        self._data.set_weight(weights)
        return lightgbm.Booster(self._settings, self._data)


def log_odds(booster: lightgbm.Booster, table: Float) -> Float:
    """(n,) of class 1."""
    return cast(Float, booster.predict(table, raw_score=True, num_threads=1))


def tree_contributions(booster: lightgbm.Booster, table: Float) -> Float:
    """(n, c + 1) what each column adds to the log-odds, the last what holds without any: SHAP, arXiv:1802.03888."""
    return cast(Float, booster.predict(table, pred_contrib=True, num_threads=1))
