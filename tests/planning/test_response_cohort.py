from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import Result

from tests.planning.synthetic_pool import synthetic_pool
from twin.planning.errors import InputError
from twin.planning.features import predictors
from twin.planning.response_cohort import LABELS, OUTCOMES, read_cohort
from twin.planning.response_folds import problem_of

HIDDEN = ("true_probability", "true_lvesv_change_percent", *OUTCOMES)
Change = Callable[[pd.DataFrame], pd.DataFrame]
Run = Callable[..., Result]


@pytest.fixture(scope="module")
def pool() -> pd.DataFrame:
    return synthetic_pool(60, sites=3)


def written(table: pd.DataFrame, folder: Path, name: str = "pool.parquet") -> Path:
    table.to_parquet(folder / name)
    return folder / name


def split(pool: pd.DataFrame, folder: Path) -> tuple[Path, Path]:
    """A cohort without outcomes, and its outcomes, as real patients come."""
    columns = ["patient", *OUTCOMES]
    pool[pool["source"] == "implanted"][columns].to_csv(folder / "outcomes.csv", index=False)
    return written(pool.drop(columns=[*HIDDEN]), folder, "sites.parquet"), folder / "outcomes.csv"


def test_no_outcome_and_no_truth_is_ever_offered_to_a_model(pool: pd.DataFrame, tmp_path: Path) -> None:
    seen = problem_of(read_cohort(written(pool, tmp_path))).samples.columns
    assert set(seen) == {one.name for one in predictors()}
    assert not [name for name in seen if name.startswith("true_") or name in HIDDEN]


@pytest.mark.parametrize(
    ("label", "volume", "fraction", "event", "responds"),
    [
        ("lvesv15", -15.0, 0.0, 1, True),
        ("lvesv15", -14.9, 30.0, 0, False),
        ("lvef5", 20.0, 5.0, 1, True),
        ("lvef10", -60.0, 9.9, 0, False),
        ("clinical", -15.1, 0.0, 0, True),
        ("clinical", -15.0, 0.0, 0, False),
        ("clinical", -60.0, 0.0, 1, False),
    ],
)
def test_labels_are_what_they_say(label: str, volume: float, fraction: float, event: int, responds: bool) -> None:
    row = pd.DataFrame({"lvesv_change_percent": [volume], "lvef_change_points": [fraction], "hf_event": [event]})
    assert LABELS[label].rule(row).tolist() == [responds]


def test_outcomes_in_a_table_of_their_own_are_the_same_cohort(pool: pd.DataFrame, tmp_path: Path) -> None:
    sites, outcomes = split(pool, tmp_path)
    together, apart = read_cohort(written(pool, tmp_path)), read_cohort(sites, outcomes)
    assert apart.outcome.tolist() == together.outcome.tolist()
    assert apart.sha256 == together.sha256
    assert not apart.virtual
    assert not apart.has_truth


def test_truth_beside_the_outcomes_is_read_and_makes_the_patients_virtual(pool: pd.DataFrame, tmp_path: Path) -> None:
    sites, outcomes = split(pool, tmp_path)
    written(pool[["patient", "id", "true_probability", "true_lvesv_change_percent"]], tmp_path, "truth.parquet")
    cohort, together = read_cohort(sites, outcomes), read_cohort(written(pool, tmp_path))
    assert cohort.virtual
    np.testing.assert_array_equal(cohort.sites["true_probability"], together.sites["true_probability"])


def test_taken_patients_keep_their_sites_and_outcomes(pool: pd.DataFrame, tmp_path: Path) -> None:
    cohort = read_cohort(written(pool, tmp_path))
    some = cohort.take(np.array([41, 7]))
    assert some.implanted["patient"].tolist() == ["v00041", "v00007"]
    assert some.outcome.tolist() == cohort.outcome[[41, 7]].tolist()
    own = some.implanted["patient"].to_numpy()[some.sites["patient_row"]]
    assert own.tolist() == some.sites["patient"].tolist()
    assert len(own) == 6


def test_sites_that_no_lead_reaches_or_captures_at_are_no_candidates(pool: pd.DataFrame, tmp_path: Path) -> None:
    table = pool.copy()
    table.loc[table["id"] == "site-0", "reachable"] = False
    table.loc[table["id"] == "site-1", "captures"] = False
    assert set(read_cohort(written(table, tmp_path)).sites["id"]) == {"site-2"}


def test_all_faults_are_told_at_once(pool: pd.DataFrame, tmp_path: Path) -> None:
    table = pool.drop(columns="scar_share")
    table["lvef_percent"] = table["lvef_percent"].where(table["patient"] != "v00003", 350.0)
    sites, outcomes = split(table, tmp_path)
    results = pd.read_csv(outcomes)
    results = pd.concat([results.iloc[1:], results.iloc[[5]]])  # one has none, one has two
    results.loc[results["patient"] == "v00009", "lvesv_change_percent"] = -400
    results.to_csv(outcomes, index=False)
    with pytest.raises(InputError) as fault:
        read_cohort(sites, outcomes)
    lines = str(fault.value).splitlines()
    for words in ("scar_share", "lvef_percent = 350", "v00000 has no line", "v00005 stands in two", "v00009 has lvesv"):
        assert sum(words in line for line in lines) == 1, words
    assert len(lines) == 5


FAULTS: dict[str, Change] = {
    "scar_share": lambda table: table.drop(columns="scar_share"),
    "lvesv_change_percent": lambda table: table.drop(columns="lvesv_change_percent"),
    "two implanted leads": lambda table: pd.concat(
        [table, table[(table["source"] == "implanted")].iloc[[0]].assign(id="implanted-2")]
    ),
    "no row of the implanted lead": lambda table: table.drop(table.index[table["source"] == "implanted"][:1]),
    "a model needs both": lambda table: table.assign(lvesv_change_percent=-50.0),
    "lvef_percent = 135": lambda table: table.assign(lvef_percent=135.0),
    "sex = unknown": lambda table: table.assign(sex="unknown"),
    "LVEF of": lambda table: table.assign(lvef_change_points=-59.0),
}


@pytest.mark.parametrize("words", FAULTS)
def test_a_faulty_table_ends_with_exit_code_3_and_no_file(
    pool: pd.DataFrame, tmp_path: Path, words: str, run: Run
) -> None:
    path = written(FAULTS[words](pool), tmp_path)
    result = run("train", path, "--out", tmp_path / "model", "-q")
    assert result.exit_code == 3
    assert words in result.output
    assert not list(tmp_path.glob("model*"))


def test_a_table_that_is_not_there_ends_with_exit_code_3(tmp_path: Path, run: Run) -> None:
    assert run("evaluate", tmp_path / "none.parquet", "--out", tmp_path / "out").exit_code == 3


@pytest.mark.parametrize("args", [("train", "--label", "nyha"), ("study", "framingham")])
def test_an_unknown_label_or_study_ends_with_exit_code_2(args: tuple[str, ...], tmp_path: Path, run: Run) -> None:
    assert run(*args, "--out", tmp_path / "out").exit_code == 2


def test_a_cohort_of_virtual_patients_says_so_itself(pool: pd.DataFrame, tmp_path: Path) -> None:
    sites, outcomes = split(pool, tmp_path)
    for said, virtual in ((b"0 of 60", False), (b"60 of 60", True)):
        arrow = pa.Table.from_pandas(pd.read_parquet(sites), preserve_index=False)
        pq.write_table(arrow.replace_schema_metadata({b"virtual_patients": said}), sites)
        assert read_cohort(sites, outcomes).virtual == virtual


def test_a_site_without_truth_is_no_candidate_and_is_counted(pool: pd.DataFrame, tmp_path: Path) -> None:
    table = pool.copy()
    table.loc[table["id"] == "site-0", "true_probability"] = np.nan
    cohort = read_cohort(written(table, tmp_path))
    assert set(cohort.sites["id"]) == {"site-1", "site-2"}
    assert cohort.notes == ("60 sites have no truth and were left out",)


def test_names_of_patients_keep_their_leading_zeros(pool: pd.DataFrame, tmp_path: Path) -> None:
    named = pool.assign(patient=pool["patient"].str.removeprefix("v"))
    sites, outcomes = split(named, tmp_path)
    assert read_cohort(sites, outcomes).implanted["patient"].iloc[7] == "00007"
