import numpy as np
import pytest
from sklearn import metrics as peer

from ml.evaluation.metrics import METRICS, Task, auc, mean_over_repeats, measure
from tests.ml.evaluation.plain import Float, Int, example, plain_auc

TWO = Task(kind="two classes", classes=("no", "yes"))
THREE = Task(kind="several classes", classes=("a", "b", "c"))
NUMBER = Task(kind="number")


def both(p: Float) -> Float:
    return np.column_stack([1 - p, p])


def measured(task: Task, truth: Float | Int, predicted: Float) -> dict[str, float]:
    return {name: float(value[0]) for name, value in measure(task, truth, predicted, np.ones((1, len(truth)))).items()}


def three_classes(seed: int) -> tuple[Int, Float]:
    rng = np.random.default_rng(seed)
    truth = np.r_[0, 1, 2, rng.integers(3, size=57)]
    p = rng.dirichlet([1, 1, 1], size=60) + 0.5 * np.eye(3)[truth]
    return truth, p / p.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("seed", range(5))
def test_auc_is_the_share_of_pairs_won(seed: int) -> None:
    labels, scores = example(seed)
    np.testing.assert_allclose(auc(labels, scores, np.ones((1, 60)))[0], plain_auc(labels, scores), rtol=1e-12)


def test_reversing_the_scores_turns_the_auc_round() -> None:
    labels, scores = example(0)
    one = np.ones((1, 60))
    np.testing.assert_allclose(auc(labels, -scores, one), 1 - auc(labels, scores, one), rtol=1e-12)


def test_a_weight_is_a_number_of_copies() -> None:
    labels, p = example(1)
    copies = np.random.default_rng(1).integers(0, 4, size=60)
    weighted = measure(TWO, labels, both(p), copies[None].astype(float))
    repeated = measured(TWO, np.repeat(labels, copies), both(np.repeat(p, copies)))
    for name, value in repeated.items():
        np.testing.assert_allclose(weighted[name][0], value, rtol=1e-6, err_msg=name)


def test_swapping_the_classes_swaps_ppv_and_npv_and_the_recalls() -> None:
    labels, p = example(2, ties=False)
    one, other = measured(TWO, labels, both(p)), measured(TWO, 1 - labels, both(1 - p))
    swapped = {"ppv": "npv", "npv": "ppv", "sensitivity": "specificity", "specificity": "sensitivity"}
    for name in ("auc", "accuracy", "balanced_accuracy", "brier", "log_loss", "calibration_slope", *swapped):
        np.testing.assert_allclose(one[name], other[swapped.get(name, name)], rtol=1e-6, err_msg=name)


def test_a_table_of_four_gives_the_textbook_shares() -> None:
    # The matrix that the figures of the 74-patient study fit: TP 24, FN 6, FP 10, TN 34.
    labels = np.repeat([1, 1, 0, 0], [24, 6, 10, 34])
    p = np.repeat([0.9, 0.1, 0.9, 0.1], [24, 6, 10, 34])
    got = measured(TWO, labels, both(p))
    expected = {"sensitivity": 24 / 30, "specificity": 34 / 44, "ppv": 24 / 34, "npv": 34 / 40}
    expected |= {"accuracy": 58 / 74, "f1": 48 / 64, "balanced_accuracy": (24 / 30 + 34 / 44) / 2}
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-12, err_msg=name)


@pytest.mark.parametrize("seed", range(3))
def test_two_classes_agree_with_scikit_learn(seed: int) -> None:
    labels, p = example(seed, ties=False)
    called = p >= 0.5
    expected = {
        "auc": peer.roc_auc_score(labels, p),
        "balanced_accuracy": peer.balanced_accuracy_score(labels, called),
        "f1": peer.f1_score(labels, called),
        "brier": peer.brier_score_loss(labels, p),
        "log_loss": peer.log_loss(labels, p),
    }
    got = measured(TWO, labels, both(p))
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-12, err_msg=name)


def test_several_classes_agree_with_scikit_learn() -> None:
    truth, p = three_classes(0)
    expected = {
        "auc": peer.roc_auc_score(truth, p, multi_class="ovr"),
        "accuracy": peer.accuracy_score(truth, p.argmax(axis=1)),
        "balanced_accuracy": peer.balanced_accuracy_score(truth, p.argmax(axis=1)),
        "f1": peer.f1_score(truth, p.argmax(axis=1), average="macro"),
        "brier": np.mean(((p - np.eye(3)[truth]) ** 2).sum(axis=1)),
        "log_loss": peer.log_loss(truth, p),
    }
    got = measured(THREE, truth, p)
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-12, err_msg=name)


def test_numbers_agree_with_scikit_learn_also_far_from_zero() -> None:
    rng = np.random.default_rng(0)
    truth = 1e5 + rng.normal(size=50)
    predicted = truth + 0.5 * rng.normal(size=50) + 0.1
    expected = {
        "mae": peer.mean_absolute_error(truth, predicted),
        "bias": np.mean(predicted - truth),
        "r2": peer.r2_score(truth, predicted),
        "correlation": np.corrcoef(truth, predicted)[0, 1],
    }
    got = measured(NUMBER, truth, predicted)
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-9, err_msg=name)


@pytest.mark.parametrize(
    ("labels", "p", "undefined"),
    [
        ([0, 1, 1], [0.1, 0.2, 0.3], {"ppv", "calibration_slope"}),
        ([0, 1, 0], [0.9, 0.8, 0.7], {"npv"}),
        (
            [1, 1, 1],
            [0.9, 0.8, 0.3],
            {"auc", "balanced_accuracy", "specificity", "calibration_slope", "calibration_intercept"},
        ),
        ([0, 1, 0, 1], [0.7, 0.7, 0.7, 0.7], {"npv", "calibration_slope"}),
    ],
)
def test_what_cannot_be_computed_is_nan_and_nothing_else(
    labels: list[int], p: list[float], undefined: set[str]
) -> None:
    got = measured(TWO, np.array(labels), both(np.array(p)))
    assert {name for name, value in got.items() if np.isnan(value)} == undefined


def test_a_constant_prediction_has_no_correlation_and_no_r2_above_zero() -> None:
    truth = np.array([1.0, 2.0, 4.0])
    got = measured(NUMBER, truth, np.full(3, truth.mean()))
    assert np.isnan(got["correlation"])
    assert got["r2"] == pytest.approx(0, abs=1e-12)


def test_a_metric_missing_in_one_repeat_is_the_mean_of_the_others() -> None:
    labels = np.array([0, 1, 1, 0])
    nobody_called = both(np.array([0.1, 0.2, 0.3, 0.4]))
    half_right = both(np.array([0.1, 0.9, 0.3, 0.8]))
    got = mean_over_repeats(TWO, labels, [nobody_called, half_right], np.ones((1, 4)))
    assert got["ppv"][0] == 0.5
    assert got["sensitivity"][0] == 0.25


def test_every_metric_is_described() -> None:
    labels, p = example(0)
    truth, q = three_classes(0)
    names = {*measured(TWO, labels, both(p)), *measured(THREE, truth, q), *measured(NUMBER, truth * 1.0, q[:, 0])}
    assert names == METRICS.keys()
