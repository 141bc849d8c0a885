from pathlib import Path

import numpy as np
import pytest

from ml.ecg.measure import QrsBounds
from ml.ecg.pattern import BLOCK_MS, conduction_pattern
from ml.ecg.recording import Ecg

REAL_BEATS = Path(__file__).parents[3] / "../shared/data/ecg/bundle_branch_beats.npz"
ONSET_MS = 100.0


def beat(late_mv: float, *, early_mv: float = 0.3, duration_ms: float = 150.0, baseline_mv: float = 0.0) -> Ecg:
    """V1 as two half waves, one in each half of the QRS."""
    time = np.arange(500.0)
    half = duration_ms / 2
    early = early_mv * np.sin(np.pi * (time - ONSET_MS) / half) * ((time >= ONSET_MS) & (time < ONSET_MS + half))
    late = late_mv * np.sin(np.pi * (time - ONSET_MS - half) / half)
    late *= (time >= ONSET_MS + half) & (time < ONSET_MS + duration_ms)
    return Ecg(leads=("V1",), signal_mv=(early + late + baseline_mv)[None], rate_hz=1000.0)


def bounds(duration_ms: float = 150.0) -> QrsBounds:
    return QrsBounds(onset_ms=ONSET_MS, end_ms=ONSET_MS + duration_ms)


@pytest.mark.parametrize("early_mv", [-1.0, 0.2, 1.0])
@pytest.mark.parametrize("baseline_mv", [-0.7, 0.0, 0.7])
def test_the_sign_of_the_late_forces_in_v1_decides(early_mv: float, baseline_mv: float) -> None:
    for late_mv, pattern in ((0.4, "rbbb"), (-0.4, "lbbb")):
        wave = beat(late_mv, early_mv=early_mv, baseline_mv=baseline_mv)
        assert conduction_pattern(wave, bounds()) == pattern


@pytest.mark.parametrize("gain", [0.01, 1.0, 30.0])
def test_the_size_of_the_waves_does_not_matter(gain: float) -> None:
    assert conduction_pattern(beat(-0.5 * gain, early_mv=0.2 * gain), bounds()) == "lbbb"
    assert conduction_pattern(beat(0.5 * gain, early_mv=-0.2 * gain), bounds()) == "rbbb"


def test_a_qrs_below_the_limit_is_normal_whatever_its_shape() -> None:
    for duration_ms, normal in ((BLOCK_MS - 1, True), (BLOCK_MS, False)):
        for late_mv in (-1.0, 1.0):
            found = conduction_pattern(beat(late_mv, duration_ms=duration_ms), bounds(duration_ms))
            assert (found == "normal") is normal


def test_at_another_sampling_rate_the_pattern_is_the_same() -> None:
    for late_mv in (-0.4, 0.4):
        wave = beat(late_mv)
        assert conduction_pattern(wave.resampled(250.0), bounds()) == conduction_pattern(wave, bounds())


def test_a_beat_without_v1_is_refused() -> None:
    wave = beat(0.4)
    with pytest.raises(ValueError, match="no lead 'V1'"):
        conduction_pattern(Ecg(leads=("II",), signal_mv=wave.signal_mv, rate_hz=wave.rate_hz), bounds())


def test_real_bundle_branch_block_is_told_apart() -> None:
    """All 25 beats with left and at least 20 of 25 with right bundle branch block; their time axis is warped, the
    complex spans samples 315 to 490 in all."""
    if not REAL_BEATS.exists():
        pytest.skip("shared test data (bundle_branch_beats.npz) is not on this machine")
    complex_ = QrsBounds(onset_ms=315.0, end_ms=490.0)
    right = {}
    with np.load(REAL_BEATS) as data:
        leads = tuple(str(name) for name in data["leads"])
        for kind in ("lbbb", "rbbb"):
            waves = [Ecg(leads=leads, signal_mv=beat_uv / 1000, rate_hz=1000.0) for beat_uv in data[kind]]
            right[kind] = sum(conduction_pattern(wave, complex_) == kind for wave in waves)
    assert right["lbbb"] == 25
    assert right["rbbb"] >= 20
