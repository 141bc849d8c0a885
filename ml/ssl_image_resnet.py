"""The ResNet-18 on ECG images, pretrained on ECGs without labels, as Mori et al. 2025 [doi:10.1111/jce.70212] have it.

Needs the extra [deep].
"""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from ml.ecg.recording import STANDARD_LEADS
from ml.image_resnet import ImageResNetClassifier
from ml.page_image import model_image
from ml.pretrained_weights import PretrainedWeights, StartsFromWeights
from ml.pretraining import PRETRAINING_PLAN, Method, pretrain
from ml.signals import as_signals
from ml.training import Progress, TrainingPlan


@dataclass(frozen=True, slots=True)
class PageDrawing:
    """Signals (n, 12, samples) mV to page images (n, 1, size, size), wherever the signals are."""

    sampling_hz: float
    size: int
    panel_s: float

    def __call__(self, signals: Tensor) -> Tensor:
        """`ml.page_image.model_image` for tensors."""
        images = model_image(signals.cpu().numpy(), self.sampling_hz, size=self.size, panel_s=self.panel_s)
        return torch.from_numpy(images).to(signals.device)


class SSLImageResNetClassifier(StartsFromWeights, ImageResNetClassifier):
    """`ImageResNetClassifier`, its ResNet-18 first pretrained without labels.

    Published: accuracy 78.5 % with deviation 5.5 %, PPV 81.3 %, means over 10 seeds. How and on what it was pretrained is
    not: `ml.pretraining` has two generic methods, which are our choice, as are all its settings. All weights are trained
    on after pretraining; the last layer starts at random.

    By default, `fit` pretrains on the ECGs that it is given, and on those of `unlabelled`: in cross-validation the ECGs to
    be scored are not seen, unless `unlabelled` holds them. **The leak**: `pretrained` weights, or `unlabelled` ECGs, of the
    patients that are scored have seen the test fold, without its labels; take other patients. Early stopping watches
    ECGs that pretraining has seen, too.

    X is (n, leads, samples) mV.

    Args:
        sampling_hz: of X.
        leads: names of its rows.
        size: height and width of the picture in pixels.
        panel_s: time across one panel of the page; about 1 s suits single beats.
        method: "contrastive" or "masked", see `ml.pretraining`.
        pretraining_epochs: of the pretraining within `fit`.
        unlabelled: (m, leads, samples) mV, further ECGs to pretrain on, as many samples as X. For ECGs of another length
            or rate, and for many, see `pretrain`.
        pretrained: what `pretrain` gave; `fit` then pretrains no more, and `method`, `pretraining_epochs` and `unlabelled`
            have no effect.
        learning_rate, batch_size, max_epochs, patience, device, mixed_precision: see `TrainingPlan`; of the training
            with labels, the last two of both.
        random_state: seed of the first weights, of pretraining, the order and what early stopping watches.
    """

    _not_stored: ClassVar[tuple[str, ...]] = ("pretrained", "unlabelled")

    def __init__(
        self,
        *,
        sampling_hz: float,
        leads: tuple[str, ...] = STANDARD_LEADS,
        size: int = 224,
        panel_s: float = 2.5,
        method: Method = "contrastive",
        pretraining_epochs: int = PRETRAINING_PLAN.max_epochs,
        unlabelled: ArrayLike | None = None,
        pretrained: PretrainedWeights | None = None,
        learning_rate: float = TrainingPlan.learning_rate,
        batch_size: int = TrainingPlan.batch_size,
        max_epochs: int = TrainingPlan.max_epochs,
        patience: int | None = TrainingPlan.patience,
        random_state: int = TrainingPlan.seed,
        device: str = TrainingPlan.device,
        mixed_precision: bool = TrainingPlan.mixed_precision,
    ) -> None:
        super().__init__(
            sampling_hz=sampling_hz,
            leads=leads,
            size=size,
            panel_s=panel_s,
            learning_rate=learning_rate,
            batch_size=batch_size,
            max_epochs=max_epochs,
            patience=patience,
            random_state=random_state,
            device=device,
            mixed_precision=mixed_precision,
        )
        self.method = method
        self.pretraining_epochs = pretraining_epochs
        self.unlabelled = unlabelled
        self.pretrained = pretrained

    def check_settings(self) -> None:
        """Find what no data could make right.

        Raises:
            ValueError: naming the setting.
        """
        super().check_settings()
        if self.pretraining_epochs < 1:
            raise ValueError(f"pretraining_epochs is {self.pretraining_epochs}, need at least 1")

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
        """Pretrain unless `pretrained` is given, then train, after `random_state`.

        Args:
            X: (n, leads, samples) mV.
            y: (n,) classes, two or more.
            watched: (X, y) for early stopping; not pretrained on.
            groups: (n,) the patient of each row.
            progress: called after every epoch, of pretraining with the plan of pretraining.
            checkpoints: folder for the state of unfinished runs, of both kinds.

        Raises:
            ValueError: as `NetworkClassifier.fit`, or if `unlabelled` or `pretrained` does not fit.
        """
        if self.pretrained is None:
            self._pretraining = partial(self._pretrained_on, self._all_signals(X), progress, checkpoints)
        try:
            return super().fit(X, y, watched=watched, groups=groups, progress=progress, checkpoints=checkpoints)
        finally:
            self._pretraining = None

    def pretrain(
        self,
        X: ArrayLike,  # noqa: N803
        *,
        progress: Progress | None = None,
        checkpoints: Path | None = None,
    ) -> PretrainedWeights:
        """Weights for `pretrained`, from ECGs without labels; this estimator itself stays as it is.

        Args:
            X: (n, leads, samples) mV with the leads and the rate of this estimator.
            progress: called after every epoch.
            checkpoints: folder for the state of an unfinished run.

        Raises:
            ValueError: if X does not fit, or holds fewer than two ECGs.
        """
        return self._pretrained_on(as_signals(X, self.leads, self.sampling_hz), progress, checkpoints)

    def _pretrained_on(
        self, signals: NDArray[np.float32], progress: Progress | None, checkpoints: Path | None
    ) -> PretrainedWeights:
        plan = replace(
            PRETRAINING_PLAN,
            max_epochs=self.pretraining_epochs,
            seed=self.random_state,
            device=self.device,
            mixed_precision=self.mixed_precision,
        )
        return pretrain(
            signals,
            self.sampling_hz,
            self.method,
            draw=PageDrawing(self.sampling_hz, self.size, self.panel_s),
            plan=plan,
            progress=progress,
            checkpoints=checkpoints,
        )

    def _all_signals(self, X: ArrayLike) -> NDArray[np.float32]:  # noqa: N803
        """(n + m, 12, samples) those with labels, then those without."""
        signals = as_signals(X, self.leads, self.sampling_hz)
        if self.unlabelled is None:
            return signals
        try:
            more = as_signals(self.unlabelled, self.leads, self.sampling_hz)
        except ValueError as error:
            raise ValueError(f"unlabelled: {error}") from None
        if more.shape[2] != signals.shape[2]:
            raise ValueError(
                f"unlabelled ECGs have {more.shape[2]} samples, those of X {signals.shape[2]}; cut them to one length, or "
                "give `pretrained`"
            )
        return np.concatenate([signals, more])

    def _network(self, outputs: int) -> nn.Module:
        return self._started(super()._network(outputs))
