"""When the QRS complex begins and ends, over all leads at once, in a measured or a simulated beat.

The activity of a beat, A(t)^2 = sum over the independent leads of V'(t)^2 + (tau V''(t))^2, is the spatial velocity of
vectorcardiography with curvature added. The velocity alone falls towards zero on a notch and stays high on the steep ST
segment of a bundle branch block; curvature does the opposite, for a J point is a corner. Derivatives are those of a
Gaussian and the bounds lie between samples, so that a bound moves by 1 ms when the true one does.

The complex is the chain of bursts of activity around the largest one. It ends where A falls to the level of the calmest
stretch nearby plus a share of its own mean. Nothing depends on amplitude in mV or, from 200 Hz up, the sampling
rate. The Gaussian widens a complex: humps with sharp ends (raised cosines) of 70 to 180 ms measure 13 to 4 ms too long.

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
CURVATURE_MS = 6.0  # tau
BURST_SHARE = 0.15
MAX_GAP_MS = 40.0  # a pause this short is a notch; the pause before the T wave is longer
CALM_WITHIN_MS = 120.0
CALM_MS = 12.0
EDGE_SHARE = 0.1
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
        raise ValueError(
            f"QRS bounds need one beat, this ECG lasts {beat.duration_ms:.0f} ms; take its median_beat first"
        )
    activity, step_ms = _activity(beat)
    peak = float(activity.max())
    if peak <= 1e-12 * np.abs(beat.signal_mv).max():  # the filters leave rounding errors of a constant
        raise ValueError("every lead is flat: no QRS to measure")
    top = int(activity.argmax())
    before, after = activity[top::-1], activity[top:]
    first, last = (_chain_end(side, step_ms) for side in (before, after))
    # The mean over the complex, not its peak, sets the level: one spiky R wave must not hide a slow end.
    typical = float(activity[top - first : top + last + 1].mean())
    onset, end = (_edge(side, n, typical, step_ms) for side, n in ((before, first), (after, last)))
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
    # Not the Gaussian's own second derivative: cut off at its ends, that takes an offset in mV for a curve.
    bend = np.gradient(slope, axis=1) * (CURVATURE_MS / step_ms)
    activity: Float = np.sqrt(np.einsum("ls,ls->s", slope, slope) + np.einsum("ls,ls->s", bend, bend))
    return activity, step_ms


def _chain_end(activity: Float, step_ms: float) -> int:
    """The last sample of the chain of bursts that begins with the largest activity: a longer pause follows it."""
    bursts = np.flatnonzero(activity > BURST_SHARE * activity[0])
    pauses = np.flatnonzero(np.diff(bursts) * step_ms > MAX_GAP_MS)
    return int(bursts[pauses[0]] if pauses.size else bursts[-1])


def _edge(activity: Float, last: int, typical: float, step_ms: float) -> float:
    """Where activity falls to the level of the edge after sample `last`, between the samples."""
    nearby = activity[last : last + ceil(CALM_WITHIN_MS / step_ms)]
    calm = float(uniform_filter1d(nearby, max(1, round(CALM_MS / step_ms)), mode="nearest").min())
    # In a beat that breaks off within its QRS no stretch is calm.
    level = min(calm + EDGE_SHARE * (typical - calm), float(activity[last]))
    below = np.flatnonzero(activity[last + 1 :] < level)
    if not below.size:
        return float(len(activity) - 1)
    i = last + 1 + int(below[0])
    inside, outside = activity[i - 1], max(activity[i], 1e-9 * typical)
    # Activity falls off like an exponential: a straight line through its logarithms.
    return i - 1 + float(np.log(inside / level) / np.log(inside / outside))
