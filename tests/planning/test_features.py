import csv
from pathlib import Path

import pytest

from twin.planning.features import FEATURES, checked_row, write_features

NAMES = [feature.name for feature in FEATURES]


def test_names_are_unique_and_numbers_carry_their_unit() -> None:
    assert len(set(NAMES)) == len(NAMES)
    timed = [feature.name for feature in FEATURES if (feature.low, feature.high) in {(0, 1000), (-1000, 1000)}]
    assert timed
    assert all(name.endswith("_ms") for name in timed)


def test_a_checked_row_has_every_feature_in_the_order_of_the_table() -> None:
    row = checked_row({"tat_ms": 100.0, "id": "S1"})
    assert list(row) == NAMES
    assert row["rank"] is None


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_what_is_not_finite_counts_as_missing(value: float) -> None:
    assert checked_row({"tat_ms": value})["tat_ms"] is None


@pytest.mark.parametrize(("name", "value"), [("tat_ms", -1.0), ("scar_at_tip", 1.01), ("rank", 0), ("aha_segment", 18)])
def test_a_number_out_of_its_range_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} = {value} lies outside"):
        checked_row({name: value})


def test_an_unknown_feature_is_refused() -> None:
    with pytest.raises(ValueError, match="no such feature: shoe_size"):
        checked_row({"shoe_size": 43})


def test_the_file_has_one_column_per_feature_and_empty_cells_for_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "sites.csv"
    write_features(path, [{"id": "S1", "reachable": True, "captures": False, "tat_ms": 123.456789, "qrs_ms": None}])
    (row,) = csv.DictReader(path.read_text().splitlines())
    assert list(row) == NAMES
    assert (row["reachable"], row["captures"], row["tat_ms"], row["qrs_ms"]) == ("true", "false", "123.457", "")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "=cmd|' /C calc'!A0"])
def test_text_that_a_spreadsheet_would_run_is_quoted(tmp_path: Path, text: str) -> None:
    path = tmp_path / "sites.csv"
    write_features(path, [{"id": text, "x_mm": -1.5}])
    (row,) = csv.DictReader(path.read_text().splitlines())
    assert row["id"] == f"'{text}"
    assert row["x_mm"] == "-1.5"


def test_a_word_that_is_no_choice_is_refused() -> None:
    with pytest.raises(ValueError, match="sex = 'woman' is none of female, male"):
        checked_row({"sex": "woman"})


def test_only_bounded_numbers_have_a_direction() -> None:
    assert all(feature.predictor and feature.kind == "number" for feature in FEATURES if feature.increases)
    assert all((feature.low is None) == (feature.kind != "number") for feature in FEATURES)
