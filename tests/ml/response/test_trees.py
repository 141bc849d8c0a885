"""Laws of the trees: directions hold, rows without weight have no part, and arrays answer as LightGBM does."""

import numpy as np
import pytest

from ml.response.forest import forest_of
from ml.response.trees import TreeFitter, TreeSettings, log_odds, settings_for, tree_contributions
from tests.ml.response.patients import Float

SETTINGS = TreeSettings(leaves=6, leaf_rows=5, rounds=(5, 20))


def problem(n: int = 300, seed: int = 0) -> tuple[Float, Float]:
    rng = np.random.default_rng(seed)
    table = rng.standard_normal((n, 5))
    labels = (rng.random(n) < np.where(table[:, 0] > 0, 0.8, 0.3)).astype(np.float64)
    # Missing means something in column 1, and column 2 is nearly always 0.
    table[labels * rng.random(n) > 0.6, 1] = np.nan
    table[:, 2] *= rng.random(n) < 0.2
    return table, labels


def fitter(table: Float, labels: Float, directions: tuple[int, ...] = (0,) * 5) -> TreeFitter:
    return TreeFitter(table, labels, np.array(directions), settings=SETTINGS, random_state=0)


def test_arrays_answer_as_lightgbm_does_also_where_values_are_missing_or_between_those_of_training() -> None:
    table, labels = problem()
    trees = fitter(table, labels)
    boosters = [trees.fit(np.random.default_rng(i).poisson(1, 300).astype(float), 20) for i in range(3)]
    asked = np.vstack([table, problem(seed=5)[0], np.full((1, 5), 0.0)])
    expected = [log_odds(booster, asked) for booster in boosters]
    np.testing.assert_allclose(forest_of(boosters, SETTINGS.leaves).log_odds(asked), expected, atol=1e-5)


def test_arrays_of_trees_that_could_not_split_are_their_one_leaf() -> None:
    table, labels = problem(n=8)
    booster = fitter(table, labels).fit(np.ones(8), 3)
    np.testing.assert_allclose(
        forest_of([booster], SETTINGS.leaves).log_odds(table), [log_odds(booster, table)], atol=1e-6
    )


def test_a_row_without_weight_has_no_part() -> None:
    table, labels = problem()
    weights = np.arange(300) % 2.0
    turned = labels.copy()
    # The share of responders sets the least size of a leaf, and is that of all rows: outcomes change places.
    turned[weights == 0] = np.random.default_rng(1).permutation(labels[weights == 0])
    assert (turned != labels).sum() > 30
    first, second = (log_odds(fitter(table, y).fit(weights, 10), table) for y in (labels, turned))
    np.testing.assert_allclose(first, second, atol=1e-9)


@pytest.mark.parametrize("direction", [1, -1])
def test_the_log_odds_never_run_against_a_direction(direction: int) -> None:
    table, labels = problem()
    booster = fitter(table, labels, (direction, 0, 0, direction, 0)).fit(np.ones(300), 20)
    for column in (0, 3):
        moved = np.repeat(table[:40, None], 30, axis=1)
        moved[:, :, column] = np.linspace(-3, 3, 30)
        steps = np.diff(log_odds(booster, moved.reshape(-1, 5)).reshape(40, 30), axis=1) * direction
        assert steps.min() >= -1e-12
    if direction == 1:
        assert np.ptp(log_odds(booster, moved[:, [0, -1]].reshape(-1, 5))) > 0


def test_the_path_passes_through_the_fits() -> None:
    table, labels = problem()
    trees = fitter(table, labels)
    found = list(trees.path(np.ones(300), (5, 20), table[:50]))
    expected = [log_odds(trees.fit(np.ones(300), rounds), table[:50]) for rounds in (5, 20)]
    np.testing.assert_array_equal(found, expected)


def test_contributions_add_up_to_the_log_odds() -> None:
    table, labels = problem()
    booster = fitter(table, labels).fit(np.ones(300), 20)
    np.testing.assert_allclose(tree_contributions(booster, table).sum(axis=1), log_odds(booster, table), atol=1e-9)


def test_more_patients_allow_more() -> None:
    few, many = settings_for(74), settings_for(3000)
    assert few.leaves < many.leaves
    assert few.leaf_rows < many.leaf_rows
    assert max(few.rounds) < max(many.rounds)
