import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import Ridge, RidgeClassifier
from sklearn.metrics import accuracy_score, r2_score, roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ml.evaluation import PUBLISHED, Evaluation, PatientFolds, evaluate
from ml.evaluation.comparison import corrected_t
from ml.evaluation.figure import mean_roc
from ml.evaluation.report import text
from tests.ml.evaluation.toys import Echo, Guard

RNG = np.random.default_rng(0)
N = 60
Y = np.r_[np.zeros(36, dtype=int), np.ones(24, dtype=int)]
X = RNG.normal(size=(N, 4)) + 0.7 * Y[:, None]
SEX = np.where(np.arange(N) % 3 == 0, "female", "male")
BEATS = np.array(["LBBB", "RBBB", "healthy"])[np.arange(N) % 3]


@pytest.fixture(scope="module")
def full() -> Evaluation:
    return evaluate(
        {"bayes": make_pipeline(StandardScaler(), GaussianNB()), "forest": RandomForestClassifier(3)},
        X,
        Y,
        seeds=2,
        subgroups={"sex": SEX},
        published=PUBLISHED["lightgbm"],
        virtual=True,
        refits=3,
        shuffles=2,
        resamples=100,
    )


def quick(model: BaseEstimator, x: np.ndarray = X, y: np.ndarray = Y, **more: object) -> Evaluation:
    return evaluate({"it": model}, x, y, **{"seeds": 2, "resamples": 50, **more})


def cells(page: str, start: str) -> list[str]:
    """Cells of the first table row that begins like this."""
    line = next(line for line in page.splitlines() if line.startswith(f"| {start} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_no_model_ever_predicts_a_patient_that_it_was_fitted_on() -> None:
    patients = np.repeat(np.arange(30), 2)
    guard = GridSearchCV(Guard(), {"unused": [0, 1]}, cv=PatientFolds(3), scoring="neg_log_loss", error_score="raise")
    result = quick(guard, patients[:, None].astype(float), patients % 2, groups=patients)
    assert (result["it"].predicted == 0.5).all()


def test_the_numbers_follow_from_the_predictions_in_the_file(full: Evaluation, tmp_path: Path) -> None:
    full.write(tmp_path)
    found = json.loads((tmp_path / "evaluation.json").read_text("utf-8"))
    truth = np.array(found["predictions"]["truth"])
    for name in ("bayes", "forest"):
        p = np.array(found["predictions"]["predicted"][name])[:, :, 1]
        metrics = found["models"][name]["metrics"]
        assert metrics["auc"]["value"] == pytest.approx(np.mean([roc_auc_score(truth, one) for one in p]))
        assert metrics["accuracy"]["value"] == pytest.approx(np.mean([accuracy_score(truth, one >= 0.5) for one in p]))
        fold = np.array(found["predictions"]["fold"])
        of_fold = [roc_auc_score(truth[fold[1] == k], p[1][fold[1] == k]) for k in range(5)]
        np.testing.assert_allclose(found["models"][name]["by_fold"]["auc"][1], of_fold)


def test_what_is_not_defined_is_null_in_the_file_and_a_dash_on_the_page(full: Evaluation) -> None:
    found = json.loads(json.dumps(full.to_json(), allow_nan=False))
    assert found["models"]["majority class"]["metrics"]["ppv"] == {"value": None, "low": None, "high": None}
    assert cells(full.table(), "PPV")[3] == "-"


def test_the_majority_class_stands_beside_every_model(full: Evaluation) -> None:
    metrics = full["majority class"].metrics
    assert metrics["accuracy"].value == 36 / 60
    assert metrics["auc"].value == 0.5
    assert metrics["sensitivity"].value == 0
    assert cells(full.table(), "accuracy")[3].startswith("0.600 [")


def test_published_numbers_stand_in_the_same_row(full: Evaluation) -> None:
    page = full.table()
    assert cells(page, "metric")[4] == "Mori 2025: LightGBM"
    assert cells(page, "accuracy")[4].startswith("0.794 (")
    assert cells(page, "AUC")[4] == "-"
    assert "doi:10.1111/jce.70212" in page


def test_treating_everybody_at_one_half_gains_positives_less_negatives(full: Evaluation) -> None:
    assert full.treat_everybody["0.5"].value == pytest.approx((24 - 36) / 60)
    assert cells(full.table(), "treat everybody")[4].startswith("-0.200 [")
    assert cells(full.table(), "bayes")[4] == text(full["bayes"].net_benefit["0.5"])


def test_every_output_says_virtual_patients(full: Evaluation) -> None:
    assert full.table().count("irtual patients") >= 3
    assert full.to_json()["population"] == "virtual patients"
    real = quick(GaussianNB())
    assert "irtual" not in real.table()
    assert real.to_json()["population"] == "patients"


def test_every_number_of_the_page_has_its_interval(full: Evaluation) -> None:
    for name in ("AUC", "accuracy", "PPV", "Brier score", "calibration slope"):
        for cell in cells(full.table(), name)[1:3]:
            value, low, high = (float(part.strip(" [],±")) for part in cell.replace(",", " ").split()[:3])
            assert low <= value <= high


def test_the_same_call_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "other"):
        quick(RandomForestClassifier(2), seeds=1, shuffles=2, refits=1).write(tmp_path / name)
    one, other = ((tmp_path / name / "evaluation.json").read_bytes() for name in ("one", "other"))
    assert one == other


def test_each_repeat_sets_every_random_state_of_the_model_and_leaves_the_model_alone() -> None:
    x = np.linspace(0.1, 0.5, N)[:, None]
    echo = Echo()
    nested = make_pipeline(StandardScaler(with_mean=False, with_std=False), echo)
    result = quick(nested, x, np.tile([0, 1], 30), seeds=3)
    for seed in range(3):
        np.testing.assert_allclose(result["it"].predicted[seed, :, 1], x[:, 0] + 0.01 * seed)
    assert echo.random_state == 77
    assert not hasattr(echo, "classes_")


def test_a_model_against_itself_does_not_differ() -> None:
    model = GaussianNB()
    one = evaluate({"a": model, "b": model}, X, Y, seeds=2, resamples=50).comparisons[0]
    assert all(difference.value == 0 for difference in one.differences.values())
    assert one.delong is not None
    assert one.delong.p == 1
    assert one.mcnemar is not None
    assert one.mcnemar.p_exact == 1
    assert one.over_folds["auc"].p == 1


def test_each_repeat_has_the_folds_of_its_seed(full: Evaluation) -> None:
    for seed in range(2):
        for fold, (_, test) in enumerate(PatientFolds(5, random_state=seed).split(None, Y)):
            assert np.flatnonzero(full.fold_of[seed] == fold).tolist() == test.tolist()


def test_differences_over_folds_know_that_five_folds_train_on_four_times_as_many(full: Evaluation) -> None:
    differences = full["bayes"].by_fold["auc"] - full["forest"].by_fold["auc"]
    assert full.comparisons[0].over_folds["auc"] == corrected_t(differences, 1 / 4)


def test_comparisons_take_the_mean_prediction_of_each_patient() -> None:
    # Two rows per patient, one right and one wrong: their mean is right, and counts once.
    patients = np.repeat(np.arange(20), 2)
    y = patients % 2
    p = np.where(y == 1, 0.95, 0.05)
    p[::2] = np.where(y[::2] == 1, 0.3, 0.7)
    one = quick(Echo(), p[:, None], y, groups=patients, seeds=1).comparisons[0]
    assert one.mcnemar is not None
    assert (one.mcnemar.only_first, one.mcnemar.only_second) == (10, 0)


def test_patients_with_rows_of_both_classes_are_scored_but_not_compared_one_by_one() -> None:
    result = quick(GaussianNB(), groups=np.arange(N) % 30)
    assert np.isfinite(result["it"].metrics["auc"].low)
    assert result["it"].auc_delong is None
    assert result.comparisons[0].mcnemar is None
    assert result.comparisons[0].differences["auc"].has_interval


def test_subgroups_share_out_the_patients_and_everybody_is_the_headline() -> None:
    result = quick(GaussianNB(), subgroups={"sex": SEX, "all": np.ones(N)})
    female, male, everybody = result.subgroups
    assert female.patients + male.patients == N
    assert female.per_class == {"0": 12, "1": 8}
    assert everybody.metrics["it"]["auc"] == result["it"].metrics["auc"]
    assert (
        f"| sex: female | 20 | 20 (12 of 0, 8 of 1) | it | {female.metrics['it']['auc'].value:.3f} [" in result.table()
    )


def test_a_subgroup_counts_and_resamples_patients_not_rows() -> None:
    result = quick(GaussianNB(), groups=np.arange(N) // 2, subgroups={"all": np.ones(N)})
    assert result.subgroups[0].patients == 30
    assert result.subgroups[0].metrics["it"]["auc"] == result["it"].metrics["auc"]


def test_a_subgroup_of_one_class_has_no_auc_but_a_sensitivity() -> None:
    result = quick(GaussianNB(), subgroups={"outcome": Y})
    assert np.isnan(result.subgroups[1].metrics["it"]["auc"].value)
    assert np.isfinite(result.subgroups[1].metrics["it"]["sensitivity"].value)


def test_naming_the_other_class_positive_swaps_sensitivity_and_specificity() -> None:
    named = np.where(Y == 1, "responder", "none")
    one, other = (quick(GaussianNB(), X, named, positive=name)["it"] for name in ("responder", "none"))
    assert one.metrics["sensitivity"].value == pytest.approx(other.metrics["specificity"].value)
    assert one.metrics["auc"].value == pytest.approx(other.metrics["auc"].value)


@pytest.mark.parametrize("dtype", [np.float64, np.bool_, np.int8])
def test_zero_and_one_say_themselves_which_is_positive(dtype: type) -> None:
    one, other = quick(GaussianNB(), X, Y.astype(dtype)), quick(GaussianNB())
    assert one["it"].metrics == other["it"].metrics


def test_a_pandas_table_gives_what_its_array_gives() -> None:
    table = pd.DataFrame(X, columns=list("abcd"), index=np.arange(N)[::-1])
    one, other = quick(GaussianNB(), table), quick(GaussianNB())
    np.testing.assert_array_equal(one["it"].predicted, other["it"].predicted)


def test_several_classes_keep_their_names_and_columns() -> None:
    result = quick(GaussianNB(), X + 2 * (BEATS == "RBBB")[:, None], BEATS)
    assert result.problem.task.classes == ("LBBB", "RBBB", "healthy")
    expected = np.mean([roc_auc_score(BEATS, p, multi_class="ovr") for p in result["it"].predicted])
    assert result["it"].metrics["auc"].value == pytest.approx(expected)
    assert result["majority class"].metrics["accuracy"].value == pytest.approx(1 / 3)


def test_numbers_are_measured_against_the_mean_outcome() -> None:
    y = X[:, 0] * 8 + 50
    result = quick(Ridge(), X, y, shuffles=2)
    expected = np.mean([r2_score(y, p) for p in result["it"].predicted])
    assert result["it"].metrics["r2"].value == pytest.approx(expected)
    assert result["mean outcome"].metrics["mae"].value == pytest.approx(np.abs(y - y.mean()).mean())
    assert result["it"].leak is not None
    assert result["it"].leak.chance == 0


def test_a_constant_prediction_has_learnt_nothing_from_shuffled_numbers() -> None:
    leak = quick(DummyRegressor(), X, X[:, 0], shuffles=2)["it"].leak
    assert leak is not None
    assert leak.scores == (0, 0)
    assert leak.passed


def test_six_patients_are_enough_for_numbers_but_not_for_certainty() -> None:
    result = evaluate({"it": GaussianNB()}, X[[0, 1, 2, 57, 58, 59]], [0, 0, 0, 1, 1, 1], folds=3, seeds=2)
    auc = result["it"].metrics["auc"]
    assert 0 <= auc.value <= 1
    assert not auc.has_interval or auc.high - auc.low > 0.2


def test_progress_counts_every_fit_to_the_end() -> None:
    seen = []
    quick(GaussianNB(), shuffles=2, refits=3, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(i + 1, 2 * 5 + 2 * 5 + 4) for i in range(24)]


def test_the_area_under_the_drawn_curve_is_the_auc(full: Evaluation) -> None:
    area = np.trapezoid(*reversed(mean_roc(full.problem.truth, full["bayes"].predicted[..., 1])))
    assert area == pytest.approx(full["bayes"].metrics["auc"].value, abs=0.01)


@pytest.mark.parametrize("kind", ["two", "several", "number"])
def test_every_kind_has_a_picture_with_ink_in_each_panel(kind: str, tmp_path: Path) -> None:
    from matplotlib.image import imread

    model, y, panels = {
        "two": (GaussianNB(), Y, 3),
        "several": (GaussianNB(), BEATS, 1),
        "number": (Ridge(), X[:, 0], 2),
    }[kind]
    quick(model, X, y).figure(tmp_path / "figure.png")
    pixels = imread(tmp_path / "figure.png")[..., :3].min(axis=2)
    for panel in np.array_split(pixels[100:], panels, axis=1):
        assert (panel < 0.5).sum() > 1000


@pytest.mark.parametrize(
    ("model", "x", "y", "more", "message"),
    [
        (GaussianNB(), X, np.ones(N), {}, "all 60 rows are of class 1.0"),
        (GaussianNB(), X[:8], [0] * 6 + [1] * 2, {}, "class 1 has 2 patients, need one per fold = 5"),
        (GaussianNB(), X, np.where(Y, "yes", "no"), {}, "say which is meant by `positive=`"),
        (GaussianNB(), X, Y, {"positive": "yes"}, r"positive='yes' is none of the classes \[0, 1\]"),
        (GaussianNB(), X, BEATS, {"positive": "LBBB"}, "needs two classes, got 3"),
        (GaussianNB(), X, Y[:-1], {}, r"y has shape \(59,\), need \(60,\)"),
        (GaussianNB(), X, np.r_[np.nan, Y[1:]], {}, r"y\[0\] = nan"),
        (RidgeClassifier(), X, Y, {}, "classifiers with predict_proba"),
        (GaussianNB(), X, Y, {"groups": np.arange(4)}, r"groups has shape \(4,\)"),
        (GaussianNB(), X, Y, {"subgroups": {"age": np.arange(N)}}, r"subgroups\['age'\] has 60 levels"),
        (GaussianNB(), X, Y, {"subgroups": {"sex": SEX[:5]}}, r"subgroups\['sex'\] has shape \(5,\)"),
        (GaussianNB(), X, Y, {"seeds": 0}, "need a model, a seed and two folds"),
        (GaussianNB(), X, Y, {"threshold": 50}, "threshold = 50, need a probability"),
        (DummyRegressor(), X, np.full(N, np.inf), {}, r"y\[0\] = inf"),
    ],
)
def test_inputs_that_pose_no_fair_question_are_refused(
    model: BaseEstimator, x: np.ndarray, y: np.ndarray, more: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        quick(model, x, y, **more)


def test_a_model_that_cannot_take_gaps_is_named_and_so_are_the_gaps() -> None:
    gappy = X.copy()
    gappy[[7, 9], 1] = np.nan
    with pytest.raises(
        ValueError, match=r"model 'it' failed in fold 0 of seed 0 \(X has nan in 2 of 60 rows, first in row 7"
    ):
        quick(GaussianNB(), gappy)


class Percent(Echo):
    """Answers in percent."""

    def predict_proba(self, X: np.ndarray) -> np.ndarray:  # noqa: N803
        return 100 * super().predict_proba(X)


def test_percentages_are_no_probabilities() -> None:
    with pytest.raises(ValueError, match="rows that are no probabilities"):
        quick(Percent(), X, Y)


def test_the_baselines_name_is_taken() -> None:
    with pytest.raises(ValueError, match="'majority class' is the name of the baseline"):
        evaluate({"majority class": GaussianNB()}, X, Y)


def test_asking_for_an_unknown_model_names_the_known_ones(full: Evaluation) -> None:
    with pytest.raises(KeyError, match="'bayes', 'forest', 'majority class'"):
        full["lightgbm"]
