import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.naive_bayes import GaussianNB

from ml.evaluation.experiment import evaluate
from ml.evaluation.leak import leak_test
from tests.ml.evaluation.plain import Int
from tests.ml.evaluation.toys import Memoriser, Shares

GROUPS = np.repeat(np.arange(40), 4)  # four rows each, the patient's number as the only feature
LABELS = (GROUPS % 2).astype(int)
IDS = GROUPS[:, None].astype(float)


def test_a_memoriser_of_patients_is_found_out_when_rows_are_split_instead_of_patients() -> None:
    def split_rows(donors: Int, seed: int) -> float:
        folds = StratifiedKFold(5, shuffle=True, random_state=seed)
        return float(cross_val_score(Memoriser(), IDS, LABELS[donors], cv=folds, scoring="roc_auc").mean())

    found = leak_test(split_rows, LABELS, GROUPS)
    assert not found.passed
    assert found.mean.low > 0.9


def test_a_memoriser_of_patients_has_nothing_to_remember_when_patients_are_split() -> None:
    leak = evaluate({"it": Memoriser()}, IDS, LABELS, groups=GROUPS, seeds=1, shuffles=4, resamples=50)["it"].leak
    assert leak is not None
    assert leak.passed
    assert leak.scores == (0.5,) * 4


def test_choosing_features_before_splitting_is_a_leak() -> None:
    features = np.random.default_rng(0).normal(size=(60, 500))

    def choose_first(donors: Int, seed: int) -> float:
        y = np.repeat([0, 1], 30)[donors]
        gap = np.abs(features[y == 1].mean(axis=0) - features[y == 0].mean(axis=0))
        best = features[:, np.argsort(gap)[-10:]]
        folds = StratifiedKFold(5, shuffle=True, random_state=seed)
        return float(cross_val_score(GaussianNB(), best, y, cv=folds, scoring="roc_auc").mean())

    assert leak_test(choose_first, np.repeat([0, 1], 30)).mean.low > 0.7


def test_a_sound_protocol_passes_and_scores_around_one_half() -> None:
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 40)
    features = rng.normal(size=(80, 3)) + 1.5 * y[:, None]
    result = evaluate({"it": GaussianNB()}, features, y, seeds=1, shuffles=12, resamples=50)["it"]
    assert result.metrics["auc"].value > 0.8
    assert result.leak is not None
    assert result.leak.passed
    assert abs(result.leak.mean.value - 0.5) < 0.06


def test_single_folds_are_fair_to_a_model_that_pooled_folds_are_not() -> None:
    # Training shares are high where test shares are low, so pooled folds rank backwards.
    y = np.r_[np.zeros(13, dtype=int), np.ones(19, dtype=int)]
    result = evaluate({"it": Shares()}, np.zeros((32, 1)), y, seeds=1, shuffles=3, resamples=50)["it"]
    assert roc_auc_score(y, result.predicted[0, :, 1]) < 0.45
    assert (result.by_fold["auc"] == 0.5).all()
    assert result.leak is not None
    assert result.leak.passed


def test_all_rows_of_a_patient_get_one_outcome_and_the_outcomes_stay_the_same() -> None:
    seen = []

    def look(donors: Int, seed: int) -> float:
        seen.append((seed, LABELS[donors].reshape(40, 4)))
        return 0.5 + 0.01 * seed

    leak_test(look, LABELS, GROUPS, shuffles=3, seed=7)
    assert [seed for seed, _ in seen] == [7, 8, 9]
    for _, shuffled in seen:
        assert (shuffled == shuffled[:, :1]).all()
        assert shuffled[:, 0].sum() == 20
        assert (shuffled[:, 0] != LABELS.reshape(40, 4)[:, 0]).any()


def test_a_patient_with_two_outcomes_cannot_be_shuffled() -> None:
    with pytest.raises(ValueError, match="row 1 has outcome 1, another row of its patient 0"):
        leak_test(lambda donors, seed: 0.5, [0, 1, 1], [3, 3, 4])  # noqa: ARG005


def test_one_shuffle_has_no_interval() -> None:
    with pytest.raises(ValueError, match="shuffles = 1"):
        leak_test(lambda donors, seed: 0.5, [0, 1], shuffles=1)  # noqa: ARG005
