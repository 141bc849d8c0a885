import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ml.augmentation import Augmentation
from ml.ecg.recording import STANDARD_LEADS
from ml.pretraining import (
    Contrastive,
    ContrastiveNet,
    Masked,
    MaskedNet,
    masked_error,
    nt_xent,
    pretrain,
    random_patches,
)
from ml.resnet import resnet18
from ml.signals import Float32, as_signals
from ml.training import TrainingPlan, seeded
from tests.ml.heartbeats import RATE_HZ, beats

torch.set_num_threads(1)
SMALL = TrainingPlan(learning_rate=1e-3, batch_size=8, max_epochs=1, patience=None, device="cpu")
SIX_EPOCHS = TrainingPlan(learning_rate=1e-3, batch_size=8, max_epochs=6, patience=None, device="cpu")
every_method = pytest.mark.parametrize("method", ["contrastive", "masked"])


def signals(n: int = 12, seed: int = 0) -> Float32:
    return as_signals(beats(n, seed=seed)[0], STANDARD_LEADS, RATE_HZ)


def strangers(n: int = 16) -> Float32:
    """(n, 12, 200) one hump, as large in each lead as nobody else has it."""
    wave = np.exp(-0.5 * ((np.arange(200) - 100) / 6) ** 2)
    return (np.random.default_rng(0).normal(size=(n, 12, 1)) * wave).astype(np.float32)


def random_tensor(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_nt_xent_is_a_plain_loop_over_pairs() -> None:
    one, two = random_tensor(5, 7), random_tensor(5, 7, seed=1)
    views = torch.cat([one, two])
    total = 0.0
    for i in range(10):
        similar = [float(torch.cosine_similarity(views[i], views[k], dim=0)) / 0.3 for k in range(10)]
        strangers = sum(math.exp(similar[k]) for k in range(10) if k != i)
        total -= math.log(math.exp(similar[(i + 5) % 10]) / strangers)
    assert float(nt_xent(one, two, 0.3)) == pytest.approx(total / 10, rel=1e-5)


@pytest.mark.parametrize("n", [2, 5])
def test_nt_xent_of_views_that_are_all_equal_is_the_logarithm_of_the_others(n: int) -> None:
    one = torch.ones(n, 3)
    assert float(nt_xent(one, one, 0.1)) == pytest.approx(math.log(2 * n - 1), rel=1e-6)


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_nt_xent_of_equal_partners_orthogonal_to_all_others(temperature: float) -> None:
    pairs = torch.eye(4)
    strangers = 2 * 4 - 2
    expected = math.log(1 + strangers * math.exp(-1 / temperature))
    assert float(nt_xent(pairs, 3 * pairs, temperature)) == pytest.approx(expected, rel=1e-3)


def test_nt_xent_does_not_care_which_view_is_first() -> None:
    one, two = random_tensor(6, 4), random_tensor(6, 4, seed=1)
    torch.testing.assert_close(nt_xent(one, two, 0.1), nt_xent(two, one, 0.1))


def test_one_pair_alone_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        nt_xent(torch.ones(1, 3), torch.ones(1, 3), 0.1)


def test_the_same_share_of_every_row_is_hidden_at_other_places() -> None:
    with seeded(0):
        hidden = random_patches(50, (2, 5), 0.3)
    assert hidden.shape == (50, 1, 2, 5)
    assert (hidden.sum(dim=(1, 2, 3)) == 3).all()
    assert (hidden.float().mean(dim=0) - 0.3).abs().max() < 0.25
    assert len(hidden.flatten(1).unique(dim=0)) > 20


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_never_is_nothing_or_everything_hidden(share: float) -> None:
    counts = random_patches(3, (4,), share).sum(dim=(1, 2))
    assert counts.tolist() == [1 if share == 0 else 3] * 3


def test_the_masked_error_counts_hidden_places_only() -> None:
    guess, truth = random_tensor(3, 2, 8).requires_grad_(), random_tensor(3, 2, 8, seed=1)
    hidden = torch.zeros(3, 1, 8, dtype=torch.bool)
    hidden[0, 0, 2:4] = hidden[2, 0, 7] = True
    error = masked_error(guess, truth, hidden)
    by_hand = [abs(float((guess - truth).detach()[i, c, t])) for i, t in ((0, 2), (0, 3), (2, 7)) for c in range(2)]
    assert float(error.detach()) == pytest.approx(np.mean(by_hand), rel=1e-5)
    error.backward()  # type: ignore[no-untyped-call]
    assert guess.grad is not None
    assert torch.equal(guess.grad != 0, hidden.expand_as(truth))


@pytest.mark.parametrize("shape", [(12, 250), (1, 70, 64)])
def test_the_network_does_not_see_what_is_hidden(shape: tuple[int, ...]) -> None:
    channels, *sizes = shape
    with seeded(0):
        network = MaskedNet(resnet18(channels, 1, dimensions=len(sizes)), channels, len(sizes)).eval()
    inputs = random_tensor(2, *shape)
    hidden = torch.zeros(2, 1, *sizes, dtype=torch.bool)
    hidden[..., 32:64] = True
    changed = torch.where(hidden, random_tensor(2, *shape, seed=1), inputs)
    with torch.inference_mode():
        guess, truth = network(inputs, hidden)
        again, other = network(changed, hidden)
        seen, _ = network(changed, ~hidden)
    assert guess.shape == truth.shape == inputs.shape
    torch.testing.assert_close(guess, again, rtol=0, atol=0)
    assert not torch.equal(truth, other)
    assert not torch.equal(guess, seen)


def test_whole_patches_are_hidden() -> None:
    asked: list[Tensor] = []

    class Listener(nn.Module):
        def forward(self, inputs: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
            asked.append(hidden)
            return inputs, inputs

    with seeded(0):
        Masked(share=0.5)(Listener(), (torch.zeros(4, 1, 70, 64),))
    hidden = asked[0]
    assert hidden.shape == (4, 1, 70, 64)
    for rows in (slice(0, 32), slice(32, 64), slice(64, 70)):
        for columns in (slice(0, 32), slice(32, 64)):
            patch = hidden[:, 0, rows, columns].flatten(1)
            assert (patch.all(dim=1) | ~patch.any(dim=1)).all()


def test_the_encoder_that_is_pretrained_is_the_resnet_that_is_trained_on() -> None:
    with seeded(0):
        resnet = resnet18(12, 3, dimensions=1).eval()
        features = ContrastiveNet(resnet, 12).eval().features
    x = random_tensor(2, 12, 250)
    with torch.inference_mode():
        pooled = features(x).mean(dim=2)
        torch.testing.assert_close(resnet.get_submodule("fc")(pooled), resnet(x))


def test_the_two_views_are_drawn_apart() -> None:
    views: list[Tensor] = []

    def listener(inputs: Tensor) -> Tensor:
        views.append(inputs)
        return inputs

    class Flat(nn.Module):
        def forward(self, inputs: Tensor) -> Tensor:
            return inputs.flatten(1)

    with seeded(0):
        Contrastive(Augmentation(sampling_hz=RATE_HZ), listener)(Flat(), (torch.from_numpy(signals(4)),))
    one, two = views[0].chunk(2)
    assert one.shape == (4, 12, 200)
    assert (one != two).flatten(1).any(dim=1).all()


@every_method
def test_the_same_seed_gives_the_same_bits_and_another_does_not(method: Any) -> None:
    x = signals()
    first, again = (pretrain(x, RATE_HZ, method, plan=SMALL) for _ in range(2))
    other = pretrain(x, RATE_HZ, method, plan=TrainingPlan(**(vars(SMALL) | {"seed": 1})))
    assert first.source == again.source
    assert all(np.array_equal(array, again.weights[name]) for name, array in first.weights.items())
    assert not np.array_equal(first.weights["conv1.weight"], other.weights["conv1.weight"])


@every_method
def test_the_weights_are_those_of_a_resnet_without_its_last_layer(method: Any) -> None:
    names = set(pretrain(signals(4), RATE_HZ, method, plan=SMALL).weights)
    assert resnet18(12, 1, dimensions=1).state_dict().keys() - names == {"fc.weight", "fc.bias"}


@every_method
def test_pretraining_lowers_its_own_loss(method: Any) -> None:
    losses: Any = pretrain(strangers(), RATE_HZ, method, plan=SIX_EPOCHS).source["losses"]
    assert len(losses) == 6
    assert losses[-1] < 0.8 * losses[0]


def test_masked_pretraining_does_not_depend_on_the_gain() -> None:
    plain, doubled = (
        pretrain(gain * signals(), RATE_HZ, "masked", plan=SMALL) for gain in (np.float32(1), np.float32(2))
    )
    np.testing.assert_allclose(doubled.source["losses"], plain.source["losses"], rtol=1e-4)  # type: ignore[arg-type]


def test_pairs_that_differ_by_a_shift_only_are_soon_found() -> None:
    shifts = Augmentation(sampling_hz=RATE_HZ, amplitude=0, noise_mv=0, wander_mv=0, lead_dropout=0)
    losses: Any = pretrain(strangers(), RATE_HZ, plan=SIX_EPOCHS, augmentation=shifts).source["losses"]
    assert losses[-1] < 0.2 * math.log(2 * 8 - 1)  # which guessing costs in batches of 8


def test_pretraining_goes_on_where_it_was_cut_off(tmp_path: Path) -> None:
    class CutError(Exception):
        pass

    def cut(*_: object) -> None:
        raise CutError

    plan = TrainingPlan(**(vars(SMALL) | {"max_epochs": 2}))
    with pytest.raises(CutError):
        pretrain(signals(), RATE_HZ, plan=plan, checkpoints=tmp_path, progress=cut)
    epochs: list[int] = []
    resumed = pretrain(
        signals(),
        RATE_HZ,
        plan=plan,
        checkpoints=tmp_path,
        progress=lambda curve, _: epochs.append(len(curve.training)),
    )
    assert epochs == [2]
    whole = pretrain(signals(), RATE_HZ, plan=plan)
    np.testing.assert_array_equal(resumed.weights["conv1.weight"], whole.weights["conv1.weight"])


def test_what_cannot_be_pretrained_on_is_refused() -> None:
    with pytest.raises(ValueError, match="'predictive', need one of contrastive, masked"):
        pretrain(signals(), RATE_HZ, "predictive", plan=SMALL)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least 2"):
        pretrain(signals(2)[:1], RATE_HZ, plan=SMALL)
    with pytest.raises(ValueError, match="cannot be hidden in part"):
        pretrain(signals(4)[:, :, 50:80], RATE_HZ, "masked", plan=SMALL)
