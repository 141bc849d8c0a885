"""When the QRS complex begins and ends, over all leads at once, in a measured or a simulated beat.

The activity of a beat, A(t)^2 = sum over the independent leads of V'(t)^2 + (tau V''(t))^2, is the spatial velocity
[doi:10.1016/0010-4809(81)90023-5] with curvature added: the velocity alone falls to zero on a notch and stays high
on the steep ST segment of a bundle branch block; curvature does the opposite, for the J point is a corner. Derivatives are
those of a Gaussian, so that a bound moves smoothly, by 1 ms when the true bound moves by 1 ms.

The complex is the chain of bursts around the largest one; it ends where A falls to a small share of its peak above the
calmest stretch nearby. Nothing depends on amplitude in mV or on the sampling rate.

Units: ms, mV.
"""

from dataclasses import dataclass
from math import ceil

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d, uniform_filter1d

from ml.ecg.beats import find_r_peaks, median_beat
from ml.ecg.recording import Ecg, Float

# All our choice, tuned by eye on 48 recordings and on human and canine beats with bundle branch block.
SMOOTHING_MS = 4.0
CURVATURE_MS = 10.0  # tau
BURST_SHARE = 0.2
MAX_GAP_MS = 40.0  # a pause this short is a notch; the pause before the T wave is longer
CALM_WITHIN_MS = 120.0
CALM_MS = 12.0
EDGE_SHARE = 0.06
WORKING_RATE_HZ = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class QrsBounds:
    """Earliest onset and latest end of the QRS complex over all leads, from the beat's first sample."""

    onset_ms: float
    end_ms: float

    @property
    def duration_ms(self) -> float:
        """QRS duration."""
        return self.end_ms - self.onset_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurements:
    """What a listing of ECGs shows.

    Attributes:
        heart_rate_bpm: from the median RR interval; None for one averaged beat, or a recording with one R peak.
        qrs: bounds in the beat that `median_beat` gives.
    """

    heart_rate_bpm: float | None
    qrs: QrsBounds

    @property
    def qrs_duration_ms(self) -> float:
        """QRS duration."""
        return self.qrs.duration_ms


def measure(ecg: Ecg) -> Measurements:
    """Heart rate and QRS of a recording or of one beat.

    Raises:
        ValueError: as `median_beat` and `qrs_bounds`.
    """
    rate_bpm = None
    if not ecg.is_beat:
        peaks = find_r_peaks(ecg)
        if len(peaks) > 1:
            rate_bpm = 60_000.0 / (float(np.median(np.diff(peaks))) * ecg.step_ms)
    return Measurements(heart_rate_bpm=rate_bpm, qrs=qrs_bounds(median_beat(ecg)))


def qrs_bounds(beat: Ecg) -> QrsBounds:
    """One onset and one end of the QRS over all leads of one beat, measured or simulated.

    A beat that begins or ends within its QRS has its bound at its first or last sample.

    Raises:
        ValueError: if the ECG is a recording of several beats, or nothing happens in it.
    """
    if not beat.is_beat:
        raise ValueError(f"QRS bounds need one beat, this ECG lasts {beat.duration_ms:.0f} ms; take its median_beat first")
    activity, step_ms = _activity(beat)
    peak = float(activity.max())
    if peak == 0:
        raise ValueError("every lead is flat: no QRS to measure")
    top = int(activity.argmax())
    onset = _edge(activity[top::-1], step_ms)
    end = _edge(activity[top:], step_ms)
    return QrsBounds(onset_ms=(top - onset) * step_ms, end_ms=(top + end) * step_ms)


def _activity(beat: Ecg) -> tuple[Float, float]:
    """(n,) activity, and its step; slow beats are interpolated so that the filters keep their shape."""
    signal, step_ms = beat.independent_mv(), beat.step_ms
    finer = ceil(WORKING_RATE_HZ / beat.rate_hz - 1e-9)
    if finer > 1:
        n = signal.shape[1]
        signal = CubicSpline(np.arange(n), signal, axis=1)(np.arange((n - 1) * finer + 1) / finer)
        step_ms /= finer
    width = SMOOTHING_MS / step_ms
    slope = gaussian_filter1d(signal, width, axis=1, order=1, mode="nearest")
    bend = gaussian_filter1d(signal, width, axis=1, order=2, mode="nearest") * (CURVATURE_MS / step_ms)
    activity: Float = np.sqrt(np.einsum("ls,ls->s", slope, slope) + np.einsum("ls,ls->s", bend, bend))
    return activity, step_ms


def _edge(activity: Float, step_ms: float) -> float:
    """Where the complex ends, in samples from its largest activity, which comes first in `activity`."""
    peak = activity[0]
    # The last sample of the chain of bursts: the first one that a longer pause follows.
    bursts = np.flatnonzero(activity > BURST_SHARE * peak)
    pauses = np.flatnonzero(np.diff(bursts) * step_ms > MAX_GAP_MS)
    last = int(bursts[pauses[0]] if pauses.size else bursts[-1])
    nearby = activity[last : last + ceil(CALM_WITHIN_MS / step_ms)]
    calm = float(uniform_filter1d(nearby, max(1, round(CALM_MS / step_ms)), mode="nearest").min())
    level = calm + EDGE_SHARE * (peak - calm)
    below = np.flatnonzero(activity[last:] < level)
    if not below.size:
        return float(len(activity) - 1)
    i = last + int(below[0])
    # Between the samples, where the logarithm crosses: activity falls off exponentially.
    before, after = activity[i - 1], activity[i]
    floor = 1e-9 * peak
    part = np.log(before / level) / np.log(before / max(after, floor))
    return i - 1 + float(part)
