"""Scar on short-axis slices of late gadolinium enhancement, drawn by a Swin UNETR [arXiv:2201.01266], MONAI's in 2-D.

Published (Le): a pretrained Swin-Unet drew the scar, binary and within the myocardium; pixels normalised by minimum and
maximum within the myocardium. Not published, so our choice: everything else about network, loss and training.

Needs the extra [deep].
"""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from monai.networks.nets import SwinUNETR
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from ml.lge_slices import range_within
from ml.pretrained_weights import PretrainedWeights, StartsFromWeights
from ml.training import Data, LearningCurve, Progress, TrainingPlan

_CLASSES = 2  # no scar, scar
# The network halves each side five times, and its deepest map must hold more than one place.
_MULTIPLE, _SMALLEST = 32, 64
_MAX_FEATURES = 96
Float32 = NDArray[np.float32]


def dice(one: ArrayLike, two: ArrayLike) -> NDArray[np.float64]:
    """Twice the common area over the sum of both; 1 if both are empty (our choice).

    Args:
        one: (n, height, width) masks of 0 and 1.
        two: the same shape.

    Returns:
        (n,) from 0 to 1.

    Raises:
        ValueError: if the shapes differ or a value is neither 0 nor 1.
    """
    first, second = _as_masks(one), _as_masks(two)
    if first.shape != second.shape:
        raise ValueError(f"masks have shapes {first.shape} and {second.shape}, need one shape")
    total = first.sum(axis=(1, 2)) + second.sum(axis=(1, 2))
    common = (first & second).sum(axis=(1, 2))
    shares: NDArray[np.float64] = np.where(total == 0, 1.0, 2 * common / np.maximum(total, 1))
    return shares


@dataclass(frozen=True, slots=True)
class DiceCrossEntropy:
    """Cross-entropy per pixel, plus 1 - Dice of the probabilities, over all pixels of a batch together.

    So slices without scar, of which there are many, leave Dice defined; one pixel is added above and below for a batch
    of none.
    """

    def __call__(self, network: nn.Module, batch: Data) -> Tensor:
        """A scalar, of slices (n, 1, height, width) and masks (n, height, width)."""
        slices, masks = batch
        logits: Tensor = network(slices).float()
        scar = logits.softmax(dim=1)[:, 1]
        overlap = (2 * (scar * masks).sum() + 1) / (scar.sum() + masks.sum() + 1)
        return F.cross_entropy(logits, masks) + 1 - overlap


class ScarSegmenter(StartsFromWeights):
    """Masks of the scar.

    X is (n, 1, height, width) of any size and any unit of intensity: each slice is brought to mean 0 and deviation 1. With
    `within_myocardium`, X is (n, 2, height, width), channel 1 the mask of the myocardium: intensities go from 0 to 1
    within it and are 0 outside, and there is no scar outside, as published; `ml.lge_slices` brings slices of many patients
    to one frame. y is (n, height, width) of 0 and 1.

    Args:
        within_myocardium: whether X has the mask.
        feature_size: channels of the first layer, a multiple of 12; MONAI's default.
        pretrained: weights to start from, see `load_pretrained`.
        learning_rate, batch_size, max_epochs, patience, device, mixed_precision: see `TrainingPlan`.
        random_state: seed of the first weights, the order and what early stopping watches.
    """

    def __init__(
        self,
        *,
        within_myocardium: bool = False,
        feature_size: int = 24,
        pretrained: PretrainedWeights | None = None,
        learning_rate: float = TrainingPlan.learning_rate,
        batch_size: int = TrainingPlan.batch_size,
        max_epochs: int = TrainingPlan.max_epochs,
        patience: int | None = TrainingPlan.patience,
        random_state: int = TrainingPlan.seed,
        device: str = TrainingPlan.device,
        mixed_precision: bool = TrainingPlan.mixed_precision,
    ) -> None:
        self.within_myocardium = within_myocardium
        self.feature_size = feature_size
        self.pretrained = pretrained
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.patience = patience
        self.random_state = random_state
        self.device = device
        self.mixed_precision = mixed_precision

    @classmethod
    def from_weights(cls, weights: PretrainedWeights, **settings: Any) -> Self:
        """A segmenter that needs no training: these weights as they are.

        Args:
            weights: of MONAI's `SwinUNETR(in_channels=1, out_channels=2, feature_size=..., spatial_dims=2)`, under its
                names; `load_pretrained` reads them from a file. They must have been trained on slices normalised as here.
            settings: of the constructor.

        Raises:
            ValueError: if the weights are those of another network.
        """
        made = cls(pretrained=weights, **settings)
        made.network_ = made._network(_CLASSES).eval()
        made._n_outputs = _CLASSES
        made.curve_ = LearningCurve()
        return made

    def check_settings(self) -> None:
        """Find what no data could make right.

        Raises:
            ValueError: naming the setting.
        """
        super().check_settings()
        self._check_feature_size()

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
            X: slices, see the class.
            y: (n, height, width) masks of the scar.
            watched: (X, y) for early stopping instead of a fifth of X; not to be scored afterwards.
            groups: (n,) the patient of each slice: none is both learnt from and watched.
            progress: called after every epoch with the `LearningCurve` and the plan.
            checkpoints: folder for the state of unfinished runs; see `ml.training.train`.

        Raises:
            ValueError: if X, y or `pretrained` does not fit, or no slice has scar.
        """
        slices, masks = self.network_inputs(X), _as_masks(y)
        if not masks.any():
            raise ValueError(f"none of the {len(masks)} masks has scar; nothing to learn")
        self._train(
            slices,
            _target(masks, slices),
            DiceCrossEntropy(),
            outputs=_CLASSES,
            strata=np.zeros(len(masks), dtype=np.int64),
            groups=groups,
            watched=None if watched is None else self._watched(*watched),
            progress=progress,
            checkpoints=checkpoints,
        )
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:  # noqa: N803
        """(n, height, width) probability of scar; 0 outside the myocardium, if that is given."""
        logits = self._answers(X).astype(np.float64)
        shares: NDArray[np.float64] = expit(logits[:, 1] - logits[:, 0])
        if self.within_myocardium:
            shares *= np.asarray(X)[:, 1]
        return shares

    def predict(self, X: ArrayLike) -> NDArray[np.bool_]:  # noqa: N803
        """(n, height, width) is it scar: probability above one half."""
        masks: NDArray[np.bool_] = self.predict_proba(X) > 0.5
        return masks

    def score(self, X: ArrayLike, y: ArrayLike) -> float:  # noqa: N803
        """Mean Dice over the slices."""
        return float(dice(self.predict(X), y).mean())

    def network_inputs(self, X: ArrayLike) -> Tensor:  # noqa: N803
        """(n, ...) what the network reads, all checks done."""
        slices = np.asarray(X, dtype=np.float32)
        channels = 2 if self.within_myocardium else 1
        if slices.ndim != 4 or slices.shape[1] != channels or 0 in slices.shape:
            raise ValueError(f"X has shape {slices.shape}, need (n, {channels}, height, width)")
        if not np.isfinite(slices).all():
            bad = np.flatnonzero(~np.isfinite(slices).all(axis=(1, 2, 3)))
            raise ValueError(f"X[{bad[0]}] has pixels that are not finite ({len(bad)} of {len(slices)} slices have)")
        image = slices[:, 0]
        ready = range_within(image, _as_masks(slices[:, 1])) if self.within_myocardium else _standardised(image)
        return torch.from_numpy(ready[:, None])

    def _network(self, outputs: int) -> nn.Module:
        self._check_feature_size()
        if find_spec("einops") is None:  # MONAI would say so in the first step of the training only
            raise ModuleNotFoundError(
                "scar-segmentation needs einops, which is not installed: pip install 'crt-twin[deep]'", name="einops"
            )
        # Its constructor computes numbers, which a network without memory (`from_parts`) could not.
        with torch.device("cpu"):
            swin = SwinUNETR(in_channels=1, out_channels=outputs, feature_size=self.feature_size, spatial_dims=2)
        return self._started(PaddedNet(swin))

    def _check_feature_size(self) -> None:
        if self.feature_size % 12 or not 12 <= self.feature_size <= _MAX_FEATURES:
            raise ValueError(f"feature_size is {self.feature_size}, need a multiple of 12 from 12 to {_MAX_FEATURES}")

    def _watched(self, X: ArrayLike, y: ArrayLike) -> tuple[Tensor, Tensor]:  # noqa: N803
        slices = self.network_inputs(X)
        return slices, _target(_as_masks(y), slices)


class PaddedNet(nn.Module):
    """A network for sides of multiples of 32, on slices of any size: zeros around them, cut off again."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, slices: Tensor) -> Tensor:
        """(n, 1, height, width) to (n, outputs, height, width)."""
        height, width = slices.shape[2:]
        more_y, more_x = (max(-(-side // _MULTIPLE) * _MULTIPLE, _SMALLEST) - side for side in (height, width))
        top, left = more_y // 2, more_x // 2
        logits: Tensor = self.network(F.pad(slices, (left, more_x - left, top, more_y - top)))
        return logits[:, :, top : top + height, left : left + width]


def _standardised(slices: Float32) -> Float32:
    """(n, height, width) slices, each of mean 0 and deviation 1."""
    means, deviations = slices.mean(axis=(1, 2), keepdims=True), slices.std(axis=(1, 2), keepdims=True)
    flat = np.flatnonzero(np.ptp(slices, axis=(1, 2)) == 0)
    if flat.size:
        raise ValueError(f"X[{flat[0]}] is flat ({flat.size} of {len(slices)} are); leave out slices without an image")
    standardised: Float32 = (slices - means) / deviations
    return standardised


def _as_masks(y: ArrayLike) -> NDArray[np.bool_]:
    values = np.asarray(y)
    if values.ndim != 3:
        raise ValueError(f"masks have shape {values.shape}, need (n, height, width)")
    wrong = np.argwhere((values != 0) & (values != 1))
    if wrong.size:
        raise ValueError(
            f"mask {wrong[0, 0]} holds {values[tuple(wrong[0])]}, need 0 or 1 ({len(wrong)} pixels are neither)"
        )
    masks: NDArray[np.bool_] = values == 1
    return masks


def _target(masks: NDArray[np.bool_], slices: Tensor) -> Tensor:
    if masks.shape != (len(slices), *slices.shape[2:]):
        raise ValueError(f"masks have shape {masks.shape}, need {(len(slices), *slices.shape[2:])}: one for each slice")
    return torch.from_numpy(masks.astype(np.int64))
