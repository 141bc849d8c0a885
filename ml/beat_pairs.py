"""One composite net on the beat before and the beat under pacing, that also answers where one of the two is missing.

Le's net reads the leads of two ECGs side by side (`ml.networks.ECGCompositeNet`, 24 rows); published are results for the
first alone, the second alone and both. Here one set of weights gives all three answers: in training every patient comes
three times, once with the second ECG blank, once with the first, once with both (our choice, for a third of the size).

What the net sees in both is the output of its hidden dense layer; `PAIR_COMPONENTS` principal components of it over
the training patients are the embedding.

In a file every weight matrix is kept as bytes with one scale per output channel, at a quarter of the size: what is
asked is always the net with the weights rounded so, in training's own measures as well.

Units: mV; 250 samples per lead.

Needs the extra [deep].
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ml.model_store import ModelParts, read_parts, write_parts
from ml.network_estimator import inner_split
from ml.networks import COMPOSITE_SAMPLES, ECGCompositeNet, Scaling, scaled
from ml.training import Supervised, TrainingPlan, answers, seeded, train

Float32 = NDArray[np.float32]

PAIR_COMPONENTS = 4
_LEADS = 12
_HIDDEN = 4  # layers of the head up to the hidden one, its ReLU included
_NAME = "beat-pairs"


@dataclass(frozen=True, kw_only=True, eq=False)
class PairAnswers:
    """What the net says of n pairs.

    Attributes:
        before, after, both: (n,) chance of label 1 from the first beat alone, the second alone, and both.
        embedding: (n, PAIR_COMPONENTS) of both, in standard deviations of the training patients along all components.
    """

    before: Float32
    after: Float32
    both: Float32
    embedding: Float32


class BeatPairNet:
    """The trained net; made by `fit` or `load`."""

    def __init__(self, network: nn.Sequential, centre: Float32, axes: Float32) -> None:
        self._network, self._centre, self._axes = network.eval(), centre, axes

    @classmethod
    def fit(cls, before: Float32, after: Float32, labels: NDArray[np.int64], plan: TrainingPlan) -> Self:
        """Train on (n, 12, 250) beats before and after, and (n,) labels 0 or 1; early stopping watches a fifth of the n."""
        pairs = torch.from_numpy(_three_ways(before, after))
        patients = np.tile(np.arange(len(labels)), 3)
        target = np.tile(labels, 3)
        learn, watch = inner_split(target, patients, seed=plan.seed)
        with seeded(plan.seed):
            network = scaled(ECGCompositeNet(2 * _LEADS, 1), 2 * _LEADS)
        for module in network.modules():
            if isinstance(module, Scaling):
                module.fit(pairs[2 * len(labels) :])
        goal = torch.from_numpy(target)
        train(
            network,
            (pairs[learn], goal[learn]),
            Supervised("two classes"),
            plan,
            watched=(pairs[watch], goal[watch]),
        )
        network.load_state_dict(_state(_packed(network)))
        unturned = cls(network, np.zeros(1, dtype=np.float32), np.zeros((1, 1), dtype=np.float32))
        hidden = unturned._hidden(unturned._features(pairs[2 * len(labels) :].numpy()))
        centre = hidden.mean(axis=0)
        _, sizes, axes = np.linalg.svd(hidden - centre, full_matrices=False)
        axes = axes[:PAIR_COMPONENTS] * np.sqrt(len(labels)) / np.linalg.norm(sizes)
        axes *= np.sign(axes[np.arange(PAIR_COMPONENTS), np.abs(axes).argmax(axis=1)])[:, None]
        return cls(network, centre, axes.astype(np.float32))

    def answer(self, before: Float32, after: Float32) -> PairAnswers:
        """Ask about n pairs at once.

        Args:
            before: (n, 12, 250) mV.
            after: (n, 12, 250) mV.

        Raises:
            ValueError: if the shapes differ from these.
        """
        shape = (len(before), _LEADS, COMPOSITE_SAMPLES)
        if before.shape != shape or after.shape != shape:
            raise ValueError(
                f"beats have shapes {before.shape} and {after.shape}, need both (n, 12, {COMPOSITE_SAMPLES})"
            )
        blank = np.zeros((1, 2 * _LEADS, COMPOSITE_SAMPLES), dtype=np.float32)
        # No lead's features depend on another lead: those of a blank one are put in place of a beat's own.
        features = self._features(np.concatenate([np.concatenate([before, after], axis=1), blank]))
        first, second = np.split(features[:-1], 2, axis=1)
        no_first, no_second = (np.repeat(part, len(before), axis=0) for part in np.split(features[-1:], 2, axis=1))
        alone, paced, both = (
            self._hidden(np.concatenate(way, axis=1))
            for way in ((first, no_second), (no_first, second), (first, second))
        )
        return PairAnswers(
            before=self._chance(alone),
            after=self._chance(paced),
            both=self._chance(both),
            embedding=((both - self._centre) @ self._axes.T).astype(np.float32),
        )

    def save(self, path: Path) -> None:
        """Write the net; the same net gives the same bytes."""
        arrays = {**_packed(self._network), "embedding.centre": self._centre, "embedding.axes": self._axes}
        write_parts(path, _NAME, ModelParts(settings={}, arrays=arrays))

    @classmethod
    def load(cls, path: Path) -> Self:
        """The net that `save` wrote.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: in one line, if it is damaged or holds something else.
        """
        name, parts = read_parts(path)
        if name != _NAME:
            raise ValueError(f"{path.name} holds the model {name!r}, need {_NAME!r}")
        arrays = dict(parts.arrays)
        network = scaled(ECGCompositeNet(2 * _LEADS, 1), 2 * _LEADS)
        try:
            centre, axes = arrays.pop("embedding.centre"), arrays.pop("embedding.axes")
            network.load_state_dict(_state(arrays))
        except (KeyError, RuntimeError) as error:
            raise ValueError(f"{path.name} does not hold a complete {_NAME} model: {error}") from error
        return cls(network, centre, axes)

    def _features(self, pairs: Float32) -> Float32:
        """(k, 24 * channels, samples) for (k, 24, 250), lead by lead."""
        scaling, composite = self._network
        return answers(nn.Sequential(scaling, composite.get_submodule("features")), torch.from_numpy(pairs))

    def _hidden(self, features: Float32) -> Float32:
        """(k, 128) output of the hidden layer."""
        return answers(nn.Sequential(*self._head[:_HIDDEN]), torch.from_numpy(features))

    def _chance(self, hidden: Float32) -> Float32:
        """(k,) of label 1."""
        logits = answers(nn.Sequential(*self._head[_HIDDEN:]), torch.from_numpy(hidden))[:, 0]
        return (1 / (1 + np.exp(-logits))).astype(np.float32)

    @property
    def _head(self) -> list[nn.Module]:
        return list(self._network[1].get_submodule("head").children())


def _three_ways(before: Float32, after: Float32) -> Float32:
    """(3 n, 24, 250): every pair with a blank second beat, then with a blank first one, then whole."""
    blank = np.zeros_like(before)
    ways = ((before, blank), (blank, after), (before, after))
    return np.concatenate([np.concatenate(way, axis=1) for way in ways]).astype(np.float32)


def _packed(network: nn.Module) -> dict[str, NDArray[Any]]:
    """The weights: matrices as bytes, each with its scales."""
    packed: dict[str, NDArray[Any]] = {}
    for name, tensor in network.state_dict().items():
        array = tensor.numpy()
        if array.ndim > 1:
            most = np.abs(array).max(axis=tuple(range(1, array.ndim)), keepdims=True)
            scale = np.maximum(most, 1e-12).astype(np.float32) / np.float32(127)
            packed[name], packed[f"{name}.scale"] = np.round(array / scale).astype(np.int8), scale
        else:
            packed[name] = array
    return packed


def _state(packed: dict[str, NDArray[Any]]) -> dict[str, Tensor]:
    """The weights as the network takes them."""
    state = {}
    for name, array in packed.items():
        if not name.endswith(".scale"):
            scale = packed.get(f"{name}.scale")
            state[name] = torch.from_numpy(array if scale is None else array.astype(np.float32) * scale)
    return state
