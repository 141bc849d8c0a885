"""Laws of the boosted trees: they learn what is there and nothing else, and a saved model is the same model."""

from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import StratifiedKFold, cross_val_predict, cross_validate

from ml.complexes import complexes
from ml.ecg.recording import STANDARD_LEADS
from ml.ecg_features import columns, feature_table
from ml.lightgbm_classifier import LightGbmClassifier
from tests.ml.heartbeats import RATE_HZ, beats, recordings, with_a_gap
from tests.ml.real_beats import eight_lead_beats


def small(**settings: Any) -> LightGbmClassifier:
    return LightGbmClassifier(RATE_HZ, **{"components": 3, "trees": 20, **settings})


@pytest.mark.parametrize("make", [beats, recordings])
def test_broad_and_narrow_complexes_are_told_apart(make: Any) -> None:
    signals, broad = make(30)
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    scores = cross_validate(small(), signals, broad, cv=folds, scoring="roc_auc")["test_score"]
    assert scores.min() > 0.95


def test_labels_without_meaning_are_not_learnt() -> None:
    signals, _ = beats(40)
    labels = np.random.default_rng(0).permutation(np.arange(40) % 2)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    assert 0.25 < (cross_val_predict(small(), signals, labels, cv=folds) == labels).mean() < 0.75


def test_three_real_patterns_are_told_apart_by_shape_alone() -> None:
    signals, labels, leads = eight_lead_beats()
    model = LightGbmClassifier(1000.0, leads=leads, real_time=False, trees=60)
    found = cross_val_predict(model, signals, labels, cv=StratifiedKFold(3, shuffle=True, random_state=0))
    assert (found == labels).mean() > 0.7


def test_the_same_seed_gives_the_same_bits_with_any_number_of_threads() -> None:
    signals, _ = beats(24)
    labels = np.random.default_rng(0).permutation(np.arange(24) % 2)
    first, again, threads = (small(threads=n).fit(signals, labels).predict_proba(signals) for n in (1, 1, 2))
    np.testing.assert_array_equal(again, first)
    np.testing.assert_array_equal(threads, first)
    other = small(random_state=1).fit(signals, labels).predict_proba(signals)
    assert not np.array_equal(other, first)


@pytest.mark.parametrize("classes", [2, 3])
def test_contributions_sum_to_the_log_odds(classes: int) -> None:
    signals, broad = beats(30)
    labels = broad if classes == 2 else np.arange(30) % 3
    model = small().fit(signals, labels)
    sums = model.contributions(signals).sum(axis=2)
    probabilities = model.predict_proba(signals)
    if classes == 2:
        np.testing.assert_allclose(sums[:, 0], np.log(probabilities[:, 1] / probabilities[:, 0]), atol=1e-9)
    else:
        np.testing.assert_allclose(np.exp(sums) / np.exp(sums).sum(axis=1, keepdims=True), probabilities, atol=1e-9)


def test_probabilities_and_labels_go_together() -> None:
    signals, broad = beats(20)
    names = np.where(broad, "LBBB", "healthy")
    model = small().fit(signals, names)
    probabilities = model.predict_proba(signals)
    assert model.classes_.tolist() == ["LBBB", "healthy"]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_array_equal(model.predict(signals), model.classes_[probabilities.argmax(axis=1)])
    assert (model.predict(signals) == names).mean() > 0.9


def test_components_are_fitted_to_the_training_ecgs_alone() -> None:
    signals, broad = beats(16)
    model = small().fit(signals[:12], broad[:12])
    before = model.table(signals[:12])
    model.table(signals)
    np.testing.assert_array_equal(model.table(signals[:12]), before)
    np.testing.assert_allclose(before[:, -3:].mean(axis=0), 0, atol=1e-6)
    assert np.abs(model.table(signals)[:, -3:].mean(axis=0)).max() > 1e-3


def test_the_table_is_the_measurements_and_the_components() -> None:
    signals, broad = beats(12)
    model = small().fit(signals, broad)
    measured = feature_table(complexes(signals.astype(np.float32), RATE_HZ))
    # A lead made of others may differ in the last bit.
    np.testing.assert_allclose(model.table(signals)[:, :-3], measured, rtol=1e-4, atol=1e-4)
    assert model.columns_[:-3] == columns()
    assert [column.name for column in model.columns_[-3:]] == [f"qrs_component_{i}_mv" for i in (1, 2, 3)]


@pytest.mark.parametrize("labels", [["a", "b"], [False, True], [3, 7]])
def test_its_parts_make_the_same_model(labels: list[Any]) -> None:
    signals, broad = beats(20)
    model = small(leads=STANDARD_LEADS).fit(signals, np.array(labels)[broad])
    again = LightGbmClassifier.from_parts(model.parts())
    np.testing.assert_array_equal(again.predict_proba(signals), model.predict_proba(signals))
    np.testing.assert_array_equal(again.predict(signals), model.predict(signals))
    assert again.get_params() == model.get_params()
    assert again.columns_ == model.columns_


def test_trees_of_other_columns_are_refused() -> None:
    signals, broad = beats(20)
    parts = small().fit(signals, broad).parts()
    parts.texts["trees"] = small(real_time=False).fit(signals, broad).parts().texts["trees"]
    with pytest.raises(ValueError, match="other columns"):
        LightGbmClassifier.from_parts(parts)


def test_six_ecgs_give_the_share_of_their_classes() -> None:
    signals, _ = beats(6)
    model = LightGbmClassifier(RATE_HZ, trees=20).fit(signals, [0, 0, 0, 0, 1, 1])
    np.testing.assert_allclose(model.predict_proba(signals), [[2 / 3, 1 / 3]] * 6, atol=1e-6)


def test_the_order_of_the_leads_does_not_matter() -> None:
    signals, broad = beats(20)
    order = np.random.default_rng(3).permutation(12)
    model = small().fit(signals, broad)
    turned = small(leads=tuple(STANDARD_LEADS[i] for i in order)).fit(signals[:, order], broad)
    np.testing.assert_array_equal(turned.predict_proba(signals[:, order]), model.predict_proba(signals))


@pytest.mark.parametrize("ask", ["predict", "predict_proba", "contributions", "table"])
def test_a_model_that_has_learnt_nothing_says_so(ask: str) -> None:
    with pytest.raises(NotFittedError):
        getattr(small(), ask)(beats(2)[0])


def test_cloning_keeps_every_setting() -> None:
    model = LightGbmClassifier(
        300.0, leads=("I", "II"), real_time=False, components=4, trees=7, threads=2, random_state=5
    )
    assert clone(model).get_params() == model.get_params()


@pytest.mark.parametrize(
    ("change", "labels", "message"),
    [
        (with_a_gap, [0, 1] * 4, r"X\[1\] has nan in lead V2"),
        (lambda signals: 1000 * signals, [0, 1] * 4, "microvolts"),
        (lambda signals: signals, [1] * 8, "every label is 1; .* at least two classes"),
        (lambda signals: signals, [0.0, 1.0, np.nan, 1.0, 0.0, 1.0, 0.0, np.nan], r"y\[2\] is nan \(2 of 8"),
        (lambda signals: signals, [0, 1], r"y has shape \(2,\), need one label for each of the 8"),
    ],
)
def test_what_cannot_be_learnt_is_refused(change: Any, labels: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small().fit(change(beats(8)[0]), labels)
