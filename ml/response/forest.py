"""Trees of LightGBM as arrays, a tenth of the size of their text: for the many refits behind an interval.

A tree of up to L leaves has up to L - 1 splits. A row starts at split 0 and goes left where its value is at most the
threshold, or where it is missing and the split sends the missing left. A child >= 0 is a split, -1 - i is leaf i.
"""

from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np
from numba import njit
from numpy.typing import NDArray

from ml.response.predictors import Float

_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, kw_only=True, eq=False)
class Forest:
    """t trees, the first ones of refit 0, then of refit 1, and so on, as many of each.

    Attributes:
        feature: (t, s) int16, column of each split.
        threshold: (t, s) float32, of each split.
        children: (t, s, 2) int8, left and right.
        missing_left: (t, s) whether missing goes left.
        leaf: (t, s + 1) float32, log-odds of each leaf.
        per_refit: trees of a refit.
    """

    feature: NDArray[np.int16]
    threshold: NDArray[np.float32]
    children: NDArray[np.int8]
    missing_left: NDArray[np.bool_]
    leaf: NDArray[np.float32]
    per_refit: int

    def log_odds(self, table: Float) -> Float:
        """(refits, n) of (n, c) rows."""
        found = np.zeros((len(self.feature) // self.per_refit, len(table)))
        rows = np.ascontiguousarray(table)
        _add_leaves(
            rows, self.feature, self.threshold, self.children, self.missing_left, self.leaf, self.per_refit, found
        )
        return found


def forest_of(boosters: list[lightgbm.Booster], leaves: int) -> Forest:
    """The trees of boosters with equally many trees of at most so many leaves."""
    trees = [tree["tree_structure"] for booster in boosters for tree in booster.dump_model()["tree_info"]]
    splits = leaves - 1
    forest = Forest(
        feature=np.zeros((len(trees), splits), dtype=np.int16),
        threshold=np.zeros((len(trees), splits), dtype=np.float32),
        # A tree that could not split sends every row to its one leaf.
        children=np.full((len(trees), splits, 2), -1, dtype=np.int8),
        missing_left=np.zeros((len(trees), splits), dtype=np.bool_),
        leaf=np.zeros((len(trees), leaves), dtype=np.float32),
        per_refit=len(trees) // len(boosters),
    )
    for i, tree in enumerate(trees):
        _copy(tree, forest, i)
    return forest


def _copy(node: dict[str, Any], forest: Forest, tree: int) -> int:
    """Write a node and all below it; its number as a child."""
    if "leaf_value" in node:
        leaf = node.get("leaf_index", 0)
        forest.leaf[tree, leaf] = node["leaf_value"]
        return -1 - int(leaf)
    split = int(node["split_index"])
    forest.feature[tree, split] = node["split_feature"]
    # LightGBM parts missing from known at about 1e300.
    forest.threshold[tree, split] = np.clip(node["threshold"], -_LARGEST, _LARGEST)
    forest.missing_left[tree, split] = node["default_left"]
    forest.children[tree, split] = [_copy(node[side], forest, tree) for side in ("left_child", "right_child")]
    return split


@njit(cache=True)
def _add_leaves(rows, feature, threshold, children, missing_left, leaf, per_refit, out):  # type: ignore[no-untyped-def]
    """Add to out[refit, row] the leaf of each tree."""
    for tree in range(feature.shape[0]):
        for row in range(rows.shape[0]):
            at = 0
            while at >= 0:
                value = rows[row, feature[tree, at]]
                left = missing_left[tree, at] if np.isnan(value) else value <= threshold[tree, at]
                at = children[tree, at, 0 if left else 1]
            out[tree // per_refit, row] += leaf[tree, -1 - at]
