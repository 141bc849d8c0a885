"""Many ECGs as one plain array, the form in which every model of `ml` takes them.

`as_signals` is the one gate: it puts the leads into the standard order by their names, derives the limb leads that are
missing, and refuses what would end in a silent number (gaps, flat leads, microvolts, limb leads in the wrong places).

Units: mV, Hz.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ml.ecg.readers import MAX_SPAN_MV, MIN_SPAN_MV
from ml.ecg.recording import CHEST_LEADS, LIMB_LEADS, MAX_RATE_HZ, MIN_RATE_HZ, STANDARD_LEADS, Ecg

Float32 = NDArray[np.float32]

# How far the limb leads may be from what I and II make of them, as a share of their size (our choice): at most 0.02 in 48
# recordings; two limb leads in each other's places give 0.36 or more in every second one, and in most pairs 0.7 or more.
_LIMB_SHARE = 0.25
_SPELLING = {name.upper(): name for name in STANDARD_LEADS}


def as_signals(X: ArrayLike, leads: Sequence[str], sampling_hz: float) -> Float32:  # noqa: N803 (as scikit-learn)
    """Checked ECGs with the 12 standard leads in the standard order.

    Args:
        X: (n, leads, samples) mV: n recordings or beats of one length.
        leads: the name of each row, upper or lower case; leads beyond the standard ones are left out.
        sampling_hz: samples per second.

    Returns:
        (n, 12, samples) float32, a new array.

    Raises:
        ValueError: if the shape does not fit, a sample is not finite, a lead is flat, the amplitude cannot be in mV,
            leads are missing that do not follow from others, the limb leads contradict each other, or the rate is
            implausible.
    """
    signals = np.asarray(X, dtype=np.float32)
    if signals.ndim != 3 or signals.shape[1] != len(leads) or signals.shape[0] < 1 or signals.shape[2] < 2:
        raise ValueError(
            f"X has shape {signals.shape}, need (n, {len(leads)} leads, samples) with at least 1 ECG and 2 samples; "
            "name the leads of X in its order"
        )
    if not MIN_RATE_HZ <= sampling_hz <= MAX_RATE_HZ:
        raise ValueError(
            f"sampling_hz is {sampling_hz:.6g}, need {MIN_RATE_HZ:g} to {MAX_RATE_HZ:g} samples per second: fewer leave too "
            "few within a QRS to see its shape"
        )
    _check_finite(signals, leads)
    standard: Float32 = np.matmul(_matrix(tuple(_SPELLING.get(name.strip().upper(), name) for name in leads)), signals)
    _check_plausible(standard)
    _check_limb_leads(standard)
    return standard


def resampled(signals: Float32, from_hz: float, to_hz: float) -> Float32:
    """ECGs at another rate, as `Ecg.resampled` does it: (n, leads, samples) to (n, leads, other samples), float32.

    Raises:
        ValueError: if a rate is implausible.
    """
    if from_hz == to_hz:
        return signals
    names = tuple(str(i) for i in range(signals.shape[1]))
    each = (Ecg(leads=names, signal_mv=signal, rate_hz=from_hz).resampled(to_hz).signal_mv for signal in signals)
    return np.stack([signal.astype(np.float32) for signal in each])


def _matrix(leads: tuple[str, ...]) -> Float32:
    """(12, leads) what the standard leads take of those given: what `Ecg`, which is linear, makes of unit signals."""
    unit = Ecg(leads=leads, signal_mv=np.eye(len(leads), max(len(leads), 2)), rate_hz=MIN_RATE_HZ)
    return unit.twelve_leads().signal_mv.astype(np.float32)


def _check_finite(signals: Float32, leads: Sequence[str]) -> None:
    if not np.isfinite(signals).all():
        bad = np.argwhere(~np.isfinite(signals))
        i, lead, sample = bad[0]
        raise ValueError(
            f"X[{i}] has {signals[i, lead, sample]} in lead {leads[lead]} at sample {sample} ({len(bad)} of "
            f"{signals.size} samples are not finite). Cut the ECGs to a stretch without gaps, or leave that one out."
        )


def _check_plausible(signals: Float32) -> None:
    spans_mv = np.ptp(signals, axis=2)
    flat = np.argwhere(spans_mv == 0)
    if flat.size:
        i, lead = flat[0]
        raise ValueError(
            f"lead {STANDARD_LEADS[lead]} of X[{i}] is flat: {signals[i, lead, 0]:g} mV throughout ({len(flat)} of "
            f"{spans_mv.size} leads are). Leave out the ECGs in which a lead was not recorded."
        )
    widest = spans_mv.max(axis=1)
    for wrong, rule, cure in (
        (widest > MAX_SPAN_MV, f"at most {MAX_SPAN_MV:g}", "looks like microvolts: divide by 1000"),
        (widest < MIN_SPAN_MV, f"at least {MIN_SPAN_MV:g}", "looks like volts: multiply by 1000"),
    ):
        if wrong.any():
            i = int(wrong.argmax())
            raise ValueError(
                f"the largest lead of X[{i}] spans {widest[i]:.4g} mV from peak to peak, need {rule} ({wrong.sum()} of "
                f"{len(wrong)} ECGs are so); {cure}"
            )


def _check_limb_leads(signals: Float32) -> None:
    """Names that do not fit their rows show themselves: III to aVF follow from I and II, about each lead's own mean."""
    limb = signals[:, : len(LIMB_LEADS)] - signals[:, : len(LIMB_LEADS)].mean(axis=2, keepdims=True)
    derived = np.matmul(_matrix(("I", "II", *CHEST_LEADS))[2 : len(LIMB_LEADS), :2], limb[:, :2])
    share = np.sqrt(((limb[:, 2:] - derived) ** 2).mean(axis=(1, 2)) / (limb**2).mean(axis=(1, 2)))
    if (share > _LIMB_SHARE).any():
        i = int(share.argmax())
        raise ValueError(
            f"III, aVR, aVL and aVF of X[{i}] do not follow from its I and II: they differ by {share[i]:.2f} of their "
            f"size ({(share > _LIMB_SHARE).sum()} of {len(share)} ECGs do so). The names of the leads and the rows of X "
            "are in different orders, or cables were mixed up."
        )
