"""Times straight from a source to the nodes near it: exact where the tissue is uniform.

Linear interpolation is at its worst where a front is most curved, at a point source, and that error stays in every later time:
with it the solution converges like h log h, without it like h [doi:10.1016/j.jcp.2009.05.029 treats the same kink by
factoring]. So each node within a fixed ball starts with the time of the straight line from the source, as long as that line
runs through conducting tetrahedra all the way: it does not cross a cavity, a thin wall's other side, or core. Where fibres
turn, the line is a way like any other, never quicker than the quickest.

The line is walked from tetrahedron to tetrahedron. Where it meets a corner, an edge or a face it goes on in the tetrahedron
there that holds it longest, of several the one that it crosses soonest.

Units: mm, ms.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit

from anatomy.arrays import Float, Int
from twin.eikonal_cells import MOST_TISSUES, CellArrays, Cells

# Of the line's length, and of a corner's weight: far above the rounding of float64, far below what a time needs.
_NEAR = 1e-9
_WEIGHT = 1e-7
# A tetrahedron whose volume is so small a share of its sides' product has no inside to walk through.
_FLAT = 1e-10
# A line through more tetrahedra than that is given up: its node gets its time from its neighbours.
_MOST_STEPS = 10_000


@dataclass(frozen=True, kw_only=True, eq=False)
class Seeds:
    """What each node of the balls gets from its source.

    Attributes:
        nodes: (k,) int32; the source itself, too.
        source: (k,) int32 place in the list of sources.
        parts_ms: (k, 4) time in each tissue along the straight line.
    """

    nodes: Int
    source: Int
    parts_ms: Float


def straight_times(cells: Cells, sources: Int, starts_ms: Float, ball_mm: float, fastest_m_per_s: float) -> Seeds:
    """The times along straight lines from each source to the nodes that it sees within the ball; trusts its inputs.

    Args:
        cells: tetrahedra.
        sources: (s,) node numbers.
        starts_ms: (s,) when each starts.
        ball_mm: radius; 0 for the sources alone.
        fastest_m_per_s: no cell is faster. A node that another source reaches before this one could is left out.
    """
    nodes, source, parts = _straight_times(cells.arrays, sources, starts_ms, ball_mm, 1 / fastest_m_per_s)
    return Seeds(nodes=nodes, source=source, parts_ms=parts)


@njit(cache=True, nogil=True, error_model="numpy")
def _straight_times(
    cells: CellArrays, sources: Int, starts: Float, ball_mm: float, least_slowness: float
) -> tuple[Int, Int, Float]:
    x, corners, _, _, first, of_node = cells
    seen = np.full(len(x), -1, dtype=np.int32)
    queue = np.empty(len(x), dtype=np.int32)
    soonest = np.full(len(x), np.inf)
    for s in range(len(sources)):
        soonest[sources[s]] = min(soonest[sources[s]], starts[s])
    nodes, source, parts = np.empty(64, np.int32), np.empty(64, np.int32), np.empty((64, MOST_TISSUES))
    k = 0
    for s in range(len(sources)):
        v = sources[s]
        seen[v], queue[0] = s, v
        start, end = 0, 1
        while start < end:
            w = queue[start]
            start += 1
            if k == len(nodes):
                nodes, source = np.concatenate((nodes, nodes)), np.concatenate((source, source))
                parts = np.concatenate((parts, parts))
            nodes[k], source[k] = w, s
            could_be = starts[s] + least_slowness * np.sqrt(np.sum((x[w] - x[v]) ** 2))
            if could_be <= soonest[w] and _walk(cells, v, w, parts[k]):
                soonest[w] = min(soonest[w], starts[s] + parts[k].sum())
                k += 1
            for i in range(first[w], first[w + 1]):
                for corner in corners[of_node[i]]:
                    if seen[corner] != s:
                        seen[corner] = s
                        if np.sum((x[corner] - x[v]) ** 2) <= ball_mm**2:
                            queue[end] = corner
                            end += 1
    return nodes[:k].copy(), source[:k].copy(), parts[:k].copy()


@njit(cache=True, nogil=True, error_model="numpy")
def _walk(cells: CellArrays, v: int, w: int, parts: Float) -> bool:
    """Fill parts with the time in each tissue on the straight line from v to w; false if it leaves the tetrahedra."""
    x, corners, metric, tissue, first, of_node = cells
    parts[:] = 0
    if v == w:
        return True
    d0, d1, d2 = x[w, 0] - x[v, 0], x[w, 1] - x[v, 1], x[w, 2] - x[v, 2]
    # The line is known to be on the span of these corners, at this share of its length, and to come from this cell.
    on0, on1, on2 = v, v, v
    at, last = 0.0, -1
    for _ in range(_MOST_STEPS):
        best, best_at, best_ms = -1, at, np.inf
        for i in range(first[on0], first[on0 + 1]):
            cell = of_node[i]
            if cell == last or not (_has(corners, cell, on1) and _has(corners, cell, on2)):
                continue
            out = _leaves_at(x, corners[cell], v, d0, d1, d2)
            m = metric[cell]
            square = m[0] * d0 * d0 + m[3] * d1 * d1 + m[5] * d2 * d2
            ms = np.sqrt(square + 2 * (m[1] * d0 * d1 + m[2] * d0 * d2 + m[4] * d1 * d2))
            if out > best_at + _NEAR or (best >= 0 and out > best_at - _NEAR and ms < best_ms):
                best, best_at, best_ms = cell, out, ms
        if best < 0:
            return False
        parts[tissue[best]] += (min(best_at, 1.0) - at) * best_ms
        if best_at > 1 - _WEIGHT:
            return True
        at, last = best_at, best
        on0, on1, on2 = _span(x, corners[best], v, d0, d1, d2, at)
    return False


@njit(cache=True, nogil=True)
def _has(corners: Int, cell: int, v: int) -> bool:
    return bool((corners[cell, 0] == v) | (corners[cell, 1] == v) | (corners[cell, 2] == v) | (corners[cell, 3] == v))


@njit(cache=True, nogil=True, error_model="numpy")
def _leaves_at(x: Float, tet: Int, v: int, d0: float, d1: float, d2: float) -> float:
    """The share of the line at which it leaves a tetrahedron that it has entered; -1 if that is flat."""
    out = np.inf
    for i in range(4):
        weight, slope = _weight(x, tet, i, v, d0, d1, d2)
        if np.isnan(weight):
            return -1.0
        if slope < -_NEAR:
            out = min(out, -weight / slope)
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def _span(x: Float, tet: Int, v: int, d0: float, d1: float, d2: float, at: float) -> tuple[int, int, int]:
    """The corners, one to three, of which the place at this share of the line is a mean; the first again for want of more."""
    on0 = on1 = on2 = -1
    for i in range(4):
        weight, slope = _weight(x, tet, i, v, d0, d1, d2)
        if weight + at * slope > _WEIGHT:
            if on0 < 0:
                on0 = on1 = on2 = tet[i]
            elif on1 == on0:
                on1 = tet[i]
            else:
                on2 = tet[i]
    return on0, on1, on2


@njit(cache=True, nogil=True, error_model="numpy")
def _weight(x: Float, tet: Int, i: int, v: int, d0: float, d1: float, d2: float) -> tuple[float, float]:
    """The barycentric weight of corner i at the line's start, and its growth along the line; nan if the tetrahedron is flat."""
    p, q, r = x[tet[(i + 1) % 4]], x[tet[(i + 2) % 4]], x[tet[(i + 3) % 4]]
    q0, q1, q2 = q[0] - p[0], q[1] - p[1], q[2] - p[2]
    r0, r1, r2 = r[0] - p[0], r[1] - p[1], r[2] - p[2]
    n0, n1, n2 = q1 * r2 - q2 * r1, q2 * r0 - q0 * r2, q0 * r1 - q1 * r0
    o0, o1, o2 = x[tet[i], 0] - p[0], x[tet[i], 1] - p[1], x[tet[i], 2] - p[2]
    height = o0 * n0 + o1 * n1 + o2 * n2
    if height * height < _FLAT**2 * (o0**2 + o1**2 + o2**2) * (q0**2 + q1**2 + q2**2) * (r0**2 + r1**2 + r2**2):
        return np.nan, np.nan
    start = (x[v, 0] - p[0]) * n0 + (x[v, 1] - p[1]) * n1 + (x[v, 2] - p[2]) * n2
    return start / height, (d0 * n0 + d1 * n1 + d2 * n2) / height
