"""75 real beats: 25 healthy, 25 LBBB, 25 RBBB subjects, from the R package roahd (GPL-3: for tests alone, never copied).

Their makers smoothed them and laid them onto common landmarks: **the time axis is warped.** Form and amplitude are real; QRS
width, intervals and anything else in milliseconds mean nothing.
"""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ml.signals import Float32, as_signals

BEATS = Path(__file__).parents[2] / "../shared/data/ecg/bundle_branch_beats.npz"
NAMES = ("healthy", "lbbb", "rbbb")


RATE_HZ = 1000.0


def bundle_branch_beats(path: Path = BEATS) -> tuple[Float32, NDArray[np.str_]]:
    """(75, 12, 1024) mV with the limb leads derived from I and II, and (75,) what each shows."""
    eight, labels, leads = eight_lead_beats(path)
    return as_signals(eight, leads, RATE_HZ), labels


def eight_lead_beats(path: Path = BEATS) -> tuple[NDArray[np.float64], NDArray[np.str_], tuple[str, ...]]:
    """(75, 8, 1024) mV at `RATE_HZ` as recorded, (75,) what each shows, and the names of the leads."""
    if not path.is_file():
        pytest.skip(f"needs ../shared/data/ecg/{path.name}")
    with np.load(path) as data:
        assert float(data["fs_hz"]) == RATE_HZ
        signals = np.concatenate([data[name] for name in NAMES]) / 1000
        return signals, np.repeat(NAMES, [len(data[name]) for name in NAMES]), tuple(data["leads"].tolist())
