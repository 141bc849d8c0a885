"""How fast the networks train, beside MONAI's ResNet-18 with its default stem, in one run.

One thread and its processor time, which other work on the machine disturbs least.
"""

from collections.abc import Callable, Iterator
from functools import partial
from statistics import median
from time import process_time

import pytest
import torch
from monai.networks.nets import resnet18 as monai_resnet18
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from ml.networks import ECGCompositeNet, SlidingScarNet
from ml.resnet import resnet18
from ml.training import Supervised, TrainingPlan, answers, seeded, train

IMAGES, SIGNALS, PATIENTS = 8, 32, 4


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def plain_epoch(network: nn.Module, inputs: Tensor, target: Tensor) -> None:
    """The same step as everybody writes it."""
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    network.train()
    loss = F.binary_cross_entropy_with_logits(network(inputs)[:, 0], target.float())
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


def our_epoch(network: nn.Module, inputs: Tensor, target: Tensor, mixed: bool = False) -> None:
    plan = TrainingPlan(batch_size=len(inputs), max_epochs=1, patience=None, device="cpu", mixed_precision=mixed)
    train(network, (inputs, target), Supervised("two classes"), plan)


def median_seconds(runs: dict[str, Callable[[], object]], times: int) -> dict[str, float]:
    """Medians after one warm-up call each, in turns, so that other work on the machine disturbs all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(times + 1):
        for name, run in runs.items():
            start = process_time()
            run()
            seconds[name].append(process_time() - start)
    return {name: median(each[1:]) for name, each in seconds.items()}


@pytest.mark.benchmark
def test_resnet18_training_rate() -> None:
    with seeded(0):
        inputs, target = torch.rand(IMAGES, 1, 224, 224), torch.arange(IMAGES) % 2
        default = monai_resnet18(spatial_dims=2, n_input_channels=1, num_classes=1)
        ours = {mixed: resnet18(1, 1, dimensions=2) for mixed in (False, True)}
    seconds = median_seconds(
        {
            "MONAI's default stem, plain loop": partial(plain_epoch, default, inputs, target),
            "ours": partial(our_epoch, ours[False], inputs, target),
            "ours, mixed_precision": partial(our_epoch, ours[True], inputs, target, mixed=True),
        },
        times=3,
    )
    peer = seconds["MONAI's default stem, plain loop"]
    print(f"\nResNet-18, 224 x 224, batch {IMAGES}, one thread")
    for name, each in seconds.items():
        print(f"  {name:32s} {IMAGES / each:6.1f} images/s {peer / each:5.2f} x")


@pytest.mark.benchmark
@pytest.mark.parametrize("rows", [12, 24])
def test_composite_net_rate(rows: int) -> None:
    with seeded(0):
        inputs, target = torch.randn(SIGNALS, rows, 250), torch.arange(SIGNALS) % 2
        network = ECGCompositeNet(rows, 1)
    seconds = median_seconds(
        {
            "training": partial(our_epoch, network, inputs, target),
            "training, mixed_precision": partial(our_epoch, network, inputs, target, mixed=True),
            "answers": partial(answers, network, inputs, device="cpu"),
        },
        times=3,
    )
    print(f"\ncomposite net, {rows} x 250, batch {SIGNALS}, one thread")
    for name, each in seconds.items():
        print(f"  {name:26s} {SIGNALS / each:7.0f} ECGs/s")


@pytest.mark.benchmark
def test_scar_net_rate() -> None:
    with seeded(0):
        inputs, target = torch.rand(PATIENTS, 10, 2, 128, 128), torch.arange(PATIENTS) % 2
        network = SlidingScarNet(1)
    runs = {
        "training": partial(our_epoch, network, inputs, target),
        "answers": partial(answers, network, inputs, device="cpu"),
    }
    print(f"\nscar net, 10 slices of 128 x 128, batch {PATIENTS}, one thread")
    for name, each in median_seconds(runs, times=3).items():
        print(f"  {name:26s} {PATIENTS / each:7.1f} patients/s")
