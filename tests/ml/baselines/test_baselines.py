"""Laws of the baselines: rules read as written, curves and Bayes as the plain libraries have them, scores untouched."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import CategoricalNB, GaussianNB

from ml.baselines import (
    ExternalScore,
    GuidelineClass,
    NineVariableNaiveBayes,
    OneColumn,
    guideline_class,
    guidelines,
    rivals,
)
from ml.baselines.naive_bayes import CATEGORIES, GAUSSIAN
from ml.evaluation import evaluate


def patients(n: int, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "ecg_qrs_ms": rng.normal(155, 20, n),
            "lvef_percent": rng.normal(27, 5, n),
            "lvedd_mm": rng.normal(65, 7, n),
            **{name: rng.choice(np.array(known, dtype=object), n) for name, known in CATEGORIES.items()},
            "q_lv_ms": rng.normal(100, 25, n),
            "ecg_qrs_area_uvs": rng.normal(100, 40, n),
            "delta_index_ms": rng.normal(-20, 15, n),
            "external_score": rng.random(n),
        }
    )
    score = (table["ecg_qrs_ms"] - 155) / 20 + (table["ecg_pattern"] == "lbbb") - (table["sex"] == "male")
    return table, (rng.random(n) < 1 / (1 + np.exp(-score.to_numpy(dtype=float)))).astype(np.int64)


LEARNT, ASKED = patients(200), patients(60, seed=1)


# guidelines


def person(**known: object) -> pd.DataFrame:
    usual = {"ecg_qrs_ms": 160, "ecg_pattern": "lbbb", "lvef_percent": 30, "nyha": 3, "af": False, "sex": "male"}
    return pd.DataFrame([usual | known], dtype=object)


@pytest.mark.parametrize(
    ("known", "esc", "hrs"),
    [
        ({}, "I", "I"),
        ({"ecg_qrs_ms": 150}, "I", "I"),
        ({"ecg_qrs_ms": 149.9}, "IIa", "IIa"),
        ({"ecg_qrs_ms": 130}, "IIa", "IIa"),
        ({"ecg_qrs_ms": 129.9}, "III", "IIa"),
        ({"ecg_qrs_ms": 120}, "III", "IIa"),
        ({"ecg_qrs_ms": 140, "sex": "female"}, "IIa", "I"),
        ({"ecg_qrs_ms": 119}, "III", "III"),
        ({"ecg_pattern": "rbbb"}, "IIa", "IIa"),
        ({"ecg_pattern": "rbbb", "nyha": 2}, "IIa", "IIb"),
        ({"ecg_pattern": "other", "ecg_qrs_ms": 140}, "IIb", "IIb"),
        ({"ecg_pattern": "other", "ecg_qrs_ms": 140, "nyha": 2}, "IIb", "III"),
        ({"nyha": 1}, "III", "III"),
        ({"lvef_percent": 35}, "I", "I"),
        ({"lvef_percent": 36}, "III", "III"),
        ({"af": True}, "IIa", "IIa"),
        ({"af": True, "ecg_qrs_ms": 125}, "III", "IIa"),
        ({"lvef_percent": None, "nyha": None, "af": None, "sex": None}, "I", "I"),
        ({"ecg_pattern": None}, None, None),
        ({"ecg_qrs_ms": None}, None, None),
    ],
)
def test_the_class_is_that_of_the_first_rule_that_holds(known: dict[str, object], esc: str, hrs: str) -> None:
    assert guideline_class(person(**known), "esc-2021") == (esc,)
    assert guideline_class(person(**known), "hrs-2023") == (hrs,)


def test_each_guideline_says_where_it_stands_and_what_was_checked() -> None:
    for guideline in guidelines().values():
        assert guideline.doi.startswith("10.")
        assert guideline.checked
        # What is marked as read must be said to have been read somewhere.
        assert any(rule.verified for rule in guideline.rules) == ("guidelinecentral" in guideline.checked)


def test_a_higher_class_never_lowers_the_chance_where_it_helps() -> None:
    model = GuidelineClass("hrs-2023").fit(*LEARNT)
    chances = {
        one: model.predict_proba(row)[0, 1]
        for one, row in {
            "I": person(),
            "IIa": person(ecg_qrs_ms=140),
            "IIb": person(ecg_pattern="other", ecg_qrs_ms=140),
            "III": person(ecg_qrs_ms=100),
        }.items()
    }
    assert chances["I"] > chances["IIa"] > chances["IIb"] > chances["III"]


def test_another_guideline_or_a_missing_column_is_refused() -> None:
    with pytest.raises(ValueError, match="no guideline 'esc-1999'; there are esc-2021, hrs-2023"):
        guideline_class(person(), "esc-1999")
    with pytest.raises(ValueError, match="lacks af, sex"):
        guideline_class(person().drop(columns=["sex", "af"]), "esc-2021")


def test_tables_of_nullable_types_read_the_same() -> None:
    some = LEARNT[0].mask(np.random.default_rng(0).random(LEARNT[0].shape) < 0.1).infer_objects()
    nullable = some.convert_dtypes()
    assert guideline_class(nullable, "hrs-2023") == guideline_class(some, "hrs-2023")
    first, second = (NineVariableNaiveBayes().fit(one, LEARNT[1]).predict_proba(one) for one in (some, nullable))
    np.testing.assert_array_equal(first, second)


# one column


def test_the_curve_of_one_column_is_a_plain_logistic_regression() -> None:
    found = OneColumn("ecg_qrs_ms").fit(*LEARNT).predict_proba(ASKED[0])
    plain = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000).fit(LEARNT[0][["ecg_qrs_ms"]], LEARNT[1])
    np.testing.assert_allclose(found, plain.predict_proba(ASKED[0][["ecg_qrs_ms"]]), atol=2e-3)


def test_a_missing_measurement_counts_as_the_mean() -> None:
    model = OneColumn("ecg_qrs_ms").fit(*LEARNT)
    first, second = (
        model.predict_proba(ASKED[0].assign(ecg_qrs_ms=value)) for value in (None, LEARNT[0]["ecg_qrs_ms"].mean())
    )
    np.testing.assert_allclose(first, second, atol=1e-12)


@pytest.mark.parametrize("value", [None, 120])
def test_a_column_that_says_nothing_leaves_the_share_of_responders(value: object) -> None:
    table = LEARNT[0].assign(ecg_qrs_ms=value)
    found = OneColumn("ecg_qrs_ms").fit(table, LEARNT[1]).predict_proba(table)[:, 1]
    np.testing.assert_allclose(found, LEARNT[1].mean(), atol=1e-5)


def test_outcomes_that_a_column_separates_still_give_a_finite_curve() -> None:
    table = pd.DataFrame({"x": [1.0, 2, 3, 10, 11, 12]})
    found = OneColumn("x").fit(table, [0, 0, 0, 1, 1, 1]).predict_proba(table)[:, 1]
    assert ((found > 1e-6) & (found < 1 - 1e-6)).all()
    assert (np.diff(found) > 0).all()


# external score


def test_external_scores_stand_as_they_are_whatever_the_outcomes() -> None:
    for outcome in (LEARNT[1], 1 - LEARNT[1]):
        found = ExternalScore().fit(LEARNT[0], outcome).predict_proba(ASKED[0])[:, 1]
        np.testing.assert_array_equal(found, ASKED[0]["external_score"])


def test_a_missing_score_is_the_share_of_responders_in_training() -> None:
    asked = ASKED[0].assign(external_score=[None] * 60)
    np.testing.assert_allclose(ExternalScore().fit(*LEARNT).predict_proba(asked)[:, 1], LEARNT[1].mean())


def test_percentages_are_refused_with_the_cure() -> None:
    with pytest.raises(ValueError, match=r"external_score = 60 in row 1 .*\(2 of 3\); divide percentages by 100"):
        ExternalScore().fit(pd.DataFrame({"external_score": [0.4, 60, 70]}), [0, 1, 0])


# nine-variable naive Bayes


def test_on_complete_data_it_is_gaussian_times_categorical_naive_bayes() -> None:
    codes = {name: {one: i for i, one in enumerate(known)} for name, known in CATEGORIES.items()}

    def coded(table: pd.DataFrame) -> np.ndarray:
        return np.column_stack([[codes[name][one] for one in table[name]] for name in CATEGORIES])

    gaussian = GaussianNB().fit(LEARNT[0][list(GAUSSIAN)], LEARNT[1])
    categorical = CategoricalNB(min_categories=[len(known) for known in CATEGORIES.values()])
    categorical.fit(coded(LEARNT[0]), LEARNT[1])
    log_odds = [
        np.log(model.predict_proba(x)) @ [-1, 1]
        for model, x in ((gaussian, ASKED[0][list(GAUSSIAN)]), (categorical, coded(ASKED[0])))
    ]
    prior = np.log(LEARNT[1].mean() / (1 - LEARNT[1].mean()))  # counted once, not twice
    expected = 1 / (1 + np.exp(-(log_odds[0] + log_odds[1] - prior)))
    found = NineVariableNaiveBayes().fit(*LEARNT).predict_proba(ASKED[0])[:, 1]
    np.testing.assert_allclose(found, expected, atol=1e-8)


@pytest.mark.parametrize("name", [*GAUSSIAN, *CATEGORIES])
def test_a_missing_value_leaves_its_factor_out(name: str) -> None:
    without = NineVariableNaiveBayes().fit(LEARNT[0].drop(columns=name), LEARNT[1]).predict_proba(ASKED[0])
    model = NineVariableNaiveBayes().fit(*LEARNT)
    np.testing.assert_allclose(model.predict_proba(ASKED[0].assign(**{name: None})), without, atol=1e-12)
    blank = LEARNT[0].assign(**{name: None})
    np.testing.assert_allclose(
        NineVariableNaiveBayes().fit(blank, LEARNT[1]).predict_proba(ASKED[0])[:, 1] > 0.5, without[:, 1] > 0.5
    )


def test_a_row_without_a_value_in_training_counts_in_the_other_factors_alone() -> None:
    gone = np.arange(200) < 50
    table = LEARNT[0].assign(ecg_qrs_ms=LEARNT[0]["ecg_qrs_ms"].mask(gone))
    model = NineVariableNaiveBayes().fit(table, LEARNT[1])
    alone = NineVariableNaiveBayes().fit(LEARNT[0].loc[~gone, ["ecg_qrs_ms"]], LEARNT[1][~gone])

    def factor(of: NineVariableNaiveBayes, shares: np.ndarray) -> np.ndarray:
        asked = (
            ASKED[0]
            if of is alone
            else ASKED[0].assign(**{n: None for n in (*GAUSSIAN, *CATEGORIES) if n != "ecg_qrs_ms"})
        )
        chance = of.predict_proba(asked)[:, 1]
        return np.log(chance / (1 - chance)) - np.log(shares.mean() / (1 - shares.mean()))

    np.testing.assert_allclose(factor(model, LEARNT[1]), factor(alone, LEARNT[1][~gone]), atol=1e-9)


def test_a_table_without_any_of_the_nine_is_refused() -> None:
    with pytest.raises(ValueError, match="none of the nine columns ecg_qrs_ms"):
        NineVariableNaiveBayes().fit(LEARNT[0][["q_lv_ms"]], LEARNT[1])


# all of them


def test_every_baseline_can_be_evaluated_on_the_same_folds() -> None:
    known = rivals(LEARNT[0].columns)
    found = evaluate(known, LEARNT[0], LEARNT[1], folds=3, seeds=1, resamples=50)
    assert found["QRS duration"].metrics["auc"].value > 0.6
    assert found["most common outcome"].metrics["auc"].value < 0.55
    assert set(known) < {model.name for model in found.models}


def test_baselines_whose_columns_are_missing_are_left_out() -> None:
    assert set(rivals(["ecg_qrs_ms", "q_lv_ms"])) == {"most common outcome", "QRS duration", "Q-LV, simulated"}
    assert len(rivals(LEARNT[0].columns)) == 9
    assert "nine-variable naive Bayes (refit)" in rivals([one for one in LEARNT[0].columns if one != "epicardial_lead"])


def test_no_baseline_is_called_the_calculator() -> None:
    assert not any("feeny" in name.lower() or "calculator" in name.lower() for name in rivals(LEARNT[0].columns))


@pytest.mark.parametrize("outcome", [np.ones(200), np.arange(200) % 3, np.full(200, np.nan)])
def test_outcomes_that_are_not_0_and_1_are_refused_by_every_fitted_baseline(outcome: np.ndarray) -> None:
    for name, rival in rivals(LEARNT[0].columns).items():
        if name != "most common outcome":
            with pytest.raises(ValueError, match="need 0 and 1"):
                rival.fit(LEARNT[0], outcome)
