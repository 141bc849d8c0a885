"""What is measured of one ECG: a table of named numbers for models that take no signals.

Everything is read from the stretched QRS and the rest of the beat (`ml.complexes`), lead by lead and from the
vectorcardiogram. Which features to take, and their thresholds, is our choice: no list of them is published for the
studies that this serves. There is no PR or QT interval: `ml.ecg` bounds the QRS alone.

Columns with `timed` need a real time axis; in beats whose axis was warped (registered to landmarks) they are left out.
What a lead does not have is NaN, never 0: the R wave of a QS complex, the T wave of a beat cut off after its QRS.

Units: mV, ms, areas in uV s, degrees.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.complexes import QRS_SAMPLES, REST_SAMPLES, Complexes
from ml.ecg.recording import STANDARD_LEADS, Float, Int
from ml.vectorcardiogram import angle_deg, area_uvs, vectorcardiogram

# All our choice: a deflection counts from this share of the lead's peak-to-peak amplitude; the T wave is sought from so
# long after the QRS.
DEFLECTION_SHARE = 0.05
T_FROM_MS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of the table; `timed`: it needs a real time axis; unit "1" is a pure number."""

    name: str
    unit: str
    meaning: str
    timed: bool = False


_OF_ECG = (
    Column(name="rr_ms", unit="ms", meaning="median RR interval; NaN for one averaged beat", timed=True),
    Column(name="qrs_ms", unit="ms", meaning="QRS duration over all leads", timed=True),
    Column(name="qrs_to_t_peak_ms", unit="ms", meaning="QRS onset to the longest heart vector of T", timed=True),
    Column(name="qrs_area_uvs", unit="uV s", meaning="length of the area vector of the QRS", timed=True),
    Column(name="t_area_uvs", unit="uV s", meaning="length of the area vector after the QRS", timed=True),
    Column(name="qrs_t_angle_deg", unit="degrees", meaning="between the area vectors of QRS and T"),
    Column(name="qrs_peak_mv", unit="mV", meaning="longest heart vector of the QRS"),
    Column(name="t_peak_mv", unit="mV", meaning="longest heart vector of T"),
    Column(name="qrs_left", unit="1", meaning="share of the QRS area vector to the left, -1 to 1"),
    Column(name="qrs_down", unit="1", meaning="share of the QRS area vector to the feet, -1 to 1"),
    Column(name="qrs_back", unit="1", meaning="share of the QRS area vector to the back, -1 to 1"),
)
_OF_LEAD = (
    Column(name="r_mv", unit="mV", meaning="highest peak of the QRS; NaN in a QS complex"),
    Column(name="q_mv", unit="mV", meaning="lowest level before the R peak; NaN in a QS complex"),
    Column(name="s_mv", unit="mV", meaning="lowest level after the R peak; of the whole QS complex"),
    Column(name="span_mv", unit="mV", meaning="QRS from lowest to highest level"),
    Column(name="r_share", unit="1", meaning="R / (R + S), of the highest and lowest level: 0 all down, 1 all up"),
    Column(name="r_peak_ms", unit="ms", meaning="QRS onset to R peak (intrinsicoid deflection)", timed=True),
    Column(name="r_peak_share", unit="1", meaning="the same over the QRS duration"),
    Column(name="turns", unit="1", meaning="turning points of the QRS: 1 for R, 2 for RS; a notch adds 2"),
    Column(name="qrs_area_uvs", unit="uV s", meaning="time integral of the QRS", timed=True),
    Column(name="qrs_mean_mv", unit="mV", meaning="mean level of the QRS"),
    Column(name="j_mv", unit="mV", meaning="level at the end of the QRS"),
    Column(name="t_mv", unit="mV", meaning="level of largest magnitude of the T wave"),
    Column(name="t_area_uvs", unit="uV s", meaning="time integral from QRS to the end of the beat", timed=True),
)


def columns(*, real_time: bool = True) -> tuple[Column, ...]:
    """The columns of `feature_table`, in its order."""
    of_leads = [
        Column(name=f"{lead}_{column.name}", unit=column.unit, meaning=f"{lead}: {column.meaning}", timed=column.timed)
        for lead in STANDARD_LEADS
        for column in _OF_LEAD
    ]
    return tuple(column for column in (*_OF_ECG, *of_leads) if real_time or not column.timed)


def feature_table(measured: Complexes, *, real_time: bool = True) -> Float:
    """(n, columns) what `columns` names; NaN for what an ECG does not have."""
    values = _of_ecg(measured)
    for name, each in _of_leads(measured).items():
        values |= {f"{lead}_{name}": each[:, i] for i, lead in enumerate(STANDARD_LEADS)}
    return np.stack([values[column.name] for column in columns(real_time=real_time)], axis=1)


def _of_ecg(measured: Complexes) -> dict[str, Float]:
    """(n,) each: times and the vectorcardiogram."""
    qrs, rest = vectorcardiogram(measured.qrs_mv), vectorcardiogram(measured.rest_mv)
    qrs_area, t_area = area_uvs(qrs, measured.qrs_ms), area_uvs(rest, measured.rest_ms)
    size = np.linalg.norm(qrs_area, axis=1)
    direction = np.divide(qrs_area.T, size, out=np.full((3, len(size)), np.nan), where=size > 0)
    t_length = np.where(_t_wave(measured), np.linalg.norm(rest, axis=1), -np.inf)
    t_step_ms = measured.rest_ms / (REST_SAMPLES - 1)
    no_t = np.isnan(measured.rest_mv[:, 0, 0])
    return {
        "rr_ms": measured.rr_ms,
        "qrs_ms": measured.qrs_ms,
        "qrs_to_t_peak_ms": np.where(no_t, np.nan, measured.qrs_ms + t_length.argmax(axis=1) * t_step_ms),
        "qrs_area_uvs": size,
        "t_area_uvs": np.linalg.norm(t_area, axis=1),
        "qrs_t_angle_deg": angle_deg(qrs_area, t_area),
        "qrs_peak_mv": np.linalg.norm(qrs, axis=1).max(axis=1),
        "t_peak_mv": np.where(no_t, np.nan, t_length.max(axis=1)),
        "qrs_left": direction[0],
        "qrs_down": direction[1],
        "qrs_back": direction[2],
    }


def _of_leads(measured: Complexes) -> dict[str, Float]:
    """(n, 12) each."""
    qrs, rest = measured.qrs_mv, measured.rest_mv
    high, low = qrs.max(axis=2), qrs.min(axis=2)
    span = high - low
    top = _r_peaks(qrs, DEFLECTION_SHARE * span)
    no_r = top < 0
    before = np.arange(QRS_SAMPLES) < top[..., None]
    up, down = np.maximum(high, 0.0), np.maximum(-low, 0.0)
    peak_share = np.where(no_r, np.nan, top / (QRS_SAMPLES - 1))
    in_t = np.where(_t_wave(measured)[:, None], np.abs(rest), -1.0)
    return {
        "r_mv": np.where(no_r, np.nan, np.take_along_axis(qrs, top[..., None], axis=2)[..., 0]),
        "q_mv": np.where(no_r, np.nan, np.where(before, qrs, np.inf).min(axis=2)),
        "s_mv": np.where(before, np.inf, qrs).min(axis=2),
        "span_mv": span,
        "r_share": np.divide(up, up + down, out=np.full(up.shape, np.nan), where=up + down > 0),
        "r_peak_ms": peak_share * measured.qrs_ms[:, None],
        "r_peak_share": peak_share,
        "turns": turning_points(qrs, DEFLECTION_SHARE * span).astype(np.float64),
        "qrs_area_uvs": area_uvs(qrs, measured.qrs_ms),
        "qrs_mean_mv": area_uvs(qrs, 1.0),
        "j_mv": qrs[..., -1],
        "t_mv": np.take_along_axis(rest, in_t.argmax(axis=2)[..., None], axis=2)[..., 0],
        "t_area_uvs": area_uvs(rest, measured.rest_ms),
    }


def turning_points(curves: Float, threshold: Float) -> Int:
    """How often each curve turns, up or down, by more than a threshold: (..., samples) and (...) give (...)."""
    high, low = curves[..., 0].copy(), curves[..., 0].copy()
    # 1 rising, -1 falling, 0 not known yet; the first move counts no turn.
    course = np.zeros(high.shape, dtype=np.int64)
    turns = np.zeros(high.shape, dtype=np.int64)
    for level in np.moveaxis(curves, -1, 0):
        high, low = np.maximum(high, level), np.minimum(low, level)
        falls = (course >= 0) & (high - level > threshold)
        rises = ~falls & (course <= 0) & (level - low > threshold)
        turns += (falls & (course > 0)) | (rises & (course < 0))
        course = np.where(falls, -1, np.where(rises, 1, course))
        high, low = (np.where(falls | rises, level, extreme) for extreme in (high, low))
    return turns


def _r_peaks(qrs: Float, threshold: Float) -> Int:
    """(n, 12) sample of the highest peak above the threshold, away from both ends; -1 where there is none."""
    inner = qrs[..., 1:-1]
    peak = (inner > qrs[..., :-2]) & (inner >= qrs[..., 2:]) & (inner > threshold[..., None])
    best = np.where(peak, inner, -np.inf).argmax(axis=2) + 1
    return np.where(peak.any(axis=2), best, -1)


def _t_wave(measured: Complexes) -> NDArray[np.bool_]:
    """(n, REST_SAMPLES) true where the T wave is sought."""
    times_ms = np.linspace(0.0, 1.0, REST_SAMPLES) * measured.rest_ms[:, None]
    sought: NDArray[np.bool_] = (times_ms >= T_FROM_MS) & ~np.isnan(measured.rest_mv[:, 0])
    return sought
