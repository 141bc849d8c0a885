"""Size and function of the right ventricle from the ECG, after Duong et al. 2024 [doi:10.1161/JAHA.123.031671].

Published: regression of RV ejection fraction and end-diastolic volume, trained on 12-lead ECGs with cardiac MRI of UK
Biobank, fine-tuned in another health system; RV dysfunction is RVEF <= 40 %, dilation RVEDV > 120 mL/m2; mean absolute
errors 7.8 % and 17.6 mL/m2. Not published, so our choice: the network (a one-dimensional ResNet-18 on all leads at 250 Hz),
its loss (squared error of both values over their deviation) and its training (that of Le's networks).

To fine-tune: fit on the large cohort, then give its `trained_weights()` as `pretrained` to a new estimator, and fit that on
the other cohort. The hazard ratio per 10 % of predicted RVEF is `ml.evaluation.survival`'s.

Units: mV, Hz, %, mL/m2. Needs the extra [deep].
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin
from torch import Tensor, nn

from ml.ecg.recording import STANDARD_LEADS
from ml.model_store import ModelParts
from ml.networks import scaled
from ml.pretrained_weights import PretrainedWeights, StartsFromWeights
from ml.resnet import resnet18
from ml.signals import as_signals, resampled
from ml.training import Progress, Supervised, TrainingPlan

TARGETS = ("rvef_percent", "rvedv_ml_per_m2")
RVEF_LIMIT_PERCENT = 40.0
RVEDV_LIMIT_ML_PER_M2 = 120.0
NETWORK_HZ = 250.0
Float = NDArray[np.float64]


def is_dysfunction(values: ArrayLike) -> NDArray[np.bool_]:
    """(n, 2) RVEF and RVEDV, measured or predicted, to (n,): is RVEF at most 40 %?

    For an AUROC, score the patients by minus the predicted RVEF, `-predicted[:, 0]`.
    """
    answer: NDArray[np.bool_] = np.asarray(values)[:, 0] <= RVEF_LIMIT_PERCENT
    return answer


def is_dilated(values: ArrayLike) -> NDArray[np.bool_]:
    """(n, 2) RVEF and RVEDV, measured or predicted, to (n,): is RVEDV more than 120 mL/m2?

    For an AUROC, score the patients by the predicted RVEDV, `predicted[:, 1]`.
    """
    answer: NDArray[np.bool_] = np.asarray(values)[:, 1] > RVEDV_LIMIT_ML_PER_M2
    return answer


class RVFunctionRegressor(RegressorMixin, StartsFromWeights):  # type: ignore[misc]  # scikit-learn has no types
    """RVEF in % and RVEDV in mL/m2 from the ECG.

    X is (n, leads, samples) mV, y is (n, 2): RVEF, RVEDV.

    Args:
        sampling_hz: of X, any; the network reads 250 Hz.
        leads: names of its rows.
        pretrained: weights to start from: another regressor's `trained_weights()`, or those of `ml.pretraining.pretrain`
            on `signals_for_network`. Patients in them that are scored later have leaked; take others.
        learning_rate, batch_size, max_epochs, patience, device, mixed_precision: see `TrainingPlan`.
        random_state: seed of the first weights, the order and what early stopping watches.
    """

    output_names: ClassVar[tuple[str, ...]] = TARGETS

    target_mean_: Float
    target_deviation_: Float

    def __init__(
        self,
        *,
        sampling_hz: float,
        leads: tuple[str, ...] = STANDARD_LEADS,
        pretrained: PretrainedWeights | None = None,
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
        self.pretrained = pretrained
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.patience = patience
        self.random_state = random_state
        self.device = device
        self.mixed_precision = mixed_precision

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
        """Train anew, or from `pretrained`, after `random_state`.

        Args:
            X: (n, leads, samples) mV.
            y: (n, 2) RVEF in %, RVEDV in mL/m2.
            watched: (X, y) for early stopping instead of a fifth of X; not to be scored afterwards.
            groups: (n,) the patient of each row: none is both learnt from and watched.
            progress: called after every epoch with the `LearningCurve` and the plan.
            checkpoints: folder for the state of unfinished runs; see `ml.training.train`.

        Raises:
            ValueError: if X, y or `pretrained` does not fit, or all patients have the same RVEF or RVEDV.
        """
        inputs = self.network_inputs(X)
        values = _as_targets(y, len(inputs))
        self.target_mean_, self.target_deviation_ = values.mean(axis=0), values.std(axis=0)
        same = np.flatnonzero(np.ptp(values, axis=0) == 0)
        if same.size:
            raise ValueError(
                f"{TARGETS[same[0]]} is {values[0, same[0]]:g} in all {len(values)} rows; nothing to learn"
            )
        if watched is not None:
            watched_inputs = self.network_inputs(watched[0])
        self._train(
            inputs,
            self._standardised(values),
            Supervised("values"),
            outputs=len(TARGETS),
            strata=np.zeros(len(values), dtype=np.int64),
            groups=groups,
            watched=None
            if watched is None
            else (watched_inputs, self._standardised(_as_targets(watched[1], len(watched_inputs)))),
            progress=progress,
            checkpoints=checkpoints,
        )
        return self

    def predict(self, X: ArrayLike) -> Float:  # noqa: N803
        """(n, 2) RVEF in %, RVEDV in mL/m2; not held within what is possible."""
        values: Float = self._answers(X) * self.target_deviation_ + self.target_mean_
        return values

    def signals_for_network(self, X: ArrayLike) -> NDArray[np.float32]:  # noqa: N803
        """(n, 12, samples) checked, in the standard order, at `NETWORK_HZ`."""
        return resampled(as_signals(X, self.leads, self.sampling_hz), self.sampling_hz, NETWORK_HZ)

    def parts(self) -> ModelParts:
        """What `save_model` stores."""
        parts = super().parts()
        scale: dict[str, Any] = {"mean": self.target_mean_.tolist(), "deviation": self.target_deviation_.tolist()}
        return replace(parts, state=parts.state | {"targets": scale})

    @classmethod
    def from_parts(cls, parts: ModelParts) -> Self:
        """The fitted regressor.

        Raises:
            ValueError: if the weights do not fit the network, or there is no scale for two values.
        """
        made = super().from_parts(parts)
        state: dict[str, Any] = parts.state
        made.target_mean_, made.target_deviation_ = (
            np.array(state["targets"][name], dtype=np.float64) for name in ("mean", "deviation")
        )
        scale = np.array([made.target_mean_, made.target_deviation_])
        if scale.shape != (2, len(TARGETS)) or made._n_outputs != len(TARGETS) or not (scale[1] > 0).all():
            raise ValueError(f"the scale of the values is {scale.tolist()}, need means and deviations > 0 of {TARGETS}")
        return made

    def network_inputs(self, X: ArrayLike) -> Tensor:  # noqa: N803
        """(n, ...) what the network reads, all checks done."""
        return torch.from_numpy(self.signals_for_network(X))

    def _network(self, outputs: int) -> nn.Module:
        leads = len(STANDARD_LEADS)
        return self._started(scaled(resnet18(leads, outputs, dimensions=1), leads))

    def _standardised(self, values: Float) -> Tensor:
        return torch.from_numpy(((values - self.target_mean_) / self.target_deviation_).astype(np.float32))


def _as_targets(y: ArrayLike, n: int) -> Float:
    values = np.asarray(y, dtype=np.float64)
    if values.shape != (n, len(TARGETS)):
        raise ValueError(f"y has shape {values.shape}, need ({n}, 2): {TARGETS[0]} and {TARGETS[1]} of each row of X")
    wrong = np.flatnonzero(~((values > 0) & (values < (100, np.inf))).all(axis=1))
    if wrong.size:
        raise ValueError(
            f"y[{wrong[0]}] is {values[wrong[0]].tolist()}, need RVEF between 0 and 100 % and a finite RVEDV above 0 mL/m2 "
            f"({wrong.size} of {n} rows are wrong); leave out who lacks one"
        )
    if values[:, 0].max() <= 1:
        raise ValueError(f"the largest RVEF is {values[:, 0].max():g} %; this looks like shares of 1: multiply by 100")
    return values
