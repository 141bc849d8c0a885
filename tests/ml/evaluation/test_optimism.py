import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from ml.evaluation.metrics import Task
from ml.evaluation.optimism import bootstrap_corrected, no_information, plus_632
from ml.evaluation.protocol import state_problem
from tests.ml.evaluation.toys import Echo


def test_a_nearest_neighbour_on_noise_has_no_information_left() -> None:
    # Apparent error 0, error outside 1/2 = no information: the weight of the outside error must reach 1.
    assert plus_632(0.0, 0.5, 0.5) == pytest.approx(0.5)
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 2)), np.tile([0, 1], 30)  # noqa: N806
    nearest = KNeighborsClassifier(1)
    got = bootstrap_corrected(nearest, state_problem([nearest], X, y, None), refits=50)
    assert got["accuracy"].apparent == 1
    assert got["accuracy"].plus_632 == pytest.approx(0.5, abs=0.1)
    assert got["auc"].plus_632 == pytest.approx(0.5, abs=0.1)
    # Harrell's correction leaves the rows that the model has seen in the test set: here it is too kind.
    assert got["accuracy"].corrected > 0.6


def test_without_overfitting_the_weight_is_that_of_the_old_rule() -> None:
    assert plus_632(0.2, 0.2, 0.5) == pytest.approx(0.2)
    assert plus_632(0.3, 0.2, 0.5) == pytest.approx(0.368 * 0.3 + 0.632 * 0.2)


def test_an_error_outside_worse_than_no_information_counts_as_no_information() -> None:
    assert plus_632(0.1, 0.9, 0.5) == plus_632(0.1, 0.5, 0.5) == pytest.approx(0.5)


def test_plus_632_of_a_case_worked_by_hand() -> None:
    # R = (0.3 - 0.1) / (0.5 - 0.1) = 1/2; w = 0.632 / 0.816.
    weight = 0.632 / 0.816
    assert plus_632(0.1, 0.3, 0.5) == pytest.approx((1 - weight) * 0.1 + weight * 0.3)


def test_a_model_that_learns_nothing_has_no_optimism() -> None:
    rng = np.random.default_rng(0)
    y = np.tile([0, 1], 40)
    X = np.clip(0.4 + 0.2 * y + 0.2 * rng.normal(size=80), 0, 1)[:, None]  # noqa: N806
    got = bootstrap_corrected(Echo(), state_problem([Echo()], X, y, None), refits=200)
    for name in ("auc", "accuracy", "brier"):
        assert abs(got[name].optimism) < 0.01, name
        assert got[name].plus_632 == pytest.approx(got[name].apparent, abs=0.01), name


def test_no_information_is_the_loss_over_all_pairs() -> None:
    rng = np.random.default_rng(0)
    truth, p = rng.integers(2, size=12), rng.random(12)
    task = Task(kind="two classes", classes=("0", "1"))
    got = no_information(task, truth, np.column_stack([1 - p, p]))
    assert got["accuracy"] == pytest.approx(np.mean([(q >= 0.5) != t for t in truth for q in p]))
    assert got["brier"] == pytest.approx(np.mean([(q - t) ** 2 for t in truth for q in p]))


def test_linear_regression_has_about_the_optimism_that_theory_gives() -> None:
    # For least squares the apparent squared error is too small by 2 sigma^2 k / n; here k = 11, n = 60, in R2 units.
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 10))  # noqa: N806
    y = X[:, 0] + rng.normal(size=60)
    model = LinearRegression()
    got = bootstrap_corrected(model, state_problem([model], X, y, None), refits=200)["r2"]
    assert got.optimism == pytest.approx(2 * 11 / 60 / y.var(), rel=0.35)
    assert np.isnan(got.plus_632)


def test_rows_of_a_patient_stay_on_one_side_of_a_draw() -> None:
    # Copies of a patient's row outside the draw would let the nearest neighbour recognise it.
    rng = np.random.default_rng(0)
    X = np.repeat(rng.normal(size=(40, 2)), 3, axis=0)  # noqa: N806
    y, groups = np.repeat(np.tile([0, 1], 20), 3), np.repeat(np.arange(40), 3)
    nearest = KNeighborsClassifier(1)
    got = bootstrap_corrected(nearest, state_problem([nearest], X, y, groups), refits=40)
    assert got["accuracy"].plus_632 < 0.65


def test_a_class_of_one_patient_allows_no_draw() -> None:
    problem = state_problem([LogisticRegression()], np.zeros((5, 1)), [0, 0, 0, 0, 1], None)
    with pytest.raises(ValueError, match="a class has too few patients for refits"):
        bootstrap_corrected(LogisticRegression(), problem, refits=2)
