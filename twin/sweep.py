"""Every candidate site with every delay in one twin: one eikonal solution per site, the rest is minima.

Units: ms.
"""

from collections.abc import Sequence

import numpy as np

from anatomy.heart import Heart
from twin.activation import Activation, CaptureLatency, biventricular, start_times_ms
from twin.dyssynchrony import Dyssynchrony, DyssynchronyMeter
from twin.personalise import Twin

# So far behind the right front the left one goes on. On hearts with edges of 2.5 mm that leaves the minimum of both as it is;
# after 20 ms single nodes are late by up to 0.007 ms, for a simplex may have one corner beyond the end.
_BEHIND_MS = 30.0


class Sweep:
    """Biventricular pacing from each of several left-ventricular sites with one right-ventricular site.

    Intrinsic conduction plays no part: the AV delay is taken to be short enough.

    Args:
        heart: the heart.
        twin: one hypothesis about it.
        nodes: left-ventricular sites, in living tissue.
        rv_node: the right-ventricular site, in living tissue.
        latency: of both electrodes.
        vv_delays_ms: the only ones that will be asked for, where that is known: the fronts of the left sites then end where
            the right one has long been at all of them, which halves the time and more.
    """

    def __init__(
        self,
        heart: Heart,
        twin: Twin,
        nodes: Sequence[int],
        rv_node: int,
        latency: CaptureLatency,
        vv_delays_ms: Sequence[float] | None = None,
    ) -> None:
        self._meter = DyssynchronyMeter(heart)
        self._latency = latency
        self._lead_ms = np.inf if vv_delays_ms is None else max(self._left_lead_ms(delay) for delay in vv_delays_ms)
        (self._from_rv,) = twin.paced(np.array([rv_node], dtype=np.int32))
        until_ms = None if vv_delays_ms is None else self._from_rv + np.float32(self._lead_ms + _BEHIND_MS)
        self._from_lv = twin.paced(np.array(nodes, dtype=np.int32), until_ms)

    def _left_lead_ms(self, vv_delay_ms: float) -> float:
        """By how much the left site captures before the right one."""
        left, right = start_times_ms(vv_delay_ms, self._latency)
        return right - left

    def _check(self, vv_delay_ms: float) -> None:
        if self._left_lead_ms(vv_delay_ms) > self._lead_ms:
            raise ValueError(f"vv_delay_ms = {vv_delay_ms:g} is not one of those that this sweep was made for")

    def beat(self, site: int, vv_delay_ms: float) -> Activation:
        """The beat paced from a site (by its place in `nodes`) at a delay.

        Raises:
            ValueError: if the left site starts earlier than at any delay that the sweep was made for.
        """
        self._check(vv_delay_ms)
        return biventricular(self._from_lv[site], self._from_rv, vv_delay_ms=vv_delay_ms, latency=self._latency)

    def dyssynchrony(self, vv_delays_ms: Sequence[float]) -> list[list[Dyssynchrony]]:
        """The indices of every site (outer list) at every delay (inner list).

        Raises:
            ValueError: as `beat`.
        """
        for delay in vv_delays_ms:
            self._check(delay)
        starts = [start_times_ms(delay, self._latency) for delay in vv_delays_ms]
        return self._meter.measure_paced(self._from_lv, self._from_rv, starts)
