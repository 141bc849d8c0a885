"""Self-supervised pretraining of the ResNet-18 on ECGs without labels, by two methods.

contrastive: two augmented views of one ECG are to be closer to each other than to the views of all other ECGs of the batch
    (normalised temperature-scaled cross-entropy, NT-Xent, as in SimCLR [arXiv:2002.05709]).
masked: patches of the input are hidden, and what they hold is predicted from the rest; the error counts in the hidden
    patches only (as in SimMIM [arXiv:2111.09886], with the mean instead of a learnt token in the hidden places).

Mori et al. [doi:10.1111/jce.70212] publish neither their method nor their data: these are generic methods and ours, not
theirs; so are augmentation, sizes and settings. Which method is better for some hundreds of patients is not known; always
show the network from random weights beside them.

All ECGs of a batch count as different patients: give one ECG per patient, or few.

Needs the extra [deep].
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from ml.augmentation import Augmentation
from ml.model_store import JSON
from ml.networks import Scaling
from ml.pretrained_weights import PretrainedWeights
from ml.resnet import resnet18
from ml.training import Data, Objective, Progress, TrainingPlan, seeded, train

Method = Literal["contrastive", "masked"]
Drawing = Callable[[Tensor], Tensor]

# Our choice, but for the patience: nothing is held out to watch.
PRETRAINING_PLAN = TrainingPlan(learning_rate=1e-3, max_epochs=50, patience=None)
# Values of a feature vector of the ResNet-18, and the inputs along one axis that each place of its map stands for.
_FEATURES, _STRIDE = 512, 32
_PROJECTED = 128


def pretrain(
    signals: NDArray[np.float32],
    sampling_hz: float,
    method: Method = "contrastive",
    *,
    draw: Drawing | None = None,
    plan: TrainingPlan = PRETRAINING_PLAN,
    augmentation: Augmentation | None = None,
    progress: Progress | None = None,
    checkpoints: Path | None = None,
) -> PretrainedWeights:
    """Weights of a ResNet-18 (its last layer left out) that has learnt from ECGs without labels.

    `SSLImageResNetClassifier.pretrain` calls it with the pages that it reads.

    Args:
        signals: (n, 12, samples) mV, as `ml.signals.as_signals` gives them.
        sampling_hz: of the signals.
        method: "contrastive" or "masked".
        draw: what makes (n, channels, ...) inputs of (n, 12, samples) signals, such as page images; its repr stands for
            it in a checkpoint. None: the network reads the signals themselves.
        plan: seed, epochs, learning rate; without patience.
        augmentation: of the contrastive views; by default `Augmentation`'s sizes.
        progress: called after every epoch.
        checkpoints: folder; see `ml.training.train`.

    Raises:
        ValueError: if there are fewer than two ECGs, the method is unknown, or the inputs are too small to hide a part.
    """
    if method not in get_args(Method):
        raise ValueError(f"method is {method!r}, need one of {', '.join(get_args(Method))}")
    data: Data = (torch.from_numpy(signals),)
    inputs = data[0] if draw is None else draw(data[0])
    channels, dimensions = inputs.shape[1], inputs.ndim - 2
    with seeded(plan.seed):
        trunk = resnet18(channels, 1, dimensions=dimensions)
        network: ContrastiveNet | MaskedNet
        objective: Objective
        if method == "contrastive":
            network = ContrastiveNet(trunk, channels)
            objective = Contrastive(augmentation or Augmentation(sampling_hz=sampling_hz), draw)
        else:
            network = MaskedNet(trunk, channels, dimensions)
            data, objective = (inputs,), Masked()
    network.scaling.fit(inputs)
    curve = train(network, data, objective, plan, progress=progress, checkpoints=checkpoints)
    losses: list[JSON] = [*curve.training]
    source: dict[str, JSON] = {"method": method, "ecgs": len(signals), "seed": plan.seed, "losses": losses}
    trunk.fc = nn.Identity()
    return PretrainedWeights.of(trunk, source)


def nt_xent(one: Tensor, two: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of finding each view's partner among all other views, by cosine similarity over temperature.

    Args:
        one: (n, k) the first views, of any length but 0.
        two: (n, k) the second ones; row i is the partner of row i.
        temperature: > 0; the smaller, the more the nearest strangers count.

    Returns:
        The mean over all 2 n views: log(2 n - 1) if all are equal.

    Raises:
        ValueError: if there are fewer than 2 pairs, which leaves no stranger.
    """
    if len(one) < 2:
        raise ValueError(
            f"{len(one)} pairs of views leave no stranger to be told from, need at least 2; batch_size >= 2"
        )
    views = F.normalize(torch.cat([one, two]).float(), dim=1)
    similar = views @ views.T / temperature
    similar = similar.masked_fill(torch.eye(len(views), dtype=torch.bool, device=views.device), -torch.inf)
    return F.cross_entropy(similar, torch.arange(len(views), device=views.device).roll(len(one)))


def random_patches(n: int, grid: tuple[int, ...], share: float) -> Tensor:
    """(n, 1, *grid) True in this share of the places of every row, one at least and not all; by torch's own generator.

    Raises:
        ValueError: if there are fewer than two places.
    """
    places = int(np.prod(grid))
    if places < 2:
        raise ValueError(f"a map of {grid} places cannot be hidden in part; give inputs longer than {_STRIDE}")
    count = min(max(round(share * places), 1), places - 1)
    return (torch.rand(n, places).argsort(dim=1) < count).view(n, 1, *grid)


def masked_error(guess: Tensor, truth: Tensor, hidden: Tensor) -> Tensor:
    """Mean absolute error where hidden.

    Args:
        guess: (n, channels, ...).
        truth: the same shape.
        hidden: (n, 1, ...) booleans.
    """
    return (guess.float() - truth)[hidden.expand_as(truth)].abs().mean()


@dataclass(frozen=True, slots=True)
class Contrastive:
    """NT-Xent of two views of each ECG; a batch is signals (n, 12, samples).

    Attributes:
        augmentation: makes the views.
        draw: see `pretrain`.
        temperature: of `nt_xent`.
    """

    augmentation: Augmentation
    draw: Drawing | None = None
    temperature: float = 0.1

    def __call__(self, network: nn.Module, batch: Data) -> Tensor:
        """A scalar."""
        (signals,) = batch
        views = torch.cat([self.augmentation(signals), self.augmentation(signals)])
        projected: Tensor = network(views if self.draw is None else self.draw(views))
        one, two = projected.chunk(2)
        return nt_xent(one, two, self.temperature)


@dataclass(frozen=True, slots=True)
class Masked:
    """Error of the hidden patches; a batch is inputs (n, channels, ...).

    Attributes:
        share: of the patches that is hidden. A patch is 32 samples of all channels, or 32 x 32 pixels.
    """

    share: float = 0.5

    def __call__(self, network: nn.Module, batch: Data) -> Tensor:
        """A scalar."""
        (inputs,) = batch
        sizes = inputs.shape[2:]
        hidden = random_patches(len(inputs), tuple(-(-size // _STRIDE) for size in sizes), self.share).to(inputs.device)
        for axis, size in enumerate(sizes, start=2):
            hidden = hidden.repeat_interleave(_STRIDE, dim=axis).narrow(axis, 0, size)
        guess, truth = network(inputs, hidden)
        return masked_error(guess, truth, hidden)


class ContrastiveNet(nn.Module):
    """A ResNet-18 without its last layer, then a perceptron to the (n, 128) space in which views are compared."""

    def __init__(self, trunk: nn.Module, channels: int) -> None:
        super().__init__()
        self.scaling = Scaling(channels)
        self.features = _feature_map(trunk)
        self.head = nn.Sequential(nn.Linear(_FEATURES, _FEATURES), nn.ReLU(), nn.Linear(_FEATURES, _PROJECTED))

    def forward(self, inputs: Tensor) -> Tensor:
        """(n, channels, ...) to (n, 128)."""
        projected: Tensor = self.head(self.features(self.scaling(inputs)).flatten(2).mean(dim=2))
        return projected


class MaskedNet(nn.Module):
    """A ResNet-18 without its last layer, then one linear map from each place to the 32 (x 32) inputs that it stands for."""

    def __init__(self, trunk: nn.Module, channels: int, dimensions: int) -> None:
        super().__init__()
        self.scaling = Scaling(channels)
        self.features = _feature_map(trunk)
        back = nn.ConvTranspose1d if dimensions == 1 else nn.ConvTranspose2d
        self.head = back(_FEATURES, channels, _STRIDE, _STRIDE)

    def forward(self, inputs: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """What the network says and what is true, (n, channels, ...) scaled; `hidden` (n, 1, ...) is not shown to it."""
        truth = self.scaling(inputs)
        guess = self.head(self.features(truth.masked_fill(hidden, 0)))
        for axis, size in enumerate(truth.shape[2:], start=2):
            guess = guess.narrow(axis, 0, size)
        return guess, truth


def _feature_map(resnet: nn.Module) -> nn.Sequential:
    """The same modules, without average pooling and last layer: (n, channels, ...) to (n, 512, a 32nd of each side)."""
    return nn.Sequential(*list(resnet.children())[:-2])
