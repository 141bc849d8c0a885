"""The heart vector over time, from 12 leads: three orthogonal leads, their areas and the angle between them.

Each of the Frank leads X (to the left), Y (to the feet) and Z (to the back) is a weighted sum of the eight independent
leads; the weights are those that Kors and others found by regression [doi:10.1093/oxfordjournals.eurheartj.a059647].
The area of a wave is the vector of the time integrals of X, Y and Z; its length over the QRS is the QRS area of
resynchronization studies (van Deursen 2015, J Electrocardiol 48:45).

Units: mV, ms; areas in uV s (= mV ms); degrees.
"""

import numpy as np
from numpy.typing import ArrayLike

from ml.ecg.recording import STANDARD_LEADS, Float

_KORS_LEADS = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
_KORS = np.array(
    [
        [0.38, -0.07, -0.13, 0.05, -0.01, 0.14, 0.06, 0.54],
        [-0.07, 0.93, 0.06, -0.02, -0.05, 0.06, -0.17, 0.13],
        [0.11, -0.23, -0.43, -0.06, -0.14, -0.20, -0.11, 0.31],
    ]
)


def vectorcardiogram(signals_mv: ArrayLike) -> Float:
    """Frank's X, Y and Z.

    Args:
        signals_mv: (..., 12, samples), leads in the standard order.

    Returns:
        (..., 3, samples) mV.

    Raises:
        ValueError: if the leads are not 12.
    """
    signals = np.asarray(signals_mv, dtype=np.float64)
    if signals.ndim < 2 or signals.shape[-2] != len(STANDARD_LEADS):
        raise ValueError(f"signals_mv has shape {signals.shape}, need (..., 12 standard leads, samples)")
    rows = [STANDARD_LEADS.index(name) for name in _KORS_LEADS]
    vectors: Float = np.matmul(_KORS, signals[..., rows, :])
    return vectors


def area_uvs(signals_mv: Float, duration_ms: ArrayLike) -> Float:
    """Time integral of each lead, by the trapezoidal rule.

    Args:
        signals_mv: (..., leads, samples) at even steps, from the first to the last moment of the wave.
        duration_ms: from first to last sample: one number, or (...) one for each.

    Returns:
        (..., leads) uV s.
    """
    duration = np.asarray(duration_ms, dtype=np.float64)[..., None]
    area: Float = np.trapezoid(signals_mv, axis=-1) * duration / (signals_mv.shape[-1] - 1)
    return area


def angle_deg(first: Float, second: Float) -> Float:
    """(...) angle between vectors (..., 3): 0 to 180 degrees; NaN where one has no length."""
    # Not the arc cosine of the product, which loses half of the digits of a small angle.
    across = np.linalg.norm(np.cross(first, second), axis=-1)
    along = np.sum(first * second, axis=-1)
    lengths = np.linalg.norm(first, axis=-1) * np.linalg.norm(second, axis=-1)
    angle: Float = np.where(lengths > 0, np.degrees(np.arctan2(across, along)), np.nan)
    return angle
