"""The same fixed point in float64: the yardstick of what float32 and the order of asking cost `twin.eikonal`.

Starting from given times, every node is offered anew what its tetrahedra offer, in order of arrival, until nothing moves. A
time may rise as well as fall, so an answer that is too early is found out. Nothing is precomputed and nothing is shared with
the solver: each offer starts from coordinates.

Units: mm, ms.
"""

import numpy as np
from numba import njit

from anatomy.arrays import Float, Int

_STILL_MS = 1e-9
_MOST_SWEEPS = 500


def fixed_point_ms(nodes_mm: Float, tets: Int, metric: Float, source: int, near_ms: Float) -> Float:
    """(n,) arrival times from one source.

    Args:
        nodes_mm: (n, 3).
        tets: (m, 4); they hang together.
        metric: (m, 3, 3) ms^2/mm^2.
        source: node number, started at 0.
        near_ms: (n,) finite times to start from; they decide only how many sweeps it takes.
    """
    cell_of = (np.argsort(tets.ravel(), kind="stable") // 4).astype(np.int32)
    first = np.concatenate([[0], np.cumsum(np.bincount(tets.ravel(), minlength=len(nodes_mm)))])
    times = np.array(near_ms, dtype=np.float64)
    times[source] = 0
    order = np.argsort(times, kind="stable")
    order = order[order != source]
    for _ in range(_MOST_SWEEPS):
        if _sweep(nodes_mm, tets, metric, first, cell_of, order, times) < _STILL_MS:
            return times
    raise AssertionError(f"the reference still moves after {_MOST_SWEEPS} sweeps")


@njit(cache=True, error_model="numpy")
def _sweep(nodes: Float, tets: Int, metric: Float, first: Int, cell_of: Int, order: Int, times: Float) -> float:
    """Renew the times of all nodes in this order; returns by how much the most moved one did."""
    most = 0.0
    steps, t = np.empty((3, 3)), np.empty(3)
    for w in order:
        best = np.inf
        for i in range(first[w], first[w + 1]):
            cell = cell_of[i]
            row = 0
            for corner in range(4):
                x = tets[cell, corner]
                if x != w:
                    t[row] = times[x]
                    for axis in range(3):
                        steps[row, axis] = nodes[x, axis] - nodes[w, axis]
                    row += 1
            best = min(best, _offer(steps, metric[cell], t))
        most = max(most, abs(best - times[w]))
        times[w] = best
    return most


@njit(cache=True, error_model="numpy")
def _offer(steps: Float, metric: Float, t: Float) -> float:
    """The least time through a tetrahedron: `steps` lead to its other corners, reached at times t."""
    best = np.inf
    for i in range(3):
        best = min(best, t[i] + np.sqrt(_product(steps, metric, i, i)))
        j = (i + 1) % 3
        best = min(best, _through_edge(steps, metric, t, i, j))
    return min(best, _through_face(steps, metric, t))


@njit(cache=True, error_model="numpy")
def _product(steps: Float, metric: Float, i: int, j: int) -> float:
    total = 0.0
    for k in range(3):
        for m in range(3):
            total += steps[i, k] * metric[k, m] * steps[j, m]
    return total


@njit(cache=True, error_model="numpy")
def _through_edge(steps: Float, metric: Float, t: Float, i: int, j: int) -> float:
    aa, ab, bb = _product(steps, metric, i, i), _product(steps, metric, i, j), _product(steps, metric, j, j)
    side2, late = aa - 2 * ab + bb, t[j] - t[i]
    steep = late * late / side2
    if not steep < 1:
        return np.inf
    foot = (aa - ab) / side2
    height2 = max(aa - foot * (aa - ab), 0.0)
    weight = foot - np.sqrt(height2 / (1 - steep)) * late / side2
    return t[i] + foot * late + np.sqrt(height2 * (1 - steep)) if 0 <= weight <= 1 else np.inf


@njit(cache=True, error_model="numpy")
def _through_face(steps: Float, metric: Float, t: Float) -> float:
    aa, ab, ac = _product(steps, metric, 0, 0), _product(steps, metric, 0, 1), _product(steps, metric, 0, 2)
    bb, bc, cc = _product(steps, metric, 1, 1), _product(steps, metric, 1, 2), _product(steps, metric, 2, 2)
    pp, qq, pq = aa - 2 * ab + bb, aa - 2 * ac + cc, aa - ab - ac + bc
    area = pp * qq - pq * pq
    if not area > 0:
        return np.inf
    d1, d2 = t[1] - t[0], t[2] - t[0]
    g1, g2 = (qq * d1 - pq * d2) / area, (pp * d2 - pq * d1) / area
    steep = g1 * d1 + g2 * d2
    if not steep < 1:
        return np.inf
    f1, f2 = (qq * (aa - ab) - pq * (aa - ac)) / area, (pp * (aa - ac) - pq * (aa - ab)) / area
    height2 = max(aa - f1 * (aa - ab) - f2 * (aa - ac), 0.0)
    run = np.sqrt(height2 / (1 - steep))
    w1, w2 = f1 - run * g1, f2 - run * g2
    inside = w1 >= 0 and w2 >= 0 and w1 + w2 <= 1
    return t[0] + f1 * d1 + f2 * d2 + np.sqrt(height2 * (1 - steep)) if inside else np.inf
