"""Made-up ECGs of known QRS for tests of `ml`: narrow complexes, and broad ones whose last forces point away from V1."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ml.ecg.recording import CHEST_LEADS, STANDARD_LEADS, Ecg

DATA = Path(__file__).parents[2] / "../shared/data/ecg"
RATE_HZ = 250.0
_EIGHT = ("I", "II", *CHEST_LEADS)
# What each lead sees of the early (septal), the main and the late forces.
_SHARES = np.array([[-0.1, 1, 0.8], [0.1, 1, 0.2], [0.3, -0.8, -1], [0.4, -1, -1], [0.4, -0.4, -0.6]])
_SHARES = np.concatenate([_SHARES, [[0.2, 0.8, 0.1], [-0.1, 1.1, 0.7], [-0.1, 1, 0.9]]])


def hump(times_ms: NDArray[np.float64], start_ms: float, length_ms: float) -> NDArray[np.float64]:
    """A raised cosine, exactly 0 before its start and after its end."""
    return 0.5 * (1 - np.cos(2 * np.pi * np.clip((times_ms - start_ms) / length_ms, 0, 1)))


def beats(n: int, *, seed: int = 0, rate_hz: float = RATE_HZ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """(n, 12, samples) beats of 800 ms in mV, and (n,) 1 for the broad ones, every second."""
    rng = np.random.default_rng(seed)
    times_ms = np.arange(0, 800, 1000 / rate_hz)
    broad = np.arange(n) % 2
    signals = []
    for wide in broad:
        qrs_ms = rng.normal(150 if wide else 95, 8)
        late = rng.normal(0.8 if wide else 0.1, 0.1)
        waves = [0.5 * hump(times_ms, 250, qrs_ms / 3), hump(times_ms, 250, qrs_ms)]
        waves.append(late * hump(times_ms, 250 + qrs_ms / 3, 2 * qrs_ms / 3))
        eight = rng.normal(1, 0.15, size=(8, 1)) * _SHARES @ np.array(waves)
        eight += rng.normal(0.25, 0.05) * _SHARES[:, [1]] * hump(times_ms, 480, 220)
        eight += rng.normal(scale=0.004, size=eight.shape)
        signals.append(Ecg(leads=_EIGHT, signal_mv=eight, rate_hz=rate_hz).twelve_leads().signal_mv)
    return np.array(signals), broad


def recordings(n: int, *, beat_count: int = 5, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """(n, 12, samples) recordings: the same beat again and again, every 800 ms."""
    signals, broad = beats(n, seed=seed)
    return np.tile(signals, beat_count), broad


def with_a_gap(signals: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same with one sample missing."""
    broken = signals.copy()
    broken[1, STANDARD_LEADS.index("V2"), 7] = np.nan
    return broken
