"""Which ventricle is late, as far as one look at the QRS tells.

A QRS below 120 ms is taken as normal conduction. In a longer one the last forces point to the ventricle that is
late: towards V1 in right, away from it in left bundle branch block. That is the common core of the criteria
[doi:10.1161/CIRCULATIONAHA.108.191095]; their notches, R-peak times and exclusions are left out.
"""

import numpy as np

from ml.ecg.measure import QrsBounds
from ml.ecg.recording import Ecg

BLOCK_MS = 120.0


def conduction_pattern(beat: Ecg, qrs: QrsBounds) -> str:
    """One of "normal", "lbbb" and "rbbb", from one beat with V1."""
    if qrs.duration_ms < BLOCK_MS:
        return "normal"
    late = np.linspace((qrs.onset_ms + qrs.end_ms) / 2, qrs.end_ms, 100)
    baseline = np.interp(qrs.onset_ms, beat.time_ms, beat.lead("V1"))
    return "rbbb" if np.mean(np.interp(late, beat.time_ms, beat.lead("V1")) - baseline) > 0 else "lbbb"
