import hashlib
import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.planning.synthetic_pool import synthetic_pool
from twin.planning.errors import InputError
from twin.planning.pool import joined_with_truth
from twin.planning.response_cohort import read_cohort

TRUTH = ["true_lvesv_change_percent", "true_probability"]
OUTCOMES = ["lvesv_change_percent", "lvef_change_points", "hf_event"]


@pytest.fixture
def cohort(tmp_path: Path) -> Path:
    """A cohort of 6 in three files, as `crt-twin virtual` and `crt-twin cohort` leave them."""
    whole = synthetic_pool(6, sites=3)
    whole[["patient", "id", *TRUTH]].to_parquet(tmp_path / "truth.parquet")
    whole.groupby("patient")[OUTCOMES].first().to_csv(tmp_path / "outcomes.csv")
    sites = whole.drop(columns=[*TRUTH, *OUTCOMES])
    sites["reachable"] = sites["id"] != "site-1"
    sites.to_parquet(tmp_path / "sites.parquet")
    return tmp_path


def test_each_site_gets_its_own_truth_and_each_patient_its_outcome(cohort: Path) -> None:
    joined = joined_with_truth(cohort, cohort / "sites.parquet").set_index(["patient", "id"])
    whole = synthetic_pool(6, sites=3).set_index(["patient", "id"]).loc[joined.index]
    for name in (*TRUTH, *OUTCOMES):
        np.testing.assert_allclose(joined[name], whole[name], rtol=6e-4)


def test_sites_out_of_reach_are_left_out_and_the_implanted_lead_stays(cohort: Path) -> None:
    joined = joined_with_truth(cohort, cohort / "sites.parquet")
    assert set(joined["id"]) == {"site-0", "site-2", "implanted"}
    assert len(joined) == 6 * 3


def test_numbers_keep_four_digits(cohort: Path) -> None:
    values = joined_with_truth(cohort, cohort / "sites.parquet")["true_lvesv_change_percent"]
    assert all(float(f"{value:.4g}") == pytest.approx(value, rel=1e-12) for value in values)


def test_a_site_without_a_truth_is_a_fault_and_not_left_out(cohort: Path) -> None:
    truth = pd.read_parquet(cohort / "truth.parquet")
    truth[truth["id"] != "site-2"].to_parquet(cohort / "truth.parquet")
    with pytest.raises(InputError, match="nothing of 6 sites"):
        joined_with_truth(cohort, cohort / "sites.parquet")


def test_the_shipped_pool_is_small_virtual_and_knows_the_truth_of_every_site() -> None:
    shipped = files("twin.planning").joinpath("data", "pool.parquet")
    assert len(shipped.read_bytes()) < 5e6
    pool = read_cohort(None, None, "lvesv15")
    assert pool.virtual
    assert pool.has_truth
    assert pool.sites[TRUTH].notna().all().all()
    assert not {one.name for one in pool.predictors} & {*TRUTH, *OUTCOMES}


def test_the_shipped_model_was_learnt_from_the_shipped_pool() -> None:
    card = json.loads(files("twin.planning").joinpath("data", "response.model.card.json").read_text(encoding="utf-8"))
    model = files("twin.planning").joinpath("data", "response.model").read_bytes()
    assert card["data_sha256"] == read_cohort(None, None, "lvesv15").sha256
    assert card["model_sha256"] == hashlib.sha256(model).hexdigest()
