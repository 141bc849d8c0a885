"""From a recording to one representative beat: R peaks, then the median over the beats that look alike.

Deviations from textbook averaging: beats are aligned to a fraction of a sample, so that averaging does not widen the
QRS; the reference is the beat most like all others (the medoid), so that no ectopic beat becomes the template.

Units: mV, ms.
"""

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.signal import butter, sosfiltfilt

from ml.ecg.recording import Ecg, Float, Int

# Zero-phase high-pass against baseline wander; below 0.67 Hz such a filter leaves the ST segment
# diagnostic [doi:10.1161/CIRCULATIONAHA.106.180200].
WANDER_HZ = 0.5
# The beat's window around R, as shares of the RR interval and at most in ms: P to the end of T, never the next beat.
_BEFORE_SHARE, _BEFORE_MS = 0.38, 350.0
_AFTER_SHARE, _AFTER_MS = 0.62, 650.0
# Beats are compared over the QRS and its surroundings; a beat below this correlation with the medoid is ectopic or
# noise (our choice).
_COMPARED_MS = 120.0
_MIN_CORRELATION = 0.9
_MAX_SHIFT_MS = 30.0


def find_r_peaks(ecg: Ecg) -> Int:
    """(n,) sample numbers of the R peaks of a recording, ascending.

    The beats are found by sleepecg (after Pan and Tompkins, doi:10.1109/TBME.1985.325532) in the first principal
    component of the leads, which no single small lead can spoil, then moved to the largest deflection nearby.

    Raises:
        ValueError: if the ECG is one averaged beat, or no beat is found.
    """
    if ecg.is_beat:
        raise ValueError(f"R peaks need a recording, this ECG is one beat of {ecg.duration_ms:.0f} ms")
    from sleepecg import detect_heartbeats  # slow to import

    main = _main_component(ecg)
    found = detect_heartbeats(main, ecg.rate_hz).tolist() if np.ptp(main) > 0 else []
    reach = round(60.0 / ecg.step_ms)
    peaks = [max(i - reach, 0) + int(np.abs(main[max(i - reach, 0) : i + reach + 1]).argmax()) for i in found]
    if not peaks:
        raise ValueError(f"no heartbeat found in {ecg.duration_ms / 1000:.1f} s; check that the leads were connected")
    return np.unique(np.array(peaks, dtype=np.int64))


def median_beat(ecg: Ecg) -> Ecg:
    """The median over the aligned, similar beats of a recording, from before P to after T.

    One averaged beat comes back unchanged.

    Raises:
        ValueError: if the recording holds no complete beat.
    """
    if ecg.is_beat:
        return ecg
    peaks_ms: Float = find_r_peaks(ecg).astype(np.float64) * ecg.step_ms
    rr_ms = float(np.median(np.diff(peaks_ms))) if len(peaks_ms) > 1 else np.inf
    before_ms, after_ms = min(_BEFORE_SHARE * rr_ms, _BEFORE_MS), min(_AFTER_SHARE * rr_ms, _AFTER_MS)
    # Room for the shift of the alignment at both ends.
    inside = (peaks_ms > before_ms + _MAX_SHIFT_MS) & (peaks_ms + after_ms + _MAX_SHIFT_MS < ecg.duration_ms)
    peaks_ms = peaks_ms[inside]
    if not peaks_ms.size:
        raise ValueError(f"no complete beat in {ecg.duration_ms / 1000:.1f} s; record at least 3 s")
    signal = CubicSpline(ecg.time_ms, without_wander(ecg), axis=1)
    reach_ms = min(_COMPARED_MS, before_ms, after_ms)
    peaks_ms, alike = _aligned(signal, peaks_ms, reach_ms, ecg.step_ms)
    times_ms = np.arange(-round(before_ms / ecg.step_ms), round(after_ms / ecg.step_ms) + 1) * ecg.step_ms
    beats: Float = signal(peaks_ms[alike, None] + times_ms)  # (leads, beats, samples)
    return Ecg(leads=ecg.leads, signal_mv=np.median(beats, axis=1), rate_hz=ecg.rate_hz)


def without_wander(ecg: Ecg) -> Float:
    """(n_leads, n_samples) the signal without its slow drift."""
    high_pass = butter(2, WANDER_HZ, "highpass", fs=ecg.rate_hz, output="sos")
    padding = min(round(ecg.rate_hz / WANDER_HZ), ecg.signal_mv.shape[1] - 1)
    cleared: Float = sosfiltfilt(high_pass, ecg.signal_mv, axis=1, padlen=padding)
    return cleared


def _main_component(ecg: Ecg) -> Float:
    """(n_samples,) first principal component of the QRS band, its largest deflection upwards."""
    band = butter(2, (5.0, min(30.0, 0.4 * ecg.rate_hz)), "bandpass", fs=ecg.rate_hz, output="sos")
    signal = sosfiltfilt(band, ecg.independent_mv(), axis=1)
    _, vectors = np.linalg.eigh(signal @ signal.T)
    main: Float = vectors[:, -1] @ signal
    return main if main[np.abs(main).argmax()] >= 0 else -main


def _aligned(signal: CubicSpline, peaks_ms: Float, reach_ms: float, step_ms: float) -> tuple[Float, Int]:
    """R times moved to fit the most typical beat, and the numbers of the beats that look like it."""
    window_ms = np.arange(-reach_ms, reach_ms, step_ms)
    template = _normalised(signal(peaks_ms[:, None] + window_ms))
    template = template[np.median(template @ template.T, axis=1).argmax()]
    most = int(_MAX_SHIFT_MS / step_ms)
    shifts_ms = np.arange(-most, most + 1) * step_ms
    match = np.stack([_normalised(signal(peaks_ms[:, None] + window_ms + s)) @ template for s in shifts_ms], axis=1)
    best = np.clip(match.argmax(axis=1), 1, len(shifts_ms) - 2)
    rows = np.arange(len(best))
    left, mid, right = (match[rows, best + k] for k in (-1, 0, 1))
    # The top of the parabola through the three best shifts; flat matches (no top) keep the sample.
    bend = 2 * mid - left - right
    part = np.where(bend > 0, np.clip((right - left) / np.where(bend > 0, 2 * bend, 1), -0.5, 0.5), 0.0)
    moved_ms: Float = peaks_ms + shifts_ms[best] + part * step_ms
    return moved_ms, np.flatnonzero(match.max(axis=1) >= _MIN_CORRELATION)


def _normalised(beats: Float) -> Float:
    """(beats, leads * samples) of unit length, each lead about its own mean, from (leads, beats, samples)."""
    beats = beats - beats.mean(axis=2, keepdims=True)
    flat = np.swapaxes(beats, 0, 1).reshape(beats.shape[1], -1)
    unit: Float = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)
    return unit
