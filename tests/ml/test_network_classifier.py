import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.model_selection import cross_validate

from ml.ecg.recording import STANDARD_LEADS, Ecg
from ml.image_resnet import ImageResNetClassifier
from ml.model_store import load_model, read_parts, save_model, write_parts
from ml.network_classifier import (
    CardiomyopathyClassifier,
    CompositeClassifier,
    NetworkClassifier,
    SlidingScarClassifier,
)
from ml.network_estimator import inner_split
from ml.page_image import model_image
from ml.signals import as_signals

torch.set_num_threads(1)
ROOT = Path(__file__).parents[2]
EIGHT = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
Array = NDArray[Any]


def beats(n: int = 16, classes: int = 2, seed: int = 0, rate_hz: float = 500.0) -> tuple[Array, Array]:
    """(n, 12, 500 ms) mV and classes that differ in the direction and the width of the QRS."""
    rng = np.random.default_rng(seed)
    t = np.arange(0, 500, 1000 / rate_hz)
    y = np.arange(n) % classes
    signals = []
    for label in y:
        size = np.linspace(1.0, 1.0 - 1.8 * label / (classes - 1), 8) * rng.uniform(0.8, 1.2, 8)
        wave = np.exp(-0.5 * ((t - 250 + rng.uniform(-10, 10)) / (12 + 8 * label)) ** 2)
        signals.append(Ecg(leads=EIGHT, signal_mv=size[:, None] * wave, rate_hz=rate_hz).twelve_leads().signal_mv)
    return np.stack(signals), y


def scars(n: int = 8, seed: int = 0) -> tuple[Array, Array]:
    """(n, 5, 2, 32, 32): rings of myocardium, with scar in class 1; the last patients lack slices."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[-1:1:32j, -1:1:32j]
    ring = (np.hypot(row, column) < 0.8) & (np.hypot(row, column) > 0.5)
    y = np.arange(n) % 2
    slices = np.zeros((n, 5, 2, 32, 32), dtype=np.float32)
    slices[:, :, 0] = ring
    slices[:, :, 1] = ring & (column > 0.3) & (y[:, None, None, None] == 1) & (rng.random((n, 5, 1, 1)) < 0.9)
    slices[n // 2 :, 3:] = np.nan
    return slices, y


def composite(**changes: Any) -> CompositeClassifier:
    settings = {"window": "whole", "max_epochs": 2, "patience": None, "learning_rate": 1e-3, "device": "cpu"}
    return CompositeClassifier(sampling_hz=500.0, **(settings | changes))


def image(**changes: Any) -> ImageResNetClassifier:
    settings = {"size": 64, "panel_s": 0.5, "max_epochs": 1, "patience": None, "learning_rate": 1e-3, "device": "cpu"}
    return ImageResNetClassifier(sampling_hz=500.0, **(settings | changes))


def scar(**changes: Any) -> SlidingScarClassifier:
    settings = {"max_epochs": 2, "patience": None, "learning_rate": 1e-3, "device": "cpu"}
    return SlidingScarClassifier(**(settings | changes))


Case = tuple[Callable[..., NetworkClassifier], Callable[[], tuple[Array, Array]]]
CASES: list[Case] = [(composite, beats), (image, beats), (scar, scars)]
every_model = pytest.mark.parametrize(("make", "data"), CASES, ids=["composite", "image", "scar"])


@every_model
def test_the_same_seed_gives_the_same_probabilities(make: Any, data: Any) -> None:
    x, y = data()
    first = make(random_state=3).fit(x, y)
    again, other = clone(first).fit(x, y), make(random_state=4).fit(x, y)
    np.testing.assert_array_equal(first.predict_proba(x), again.predict_proba(x))
    assert not np.allclose(first.predict_proba(x), other.predict_proba(x), atol=1e-6)


def test_saved_models_give_the_same_bits_in_a_fresh_process(tmp_path: Path) -> None:
    code = (
        "import sys, numpy as np, torch; torch.set_num_threads(1)\n"
        "from ml.model_store import load_model\n"
        "for k in '012': np.save(f'{sys.argv[1]}/{k}p.npy',"
        " load_model(f'{sys.argv[1]}/{k}.model').predict_proba(np.load(f'{sys.argv[1]}/{k}x.npy')))"
    )
    expected = []
    for k, (make, data) in enumerate(CASES):
        x, y = data()
        model = make().fit(x, np.where(y == 1, "responder", "none"))
        save_model(model, tmp_path / f"{k}.model")
        np.save(tmp_path / f"{k}x.npy", x)
        expected.append(model.predict_proba(x))
        loaded = load_model(tmp_path / f"{k}.model")
        assert loaded.get_params() == model.get_params()
        assert loaded.curve_ == model.curve_
        assert loaded.predict(x).tolist() == model.predict(x).tolist()
    subprocess.run([sys.executable, "-c", code, tmp_path], cwd=ROOT, check=True, timeout=120)  # noqa: S603
    for k, probabilities in enumerate(expected):
        np.testing.assert_array_equal(np.load(tmp_path / f"{k}p.npy"), probabilities)


def test_classes_that_differ_are_told_apart_in_cross_validation() -> None:
    x, y = beats(n=24)
    scores = cross_validate(composite(max_epochs=15), x, y, cv=2, scoring="roc_auc")["test_score"]
    assert min(scores) > 0.9


def test_scar_is_told_from_no_scar() -> None:
    x, y = scars(n=16)
    model = scar(max_epochs=30, learning_rate=1e-2).fit(x, y)
    fresh, labels = scars(n=16, seed=1)
    assert (model.predict(fresh) == labels).mean() > 0.8


def test_three_classes_get_probabilities_in_the_order_of_their_names() -> None:
    x, y = beats(n=18, classes=3)
    names = np.array(["sarc", "gen", "myo"])[y]
    model = CardiomyopathyClassifier(
        sampling_hz=500.0, window="whole", max_epochs=20, patience=None, learning_rate=1e-3, device="cpu"
    ).fit(x, names)
    shares = model.predict_proba(x)
    assert model.classes_.tolist() == ["gen", "myo", "sarc"]
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert (model.classes_[shares.argmax(axis=1)] == names).mean() > 0.8


def test_swapping_the_names_of_two_classes_swaps_their_probabilities() -> None:
    x, y = beats()
    one, two = composite().fit(x, y), composite().fit(x, y + 5)
    np.testing.assert_array_equal(one.predict_proba(x), two.predict_proba(x))
    assert two.classes_.tolist() == [5, 6]


@pytest.mark.parametrize("make", [composite, image])
def test_the_order_of_the_leads_does_not_matter(make: Any) -> None:
    x, y = beats()
    order = np.random.default_rng(0).permutation(12)
    names = tuple(STANDARD_LEADS[k] for k in order)
    plain, mixed = make().fit(x, y), make(leads=names).fit(x[:, order], y)
    np.testing.assert_array_equal(plain.predict_proba(x), mixed.predict_proba(x[:, order]))


def test_a_model_reads_ecgs_of_another_sampling_rate() -> None:
    x, y = beats()
    model = composite(window="qrs", max_epochs=3).fit(x, y)
    other = CompositeClassifier.from_parts(model.parts()).set_params(sampling_hz=1000.0)
    np.testing.assert_allclose(other.predict_proba(beats(rate_hz=1000.0)[0]), model.predict_proba(x), atol=0.02)


@every_model
def test_the_seed_decides_on_the_first_weights(make: Any, data: Any) -> None:
    x, y = data()
    # Nothing is learnt and all rows are one batch: only the first weights can differ.
    one, two = (
        make(random_state=seed, max_epochs=1, learning_rate=1e-12).fit(x, y).predict_proba(x) for seed in (0, 1)
    )
    assert not np.allclose(one, two, atol=1e-6)


def test_the_picture_is_drawn_with_the_settings_of_the_model() -> None:
    x, _ = beats(n=2)
    picture = image(size=48, panel_s=0.7).network_inputs(x)
    np.testing.assert_array_equal(
        picture.numpy(), model_image(as_signals(x, STANDARD_LEADS, 500), 500, size=48, panel_s=0.7)
    )


def test_the_pre_implant_leads_come_first() -> None:
    pre, post = beats()[0], beats(seed=1)[0]
    both = composite(recordings=2).network_inputs(np.concatenate([pre, post], axis=1))
    torch.testing.assert_close(
        both, torch.cat([composite().network_inputs(pre), composite().network_inputs(post)], dim=1)
    )


def test_pre_and_post_ecg_are_read_together_and_not_mixed_up() -> None:
    pre, y = beats()
    post = beats(seed=1)[0][::-1]
    model = composite(recordings=2).fit(np.concatenate([pre, post], axis=1), y)
    assert model.network_.network.features[0].groups == 24
    together = model.predict_proba(np.concatenate([pre, post], axis=1))
    assert not np.allclose(together, model.predict_proba(np.concatenate([post, pre], axis=1)), atol=1e-3)


def test_nested_stopping_learns_from_four_fifths_and_watches_the_rest() -> None:
    x, y = beats(n=20)
    nested = composite(patience=5).fit(x, y)
    learn, watch = inner_split(y, None, seed=0)
    by_hand = composite(patience=5).fit(x[learn], y[learn], watched=(x[watch], y[watch]))
    assert (len(learn), len(watch)) == (16, 4)
    assert nested.curve_ == by_hand.curve_
    np.testing.assert_array_equal(nested.predict_proba(x), by_hand.predict_proba(x))


def test_the_published_stopping_learns_from_all_rows() -> None:
    x, y = beats()
    watched = composite(patience=5).fit(x, y, watched=beats(seed=1))
    assert watched.curve_.training == composite().fit(x, y).curve_.training
    assert len(watched.curve_.watched) == 2


@pytest.mark.parametrize("seed", range(5))
def test_no_patient_is_both_learnt_from_and_watched(seed: int) -> None:
    rng = np.random.default_rng(seed)
    patients = rng.integers(0, 12, 40)
    strata = (patients % 3 == 0).astype(int)
    learn, watch = inner_split(strata, patients, seed=seed)
    assert not set(patients[learn]) & set(patients[watch])
    assert set(strata[learn]) == set(strata[watch]) == {0, 1}
    assert sorted([*learn, *watch]) == list(range(40))


def test_groups_pass_through_cross_validation() -> None:
    x, y = beats(n=24)
    patients = np.arange(24) // 2 * 2 + y  # never both classes
    done = cross_validate(
        composite(patience=1), x, y, cv=2, params={"groups": patients}, error_score="raise", return_estimator=True
    )
    assert all(len(model.curve_.watched) > 0 for model in done["estimator"])


def test_six_patients_are_enough_and_one_of_a_class_is_not() -> None:
    x, y = beats(n=6)
    assert composite(patience=2).fit(x, y).predict_proba(x).shape == (6, 2)
    with pytest.raises(ValueError, match=r"class 1 comes from 1 patient.*patience=None"):
        composite(patience=2).fit(x, np.array([0, 0, 0, 0, 0, 1]))
    assert composite().fit(x, np.array([0, 0, 0, 0, 0, 1])).predict_proba(x).shape == (6, 2)


def test_a_run_that_is_repeated_is_read_from_its_checkpoint(tmp_path: Path) -> None:
    x, y = beats()
    first = composite().fit(x, y, checkpoints=tmp_path)
    epochs: list[int] = []
    again = composite().fit(x, y, checkpoints=tmp_path, progress=lambda curve, _: epochs.append(len(curve.training)))
    assert epochs == []
    np.testing.assert_array_equal(first.predict_proba(x), again.predict_proba(x))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x, np.zeros_like(y)), "one class only, .0."),
        (lambda x, y: (x, y[:-1]), r"y has shape \(15,\)"),
        (lambda x, y: (x, np.where(y == 1, np.nan, 0.0)), "NaN"),
        (lambda x, y: (x, y + 0.5), "continuous"),
        (lambda x, y: (np.where(np.arange(250) == 3, np.nan, x), y), "recording 1 of 1: X.0. has nan"),
        (lambda x, y: (np.zeros_like(x), y), "flat"),
        (lambda x, y: (x * 1000, y), "microvolts"),
        (lambda x, y: (x[:, :11], y), "12 leads"),
    ],
)
def test_data_that_cannot_be_learnt_from_is_refused(change: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        composite().fit(*change(*beats()))


def test_a_fit_that_fails_leaves_the_model_as_it_was() -> None:
    x, y = beats()
    model = composite().fit(x, y)
    before = model.predict_proba(x)
    with pytest.raises(ValueError, match="learning_rate"):
        model.set_params(learning_rate=1e30).fit(x, y + 3)
    assert model.classes_.tolist() == [0, 1]
    np.testing.assert_array_equal(model.predict_proba(x), before)


def test_watched_rows_of_a_class_that_is_not_learnt_are_refused() -> None:
    x, y = beats()
    with pytest.raises(ValueError, match="holds 7, which is none of the classes"):
        composite(patience=2).fit(x, y, watched=(x, y + 7))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s[:, :, :1], "shape"),
        (lambda s: np.concatenate([s, s, s], axis=1), "up to 10 slices"),
        (lambda s: np.where(np.arange(32) < 4, np.nan, s), r"slice 0 of X\[0\] is NaN in part"),
        (lambda s: s[:, 2:], r"X\[4\] has 1 slices, need at least 3 \(4 of 8"),
        (lambda s: s * 255, r"X\[0\] holds 255, need 0 to 1"),
    ],
)
def test_slices_that_do_not_fit_are_refused(change: Any, message: str) -> None:
    x, y = scars()
    with pytest.raises(ValueError, match=message):
        scar().fit(change(x), y)


@pytest.mark.parametrize(
    ("settings", "state", "arrays", "message"),
    [
        ({}, {"classes": ["a", "b", "c"]}, {}, "do not fit 1 outputs"),
        ({}, {"classes": [[0, 1], [2, 3]]}, {}, "do not fit 1 outputs"),
        ({}, {"outputs": 3}, {}, "weights network.head.5.weight are"),
        ({"recordings": 1000}, {}, {}, "weights scaling.mean are"),
        ({}, {}, {"scaling.mean": np.full(12, np.nan, dtype=np.float32)}, "need finite"),
        ({}, {}, {"scaling.mean": np.zeros(12)}, "float64"),
        ({}, {}, {"scaling.mean": np.zeros(11, dtype=np.float32)}, "(11,)"),
        ({}, {}, {"other": np.zeros(3, dtype=np.float32)}, "composite"),
        ({"window": ["qrs"], "unknown": 1}, {}, {}, "unknown"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    tmp_path: Path, settings: Any, state: Any, arrays: Any, message: str
) -> None:
    x, y = beats(n=6)
    path = tmp_path / "composite.model"
    save_model(composite(max_epochs=1).fit(x, y), path)
    name, parts = read_parts(path)
    for whole, change in ((parts.settings, settings), (parts.state, state), (parts.arrays, arrays)):
        whole.update(change)
    write_parts(path, name, parts)
    with pytest.raises(ValueError) as caught:
        load_model(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
