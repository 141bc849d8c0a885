"""Laws of the response model as a whole: it knows what it knows, says why, and is the same wherever it is."""

import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_validate

from ml.evaluation import PatientFolds, evaluate
from ml.evaluation.calibration import recalibration
from ml.model_store import load_model, save_model
from ml.response import ResponseModel
from ml.response.estimator import Member
from tests.ml.response.patients import PREDICTORS, Patients, patients

MEMBERS: tuple[Member, ...] = ("ensemble", "linear", "trees")
TRAINING = patients(300, seed=1, missing=0.1)
ASKED = patients(200, seed=2, missing=0.1)


@cache
def fitted(member: Member = "ensemble", refits: int = 10) -> ResponseModel:
    model = ResponseModel(PREDICTORS, member=member, refits=refits)
    return model.fit(TRAINING.table, TRAINING.outcome, TRAINING.names)


def chance(model: ResponseModel, table: pd.DataFrame) -> np.ndarray:
    return model.predict_proba(table)[:, 1]


@pytest.mark.parametrize("member", MEMBERS)
def test_patients_are_told_apart_nearly_as_well_as_the_truth_does(member: Member) -> None:
    ceiling = roc_auc_score(ASKED.outcome, ASKED.chance)
    assert roc_auc_score(ASKED.outcome, chance(fitted(member), ASKED.table)) > ceiling - 0.09


def test_outcomes_without_meaning_are_not_learnt() -> None:
    shuffled = [np.random.default_rng(i).permutation(TRAINING.outcome) for i in range(6)]
    aucs = [
        cross_validate(
            ResponseModel(PREDICTORS, refits=0, random_state=i),
            TRAINING.table,
            y,
            cv=PatientFolds(3, random_state=i),
            scoring="roc_auc",
        )["test_score"].mean()
        for i, y in enumerate(shuffled)
    ]
    # The standard error of one AUC is 0.033 here.
    assert np.mean(aucs) == pytest.approx(0.5, abs=0.045)


def test_with_three_thousand_patients_probabilities_mean_what_they_say() -> None:
    learnt, asked = patients(3000, seed=3, missing=0.05), patients(3000, seed=4, missing=0.05)
    model = ResponseModel(PREDICTORS, refits=0).fit(learnt.table, learnt.outcome)
    resamples = np.random.default_rng(0).multinomial(3000, np.full(3000, 1 / 3000), 300).astype(float)
    intercepts, slopes = recalibration(asked.outcome, chance(model, asked.table), resamples)
    assert np.quantile(slopes, 0.025) < 1 < np.quantile(slopes, 0.975)
    assert np.quantile(intercepts, 0.025) < 0 < np.quantile(intercepts, 0.975)


@pytest.mark.parametrize("n", [74, 300])
def test_where_single_effects_add_up_about_nine_in_ten_intervals_hold_the_truth(n: int) -> None:
    held = []
    for seed in range(4):
        learnt = patients(n, seed=10 + seed)
        answer = ResponseModel(PREDICTORS).fit(learnt.table, learnt.outcome).answer(patients(400, seed=2).table)
        truth = patients(400, seed=2).chance
        held.append(np.mean((answer.low <= truth) & (truth <= answer.high)))
    assert {74: 0.8, 300: 0.9}[n] < np.mean(held) < 0.995


def test_more_patients_give_narrower_intervals_about_the_same_probability() -> None:
    widths = []
    for n in (74, 300, 1200):
        learnt = patients(n, seed=5)
        answer = ResponseModel(PREDICTORS, refits=10).fit(learnt.table, learnt.outcome).answer(ASKED.table)
        assert ((answer.low < answer.probability) & (answer.probability < answer.high)).all()
        widths.append(np.mean(answer.high - answer.low))
    assert widths[0] > 1.25 * widths[1] > 1.25**2 * widths[2]


def test_without_refits_there_are_no_intervals_and_the_same_probabilities() -> None:
    answer = fitted(refits=0).answer(ASKED.table)
    assert np.isnan(answer.low).all()
    assert np.isnan(answer.high).all()
    np.testing.assert_array_equal(answer.probability, fitted().answer(ASKED.table).probability)


@pytest.mark.parametrize("member", MEMBERS)
def test_contributions_and_base_add_up_to_the_log_odds(member: Member) -> None:
    model = fitted(member)
    found = model.contributions(ASKED.table)
    assert list(found.columns) == [predictor.name for predictor in PREDICTORS]
    sums = found.sum(axis=1) + model.base_log_odds_
    np.testing.assert_allclose(sums, logit(chance(model, ASKED.table)), atol=1e-9)


def test_what_truly_matters_contributes_most() -> None:
    spread = fitted().contributions(ASKED.table).std()
    assert set(spread.nlargest(2).index) == {"late", "scar"}
    assert spread["noise"] < 0.5 * spread["scar"]


@pytest.mark.parametrize(("name", "direction"), [("late", 1), ("scar", -1)])
@pytest.mark.parametrize("shuffled", [False, True])
def test_the_chance_never_runs_against_physiology_not_even_where_outcomes_do(
    name: str, direction: int, shuffled: bool
) -> None:
    model = fitted()
    if shuffled:
        model = ResponseModel(PREDICTORS, refits=0).fit(TRAINING.table, 1 - TRAINING.outcome)
    for value in np.linspace(-3, 3, 13):
        lower, higher = (
            chance(model, ASKED.table.assign(**{name: one}))
            for one in (value - 0.25 * direction, value + 0.25 * direction)
        )
        assert (higher >= lower - 1e-12).all()


def test_neither_the_order_of_columns_nor_further_ones_have_a_meaning() -> None:
    turned = ASKED.table[ASKED.table.columns[::-1]].assign(outcome="1")
    np.testing.assert_array_equal(chance(fitted(), turned), chance(fitted(), ASKED.table))


def test_the_order_of_named_patients_has_no_meaning() -> None:
    order = np.random.default_rng(0).permutation(300)
    model = ResponseModel(PREDICTORS, refits=10).fit(
        TRAINING.table.iloc[order], TRAINING.outcome[order], np.array(TRAINING.names)[order]
    )
    turned, straight = model.answer(ASKED.table), fitted().answer(ASKED.table)
    np.testing.assert_array_equal(turned.low, straight.low)
    assert turned.nearest == straight.nearest


def test_the_unit_of_a_number_has_no_meaning() -> None:
    units = {"late": 1000.0, "area": 0.01}

    def in_units(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(**{name: unit * table[name] for name, unit in units.items()})

    predictors = tuple(
        type(one)(**{**vars_of(one), "low": one.low * units[one.name], "high": one.high * units[one.name]})
        if one.name in units and one.low is not None and one.high is not None
        else one
        for one in PREDICTORS
    )
    model = ResponseModel(predictors, refits=10).fit(in_units(TRAINING.table), TRAINING.outcome, TRAINING.names)
    found, expected = model.answer(in_units(ASKED.table)), fitted().answer(ASKED.table)
    np.testing.assert_allclose(found.probability, expected.probability, atol=1e-6)
    np.testing.assert_allclose(found.low, expected.low, atol=1e-4)


def vars_of(predictor: object) -> dict[str, object]:
    return {name: getattr(predictor, name) for name in predictor.__dataclass_fields__}  # type: ignore[attr-defined]


def test_an_unknown_text_is_a_missing_text() -> None:
    first, second = (chance(fitted(), ASKED.table.assign(pattern=text)) for text in ("never heard of", None))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("member", MEMBERS)
def test_what_is_missing_now_but_never_was_in_training_counts_as_its_median(member: Member) -> None:
    late = TRAINING.table["late"] + 5  # LightGBM on its own would take the gap for 0
    model = ResponseModel(PREDICTORS, member=member, refits=0).fit(TRAINING.table.assign(late=late), TRAINING.outcome)
    first, second = (chance(model, ASKED.table.assign(late=value)) for value in (np.nan, late.median()))
    np.testing.assert_allclose(first, second, atol=1e-12)


def test_a_gap_that_tells_the_outcome_is_learnt() -> None:
    learnt = patients(400, seed=6)
    gaps = np.random.default_rng(0).random(400) < np.where(learnt.outcome == 1, 0.6, 0.1)
    with_gaps = learnt.table.assign(noise=learnt.table["noise"].mask(gaps))
    for member in MEMBERS:
        model = ResponseModel(PREDICTORS, member=member, refits=0).fit(with_gaps, learnt.outcome)
        first, second = (chance(model, learnt.table.assign(noise=value)) for value in (np.nan, 0.0))
        assert np.mean(logit(first) - logit(second)) > 0.5


def test_a_site_unlike_any_in_training_has_no_support_and_the_reason_is_its_family() -> None:
    strange = fitted().answer(ASKED.table.assign(lateral=9.0))
    assert not strange.supported.any()
    assert set(strange.furthest) == {"place"}
    known = fitted().answer(ASKED.table)
    assert known.supported.mean() > 0.9  # one in twenty is not
    np.testing.assert_array_equal(known.supported, known.distance <= 1)


def test_the_nearest_patient_of_a_training_row_is_that_patient() -> None:
    nearest = fitted().answer(TRAINING.table).nearest
    assert [one[0].patient for one in nearest] == TRAINING.names
    assert [one[0].outcome for one in nearest] == TRAINING.outcome.tolist()
    assert {len(one) for one in nearest} == {5}


def test_a_saved_model_has_the_same_bytes_each_time_and_answers_the_same_in_another_process(tmp_path: Path) -> None:
    again = ResponseModel(PREDICTORS, refits=10).fit(TRAINING.table, TRAINING.outcome, TRAINING.names)
    save_model(fitted(), tmp_path / "a.model")
    save_model(again, tmp_path / "b.model")
    save_model(load_model(tmp_path / "a.model"), tmp_path / "c.model")
    assert len({(tmp_path / f"{name}.model").read_bytes() for name in "abc"}) == 1
    assert (tmp_path / "a.model").stat().st_size < 200_000
    ASKED.table.to_parquet(tmp_path / "asked")
    code = (
        "import sys, numpy as np, pandas as pd; from ml.model_store import load_model\n"
        "a = load_model(sys.argv[1]).answer(pd.read_parquet(sys.argv[2]))\n"
        "np.savez(sys.argv[3], p=a.probability, low=a.low, d=a.distance)"
    )
    asked = [str(tmp_path / name) for name in ("a.model", "asked", "answer.npz")]
    subprocess.run([sys.executable, "-c", code, *asked], check=True, cwd=Path(__file__).parents[3])  # noqa: S603
    answer = fitted().answer(ASKED.table)
    with np.load(tmp_path / "answer.npz") as found:
        for name, expected in (("p", answer.probability), ("low", answer.low), ("d", answer.distance)):
            np.testing.assert_array_equal(found[name], expected)


@pytest.mark.parametrize(("member", "refits"), [("linear", 10), ("trees", 0)])
def test_a_model_of_one_member_or_without_intervals_is_saved_too(member: Member, refits: int, tmp_path: Path) -> None:
    save_model(fitted(member, refits), tmp_path / "a.model")
    found = load_model(tmp_path / "a.model")
    np.testing.assert_array_equal(found.answer(ASKED.table).low, fitted(member, refits).answer(ASKED.table).low)
    assert found.contributions(ASKED.table).equals(fitted(member, refits).contributions(ASKED.table))
    assert found.get_params() == fitted(member, refits).get_params()


def test_a_file_with_another_predictor_is_refused(tmp_path: Path) -> None:
    model = clone(fitted()).fit(TRAINING.table, TRAINING.outcome)
    model.predictors = PREDICTORS[:-1]
    save_model(model, tmp_path / "a.model")
    with pytest.raises(ValueError, match="not those of its predictors"):
        load_model(tmp_path / "a.model")


def test_of_no_rows_there_are_no_answers() -> None:
    none = ASKED.table.iloc[:0]
    answer = fitted().answer(none)
    assert len(answer.probability) == len(answer.low) == len(answer.distance) == len(answer.nearest) == 0
    assert fitted().contributions(none).shape == (0, 10)


def test_a_clone_is_unfitted_and_fits_to_the_same() -> None:
    fresh = clone(fitted())
    with pytest.raises(NotFittedError):
        fresh.predict_proba(ASKED.table)
    fresh.fit(TRAINING.table, TRAINING.outcome, groups=TRAINING.names)
    np.testing.assert_array_equal(chance(fresh, ASKED.table), chance(fitted(), ASKED.table))


def test_the_evaluation_takes_it_with_its_patients() -> None:
    found = evaluate(
        {"response": ResponseModel(PREDICTORS, refits=0)},
        TRAINING.table,
        TRAINING.outcome,
        groups=TRAINING.names,
        folds=3,
        seeds=1,
        resamples=50,
    )
    assert found["response"].metrics["auc"].low > 0.6


def test_rows_of_a_patient_stay_together_in_inner_folds() -> None:
    twice = pd.concat([TRAINING.table] * 3)
    outcome, names = np.tile(TRAINING.outcome, 3), np.tile(TRAINING.names, 3)
    noise = twice[["noise"]].assign(
        **{f"n{i}": np.tile(np.random.default_rng(i).standard_normal(300), 3) for i in range(6)}
    )
    predictors = [type(PREDICTORS[0])(name=name, family="x", low=-20, high=20) for name in noise.columns]
    # Nothing to learn: three equal rows in different folds would let the trees know the outcomes.
    kept, leaky = (
        ResponseModel(predictors, member="trees", refits=0).fit(noise, outcome, groups) for groups in (names, None)
    )
    assert np.ptp(chance(kept, noise)) < 0.7 * np.ptp(chance(leaky, noise))


@pytest.mark.parametrize("n", [6, 20])
def test_few_patients_get_an_answer_near_the_share_of_responders(n: int) -> None:
    few = patients(n, seed=8)
    outcome = np.arange(n) % 2
    answer = ResponseModel(PREDICTORS, refits=5).fit(few.table, outcome).answer(few.table)
    assert np.isfinite(answer.low).all()
    assert answer.probability.mean() == pytest.approx(0.5, abs=0.1)


def test_columns_that_say_nothing_leave_the_share_of_responders() -> None:
    nothing = TRAINING.table.assign(**dict.fromkeys(TRAINING.table.columns, np.nan))
    constant = TRAINING.table.assign(**{name: TRAINING.table[name].iloc[0] for name in TRAINING.table.columns})
    for table in (nothing, constant):
        model = ResponseModel(PREDICTORS, refits=5).fit(table, TRAINING.outcome)
        np.testing.assert_allclose(chance(model, table), TRAINING.outcome.mean(), atol=2e-3)
        assert not model.contributions(table).to_numpy().any()


def of(table: pd.DataFrame | None = None, outcome: object = None, **settings: object) -> ResponseModel:
    model = ResponseModel(**{"predictors": PREDICTORS, **settings})  # type: ignore[arg-type]
    return model.fit(TRAINING.table if table is None else table, TRAINING.outcome if outcome is None else outcome)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"outcome": np.ones(300)}, "all 300 outcomes are 1; need responders and non-responders"),
        ({"outcome": np.arange(300) % 3}, r"y\[2\] = 2 \(100 of 300 are neither 0 nor 1\)"),
        ({"outcome": np.where(np.arange(300) == 7, np.nan, TRAINING.outcome)}, r"y\[7\] = nan \(1 of 300"),
        ({"outcome": [0, 1]}, r"need \(300,\)"),
        ({"outcome": (np.arange(300) == 0).astype(int)}, "a class has 1 patients, need two of each class"),
        ({"table": TRAINING.table.drop(columns=["late", "scar"])}, "lacks 2 of 10 columns: late, scar"),
        ({"refits": 1}, "refits = 1"),
        ({"member": "forest"}, "need ensemble, linear or trees"),
        ({"predictors": ()}, "at least one"),
        ({"predictors": (PREDICTORS[0], PREDICTORS[0])}, "all different"),
    ],
)
def test_what_cannot_be_learnt_is_refused_in_one_line(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said) as fault:
        of(**arguments)  # type: ignore[arg-type]
    assert "\n" not in str(fault.value)


def test_the_interval_is_symmetric_in_log_odds() -> None:
    answer = fitted().answer(ASKED.table)
    middle = expit((logit(answer.low) + logit(answer.high)) / 2)
    np.testing.assert_allclose(middle, answer.probability, atol=1e-12)


def test_the_truth_is_a_synthetic_one() -> None:
    large: Patients = patients(20_000, seed=0)
    assert large.outcome.mean() == pytest.approx(large.chance.mean(), abs=0.01)


def test_a_group_that_drifted_is_noticed_where_none_of_its_patients_is() -> None:
    model, moved = fitted("linear"), patients(60, seed=5).table.assign(axis=lambda table: table["axis"] + 1.2)
    assert model.answer(moved).supported.mean() > 0.8
    found = model.drift(moved)
    assert found["predictor"].iloc[0] == "axis"
    assert found["shift"].iloc[0] == pytest.approx(1.2, abs=0.35)
    assert found["p"].iloc[0] < 1e-6
    assert (found["p"].iloc[1:] > 0.01).all()


def test_groups_like_the_training_patients_drift_as_rarely_as_said() -> None:
    least = [fitted("linear").drift(patients(40, seed=seed).table)["p"].min() for seed in range(100, 180)]
    assert np.mean(np.array(least) < 0.05) < 0.2  # the training rows, 300, are a sample themselves


def test_what_a_group_lacks_does_not_drift() -> None:
    found = fitted("linear").drift(patients(40, seed=5).table.assign(scar=np.nan))
    assert "scar" not in set(found["predictor"])
    assert np.isfinite(found[["shift", "p"]]).all().all()
