"""How far apart in time the parts of the ventricles activate.

Statistics are weighted by the volume at each node. Tissue that nothing can activate (scar core) takes no part; living
tissue that is never reached makes an index infinite.

Definitions: BIVAT90 and LVAT95 are the *shortest interval* in which 90 % of both ventricles, or 95 % of the left one,
activates [Strocchi 2022, doi:10.3389/fphys.2022.1049214]; the others as written at each field.

Units: ms.
"""

from dataclasses import dataclass

import numpy as np

from anatomy.arrays import Bool, Float
from anatomy.heart import Heart
from twin.activation import Activation


@dataclass(frozen=True, kw_only=True)
class Dyssynchrony:
    """Indices of one beat.

    Attributes:
        tat_ms: total activation time, last minus first.
        lvat95_ms: shortest interval that activates 95 % of the left ventricle, septum included.
        bivat90_ms: shortest interval that activates 90 % of both ventricles.
        lv_dispersion_ms: standard deviation over the left ventricle.
        interventricular_ms: mean of the left ventricle minus mean of the right free wall.
    """

    tat_ms: float
    lvat95_ms: float
    bivat90_ms: float
    lv_dispersion_ms: float
    interventricular_ms: float

    @property
    def index_ms(self) -> float:
        """What sites are ranked by: the mean of LVAT95 and BIVAT90. Smaller is better.

        Our choice: intervals that hold most of the muscle, because the last node alone moves the apparent best site by
        centimetres; the left ventricle counted on its own as well, because it is what the therapy is for.
        """
        return (self.lvat95_ms + self.bivat90_ms) / 2


class DyssynchronyMeter:
    """Measures beats of one heart; what does not depend on the beat is prepared once."""

    def __init__(self, heart: Heart) -> None:
        self._living = np.flatnonzero(heart.living)
        self._weights = heart.living_volumes_mm3[heart.living]
        self._left: Bool = heart.coordinates.in_left_ventricle[heart.living]

    def measure(self, activation: Activation) -> Dyssynchrony:
        """The indices of one beat."""
        times, weights, left = activation.times_ms[self._living], self._weights, self._left
        if not np.isfinite(times).all():
            return Dyssynchrony(
                tat_ms=np.inf, lvat95_ms=np.inf, bivat90_ms=np.inf, lv_dispersion_ms=np.inf, interventricular_ms=np.inf
            )
        order = np.argsort(times)
        sorted_left = order[left[order]]
        lv_mean = np.average(times[left], weights=weights[left])
        return Dyssynchrony(
            tat_ms=float(np.ptp(times)),
            lvat95_ms=_shortest_interval(times[sorted_left], weights[sorted_left], 0.95),
            bivat90_ms=_shortest_interval(times[order], weights[order], 0.90),
            lv_dispersion_ms=float(np.sqrt(np.average(np.square(times[left] - lv_mean), weights=weights[left]))),
            interventricular_ms=float(lv_mean - np.average(times[~left], weights=weights[~left])),
        )


def _shortest_interval(sorted_times: Float, weights: Float, share: float) -> float:
    """Length of the shortest interval that holds `share` of the weight; nodes count whole."""
    total = np.cumsum(weights)
    before = total - weights
    last = np.searchsorted(total, before + share * total[-1] * (1 - 1e-12))
    fits = last < len(sorted_times)
    return float((sorted_times[last[fits]] - sorted_times[fits]).min())
