"""What a response model says of a plan's sites: with a model that answers by rule, and with a small real one."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from anatomy.formats import read_heart_file
from ml.model_store import ModelParts, save_model, write_parts
from ml.response import Neighbour, Predictor, ResponseAnswers, ResponseModel
from twin.planning.errors import SettingsError
from twin.planning.features import checked_row
from twin.planning.scoring import (
    CardedModel,
    ModelCard,
    SiteScore,
    load_carded_model,
    save_carded_model,
    score_rows,
)

CARD = ModelCard(
    name="by rule",
    label="LVESV down by 15 %",
    data="40 made-up rows",
    virtual=True,
    patients=40,
    responders=20,
    protocol="none",
    auc=(0.8, 0.7, 0.9),
)
Q_LV = Predictor(name="q_lv_ms", family="simulated", low=-1000, high=1000, increases=1)
SEX = Predictor(name="sex", family="clinical", choices=("female", "male"))


@dataclass
class ByRule:
    """Late sites respond; sites later than 200 ms are unlike its training data."""

    predictors: tuple[Predictor, ...] = (Q_LV, SEX)

    def answer(self, X: pd.DataFrame) -> ResponseAnswers:  # noqa: N803
        chance = X["q_lv_ms"].to_numpy() / 300
        n = len(X)
        return ResponseAnswers(
            probability=chance,
            low=chance - 0.1,
            high=chance + 0.1,
            supported=chance < 2 / 3,
            distance=np.zeros(n),
            furthest=("simulated",) * n,
            nearest=((Neighbour(patient="p1", outcome=1, distance=0.5),) * 4,) * n,
        )

    def contributions(self, X: pd.DataFrame) -> pd.DataFrame:  # noqa: N803
        return pd.DataFrame({"q_lv_ms": 0.01 * X["q_lv_ms"], "sex": -2.0})


def scored(*rows: dict[str, object]) -> list[SiteScore]:
    full = [checked_row({"id": f"S{k}", "captures": True, **row}) for k, row in enumerate(rows)]  # type: ignore[dict-item]
    return score_rows(full, CardedModel(model=ByRule(), card=CARD))


def test_a_site_like_the_training_data_gets_probability_interval_and_reasons() -> None:
    (score,) = scored({"q_lv_ms": 120.0, "sex": "male"})
    assert score.row == pytest.approx(
        {"response_probability": 0.4, "response_low": 0.3, "response_high": 0.5, "response_supported": True}
    )
    assert [(one["name"], one["value"], one["log_odds"]) for one in score.contributions] == [
        ("sex", "male", -2.0),
        ("q_lv_ms", 120.0, pytest.approx(1.2)),
    ]
    assert score.nearest == [{"patient": "p1", "responded": True, "distance": 0.5}] * 3
    assert score.reason is None


def test_outside_of_the_training_data_there_is_no_probability() -> None:
    (score,) = scored({"q_lv_ms": 250.0})
    assert score.row == {"response_supported": False}
    assert score.reason == "outside of the training data (simulated)"
    assert score.contributions == score.nearest == []


def test_a_site_is_scored_whether_a_lead_reaches_it_or_not_but_not_where_nothing_captures() -> None:
    away, silent = scored({"q_lv_ms": 60.0, "reachable": False}, {"captures": False})
    assert away.row["response_probability"] == pytest.approx(0.2)
    assert silent == SiteScore(row={})


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real model on 40 rows in which late sites respond."""
    rng = np.random.default_rng(0)
    late = rng.uniform(20, 160, 40)
    X = pd.DataFrame({"q_lv_ms": late, "sex": rng.choice(["female", "male"], 40)})  # noqa: N806
    model = ResponseModel((Q_LV, SEX), member="linear", refits=0).fit(
        X, (late + rng.normal(0, 20, 40) > 90).astype(int)
    )
    path = tmp_path_factory.mktemp("model") / "own.model"
    save_carded_model(model, CARD, path)
    return path


def test_a_saved_model_comes_back_with_its_card_and_its_answers(model_file: Path) -> None:
    carded = load_carded_model(model_file)
    assert carded is not None
    assert carded.card == CARD
    assert (carded.file[0], len(carded.file[1])) == ("own.model", 64)
    rows = [checked_row({"id": str(ms), "captures": True, "q_lv_ms": ms, "sex": "male"}) for ms in (40.0, 140.0)]
    early, later = (score.row["response_probability"] for score in score_rows(rows, carded))
    assert isinstance(early, float)
    assert isinstance(later, float)
    assert early < 0.5 < later


def test_none_means_no_model() -> None:
    assert load_carded_model("none") is None


def test_what_is_no_response_model_with_a_card_is_refused(model_file: Path, tmp_path: Path) -> None:
    carded = load_carded_model(model_file)
    assert carded is not None
    path = tmp_path / "other.model"

    def refused(match: str) -> None:
        with pytest.raises(SettingsError, match=match) as fault:
            load_carded_model(path)
        assert "\n" not in str(fault.value)
        assert str(tmp_path) not in str(fault.value)

    refused("there is no such file")
    path.write_bytes(b"no model")
    refused("no model file")
    save_model(carded.model, path)  # type: ignore[type-var]
    refused("without a card")
    write_parts(path, "response", ModelParts(settings={}, texts={"card": "{}"}))
    refused("its card lacks")


def test_a_model_that_reads_what_no_plan_has_is_refused(tmp_path: Path) -> None:
    shoe = Predictor(name="shoe_size", family="clinical", low=20, high=60)
    X = pd.DataFrame({"shoe_size": np.linspace(30, 50, 20)})  # noqa: N806
    model = ResponseModel((shoe,), member="linear", refits=0).fit(X, (np.arange(20) % 3 > 0).astype(int))
    save_carded_model(model, CARD, tmp_path / "shoes.model")
    with pytest.raises(SettingsError, match="reads shoe_size, which no plan has"):
        load_carded_model(tmp_path / "shoes.model")


def test_a_plan_shows_probabilities_contributions_and_the_card_and_names_the_model(
    small_folder: Path, tmp_path: Path, plan: Any, model_file: Path
) -> None:
    (small_folder / "patient.yaml").write_text("clinical: {sex: male}\n")
    made = plan(small_folder, tmp_path / "plan", {"response_model": str(model_file)})
    assert made.content["response_model"]["name"] == "by rule"
    assert any("trained on virtual patients" in line for line in made.content["warnings"])
    scored = [site for site in made.content["sites"] if site["response_probability"] is not None]
    assert scored
    for site in made.content["sites"]:
        assert (site["response_reason"] is None) == (site["response_supported"] is not False)
        assert (site["response_probability"] is None) == (site["response_supported"] is not True)
    for site in scored:
        assert {one["name"] for one in site["contributions"]} == {"q_lv_ms", "sex"}
        assert site["nearest_patients"]
    ranks = [site["rank"] for site in made.content["sites"] if site["rank"] is not None]
    assert ranks == sorted(ranks)
    report = (made.out / "report.html").read_text()
    assert "Model card" in report
    assert "not for clinical use" in report
    provenance = json.loads((made.out / "provenance.json").read_text())
    assert provenance["settings"]["response_model"].startswith("own.model ")
    file = read_heart_file(made.out / "heart.vtu")
    chance = file.point_arrays["response_probability"]
    for site in scored:
        distance = np.linalg.norm(file.nodes_mm - site["position_mm"], axis=1)
        here = np.isfinite(chance) & (distance < 10)
        assert here.any()
        # Nearer to this site than to any other, where other sites may speak.
        assert chance[here][distance[here].argmin()] == pytest.approx(site["response_probability"], abs=1e-4)
    places = np.array([site["position_mm"] for site in scored])
    far = np.linalg.norm(file.nodes_mm[:, None] - places, axis=2).min(axis=1) > 10
    assert np.isnan(chance[far]).all()
