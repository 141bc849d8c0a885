from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import cross_validate

from ml.image_resnet import ImageResNetClassifier
from ml.model_store import load_model, save_model
from ml.page_image import model_image
from ml.ssl_image_resnet import PageDrawing, SSLImageResNetClassifier
from tests.ml.heartbeats import RATE_HZ, beats

torch.set_num_threads(1)
TINY = {"size": 64, "panel_s": 0.8, "max_epochs": 1, "patience": None, "learning_rate": 1e-3, "device": "cpu"}
every_method = pytest.mark.parametrize("method", ["contrastive", "masked"])


def classifier(**changes: Any) -> SSLImageResNetClassifier:
    return SSLImageResNetClassifier(sampling_hz=RATE_HZ, **({"pretraining_epochs": 1} | TINY | changes))


@every_method
def test_pretraining_within_fit_is_pretraining_by_hand_on_the_same_ecgs(method: Any) -> None:
    x, y = beats(8)
    within = classifier(method=method).fit(x, y)
    by_hand = classifier(pretrained=classifier(method=method).pretrain(x)).fit(x, y)
    np.testing.assert_array_equal(within.predict_proba(x), by_hand.predict_proba(x))
    assert within.pretraining_ == by_hand.pretraining_
    assert (within.pretraining_["method"], within.pretraining_["ecgs"]) == (method, 8)


def test_unlabelled_ecgs_are_pretrained_on_as_well() -> None:
    x, y = beats(8)
    more = beats(6, seed=1)[0]
    within = classifier(unlabelled=more).fit(x, y)
    by_hand = classifier(pretrained=classifier().pretrain(np.concatenate([x, more]))).fit(x, y)
    np.testing.assert_array_equal(within.predict_proba(x), by_hand.predict_proba(x))


def test_training_starts_from_the_pretrained_weights_and_a_random_last_layer() -> None:
    x, y = beats(8)
    weights = classifier().pretrain(x)
    still = classifier(pretrained=weights, learning_rate=1e-12).fit(x, y)
    scratch = ImageResNetClassifier(sampling_hz=RATE_HZ, **(TINY | {"learning_rate": 1e-12})).fit(x, y)
    ours, theirs = still.network_.network.state_dict(), scratch.network_.network.state_dict()
    np.testing.assert_allclose(ours["conv1.weight"].numpy(), weights.weights["conv1.weight"], atol=1e-9)
    assert not np.allclose(ours["conv1.weight"], theirs["conv1.weight"], atol=1e-4)
    np.testing.assert_allclose(ours["fc.weight"], theirs["fc.weight"], atol=1e-9)


def test_weights_that_are_set_later_replace_pretraining_in_the_next_fit() -> None:
    x, y = beats(8)
    weights = classifier(method="masked").pretrain(x)
    model = classifier().fit(x, y).set_params(pretrained=weights).fit(x, y)
    assert model.pretraining_ == weights.source


def test_in_cross_validation_no_ecg_of_the_scored_fold_is_seen() -> None:
    x, y = beats(9)
    done = cross_validate(
        classifier(unlabelled=beats(2, seed=1)[0]), x, y, cv=3, return_estimator=True, error_score="raise"
    )
    assert [model.pretraining_["ecgs"] for model in done["estimator"]] == [6 + 2] * 3


def test_clones_of_one_seed_agree_and_another_seed_does_not() -> None:
    x, y = beats(8)
    first = classifier(random_state=3).fit(x, y)
    np.testing.assert_array_equal(clone(first).fit(x, y).predict_proba(x), first.predict_proba(x))
    other = clone(first).set_params(random_state=4).fit(x, y)
    assert first.pretraining_["losses"] != other.pretraining_["losses"]


def test_a_saved_model_gives_the_same_output_and_holds_nobodys_ecg(tmp_path: Path) -> None:
    x, y = beats(8)
    model = classifier(unlabelled=x).fit(x, y)
    save_model(model, tmp_path / "ssl.model")
    loaded = load_model(tmp_path / "ssl.model")
    np.testing.assert_array_equal(loaded.predict_proba(x), model.predict_proba(x))
    assert loaded.pretraining_ == model.pretraining_
    assert (loaded.unlabelled, loaded.pretrained) == (None, None)
    assert model.unlabelled is x
    assert set(model.parts().arrays) == set(model.network_.state_dict())
    save_model(loaded, tmp_path / "again.model")
    assert (tmp_path / "again.model").read_bytes() == (tmp_path / "ssl.model").read_bytes()


def test_labels_are_checked_before_hours_of_pretraining() -> None:
    epochs: list[int] = []
    with pytest.raises(ValueError, match="one class only"):
        classifier().fit(beats(6)[0], np.zeros(6), progress=lambda curve, _: epochs.append(len(curve.training)))
    assert epochs == []


def test_pages_for_pretraining_are_those_of_the_model() -> None:
    x = beats(2)[0].astype(np.float32)
    pages = PageDrawing(RATE_HZ, 48, 0.7)(torch.from_numpy(x))
    np.testing.assert_array_equal(pages.numpy(), model_image(x, RATE_HZ, size=48, panel_s=0.7))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"unlabelled": np.zeros((2, 12, 200))}, "unlabelled: lead I of X.0. is flat"),
        ({"unlabelled": beats(2)[0][:, :, :150]}, "unlabelled ECGs have 150 samples, those of X 200"),
        ({"method": "rotation"}, "'rotation'"),
    ],
)
def test_what_does_not_fit_is_refused(change: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        classifier(**change).fit(*beats(6))
