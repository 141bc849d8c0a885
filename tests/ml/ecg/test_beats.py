"""Laws of beat averaging: the beat that was put in comes out, whatever drift, noise and ectopic beats lie around it."""

import numpy as np
import pytest
from numpy.typing import NDArray

from ml.ecg.beats import find_r_peaks, median_beat
from ml.ecg.recording import Ecg

WEIGHTS = np.array([[0.8], [1.0], [-0.6], [1.2]])
LEADS = ("I", "II", "V1", "V5")


def wave(times_ms: NDArray[np.float64], centre_ms: float, width_ms: float) -> NDArray[np.float64]:
    return np.exp(-0.5 * ((times_ms - centre_ms) / width_ms) ** 2)


def beat(times_ms: NDArray[np.float64]) -> NDArray[np.float64]:
    """P, QRS and T about an R peak at 0."""
    return 0.1 * wave(times_ms, -160, 20) + wave(times_ms, 0, 12) + 0.2 * wave(times_ms, 280, 45)


def recording(r_ms: NDArray[np.float64], *, rate_hz: float = 500, noise_mv: float = 0.0, drift_mv: float = 0.0) -> Ecg:
    times_ms = np.arange(0, 10_000, 1000 / rate_hz)
    signal = WEIGHTS * sum(beat(times_ms - r) for r in r_ms)
    signal = signal + drift_mv * np.sin(2 * np.pi * times_ms / 6000 + np.arange(4)[:, None])
    signal = signal + noise_mv * np.random.default_rng(0).normal(size=signal.shape)
    return Ecg(leads=LEADS, signal_mv=signal, rate_hz=rate_hz)


def r_times(seed: int = 0) -> NDArray[np.float64]:
    """Irregular beats that fall between the samples."""
    return np.cumsum(np.random.default_rng(seed).uniform(780, 860, size=11))


def assert_is_the_beat(got: Ecg, atol_mv: float) -> None:
    r_ms = float(got.time_ms[np.abs(got.lead("II")).argmax()])
    fits = []
    for shift_ms in np.arange(-2, 2, 0.1):
        difference = got.signal_mv - WEIGHTS * beat(got.time_ms - r_ms - shift_ms)
        fits.append(np.abs(difference - np.median(difference, axis=1, keepdims=True)).max())
    assert min(fits) < atol_mv


@pytest.mark.parametrize("rate_hz", [250.0, 500.0, 1000.0])
def test_r_peaks_lie_where_the_beats_were_put(rate_hz: float) -> None:
    r_ms = r_times()
    found = find_r_peaks(recording(r_ms, rate_hz=rate_hz, noise_mv=0.02, drift_mv=0.5))
    np.testing.assert_allclose(found * 1000 / rate_hz, r_ms, atol=6)


def test_r_peaks_are_the_same_upside_down_and_at_any_gain() -> None:
    ecg = recording(r_times(), noise_mv=0.02)
    other = Ecg(leads=LEADS, signal_mv=-0.01 * ecg.signal_mv, rate_hz=500)
    np.testing.assert_array_equal(find_r_peaks(other), find_r_peaks(ecg))


@pytest.mark.parametrize("rate_hz", [250.0, 1000.0])
def test_the_median_beat_of_equal_beats_is_that_beat(rate_hz: float) -> None:
    # What is left is the high-pass filter, not the averaging: beats between the samples are not smeared.
    assert_is_the_beat(median_beat(recording(r_times(), rate_hz=rate_hz)), atol_mv=0.03)


def test_drift_and_noise_are_averaged_away() -> None:
    assert_is_the_beat(median_beat(recording(r_times(), noise_mv=0.02, drift_mv=0.5)), atol_mv=0.05)


def test_ectopic_beats_leave_no_trace_even_where_they_come_first() -> None:
    r_ms = r_times()
    ecg = recording(r_ms)
    times_ms = ecg.time_ms
    signal = ecg.signal_mv.copy()
    for r in r_ms[:4]:
        signal += np.array([[-1.0], [1.5], [2.0], [-2.0]]) * wave(times_ms, r + 20, 35)
    assert_is_the_beat(median_beat(Ecg(leads=LEADS, signal_mv=signal, rate_hz=500)), atol_mv=0.05)


def test_a_beat_comes_back_unchanged() -> None:
    ecg = Ecg(leads=("I",), signal_mv=[np.sin(np.arange(700))], rate_hz=500)
    assert median_beat(ecg) is ecg


def test_the_median_beat_of_a_fast_heart_holds_one_beat_only() -> None:
    got = median_beat(recording(np.arange(300.0, 9900, 400)))
    assert got.duration_ms <= 402


def test_r_peaks_of_a_beat_are_refused() -> None:
    with pytest.raises(ValueError, match="this ECG is one beat of 1000 ms"):
        find_r_peaks(Ecg(leads=("I",), signal_mv=[np.sin(np.arange(500))], rate_hz=500))


def test_a_recording_without_a_heartbeat_is_refused() -> None:
    with pytest.raises(ValueError, match="no heartbeat found in 2"):
        median_beat(Ecg(leads=("I",), signal_mv=np.zeros((1, 1000)), rate_hz=500))
