"""Grad-CAM: where in its input a network saw what raised its answer [doi:10.1109/ICCV.2017.74].

For activations A_k of one layer and an answer y before sigmoid or softmax, the weight of channel k is the mean of
dy/dA_k over all places, and the map is ReLU(sum_k weight_k A_k), interpolated linearly to the size of the input. It is no
sharper than the layer, and shows neither what lowers the answer nor what other inputs would do.

Our deviation: where each lead has channels of its own (Le's composite net), the sum runs over the channels of a lead, so
that every lead has a map, all on one scale.

Needs the extra [deep].
"""

import numpy as np
import torch
from monai.networks.nets import ResNet
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from ml.network_estimator import NetworkEstimator
from ml.networks import ECGCompositeNet, SlidingScarNet

_BATCH = 32
_INTERPOLATION = {1: "linear", 2: "bilinear"}


def grad_cam(
    network: nn.Module,
    layer: nn.Module,
    inputs: Tensor,
    *,
    output: int = 0,
    sign: float = 1.0,
    groups: int = 1,
) -> NDArray[np.float32]:
    """Heat maps of the size of the input.

    Args:
        network: (n, ...) to (n, outputs); asked as it is in use (batch norm and dropout at rest).
        layer: the module of the network whose result to look at, (n, channels, length) or (n, channels, height, width);
            usually the last one that knows places.
        inputs: (n, ..., length) or (n, ..., height, width), on the CPU.
        output: which answer.
        sign: -1 for what lowers the answer: the other class of a network with one logit.
        groups: how many maps; the channels of each follow one another.

    Returns:
        (n, groups, length) or (n, groups, height, width), 0 or more, in the unit of the answer per place; a layer that
        sees parts of the input one by one (slices) has a row for each.

    Raises:
        ValueError: if the network did not use the layer exactly once, or its result has no places or other channels.
    """
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    was_training = network.training
    network.eval()
    try:
        maps = [
            _maps(network, layer, batch.to(device), output, sign, groups).cpu().numpy()
            for batch in torch.split(inputs, _BATCH)
        ]
    finally:
        network.train(was_training)
    return np.concatenate(maps)


def class_maps(model: NetworkEstimator, X: ArrayLike, target: int) -> NDArray[np.float32]:  # noqa: N803
    """The maps of a fitted network for one class: number `target` of `classes_`; for values, of output `target`.

    Returns:
        What the network reads says the shape: (n, 1, height, width) for pages, (n, rows, samples) for the leads of
        Le's composite net, (n, slices, height, width) for slices, NaN where a slice is missing.

    Raises:
        ValueError: if X does not fit the model, or its network is of another kind.
    """
    inputs = model.network_inputs(X)
    network = model.network_
    reader = getattr(network, "network", network)  # without the scaling in front
    output, sign = (0, 2.0 * target - 1) if len(getattr(model, "classes_", ())) == 2 else (target, 1.0)
    if isinstance(reader, ECGCompositeNet):
        # Before the last pooling, which leaves 3 places: 15.
        return grad_cam(network, reader.features[-2], inputs, output=output, sign=sign, groups=inputs.shape[1])
    if isinstance(reader, ResNet):
        return grad_cam(network, reader.layer4, inputs, output=output, sign=sign)
    if isinstance(reader, SlidingScarNet):
        of_slices = grad_cam(network, reader.encoder[-4], inputs, output=output, sign=sign)
        present = ~inputs[:, :, 0, 0, 0].isnan().numpy()
        maps = np.full((*present.shape, *of_slices.shape[2:]), np.nan, dtype=np.float32)
        maps[present] = of_slices[:, 0]
        return maps
    raise ValueError(f"it is not known which layer of {type(reader).__name__} to look at; call grad_cam with one")


def _maps(network: nn.Module, layer: nn.Module, inputs: Tensor, output: int, sign: float, groups: int) -> Tensor:
    seen: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: object, result: Tensor) -> Tensor:
        # What comes before needs no gradient. The copy may be changed in place by what follows.
        seen.append(result.detach().requires_grad_())
        return seen[-1].clone()

    handle = layer.register_forward_hook(keep)
    try:
        with torch.inference_mode(False), torch.enable_grad():
            answer = network(inputs)[:, output].sum()
            if len(seen) != 1:
                raise ValueError(f"the network used the layer {len(seen)} times, need a layer that it uses once")
            (slopes,) = torch.autograd.grad(sign * answer, seen)
    finally:
        handle.remove()
    activations = seen[0].detach()
    places = activations.ndim - 2
    if places not in _INTERPOLATION or activations.shape[1] % groups:
        raise ValueError(
            f"the layer gives {tuple(activations.shape)}, need (n, channels, places) or (n, channels, height, width) with "
            f"channels for {groups} maps"
        )
    weights = slopes.flatten(2).mean(dim=2).view(*slopes.shape[:2], *(1,) * places)
    heat = torch.unflatten(weights * activations, 1, (groups, -1)).sum(dim=2).relu()
    return F.interpolate(heat, size=inputs.shape[-places:], mode=_INTERPOLATION[places], align_corners=False)
