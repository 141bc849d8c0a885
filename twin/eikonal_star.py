"""What the eikonal solver walks on: for each node one record with all that it needs to know of the simplices around it.

A time at node w is offered through a face opposite w: an edge (a, b) of a triangle, or a triangle (a, b, c) of a
tetrahedron. In the metric of that simplex let h2 be the squared distance of w from the line or plane of the face, r the
barycentric place of its foot, G the inner products of the sides b - a and c - a, and S = h2 inv(G). With the times d of b
and c after that of a, and q = S d, the front through the inside of the face arrives at

    T(a) + r . d + s   with   s = sqrt(h2 - q . d),   if that exists and the weights r s - q and s - sum(r s - q) are >= 0.

h2, r and S are all that is stored, so a solution divides nothing and sees neither coordinates nor tensors. They are computed
in float64 and kept as float32. Triangles of a node that can never beat another one on the same edge are left out.

Each neighbour has two gates c, one by which v tells it of its time and one by which v asks it: see `twin.eikonal_gates`.

Units: mm, ms.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import numba
import numpy as np
from numba import njit

from anatomy.arrays import Float, Int
from twin.eikonal_cells import CellArrays, Cells, Long, Single
from twin.eikonal_gates import narrow

# A face's corners are places among the neighbours, ten bits each; above them two bits for the tissue.
PLACE_BITS = 10
MOST_NEIGHBOURS = (1 << PLACE_BITS) - 1
_TISSUE_SHIFT = 3 * PLACE_BITS
# Columns of a record: counts of neighbours, edges and faces; then, column by column, so that each is contiguous:
# neighbours (number, c, time of the straight step, c of the way back), edges (corners, h2, r, S), faces (corners, h2, r, r,
# S, S, S).
HEADER = 3
NEIGHBOUR_COLUMNS = 4
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


@dataclass(frozen=True, kw_only=True, eq=False)
class Lines:
    """Ways from node to node that no simplex spans, such as Purkinje fibres, each in one direction.

    Attributes:
        first: (n + 1,) int64; those that start at node v are `first[v]` to `first[v + 1]`.
        to: (l,) int32 node where each ends.
        step_ms: (l,) float64 how long each takes.
    """

    first: Long
    to: Int
    step_ms: Float

    @classmethod
    def of(cls, n: int, ends: Int, step_ms: Float) -> "Lines":
        """From (l, 2) node numbers, start and end."""
        order = np.argsort(ends[:, 0], kind="stable")
        first = np.concatenate([[0], np.bincount(ends[:, 0], minlength=n).cumsum()])
        return cls(first=first, to=np.ascontiguousarray(ends[order, 1]), step_ms=step_ms[order])


def star_of(cells: Cells, lines: Lines | None = None, threads: int | None = None) -> Star:
    """The records of these cells and lines.

    Args:
        cells: tetrahedra or triangles.
        lines: on the same nodes.
        threads: how many to use; as many as numba may if not given. The result does not depend on it.

    Raises:
        ValueError: if a node has more than 1023 neighbours.
    """
    n = len(cells.nodes_mm)
    if lines is None:
        lines = Lines.of(n, np.empty((0, 2), dtype=np.int32), np.empty(0))
    # Bounds of what each node may need. Memory that is never written to costs nothing, and the rest is given back.
    k = cells.corners.shape[1] - 1
    per_cell = NEIGHBOUR_COLUMNS * k + EDGE_COLUMNS * (k * (k - 1) // 2) + FACE_COLUMNS
    per_node = HEADER + (EDGE_COLUMNS + FACE_COLUMNS) * LANES
    bound = per_cell * cells.first + NEIGHBOUR_COLUMNS * lines.first + per_node * np.arange(n + 1)
    values, first = np.empty(bound[-1], dtype=np.float32), np.empty(n + 1, dtype=np.int64)
    parts = np.linspace(0, n, (threads or numba.config.NUMBA_NUM_THREADS) + 1).astype(np.int64)
    fill = partial(
        _fill,
        cells.arrays,
        (lines.first, lines.to, lines.step_ms),
        first,
        values,
    )
    with ThreadPoolExecutor(len(parts) - 1) as pool:
        filled = list(pool.map(fill, parts[:-1], parts[1:], bound[parts[:-1]]))
    crowded = max(part[0] for part in filled)
    if crowded >= 0:
        raise ValueError(
            f"the node at {cells.nodes_mm[crowded].tolist()} mm has more than {MOST_NEIGHBOURS} neighbours. "
            "Mesh more evenly."
        )
    end = 0
    for begin, (_, _, _, size), node, last in zip(bound[parts[:-1]], filled, parts[:-1], parts[1:], strict=True):
        first[node:last] -= begin - end
        _move(values, begin, end, size)
        end += size
    first[n] = end
    values.resize(end, refcheck=False)
    steps, total = sum(part[1] for part in filled), sum(part[2] for part in filled)
    return Star(first=first, values=values, step_ms=total / steps if steps else 0.0)


def slowed_star(star: Star, cells: Cells, factors: Float) -> Star:
    """The records of cells whose tissues have become slower, without solving any simplex anew.

    A face's r and S do not depend on its tissue's speed, and h2 grows with the square of the slowness. What a node knows
    of a neighbour is a minimum over simplices: where those are of several tissues it is taken again.

    Args:
        star: of the cells as they were, without lines.
        cells: as they are now.
        factors: (4,) by what each tissue's times have been multiplied.
    """
    values = star.values.copy()
    _slow(
        cells.arrays,
        factors.astype(np.float32),
        star.first,
        values,
    )
    mean = float(np.mean(factors[np.unique(cells.tissue)])) if len(cells.tissue) else 1.0
    return replace(star, values=values, step_ms=star.step_ms * mean)


@njit(cache=True)
def _move(values: Single, begin: int, end: int, size: int) -> None:
    """Move so many values down to a place before them."""
    if begin > end:
        for i in range(size):
            values[end + i] = values[begin + i]


@njit(cache=True, nogil=True, error_model="numpy")
def _fill(
    cells: CellArrays, lines: tuple[Long, Int, Float], first: Long, values: Single, begin: int, end: int, at: int
) -> tuple[int, int, float, int]:
    """Write the records of nodes begin to end.

    Returns a node with too many neighbours (or -1), the number of straight steps, their sum, and the words written.
    """
    _, corners, _, tissue, first_cell, cell_of = cells
    first_line, line_to, line_ms = lines
    solid = corners.shape[1] == 4
    words = values.view(np.int32)
    place = np.full(len(first), -1, dtype=np.int32)
    most = most_lines = 0
    for v in range(begin, end):
        most = max(most, first_cell[v + 1] - first_cell[v])
        most_lines = max(most_lines, first_line[v + 1] - first_line[v])
    neighbours = np.empty(3 * most + most_lines, dtype=np.int32)
    gates, steps, back = np.empty(len(neighbours)), np.empty(len(neighbours)), np.empty(len(neighbours))
    edges, faces = np.empty((3 * most, 3)), np.empty((most, 6))
    edge_corners, face_corners = np.empty(3 * most, dtype=np.int32), np.empty(most, dtype=np.int32)
    known = np.full(1, -1, dtype=np.int32)
    start, n_steps, total = at, 0, 0.0
    for v in range(begin, end):
        first[v] = at
        size, n_edges, n_faces = 0, 0, 0
        for i in range(first_cell[v], first_cell[v + 1]):
            for corner in range(corners.shape[1]):
                size = _know(corners[cell_of[i], corner], v, size, place, neighbours, gates, steps, back)
        for i in range(first_line[v], first_line[v + 1]):
            size = _know(line_to[i], v, size, place, neighbours, gates, steps, back)
        if size > MOST_NEIGHBOURS:
            return v, 0, 0.0, 0
        if size * size > len(known):
            known = np.full(2 * size * size, -1, dtype=np.int32)
        for i in range(first_cell[v], first_cell[v + 1]):
            cell = cell_of[i]
            kind = np.int64(tissue[cell]) << _TISSUE_SHIFT
            a, b, c, aa, bb, cc, ab, ac, bc = _seen_from(v, cells, cell, place)
            narrow(solid, a, b, c, aa, bb, cc, ab, ac, bc, gates, steps, back)
            n_edges = _add_edge(a, b, kind, aa, bb, ab, size, known, edges, edge_corners, n_edges)
            if solid:
                n_edges = _add_edge(a, c, kind, aa, cc, ac, size, known, edges, edge_corners, n_edges)
                n_edges = _add_edge(b, c, kind, bb, cc, bc, size, known, edges, edge_corners, n_edges)
                # The first corner is that of the largest angle, where the inner products of the sides cancel least.
                ab2, ac2, bc2 = aa + bb - 2 * ab, aa + cc - 2 * ac, bb + cc - 2 * bc
                if ac2 >= ab2 and ac2 >= bc2:
                    a, b, c, aa, bb, cc, ab, ac, bc = b, c, a, bb, cc, aa, bc, ab, ac
                elif ab2 >= bc2:
                    a, b, c, aa, bb, cc, ab, ac, bc = c, a, b, cc, aa, bb, ac, bc, ab
                if _face(aa, bb, cc, ab, ac, bc, faces, n_faces):
                    face_corners[n_faces] = a | b << PLACE_BITS | c << 2 * PLACE_BITS | kind
                    n_faces += 1
        for i in range(first_line[v], first_line[v + 1]):
            x = place[line_to[i]]
            gates[x], steps[x] = min(gates[x], line_ms[i]), min(steps[x], line_ms[i])
            back[x] = -np.inf  # unknown: the way back has a time of its own
        for i in range(size):
            total += steps[i]
            place[neighbours[i]] = -1
        known[: size * size] = -1
        n_steps += size
        if size > 0:
            m, f = -(-n_edges // LANES) * LANES, -(-n_faces // LANES) * LANES
            words[at], words[at + 1], words[at + 2] = size, m, f
            at += HEADER
            for i in range(size):
                words[at + i], values[at + 2 * size + i] = neighbours[i], steps[i]
                values[at + size + i] = gates[i] - _SLACK * steps[i]
                values[at + 3 * size + i] = back[i] - _SLACK * steps[i]
            at += NEIGHBOUR_COLUMNS * size
            _solve_edges(edges, n_edges)
            _write(edges, edge_corners, n_edges, m, values, words, at)
            at += EDGE_COLUMNS * m
            _write(faces, face_corners, n_faces, f, values, words, at)
            at += FACE_COLUMNS * f
    return -1, n_steps, total, at - start


@njit(cache=True, nogil=True, error_model="numpy")
def _slow(cells: CellArrays, factors: Single, first: Long, values: Single) -> None:
    """Multiply the times in all records by their tissue's factor."""
    _, corners, _, tissue, first_cell, cell_of = cells
    solid = corners.shape[1] == 4
    words = values.view(np.int32)
    place = np.full(len(first), -1, dtype=np.int32)
    gates, steps, back = np.empty(MOST_NEIGHBOURS), np.empty(MOST_NEIGHBOURS), np.empty(MOST_NEIGHBOURS)
    for v in range(len(first) - 1):
        if first[v] == first[v + 1]:
            continue
        at = first[v]
        size, m, f = words[at], words[at + 1], words[at + 2]
        at += HEADER
        mixed = False
        for i in range(first_cell[v] + 1, first_cell[v + 1]):
            mixed |= tissue[cell_of[i]] != tissue[cell_of[first_cell[v]]]
        if mixed:
            gates[:size] = steps[:size] = back[:size] = np.inf
            for i in range(size):
                place[words[at + i]] = i
            for i in range(first_cell[v], first_cell[v + 1]):
                a, b, c, aa, bb, cc, ab, ac, bc = _seen_from(v, cells, cell_of[i], place)
                narrow(solid, a, b, c, aa, bb, cc, ab, ac, bc, gates, steps, back)
            for i in range(size):
                values[at + size + i], values[at + 2 * size + i] = gates[i] - _SLACK * steps[i], steps[i]
                values[at + 3 * size + i] = back[i] - _SLACK * steps[i]
        else:
            values[at + size : at + 4 * size] *= factors[tissue[cell_of[first_cell[v]]]]
        at += NEIGHBOUR_COLUMNS * size
        for i in range(m):
            values[at + m + i] *= factors[words[at + i] >> _TISSUE_SHIFT & 3] ** 2
        at += EDGE_COLUMNS * m
        for i in range(f):
            values[at + f + i] *= factors[words[at + i] >> _TISSUE_SHIFT & 3] ** 2


@njit(cache=True)
def _know(x: int, v: int, size: int, place: Int, neighbours: Int, gates: Float, steps: Float, back: Float) -> int:
    """Make x the next neighbour of v unless it is one; returns their number."""
    if x == v or place[x] >= 0:
        return size
    place[x] = size
    neighbours[size] = x
    gates[size] = steps[size] = back[size] = np.inf
    return size + 1


@njit(cache=True)
def _seen_from(
    v: int, cells: CellArrays, cell: int, place: Int
) -> tuple[int, int, int, float, float, float, float, float, float]:
    """The places a, b, c of the other corners of a cell at v, then aa, bb, cc, ab, ac, bc: of the steps to them from v.

    These are inner products in the cell's metric. Of a triangle, what has to do with c means nothing.
    """
    nodes, corners, metric, _, _, _ = cells
    last = corners.shape[1] - 1
    a, b, c = corners[cell, 0], corners[cell, 1], corners[cell, 2]
    if a == v:
        a = corners[cell, last]
    elif b == v:
        b = corners[cell, last]
    elif c == v:
        c = corners[cell, last]
    m = metric[cell]
    a0, a1, a2 = nodes[a, 0] - nodes[v, 0], nodes[a, 1] - nodes[v, 1], nodes[a, 2] - nodes[v, 2]
    b0, b1, b2 = nodes[b, 0] - nodes[v, 0], nodes[b, 1] - nodes[v, 1], nodes[b, 2] - nodes[v, 2]
    c0, c1, c2 = nodes[c, 0] - nodes[v, 0], nodes[c, 1] - nodes[v, 1], nodes[c, 2] - nodes[v, 2]
    p0, p1, p2 = m[0] * a0 + m[1] * a1 + m[2] * a2, m[1] * a0 + m[3] * a1 + m[4] * a2, m[2] * a0 + m[4] * a1 + m[5] * a2
    q0, q1, q2 = m[0] * b0 + m[1] * b1 + m[2] * b2, m[1] * b0 + m[3] * b1 + m[4] * b2, m[2] * b0 + m[4] * b1 + m[5] * b2
    r0, r1, r2 = m[0] * c0 + m[1] * c1 + m[2] * c2, m[1] * c0 + m[3] * c1 + m[4] * c2, m[2] * c0 + m[4] * c1 + m[5] * c2
    return (
        place[a],
        place[b],
        place[c],
        p0 * a0 + p1 * a1 + p2 * a2,
        q0 * b0 + q1 * b1 + q2 * b2,
        r0 * c0 + r1 * c1 + r2 * c2,
        p0 * b0 + p1 * b1 + p2 * b2,
        p0 * c0 + p1 * c1 + p2 * c2,
        q0 * c0 + q1 * c1 + q2 * c2,
    )


@njit(cache=True, error_model="numpy")
def _add_edge(
    a: int,
    b: int,
    kind: int,
    aa: float,
    bb: float,
    ab: float,
    size: int,
    known: Int,
    edges: Float,
    corners: Int,
    n: int,
) -> int:
    """Put aa, bb, ab of the edge (a, b) into the list unless one there is never later; returns the list's length.

    Only edges of one tissue are weighed against each other, so that the list stands when another becomes slower.

    The step to a point of the edge is a sum of the steps to its ends with weights >= 0, and its length is what counts.
    `known` holds for each pair the place of its latest in the list, or -1.
    """
    if a > b:
        a, b, aa, bb = b, a, bb, aa
    place = n
    old = known[a * size + b]
    if old >= 0 and np.int64(corners[old]) >> _TISSUE_SHIFT & 3 == kind >> _TISSUE_SHIFT:
        da, db, dab = aa - edges[old, 0], bb - edges[old, 1], ab - edges[old, 2]
        if da >= 0 and db >= 0 and (dab >= 0 or dab * dab <= da * db):
            return n
        if da <= 0 and db <= 0 and (dab <= 0 or dab * dab <= da * db):
            place = old
    known[a * size + b] = place
    corners[place] = a | b << PLACE_BITS | kind
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
