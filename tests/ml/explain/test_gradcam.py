"""Grad-CAM on networks whose maps are known in closed form, and on the toolkit's own."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ml.explain.gradcam import class_maps, grad_cam
from ml.networks import COMPOSITE_CHANNELS, ECGCompositeNet
from tests.ml.test_network_classifier import beats, composite, image, scar, scars

torch.set_num_threads(1)


class Linear(nn.Module):
    """Filters without neighbours, mean over places, one weight per filter: y = bias + sum_k w_k mean(A_k)."""

    def __init__(self, filters: Tensor, weights: Tensor, bias: Tensor, dimensions: int) -> None:
        super().__init__()
        self.convolution = (nn.Conv1d, nn.Conv2d)[dimensions - 1](filters.shape[1], len(filters), 1, bias=False)
        self.head = nn.Linear(len(filters), len(weights))
        self.convolution.weight.data = filters.view(*filters.shape, *(1,) * dimensions)
        self.head.weight.data, self.head.bias.data = weights, bias

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.convolution(inputs).flatten(2).mean(dim=2))


def linear(dimensions: int, *, seed: int = 0, bias: float = 0.0) -> tuple[Linear, Tensor]:
    """A network of 3 channels, 5 filters and 2 answers, and 4 inputs for it."""
    torch.manual_seed(seed)
    shape = (4, 3, 20) if dimensions == 1 else (4, 3, 6, 8)
    return Linear(torch.randn(5, 3), torch.randn(2, 5), torch.full((2,), bias), dimensions), torch.randn(shape)


@pytest.mark.parametrize("dimensions", [1, 2])
@pytest.mark.parametrize(("output", "sign"), [(0, 1.0), (1, 1.0), (1, -1.0)])
def test_after_a_mean_over_places_the_map_is_the_weighted_sum_of_the_filters(
    dimensions: int, output: int, sign: float
) -> None:
    network, inputs = linear(dimensions)
    maps = grad_cam(network, network.convolution, inputs, output=output, sign=sign)
    places = inputs[0, 0].numel()
    with torch.no_grad():
        weighted = torch.einsum("k,nk...->n...", network.head.weight[output], network.convolution(inputs))
    np.testing.assert_allclose(maps[:, 0], (sign * weighted / places).relu(), rtol=1e-5, atol=1e-7)


def test_both_signs_together_add_up_to_the_answer_without_its_bias() -> None:
    network, inputs = linear(1, bias=0.7)
    up, down = (grad_cam(network, network.convolution, inputs, sign=sign).sum(axis=(1, 2)) for sign in (1.0, -1.0))
    with torch.no_grad():
        np.testing.assert_allclose(up - down, network(inputs)[:, 0] - 0.7, rtol=1e-5, atol=1e-6)


def test_a_constant_added_to_the_answer_changes_no_map() -> None:
    (network, inputs), (shifted, _) = linear(2), linear(2, bias=5.0)
    np.testing.assert_array_equal(
        grad_cam(network, network.convolution, inputs), grad_cam(shifted, shifted.convolution, inputs)
    )


def test_maps_do_not_depend_on_the_other_inputs() -> None:
    network, _ = linear(1)
    inputs = torch.randn(70, 3, 20, generator=torch.Generator().manual_seed(1))
    together = grad_cam(network, network.convolution, inputs)
    alone = [grad_cam(network, network.convolution, one[None])[0] for one in inputs]
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-7)


def test_maps_of_a_coarse_layer_have_the_size_of_the_input() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv1d(1, 4, 3, stride=4), nn.ReLU(inplace=True), nn.Flatten(), nn.LazyLinear(1))
    inputs = torch.randn(2, 1, 41)
    network(inputs)
    assert grad_cam(network, network[0], inputs).shape == (2, 1, 41)


def test_the_network_is_left_as_it_was() -> None:
    network, inputs = linear(1)
    network.train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    grad_cam(network, network.convolution, inputs)
    assert network.training
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not network.convolution._forward_hooks
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_dropout_is_at_rest() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv1d(1, 4, 3), nn.Dropout(0.9), nn.Flatten(), nn.Linear(4 * 8, 1)).train()
    inputs = torch.randn(3, 1, 10)
    np.testing.assert_array_equal(grad_cam(network, network[0], inputs), grad_cam(network, network[0], inputs))


def test_a_layer_that_the_network_does_not_use_is_refused() -> None:
    network, inputs = linear(1)
    with pytest.raises(ValueError, match="used the layer 0 times"):
        grad_cam(network, nn.ReLU(), inputs)


def test_a_layer_without_places_is_refused() -> None:
    network, inputs = linear(1)
    with pytest.raises(ValueError, match=r"gives \(4, 2\)"):
        grad_cam(network, network.head, inputs)


@pytest.mark.parametrize("row", [0, 5, 11])
def test_a_composite_net_that_reads_one_lead_lights_up_that_lead_alone(row: int) -> None:
    torch.manual_seed(row)
    network = ECGCompositeNet(12, 1).eval()
    channels = COMPOSITE_CHANNELS[-1]
    first, last = network.head[2], network.head[5]
    kept = torch.zeros(12, channels, 3)
    kept[row] = 1
    first.weight.data = first.weight.data.abs() * kept.flatten()
    last.weight.data = last.weight.data.abs()
    maps = grad_cam(network, network.features[-2], torch.randn(3, 12, 250), groups=12)
    hot = maps.sum(axis=(0, 2)) > 0
    assert hot.tolist() == [i == row for i in range(12)]


def fitted(name: str) -> tuple[Any, NDArray[Any]]:
    make, data = {"composite": (composite, beats), "image": (image, beats), "scar": (scar, scars)}[name]
    x, y = data()
    return make().fit(x, y), x


@pytest.mark.parametrize(
    ("name", "shape"), [("composite", (16, 12, 250)), ("image", (16, 1, 64, 64)), ("scar", (8, 5, 32, 32))]
)
def test_every_network_of_ours_has_maps_of_the_size_of_what_it_reads(name: str, shape: tuple[int, ...]) -> None:
    model, x = fitted(name)
    maps = class_maps(model, x, 1)
    assert maps.shape == shape
    assert np.nanmax(maps) > 0 or np.nanmax(class_maps(model, x, 0)) > 0


def test_missing_slices_have_no_map() -> None:
    model, x = fitted("scar")
    np.testing.assert_array_equal(np.isnan(class_maps(model, x, 1)), np.isnan(x[:, :, 0]))


def test_the_map_of_a_patients_slices_is_the_one_of_the_patient_alone() -> None:
    model, x = fitted("scar")
    np.testing.assert_allclose(class_maps(model, x, 1)[5], class_maps(model, x[5:6], 1)[0], rtol=1e-4, atol=1e-7)


def test_the_first_of_two_classes_has_the_maps_of_the_second_in_the_negated_network() -> None:
    model, x = fitted("composite")
    first, second = class_maps(model, x, 0), class_maps(model, x, 1)
    assert not np.allclose(first, second)
    with torch.no_grad():
        model.network_.network.head[-1].weight.neg_()
    np.testing.assert_allclose(class_maps(model, x, 1), first, rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(class_maps(model, x, 0), second, rtol=1e-5, atol=1e-9)


def test_lead_names_in_another_order_give_the_same_maps() -> None:
    model, x = fitted("composite")
    expected = class_maps(model, x, 1)
    model.leads = model.leads[::-1]
    np.testing.assert_array_equal(class_maps(model, x[:, ::-1], 1), expected)
