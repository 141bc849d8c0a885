"""Whatever is wrong with the data, every model gives a right answer or a clear error, in fitting and in answering."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ml.ecg.recording import STANDARD_LEADS
from ml.models import MODELS, model_class
from tests.ml.heartbeats import RATE_HZ, beats, recordings

QUICK = {"max_epochs": 1, "patience": None, "device": "cpu", "batch_size": 8}
ECG_MODELS: dict[str, dict[str, Any]] = {
    "resnet18-image": {**QUICK, "size": 32},
    "ssl-resnet18-image": {**QUICK, "size": 32, "pretraining_epochs": 1},
    "lightgbm": {},
    "composite": QUICK,
    "cardiomyopathy": QUICK,
    "rv-function": QUICK,
    "qrs-pca": {},
}
IMAGE_MODELS: dict[str, dict[str, Any]] = {
    "sliding-scar": QUICK,
    "scar-segmentation": {**QUICK, "feature_size": 12, "within_myocardium": True},
}
Signals = NDArray[np.float64]


def made(name: str, **changed: Any) -> Any:
    """A model that is quickly fitted."""
    if name not in ("lightgbm", "qrs-pca"):
        pytest.importorskip("monai")
        import torch

        torch.set_num_threads(1)
    rate = {"sampling_hz": RATE_HZ} if name in ECG_MODELS else {}
    return model_class(name)(**{**rate, **(ECG_MODELS | IMAGE_MODELS)[name], **changed})


def outcome(name: str, n: int) -> NDArray[Any]:
    """What it can learn."""
    if name == "rv-function":
        return np.column_stack([30.0 + np.arange(n), 150.0 - np.arange(n)])
    if name == "scar-segmentation":
        return slices(n)[:, 1] * (np.arange(32) > 16)
    return np.arange(n) % 2


def answers(model: Any, x: Any) -> NDArray[np.float64]:
    """All numbers that it answers with."""
    ask = model.predict_proba if hasattr(model, "predict_proba") else getattr(model, "transform", model.predict)
    return np.asarray(ask(x), dtype=np.float64)


@cache
def fitted(name: str) -> Any:
    """To eight recordings of 4 s, or eight patients."""
    return made(name).fit(inputs(name, 8), outcome(name, 8))


def inputs(name: str, n: int) -> Any:
    """Recordings of 4 s, or slices."""
    if name in ECG_MODELS:
        return recordings(n)[0]
    return slices(n) if name == "scar-segmentation" else np.stack([slices(n)[:, ::-1]] * 3, axis=1)


def slices(n: int) -> NDArray[np.float32]:
    """(n, 2, 32, 32) image from 0 to 1, and a ring of muscle."""
    y, x = np.mgrid[-16:16, -16:16] + 0.5
    muscle = (np.hypot(x, y) < 14) & (np.hypot(x, y) > 8)
    image = np.random.default_rng(0).uniform(0.1, 1, (n, 32, 32)) * muscle
    return np.stack([image, np.broadcast_to(muscle, image.shape)], axis=1).astype(np.float32)


def spoilt(x: Any, where: Any, value: float) -> Any:
    broken = np.array(x)
    broken[where] = value
    return broken


V2 = STANDARD_LEADS.index("V2")
SWAPPED = [1, 0, *range(2, 12)]
FAULTS: dict[str, tuple[Callable[[Signals], Signals], str]] = {
    "a lead is missing": (lambda x: np.delete(x, V2, axis=1), "12 leads, samples"),
    "two limb leads are swapped": (lambda x: x[:, SWAPPED], "do not follow from its I and II"),
    "microvolts": (lambda x: 1000 * x, "looks like microvolts: divide by 1000"),
    "one ECG in microvolts": (
        lambda x: x * np.where(np.arange(len(x)) == 1, 1000, 1)[:, None, None],
        r"X\[1\].*microv",
    ),
    "volts": (lambda x: x / 1000, "looks like volts: multiply by 1000"),
    "a gap": (lambda x: spoilt(x, (1, V2, 7), np.nan), r"X\[1\] has nan in lead V2 at sample 7"),
    "an infinite number": (lambda x: spoilt(x, (1, V2, 7), np.inf), r"X\[1\] has inf in lead V2 at sample 7"),
    "a constant lead": (lambda x: spoilt(x, (1, V2), 0.5), r"lead V2 of X\[1\] is flat: 0.5 mV throughout"),
    "nothing but zeros": (lambda x: 0 * x, "is flat: 0 mV throughout"),
    "no ECG": (lambda x: x[:0], "at least 1 ECG"),
}


def test_every_model_is_tested_here() -> None:
    assert set(ECG_MODELS) | set(IMAGE_MODELS) == set(MODELS) - {"response"}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", ECG_MODELS)
def test_an_ecg_that_would_end_in_a_silent_number_is_refused(name: str, fault: str) -> None:
    spoil, message = FAULTS[fault]
    broken = spoil(recordings(8)[0])
    for task in (lambda: made(name).fit(broken, outcome(name, len(broken))), lambda: answers(fitted(name), broken)):
        with pytest.raises(ValueError, match=message) as caught:
            task()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ECG_MODELS)
def test_40_hz_is_refused_by_its_reason(name: str) -> None:
    x = recordings(8)[0][:, :, ::6]
    with pytest.raises(ValueError, match=r"sampling_hz is 40, need 50 to 20000 samples per second: .* QRS"):
        made(name, sampling_hz=40.0).fit(x, outcome(name, 8))


@pytest.mark.parametrize("name", ECG_MODELS)
def test_a_lead_that_cannot_be_derived_is_named(name: str) -> None:
    names = tuple(lead for lead in STANDARD_LEADS if lead != "V2")
    with pytest.raises(ValueError, match="missing V2"):
        made(name, leads=names).fit(np.delete(recordings(8)[0], V2, axis=1), outcome(name, 8))


@pytest.mark.parametrize("name", ECG_MODELS)
def test_leads_in_another_order_and_limb_leads_left_out_give_the_same_answer(name: str) -> None:
    x = recordings(8)[0]
    fewer = ("V6", "V5", "V4", "aVF", "V3", "V2", "V1", "I")
    rows = [STANDARD_LEADS.index(lead) for lead in fewer]
    model = fitted(name)
    expected = answers(model, x)
    try:
        model.set_params(leads=fewer)
        np.testing.assert_allclose(answers(model, x[:, rows]), expected, rtol=1e-3, atol=1e-4)
    finally:
        model.set_params(leads=STANDARD_LEADS)


@pytest.mark.parametrize("name", ECG_MODELS)
def test_recordings_of_three_seconds_are_enough(name: str) -> None:
    x = recordings(8)[0][:, :, : round(3 * RATE_HZ)]
    found = answers(made(name).fit(x, outcome(name, 8)), x)
    assert len(found) == 8
    assert np.isfinite(found).all()


@pytest.mark.parametrize("name", ["composite", "cardiomyopathy"])
def test_the_rr_window_needs_a_recording_and_three_seconds_are_enough(name: str) -> None:
    x = recordings(8)[0][:, :, : round(3 * RATE_HZ)]
    assert np.isfinite(answers(made(name, window="rr").fit(x, outcome(name, 8)), x)).all()
    with pytest.raises(ValueError, match=r"X\[0\] has no rr window: R peaks need a recording"):
        made(name, window="rr").fit(beats(8)[0], outcome(name, 8))


ONE_ANSWER = {
    "lightgbm": "every label is 1; a classifier needs at least two classes",
    "rv-function": "rvef_percent is 50 in all 8 rows; nothing to learn",
    "qrs-pca": "the 8 ECGs differ in fewer than two ways",
    "scar-segmentation": "none of the 8 masks has scar",
}


@pytest.mark.parametrize("name", [*ECG_MODELS, *IMAGE_MODELS])
def test_one_answer_alone_cannot_be_learnt(name: str) -> None:
    x, y = inputs(name, 8), np.ones_like(outcome(name, 8))
    if name == "qrs-pca":
        x = np.repeat(x[:1], 8, axis=0)
    y *= {"rv-function": 50, "scar-segmentation": 0}.get(name, 1)
    with pytest.raises(ValueError, match=ONE_ANSWER.get(name, r"y holds one class only, \[1\]")):
        made(name).fit(x, y)


@pytest.mark.parametrize("name", [*ECG_MODELS, *IMAGE_MODELS])
def test_six_patients_give_finite_answers(name: str) -> None:
    x = inputs(name, 6)
    found = answers(made(name).fit(x, outcome(name, 6)), x)
    assert len(found) == 6
    assert np.isfinite(found).all()
    if name == "lightgbm":  # too few for a tree to split
        np.testing.assert_allclose(found, 0.5, atol=1e-9)


@pytest.mark.parametrize("name", [one for one in ECG_MODELS if one not in ("lightgbm", "qrs-pca")])
def test_early_stopping_on_six_patients_watches_some_of_each_class_or_says_what_to_do(name: str) -> None:
    x = inputs(name, 6)
    assert np.isfinite(answers(made(name, patience=1).fit(x, outcome(name, 6)), x)).all()
    if name != "rv-function":
        with pytest.raises(ValueError, match="Set patience=None to train for all epochs"):
            made(name, patience=1).fit(x, np.arange(6) == 0)


IMAGE_FAULTS: dict[str, dict[str, tuple[Callable[[Any], Any], str]]] = {
    "sliding-scar": {
        "a gap": (lambda x: spoilt(x, (1, 2, 0, 3, 3), np.nan), r"slice 2 of X\[1\] is NaN in part"),
        "grey values": (lambda x: 1000 * x, r"holds .*, need 0 to 1"),
        "two slices": (lambda x: x[:, :2], r"X\[0\] has 2 slices, need at least 3"),
        "one channel": (lambda x: x[:, :, :1], "2 channels"),
    },
    "scar-segmentation": {
        "a gap": (lambda x: spoilt(x, (1, 0, 3, 3), np.nan), r"X\[1\] has pixels that are not finite"),
        "a flat image": (lambda x: spoilt(x, (1, 0), 0.5), "slice 1 is flat within the myocardium"),
        "no myocardium": (lambda x: spoilt(x, (1, 1), 0.0), "slice 1 has no myocardium"),
        "one channel": (lambda x: x[:, :1], r"need \(n, 2, height, width\)"),
    },
}


@pytest.mark.parametrize(
    ("name", "fault"), [(name, fault) for name, faults in IMAGE_FAULTS.items() for fault in faults]
)
def test_slices_that_would_end_in_a_silent_number_are_refused(name: str, fault: str) -> None:
    spoil, message = IMAGE_FAULTS[name][fault]
    broken = spoil(inputs(name, 8))
    for task in (lambda: made(name).fit(broken, outcome(name, 8)), lambda: answers(fitted(name), broken)):
        with pytest.raises(ValueError, match=message):
            task()
