"""Contributions of features add up, and know their leads."""

import csv
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from ml.explain.contributions import Contributions, contributions, draw_contributions, lead_of, write_table
from ml.lightgbm_classifier import LightGbmClassifier
from tests.ml.heartbeats import RATE_HZ, beats


@cache
def fitted(classes: int) -> tuple[LightGbmClassifier, np.ndarray]:
    x, y = beats(24)
    labels = np.array(["c", "a", "b"])[(y + 2 * (np.arange(24) % 4 == 0)) if classes == 3 else y]
    return LightGbmClassifier(RATE_HZ, trees=20).fit(x, labels), x


def test_contributions_and_constant_sum_to_the_log_odds() -> None:
    model, x = fitted(2)
    probability = model.predict_proba(x)
    for target, other in ((0, 1), (1, 0)):
        raw = contributions(model, x, target).raw
        np.testing.assert_allclose(raw, np.log(probability[:, target] / probability[:, other]), rtol=1e-9, atol=1e-9)
    assert np.ptp(raw) > 0.1


def test_contributions_of_several_classes_sum_to_what_goes_into_the_softmax() -> None:
    model, x = fitted(3)
    raw = np.stack([contributions(model, x, target).raw for target in range(3)], axis=1)
    shares = np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(shares, model.predict_proba(x), rtol=1e-9)


def test_sums_by_lead_add_up_to_the_sum_of_all() -> None:
    found = contributions(*fitted(2), 1)
    np.testing.assert_allclose(sum(found.by_lead().values()), found.raw - found.constant, atol=1e-12)


def test_a_feature_belongs_to_the_lead_in_its_name() -> None:
    model, _ = fitted(2)
    leads = {column.name: lead_of(column) for column in model.columns_}
    assert (leads["aVL_r_mv"], leads["V1_t_mv"]) == ("aVL", "V1")
    assert leads["qrs_ms"] == leads["qrs_component_1_mv"] == leads["t_peak_mv"] == "whole ECG"


def test_the_strongest_features_come_first_and_those_that_add_nothing_not_at_all() -> None:
    model, _ = fitted(2)
    added = np.array([[0.0, -3.0, 1.0], [0.0, 1.0, -1.0]])
    found = Contributions(columns=model.columns_[:3], values=added, added=added, constant=np.zeros(2))
    assert found.strongest() == [1, 2]


def test_the_table_holds_every_number_exactly(tmp_path: Path) -> None:
    found = contributions(*fitted(2), 1)
    write_table(found, [f"patient {i}" for i in range(24)], tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["ecg", "raw", "constant", *(column.name for column in found.columns)]
    np.testing.assert_array_equal(
        np.array([row[1:] for row in rows], dtype=float), np.c_[found.raw, found.constant, found.added]
    )


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_pictures_are_drawn_where_measurements_are_missing(tmp_path: Path, share: float) -> None:
    found = contributions(*fitted(2), 1)
    values = np.where(np.random.default_rng(0).random(found.values.shape) < share, np.nan, found.values)
    holed = Contributions(columns=found.columns, values=values, added=found.added, constant=found.constant)
    draw_contributions(holed, tmp_path / "p.png")
    draw_contributions(holed, tmp_path / "q.png")
    assert (tmp_path / "p.png").read_bytes() == (tmp_path / "q.png").read_bytes()
