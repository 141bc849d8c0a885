"""The electrocardiogram that all parts share, measured or simulated: named leads on one uniform time axis.

Limb leads are linear in I and II (Einthoven III = II - I; Goldberger aVR = -(I + II) / 2, aVL = I - II / 2,
aVF = II - I / 2), so any two of the six give the other four [doi:10.1161/CIRCULATIONAHA.106.180200].

Units: mV, ms, Hz.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.signal import butter, sosfiltfilt

Float = NDArray[np.float64]
Int = NDArray[np.int64]

LIMB_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF")
CHEST_LEADS = ("V1", "V2", "V3", "V4", "V5", "V6")
STANDARD_LEADS = LIMB_LEADS + CHEST_LEADS
# Rows: the limb leads; columns: what they take of I and II.
_LIMB_FROM_I_II = np.array([[1, 0], [0, 1], [-1, 1], [-0.5, -0.5], [1, -0.5], [-0.5, 1]], dtype=np.float64)

# Slower and faster axes are mistakes of units (seconds, microseconds), not ECGs.
MIN_RATE_HZ = 50.0
MAX_RATE_HZ = 20_000.0
# Shorter than this is one averaged beat, as in the patient folder (our choice; 40 beats a minute fill 1500 ms).
MAX_BEAT_MS = 1500.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Ecg:
    """Leads of one ECG, sampled together.

    Attributes:
        leads: names, each once; standard leads are spelt as in `STANDARD_LEADS`.
        signal_mv: (n_leads, n_samples) float64, one row per lead.
        rate_hz: samples per second.

    Raises:
        ValueError: if a name occurs twice, a sample is not finite, the shape does not fit or the rate is implausible.
    """

    leads: tuple[str, ...]
    signal_mv: Float
    rate_hz: float

    def __post_init__(self) -> None:
        leads, rate_hz = tuple(self.leads), float(self.rate_hz)
        signal = np.array(self.signal_mv, dtype=np.float64, order="C")
        twice = [name for i, name in enumerate(leads) if name in leads[:i]]
        if twice:
            raise ValueError(f"lead {twice[0]} occurs twice; every lead must have its own name")
        if signal.ndim != 2 or len(signal) != len(leads) or not leads or signal.shape[1] < 2:
            raise ValueError(
                f"signal_mv has shape {signal.shape}, need ({len(leads)} leads, n samples) with at least 1 lead and "
                "2 samples"
            )
        if not np.isfinite(signal).all():
            bad = np.argwhere(~np.isfinite(signal))
            raise ValueError(
                f"lead {leads[bad[0, 0]]} has {signal[tuple(bad[0])]} at sample {bad[0, 1]} ({len(bad)} of "
                f"{signal.size} samples are not finite). Cut the ECG to a stretch without gaps."
            )
        if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
            raise ValueError(
                f"rate_hz is {rate_hz:.6g}, need {MIN_RATE_HZ:g} to {MAX_RATE_HZ:g} samples per second: fewer leave too few "
                "within a QRS to see its shape; times must be in milliseconds"
            )
        signal.flags.writeable = False
        object.__setattr__(self, "leads", leads)
        object.__setattr__(self, "signal_mv", signal)
        object.__setattr__(self, "rate_hz", rate_hz)

    @property
    def step_ms(self) -> float:
        """Time from one sample to the next."""
        return 1000.0 / self.rate_hz

    @property
    def duration_ms(self) -> float:
        """How long the ECG lasts: samples times step."""
        return float(self.signal_mv.shape[1] * self.step_ms)

    @property
    def time_ms(self) -> Float:
        """(n_samples,) when each sample was taken, from 0."""
        return np.arange(self.signal_mv.shape[1], dtype=np.float64) * self.step_ms

    @property
    def is_beat(self) -> bool:
        """True for one averaged beat, false for a recording of several."""
        return self.duration_ms < MAX_BEAT_MS

    def lead(self, name: str) -> Float:
        """(n_samples,) mV of one lead.

        Raises:
            ValueError: if there is no such lead.
        """
        if name not in self.leads:
            raise ValueError(f"no lead {name!r}; there are {', '.join(self.leads)}")
        row: Float = self.signal_mv[self.leads.index(name)]
        return row

    def resampled(self, rate_hz: float) -> "Ecg":
        """The same ECG at another rate, by cubic splines; what a lower rate cannot carry is filtered out first."""
        if rate_hz == self.rate_hz:
            return self
        signal = self.signal_mv
        if rate_hz < self.rate_hz:
            low_pass = butter(4, 0.4 * rate_hz, fs=self.rate_hz, output="sos")
            signal = sosfiltfilt(low_pass, signal, axis=1, padlen=min(30, signal.shape[1] - 1))
        last_ms = (signal.shape[1] - 1) * self.step_ms
        times_ms = np.arange(int(last_ms * rate_hz / 1000 + 1e-6) + 1) * (1000.0 / rate_hz)
        return replace(self, signal_mv=CubicSpline(self.time_ms, signal, axis=1)(times_ms), rate_hz=rate_hz)

    def twelve_leads(self) -> "Ecg":
        """The 12 standard leads in the standard order; limb leads that are missing follow from two that are there.

        Raises:
            ValueError: naming the leads that are missing and cannot be derived.
        """
        if self.leads == STANDARD_LEADS:
            return self
        limb = [name for name in LIMB_LEADS if name in self.leads]
        lost = [name for name in CHEST_LEADS if name not in self.leads]
        if len(limb) < 2:
            lost = [name for name in LIMB_LEADS if name not in limb] + lost
        if lost:
            raise ValueError(
                f"missing {', '.join(lost)}: need V1 to V6 and two of {', '.join(LIMB_LEADS)}; "
                f"there are {', '.join(self.leads)}"
            )
        given = [LIMB_LEADS.index(name) for name in limb[:2]]
        i_and_ii = np.linalg.solve(_LIMB_FROM_I_II[given], [self.lead(name) for name in limb[:2]])
        derived = dict(zip(LIMB_LEADS, _LIMB_FROM_I_II @ i_and_ii, strict=True))
        rows = [self.lead(name) if name in self.leads else derived[name] for name in STANDARD_LEADS]
        return Ecg(leads=STANDARD_LEADS, signal_mv=np.array(rows), rate_hz=self.rate_hz)

    def independent_mv(self) -> Float:
        """(k, n_samples) the standard leads that say something of their own: two limb leads and the chest leads.

        All leads, where none is a standard one.
        """
        limb = [name for name in LIMB_LEADS if name in self.leads][:2]
        rows = [self.leads.index(name) for name in (*limb, *CHEST_LEADS) if name in self.leads]
        return self.signal_mv[rows] if rows else self.signal_mv
