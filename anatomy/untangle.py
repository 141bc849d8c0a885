"""Moving the nodes of badly shaped tetrahedra until none is flat or inverted; the rest of the mesh stays as it is.

Each node around a bad tetrahedron walks downhill on the sum, over the tetrahedra at it, of

    sum of squared edges / h(v)^(2/3),  h(v) = (v + sqrt(v^2 + 4 delta^2)) / 2,  v = 6 x volume,

which is least for the regular shape and, because h stays positive, finite and steep for inverted ones: the way of
Escobar et al. 2003 [doi:10.1016/S0045-7825(03)00299-8]. Deviations: delta shrinks from round to round, whatever the
volumes, so that the smallest tetrahedra come to count too; each step goes straight down the slope, as far as the sum falls.

Shape of a tetrahedron: 12 (3 volume)^(2/3) / sum of squared edges (mean ratio): 1 regular, 0 flat, negative inverted.

Units: mm.
"""

from collections.abc import Callable

import numpy as np
from numba import njit
from numpy.typing import NDArray

from anatomy.arrays import Bool, Float, Int

_SWEEPS = 3
_ROUNDS = 60
# After this many rounds the neighbours of bad tetrahedra make room too.
_ALONE = 2
# In units of an edge's cube: small beside a good tetrahedron, which has 0.7.
_DELTA = 0.02
_DELTA_DECAY = 0.85
# In edges. Longer ones carry nodes across sharp corners of their surface, from where none comes back.
_LONGEST_STEPS = (0.08, 0.03)
_SHORTER = 0.4

Rails = Callable[[Int, Float], tuple[Float, Float]]


class Untangler:
    """Which tetrahedra stand at which node, found once for all meshes of the same connectivity.

    Args:
        tets: (m, 4).
        n: number of nodes.
    """

    def __init__(self, tets: Int, n: int) -> None:
        self._tets = np.ascontiguousarray(tets, dtype=np.int32)
        self._first = np.concatenate([[0], np.cumsum(np.bincount(self._tets.ravel(), minlength=n))])
        self._around = np.argsort(self._tets.ravel(), kind="stable") // 4

    def shapes(self, nodes_mm: Float) -> Float:
        """(m,) the shape of each tetrahedron, 1 to -1."""
        shapes = np.empty(len(self._tets))
        _shapes(nodes_mm, self._tets, np.arange(len(self._tets)), shapes)
        return shapes

    def _at(self, nodes: Int) -> NDArray[np.int64]:
        """The tetrahedra at these nodes, ascending."""
        first, count = self._first[nodes], self._first[nodes + 1] - self._first[nodes]
        places = np.arange(count.sum()) + np.repeat(first - np.cumsum(count) + count, count)
        return np.unique(self._around[places])

    def relax(self, nodes_mm: Float, least_shape: float, edge_mm: float, on_rails: Bool, rails: Rails) -> float:
        """Move nodes, in place, until every shape is at least `least_shape` or some rounds are over.

        Args:
            nodes_mm: (n, 3), changed.
            least_shape: below it a tetrahedron is bad.
            edge_mm: about the mean edge: the scale of steps.
            on_rails: (n,) true for nodes that must keep to a surface or a line.
            rails: given the numbers (k,) of such nodes and where they stand (k, 3), where they should, (k, 3), and
                projectors (k, 3, 3) onto the ways in which each may move.

        Returns:
            The least shape that is left.
        """
        shapes = self.shapes(nodes_mm)
        for turn in range(_ROUNDS):
            bad = shapes < least_shape
            if not bad.any():
                break
            nodes = np.unique(self._tets[bad])
            if turn >= _ALONE:
                nodes = np.unique(self._tets[self._at(nodes)])
            longest_mm = _LONGEST_STEPS[turn % len(_LONGEST_STEPS)] * edge_mm
            delta = _DELTA * _DELTA_DECAY**turn * edge_mm**3
            held = on_rails[nodes]
            ways = np.tile(np.eye(3), (len(nodes), 1, 1))
            ways[held] = rails(nodes[held], nodes_mm[nodes[held]])[1]
            _sweep(nodes_mm, self._tets, self._first, self._around, nodes, ways, longest_mm, delta)
            nodes_mm[nodes[held]] = rails(nodes[held], nodes_mm[nodes[held]])[0]
            _shapes(nodes_mm, self._tets, self._at(nodes), shapes)
        return float(shapes.min())


@njit(cache=True)
def _shapes(nodes: Float, tets: Int, which: NDArray[np.int64], out: Float) -> None:
    """Fill out[t] for each of these tetrahedra."""
    for t in which:
        a, b, c, d = nodes[tets[t, 0]], nodes[tets[t, 1]], nodes[tets[t, 2]], nodes[tets[t, 3]]
        six_volumes, squares = _volume_and_edges(a, b, c, d)
        out[t] = 12 * np.sign(six_volumes) * (abs(six_volumes) / 2) ** (2 / 3) / squares


@njit(cache=True)
def _volume_and_edges(a: Float, b: Float, c: Float, d: Float) -> tuple[float, float]:
    """Six times the signed volume, and the sum of the squared edges."""
    u0, u1, u2 = b[0] - a[0], b[1] - a[1], b[2] - a[2]
    v0, v1, v2 = c[0] - a[0], c[1] - a[1], c[2] - a[2]
    w0, w1, w2 = d[0] - a[0], d[1] - a[1], d[2] - a[2]
    six_volumes = (u1 * v2 - u2 * v1) * w0 + (u2 * v0 - u0 * v2) * w1 + (u0 * v1 - u1 * v0) * w2
    squares = 0.0
    for k in range(3):
        squares += (a[k] - b[k]) ** 2 + (a[k] - c[k]) ** 2 + (a[k] - d[k]) ** 2
        squares += (b[k] - c[k]) ** 2 + (b[k] - d[k]) ** 2 + (c[k] - d[k]) ** 2
    return six_volumes, squares


@njit(cache=True)
def _slope(
    nodes: Float,
    tets: Int,
    first: NDArray[np.int64],
    around: NDArray[np.int64],
    i: int,
    delta: float,
    slope: Float,
) -> float:
    """The sum at node i; fills its slope (3,)."""
    total = 0.0
    slope[:] = 0.0
    for place in range(first[i], first[i + 1]):
        t = around[place]
        a, b, c, d = nodes[tets[t, 0]], nodes[tets[t, 1]], nodes[tets[t, 2]], nodes[tets[t, 3]]
        volume, squares = _volume_and_edges(a, b, c, d)
        root = np.sqrt(volume**2 + 4 * delta**2)
        h = (volume + root) / 2 if volume >= 0 else 2 * delta**2 / (root - volume)
        scale = h ** (-2 / 3)
        total += squares * scale
        # The face opposite node i; six times the volume grows along its normal.
        x = nodes[i]
        if tets[t, 0] == i:
            p, q, r = b, d, c
        elif tets[t, 1] == i:
            p, q, r = a, c, d
        elif tets[t, 2] == i:
            p, q, r = a, d, b
        else:
            p, q, r = a, b, c
        e0, e1, e2 = q[0] - p[0], q[1] - p[1], q[2] - p[2]
        f0, f1, f2 = r[0] - p[0], r[1] - p[1], r[2] - p[2]
        push = -2 / 3 * squares * scale / root
        slope[0] += push * (e1 * f2 - e2 * f1) + 2 * scale * (3 * x[0] - p[0] - q[0] - r[0])
        slope[1] += push * (e2 * f0 - e0 * f2) + 2 * scale * (3 * x[1] - p[1] - q[1] - r[1])
        slope[2] += push * (e0 * f1 - e1 * f0) + 2 * scale * (3 * x[2] - p[2] - q[2] - r[2])
    return total


@njit(cache=True)
def _sweep(
    nodes: Float,
    tets: Int,
    first: NDArray[np.int64],
    around: NDArray[np.int64],
    movable: Int,
    ways: Float,
    longest_mm: float,
    delta: float,
) -> None:
    """Some rounds over the movable nodes; each walks downhill within its ways as far as the sum falls."""
    slope, unused, old, down = np.empty(3), np.empty(3), np.empty(3), np.empty(3)
    for _ in range(_SWEEPS):
        for k in range(len(movable)):
            i = movable[k]
            before = _slope(nodes, tets, first, around, i, delta, slope)
            for row in range(3):
                down[row] = -(ways[k, row, 0] * slope[0] + ways[k, row, 1] * slope[1] + ways[k, row, 2] * slope[2])
            length = np.sqrt(down[0] ** 2 + down[1] ** 2 + down[2] ** 2)
            if length == 0.0:
                continue
            old[:] = nodes[i]
            step = longest_mm / length
            for _ in range(8):
                for row in range(3):
                    nodes[i, row] = old[row] + step * down[row]
                if _slope(nodes, tets, first, around, i, delta, unused) < before:
                    break
                step *= _SHORTER
            else:
                nodes[i] = old
