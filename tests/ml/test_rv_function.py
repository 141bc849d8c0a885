from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.model_selection import cross_validate

from ml.ecg.recording import STANDARD_LEADS
from ml.model_store import load_model, read_parts, save_model, write_parts
from ml.pretraining import PRETRAINING_PLAN, pretrain
from ml.rv_function import RVFunctionRegressor, is_dilated, is_dysfunction
from ml.training import TrainingPlan
from tests.ml.heartbeats import beats

torch.set_num_threads(1)
Array = NDArray[np.float64]


def planted(n: int = 24, seed: int = 0) -> tuple[Array, Array]:
    """(n, 12, 160) mV at 200 Hz and (n, 2): RVEF falls, and RVEDV rises, in line with the size of the ECG."""
    x, _ = beats(1, rate_hz=200.0)
    size = np.random.default_rng(seed).uniform(0.4, 1.6, n)
    return x[[0] * n] * size[:, None, None], np.stack([70 - 25 * size, 50 + 60 * size], axis=1)


def regressor(**changes: Any) -> RVFunctionRegressor:
    settings = {"sampling_hz": 200.0, "max_epochs": 2, "patience": None, "learning_rate": 1e-3, "batch_size": 8}
    return RVFunctionRegressor(**({"device": "cpu"} | settings | changes))


def test_a_planted_relation_is_learnt_better_than_the_mean() -> None:
    x, y = planted()
    fresh, truth = planted(seed=1)
    model = regressor(max_epochs=16).fit(x, y)
    error = np.abs(model.predict(fresh) - truth).mean(axis=0)
    assert (error < 0.5 * np.abs(y.mean(axis=0) - truth).mean(axis=0)).all()


def test_a_network_that_says_nothing_predicts_the_mean_of_its_cohort() -> None:
    x, y = planted(8)
    model = regressor().fit(x, y)
    with torch.no_grad():
        for name in ("weight", "bias"):
            model.network_.network.fc.get_parameter(name).zero_()
    np.testing.assert_allclose(model.predict(x), np.tile(y.mean(axis=0), (8, 1)), rtol=1e-6)


def test_fine_tuning_starts_from_the_weights_of_the_large_cohort() -> None:
    large = regressor(max_epochs=12).fit(*planted())
    x, y = planted(8, seed=2)
    tuned = regressor(pretrained=large.trained_weights(), max_epochs=1, learning_rate=1e-12).fit(x, y)
    scratch = regressor(max_epochs=1, learning_rate=1e-12).fit(x, y)
    ours, theirs = tuned.network_.network.state_dict(), large.network_.network.state_dict()
    for name in ("conv1.weight", "fc.weight"):
        torch.testing.assert_close(ours[name], theirs[name], rtol=0, atol=1e-9)
    assert tuned.curve_.training[0] < 0.7 * scratch.curve_.training[0]
    assert tuned.pretraining_ == {"fitted": "RVFunctionRegressor", "pretraining": {}}


def test_self_supervised_weights_are_taken_as_well() -> None:
    x, y = planted(8)
    plan = TrainingPlan(**(vars(PRETRAINING_PLAN) | {"max_epochs": 1, "device": "cpu"}))
    weights = pretrain(regressor().signals_for_network(x), 250.0, "masked", plan=plan)
    tuned = regressor(pretrained=weights, learning_rate=1e-12, max_epochs=1).fit(x, y)
    np.testing.assert_allclose(tuned.network_.network.conv1.weight.detach(), weights.weights["conv1.weight"], atol=1e-9)
    assert tuned.pretraining_["method"] == "masked"


def test_the_same_seed_gives_the_same_numbers_and_another_does_not() -> None:
    x, y = planted(8)
    first = regressor(random_state=3).fit(x, y)
    np.testing.assert_array_equal(clone(first).fit(x, y).predict(x), first.predict(x))
    assert not np.allclose(clone(first).set_params(random_state=4).fit(x, y).predict(x), first.predict(x))


def test_a_saved_model_gives_the_same_output(tmp_path: Path) -> None:
    x, y = planted(8)
    model = regressor(pretrained=regressor().fit(x, y).trained_weights()).fit(x, y)
    save_model(model, tmp_path / "rv.model")
    loaded = load_model(tmp_path / "rv.model")
    np.testing.assert_array_equal(loaded.predict(x), model.predict(x))
    assert loaded.pretraining_ == model.pretraining_
    assert loaded.pretrained is None


def test_a_saved_scale_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rv.model"
    save_model(regressor().fit(*planted(6)), path)
    name, parts = read_parts(path)
    parts.state["targets"] = {"mean": [50.0, 90.0], "deviation": [8.0, 0.0]}
    write_parts(path, name, parts)
    with pytest.raises(ValueError, match="scale of the values"):
        load_model(path)


def test_ecgs_of_another_rate_and_order_of_leads_give_the_same_answer() -> None:
    x, y = planted(8)
    model = regressor().fit(x, y)
    order = np.random.default_rng(0).permutation(12)
    other = type(model).from_parts(model.parts())
    other.set_params(leads=tuple(STANDARD_LEADS[k] for k in order))
    np.testing.assert_array_equal(other.predict(x[:, order]), model.predict(x))
    assert model.signals_for_network(x).shape == (8, 12, 199)  # as far as 160 samples at 200 Hz reach
    other = type(model).from_parts(model.parts()).set_params(sampling_hz=250.0)
    np.testing.assert_array_equal(other.predict(model.signals_for_network(x)), model.predict(x))


def test_it_works_in_cross_validation_with_early_stopping_patients_and_weights() -> None:
    x, y = planted(12)
    other_cohort = regressor(max_epochs=1).fit(*planted(6, seed=3))
    done = cross_validate(
        regressor(patience=1, pretrained=other_cohort.trained_weights()),
        x,
        y,
        cv=2,
        params={"groups": np.arange(12) // 2},
        scoring="neg_mean_absolute_error",
        error_score="raise",
        return_estimator=True,
    )
    assert np.isfinite(done["test_score"]).all()
    assert all(len(model.curve_.watched) > 0 and model.pretraining_ for model in done["estimator"])


def test_one_patient_cannot_be_both_learnt_from_and_watched() -> None:
    with pytest.raises(ValueError, match="from 1 patient"):
        regressor(patience=1).fit(*planted(6), groups=np.zeros(6))


def test_the_scale_is_that_of_the_rows_to_fit_and_not_of_those_watched() -> None:
    x, y = planted(8)
    model = regressor(patience=1).fit(x, y, watched=(x, np.clip(y * 1.2, 1, 99)))
    np.testing.assert_allclose([model.target_mean_, model.target_deviation_], [y.mean(axis=0), y.std(axis=0)])


def test_the_published_limits_belong_to_dysfunction_and_not_to_dilation() -> None:
    values = np.array([[40.0, 120.0], [40.1, 120.1]])
    assert is_dysfunction(values).tolist() == [True, False]
    assert is_dilated(values).tolist() == [False, True]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda y: y[:, 0], r"y has shape \(6,\), need \(6, 2\)"),
        (lambda y: y / 100, "shares of 1: multiply by 100"),
        (lambda y: y[:, ::-1], "RVEF between 0 and 100"),
        (lambda y: np.where(np.arange(6)[:, None] == 4, np.nan, y), r"y\[4\] is .nan, nan.*1 of 6"),
        (lambda y: np.where([True, False], 50.0, y), "rvef_percent is 50 in all 6 rows"),
    ],
)
def test_values_that_cannot_be_learnt_are_refused(change: Any, message: str) -> None:
    x, y = planted(6)
    with pytest.raises(ValueError, match=message):
        regressor().fit(x, change(np.where(y > 100, 130.0, y) if message.startswith("RVEF") else y))
