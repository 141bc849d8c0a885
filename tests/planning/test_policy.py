from pathlib import Path

import numpy as np
import pytest

from tests.planning.synthetic_pool import synthetic_pool
from twin.planning.policy import (
    AS_WAS,
    HABIT,
    MODEL,
    ORACLE,
    POLICIES,
    RANDOM,
    UNHELD,
    best_site,
    policy_test,
    true_values,
)
from twin.planning.response_cohort import ResponseCohort, read_cohort


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> ResponseCohort:
    path = tmp_path_factory.mktemp("pool") / "pool.parquet"
    synthetic_pool(80, sites=5).to_parquet(path)
    return read_cohort(path)


def everywhere(cohort: ResponseCohort, value: bool = True) -> np.ndarray:
    return np.full(len(cohort.sites), value)


@pytest.mark.parametrize("seed", range(5))
def test_best_site_is_that_of_a_loop_over_patients(seed: int) -> None:
    rng = np.random.default_rng(seed)
    patient, score, allowed = rng.integers(6, size=40), rng.integers(4, size=40) / 4, rng.random(40) < 0.5
    expected = []
    for one in sorted(set(patient.tolist())):
        rows = [i for i in range(40) if patient[i] == one and allowed[i]]
        expected.append(max(rows, key=lambda i: (score[i], -i)) if rows else -1)
    assert best_site(patient, score, allowed).tolist() == expected


def test_a_model_that_knows_the_truth_has_no_regret(cohort: ResponseCohort) -> None:
    test = policy_test(cohort, cohort.sites["true_probability"].to_numpy(), everywhere(cohort), resamples=50)
    assert test.values[MODEL].regret.value == 0
    assert test.values[ORACLE].regret.value == 0
    assert test.beaten[HABIT]


def test_no_choice_among_the_sites_beats_the_oracle_for_any_patient(cohort: ResponseCohort) -> None:
    chances, _, _ = true_values(cohort, np.random.default_rng(0).random(len(cohort.sites)), everywhere(cohort))
    for name in set(POLICIES) - {AS_WAS}:  # where it was put need not be among the sites
        assert (chances[name] <= chances[ORACLE]).all(), name


def test_a_model_that_knows_the_opposite_loses_to_habit(cohort: ResponseCohort) -> None:
    test = policy_test(cohort, 1 - cohort.sites["true_probability"].to_numpy(), everywhere(cohort), resamples=50)
    assert not test.beaten[HABIT]
    assert test.values[HABIT].model_gain.high < 0


def test_a_model_that_abstains_everywhere_is_the_habit(cohort: ResponseCohort) -> None:
    chances, changes, abstained = true_values(
        cohort, cohort.sites["true_probability"].to_numpy(), everywhere(cohort, False)
    )
    assert abstained.all()
    np.testing.assert_array_equal(chances[MODEL], chances[HABIT])
    np.testing.assert_array_equal(changes[MODEL], changes[HABIT])
    assert (chances[UNHELD] == chances[ORACLE]).all()


def test_a_random_site_is_worth_the_mean_of_the_sites(cohort: ResponseCohort) -> None:
    chances, _, _ = true_values(cohort, np.zeros(len(cohort.sites)), everywhere(cohort))
    means = cohort.sites.groupby("patient")["true_probability"].mean()
    np.testing.assert_allclose(chances[RANDOM], means.to_numpy(), rtol=1e-12)


def test_patients_without_a_site_are_left_out_and_counted(tmp_path: Path) -> None:
    pool = synthetic_pool(40, sites=2)
    pool.loc[(pool["patient"] == "v00004") & (pool["source"] == "vein"), "reachable"] = False
    pool.to_parquet(tmp_path / "pool.parquet")
    cohort = read_cohort(tmp_path / "pool.parquet")
    test = policy_test(cohort, np.zeros(len(cohort.sites)), everywhere(cohort), resamples=50)
    assert (test.patients, test.without_site) == (39, 1)


def test_habit_is_the_site_nearest_to_the_middle_of_the_lateral_wall(cohort: ResponseCohort) -> None:
    chances, _, _ = true_values(cohort, np.zeros(len(cohort.sites)), everywhere(cohort))
    first = cohort.sites[cohort.sites["patient_row"] == 0]
    distance = np.hypot(3 * (first["rotational"] - 1 / 3), first["apicobasal"] - 0.5)
    assert chances[HABIT][0] == first["true_probability"].to_numpy()[distance.to_numpy().argmin()]
