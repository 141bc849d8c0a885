"""What the scikit-learn estimators over networks share: how they are trained, asked, and taken apart for saving.

A subclass says how X becomes a tensor (`network_inputs`) and which network reads it (`_network`). Weights, and the scaling that
belongs to them, are all that is learnt.

Needs the extra [deep].
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from ml.model_store import JSON, ModelParts, from_settings, settings_of
from ml.networks import Scaling
from ml.training import Data, LearningCurve, Objective, Progress, TrainingPlan, answers, find_device, seeded, train

# Of the patients that `fit` is given, early stopping watches one fifth (our choice).
_INNER_FOLDS = 5


class NetworkEstimator(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Base of the estimators; the settings below are in every subclass's constructor."""

    learning_rate: float
    batch_size: int
    max_epochs: int
    patience: int | None
    random_state: int
    device: str
    mixed_precision: bool

    network_: nn.Module
    curve_: LearningCurve

    def network_inputs(self, X: ArrayLike) -> Tensor:  # noqa: N803
        """(n, ...) what the network reads.

        Raises:
            ValueError: if X is not what this estimator takes.
        """
        raise NotImplementedError

    def _network(self, outputs: int) -> nn.Module:
        """The network with random weights, after torch's random state."""
        raise NotImplementedError

    def check_settings(self) -> None:
        """Find what no data could make right; `fit` does so, too.

        Raises:
            ValueError: naming the setting.
        """
        self._plan()
        find_device(self.device)

    def parts(self) -> ModelParts:
        """What `save_model` stores."""
        check_is_fitted(self, "network_")
        weights = {name: tensor.numpy() for name, tensor in self.network_.state_dict().items()}
        state: dict[str, JSON] = {"outputs": self._n_outputs, "curve": asdict(self.curve_)}
        return ModelParts(settings=settings_of(self), state=state, arrays=weights)

    @classmethod
    def from_parts(cls, parts: ModelParts) -> Self:
        """The fitted estimator.

        Raises:
            ValueError: if names, shapes or types of the weights are not those of its network, or one is not finite.
        """
        made = from_settings(cls, parts.settings)
        state: dict[str, Any] = parts.state
        # Without memory of its own: whatever size a file may ask for, it brings the weights itself.
        with torch.device("meta"):
            made.network_ = made._network(state["outputs"])
        for name, tensor in made.network_.state_dict().items():
            array = torch.from_numpy(parts.arrays[name])
            if array.dtype != tensor.dtype or array.shape != tensor.shape or not array.isfinite().all():
                raise ValueError(
                    f"weights {name} are {tuple(array.shape)} {array.dtype}, need finite {tuple(tensor.shape)} {tensor.dtype}"
                )
        weights = {name: torch.from_numpy(array) for name, array in parts.arrays.items()}
        made.network_.load_state_dict(weights, assign=True)
        made.network_.eval()
        made._n_outputs = state["outputs"]
        made.curve_ = LearningCurve(**state["curve"])
        return made

    def _train(
        self,
        inputs: Tensor,
        target: Tensor,
        objective: Objective,
        *,
        outputs: int,
        strata: NDArray[Any],
        groups: ArrayLike | None,
        watched: Data | None,
        progress: Progress | None,
        checkpoints: Path | None,
    ) -> None:
        """Fit `network_` to (n, ...) inputs; `strata` balance what early stopping watches, `groups` keep together."""
        self.check_settings()
        data: Data = (inputs, target)
        if self.patience is not None and watched is None:
            learn, watch = inner_split(strata, groups, seed=self.random_state)
            data, watched = (inputs[learn], target[learn]), (inputs[watch], target[watch])
        with seeded(self.random_state):
            network = self._network(outputs)
        for module in network.modules():
            if isinstance(module, Scaling):
                module.fit(data[0])
        self.curve_ = train(
            network, data, objective, self._plan(), watched=watched, progress=progress, checkpoints=checkpoints
        )
        self.network_ = network
        self._n_outputs = outputs

    def _plan(self) -> TrainingPlan:
        return TrainingPlan(
            learning_rate=self.learning_rate,
            batch_size=self.batch_size,
            max_epochs=self.max_epochs,
            patience=self.patience,
            seed=self.random_state,
            device=self.device,
            mixed_precision=self.mixed_precision,
        )

    def _answers(self, X: ArrayLike) -> NDArray[np.float32]:  # noqa: N803
        """(n, outputs) logits or values."""
        check_is_fitted(self, "network_")
        return answers(self.network_, self.network_inputs(X), device=self.device)


def inner_split(
    strata: NDArray[Any], groups: ArrayLike | None, *, seed: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows to learn from and rows to watch, about 4 to 1: every stratum in both, no group in both.

    Raises:
        ValueError: if the groups do not fit the rows, or a stratum comes from one group only.
    """
    together = np.arange(len(strata)) if groups is None else np.asarray(groups)
    if together.shape != strata.shape:
        raise ValueError(f"groups have shape {together.shape}, need {strata.shape}: one for each row of X")
    values = np.unique(strata)
    sizes = [len(np.unique(together[strata == value])) for value in values]
    if min(sizes) < 2:
        raise ValueError(
            f"class {values[int(np.argmin(sizes))]} comes from {min(sizes)} patient; early stopping needs 2, one to learn "
            "from and one to watch. Set patience=None to train for all epochs."
        )
    folds = StratifiedGroupKFold(min(_INNER_FOLDS, *sizes), shuffle=True, random_state=seed)
    for learn, watch in folds.split(strata, strata, together):
        if set(strata[learn]) == set(strata[watch]) == set(values):
            return learn, watch
    raise ValueError(
        f"no split of {len(np.unique(together))} patients has all of {len(values)} classes on both sides; set "
        "patience=None to train for all epochs"
    )
