"""Every candidate site with every delay in one twin: one eikonal solution per site, the rest is minima.

Units: ms.
"""

from collections.abc import Sequence

import numpy as np

from anatomy.heart import Heart
from twin.activation import Activation, CaptureLatency, biventricular, start_times_ms
from twin.dyssynchrony import Dyssynchrony, DyssynchronyMeter
from twin.personalise import Twin


class Sweep:
    """Biventricular pacing from each of several left-ventricular sites with one right-ventricular site.

    Intrinsic conduction plays no part: the AV delay is taken to be short enough.

    Args:
        heart: the heart.
        twin: one hypothesis about it.
        nodes: left-ventricular sites, in living tissue.
        rv_node: the right-ventricular site, in living tissue.
        latency: of both electrodes.
    """

    def __init__(self, heart: Heart, twin: Twin, nodes: Sequence[int], rv_node: int, latency: CaptureLatency) -> None:
        self._meter = DyssynchronyMeter(heart)
        self._latency = latency
        maps = twin.paced(np.array([rv_node, *nodes], dtype=np.int32))
        self._from_rv, self._from_lv = maps[0], maps[1:]

    def beat(self, site: int, vv_delay_ms: float) -> Activation:
        """The beat paced from a site (by its place in `nodes`) at a delay."""
        return biventricular(self._from_lv[site], self._from_rv, vv_delay_ms=vv_delay_ms, latency=self._latency)

    def dyssynchrony(self, vv_delays_ms: Sequence[float]) -> list[list[Dyssynchrony]]:
        """The indices of every site (outer list) at every delay (inner list)."""
        starts = [start_times_ms(delay, self._latency) for delay in vv_delays_ms]
        return self._meter.measure_paced(self._from_lv, self._from_rv, starts)
