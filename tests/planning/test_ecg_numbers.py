"""Size and function of the right ventricle: limits and survival follow from the out-of-fold predictions."""

import json
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.metrics import roc_auc_score

from ml.evaluation import PUBLISHED, evaluate, hazard_ratio
from tests.planning.ecg_tables import FEW, N, write_table
from twin.planning.ecg_numbers import EvaluatedNumbers, evaluate_numbers

ROWS = 40
RNG = np.random.default_rng(0)
SAMPLES = RNG.normal(size=(ROWS, 3))
RV = {
    "rvef_percent": 45 + 8 * SAMPLES[:, 0] + RNG.normal(0, 4, ROWS),
    "rvedv_ml_per_m2": 110 + 20 * SAMPLES[:, 1] + RNG.normal(0, 10, ROWS),
}
TIMES = RNG.exponential(np.exp(0.05 * RV["rvef_percent"]))
EVENTS = (np.arange(ROWS) % 3 > 0).astype(np.int64)


class Lines(LinearRegression):
    """Least squares, which treats each number as if it were alone."""

    fits = 0

    def fit(self, X: Any, y: Any, groups: Any = None) -> Self:  # noqa: N803, ARG002
        Lines.fits += 1
        return super().fit(X, y)


def found(numbers: dict[str, np.ndarray] = RV, **changed: Any) -> EvaluatedNumbers:
    options = {"groups": np.arange(ROWS), "folds": 4, "seeds": 2, "resamples": 100, "times": TIMES, "events": EVENTS}
    return evaluate_numbers("m", Lines(), SAMPLES, numbers, **{**options, **changed})


def test_each_number_is_evaluated_as_if_it_were_alone_with_one_fit_for_both() -> None:
    steps: list[tuple[int, int]] = []
    patients = np.arange(ROWS) // 2
    Lines.fits = 0
    several = found(groups=patients, progress=lambda done, total: steps.append((done, total)))
    assert Lines.fits == 8
    assert steps == [(done, 8) for done in range(1, 9)]
    for name, outcome in RV.items():
        alone = evaluate({"m": LinearRegression()}, SAMPLES, outcome, groups=patients, folds=4, seeds=2, resamples=100)
        np.testing.assert_allclose(several.each[name]["m"].predicted, alone["m"].predicted, rtol=1e-12)
        assert several.each[name]["m"].metrics["mae"].value == pytest.approx(alone["m"].metrics["mae"].value)
        assert several.each[name]["m"].settings == "Lines()"
    assert f"# {name}\n" in several.table()


def test_limits_are_scored_by_the_predicted_numbers() -> None:
    pytest.importorskip("monai")
    several = found()
    low = [roc_auc_score(RV["rvef_percent"] <= 40, -one) for one in several.each["rvef_percent"]["m"].predicted]
    wide = [roc_auc_score(RV["rvedv_ml_per_m2"] > 120, one) for one in several.each["rvedv_ml_per_m2"]["m"].predicted]
    for name, scores in (("RVEF <= 40 %", low), ("RVEDV > 120 mL/m2", wide)):
        limit = several.limits[name]
        assert not isinstance(limit, str)
        assert limit.value == pytest.approx(np.mean(scores))
        assert limit.low < limit.value < limit.high


def test_the_hazard_ratio_is_that_of_ten_percent_less_of_the_mean_prediction() -> None:
    pytest.importorskip("monai")
    several = found()
    expected = hazard_ratio(several.each["rvef_percent"]["m"].predicted.mean(axis=0), TIMES, EVENTS, per=-10)
    assert several.hazard == expected
    assert expected.ratio.value > 1  # who has less lives shorter, by construction


def test_the_first_section_has_what_is_published_beside_ours() -> None:
    pytest.importorskip("monai")
    page = found(published=PUBLISHED["rv-function"], virtual=True).table().split("\n## ")[0]
    rows = {line.split(" | ")[0].strip("| "): line.split(" | ") for line in page.splitlines() if line.startswith("| ")}
    assert rows["MAE of RVEF in %"][2] == "7.8 |"
    assert rows["MAE of RVEDV in mL/m2"][2] == "17.6 |"
    assert rows["AUROC of RVEF <= 40 %"][2] == "0.86, 0.81, 0.77 |"
    assert rows["AUROC of RVEDV > 120 mL/m2"][2] == "0.91, 0.81, 0.92 |"
    assert rows["hazard ratio per 10 % lower predicted RVEF"][2] == "1.4 |"
    assert "ours, virtual patients" in page
    assert "Research use only" in page


@pytest.mark.parametrize(
    ("changed", "limit", "hazard"),
    [
        ({"times": None, "events": None}, "", "it needs the columns time and event"),
        ({"groups": np.arange(ROWS) // 2}, "", "one ECG per patient"),
        ({"events": np.zeros(ROWS, dtype=np.int64)}, "", "none of the 40 patients had the event"),
        ({"numbers": RV | {"rvef_percent": RV["rvef_percent"] + 40}}, "none of the 40 rows are so", ""),
    ],
)
def test_what_cannot_be_said_says_why(changed: dict[str, Any], limit: str, hazard: str) -> None:
    pytest.importorskip("monai")
    several = found(**changed)
    for told, why in ((several.limits["RVEF <= 40 %"], limit), (several.hazard, hazard)):
        assert isinstance(told, str) == bool(why)
        if why:
            assert why in told
            assert why in several.table()
    content = json.loads(json.dumps(several.to_json(), allow_nan=False))
    assert (content["limits"]["RVEF <= 40 %"] is None) == bool(limit)
    assert (content["hazard_ratio"] is None) == bool(hazard)


def test_the_command_line_reads_follow_up_and_explains_a_number_by_its_name(run: Any, tmp_path: Path) -> None:
    pytest.importorskip("monai")

    def measured(rows: list[dict[str, str]]) -> None:
        for i, row in enumerate(rows):
            row |= {"rvef_percent": str(30 + i), "rvedv_ml_per_m2": str(150 - 4 * i)}
            row |= {"time": str(1 + i), "event": str(int(i % 2 == 0))}

    table, out = write_table(tmp_path / "ecgs", change=measured), tmp_path / "rv"
    quick = ("--set", "max_epochs=1", "--set", "patience=null")
    result = run("ecg", "train", "--model", "rv-function", "--data", table, "--out", out, *FEW, *quick)
    assert result.exit_code == 0, result.stderr
    content = json.loads((tmp_path / "rv.evaluation" / "evaluation.json").read_text())
    assert content["hazard_ratio"]["low"] < content["hazard_ratio"]["value"]
    assert "| hazard ratio per 10 % lower predicted RVEF | " in result.stdout
    name = "rvedv_ml_per_m2"
    result = run("ecg", "explain", out, table, "--out", tmp_path / "why", "--class", name)
    assert result.exit_code == 0, result.stderr
    told = json.loads((tmp_path / "why" / "explanation.json").read_text())
    answers = json.loads(run("ecg", "predict", out, table, "--json").stdout)["recordings"]
    assert told["explained"] == f"predicted {name}"
    assert list(told["answers"].values()) == pytest.approx([row[name] for row in answers], rel=1e-5)
    assert len(answers) == N
    wrong = run("ecg", "explain", out, table, "--out", tmp_path / "no", "--class", "lvef")
    assert wrong.exit_code == 2
    assert "the model knows rvef_percent, rvedv_ml_per_m2" in wrong.stderr
