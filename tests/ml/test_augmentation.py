from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ml.augmentation import Augmentation, shifted
from ml.ecg.recording import STANDARD_LEADS
from ml.signals import as_signals
from ml.training import seeded
from tests.ml.heartbeats import RATE_HZ, beats

torch.set_num_threads(1)
NOTHING: dict[str, float] = {
    "amplitude": 0,
    "shift_ms": 0,
    "noise_mv": 0,
    "wander_mv": 0,
    "lead_dropout": 0,
}


def signals(n: int = 6) -> Tensor:
    return torch.from_numpy(as_signals(beats(n)[0], STANDARD_LEADS, RATE_HZ))


def only(**change: float) -> Augmentation:
    return Augmentation(sampling_hz=RATE_HZ, **(NOTHING | change))


def drawn(augmentation: Augmentation, x: Tensor, seed: int = 0) -> Tensor:
    with seeded(seed):
        return augmentation(x)


def test_the_same_seed_gives_the_same_bytes_and_another_does_not() -> None:
    every = Augmentation(sampling_hz=RATE_HZ)
    x = signals()
    assert torch.equal(drawn(every, x), drawn(every, x))
    assert not torch.equal(drawn(every, x), drawn(every, x, seed=1))


def test_shape_and_type_stay_and_the_input_is_left_alone() -> None:
    x = signals()
    before = x.clone()
    changed = drawn(Augmentation(sampling_hz=RATE_HZ), x)
    assert (changed.shape, changed.dtype) == (x.shape, x.dtype)
    assert torch.equal(x, before)


def test_sizes_of_zero_change_nothing() -> None:
    x = signals()
    torch.testing.assert_close(drawn(only(), x), x, rtol=0, atol=0)


@pytest.mark.parametrize("size", ["amplitude", "shift_ms", "noise_mv", "wander_mv", "lead_dropout"])
def test_every_size_alone_changes_every_draw(size: str) -> None:
    x = signals(40)
    changed = drawn(only(**{size: 40.0 if size == "shift_ms" else 0.5}), x)
    assert (changed != x).flatten(1).any(dim=1).float().mean() > 0.8


def test_limb_leads_still_follow_from_i_and_ii() -> None:
    x = drawn(Augmentation(sampling_hz=RATE_HZ, lead_dropout=0, noise_mv=0.2, wander_mv=0.5), signals())
    one, two = x[:, 0], x[:, 1]
    for k, derived in ((2, two - one), (3, -(one + two) / 2), (4, one - two / 2), (5, two - one / 2)):
        torch.testing.assert_close(x[:, k], derived, rtol=0, atol=1e-5)


def test_one_factor_within_its_bounds_for_all_leads_of_an_ecg() -> None:
    x = signals(40)
    factors = drawn(only(amplitude=0.3), x).abs().amax(dim=2) / x.abs().amax(dim=2)
    torch.testing.assert_close(factors, factors[:, :1].expand_as(factors), rtol=1e-5, atol=0)
    assert 0.7 <= factors.min() < 0.85
    assert 1.15 < factors.max() <= 1.3


def test_a_shift_is_a_loop_that_holds_the_ends() -> None:
    x, by = torch.randn(3, 2, 7, generator=torch.Generator().manual_seed(0)), torch.tensor([2, -3, 0])
    slow = torch.stack([torch.stack([x[i, :, min(max(t - int(by[i]), 0), 6)] for t in range(7)], 1) for i in range(3)])
    torch.testing.assert_close(shifted(x, by), slow, rtol=0, atol=0)


def test_shifts_reach_their_bound_in_both_directions_and_not_beyond() -> None:
    x = torch.zeros(200, 12, 250)
    x[:, :, 125] = 1
    places = drawn(only(shift_ms=40), x)[:, 0].argmax(dim=1) - 125
    assert (int(places.min()), int(places.max())) == (-10, 10)  # 40 ms are 10 samples at 250 Hz


def test_noise_has_at_most_its_standard_deviation_and_that_of_half_of_it_on_average() -> None:
    deviations = drawn(only(noise_mv=0.04), torch.zeros(100, 12, 2000))[:, :2].std(dim=2)
    assert deviations.max() < 0.042
    assert abs(float(deviations.mean()) - 0.02) < 0.003


def test_wander_is_slow_and_bounded() -> None:
    wander = drawn(only(wander_mv=0.1), torch.zeros(50, 12, 5000))[:, [0, 1, 6]]
    power = torch.fft.rfft(wander, dim=2).abs().square().mean(dim=(0, 1))
    frequency = torch.fft.rfftfreq(5000, 1 / RATE_HZ)
    assert wander.abs().max() <= 0.1
    assert power[frequency > 1].sum() < 0.02 * power.sum()


def test_a_lost_lead_is_zero_throughout_and_as_often_lost_as_said() -> None:
    x = drawn(only(lead_dropout=0.25), torch.ones(400, 12, 5))
    assert torch.equal(x.amin(dim=2), x.amax(dim=2))
    assert abs(float((x == 0).float().mean()) - 0.25) < 0.03


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"amplitude": 1.0}, "amplitude is 1.0"),
        ({"noise_mv": -0.1}, "noise_mv is -0.1"),
        ({"lead_dropout": float("nan")}, "lead_dropout is nan"),
        ({"sampling_hz": 0.0}, "sampling_hz is 0.0"),
    ],
)
def test_impossible_sizes_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Augmentation(**({"sampling_hz": 250.0} | change))


def test_signals_of_other_leads_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(2, 8, 9\)"):
        only()(torch.from_numpy(np.zeros((2, 8, 9), dtype=np.float32)))
