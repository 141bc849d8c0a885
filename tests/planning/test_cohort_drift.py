"""Laws of drift: whole centres that differ are named, with what differs; few patients and places of leads are not."""

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml.response import ResponseModel
from tests.planning.synthetic_pool import synthetic_pool
from twin.planning.cohort_drift import COLUMNS, drifts, in_words, write_drifts
from twin.planning.features import BY_NAME, predictors


def sites(patients: int, seed: int) -> pd.DataFrame:
    return synthetic_pool(patients, sites=2, seed=seed).assign(centre="north")


@cache
def model() -> ResponseModel:
    table = sites(300, seed=1)
    implanted = table[table["source"] == "implanted"]
    fitted = ResponseModel(predictors(), member="linear", refits=0, neighbours=0)
    return fitted.fit(implanted, implanted["lvesv_change_percent"] <= -15)


def shifted(table: pd.DataFrame, feature: str, centre: str) -> pd.DataFrame:
    """One standard deviation more of a feature in half of the patients, who are of another centre."""
    other = table["patient"].isin(table["patient"].unique()[::2])
    more = (table[feature] + table[feature].std()).clip(upper=BY_NAME[feature].high)
    return table.assign(
        **{feature: table[feature].where(~other, more), "centre": table["centre"].where(~other, centre)}
    )


def test_a_centre_whose_patients_like_those_learnt_from_does_not_drift() -> None:
    assert drifts(sites(60, seed=2), model()) == []


@pytest.mark.parametrize("feature", ["fibre_m_per_s", "ecg_qrs_area_uvs", "age_years"])
def test_what_drifted_is_named_with_its_centre(feature: str) -> None:
    (found,) = drifts(shifted(sites(80, seed=2), feature, "south"), model())
    assert (found.centre, found.patients, found.feature, found.value) == ("south", 40, feature, "")
    assert found.shift_sd == pytest.approx(1, abs=0.5)
    (line,) = in_words([found])
    assert "centre south" in line
    assert feature in line


def test_a_word_that_became_more_frequent_is_named() -> None:
    table = sites(60, seed=2)
    found = drifts(table.assign(sex="female"), model())
    assert {one.feature for one in found} == {"sex"}
    assert np.sign(found[0].shift_sd) == (-1 if found[0].value == "male" else 1)


def test_where_leads_were_put_is_no_drift() -> None:
    assert drifts(shifted(sites(80, seed=2), "apicobasal", "south"), model()) == []


def test_nine_patients_say_nothing() -> None:
    table = shifted(sites(40, seed=2), "age_years", "south")
    few = table["patient"].isin(table.loc[table["centre"] == "south", "patient"].unique()[:9])
    assert drifts(table[few | (table["centre"] != "south")], model()) == []


def test_patients_without_a_centre_are_one_group() -> None:
    table = shifted(sites(80, seed=2), "age_years", "south")
    nobody = table.assign(centre=table["centre"].where(table["centre"] == "north").astype("string"))
    (found,) = drifts(nobody, model())
    assert found.centre == ""
    assert in_words([found])[0].startswith("this cohort")


def test_the_table_has_a_line_for_each(tmp_path: Path) -> None:
    found = drifts(shifted(sites(80, seed=2), "age_years", "south"), model())
    write_drifts(tmp_path / "drift.tsv", found)
    table = pd.read_csv(tmp_path / "drift.tsv", sep="\t")
    assert tuple(table.columns) == COLUMNS
    assert table["feature"].tolist() == ["age_years"]
