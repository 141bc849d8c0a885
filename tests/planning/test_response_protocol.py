from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml.evaluation.leak import leak_test
from ml.evaluation.protocol import FitCounter
from ml.response import ResponseModel
from tests.planning.synthetic_pool import synthetic_pool
from twin.planning.policy import HABIT, LATEST
from twin.planning.response_cohort import ResponseCohort, read_cohort
from twin.planning.response_curves import mean_fold_auc, perfect_models, shuffled
from twin.planning.response_folds import fold_answers, held_out_folds, problem_of, random_folds, restricted
from twin.planning.response_page import evaluation_json, write_evaluation
from twin.planning.response_protocol import evaluate_response
from twin.planning.response_results import Protocol, ResponseEvaluation
from twin.planning.response_shifts import NO_SHIFT, shifted_patients
from twin.planning.response_words import answers

TINY = Protocol(
    repeats=1, folds=2, resamples=40, curve=(40, 80, 150), curve_repeats=2, shuffles=2,
    shuffled_patients=80, perfect_draws=300,
)  # fmt: skip

WRONG = "LVEF fivefold"


def cheap(cohort: ResponseCohort) -> ResponseModel:
    return ResponseModel(cohort.predictors, member="linear", refits=0, neighbours=0)


def silent() -> FitCounter:
    return FitCounter(0, None)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> ResponseCohort:
    """Of 160 patients and of 20 whose LVEF was written down fivefold."""
    path = tmp_path_factory.mktemp("pool") / "pool.parquet"
    pool = synthetic_pool(180, sites=3)
    wrong = pool["patient"].isin(pool["patient"].unique()[160:])
    pool["lvef_percent"] = pool["lvef_percent"].where(~wrong, (5 * pool["lvef_percent"]).clip(upper=90))
    pool.assign(shift=pd.Series(WRONG, index=pool.index).where(wrong)).to_parquet(path)
    return read_cohort(path)


@pytest.fixture(scope="module")
def told() -> list[tuple[int, int]]:
    return []


@pytest.fixture(scope="module")
def found(cohort: ResponseCohort, told: list[tuple[int, int]]) -> ResponseEvaluation:
    return evaluate_response(cohort, TINY, lambda done, total, _: told.append((done, total)))


def test_no_outcome_of_the_fold_changes_what_is_predicted_for_it(cohort: ResponseCohort) -> None:
    fold_of = random_folds(cohort, 4, 0)
    other = cohort.outcome.copy()
    tested = np.flatnonzero(fold_of == 2)
    other[tested] = 1 - other[tested]
    before, after = (
        fold_answers(cheap(cohort), one, fold_of, seed=0, sites=True, done=silent())
        for one in (cohort, replace(cohort, outcome=other))
    )
    np.testing.assert_array_equal(before.probability[tested], after.probability[tested])
    theirs = np.isin(cohort.sites["patient_row"], tested)
    np.testing.assert_array_equal(before.site_probability[theirs], after.site_probability[theirs])
    assert (before.probability != after.probability).any()


def test_a_held_out_wall_is_not_in_the_training_of_its_patients(cohort: ResponseCohort) -> None:
    names, fold_of = held_out_folds(cohort.wall, cohort.outcome)
    wall = fold_of == names.index("anterolateral")
    other = replace(cohort, outcome=np.where(wall, 1 - cohort.outcome, cohort.outcome))
    before, after = (fold_answers(cheap(cohort), one, fold_of, seed=0, done=silent()) for one in (cohort, other))
    np.testing.assert_array_equal(before.probability[wall], after.probability[wall])


def test_groups_too_small_to_be_held_out_are_one_fold_together() -> None:
    groups = np.array(["a"] * 40 + ["b"] * 40 + ["c"] * 5 + [""] * 6)
    names, fold_of = held_out_folds(groups, np.tile([0, 1], 46)[:91])
    assert names == ("a", "b", "elsewhere")
    assert np.bincount(fold_of).tolist() == [40, 40, 11]
    assert held_out_folds(groups[:40], np.tile([0, 1], 20))[0] == ()


def test_a_model_of_some_families_does_not_read_the_others(cohort: ResponseCohort) -> None:
    names = [one.name for one in cohort.predictors]
    model = restricted(cheap(cohort), ("clinical", "scar")).fit(cohort.implanted[names], cohort.outcome)
    changed = cohort.implanted[names].assign(q_lv_ms=900.0, ecg_qrs_ms=300.0)
    np.testing.assert_array_equal(model.predict_proba(changed), model.predict_proba(cohort.implanted[names]))


def _shuffled_auc(cohort: ResponseCohort, *, planted: bool) -> bool:
    """Whether the leak test passes when a feature is made from all outcomes before the folds are cut."""

    def score(donors: np.ndarray, seed: int) -> float:
        outcome = cohort.outcome[donors]
        some = replace(cohort, outcome=outcome)
        if planted:
            # As if a site's place had been replaced by how often leads in its neighbourhood had helped, all folds counted.
            place = cohort.implanted["rotational"].to_numpy()
            near = np.abs(place[:, None] - place) < 0.005
            some = replace(some, implanted=cohort.implanted.assign(apicobasal=near @ outcome / near.sum(axis=1)))
        return mean_fold_auc(cheap(some), problem_of(some, outcome), 3, seed)

    return leak_test(score, cohort.outcome, shuffles=6).passed


def test_a_transformation_planted_outside_the_folds_is_found(cohort: ResponseCohort) -> None:
    assert not _shuffled_auc(cohort, planted=True)


def test_without_it_shuffled_outcomes_give_an_auc_of_one_half(cohort: ResponseCohort) -> None:
    assert _shuffled_auc(cohort, planted=False)


def test_the_leak_test_of_the_protocol_shuffles_the_outcomes(cohort: ResponseCohort) -> None:
    protocol = replace(TINY, shuffles=4, shuffled_patients=160)
    found = shuffled(cohort, cheap(cohort), protocol, silent())
    assert found.mean.value < 0.6 < mean_fold_auc(cheap(cohort), problem_of(cohort), protocol.folds, 0)


def test_even_a_perfect_model_looks_badly_calibrated_in_small_cohorts(cohort: ResponseCohort) -> None:
    small, *_, large = perfect_models(cohort, Protocol(perfect_draws=400))
    assert (small.patients, large.patients) == (74, 3000)
    assert small.outside > 0.6
    assert large.outside < 0.1
    assert abs(large.median - 1) < 0.02


def test_no_model_is_better_than_the_truth_on_average(found: ResponseEvaluation) -> None:
    assert found.ceiling is not None
    assert all(one.metrics["auc"].value < found.ceiling.value for one in found.models.values())


def test_ours_is_compared_with_every_other_model(found: ResponseEvaluation) -> None:
    ours, *others = found.models.values()
    assert ours.ours_minus_this is None
    for one in others:
        assert one.ours_minus_this is not None
        expected = ours.metrics["auc"].value - one.metrics["auc"].value
        assert one.ours_minus_this["auc"].value == pytest.approx(expected, abs=1e-12)
    assert len(others) >= 9


def test_every_family_is_added_and_dropped(cohort: ResponseCohort, found: ResponseEvaluation) -> None:
    assert set(found.families) == {one.family for one in cohort.predictors}
    assert [name for name, one in found.families.items() if one.added is None] == ["clinical"]
    assert sum(one.columns for one in found.families.values()) == len(cohort.predictors)


def test_the_learning_curve_leaves_patients_to_be_tested_on(found: ResponseEvaluation) -> None:
    assert [point.patients for point in found.curve] == [40, 80]


def test_progress_counts_every_fit(found: ResponseEvaluation, told: list[tuple[int, int]]) -> None:
    assert found.protocol == TINY
    assert [done for done, _ in told] == list(range(1, len(told) + 1))
    assert {total for _, total in told} == {len(told)}


def test_the_page_says_plainly_when_the_model_does_not_beat_the_routine(
    cohort: ResponseCohort, found: ResponseEvaluation
) -> None:
    assert found.policy is not None
    lost = replace(found, policy=replace(found.policy, beaten={HABIT: True, LATEST: False}))
    lines = answers(cohort, lost)
    assert any("does NOT clearly beat the latest site" in line for line in lines)
    assert any("beats the lateral vein by habit" in line for line in lines)


@pytest.fixture(scope="module")
def page(cohort: ResponseCohort, found: ResponseEvaluation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page, of a cohort one of whose centres has a hostile name."""
    assert found.walls is not None
    groups = {"<img src=x onerror=alert(1)>": next(iter(found.walls.groups.values()))}
    out = tmp_path_factory.mktemp("page") / "out"
    write_evaluation(cohort, replace(found, walls=replace(found.walls, groups=groups)), out)
    return out / "report.html"


def test_the_page_stands_alone_and_says_virtual_patients(page: Path) -> None:
    html = page.read_text(encoding="utf-8")
    assert "Content-Security-Policy" in html
    assert "Virtual patients" in html
    assert "Research use only" in html
    assert "http" not in html.replace("http-equiv", "")
    assert "<script" not in html
    drawn = {path.name for path in page.parent.glob("*.svg")}
    assert drawn == {f"{name}.svg" for name in ("models", "held_out", "families", "learning", "policy")}


def test_a_hostile_name_of_a_centre_stays_text(page: Path) -> None:
    assert "&lt;img src=x" in page.read_text(encoding="utf-8")
    assert "<img src=x" not in page.read_text(encoding="utf-8")


def test_the_json_holds_no_truth_and_one_prediction_per_patient(
    cohort: ResponseCohort, found: ResponseEvaluation
) -> None:
    content = evaluation_json(cohort, found)
    assert content["population"] == "virtual patients"
    assert len(content["predictions"]["probability"]) == content["patients"] == len(cohort.outcome)


def test_real_patients_have_no_ceiling_and_no_policy_value(cohort: ResponseCohort, tmp_path: Path) -> None:
    implanted = cohort.implanted.drop(columns=["true_probability", "true_lvesv_change_percent"])
    real = replace(cohort, virtual=False, implanted=implanted).take(np.arange(90))
    found = evaluate_response(real, replace(TINY, curve=(40,), shuffled_patients=40), lambda *_: None)
    assert found.ceiling is None
    assert found.policy is None
    assert found.perfect == ()
    write_evaluation(real, found, tmp_path / "out")
    html = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "irtual" not in html


def test_patients_shifted_on_purpose_are_flagged_and_others_are_not(cohort: ResponseCohort) -> None:
    found = shifted_patients(cheap(cohort), cohort, random_folds(cohort, 2, 0))
    assert set(found) == {NO_SHIFT, WRONG}
    assert found[NO_SHIFT].flagged.estimate.value < 0.15
    assert found[WRONG].flagged.estimate.value > 0.9
    assert found[NO_SHIFT].drifts == ()
    assert found[WRONG].drifts[0].feature == "lvef_percent"


def test_nobody_learns_from_patients_shifted_on_purpose(tmp_path: Path) -> None:
    pool = synthetic_pool(60, sites=3)
    first = pool["patient"] == pool["patient"].iloc[0]
    pool.assign(shift=pd.Series(WRONG, index=pool.index).where(first)).to_parquet(tmp_path / "pool.parquet")
    cohort = read_cohort(tmp_path / "pool.parquet")
    gone = pool["patient"].iloc[0]
    assert gone not in {*cohort.implanted["patient"], *cohort.sites["patient"]}
    assert cohort.shifted["patient"].tolist() == [gone]
