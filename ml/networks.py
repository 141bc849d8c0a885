"""Le's networks, and the scaling of inputs that all networks begin with; `ml.resnet` has the ResNet-18.

All give logits (before sigmoid or softmax), one row per patient. Kernel sizes, pooling, widths of the dense layers and
the whole encoder of the scar net are our choice: they are not published.

Needs the extra [deep].
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

COMPOSITE_SAMPLES = 250
COMPOSITE_CHANNELS = (32, 64, 128)
MAX_SLICES = 10
_KERNEL, _POOL, _DENSE = 5, 4, 128
_SCAR_CHANNELS, _SCAR_DENSE = (16, 32, 64, 64), 64


class ECGCompositeNet(nn.Module):
    """Le's network on the leads of one ECG (12), or of the pre- and post-implant ECG together (24).

    Published: per lead three convolution blocks (32, 64, 128 channels; batch norm, ReLU, max pooling), then dense layers
    with dropout 0.8 and 0.5. Our choice: filters of their own for every lead, kernels of 5, pooling by 4, one hidden
    dense layer of 128, dropout before each dense layer. The leads run as groups of one convolution, which gives the same
    numbers as a loop over them.

    Input (n, rows, 250), output (n, outputs). `features` gives (n, rows * 128, 3), row by row.
    """

    def __init__(self, rows: int, outputs: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        samples = COMPOSITE_SAMPLES
        for before, after in zip((1, *COMPOSITE_CHANNELS), COMPOSITE_CHANNELS, strict=False):
            layers += [
                nn.Conv1d(rows * before, rows * after, _KERNEL, padding=_KERNEL // 2, groups=rows, bias=False),
                nn.BatchNorm1d(rows * after),
                nn.ReLU(),
                nn.MaxPool1d(_POOL),
            ]
            samples //= _POOL
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(0.8),
            nn.Linear(rows * COMPOSITE_CHANNELS[-1] * samples, _DENSE),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(_DENSE, outputs),
        )

    def forward(self, signals: Tensor) -> Tensor:
        """(n, rows, 250) to (n, outputs)."""
        logits: Tensor = self.head(self.features(signals))
        return logits


class SlidingScarNet(nn.Module):
    """Le's network on short-axis slices: one encoder slides over them, a perceptron weighs up to 10 of them.

    Published: two channels (myocardium, scar) per slice, a shared convolutional encoder, a perceptron over up to 10 slice
    vectors with masking. Our choice: four blocks of 3 x 3 convolution, batch norm, ReLU and max pooling by 2 (16, 32, 64,
    64 channels), the mean over what is left as the vector, one hidden layer of 64 with dropout 0.5.

    Input (n, up to 10 slices, 2, height, width), a missing slice NaN throughout; output (n, outputs). A missing slice
    is not encoded, so that it moves neither the answer nor the batch norm: its vector is zero.
    """

    def __init__(self, outputs: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in zip((2, *_SCAR_CHANNELS), _SCAR_CHANNELS, strict=False):
            layers += [
                nn.Conv2d(before, after, 3, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(),
                nn.MaxPool2d(2),
            ]
        self.encoder = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Sequential(
            nn.Linear(MAX_SLICES * _SCAR_CHANNELS[-1], _SCAR_DENSE),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(_SCAR_DENSE, outputs),
        )

    def forward(self, slices: Tensor) -> Tensor:
        """(n, slices, 2, height, width) to (n, outputs)."""
        present = ~slices[:, :, 0, 0, 0].isnan()
        encoded = self.encoder(slices[present])
        vectors = encoded.new_zeros(len(slices), MAX_SLICES, encoded.shape[1])
        vectors[F.pad(present, (0, MAX_SLICES - present.shape[1]))] = encoded
        logits: Tensor = self.head(vectors.flatten(1))
        return logits


class Scaling(nn.Module):
    """Each channel to mean 0 and standard deviation 1, after the training data: stored with the weights."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("deviation", torch.ones(channels))

    def fit(self, inputs: Tensor) -> None:
        """Take mean and deviation of (n, channels, ...)."""
        for channel in range(inputs.shape[1]):  # one at a time: images are kept as bytes
            deviation, mean = torch.std_mean(inputs[:, channel].float(), correction=0)
            self.mean[channel], self.deviation[channel] = mean, deviation.clamp_min(1e-6)

    def forward(self, inputs: Tensor) -> Tensor:
        """(n, channels, ...) of any number type to the same shape in float32."""
        shape = (-1, *(1,) * (inputs.ndim - 2))
        return (inputs.float() - self.mean.view(shape)) / self.deviation.view(shape)


def scaled(network: nn.Module, channels: int) -> nn.Sequential:
    """`Scaling` as `.scaling`, then the network as `.network`."""
    return nn.Sequential(OrderedDict(scaling=Scaling(channels), network=network))
