"""The part of an ECG that the composite network reads: always 250 samples per lead.

Published (Le) are the 250 samples, and that one variant reads the QRS complex and another a longer RR window, for timing.
What they span in time is our choice:

    qrs    250 ms about the middle of the QRS of the median beat, zero where the QRS begins
    rr     1250 ms of the recording from 250 ms before an R peak: one RR interval at 60 beats a minute or more
    whole  one beat as it is, its length stretched to 250 samples: for beats that others have cut or registered

Units: mV, ms, Hz.
"""

from typing import Literal

import numpy as np

from ml.ecg.beats import find_r_peaks, median_beat, without_wander
from ml.ecg.measure import qrs_bounds
from ml.ecg.recording import STANDARD_LEADS, Ecg, Float
from ml.signals import Float32

Window = Literal["qrs", "rr", "whole"]
SAMPLES = 250
_QRS_HZ = 1000.0
_RR_HZ = 200.0
_RR_BEFORE_MS = 250.0


def beat_windows(signals: Float32, sampling_hz: float, window: Window) -> Float32:
    """(n, 12, 250) mV from checked signals, (n, 12, samples) in the standard order.

    Raises:
        ValueError: naming the first ECG that has no such window, and why.
    """
    cuts = {"qrs": _qrs, "rr": _rr, "whole": _whole}
    if window not in cuts:
        raise ValueError(f"window is {window!r}, need one of {', '.join(cuts)}")
    made = np.empty((len(signals), len(STANDARD_LEADS), SAMPLES), dtype=np.float32)
    for i, signal in enumerate(signals):
        try:
            made[i] = cuts[window](Ecg(leads=STANDARD_LEADS, signal_mv=signal, rate_hz=sampling_hz))
        except ValueError as error:
            raise ValueError(f"X[{i}] has no {window} window: {error}") from None
    return made


def _qrs(ecg: Ecg) -> Float:
    beat = median_beat(ecg)
    bounds = qrs_bounds(beat)
    middle_ms = (bounds.onset_ms + bounds.end_ms) / 2
    times_ms = middle_ms + np.arange(-(SAMPLES - 1) / 2, SAMPLES / 2) * (1000.0 / _QRS_HZ)
    return _at(beat.resampled(_QRS_HZ), times_ms) - _at(beat, np.array([bounds.onset_ms]))


def _rr(ecg: Ecg) -> Float:
    starts_ms = find_r_peaks(ecg) * ecg.step_ms - _RR_BEFORE_MS
    span_ms = (SAMPLES - 1) * (1000.0 / _RR_HZ)
    starts_ms = starts_ms[(starts_ms >= 0) & (starts_ms + span_ms < ecg.duration_ms)]
    if not starts_ms.size:
        raise ValueError(f"no R peak has {span_ms:.0f} ms about it in {ecg.duration_ms:.0f} ms; record at least 3 s")
    middle_ms = (ecg.duration_ms - span_ms) / 2
    start_ms = starts_ms[np.abs(starts_ms - middle_ms).argmin()]
    steady = Ecg(leads=ecg.leads, signal_mv=without_wander(ecg), rate_hz=ecg.rate_hz)
    return _at(steady.resampled(_RR_HZ), start_ms + np.arange(SAMPLES) * (1000.0 / _RR_HZ))


def _whole(ecg: Ecg) -> Float:
    if not ecg.is_beat:
        raise ValueError(f"it lasts {ecg.duration_ms:.0f} ms, which is more than one beat; take qrs or rr")
    stretch = (SAMPLES - 1) / (ecg.signal_mv.shape[1] - 1)
    return ecg.resampled(ecg.rate_hz * stretch).signal_mv


def _at(ecg: Ecg, times_ms: Float) -> Float:
    """(leads, times) mV, straight lines between the samples; the first and last sample hold beyond the ends."""
    return np.stack([np.interp(times_ms, ecg.time_ms, row) for row in ecg.signal_mv])
