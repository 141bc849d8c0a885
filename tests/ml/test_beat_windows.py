import numpy as np
import pytest

from ml.beat_windows import SAMPLES, beat_windows
from ml.ecg.recording import STANDARD_LEADS, Ecg
from ml.signals import Float32

RATE_HZ = 500.0
EIGHT = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")


def recording(r_ms: list[float], duration_ms: float, rate_hz: float = RATE_HZ) -> Float32:
    """(1, 12, samples) mV: a biphasic QRS about 80 ms long, of another size in every lead, around each R time."""
    t = np.arange(0, duration_ms, 1000 / rate_hz)
    wave = sum(np.exp(-0.5 * ((t - r) / 12) ** 2) - 0.3 * np.exp(-0.5 * ((t - r - 30) / 10) ** 2) for r in r_ms)
    eight = np.array([0.2, 1.0, -0.7, -0.4, 0.3, 0.8, 1.2, 0.9])[:, None] * wave
    return Ecg(leads=EIGHT, signal_mv=eight, rate_hz=rate_hz).twelve_leads().signal_mv[None].astype(np.float32)


def test_a_qrs_window_does_not_care_when_the_beat_begins() -> None:
    early, late = (beat_windows(recording([r], 800.0), RATE_HZ, "qrs") for r in (300.0, 420.0))
    np.testing.assert_allclose(early, late, atol=5e-3)
    assert np.abs(early).max() > 0.9


def test_the_qrs_lies_in_the_middle_of_its_window() -> None:
    energy = (beat_windows(recording([300.0], 800.0), RATE_HZ, "qrs")[0] ** 2).sum(axis=0)
    outside = np.r_[energy[:60], energy[-60:]]
    assert outside.max() < 1e-3 * energy.max()


def test_an_offset_of_a_lead_does_not_change_the_qrs_window() -> None:
    beat = recording([300.0], 800.0)
    offsets = np.random.default_rng(0).normal(size=(1, 12, 1)).astype(np.float32)
    np.testing.assert_allclose(
        beat_windows(beat + offsets, RATE_HZ, "qrs"), beat_windows(beat, RATE_HZ, "qrs"), atol=1e-4
    )


@pytest.mark.parametrize("window", ["qrs", "whole"])
def test_windows_of_a_beat_do_not_depend_on_the_sampling_rate(window: str) -> None:
    # One sample less is 1 ms at most; the ends of the axis differ by as much.
    slow, fast = (beat_windows(recording([300.0], 800.0, hz), hz, window) for hz in (500.0, 1000.0))  # type: ignore[arg-type]
    assert slow.shape == fast.shape == (1, 12, SAMPLES)
    np.testing.assert_allclose(slow, fast, atol=0.05)


def test_a_recording_and_its_beat_have_the_same_qrs_window() -> None:
    whole = beat_windows(recording([500.0 + 800 * k for k in range(8)], 7000.0), RATE_HZ, "qrs")
    beat = beat_windows(recording([300.0], 800.0), RATE_HZ, "qrs")
    assert np.corrcoef(whole.ravel(), beat.ravel())[0, 1] > 0.99


@pytest.mark.parametrize("rr_ms", [600.0, 900.0])
def test_an_rr_window_shows_the_next_beat_at_its_time(rr_ms: float) -> None:
    signals = recording([400.0 + rr_ms * k for k in range(10)], 10 * rr_ms)
    r_wave = np.abs(beat_windows(signals, RATE_HZ, "rr")[0, STANDARD_LEADS.index("V5")])
    peaks = [50 + int(r_wave[50 - 10 : 50 + 10].argmax()) - 10]
    later = 50 + round(rr_ms / 5)
    peaks.append(later - 10 + int(r_wave[later - 10 : later + 10].argmax()))
    assert r_wave[peaks].min() > 0.9
    assert 5 * (peaks[1] - peaks[0]) == pytest.approx(rr_ms, abs=5)


def test_three_seconds_are_enough_for_every_window_of_a_recording() -> None:
    signals = recording([400.0 + 800 * k for k in range(4)], 3000.0)
    for window in ("qrs", "rr"):
        assert np.ptp(beat_windows(signals, RATE_HZ, window), axis=2).min() > 0.1  # type: ignore[arg-type]


def test_a_whole_beat_keeps_its_ends() -> None:
    beat = recording([300.0], 500.0)
    assert beat.shape[2] == SAMPLES
    np.testing.assert_allclose(beat_windows(beat, RATE_HZ, "whole"), beat, atol=1e-6)


@pytest.mark.parametrize(
    ("signals", "window", "message"),
    [
        (recording([300.0], 800.0), "rr", r"X\[0\] has no rr window: R peaks need a recording"),
        (recording([500.0, 1300.0, 2100.0], 2500.0), "whole", "more than one beat"),
        (recording([300.0], 800.0), "qt", "need one of qrs, rr, whole"),
    ],
)
def test_an_ecg_without_such_a_window_is_refused(signals: Float32, window: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        beat_windows(signals, RATE_HZ, window)  # type: ignore[arg-type]
