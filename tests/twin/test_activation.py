import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twin.activation import Activation, CaptureLatency, biventricular

seeds = st.integers(0, 2**32 - 1)
delays = st.floats(-120, 120)
LATENCY = CaptureLatency(lv_ms=29.0, rv_ms=15.0)


def two_maps(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """From a left and from a right site, each 0 somewhere; the last node is reached from neither."""
    left, right = np.random.default_rng(seed).uniform(0, 150, (2, 40))
    left[0], right[1] = 0, 0
    left[-1], right[-1] = np.inf, np.inf
    return left, right


@given(seed=seeds, delay=delays)
def test_exchanging_both_sides_and_the_sign_of_the_delay_changes_nothing(seed: int, delay: float) -> None:
    left, right = two_maps(seed)
    mirrored = CaptureLatency(lv_ms=LATENCY.rv_ms, rv_ms=LATENCY.lv_ms)
    one = biventricular(left, right, vv_delay_ms=delay, latency=LATENCY)
    other = biventricular(right, left, vv_delay_ms=-delay, latency=mirrored)
    np.testing.assert_array_equal(one.times_ms, other.times_ms)


@given(seed=seeds)
def test_a_huge_delay_leaves_the_beat_to_the_first_side(seed: int) -> None:
    left, right = two_maps(seed)
    rv_first = biventricular(left, right, vv_delay_ms=1e4, latency=LATENCY)
    lv_first = biventricular(left, right, vv_delay_ms=-1e4, latency=LATENCY)
    np.testing.assert_array_equal(rv_first.times_ms, right + LATENCY.rv_ms)
    np.testing.assert_array_equal(lv_first.times_ms, left + LATENCY.lv_ms)


@given(seed=seeds, delay=delays)
def test_time_zero_is_the_first_stimulus(seed: int, delay: float) -> None:
    """The left site captures at its stimulus plus its latency, and so does the right one; one stimulus is at 0."""
    left, right = two_maps(seed)
    times = biventricular(left, right, vv_delay_ms=delay, latency=LATENCY).times_ms
    captured = {"lv": max(delay, 0) + 29, "rv": max(-delay, 0) + 15}
    assert times[0] == pytest.approx(min(captured["lv"], right[0] + captured["rv"]))
    assert times[1] == pytest.approx(min(captured["rv"], left[1] + captured["lv"]))
    assert times.min() == min(captured.values())


@settings(max_examples=30)
@given(seed=seeds, delay=delays, later=st.floats(0, 60))
def test_no_place_activates_earlier_when_one_side_waits_longer(seed: int, delay: float, later: float) -> None:
    left, right = two_maps(seed)
    delay = abs(delay)
    before = biventricular(left, right, vv_delay_ms=delay, latency=LATENCY).times_ms
    after = biventricular(left, right, vv_delay_ms=delay + later, latency=LATENCY).times_ms
    assert (after >= before).all()


def test_what_neither_side_reaches_stays_unreached() -> None:
    times = biventricular(*two_maps(3), latency=LATENCY).times_ms
    assert np.isinf(times[-1])
    assert np.isfinite(times[:-1]).all()


def test_conduction_twice_as_fast_halves_every_time_and_reaches_no_more() -> None:
    beat = Activation(times_ms=[0.0, 30.0, np.inf])
    np.testing.assert_array_equal(beat.scaled(2.0).times_ms, [0.0, 15.0, np.inf])


def test_the_last_time_passes_over_what_is_never_reached() -> None:
    assert Activation(times_ms=[3.0, 80.0, np.inf]).last_ms == 80.0
    assert Activation(times_ms=[np.inf, np.inf]).last_ms == np.inf


def test_a_beat_cannot_be_changed_from_outside() -> None:
    times = np.zeros(3)
    beat = Activation(times_ms=times)
    times[0] = 9.0
    assert beat.times_ms[0] == 0.0
    with pytest.raises(ValueError, match="read-only"):
        beat.times_ms[0] = 1.0


@pytest.mark.parametrize("bad", [[np.nan, 1.0], [-np.inf, 1.0], [[0.0, 1.0]]])
def test_what_is_no_time_is_refused(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="times_ms"):
        Activation(times_ms=bad)


@pytest.mark.parametrize("latency", [-1.0, np.inf, np.nan])
def test_a_latency_that_is_no_wait_is_refused(latency: float) -> None:
    with pytest.raises(ValueError, match="latencies"):
        CaptureLatency(lv_ms=latency)


@pytest.mark.parametrize("factor", [0.0, -1.0, np.inf, np.nan])
def test_a_speed_factor_that_is_none_is_refused(factor: float) -> None:
    with pytest.raises(ValueError, match="speed_factor"):
        Activation(times_ms=[0.0]).scaled(factor)
