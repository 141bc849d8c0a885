"""Classifiers over networks, as scikit-learn has it: Le's composite net on beats, and his scar net on slices.

Early stopping, published by Le with patience 10, seems to have watched the fold that was also scored, which is
optimistic. By default, it watches a fifth of the patients that `fit` is given, and never sees those to be scored ("nested").
`fit(..., watched=(X, y))` is the published variant, for showing the difference.

Needs the extra [deep].
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from torch import Tensor, nn

from ml.beat_windows import Window, beat_windows
from ml.ecg.recording import STANDARD_LEADS
from ml.model_store import ModelParts
from ml.network_estimator import NetworkEstimator
from ml.networks import MAX_SLICES, ECGCompositeNet, SlidingScarNet, scaled
from ml.signals import as_signals
from ml.training import Progress, Supervised, TrainingPlan

MIN_SLICES = 3


class NetworkClassifier(ClassifierMixin, NetworkEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Two classes by one logit and binary cross-entropy, more by softmax and cross-entropy."""

    classes_: NDArray[Any]

    def fit(
        self,
        X: ArrayLike,  # noqa: N803
        y: ArrayLike,
        *,
        watched: tuple[ArrayLike, ArrayLike] | None = None,
        groups: ArrayLike | None = None,
        progress: Progress | None = None,
        checkpoints: Path | None = None,
    ) -> Self:
        """Train anew, after `random_state`.

        Args:
            X: the inputs, see the class.
            y: (n,) classes, two or more.
            watched: (X, y) for early stopping instead of a fifth of X. If these patients are scored afterwards, as
                seems to be published, the score is optimistic.
            groups: (n,) the patient of each row: none is both learnt from and watched.
            progress: called after every epoch with the `LearningCurve` and the plan.
            checkpoints: folder for the state of unfinished runs; see `ml.training.train`.

        Raises:
            ValueError: if X or y does not fit, y holds one class only, or a class is too small for early stopping.
        """
        inputs = self.network_inputs(X)
        labels = np.asarray(y)
        if labels.dtype.kind == "f" and not np.isfinite(labels).all():
            raise ValueError(f"y[{int(np.argmin(np.isfinite(labels)))}] is NaN or infinite; leave out who has no class")
        check_classification_targets(labels)
        classes = np.unique(labels)
        if len(classes) < 2:
            raise ValueError(f"y holds one class only, {classes.tolist()}; a classifier needs two or more")
        target = _class_numbers(labels, classes, len(inputs))
        watched_data = None
        if watched is not None:
            watched_inputs = self.network_inputs(watched[0])
            watched_data = (watched_inputs, _class_numbers(np.asarray(watched[1]), classes, len(watched_inputs)))
        self._train(
            inputs,
            target,
            Supervised("two classes" if len(classes) == 2 else "classes"),
            outputs=_n_outputs(classes),
            strata=labels,
            groups=groups,
            watched=watched_data,
            progress=progress,
            checkpoints=checkpoints,
        )
        self.classes_ = classes
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:  # noqa: N803
        """(n, classes) probabilities, in the order of `classes_`."""
        logits = self._answers(X).astype(np.float64)
        if logits.shape[1] == 1:  # softmax of (0, logit) is the sigmoid
            logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
        shares: NDArray[np.float64] = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        return shares

    def predict(self, X: ArrayLike) -> NDArray[Any]:  # noqa: N803
        """(n,) the most probable class."""
        classes: NDArray[Any] = self.classes_[self.predict_proba(X).argmax(axis=1)]
        return classes

    def parts(self) -> ModelParts:
        """What `save_model` stores."""
        parts = super().parts()
        return replace(parts, state=parts.state | {"classes": self.classes_.tolist()})

    @classmethod
    def from_parts(cls, parts: ModelParts) -> Self:
        """The fitted classifier.

        Raises:
            ValueError: if the weights do not fit the network, or the classes the weights.
        """
        made = super().from_parts(parts)
        made.classes_ = np.array(parts.state["classes"])
        if made.classes_.ndim != 1 or made._n_outputs != _n_outputs(made.classes_):
            raise ValueError(f"classes {parts.state['classes']} do not fit {made._n_outputs} outputs")
        return made


def _n_outputs(classes: NDArray[Any]) -> int:
    return 1 if len(classes) == 2 else len(classes)


def _class_numbers(labels: NDArray[Any], classes: NDArray[Any], n: int) -> Tensor:
    if labels.shape != (n,):
        raise ValueError(f"y has shape {labels.shape}, need ({n},): one class for each row of X")
    foreign = ~np.isin(labels, classes)
    if foreign.any():
        raise ValueError(
            f"y holds {labels[foreign].tolist()[0]!r}, which is none of the classes {classes.tolist()} "
            f"({foreign.sum()} of {n} rows do)"
        )
    return torch.from_numpy(np.searchsorted(classes, labels))


class CompositeClassifier(NetworkClassifier):
    """Le's composite net: response to CRT from the pre- and post-implant ECG, together or alone.

    Published: 196 patients, stratified 5-fold, AUC 0.84 (pre), 0.76 (post), 0.87 (both). The layers are in
    `ml.networks.ECGCompositeNet`, the training in `TrainingPlan`; scaling each lead to mean 0 and deviation 1 over the
    training data is our choice.

    X is (n, recordings * leads, samples) mV; for two recordings, all leads of the first come before those of the second.

    Args:
        sampling_hz: of X.
        leads: names of the rows of one recording.
        recordings: 1, or 2 for pre- and post-implant ECG together.
        window: "qrs", "rr" or "whole", see `ml.beat_windows`.
        learning_rate, batch_size, max_epochs, patience, device, mixed_precision: see `TrainingPlan`.
        random_state: seed of the first weights, the order, dropout and what early stopping watches.
    """

    def __init__(
        self,
        *,
        sampling_hz: float,
        leads: tuple[str, ...] = STANDARD_LEADS,
        recordings: int = 1,
        window: Window = "qrs",
        learning_rate: float = TrainingPlan.learning_rate,
        batch_size: int = TrainingPlan.batch_size,
        max_epochs: int = TrainingPlan.max_epochs,
        patience: int | None = TrainingPlan.patience,
        random_state: int = TrainingPlan.seed,
        device: str = TrainingPlan.device,
        mixed_precision: bool = TrainingPlan.mixed_precision,
    ) -> None:
        self.sampling_hz = sampling_hz
        self.leads = leads
        self.recordings = recordings
        self.window = window
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.patience = patience
        self.random_state = random_state
        self.device = device
        self.mixed_precision = mixed_precision

    def network_inputs(self, X: ArrayLike) -> Tensor:  # noqa: N803
        """(n, ...) what the network reads, all checks done."""
        both = np.asarray(X)
        if both.ndim != 3 or both.shape[1] != self.recordings * len(self.leads):
            raise ValueError(
                f"X has shape {both.shape}, need (n, {self.recordings} recordings x {len(self.leads)} leads, samples)"
            )
        windows = []
        for number, one in enumerate(np.split(both, self.recordings, axis=1), start=1):
            try:
                signals = as_signals(one, self.leads, self.sampling_hz)
                windows.append(beat_windows(signals, self.sampling_hz, self.window))
            except ValueError as error:
                raise ValueError(f"recording {number} of {self.recordings}: {error}") from None
        return torch.from_numpy(np.concatenate(windows, axis=1))

    def _network(self, outputs: int) -> nn.Module:
        rows = self.recordings * len(STANDARD_LEADS)
        return scaled(ECGCompositeNet(rows, outputs), rows)


class CardiomyopathyClassifier(CompositeClassifier):
    """Genetic cardiomyopathy, myocarditis or sarcoidosis: the composite net on one ECG.

    Published (Le, 500 patients, pairs of two diseases, 5-fold): test AUC genetic - myocarditis 0.89 with `window="qrs"`
    and 0.82 with "rr", genetic - sarcoidosis 0.64 and 0.50. Three classes at once work, too.
    """


class SlidingScarClassifier(NetworkClassifier):
    """Le's scar net: ventricular arrhythmia from short-axis slices of late gadolinium enhancement.

    Published: 235 patients with ischaemic cardiomyopathy, 5-fold, AUC 0.533 with deviation 0.090: hardly above chance.
    The layers are in `ml.networks.SlidingScarNet`; learning rate, batch and patience are not published for this network,
    so that those of the composite net are our choice.

    X is (n, slices, 2, height, width) with 3 to 10 slices from base to apex: channel 0 is the myocardium (0 or 1),
    channel 1 the scar, from 0 to 1. A slice that a patient lacks is NaN throughout. Published are 128 x 128 pixels, the
    insertion point of the right ventricle looking down.

    Args:
        learning_rate, batch_size, max_epochs, patience, device, mixed_precision: see `TrainingPlan`.
        random_state: seed of the first weights, the order, dropout and what early stopping watches.
    """

    def __init__(
        self,
        *,
        learning_rate: float = TrainingPlan.learning_rate,
        batch_size: int = TrainingPlan.batch_size,
        max_epochs: int = TrainingPlan.max_epochs,
        patience: int | None = TrainingPlan.patience,
        random_state: int = TrainingPlan.seed,
        device: str = TrainingPlan.device,
        mixed_precision: bool = TrainingPlan.mixed_precision,
    ) -> None:
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.patience = patience
        self.random_state = random_state
        self.device = device
        self.mixed_precision = mixed_precision

    def network_inputs(self, X: ArrayLike) -> Tensor:  # noqa: N803
        """(n, ...) what the network reads, all checks done."""
        slices = np.asarray(X, dtype=np.float32)
        if (
            slices.ndim != 5
            or not 1 <= slices.shape[1] <= MAX_SLICES
            or slices.shape[2] != 2
            or min(slices.shape[3:]) < 16
        ):
            raise ValueError(
                f"X has shape {slices.shape}, need (n, up to {MAX_SLICES} slices, 2 channels, height, width) with at least "
                "16 x 16 pixels"
            )
        missing = np.isnan(slices)
        present = ~missing.all(axis=(2, 3, 4))
        torn = np.argwhere(missing.any(axis=(2, 3, 4)) & present)
        if torn.size:
            raise ValueError(
                f"slice {torn[0, 1]} of X[{torn[0, 0]}] is NaN in part ({len(torn)} slices are); a slice that is missing is "
                "NaN throughout"
            )
        counts = present.sum(axis=1)
        few = np.flatnonzero(counts < MIN_SLICES)
        if few.size:
            raise ValueError(
                f"X[{few[0]}] has {counts[few[0]]} slices, need at least {MIN_SLICES} ({few.size} of {len(slices)} patients "
                "have fewer)"
            )
        wrong = np.argwhere((slices < 0) | (slices > 1))
        if wrong.size:
            raise ValueError(
                f"X[{wrong[0, 0]}] holds {slices[tuple(wrong[0])]:.6g}, need 0 to 1 ({len(wrong)} pixels are outside); "
                "channel 0 is the mask of the myocardium, channel 1 the scar"
            )
        return torch.from_numpy(slices)

    def _network(self, outputs: int) -> nn.Module:
        return SlidingScarNet(outputs)
