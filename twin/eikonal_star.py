"""What the eikonal solver walks on: for each node one record with all that it needs to know of the simplices around it.

A time at node w is offered through a face opposite w: an edge (a, b) of a triangle, or a triangle (a, b, c) of a
tetrahedron. In the metric of that simplex let h2 be the squared distance of w from the line or plane of the face, r the
barycentric place of its foot, G the inner products of the sides b - a and c - a, and S = h2 inv(G). With the times d of b
and c after that of a, and q = S d, the front through the inside of the face arrives at

    T(a) + r . d + s   with   s = sqrt(h2 - q . d),   if that exists and the weights r s - q and s - sum(r s - q) are >= 0.

h2, r and S are all that is stored, so a solution divides nothing and sees neither coordinates nor tensors. They are computed
in float64 and kept as float32. Triangles of a node that can never beat another one on the same edge are left out.

A neighbour x that v tells of its time can only gain by it if  T(x) - T(v) > c,  the least, over the simplices at (x, v) and
the points y of their other nodes' span, of <v, y> / |y| as seen from x: T at x is convex in the place on the face, so a face
helps only if every one of its corners, coming last, does. For obtuse angles c is negative.

Units: mm, ms.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from anatomy.arrays import Float, Int

Single = NDArray[np.float32]
Long = NDArray[np.int64]

# A face's corners are places among the neighbours, ten bits each.
PLACE_BITS = 10
MOST_NEIGHBOURS = (1 << PLACE_BITS) - 1
# Columns of a record: counts of neighbours, edges and faces; then, column by column, so that each is contiguous:
# neighbours (number, c, time of the straight step), edges (corners, h2, r, S), faces (corners, h2, r, r, S, S, S).
HEADER = 3
NEIGHBOUR_COLUMNS = 3
EDGE_COLUMNS = 4
FACE_COLUMNS = 7
# numba's disk cache of `twin.eikonal_front`, which reads them, does not notice a change here: touch that file as well.
# Edges and faces are filled up to whole vectors with ones that offer nothing (h2 < 0).
LANES = 8
# A face whose squared sine of the largest angle is less than this is a line: float32 could not tell where in it a ray passes.
# It is never further than that sine from its edges, which remain.
_LINE = 2.5e-5
# A flat simplex counts as so high (squared, as a share of a side): below, h2 would not tell if a ray passes inside.
_FLAT = 1e-12
# c is lowered by this share of the straight step, far above the rounding of float32.
_SLACK = 1e-5


@dataclass(frozen=True, kw_only=True, eq=False)
class Star:
    """The records of all nodes; that of node v stands in `values[first[v]:first[v + 1]]`, empty if nothing is around v.

    Attributes:
        first: (n + 1,) int64.
        values: float32; node numbers and counts are the bits of int32.
        step_ms: mean time of the straight steps; 0 if there are none.
    """

    first: Long
    values: Single
    step_ms: float


def star_of_cells(nodes_mm: Float, cells: Int, metric: Float) -> Star:
    """The star of tetrahedra (m, 4) or triangles (m, 3) whose metric is (m, 3, 3) ms^2/mm^2.

    Raises:
        ValueError: if a node has more than 1023 neighbours.
    """
    first_cell, cell_of = _incidence(cells, len(nodes_mm))
    most = int(np.diff(first_cell).max(initial=0))
    # Bounds of what a node may need. Memory that is never written to costs nothing, and the rest is given back.
    k = cells.shape[1] - 1
    pairs = k * (k - 1) // 2
    per_cell = NEIGHBOUR_COLUMNS * k + EDGE_COLUMNS * pairs + FACE_COLUMNS
    values = np.empty(
        len(cell_of) * per_cell + len(nodes_mm) * (HEADER + (EDGE_COLUMNS + FACE_COLUMNS) * LANES), np.float32
    )
    first = np.empty(len(nodes_mm) + 1, dtype=np.int64)
    crowded, steps, total = _fill(nodes_mm, cells, metric, first_cell, cell_of, most, first, values)
    if crowded >= 0:
        raise ValueError(
            f"the node at {nodes_mm[crowded].tolist()} mm has more than {MOST_NEIGHBOURS} neighbours. Mesh more evenly."
        )
    values.resize(first[-1], refcheck=False)
    return Star(first=first, values=values, step_ms=total / steps if steps else 0.0)


@njit(cache=True)
def _incidence(cells: Int, n: int) -> tuple[Long, Int]:
    """Which cells meet at each of n nodes: (n + 1,) first place of each node, and the cells."""
    first = np.zeros(n + 1, dtype=np.int64)
    for cell in cells:
        for v in cell:
            first[v + 1] += 1
    first = np.cumsum(first)
    free = first[:-1].copy()
    out = np.empty(first[-1], dtype=np.int32)
    for i in range(len(cells)):
        for v in cells[i]:
            out[free[v]] = i
            free[v] += 1
    return first, out


@njit(cache=True, error_model="numpy")
def _fill(
    nodes: Float, cells: Int, metric: Float, first_cell: Long, cell_of: Int, most: int, first: Long, values: Single
) -> tuple[int, int, float]:
    """Write all records; returns a node with too many neighbours (or -1), the number of steps and their sum."""
    solid = cells.shape[1] == 4
    words = values.view(np.int32)
    place = np.full(len(nodes), -1, dtype=np.int32)
    neighbours = np.empty(3 * most, dtype=np.int32)
    gates, steps = np.empty(3 * most), np.empty(3 * most)
    edges, faces = np.empty((3 * most, 3)), np.empty((most, 6))
    edge_corners, face_corners = np.empty(3 * most, dtype=np.int32), np.empty(most, dtype=np.int32)
    known = np.full(1, -1, dtype=np.int32)
    at, n_steps, total = 0, 0, 0.0
    for v in range(len(nodes)):
        first[v] = at
        size, n_edges, n_faces = 0, 0, 0
        for i in range(first_cell[v], first_cell[v + 1]):
            for corner in range(cells.shape[1]):
                x = cells[cell_of[i], corner]
                if x != v and place[x] < 0:
                    place[x] = size
                    neighbours[size] = x
                    gates[size] = steps[size] = np.inf
                    size += 1
        if size > MOST_NEIGHBOURS:
            return v, 0, 0.0
        if size * size > len(known):
            known = np.full(2 * size * size, -1, dtype=np.int32)
        for i in range(first_cell[v], first_cell[v + 1]):
            cell = cell_of[i]
            a, b, c = _others(cells, cell, v)
            aa, bb, ab = _products(nodes, metric, cell, v, a, b)
            a, b = place[a], place[b]
            steps[a], steps[b] = min(steps[a], np.sqrt(aa)), min(steps[b], np.sqrt(bb))
            n_edges = _add_edge(a, b, aa, bb, ab, size, known, edges, edge_corners, n_edges)
            if solid:
                cc, _, ac = _products(nodes, metric, cell, v, c, neighbours[a])
                _, _, bc = _products(nodes, metric, cell, v, neighbours[b], c)
                c = place[c]
                steps[c] = min(steps[c], np.sqrt(cc))
                n_edges = _add_edge(a, c, aa, cc, ac, size, known, edges, edge_corners, n_edges)
                n_edges = _add_edge(b, c, bb, cc, bc, size, known, edges, edge_corners, n_edges)
                gates[a] = min(gates[a], _gate_in_tet(aa, bb, cc, ab, ac, bc))
                gates[b] = min(gates[b], _gate_in_tet(bb, cc, aa, bc, ab, ac))
                gates[c] = min(gates[c], _gate_in_tet(cc, aa, bb, ac, bc, ab))
                # The first corner is that of the largest angle, where the inner products of the sides cancel least.
                ab2, ac2, bc2 = aa + bb - 2 * ab, aa + cc - 2 * ac, bb + cc - 2 * bc
                if ac2 >= ab2 and ac2 >= bc2:
                    a, b, c, aa, bb, cc, ab, ac, bc = b, c, a, bb, cc, aa, bc, ab, ac
                elif ab2 >= bc2:
                    a, b, c, aa, bb, cc, ab, ac, bc = c, a, b, cc, aa, bb, ac, bc, ab
                if _face(aa, bb, cc, ab, ac, bc, faces, n_faces):
                    face_corners[n_faces] = a | b << PLACE_BITS | c << 2 * PLACE_BITS
                    n_faces += 1
            else:
                gates[a] = min(gates[a], _gate_in_triangle(aa, bb, ab))
                gates[b] = min(gates[b], _gate_in_triangle(bb, aa, ab))
        for i in range(size):
            gates[i] -= _SLACK * steps[i]
            total += steps[i]
            place[neighbours[i]] = -1
        known[: size * size] = -1
        n_steps += size
        if size > 0:
            m, f = -(-n_edges // LANES) * LANES, -(-n_faces // LANES) * LANES
            words[at], words[at + 1], words[at + 2] = size, m, f
            at += HEADER
            for i in range(size):
                words[at + i], values[at + size + i], values[at + 2 * size + i] = neighbours[i], gates[i], steps[i]
            at += NEIGHBOUR_COLUMNS * size
            _solve_edges(edges, n_edges)
            _write(edges, edge_corners, n_edges, m, values, words, at)
            at += EDGE_COLUMNS * m
            _write(faces, face_corners, n_faces, f, values, words, at)
            at += FACE_COLUMNS * f
    first[len(nodes)] = at
    return -1, n_steps, total


@njit(cache=True)
def _others(cells: Int, cell: int, v: int) -> tuple[int, int, int]:
    """The other nodes of a cell at v; the third is only that of a tetrahedron."""
    last = cells.shape[1] - 1
    a, b, c = cells[cell, 0], cells[cell, 1], cells[cell, 2]
    if a == v:
        a = cells[cell, last]
    elif b == v:
        b = cells[cell, last]
    elif c == v:
        c = cells[cell, last]
    return a, b, c


@njit(cache=True)
def _products(nodes: Float, metric: Float, cell: int, v: int, a: int, b: int) -> tuple[float, float, float]:
    """The inner products aa, bb and ab of the steps from v to a and b in the metric of a cell."""
    a0, a1, a2 = nodes[a, 0] - nodes[v, 0], nodes[a, 1] - nodes[v, 1], nodes[a, 2] - nodes[v, 2]
    b0, b1, b2 = nodes[b, 0] - nodes[v, 0], nodes[b, 1] - nodes[v, 1], nodes[b, 2] - nodes[v, 2]
    m00, m01, m02 = metric[cell, 0, 0], metric[cell, 0, 1], metric[cell, 0, 2]
    m11, m12, m22 = metric[cell, 1, 1], metric[cell, 1, 2], metric[cell, 2, 2]
    p0, p1, p2 = m00 * a0 + m01 * a1 + m02 * a2, m01 * a0 + m11 * a1 + m12 * a2, m02 * a0 + m12 * a1 + m22 * a2
    q0, q1, q2 = m00 * b0 + m01 * b1 + m02 * b2, m01 * b0 + m11 * b1 + m12 * b2, m02 * b0 + m12 * b1 + m22 * b2
    return p0 * a0 + p1 * a1 + p2 * a2, q0 * b0 + q1 * b1 + q2 * b2, p0 * b0 + p1 * b1 + p2 * b2


@njit(cache=True, error_model="numpy")
def _gate_in_triangle(aa: float, bb: float, ab: float) -> float:
    """The least lead over a that lets v, where the steps a and b start, shorten the way to a: <v, b> / |b| seen from a."""
    qq = aa + bb - 2 * ab
    out: float = (aa - ab) / np.sqrt(qq) if qq > 0 else -np.sqrt(aa)
    return out


@njit(cache=True, error_model="numpy")
def _gate_in_tet(aa: float, bb: float, cc: float, ab: float, ac: float, bc: float) -> float:
    """Likewise over the whole edge (b, c): at one of its ends, or straight away from v's shadow on its span."""
    least: float = min(_gate_in_triangle(aa, bb, ab), _gate_in_triangle(aa, cc, ac))
    pp, qq, pq, vp, vq = aa + bb - 2 * ab, aa + cc - 2 * ac, aa + bc - ab - ac, aa - ab, aa - ac
    area = pp * qq - pq * pq
    on_p, on_q = qq * vp - pq * vq, pp * vq - pq * vp
    if area > 1e-12 * pp * qq and on_p < 0 and on_q < 0:
        least = min(least, -np.sqrt((on_p * vp + on_q * vq) / area))
    return least


@njit(cache=True, error_model="numpy")
def _add_edge(
    a: int, b: int, aa: float, bb: float, ab: float, size: int, known: Int, edges: Float, corners: Int, n: int
) -> int:
    """Put aa, bb, ab of the edge (a, b) into the list unless one there is never later; returns the list's length.

    The step to a point of the edge is a sum of the steps to its ends with weights >= 0, and its length is what counts.
    `known` holds for each pair its place in the list, or -1.
    """
    if a > b:
        a, b, aa, bb = b, a, bb, aa
    place = n
    old = known[a * size + b]
    if old >= 0:
        da, db, dab = aa - edges[old, 0], bb - edges[old, 1], ab - edges[old, 2]
        if da >= 0 and db >= 0 and (dab >= 0 or dab * dab <= da * db):
            return n
        if da <= 0 and db <= 0 and (dab <= 0 or dab * dab <= da * db):
            place = old
    known[a * size + b] = place
    corners[place] = a | b << PLACE_BITS
    edges[place, 0], edges[place, 1], edges[place, 2] = aa, bb, ab
    return n + (place == n)


@njit(cache=True, error_model="numpy")
def _solve_edges(edges: Float, n: int) -> None:
    """Replace aa, bb, ab of each edge by h2, r, S."""
    for i in range(n):
        aa, bb, ab = edges[i, 0], edges[i, 1], edges[i, 2]
        pp = aa + bb - 2 * ab
        h2 = max((aa * bb - ab * ab) / pp, _FLAT * pp)
        edges[i, 0], edges[i, 1], edges[i, 2] = h2, (aa - ab) / pp, h2 / pp


@njit(cache=True, error_model="numpy")
def _face(aa: float, bb: float, cc: float, ab: float, ac: float, bc: float, faces: Float, i: int) -> bool:
    """Fill row i with h2, r, r, S, S, S of the face opposite the node where the steps a, b, c start; false if it is a line."""
    pp, qq, pq, wp, wq = aa + bb - 2 * ab, aa + cc - 2 * ac, aa + bc - ab - ac, aa - ab, aa - ac
    area = pp * qq - pq * pq
    if not area > _LINE * pp * qq:
        return False
    r1, r2 = (qq * wp - pq * wq) / area, (pp * wq - pq * wp) / area
    h2 = max(aa - r1 * wp - r2 * wq, _FLAT * (pp + qq))
    faces[i, 0], faces[i, 1], faces[i, 2] = h2, r1, r2
    faces[i, 3], faces[i, 4], faces[i, 5] = h2 * qq / area, -h2 * pq / area, h2 * pp / area
    return True


@njit(cache=True)
def _write(rows: Float, corners: Int, n: int, full: int, values: Single, words: Int, at: int) -> None:
    """Write n rows column by column, after their corners, and fill up with rows that offer nothing."""
    for i in range(full):
        words[at + i] = corners[i] if i < n else 0
    for column in range(rows.shape[1]):
        at += full
        for i in range(full):
            values[at + i] = rows[i, column] if i < n else np.float64(-1 if column == 0 else 0)
