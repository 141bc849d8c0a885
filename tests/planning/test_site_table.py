"""Tables of sites from files: types, and every fault at once."""

from pathlib import Path

import pandas as pd
import pytest

from twin.planning.errors import InputError
from twin.planning.features import FEATURES, predictors, write_features
from twin.planning.site_table import checked_table, read_sites, table

ROW = {
    "id": "=LMV1",
    "reachable": True,
    "captures": False,
    "tat_ms": 120.5,
    "ecg_pattern": "lbbb",
    "sex": "female",
    "af": False,
    "x_mm": -3.25,
}


def sites(**columns: list[object]) -> pd.DataFrame:
    n = len(next(iter(columns.values())))
    return pd.DataFrame({"patient": ["a"] * n, "id": [f"S{k}" for k in range(n)], **columns}).astype(object)


def test_a_written_table_reads_back_as_the_table_of_its_rows(tmp_path: Path) -> None:
    write_features(tmp_path / "sites.csv", [ROW, {"id": "S2"}])
    pd.testing.assert_frame_equal(read_sites(tmp_path / "sites.csv"), table([ROW, {"id": "S2"}]))


def test_columns_have_the_type_of_their_kind() -> None:
    made = table([ROW])
    assert [*made] == [feature.name for feature in FEATURES]
    for feature in FEATURES:
        kind = {"number": "float64", "yes/no": "boolean", "text": "category" if feature.choices else "string"}
        assert str(made[feature.name].dtype) == kind[feature.kind]


def test_every_fault_is_named_at_once() -> None:
    frame = sites(lvef_percent=[30, 140, "high"], sex=["female", "woman", None], af=["true", "false", "perhaps"])
    frame.loc[2, "id"] = "S0"
    with pytest.raises(InputError) as fault:
        checked_table(frame, "sites.parquet", needed=("id", "nyha", "lvef_percent"))
    assert str(fault.value).splitlines() == [
        "sites.parquet: has no column nyha",
        "sites.parquet: line 3: lvef_percent = 140, need a number within 1..90 (2 of 3 rows)",
        "sites.parquet: line 3: sex = woman, need one of female, male (1 of 3 rows)",
        "sites.parquet: line 4: af = perhaps, need true or false (1 of 3 rows)",
        "sites.parquet: line 4: a, S0 occurs twice (1 rows are repetitions)",
    ]


def test_the_same_id_in_two_patients_is_no_repetition() -> None:
    frame = sites(nyha=[2, 3]).assign(patient=["a", "b"], id="S1")
    assert checked_table(frame, "x", needed=("id",))["nyha"].tolist() == [2.0, 3.0]


def test_a_row_without_id_or_patient_is_a_fault() -> None:
    frame = sites(nyha=[2, 3])
    frame.loc[1, "patient"] = None
    with pytest.raises(InputError, match="line 3 has no patient or no id"):
        checked_table(frame, "x", needed=("id",))


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b'id,"x\n1,2\n'])
def test_a_file_that_is_no_table_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "sites.csv").write_bytes(content)
    with pytest.raises(InputError, match=r"sites\.csv: cannot be read as CSV") as fault:
        read_sites(tmp_path / "sites.csv")
    assert "\n" not in str(fault.value)


def test_what_is_no_feature_is_kept() -> None:
    frame = sites(nyha=[2.0]).assign(centre="north", lvesv_change_percent=-20.0)
    checked = checked_table(frame, "x", needed=("id",))
    assert (checked["centre"][0], checked["lvesv_change_percent"][0]) == ("north", -20.0)


def test_predictors_have_bounds_or_choices_and_exclude_what_names_a_site_or_answers() -> None:
    families = {feature.name: feature.family for feature in FEATURES}
    offered = predictors()
    assert {families[one.name] for one in offered} == {
        "place",
        "simulated",
        "twin",
        "ecg",
        "network",
        "scar",
        "clinical",
    }
    assert all((one.low is None) == bool(one.choices) for one in offered)
    assert {one.name for one in offered} >= {"q_lv_ms", "ecg_fpca_4", "net_embedding_4", "scar_distance_mm", "af"}
    assert not {"rank", "x_mm", "aha_segment", "vv_delay_ms", "index_low_ms"} & {one.name for one in offered}
