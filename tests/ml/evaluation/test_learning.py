import numpy as np
import pytest
from sklearn.naive_bayes import GaussianNB

from ml.evaluation.experiment import evaluate
from ml.evaluation.learning import learning_curve, thinned
from ml.evaluation.protocol import state_problem
from tests.ml.evaluation.toys import Guard

RNG = np.random.default_rng(0)
Y = np.tile([0, 1], 40)
X = RNG.normal(size=(80, 6)) + 0.5 * Y[:, None]


def test_the_end_of_the_curve_is_the_evaluation_itself() -> None:
    end = learning_curve(GaussianNB(), X, Y, shares=[1.0], seeds=2, resamples=100)[0]
    whole = evaluate({"it": GaussianNB()}, X, Y, seeds=2, resamples=100)["it"]
    assert end.patients == 64
    assert end.metrics["auc"] == whole.metrics["auc"]


def test_more_patients_teach_more() -> None:
    few, many = learning_curve(GaussianNB(), X, Y, shares=[0.1, 1.0], seeds=3, resamples=50)
    assert few.patients == pytest.approx(6, abs=1)
    assert few.metrics["log_loss"].value > many.metrics["log_loss"].value


def test_smaller_sets_lie_within_larger_ones_and_hold_both_classes() -> None:
    problem = state_problem([GaussianNB()], X, Y, np.repeat(np.arange(40), 2) // 2 * 2 + np.tile([0, 1], 40))
    train = np.arange(60)
    sets = [set(thinned(problem, share, 0, train).tolist()) for share in (0.1, 0.4, 0.7, 1.0)]
    assert sets[0] < sets[1] < sets[2] < sets[3] == set(train.tolist())
    assert {int(Y[i]) for i in sets[0]} == {0, 1}


def test_thinning_keeps_patients_whole_and_apart() -> None:
    groups = np.repeat(np.arange(30), 3)
    curve = learning_curve(
        Guard(), groups[:, None].astype(float), groups % 2, groups=groups, shares=[0.5], seeds=1, resamples=20
    )
    assert curve[0].patients == 12


def test_a_share_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="shares holds 0, need more than 0"):
        learning_curve(GaussianNB(), X, Y, shares=[0.0, 0.5])
