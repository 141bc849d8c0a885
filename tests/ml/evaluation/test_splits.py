import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import GridSearchCV

from ml.evaluation.splits import PatientFolds, patient_numbers
from tests.ml.evaluation.toys import Guard


@given(seed=st.integers(0, 2**32 - 1), folds=st.integers(2, 6), stratified=st.booleans())
def test_no_patient_is_trained_on_and_tested(seed: int, folds: int, stratified: bool) -> None:
    rng = np.random.default_rng(seed)
    groups = np.r_[np.arange(40), rng.integers(40, size=80)]
    y = (groups % 2) ^ (rng.random(120) < 0.1)  # some patients have rows of both classes
    tested = np.zeros(120)
    for train, test in PatientFolds(folds, random_state=seed, stratified=stratified).split(None, y, groups):
        assert not set(groups[train]) & set(groups[test])
        assert len(train) + len(test) == 120
        tested[test] += 1
    assert (tested == 1).all()


def test_each_fold_has_its_share_of_each_class() -> None:
    groups = np.repeat(np.arange(50), 3)
    y = (groups < 20).astype(int)
    for _, test in PatientFolds(5).split(None, y, groups):
        assert (y[test] == 1).sum() == 3 * 4
        assert (y[test] == 0).sum() == 3 * 6


def test_patients_who_all_have_rows_of_both_classes_can_still_be_split() -> None:
    y, groups = np.tile([0, 1], 10), np.repeat(np.arange(10), 2)
    tests = np.concatenate([test for _, test in PatientFolds(5).split(None, y, groups)])
    assert sorted(tests.tolist()) == list(range(20))


def test_a_seed_gives_its_own_folds_again() -> None:
    y = np.tile([0, 1], 20)

    def tested(seed: int) -> list[list[int]]:
        return [test.tolist() for _, test in PatientFolds(4, random_state=seed).split(None, y)]

    assert tested(3) == tested(3)
    assert tested(3) != tested(4)


def test_the_names_of_patients_do_not_matter() -> None:
    groups, y = np.repeat(np.arange(10), 2), np.tile([0, 0, 1, 1], 5)
    names = np.array([f"p{g:02}" for g in groups])
    for (_, one), (_, other) in zip(
        PatientFolds(2).split(None, y, groups), PatientFolds(2).split(None, y, names), strict=True
    ):
        assert one.tolist() == other.tolist()


def test_the_inner_folds_of_a_search_hold_whole_patients() -> None:
    groups = np.repeat(np.arange(24), 3)
    y = (groups % 2).astype(int)
    grid = {"unused": [1, 2]}
    search = GridSearchCV(Guard(), grid, cv=PatientFolds(4), scoring="neg_log_loss", error_score="raise", refit=False)
    search.fit(groups[:, None].astype(float), y, groups=groups)
    with pytest.raises(AssertionError, match="fitted on a patient"):
        search.fit(groups[:, None].astype(float), y)  # without groups every row is a patient


@pytest.mark.parametrize(
    ("y", "groups", "message"),
    [
        ([1, 1, 1, 1], None, "all 4 patients are of class 1"),
        ([0, 1, 0, 1, 1], None, "class 0 has 2 patients, need one per fold = 3"),
        ([0, 1] * 4, [0, 1] * 4, "class 0 has 1 patients"),
        ([0, 1] * 4, [0.0, np.nan] * 4, r"groups\[1\] is nan \(4 of 8"),
        ([0, 1] * 4, [0, 1], r"groups has shape \(2,\), need \(8,\)"),
    ],
)
def test_too_few_patients_or_broken_groups_are_refused(y: list[int], groups: list[float] | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list(PatientFolds(3).split(None, y, groups))


def test_numbers_need_a_patient_per_fold() -> None:
    with pytest.raises(ValueError, match="2 patients cannot fill 3 folds"):
        list(PatientFolds(3, stratified=False).split(None, [0.1, 0.2, 0.3], [0, 0, 1]))


def test_patients_are_numbered_in_the_order_of_their_names() -> None:
    assert patient_numbers(["b", "a", "c", "a"], 4).tolist() == [1, 0, 2, 0]
    assert patient_numbers(None, 3).tolist() == [0, 1, 2]
