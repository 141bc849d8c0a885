"""Pieces of one ECG's beats in the place of another's: the same rhythm, P waves, drift and noise, other complexes.

A piece is the QRS or the rest of the beat (ST-T), of one chest lead or of all limb leads together, since these follow from
one another. In every beat it gives way to the same piece of the donor's median beat: aligned at the onset of the QRS, from
the level there, faded in and out over 20 ms. The QRS piece is as long as the longer QRS of both. All this is our choice.
Beats unlike the median beat (ectopic ones) stay as they are.

Units: mV, ms.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from ml.ecg.beats import find_r_peaks, median_beat
from ml.ecg.measure import qrs_bounds
from ml.ecg.recording import CHEST_LEADS, LIMB_LEADS, STANDARD_LEADS, Ecg, Float

_FADE_MS = 20.0
# The level of a beat is its mean over this long before the QRS.
_LEVEL_MS = 16.0
# Where the QRS is sought about an R peak, and how alike it must be to count as the usual one.
_SOUGHT_MS = 40.0
_MIN_CORRELATION = 0.9
# The others follow from these, and would count the same curves twice.
_EIGHT = [STANDARD_LEADS.index(name) for name in ("I", "II", *CHEST_LEADS)]


class Piece(NamedTuple):
    """Leads that change together, and the part of their beats."""

    leads: tuple[str, ...]
    part: Literal["QRS", "ST-T"]

    def __str__(self) -> str:
        return f"{self.part} of {self.leads[0] if len(self.leads) == 1 else 'the limb leads'}"


PIECES = tuple(
    Piece(leads, part) for leads in (LIMB_LEADS, *((lead,) for lead in CHEST_LEADS)) for part in ("QRS", "ST-T")
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Beat:
    """A median beat.

    Attributes:
        signal_mv: (12, samples) above the level before the QRS.
        onset: sample at which the QRS begins.
        qrs: samples from there to its end.
    """

    signal_mv: Float
    onset: int
    qrs: int

    def distance_mv(self, other: "Beat") -> float:
        """Root mean square difference over I, II and V1 to V6 from the QRS on, as far as both go."""
        mine, theirs = (beat.signal_mv[_EIGHT, beat.onset :] for beat in (self, other))
        shared = min(mine.shape[1], theirs.shape[1])
        return float(np.sqrt(((mine[:, :shared] - theirs[:, :shared]) ** 2).mean()))


def usual_beat(ecg: Ecg) -> Beat:
    """The median beat of twelve leads in the standard order.

    Raises:
        ValueError: if there is no complete beat, or nothing happens in it.
    """
    beat = median_beat(ecg)
    # The median of a sum is not quite the sum of the medians: the limb leads must follow from I and II.
    names = tuple(STANDARD_LEADS[i] for i in _EIGHT)
    beat = Ecg(leads=names, signal_mv=beat.signal_mv[_EIGHT], rate_hz=beat.rate_hz).twelve_leads()
    bounds = qrs_bounds(beat)
    onset, qrs = round(bounds.onset_ms / ecg.step_ms), round(bounds.duration_ms / ecg.step_ms)
    return Beat(signal_mv=beat.signal_mv - _level(beat.signal_mv, onset, ecg.step_ms), onset=onset, qrs=qrs)


class Alterable:
    """An ECG whose beats are found once, so that it can be altered many times.

    Args:
        ecg: twelve leads in the standard order: a recording, or one beat.

    Raises:
        ValueError: as `usual_beat`, or if no single beat looks like it.
    """

    def __init__(self, ecg: Ecg) -> None:
        self.ecg = ecg
        self.beat = usual_beat(ecg)
        self.onsets = [self.beat.onset] if ecg.is_beat else _onsets(ecg, self.beat)
        if not self.onsets:
            raise ValueError("no beat of the recording looks like its median beat")

    def altered(self, donor: Beat, pieces: Iterable[Piece]) -> Ecg:
        """The ECG with these pieces of the donor's beat, at the same sampling rate; their order has no meaning."""
        signal, fade = self.ecg.signal_mv, max(1, round(_FADE_MS / self.ecg.step_ms))
        before = min(fade, self.beat.onset, donor.onset)
        reach = min(beat.signal_mv.shape[1] - beat.onset for beat in (self.beat, donor))
        made, chosen = signal.copy(), [piece for piece in PIECES if piece in set(pieces)]
        limits = [onset - before for onset in self.onsets[1:]] + [signal.shape[1]]
        for onset, limit in zip(self.onsets, limits, strict=True):
            end = min(reach, limit - onset)
            at = np.arange(-min(before, onset), end)
            rest = np.clip((at - max(self.beat.qrs, donor.qrs)) / fade, 0, 1)
            inside = np.clip((at + fade) / fade, 0, 1) * np.clip((end - at) / (2 * fade), 0, 1)
            weights = {"QRS": inside * (1 - rest), "ST-T": inside * rest}
            here = slice(onset + at[0], onset + end)
            level = _level(signal, onset, self.ecg.step_ms)
            change = donor.signal_mv[:, donor.onset + at[0] : donor.onset + end] + level - signal[:, here]
            for leads, part in chosen:
                rows = [STANDARD_LEADS.index(lead) for lead in leads]
                made[rows, here] += weights[part] * change[rows]
        return Ecg(leads=STANDARD_LEADS, signal_mv=made, rate_hz=self.ecg.rate_hz)


def _level(signal: Float, onset: int, step_ms: float) -> Float:
    """(leads, 1) mV just before an onset."""
    level: Float = signal[:, max(onset - round(_LEVEL_MS / step_ms), 0) : onset + 1].mean(axis=1, keepdims=True)
    return level


def _onsets(ecg: Ecg, beat: Beat) -> list[int]:
    """Samples at which the usual QRS begins, one for each R peak whose QRS looks like it."""
    shape = beat.signal_mv[_EIGHT, beat.onset : beat.onset + beat.qrs + 1]
    shape = shape - shape.mean(axis=1, keepdims=True)
    sought = round(_SOUGHT_MS / ecg.step_ms)
    found = []
    for peak in find_r_peaks(ecg).tolist():
        first, last = max(peak - beat.qrs - sought, 0), peak + sought
        window = ecg.signal_mv[_EIGHT, first : last + beat.qrs + 1]
        if window.shape[1] < shape.shape[1]:
            continue
        parts = np.lib.stride_tricks.sliding_window_view(window, shape.shape[1], axis=1)
        parts = parts - parts.mean(axis=2, keepdims=True)  # (8, places, samples)
        size = np.sqrt((parts**2).sum(axis=(0, 2)) * (shape**2).sum())
        alike = np.einsum("lps,ls->p", parts, shape) / np.maximum(size, 1e-12)
        best = int(alike.argmax())
        if alike[best] >= _MIN_CORRELATION and first + best not in found:
            found.append(first + best)
    return sorted(found)
