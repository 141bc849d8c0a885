from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ml.evaluation.intervals import wilson
from tests.planning.synthetic_pool import synthetic_pool
from twin.planning.errors import InputError
from twin.planning.response_cohort import LABELS, ResponseCohort, read_cohort
from twin.planning.study import StudyResult, repeat_study
from twin.planning.study_page import answers, study_json, write_study
from twin.planning.study_plans import STUDIES

TWIN = STUDIES["digital-twin"]
_NINE = "nine-variable naive Bayes (refit)"


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> ResponseCohort:
    path = tmp_path_factory.mktemp("pool") / "pool.parquet"
    synthetic_pool(300, sites=4).to_parquet(path)
    return read_cohort(path)


def repeated(name: str, pool: ResponseCohort, repeats: int = 2) -> StudyResult:
    return repeat_study(STUDIES[name], pool, repeats=repeats, seed=0, told=lambda *_: None)


@pytest.fixture(scope="module")
def result(pool: ResponseCohort) -> StudyResult:
    return repeated("digital-twin", pool, 4)


def test_the_studies_have_their_sizes_and_labels() -> None:
    sizes = {name: (one.patients, one.pilot, one.label) for name, one in STUDIES.items()}
    assert sizes == {
        "digital-twin": (74, 19, "lvesv15"),
        "dokuchaev": (57, 0, "lvef10"),
        "khamzin": (57, 0, "lvef10"),
        "mori": (285, 0, "lvesv15"),
        "le": (196, 0, "clinical"),
        "smart-av": (741, 0, "clinical"),
    }
    assert {one.label for one in STUDIES.values()} <= set(LABELS)


def test_the_counts_behind_the_published_shares_give_them_as_printed() -> None:
    published = TWIN.arms[0].published
    assert published is not None
    for name, (hits, of) in TWIN.counts.items():
        assert round(hits / of, 2) == published.values[name]
    assert [round(end, 2) for end in wilson(*TWIN.counts["accuracy"])] == [0.68, 0.86]


def test_a_pool_that_is_too_small_is_refused(pool: ResponseCohort) -> None:
    with pytest.raises(InputError, match="has 92 patients, the study needs 93"):
        repeated("digital-twin", pool.take(np.arange(92)))


def test_cohort_and_pilot_share_no_patient(pool: ResponseCohort) -> None:
    """Drawn from 93 patients, the 74 and the 19 have all of their non-responders between them."""
    found = repeated("digital-twin", pool.take(np.arange(93)))
    assert found.pilot is not None
    in_cohort = np.round(74 * (1 - found.responders)).astype(int)
    failed = 93 - pool.outcome[:93].sum()
    assert np.bincount(found.pilot.repeat).tolist() == (failed - in_cohort).tolist()


def test_the_same_seed_gives_the_same_numbers(pool: ResponseCohort, result: StudyResult) -> None:
    again = repeated("digital-twin", pool, 4)
    np.testing.assert_equal(study_json("x", again), study_json("x", result))


def test_majority_is_the_commoner_outcome(result: StudyResult) -> None:
    assert (result.majority >= 0.5).all()
    assert np.isin(np.round(74 * result.majority, 9), np.arange(75)).all()


def test_with_shuffled_outcomes_a_study_finds_nothing(pool: ResponseCohort) -> None:
    shuffled = np.random.default_rng(0).permutation(pool.outcome)
    # Of its studies the one that averages the AUC of folds: that of pooled folds is below 0.5 without anything to learn.
    areas = repeated("le", replace(pool, outcome=shuffled), 6).arms["network on the own ECG"]["auc"]
    assert abs(areas.mean() - 0.5) < 0.08
    # What has seen the patients that it is asked about tells them apart: naive Bayes on 57 of them with an AUC of 0.75.
    assert repeated("dokuchaev", replace(pool, outcome=shuffled)).arms[_NINE]["auc"].mean() < 0.6


def test_a_promising_site_is_not_better_than_the_best(result: StudyResult) -> None:
    pilot = result.pilot
    assert pilot is not None
    assert (pilot.chance_there <= pilot.chance_best).all()
    assert pilot.promising.any()


def test_who_has_no_site_at_all_has_no_promising_one(pool: ResponseCohort) -> None:
    sites = pool.sites[pool.sites["patient_row"] % 2 == 0].reset_index(drop=True)
    pilot = repeated("digital-twin", replace(pool, sites=sites)).pilot
    assert pilot is not None
    without = np.isnan(pilot.chance_there)
    assert without.any()
    assert not pilot.promising[without].any()


@pytest.mark.parametrize("name", ["mori", "le"])
def test_every_arm_of_other_studies_has_every_metric_shown(pool: ResponseCohort, name: str) -> None:
    found = repeated(name, pool)
    assert list(found.arms) == [arm.name for arm in STUDIES[name].arms]
    for metrics in found.arms.values():
        assert all(np.isfinite(metrics[shown]).all() for shown in STUDIES[name].shown)


def test_the_page_says_virtual_patients_and_what_is_not_known(result: StudyResult, tmp_path: Path) -> None:
    write_study("digital-twin", result, tmp_path / "out")
    html = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Virtual patients" in html
    assert "The label, the classifier, the predictors and the validation" in html
    assert "8 of 13, 62 % (36 to 82)" in html
    assert "0.78 (0.68 to 0.86)" in html
    assert "http" not in html.replace("http-equiv", "")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "report.html",
        "study.json",
        "numbers.svg",
        "pilot.svg",
    }


def test_the_answer_counts_who_had_no_promising_site(result: StudyResult) -> None:
    pilot = result.pilot
    assert pilot is not None
    share = 100 * np.mean(~pilot.promising)
    assert any(f"{share:.0f} % had no reachable site" in line for line in answers(result))


def test_a_pool_without_truth_is_refused(pool: ResponseCohort) -> None:
    real = replace(pool, implanted=pool.implanted.drop(columns=["true_probability", "true_lvesv_change_percent"]))
    with pytest.raises(InputError, match="virtual patients"):
        repeated("le", real)
