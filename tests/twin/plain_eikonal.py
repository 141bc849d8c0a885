"""The eikonal fixed point the slow way: every simplex of the mesh, again and again, until no time falls.

Nothing is shared with `twin.eikonal`: no queue, no order, no inner products. Each simplex is stretched into the space in
which its metric is the plain length. There the front through a face is a plane wave; its rays fix the one point of each
plane, line and corner through which the node could be reached soonest, and each such point inside its face is weighed.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from anatomy.arrays import Float, Int


class _Doors:
    """One kind of way into a node of simplices: through the corners `base` of the face opposite corner `apex`."""

    def __init__(self, corners: Float, cells: Int, apex: int, base: Sequence[int]) -> None:
        self.apex, self.base = cells[:, apex], cells[:, list(base)]
        self.target, self.points = corners[:, apex], corners[:, list(base)]
        self.sides = self.points[:, 1:] - self.points[:, :1]
        self.inverse = np.linalg.pinv(np.swapaxes(self.sides, 1, 2))
        self.foot = np.einsum("mki,mi->mk", self.inverse, self.target - self.points[:, 0])
        across = self.target - self.points[:, 0] - np.einsum("mk,mki->mi", self.foot, self.sides)
        self.height = np.linalg.norm(across, axis=1)

    def offer(self, times: Float) -> None:
        """Lower the times of the apexes."""
        known = np.all(np.isfinite(times[self.base]), axis=1)
        t = np.where(known[:, None], times[self.base], 0.0)
        gradient = np.einsum("mki,mk->mi", self.inverse, t[:, 1:] - t[:, :1])
        steep = np.einsum("mi,mi->m", gradient, gradient)
        run = self.height / np.sqrt(np.where(steep < 1, 1 - steep, 1.0))
        weights = self.foot - run[:, None] * np.einsum("mki,mi->mk", self.inverse, gradient)
        weights = np.concatenate([1 - weights.sum(axis=1, keepdims=True), weights], axis=1)
        inside = known & (steep < 1) & np.all(weights >= 0, axis=1)
        ray = self.target - np.einsum("mk,mki->mi", weights, self.points)
        arrival = np.einsum("mk,mk->m", weights, t) + np.linalg.norm(ray, axis=1)
        np.minimum.at(times, self.apex[inside], arrival[inside])


def plain_times(
    nodes_mm: Float,
    simplices: Sequence[tuple[Int, Float]],
    sources: Sequence[int],
    starts_ms: Sequence[float] | None = None,
) -> Float:
    """(n,) arrival times, `inf` where nothing arrives.

    Args:
        nodes_mm: (n, 3).
        simplices: pairs of (m, k) cells, k = 4 or 3, and their (m, 3, 3) metric in ms^2/mm^2.
        sources: node numbers.
        starts_ms: when each starts; 0 if not given.
    """
    doors = []
    for cells, metric in simplices:
        # The symmetric root of the metric; the solver's graph takes Cholesky's.
        values, axes = np.linalg.eigh(metric)
        root = np.einsum("mik,mk,mjk->mij", axes, np.sqrt(values), axes)
        corners = np.einsum("mij,mkj->mki", root, nodes_mm[cells])
        for apex in range(cells.shape[1]):
            face = [corner for corner in range(cells.shape[1]) if corner != apex]
            bases = [base for k in range(1, len(face) + 1) for base in combinations(face, k)]
            doors += [_Doors(corners, cells, apex, base) for base in bases]
    times = np.full(len(nodes_mm), np.inf)
    np.minimum.at(times, np.asarray(sources), np.zeros(len(sources)) if starts_ms is None else np.asarray(starts_ms))
    before = np.full(len(nodes_mm), np.inf)
    while (times < before * (1 - 1e-14)).any():
        before = times.copy()
        for door in doors:
            door.offer(times)
    return times
