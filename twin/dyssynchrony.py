"""How far apart in time the parts of the ventricles activate.

Statistics are weighted by the volume at each node. Tissue that nothing can activate (scar core) takes no part; living
tissue that is never reached makes an index infinite.

Definitions: BIVAT90 and LVAT95 are the *shortest interval* in which 90 % of both ventricles, or 95 % of the left one,
activates [Strocchi 2022, doi:10.3389/fphys.2022.1049214]; the others as written at each field.

Units: ms.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from anatomy.arrays import Bool, Float, Int
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
        found = np.empty(5)
        _indices(times[order], weights[order], left[order], np.empty((2, len(times))), found)
        return _named(found)

    def measure_paced(
        self, from_lv_ms: NDArray[np.float32], from_rv_ms: NDArray[np.float32], starts_ms: Sequence[tuple[float, float]]
    ) -> list[list[Dyssynchrony]]:
        """The indices of beats paced from two places, from the maps of each place alone: the first arrival counts.

        Each map is sorted once; the nodes of a beat in their order are those maps merged.

        Args:
            from_lv_ms: (s, n) activation from each left site alone, started at 0.
            from_rv_ms: (n,) likewise from the right one.
            starts_ms: of the left and the right one, for each beat.

        Returns:
            For each left site, one for each pair of starts.
        """
        right = np.ascontiguousarray(from_rv_ms[self._living])
        right_order = np.argsort(right).astype(np.int32)
        starts, scratch = np.array(starts_ms, dtype=np.float64), np.empty((4, len(right)))
        found = np.full((len(from_lv_ms), len(starts), 5), np.inf)
        for row, out in zip(from_lv_ms, found, strict=True):
            times = np.ascontiguousarray(row[self._living])
            if np.isfinite(np.minimum(times, right)).all():
                order = np.argsort(times).astype(np.int32)
                _merged(times, order, right, right_order, starts, self._weights, self._left, scratch, out)
        return [[_named(beat) for beat in site] for site in found]


def _named(found: Float) -> Dyssynchrony:
    """The five indices in the order of the fields."""
    tat, lvat95, bivat90, dispersion, interventricular = found.tolist()
    return Dyssynchrony(
        tat_ms=tat,
        lvat95_ms=lvat95,
        bivat90_ms=bivat90,
        lv_dispersion_ms=dispersion,
        interventricular_ms=interventricular,
    )


@njit(cache=True)
def _merged(
    lv: NDArray[np.float32],
    lv_order: Int,
    rv: NDArray[np.float32],
    rv_order: Int,
    starts: Float,
    weights: Float,
    left: Bool,
    scratch: Float,
    out: Float,
) -> None:
    """Fill out (d, 5) for each of (d, 2) starts; scratch is (4, n)."""
    n = len(lv)
    is_left = np.empty(n, dtype=np.bool_)
    for d in range(len(starts)):
        lv_start, rv_start = starts[d]
        i, j = 0, 0
        for k in range(n):
            # Of each map, only the nodes that it reaches first.
            while i < n and lv[lv_order[i]] + lv_start > rv[lv_order[i]] + rv_start:
                i += 1
            while j < n and rv[rv_order[j]] + rv_start >= lv[rv_order[j]] + lv_start:
                j += 1
            if j == n or (i < n and lv[lv_order[i]] + lv_start <= rv[rv_order[j]] + rv_start):
                node = lv_order[i]
                scratch[0, k] = lv[node] + lv_start
                i += 1
            else:
                node = rv_order[j]
                scratch[0, k] = rv[node] + rv_start
                j += 1
            scratch[1, k] = weights[node]
            is_left[k] = left[node]
        _indices(scratch[0], scratch[1], is_left, scratch[2:], out[d])


@njit(cache=True)
def _indices(times: Float, weights: Float, left: Bool, scratch: Float, out: Float) -> None:
    """Fill out (5,) from (n,) nodes in the order of their times; scratch is (2, n)."""
    n = len(times)
    volume, first_moment, k = np.zeros(2), np.zeros(2), 0
    for i in range(n):
        side = 0 if left[i] else 1
        volume[side] += weights[i]
        first_moment[side] += weights[i] * (times[i] - times[0])
        if left[i]:
            scratch[0, k], scratch[1, k] = times[i], weights[i]
            k += 1
    lv_mean = first_moment[0] / volume[0]  # after the first node of all
    second_moment = 0.0
    for i in range(k):
        second_moment += scratch[1, i] * (scratch[0, i] - times[0] - lv_mean) ** 2
    out[0] = times[n - 1] - times[0]
    out[1] = _shortest_interval(scratch[0, :k], scratch[1, :k], 0.95)
    out[2] = _shortest_interval(times, weights, 0.90)
    out[3] = np.sqrt(second_moment / volume[0])
    out[4] = lv_mean - first_moment[1] / volume[1]


@njit(cache=True)
def _shortest_interval(times: Float, weights: Float, share: float) -> float:
    """Length of the shortest interval that holds `share` of the weight; nodes count whole. Times ascend."""
    total = np.cumsum(weights)
    needed = share * total[-1] * (1 - 1e-12)
    shortest, last = np.inf, 0
    for first in range(len(times)):
        until = total[first] - weights[first] + needed
        while last < len(times) and total[last] < until:
            last += 1
        if last == len(times):
            break
        shortest = min(shortest, times[last] - times[first])
    return shortest
