"""Laws of the table: columns by name, all faults at once, what is unknown is missing."""

import numpy as np
import pandas as pd
import pytest

from ml.response.predictors import Predictor, encode

EF = Predictor(name="lvef", family="clinical", low=0, high=100)
AF = Predictor(name="af", family="clinical", low=0, high=1)
SEX = Predictor(name="sex", family="clinical", choices=("female", "male"))
PATTERN = Predictor(name="pattern", family="ecg", choices=("lbbb", "rbbb", "other"))


def table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "lvef": [30, None, 25.5],
            "af": [True, None, False],
            "sex": ["male", "female", None],
            "pattern": ["rbbb", "left", "lbbb"],
            "further": ["is", "not", "read"],
        }
    )


def test_numbers_stay_flags_become_0_and_1_and_texts_one_column_per_choice_or_one_of_two() -> None:
    nan = np.nan
    expected = [[30, 1, 1, 0, 1, 0], [nan, nan, 0, nan, nan, nan], [25.5, 0, nan, 1, 0, 0]]
    np.testing.assert_array_equal(encode(table(), (EF, AF, SEX, PATTERN)), expected)


def test_a_table_of_nullable_types_reads_the_same() -> None:
    predictors = (EF, AF, SEX, PATTERN)
    nullable = table().convert_dtypes().assign(pattern=table()["pattern"].astype("category"))
    assert {str(kind) for kind in nullable.dtypes} >= {"Float64", "boolean", "category"}
    np.testing.assert_array_equal(encode(nullable, predictors), encode(table(), predictors))


def test_the_order_of_the_columns_has_no_meaning() -> None:
    predictors = (EF, AF, SEX, PATTERN)
    turned = table()[["pattern", "further", "sex", "af", "lvef"]]
    np.testing.assert_array_equal(encode(turned, predictors), encode(table(), predictors))


def test_every_missing_column_is_named_at_once() -> None:
    with pytest.raises(ValueError, match=r"lacks 2 of 3 columns: lvef, sex$"):
        encode(table()[["pattern", "af"]], (EF, SEX, AF))


def test_every_column_with_impossible_values_is_named_at_once() -> None:
    wrong = table().assign(lvef=[30, 250, -1], af=["yes", None, 0], pattern="lbbb")
    with pytest.raises(ValueError) as fault:
        encode(wrong, (EF, AF, PATTERN))
    assert str(fault.value) == (
        "lvef = 250 in row 1 lies outside 0..100 (2 of 3); af = yes in row 0 is no number (1 of 3)"
    )


def test_an_infinite_number_is_outside_every_range() -> None:
    with pytest.raises(ValueError, match=r"lvef = inf in row 2 lies outside 0..100 \(1 of 3\)"):
        encode(table().assign(lvef=[1, 2, np.inf]), (EF,))


def test_a_column_that_occurs_twice_is_refused() -> None:
    twice = pd.concat([table(), table()[["sex"]]], axis=1)
    with pytest.raises(ValueError, match="columns that occur twice: sex"):
        encode(twice, (EF, SEX))


def test_an_array_without_names_is_refused() -> None:
    with pytest.raises(TypeError, match="pandas table"):
        encode(np.zeros((3, 4)), (EF,))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"low": 1, "high": 1}, "low < high"),
        ({}, "low < high"),
        ({"low": 0, "high": np.inf}, "finite"),
        ({"low": 0, "high": 1, "increases": 2}, "-1, 0 or 1"),
        ({"choices": ("a",)}, "two or more"),
        ({"choices": ("a", "a")}, "all different"),
        ({"choices": ("a", "b"), "low": 0}, "no bounds"),
    ],
)
def test_a_predictor_that_cannot_be_is_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Predictor(name="x", family="f", **wrong)  # type: ignore[arg-type]
