from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ml import training
from ml.model_store import ModelParts, write_parts
from ml.networks import ECGCompositeNet
from ml.training import LearningCurve, Supervised, TrainingPlan, answers, find_device, seeded, train

torch.set_num_threads(1)
BINARY = Supervised("two classes")


def small_network(seed: int = 0) -> nn.Module:
    """With batch norm and dropout, so that running statistics and random draws matter."""
    with seeded(seed):
        return nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 1))


def picture_network(seed: int = 0) -> nn.Module:
    with seeded(seed):
        layers = (nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.Dropout(0.2))
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64, 1))


def pictures(n: int = 40, seed: int = 0) -> tuple[Tensor, Tensor]:
    x = torch.randn(n, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    return x, (x[:, 0].mean(dim=(1, 2)) > 0).long()


def rows(n: int = 40, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 4, generator=generator)
    return x, (x[:, 0] + 0.5 * torch.randn(n, generator=generator) > 0).long()


def plan(max_epochs: int = 5, patience: int | None = None, seed: int = 0, learning_rate: float = 1e-2) -> TrainingPlan:
    return TrainingPlan(
        learning_rate=learning_rate, batch_size=16, max_epochs=max_epochs, patience=patience, seed=seed, device="cpu"
    )


def weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def test_the_same_seed_gives_the_same_bits() -> None:
    first, second = small_network(), small_network()
    assert train(first, rows(), BINARY, plan()) == train(second, rows(), BINARY, plan())
    torch.testing.assert_close(weights(first), weights(second), rtol=0, atol=0)


def test_another_seed_gives_another_order_and_other_dropout() -> None:
    first, second = train(small_network(), rows(), BINARY, plan()), train(small_network(), rows(), BINARY, plan(seed=1))
    assert first.training[0] != second.training[0]


def test_training_leaves_the_random_state_of_torch_alone() -> None:
    before = torch.random.get_rng_state()
    train(small_network(), rows(), BINARY, plan(max_epochs=2), watched=rows(seed=1))
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_full_batch_step_is_adam_on_the_mean_loss() -> None:
    x, y = rows(16)
    network, twin = nn.Linear(4, 1), nn.Linear(4, 1)
    twin.load_state_dict(network.state_dict())
    train(network, (x, y), BINARY, plan(max_epochs=3))
    moment, square = torch.zeros(1, 4), torch.zeros(1, 4)
    bias, bias_moment, bias_square = twin.bias.detach(), torch.zeros(1), torch.zeros(1)
    weight = twin.weight.detach()
    for step in range(1, 4):
        error = (torch.sigmoid(x @ weight.T + bias) - y[:, None]) / 16
        for value, m, v, slope in (
            (weight, moment, square, error.T @ x),
            (bias, bias_moment, bias_square, error.sum(dim=0)),
        ):
            m.mul_(0.9).add_(0.1 * slope)
            v.mul_(0.999).add_(0.001 * slope**2)
            value -= 1e-2 * (m / (1 - 0.9**step)) / ((v / (1 - 0.999**step)).sqrt() + 1e-8)
    torch.testing.assert_close(network.weight.detach(), weight, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(network.bias.detach(), bias, rtol=1e-4, atol=1e-6)


def test_the_training_loss_is_the_mean_over_rows_also_when_batches_differ_in_size() -> None:
    x, y = rows(35)
    network = nn.Linear(4, 1)
    expected = float(BINARY(network, (x, y)).detach())
    curve = train(network, (x, y), BINARY, plan(max_epochs=1, learning_rate=1e-12))
    assert curve.training[0] == pytest.approx(expected, rel=1e-6)


def test_every_epoch_has_an_order_of_its_own() -> None:
    seen: list[float] = []
    network = nn.Linear(4, 1)
    network.register_forward_hook(lambda _m, given, _out: seen.extend(given[0][:, 0].tolist()))
    train(network, rows(40), BINARY, plan(max_epochs=3))
    first, second, third = seen[:40], seen[40:80], seen[80:]
    assert sorted(first) == sorted(second) == sorted(third)
    assert first != second != third != first


@pytest.mark.parametrize("n", [33, 17, 5])
def test_no_batch_is_left_with_one_row(n: int) -> None:
    sizes: list[int] = []
    network = small_network()
    network[0].register_forward_hook(lambda _m, _i, out: sizes.append(len(out)))
    train(network, rows(n), BINARY, plan(max_epochs=1))
    assert sum(sizes) == n
    assert max(sizes) - min(sizes) <= 1


class CutOffError(Exception):
    pass


@pytest.mark.parametrize("patience", [None, 3])
@pytest.mark.parametrize("epochs_done", [1, 4])
@pytest.mark.parametrize(("network", "data"), [(small_network, rows), (picture_network, pictures)])
def test_a_run_that_was_cut_off_goes_on_to_the_same_numbers(
    tmp_path: Path, patience: int | None, epochs_done: int, network: Any, data: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "_WRITING_SHARE", np.inf)
    whole, again = network(), network()
    p = plan(max_epochs=9, patience=patience)
    curve = train(whole, data(), BINARY, p, watched=data(seed=1))

    def cut_off(so_far: LearningCurve, _plan: TrainingPlan) -> None:
        if len(so_far.training) == epochs_done:
            raise CutOffError

    with pytest.raises(CutOffError):
        train(network(), data(), BINARY, p, watched=data(seed=1), progress=cut_off, checkpoints=tmp_path)
    epochs: list[int] = []

    def count(so_far: LearningCurve, _plan: TrainingPlan) -> None:
        epochs.append(len(so_far.training))

    resumed = train(again, data(), BINARY, p, watched=data(seed=1), progress=count, checkpoints=tmp_path)
    assert epochs[0] == epochs_done + 1
    assert resumed == curve
    torch.testing.assert_close(weights(again), weights(whole), rtol=0, atol=0)


def test_where_writing_takes_long_only_the_first_epoch_and_the_last_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "_WRITING_SHARE", 1e-12)
    written = []

    def counted(path: Path, name: str, parts: ModelParts) -> None:
        written.append(len(parts.state["training"]))
        write_parts(path, name, parts)

    monkeypatch.setattr(training, "write_parts", counted)
    train(small_network(), rows(), BINARY, plan(max_epochs=5), checkpoints=tmp_path)
    assert written == [1, 5]


def test_a_finished_run_is_not_repeated(tmp_path: Path) -> None:
    first, second = small_network(), small_network()
    curve = train(first, rows(), BINARY, plan(), checkpoints=tmp_path)
    epochs: list[int] = []
    found = train(
        second, rows(), BINARY, plan(), progress=lambda c, _p: epochs.append(len(c.training)), checkpoints=tmp_path
    )
    assert found == curve
    assert epochs == []
    torch.testing.assert_close(weights(first), weights(second), rtol=0, atol=0)


def test_a_run_with_other_data_seed_or_weights_has_its_own_checkpoint(tmp_path: Path) -> None:
    train(small_network(), rows(), BINARY, plan(1), checkpoints=tmp_path)
    train(small_network(), rows(seed=3), BINARY, plan(1), checkpoints=tmp_path)
    train(small_network(), rows(), BINARY, plan(1, seed=1), checkpoints=tmp_path)
    train(small_network(1), rows(), BINARY, plan(1), checkpoints=tmp_path)
    train(small_network(), rows(), BINARY, plan(1), watched=rows(seed=1), checkpoints=tmp_path)
    assert len(list(tmp_path.iterdir())) == 5


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    train(small_network(), rows(), BINARY, plan(1), checkpoints=tmp_path)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    for spoilt in (whole[:-40], whole.replace(b"kept_epoch", b"kept_apoch")):
        file.write_bytes(spoilt)
        with pytest.raises(ValueError, match=r"remove it to train anew: .*damaged"):
            train(small_network(), rows(), BINARY, plan(1), checkpoints=tmp_path)


def test_a_file_that_is_no_state_of_the_run_is_refused(tmp_path: Path) -> None:
    train(small_network(), rows(), BINARY, plan(1), checkpoints=tmp_path)
    (file,) = tmp_path.iterdir()
    for state in ({}, asdict(LearningCurve())):
        write_parts(file, "checkpoint", ModelParts(settings={}, state=state))
        with pytest.raises(ValueError, match="remove it to train anew"):
            train(small_network(), rows(), BINARY, plan(1), checkpoints=tmp_path)


def test_patience_keeps_the_weights_of_the_lowest_watched_loss() -> None:
    x, y = rows(12)
    watched = rows(40, seed=1)
    states: list[dict[str, Tensor]] = []
    network = small_network()
    curve = train(
        network,
        (x, 1 - y),  # what is learnt is wrong, so that the watched loss soon rises
        BINARY,
        plan(max_epochs=50, patience=3),
        watched=watched,
        progress=lambda _c, _p: states.append(weights(network)),
    )
    assert curve.kept_epoch == int(np.argmin(curve.watched))
    assert len(curve.watched) == curve.kept_epoch + 1 + 3 < 50
    torch.testing.assert_close(weights(network), states[curve.kept_epoch], rtol=0, atol=0)


def test_without_patience_the_last_weights_are_kept() -> None:
    curve = train(small_network(), rows(), BINARY, plan(max_epochs=4), watched=rows(seed=1))
    assert curve.kept_epoch == 3


def test_the_watched_loss_is_that_of_the_trained_network() -> None:
    network, (x, y) = small_network(), rows(seed=1)
    curve = train(network, rows(), BINARY, plan(max_epochs=3), watched=(x, y))
    logits = answers(network, x, device="cpu")[:, 0].astype(np.float64)
    expected = np.mean(np.log1p(np.exp(-np.where(y.numpy() == 1, logits, -logits))))
    assert curve.watched[-1] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("task", ["classes", "values"])
def test_every_task_is_learnt(task: str) -> None:
    x, _ = rows(64)
    network = nn.Linear(4, 2)
    target = x[:, :2].argmax(dim=1) if task == "classes" else x[:, :2] * 2
    curve = train(network, (x, target), Supervised(task), plan(max_epochs=60, learning_rate=0.05))  # type: ignore[arg-type]
    assert curve.training[-1] < 0.35 * curve.training[0]


def test_mixed_precision_comes_near_single_precision() -> None:
    curves = [
        train(
            small_network(),
            rows(),
            BINARY,
            TrainingPlan(
                max_epochs=3, patience=None, batch_size=16, learning_rate=1e-2, device="cpu", mixed_precision=mixed
            ),
        ).training
        for mixed in (False, True)
    ]
    assert curves[0] != curves[1]
    np.testing.assert_allclose(curves[1], curves[0], rtol=0.02)


def test_answers_do_not_depend_on_the_batch() -> None:
    with seeded(0):
        network = ECGCompositeNet(2, 1)
    signals = torch.randn(7, 2, 250, generator=torch.Generator().manual_seed(0))
    one, many = (answers(network, signals, device="cpu", batch_size=size) for size in (1, 64))
    np.testing.assert_allclose(one, many, rtol=1e-4, atol=1e-6)


def test_a_loss_that_is_not_finite_ends_the_training() -> None:
    x, y = rows()
    with pytest.raises(ValueError, match="the loss is nan after 0 epochs"):
        train(small_network(), (x * torch.inf, y), BINARY, plan())
    with pytest.raises(ValueError, match="the loss is nan after 1 epochs"):
        train(small_network(), (x, y), BINARY, plan(patience=2), watched=(x * torch.inf, y))


def test_patience_needs_something_to_watch() -> None:
    with pytest.raises(ValueError, match="patience=None"):
        train(small_network(), rows(), BINARY, plan(patience=3))


def test_a_single_row_is_too_few() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        train(small_network(), rows(1), BINARY, plan())


def test_a_device_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match="cuda:77"):
        find_device("cuda:77")
    with pytest.raises(ValueError, match="toaster"):
        find_device("toaster")


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"max_epochs": 0}, {"patience": 0}, {"learning_rate": 0.0}])
def test_a_plan_that_trains_nothing_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TrainingPlan(**wrong)  # type: ignore[arg-type]
