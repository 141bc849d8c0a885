"""Laws of the stretched complexes: known ones come back, whatever the length, level and sampling rate."""

import numpy as np
import pytest

from ml import complexes as module
from ml.complexes import QRS_SAMPLES, complexes
from tests.ml.heartbeats import RATE_HZ, beats, recordings


def float32(signals: np.ndarray) -> np.ndarray:
    return signals.astype(np.float32)


def test_the_complex_is_the_signal_between_its_bounds() -> None:
    signals, _ = beats(4, rate_hz=1000.0)
    found = complexes(float32(signals), 1000.0)
    for signal, qrs, qrs_ms, rest_ms in zip(signals, found.qrs_mv, found.qrs_ms, found.rest_ms, strict=True):
        onset_ms = 799 - rest_ms - qrs_ms
        assert onset_ms == pytest.approx(250, abs=8)
        level = signal[:, int(onset_ms) - 16 : int(onset_ms)].mean(axis=1, keepdims=True)
        times_ms = onset_ms + np.arange(QRS_SAMPLES) * qrs_ms / (QRS_SAMPLES - 1)
        np.testing.assert_allclose(qrs[5], np.interp(times_ms, np.arange(800), (signal - level)[5]), atol=3e-3)


def test_an_electrode_offset_changes_nothing() -> None:
    signals, _ = beats(3)
    plain, shifted = (complexes(float32(signals + offset), RATE_HZ) for offset in (0.0, 2.0))
    np.testing.assert_allclose(shifted.qrs_mv, plain.qrs_mv, atol=1e-4)
    np.testing.assert_allclose(shifted.rest_mv, plain.rest_mv, atol=1e-4)


def test_a_recording_gives_the_complex_of_its_beat() -> None:
    (one, _), (many, _) = beats(3), recordings(3)
    beat, recording = complexes(float32(one), RATE_HZ), complexes(float32(many), RATE_HZ)
    np.testing.assert_allclose(recording.qrs_ms, beat.qrs_ms, atol=4)
    np.testing.assert_allclose(recording.qrs_mv, beat.qrs_mv, atol=0.1)
    np.testing.assert_allclose(recording.rr_ms, 800, atol=0.1)
    assert np.isnan(beat.rr_ms).all()


def test_a_beat_cut_off_after_its_qrs_has_no_rest() -> None:
    signals, _ = beats(2)
    cut = complexes(float32(signals[..., : round(0.45 * RATE_HZ)]), RATE_HZ)
    assert np.isnan(cut.rest_mv).all()
    assert np.isfinite(cut.qrs_mv).all()


def test_one_ecg_does_not_depend_on_the_others() -> None:
    signals = float32(beats(4)[0])
    module._kept.clear()
    alone = complexes(signals[2:3], RATE_HZ)
    np.testing.assert_array_equal(complexes(signals, RATE_HZ).qrs_mv[2:3], alone.qrs_mv)


def test_what_is_kept_is_kept_for_its_own_rate_and_signal() -> None:
    signals = float32(beats(1)[0])
    first, faster, again = (complexes(signals, rate) for rate in (RATE_HZ, 2 * RATE_HZ, RATE_HZ))
    assert faster.qrs_ms[0] < 0.7 * first.qrs_ms[0]
    np.testing.assert_array_equal(again.qrs_mv, first.qrs_mv)
    again.qrs_mv[:] = 0
    np.testing.assert_array_equal(complexes(signals, RATE_HZ).qrs_mv, first.qrs_mv)


def test_no_more_than_so_many_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KEPT", 3)
    complexes(float32(beats(5)[0]), RATE_HZ)
    assert len(module._kept) == 3


def test_an_ecg_without_a_heartbeat_is_named() -> None:
    signals = float32(recordings(3)[0])
    signals[1] = 0
    with pytest.raises(ValueError, match=r"X\[1\]: no heartbeat found"):
        complexes(signals, RATE_HZ)
