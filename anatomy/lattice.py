"""Tetrahedra that fill the inside of a level set: isosurface stuffing.

A body-centred cubic lattice covers the shape. Lattice points that lie close to the surface move onto it; the tetrahedra
that the surface still cuts are clipped, and what lies inside is kept. Warping first is what keeps slivers out.

Source: Labelle & Shewchuk 2007, doi:10.1145/1276377.1276448 (uniform version, their warping thresholds). Deviation: the
diagonal of a clipped quadrilateral starts at its smallest node number, all that is needed for two neighbours to agree;
their proven bounds of the angles use another rule, so here the angles (10 to 157 degrees on a real heart) are
observed, not proven.

Units: mm.
"""

from collections.abc import Callable

import numpy as np
from numba import njit
from numpy.typing import NDArray

from anatomy.arrays import Float, Int
from anatomy.manifold import make_manifold

# A lattice edge is 1 cell long or sqrt(3)/2; over the edges of a tetrahedron the mean is 0.911 cells.
CELL_PER_EDGE = 1.098
_WARP_LONG = 0.24999
_WARP_SHORT = 0.41189
_MAX_POINTS = 60_000_000

LevelSet = Callable[[Float], Float]


def stuff_lattice(level_set: LevelSet, low_mm: Float, high_mm: Float, edge_mm: float) -> tuple[Float, Int]:
    """Fill the region where `level_set` is negative with tetrahedra.

    Args:
        level_set: maps (k, 3) points to (k,) values, negative inside, about the distance near the surface.
        low_mm: (3,) lower corner of a box; the level set must be positive on and beyond its sides.
        high_mm: (3,) upper corner.
        edge_mm: mean edge length of the tetrahedra.

    Returns:
        (n, 3) nodes and (m, 4) int32 tetrahedra of positive volume: one face-connected piece, whose boundary is a
        closed surface without pinches. Smaller pieces are dropped.

    Raises:
        ValueError: where nothing lies inside, or the lattice would be too large for memory.
    """
    if not 0 < edge_mm < np.inf:
        raise ValueError(f"edge_mm must be > 0, got {edge_mm}")
    cell = CELL_PER_EDGE * edge_mm
    low = np.asarray(low_mm, dtype=np.float64) - cell
    cells = np.ceil((np.asarray(high_mm) + cell - low) / cell).astype(np.int64)
    if 2 * np.prod(cells + 1.0) > _MAX_POINTS:
        raise ValueError(
            f"edges of {edge_mm:g} mm need a lattice of {2 * np.prod(cells + 1.0):.2g} points: use longer edges"
        )
    points = _lattice_points(low, cells, cell)
    values = np.ascontiguousarray(level_set(points), dtype=np.float64)
    if not (values < 0).any():
        raise ValueError(
            "nothing lies inside the level set, or it is thinner than an edge: check the labels, or use shorter edges"
        )
    _warp(points, values, cells, _WARP_LONG, _WARP_SHORT)
    kept = np.empty((_lattice_tets(values, cells, np.empty((0, 4), dtype=np.int32)), 4), dtype=np.int32)
    _lattice_tets(values, cells, kept)
    keys = np.empty((3 * len(kept), 4), dtype=np.int64)
    keys = keys[: clip_tets(kept, values, keys)]
    return make_manifold(*numbered(keys, points, values))


def _lattice_points(low: Float, cells: NDArray[np.int64], cell: float) -> Float:
    """Cell corners, then cell centres, the last index fastest."""
    blocks = []
    for shift, counts in ((0.0, cells + 1), (0.5, cells)):
        axes = [low[k] + cell * (np.arange(counts[k]) + shift) for k in range(3)]
        blocks.append(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3))
    return np.concatenate(blocks)


def numbered(keys: NDArray[np.int64], points: Float, values: Float) -> tuple[Float, Int]:
    """Node numbers for keys: a key below the number of lattice points is that point, one above it a cut of two."""
    n = len(points)
    is_cut = keys >= n
    used, lattice = np.unique(keys[~is_cut], return_inverse=True)
    cuts, cut = np.unique(keys[is_cut], return_inverse=True)
    i, j = (cuts - n) // n, (cuts - n) % n
    t = (values[i] / (values[i] - values[j]))[:, None]
    nodes = np.concatenate([points[used], (1 - t) * points[i] + t * points[j]])
    tets = np.empty(keys.shape, dtype=np.int32)
    tets[~is_cut] = lattice
    tets[is_cut] = len(used) + cut
    a, b, c, d = (nodes[tets[:, k]] for k in range(4))
    inverted = np.einsum("ij,ij->i", np.cross(b - a, c - a), d - a) < 0
    tets[inverted, :2] = tets[inverted, 1::-1]
    return nodes, tets


@njit(cache=True)
def _warp(points: Float, values: Float, cells: Int, long_share: float, short_share: float) -> None:
    """Move each point with a cut close by onto the closest one; one after the other, so a cut moves one point only."""
    nx, ny, nz = cells[0], cells[1], cells[2]
    corners = (nx + 1) * (ny + 1) * (nz + 1)
    for centre in range(2):
        sx, sy, sz = nx + 1 - centre, ny + 1 - centre, nz + 1 - centre
        ox, oy, oz = nx + centre, ny + centre, nz + centre
        base, other_base = centre * corners, (1 - centre) * corners
        for x in range(sx):
            for y in range(sy):
                for z in range(sz):
                    i = base + (x * sy + y) * sz + z
                    v = values[i]
                    if v == 0.0:
                        continue
                    best, best_j, best_length = 2.0, -1, 1.0
                    for d in range(6):
                        x2 = x + (d == 0) - (d == 1)
                        y2 = y + (d == 2) - (d == 3)
                        z2 = z + (d == 4) - (d == 5)
                        if 0 <= x2 < sx and 0 <= y2 < sy and 0 <= z2 < sz:
                            j = base + (x2 * sy + y2) * sz + z2
                            if v * values[j] < 0.0:
                                t = v / (v - values[j])
                                if t < long_share and t < best:
                                    best, best_j, best_length = t, j, 1.0
                    for d in range(8):
                        x2 = x + (d & 1) - 1 + centre
                        y2 = y + ((d >> 1) & 1) - 1 + centre
                        z2 = z + ((d >> 2) & 1) - 1 + centre
                        if 0 <= x2 < ox and 0 <= y2 < oy and 0 <= z2 < oz:
                            j = other_base + (x2 * oy + y2) * oz + z2
                            if v * values[j] < 0.0:
                                t = v / (v - values[j])
                                if t < short_share and t * 0.8660254037844386 < best * best_length:
                                    best, best_j, best_length = t, j, 0.8660254037844386
                    if best_j >= 0:
                        for k in range(3):
                            points[i, k] += best * (points[best_j, k] - points[i, k])
                        values[i] = 0.0


@njit(cache=True)
def _lattice_tets(values: Float, cells: Int, out: Int) -> int:
    """Fill `out` (or only count, where it is empty) with the lattice tetrahedra that have a corner inside."""
    size = (cells[0], cells[1], cells[2])
    step = ((cells[1] + 1) * (cells[2] + 1), cells[2] + 1, 1)
    corners = (cells[0] + 1) * (cells[1] + 1) * (cells[2] + 1)
    count = 0
    at = np.zeros(3, dtype=np.int64)
    ring = np.empty(4, dtype=np.int64)
    for d in range(3):
        e, f = (d + 1) % 3, (d + 2) % 3
        for x in range(size[0]):
            for y in range(size[1]):
                for z in range(size[2]):
                    at[0], at[1], at[2] = x, y, z
                    if at[d] + 1 >= size[d]:
                        continue
                    c0 = corners + (x * size[1] + y) * size[2] + z
                    at[d] += 1
                    c1 = corners + (at[0] * size[1] + at[1]) * size[2] + at[2]
                    ring[0] = at[0] * step[0] + at[1] * step[1] + at[2] * step[2]
                    ring[1] = ring[0] + step[e]
                    ring[2] = ring[1] + step[f]
                    ring[3] = ring[0] + step[f]
                    inside = values[c0] < 0.0 or values[c1] < 0.0
                    for k in range(4):
                        r0, r1 = ring[k], ring[(k + 1) % 4]
                        if inside or values[r0] < 0.0 or values[r1] < 0.0:
                            if len(out):
                                out[count, 0], out[count, 1], out[count, 2], out[count, 3] = c0, c1, r0, r1
                            count += 1
    return count


@njit(cache=True)
def clip_tets(tets: Int, values: Float, out: NDArray[np.int64]) -> int:
    """Fill `out` with what lies inside of each tetrahedron; corners are lattice points i or cuts n + i n + j, i < j."""
    n = len(values)
    count = 0
    inner = np.empty(4, dtype=np.int64)
    on = np.empty(4, dtype=np.int64)
    outer = np.empty(4, dtype=np.int64)
    wedge = np.empty(6, dtype=np.int64)
    for i in range(len(tets)):
        a = b = c = 0
        for k in range(4):
            p = tets[i, k]
            if values[p] < 0.0:
                inner[a] = p
                a += 1
            elif values[p] > 0.0:
                outer[c] = p
                c += 1
            else:
                on[b] = p
                b += 1
        if c == 0:
            for k in range(4):
                out[count, k] = tets[i, k]
            count += 1
        elif a == 1:
            out[count, 0] = inner[0]
            for k in range(b):
                out[count, 1 + k] = on[k]
            for k in range(c):
                out[count, 1 + b + k] = _cut(inner[0], outer[k], n)
            count += 1
        elif b == 1:
            # A pyramid on the quadrilateral of two inner points and their two cuts.
            low, high = min(inner[0], inner[1]), max(inner[0], inner[1])
            cut_low, cut_high = _cut(low, outer[0], n), _cut(high, outer[0], n)
            out[count, 0], out[count, 1], out[count, 2], out[count, 3] = on[0], low, high, cut_high
            out[count + 1, 0], out[count + 1, 1], out[count + 1, 2], out[count + 1, 3] = on[0], low, cut_high, cut_low
            count += 2
        else:
            if a == 3:
                for k in range(3):
                    wedge[k] = inner[k]
                    wedge[3 + k] = _cut(inner[k], outer[0], n)
            else:
                for k in range(2):
                    wedge[3 * k] = inner[k]
                    wedge[3 * k + 1] = _cut(inner[k], outer[0], n)
                    wedge[3 * k + 2] = _cut(inner[k], outer[1], n)
            _split_wedge(wedge, out, count)
            count += 3
    return count


@njit(cache=True)
def _cut(inside: int, outside: int, n: int) -> int:
    return n + min(inside, outside) * n + max(inside, outside)


@njit(cache=True)
def _split_wedge(w: NDArray[np.int64], out: NDArray[np.int64], row: int) -> None:
    """Three tetrahedra of the wedge 0 1 2 - 3 4 5; each side's diagonal starts at its smallest node."""
    first = 0
    for k in range(1, 6):
        if w[k] < w[first]:
            first = k
    flip = 3 if first >= 3 else 0
    k = first % 3
    v0, v1, v2 = w[flip + k], w[flip + (k + 1) % 3], w[flip + (k + 2) % 3]
    v3, v4, v5 = w[3 - flip + k], w[3 - flip + (k + 1) % 3], w[3 - flip + (k + 2) % 3]
    out[row, 0], out[row, 1], out[row, 2], out[row, 3] = v0, v3, v4, v5
    if min(v1, v5) < min(v2, v4):
        out[row + 1, 0], out[row + 1, 1], out[row + 1, 2], out[row + 1, 3] = v0, v1, v2, v5
        out[row + 2, 0], out[row + 2, 1], out[row + 2, 2], out[row + 2, 3] = v0, v1, v5, v4
    else:
        out[row + 1, 0], out[row + 1, 1], out[row + 1, 2], out[row + 1, 3] = v0, v1, v2, v4
        out[row + 2, 0], out[row + 2, 1], out[row + 2, 2], out[row + 2, 3] = v0, v2, v4, v5
