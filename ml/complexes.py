"""The QRS complex of each ECG stretched to one length, and what follows it, so that many ECGs become plain arrays.

Each ECG is reduced to its median beat, its QRS is bounded over all leads, and the samples between the bounds are
interpolated linearly at evenly spaced points, 200 per lead as in Feeny 2020 [doi:10.1161/CIRCEP.119.008210]. Levels are
measured from the stretch before the QRS. Nothing is fitted: what is done to one ECG does not depend on the others.

Units: mV, ms.
"""

from collections import OrderedDict
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from ml.ecg.beats import find_r_peaks, median_beat
from ml.ecg.measure import qrs_bounds
from ml.ecg.recording import STANDARD_LEADS, Ecg, Float
from ml.signals import Float32

# Samples of a stretched QRS (the supplement of Feeny 2020) and, our choice, of the stretch behind it.
QRS_SAMPLES = 200
REST_SAMPLES = 200
# Our choice: the level of a lead is its mean over this long before the QRS; a stretch behind it that is shorter than
# this shows no T wave.
_LEVEL_MS = 16.0
_MIN_REST_MS = 150.0
# Cross-validation sees the same ECG dozens of times, and the median beat of one takes 15 ms: the last ones are kept
# (20 kB each).
_KEPT = 2048


@dataclass(frozen=True, kw_only=True, eq=False)
class Complexes:
    """QRS complexes of n ECGs, and the rest of their beats; leads as in `STANDARD_LEADS`.

    Attributes:
        qrs_mv: (n, 12, QRS_SAMPLES) from the onset to the end of the QRS, above the level before it.
        rest_mv: (n, 12, REST_SAMPLES) from the end of the QRS to the end of the beat; NaN where that is too short for a
            T wave.
        qrs_ms: (n,) QRS duration.
        rest_ms: (n,) from the end of the QRS to the end of the beat.
        rr_ms: (n,) median RR interval; NaN for one averaged beat, or a recording with one R peak.
    """

    qrs_mv: Float
    rest_mv: Float
    qrs_ms: Float
    rest_ms: Float
    rr_ms: Float

    def __len__(self) -> int:
        return len(self.qrs_ms)


def complexes(signals: Float32, sampling_hz: float) -> Complexes:
    """The complexes of many ECGs.

    Args:
        signals: (n, 12, samples) mV, as `as_signals` gives them: recordings, or averaged beats if shorter than 1.5 s.
        sampling_hz: samples per second.

    Raises:
        ValueError: naming the first ECG in which no heartbeat or no QRS is found.
    """
    found = []
    for i, signal in enumerate(signals):
        try:
            found.append(_kept_complex(signal, sampling_hz))
        except ValueError as error:
            raise ValueError(f"X[{i}]: {error}. Leave this ECG out, or record it again.") from error
    qrs, rest, times_ms = (np.stack(parts).astype(np.float64) for parts in zip(*found, strict=True))
    return Complexes(qrs_mv=qrs, rest_mv=rest, qrs_ms=times_ms[:, 0], rest_ms=times_ms[:, 1], rr_ms=times_ms[:, 2])


_Complex = tuple[Float32, Float32, Float]
_kept: OrderedDict[bytes, _Complex] = OrderedDict()


def _kept_complex(signal: Float32, sampling_hz: float) -> _Complex:
    key = blake2b(signal.tobytes(), key=np.float64(sampling_hz).tobytes()).digest()
    found = _kept.get(key)
    if found is None:
        found = _kept[key] = _complex(
            Ecg(leads=STANDARD_LEADS, signal_mv=signal.astype(np.float64), rate_hz=sampling_hz)
        )
        while len(_kept) > _KEPT:
            _kept.popitem(last=False)
    return found


def _complex(ecg: Ecg) -> _Complex:
    """QRS (12, QRS_SAMPLES), rest (12, REST_SAMPLES) and the times (qrs_ms, rest_ms, rr_ms) of one ECG."""
    beat = median_beat(ecg)
    qrs = qrs_bounds(beat)
    rr_ms = np.nan
    if not ecg.is_beat and len(peaks := find_r_peaks(ecg)) > 1:
        rr_ms = float(np.median(np.diff(peaks))) * ecg.step_ms
    last_ms = float(beat.time_ms[-1])
    level = _between(beat, max(qrs.onset_ms - _LEVEL_MS, 0.0), qrs.onset_ms, 16).mean(axis=1, keepdims=True)
    rest_ms = last_ms - qrs.end_ms
    rest = np.full((len(STANDARD_LEADS), REST_SAMPLES), np.nan)
    if rest_ms >= _MIN_REST_MS:
        rest = _between(beat, qrs.end_ms, last_ms, REST_SAMPLES) - level
    complex_mv = _between(beat, qrs.onset_ms, qrs.end_ms, QRS_SAMPLES) - level
    return complex_mv.astype(np.float32), rest.astype(np.float32), np.array([qrs.duration_ms, rest_ms, rr_ms])


def _between(beat: Ecg, start_ms: float, end_ms: float, samples: int) -> Float:
    """(leads, samples) mV at evenly spaced times from start to end."""
    times_ms = np.linspace(start_ms, end_ms, samples)
    return np.stack([np.interp(times_ms, beat.time_ms, row) for row in beat.signal_mv])
