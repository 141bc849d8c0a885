import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from ml.networks import MAX_SLICES, ECGCompositeNet, Scaling, SlidingScarNet, scaled
from ml.resnet import resnet18

torch.set_num_threads(1)


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_resnet18_has_the_parameters_of_the_original() -> None:
    # 11,689,512 is the count of torchvision's ResNet-18; MONAI's shortcuts have biases besides.
    with torch.device("meta"):
        network = resnet18(3, 1000, dimensions=2)
    assert count(network) == 11_689_512 + 128 + 256 + 512


def test_resnet18_halves_its_input_five_times() -> None:
    sizes: list[tuple[int, ...]] = []
    with torch.device("meta"):
        network = resnet18(1, 2, dimensions=2)
        for name in ("conv1", "maxpool", "layer1", "layer2", "layer3", "layer4"):
            getattr(network, name).register_forward_hook(lambda _m, _i, out: sizes.append(tuple(out.shape[1:])))
        answer = network(torch.empty(2, 1, 224, 224))
    assert sizes == [(64, 112, 112), (64, 56, 56), (64, 56, 56), (128, 28, 28), (256, 14, 14), (512, 7, 7)]
    assert answer.shape == (2, 2)


def test_resnet18_reads_signals_of_any_length() -> None:
    with torch.device("meta"):
        network = resnet18(12, 3, dimensions=1)
        for samples in (250, 1000, 5001):
            assert network(torch.empty(2, 12, samples)).shape == (2, 3)


@pytest.mark.parametrize("rows", [12, 24])
def test_the_composite_net_has_the_published_layers(rows: int) -> None:
    with torch.device("meta"):
        network = ECGCompositeNet(rows, 1)
        features = torch.empty(2, rows, 250)
        shapes = []
        for layer in network.features:
            features = layer(features)
            if isinstance(layer, nn.MaxPool1d):
                shapes.append((features.shape[1] // rows, features.shape[2]))
        assert network(torch.empty(2, rows, 250)).shape == (2, 1)
    assert shapes == [(32, 62), (64, 15), (128, 3)]
    kinds = [nn.Conv1d, nn.BatchNorm1d, nn.ReLU, nn.MaxPool1d] * 3
    assert [type(layer) for layer in network.features] == kinds
    assert [layer.p for layer in network.head if isinstance(layer, nn.Dropout)] == [0.8, 0.5]
    per_lead = 5 * (1 * 32 + 32 * 64 + 64 * 128) + 2 * (32 + 64 + 128)
    assert count(network) == rows * per_lead + (rows * 128 * 3 * 128 + 128) + (128 + 1)


@pytest.mark.parametrize("training", [False, True])
def test_grouped_convolution_equals_a_loop_over_the_leads(training: bool) -> None:
    rows, signals = 4, noise(3, 4, 250)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = ECGCompositeNet(rows, 1).train(training)
    alone = []
    for row in range(rows):
        x = signals[:, row : row + 1]
        for conv, norm in ((network.features[k], network.features[k + 1]) for k in (0, 4, 8)):
            part = slice(row * conv.out_channels // rows, (row + 1) * conv.out_channels // rows)
            x = F.conv1d(x, conv.weight[part], padding=2)
            mean, var = norm.running_mean[part].clone(), norm.running_var[part].clone()
            x = F.batch_norm(x, mean, var, norm.weight[part], norm.bias[part], training=training)
            x = F.max_pool1d(F.relu(x), 4)
        alone.append(x)
    torch.testing.assert_close(network.features(signals), torch.cat(alone, dim=1), rtol=1e-4, atol=1e-5)


def scar_net() -> SlidingScarNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return SlidingScarNet(1)


def test_the_scar_net_has_these_many_parameters() -> None:
    encoder = 9 * (2 * 16 + 16 * 32 + 32 * 64 + 64 * 64) + 2 * (16 + 32 + 64 + 64)
    assert count(scar_net()) == encoder + (MAX_SLICES * 64 * 64 + 64) + (64 + 1)


def test_the_scar_net_reads_slices_of_the_published_size() -> None:
    with torch.device("meta"):
        assert SlidingScarNet(1).encoder(torch.empty(7, 2, 128, 128)).shape == (7, 64)


def test_missing_slices_at_the_end_change_nothing() -> None:
    network = scar_net().eval()
    three = noise(2, 3, 2, 32, 32)
    ten = torch.cat([three, torch.full((2, 7, 2, 32, 32), torch.nan)], dim=1)
    torch.testing.assert_close(network(ten), network(three), rtol=1e-5, atol=1e-6)
    assert not torch.allclose(network(ten.nan_to_num(1.0)), network(three))


def test_missing_slices_change_neither_the_batch_norm_nor_its_gradient() -> None:
    three = noise(2, 3, 2, 32, 32)
    ten = torch.cat([three, torch.full((2, 7, 2, 32, 32), torch.nan)], dim=1)
    first, second = scar_net().train(), scar_net().train()
    for network, slices in ((first, three), (second, ten)):
        network.encoder(slices[~slices[:, :, 0, 0, 0].isnan()]).square().sum().backward()
    torch.testing.assert_close(first.encoder[1].running_var, second.encoder[1].running_var)
    torch.testing.assert_close(first.encoder[0].weight.grad, second.encoder[0].weight.grad)


def test_other_patients_do_not_change_a_trained_scar_net() -> None:
    network = scar_net().eval()
    slices = noise(4, 10, 2, 32, 32)
    slices[1, 4:] = torch.nan
    slices[2, :7] = torch.nan
    alone = torch.cat([network(slices[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(network(slices), alone, rtol=1e-4, atol=1e-5)


def test_the_order_of_the_slices_matters() -> None:
    network, slices = scar_net().eval(), noise(1, 4, 2, 32, 32)
    assert not torch.allclose(network(slices), network(slices.flip(1)))


@pytest.mark.parametrize("shape", [(50, 3, 40), (6, 1, 20, 20)])
def test_scaling_gives_every_channel_mean_0_and_deviation_1(shape: tuple[int, ...]) -> None:
    scaling = Scaling(shape[1])
    inputs = (noise(*shape) * 50 + 120).clamp(0, 255).to(torch.uint8)
    scaling.fit(inputs)
    channels = scaling(inputs).transpose(0, 1).flatten(1)
    torch.testing.assert_close(channels.mean(dim=1), torch.zeros(shape[1]), atol=1e-5, rtol=0)
    torch.testing.assert_close(channels.std(dim=1, correction=0), torch.ones(shape[1]), atol=1e-5, rtol=0)


def test_a_constant_channel_is_scaled_to_zero() -> None:
    scaling = Scaling(1)
    scaling.fit(torch.full((4, 1, 8), 7.0))
    assert scaling(torch.full((4, 1, 8), 7.0)).abs().max() == 0


def test_the_scaling_is_stored_with_the_weights() -> None:
    network = scaled(nn.Linear(4, 1), 2)
    assert {"scaling.mean", "scaling.deviation", "network.weight"} <= set(network.state_dict())
