"""Weights that a training starts from instead of random ones, and what the estimators that take them share.

They come from self-supervised pretraining (`ml.pretraining`), from a fitted estimator (`trained_weights`), or from a file.

Needs the extra [deep].
"""

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load as arrays_from_bytes
from sklearn.utils.validation import check_is_fitted
from torch import nn

from ml.model_store import JSON, ModelParts, read_parts, write_parts
from ml.network_estimator import NetworkEstimator

_NAME = "pretrained-weights"
# The last layer of the ResNet-18, which pretraining without labels does not have.
_HEAD = "fc."


@dataclass(frozen=True, kw_only=True, eq=False)
class PretrainedWeights:
    """The weights of one network, without the scaling of its inputs.

    Attributes:
        weights: arrays by the names that the network gives them; copied in, read-only.
        source: what they were made from (method, number of ECGs, seed, losses).
    """

    weights: Mapping[str, NDArray[Any]] = field(repr=False)
    source: dict[str, JSON]

    def __post_init__(self) -> None:
        own = {name: np.array(array, order="C") for name, array in self.weights.items()}
        for array in own.values():
            array.flags.writeable = False
        object.__setattr__(self, "weights", own)

    @classmethod
    def of(cls, network: nn.Module, source: dict[str, JSON]) -> Self:
        """Those of a network."""
        return cls(weights={name: tensor.numpy() for name, tensor in network.state_dict().items()}, source=source)

    def load_into(self, network: nn.Module) -> None:
        """Put them into a network, whose last layer stays as it is if they have none.

        Raises:
            ValueError: if names, shapes or types are not those of the network, or a weight is not finite.
        """
        headless = not any(name.startswith(_HEAD) for name in self.weights)
        needed = {
            name: tensor for name, tensor in network.state_dict().items() if not (headless and name.startswith(_HEAD))
        }
        wrong = sorted(self.weights.keys() ^ needed.keys())
        if wrong:
            raise ValueError(
                f"weight {wrong[0]} is {'strange to' if wrong[0] in self.weights else 'missing for'} this network "
                f"({len(wrong)} are strange or missing); take weights of the same architecture"
            )
        tensors = {name: torch.from_numpy(array.copy()) for name, array in self.weights.items()}
        for name, tensor in tensors.items():
            like = needed[name]
            if tensor.dtype != like.dtype or tensor.shape != like.shape or not tensor.isfinite().all():
                raise ValueError(
                    f"weight {name} is {tuple(tensor.shape)} {tensor.dtype}, need finite {tuple(like.shape)} {like.dtype}; "
                    "take weights of the same architecture"
                )
        network.load_state_dict(tensors, strict=not headless)

    def save(self, path: Path | str) -> None:
        """Write them as data only; `load_pretrained` reads them."""
        write_parts(path, _NAME, ModelParts(settings={}, state=self.source, arrays=dict(self.weights)))


def load_pretrained(path: Path | str) -> PretrainedWeights:
    """Weights from a file: one of `PretrainedWeights.save`, or a plain .safetensors file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged, or something else.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        name, parts = read_parts(path)
        if name != _NAME:
            raise ValueError(f"{path.name} holds a {name} model, need pretrained weights; take its trained_weights()")
        return PretrainedWeights(weights=parts.arrays, source=parts.state)
    data = path.read_bytes()
    try:
        return PretrainedWeights(weights=arrays_from_bytes(data), source={"file": path.name})
    except Exception as error:  # safetensors has several for a damaged file
        raise ValueError(f"{path.name} is no safetensors file, or damaged: {error}") from error


class StartsFromWeights(NetworkEstimator):
    """Base of the estimators with a `pretrained` setting.

    A saved model keeps what it was pretrained on (`pretraining_`), neither the weights that it started from nor anyone's
    ECGs: cloned after loading, it is fitted as if they had never been given, unless they are set again.
    """

    # Settings that are no plain values: None in a saved model.
    _not_stored: ClassVar[tuple[str, ...]] = ("pretrained",)
    # What makes such weights within `fit`, once all of its checks are done.
    _pretraining: Callable[[], PretrainedWeights] | None = None

    pretrained: PretrainedWeights | None
    pretraining_: dict[str, JSON]

    def trained_weights(self) -> PretrainedWeights:
        """Those of this fitted estimator, its last layer included, for another one to start from."""
        check_is_fitted(self, "network_")
        source: dict[str, JSON] = {"fitted": type(self).__name__, "pretraining": self.pretraining_}
        return PretrainedWeights.of(self.network_.get_submodule("network"), source)

    def parts(self) -> ModelParts:
        """What `save_model` stores."""
        plain = copy(self)
        for name in self._not_stored:
            setattr(plain, name, None)
        parts = super(StartsFromWeights, plain).parts()
        return replace(parts, state=parts.state | {"pretraining": self.pretraining_})

    @classmethod
    def from_parts(cls, parts: ModelParts) -> Self:
        """The fitted estimator.

        Raises:
            ValueError: if the weights do not fit the network.
        """
        made = super().from_parts(parts)
        state: dict[str, Any] = parts.state
        made.pretraining_ = state["pretraining"]
        return made

    def _started(self, network: nn.Module) -> nn.Module:
        """The network (`scaled`), with the weights that it is to start from, if any; `_network` calls it last."""
        weights = self.pretrained if self._pretraining is None else self._pretraining()
        self.pretraining_ = {}
        if weights is not None:
            weights.load_into(network.get_submodule("network"))
            self.pretraining_ = weights.source
        return network
