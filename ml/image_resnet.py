"""ResNet-18 on the picture of a 12-lead ECG, after Mori et al. 2025 [doi:10.1111/jce.70212].

Needs the extra [deep].
"""

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from ml.ecg.recording import STANDARD_LEADS
from ml.network_classifier import NetworkClassifier
from ml.networks import scaled
from ml.page_image import model_image
from ml.resnet import resnet18
from ml.signals import as_signals
from ml.training import TrainingPlan


class ImageResNetClassifier(NetworkClassifier):
    """Response to CRT, or any other classes, from the ECG drawn as a page.

    Published: 285 patients, responder = LV end-systolic volume down by at least 15 % at 6 months, accuracy 74.1 % and PPV
    84.2 %, means over 10 seeds. Page, resolution and training are not: the page is `model_image`'s, the training that of
    Le's networks, pixels scaled to mean 0 and deviation 1 over the training data; all our choice.

    X is (n, leads, samples) mV.

    Args:
        sampling_hz: of X.
        leads: names of its rows.
        size: height and width of the picture in pixels.
        panel_s: time across one panel of the page; about 1 s suits single beats.
        learning_rate, batch_size, max_epochs, patience, device, mixed_precision: see `TrainingPlan`.
        random_state: seed of the first weights, the order and what early stopping watches.
    """

    def __init__(
        self,
        *,
        sampling_hz: float,
        leads: tuple[str, ...] = STANDARD_LEADS,
        size: int = 224,
        panel_s: float = 2.5,
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
        self.size = size
        self.panel_s = panel_s
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.patience = patience
        self.random_state = random_state
        self.device = device
        self.mixed_precision = mixed_precision

    def check_settings(self) -> None:
        """Find what no data could make right.

        Raises:
            ValueError: naming the setting.
        """
        super().check_settings()
        model_image(np.zeros((1, len(STANDARD_LEADS), 2)), self.sampling_hz, size=self.size, panel_s=self.panel_s)

    def network_inputs(self, X: ArrayLike) -> Tensor:  # noqa: N803
        """(n, ...) what the network reads, all checks done."""
        signals = as_signals(X, self.leads, self.sampling_hz)
        return torch.from_numpy(model_image(signals, self.sampling_hz, size=self.size, panel_s=self.panel_s))

    def _network(self, outputs: int) -> nn.Module:
        return scaled(resnet18(1, outputs, dimensions=2), 1)
