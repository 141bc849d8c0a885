from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from torch import nn

from ml.model_store import ModelParts, write_parts
from ml.pretrained_weights import PretrainedWeights, load_pretrained
from ml.resnet import resnet18
from ml.training import seeded

torch.set_num_threads(1)


def encoder() -> PretrainedWeights:
    """A ResNet-18 for 12 signals, without its last layer."""
    with seeded(1):
        network = resnet18(12, 1, dimensions=1)
    network.fc = nn.Identity()
    return PretrainedWeights.of(network, {"method": "contrastive", "losses": [1.5, 0.5]})


def test_weights_come_back_from_their_file(tmp_path: Path) -> None:
    weights = encoder()
    weights.save(tmp_path / "encoder.weights")
    loaded = load_pretrained(tmp_path / "encoder.weights")
    assert loaded.source == weights.source
    assert loaded.weights.keys() == weights.weights.keys()
    assert all(np.array_equal(array, loaded.weights[name]) for name, array in weights.weights.items())


def test_weights_go_into_the_network_and_leave_its_last_layer_alone() -> None:
    weights = encoder()
    network = resnet18(12, 2, dimensions=1)
    last = network.get_submodule("fc").weight.clone()  # type: ignore[operator, union-attr]
    weights.load_into(network)
    state = network.state_dict()
    assert state.keys() - weights.weights.keys() == {"fc.weight", "fc.bias"}
    assert all(np.array_equal(state[name].numpy(), array) for name, array in weights.weights.items())
    assert torch.equal(state["fc.weight"], last)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"other": np.zeros(3)}, "weight other is strange"),
        ({"conv1.weight": None}, "weight conv1.weight is missing"),
        ({"fc.weight": np.zeros((2, 512), dtype=np.float32)}, "weight fc.bias is missing"),
        ({"bn1.bias": np.zeros(3, dtype=np.float32)}, r"weight bn1.bias is \(3,\)"),
        ({"bn1.bias": np.zeros(64)}, "float64"),
        ({"bn1.bias": np.full(64, np.nan, dtype=np.float32)}, "need finite"),
    ],
)
def test_weights_of_another_network_are_refused_and_nothing_is_changed(change: Any, message: str) -> None:
    network = resnet18(12, 2, dimensions=1)
    kept = {name: array for name, array in (dict(encoder().weights) | change).items() if array is not None}
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        PretrainedWeights(weights=kept, source={}).load_into(network)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_a_last_layer_among_the_weights_is_taken_over() -> None:
    whole, network = resnet18(12, 2, dimensions=1), resnet18(12, 2, dimensions=1)
    PretrainedWeights.of(whole, {}).load_into(network)
    torch.testing.assert_close(network.state_dict(), whole.state_dict(), rtol=0, atol=0)


def test_weights_do_not_change_with_the_network_that_they_were_taken_from_or_put_into() -> None:
    network = resnet18(12, 2, dimensions=1)
    weights = PretrainedWeights.of(network, {})
    before = weights.weights["fc.bias"].copy()
    weights.load_into(network)
    with torch.no_grad():
        network.get_parameter("fc.bias").add_(1)
    np.testing.assert_array_equal(weights.weights["fc.bias"], before)
    with pytest.raises(ValueError, match="read-only"):
        weights.weights["fc.bias"][0] = 0


def test_a_plain_safetensors_file_is_read(tmp_path: Path) -> None:
    save_file({"a": np.arange(3.0)}, tmp_path / "scar.safetensors")
    loaded = load_pretrained(tmp_path / "scar.safetensors")
    assert loaded.source == {"file": "scar.safetensors"}
    np.testing.assert_array_equal(loaded.weights["a"], np.arange(3.0))


@pytest.mark.parametrize("name", ["broken.safetensors", "broken.weights"])
def test_damaged_files_are_refused_by_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"PK no weights")
    with pytest.raises(ValueError, match=f"{name} is no"):
        load_pretrained(tmp_path / name)


def test_a_model_is_not_taken_for_weights(tmp_path: Path) -> None:
    write_parts(tmp_path / "some.model", "composite", ModelParts(settings={}))
    with pytest.raises(ValueError, match=r"holds a composite model.*trained_weights"):
        load_pretrained(tmp_path / "some.model")
