"""When excitation reaches each node of a mesh: the anisotropic eikonal equation on tetrahedra.

The arrival time T obeys  grad(T) . D grad(T) = 1.  On a mesh it is the fixed point of: the time at node w is the least,
over all simplices at w and all points y of the face opposite, of T(y), linear on the face, plus the length of w - y in the
metric inv(D) of that simplex [doi:10.1137/120881956]. Nodes are taken in the order of their times from a heap, and each
tells its neighbours. In anisotropic tissue most tetrahedra are obtuse, so that order alone is not causal: a node whose
time falls later is taken again (label correcting), until nothing changes. That is the fixed point, not an estimate of it.
It lies behind the exact solution by the error of the linear interpolation, about 3 % at 0.5 mm on a slab of 20 mm.

Units: mm, ms, and so mm/ms = m/s.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from anatomy.arrays import Bool, Float, Int, frozen
from anatomy.heart import Heart, Tissue
from twin.conduction import Conduction, metric_of_axes, metric_tensors
from twin.eikonal_graph import Star, fast_triangles, star_of_tets, star_of_triangles

# A time must fall by this share to count as changed. It ends the ever smaller corrections that go round among obtuse
# tetrahedra, and is far above the rounding of float64 and far below any time that matters.
_LEAST_GAIN = 1e-12
# Nodes retaken this often, in long lines of obtuse tetrahedra, wait until the heap is empty: their ever smaller
# corrections then go through the mesh as one front. Without this rule an aligned mesh askew to its fibres took more than
# eight times as long; with a much smaller number a real heart takes longer, as all that lies beyond is done once more.
# On irregular meshes 16 to 64 are alike.
_RETAKES = 32
# A triangle whose squared area is this share of its sides' product is a line: its inner products have cancelled.
_LINE = 1e-12


class Eikonal:
    """Arrival times on one heart, from any source; prepared once, solved often.

    Core does not conduct: it is left out, and blocks. The fast endocardium is part of the same fixed point.

    Args:
        heart: the mesh with its tissue and fibres.
        conduction: the speeds.
    """

    def __init__(self, heart: Heart, conduction: Conduction) -> None:
        alive = heart.tissue != Tissue.CORE
        metric = metric_tensors(heart, conduction)[alive]
        self._star = star_of_tets(heart.nodes_mm, heart.tets[alive], metric)
        self._layer = star_of_triangles(heart.nodes_mm, *fast_triangles(heart, conduction))

    def with_fast_endocardium(self, heart: Heart, conduction: Conduction) -> "Eikonal":
        """The same myocardium under another fast endocardium; what is costly to prepare is shared.

        Args:
            heart: the one this solver was prepared for.
            conduction: of it only the fast endocardium is taken.
        """
        solver = type(self).__new__(type(self))
        solver._star = self._star
        solver._layer = star_of_triangles(heart.nodes_mm, *fast_triangles(heart, conduction))
        return solver

    @classmethod
    def from_arrays(
        cls,
        nodes_mm: ArrayLike,
        tets: ArrayLike,
        fibres: ArrayLike,
        sheets: ArrayLike | None = None,
        *,
        speeds_m_per_s: Sequence[float],
    ) -> "Eikonal":
        """A solver for any tetrahedra, without scar or fast endocardium.

        Args:
            nodes_mm: (n, 3) nodes.
            tets: (m, 4) node numbers, in any orientation.
            fibres: (m, 3) unit vectors; the sign has no meaning.
            sheets: (m, 3) unit vectors at right angles to the fibres; needed where three speeds are given.
            speeds_m_per_s: along fibre and across it, or along fibre, sheet and normal.

        Raises:
            ValueError: if shapes differ, node numbers are out of range, vectors are not of unit length or not at right
                angles, a speed is not positive and finite, or three speeds come without sheets.
        """
        x = frozen(nodes_mm, np.float64, name="nodes_mm", shape=(None, 3))
        cells = frozen(tets, np.int32, name="tets", shape=(None, 4))
        axes = frozen(fibres, np.float64, name="fibres", shape=(len(cells), 3))
        across = None if sheets is None else frozen(sheets, np.float64, name="sheets", shape=(len(cells), 3))
        speeds = [float(speed) for speed in speeds_m_per_s]
        _check_tets(cells, len(x))
        _check_axes(axes, across)
        _check_speeds(speeds, across)
        solver = cls.__new__(cls)
        solver._star = star_of_tets(x, cells, metric_of_axes(axes, across, speeds))
        solver._layer = star_of_triangles(x, np.empty((0, 3), dtype=np.int32), np.empty(0))
        return solver

    @property
    def conducting(self) -> Bool:
        """(n,) true at nodes that at least one conducting tetrahedron touches; the others are never reached."""
        conducting: Bool = np.diff(self._star.first) > 0
        return conducting

    def solve(self, nodes: ArrayLike, start_ms: ArrayLike | None = None) -> Float:
        """Arrival times of one activation from one or several sources.

        Args:
            nodes: source node, or (s,) source nodes. A source in tissue that does not conduct never starts.
            start_ms: when each starts, one number or (s,); 0 if not given. A source reached earlier than it starts
                takes the earlier time.

        Returns:
            (n,) float64; `inf` where nothing arrives.

        Raises:
            ValueError: if a node number is out of range, no source is given, or a start is not finite.
        """
        sources = self._sources(nodes)
        starts = np.zeros(len(sources)) if start_ms is None else np.asarray(start_ms, dtype=np.float64)
        if starts.ndim == 0:
            starts = np.full(len(sources), float(starts))
        starts = frozen(starts, np.float64, name="start_ms", shape=(len(sources),))
        # The kernel counts from the first start, so that its times are never negative.
        zero = float(starts.min())
        times = _arrivals(*_arrays(self._star), *_arrays(self._layer), sources, starts - zero)
        arrivals: Float = times + zero
        return arrivals

    def solve_each(
        self, nodes: ArrayLike, threads: int | None = None, progress: Callable[[int, int], None] | None = None
    ) -> NDArray[np.float32]:
        """Arrival times from each of several sources by itself, all starting at 0.

        Args:
            nodes: (s,) source nodes.
            threads: how many to use; all cores if not given. The result does not depend on it.
            progress: called as progress(done, s) after each source.

        Returns:
            (s, n) float32, one row per source; `inf` where nothing arrives.

        Raises:
            ValueError: if a node number is out of range, no source is given, or threads < 1.
        """
        sources = self._sources(nodes)
        if threads is not None and threads < 1:
            raise ValueError(f"threads = {threads}, need at least 1")
        rows = np.empty((len(sources), len(self._star.first) - 1), dtype=np.float32)
        graph = (*_arrays(self._star), *_arrays(self._layer))

        def fill(row: int) -> None:
            rows[row] = _arrivals(*graph, sources[row : row + 1], np.zeros(1))

        with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
            for done, future in enumerate(as_completed([pool.submit(fill, row) for row in range(len(sources))]), 1):
                future.result()
                if progress is not None:
                    progress(done, len(sources))
        return rows

    def _sources(self, nodes: ArrayLike) -> Int:
        numbers = np.atleast_1d(np.asarray(nodes))
        if numbers.ndim != 1 or numbers.size == 0 or not np.issubdtype(numbers.dtype, np.integer):
            raise ValueError(f"sources must be one or more node numbers, got {numbers.dtype} of shape {numbers.shape}")
        n = len(self._star.first) - 1
        bad = np.flatnonzero((numbers < 0) | (numbers >= n))
        if bad.size:
            raise ValueError(
                f"source {bad[0]} is node {numbers[bad[0]]}, outside 0..{n - 1} ({bad.size} of {numbers.size} are). "
                "Files that count from 1 need `nodes - 1`."
            )
        return frozen(numbers, np.int32, name="nodes", shape=(None,))


def _check_tets(tets: Int, n: int) -> None:
    bad = np.flatnonzero(((tets < 0) | (tets >= n)).any(axis=1))
    if bad.size:
        raise ValueError(
            f"tets[{bad[0]}] = {tets[bad[0]].tolist()} names a node outside 0..{n - 1} "
            f"({bad.size} of {len(tets)} do). Files that count from 1 need `tets - 1`."
        )


def _check_axes(fibres: Float, sheets: Float | None) -> None:
    for name, vectors in (("fibres", fibres), ("sheets", sheets)):
        if vectors is None:
            continue
        lengths = np.linalg.norm(vectors, axis=1)
        bad = np.flatnonzero(np.abs(lengths - 1) > 1e-3)
        if bad.size:
            raise ValueError(
                f"{name}[{bad[0]}] has length {lengths[bad[0]]:.4g}, need 1 ({bad.size} of {len(vectors)} vectors). "
                "Divide the vectors by their lengths."
            )
    if sheets is not None:
        slant = np.abs(np.einsum("ni,ni->n", fibres, sheets))
        bad = np.flatnonzero(slant > 1e-3)
        if bad.size:
            raise ValueError(
                f"sheets[{bad[0]}] is not at right angles to its fibre (cosine {slant[bad[0]]:.3g}; {bad.size} of "
                f"{len(sheets)} are not). Subtract each sheet's part along the fibre."
            )


def _check_speeds(speeds: list[float], sheets: Float | None) -> None:
    if len(speeds) not in (2, 3):
        raise ValueError(f"speeds_m_per_s has {len(speeds)} speeds, need 2 (fibre, cross) or 3 (fibre, sheet, normal)")
    if not all(0 < speed < np.inf for speed in speeds):
        raise ValueError(f"speeds_m_per_s = {speeds}, need positive, finite speeds")
    if len(speeds) == 3 and sheets is None:
        raise ValueError("three speeds need `sheets`; give them, or two speeds for tissue without sheets")


def _arrays(star: Star) -> tuple[Any, Any, Any]:
    return star.first, star.others, star.shape


@njit(cache=True, nogil=True, error_model="numpy")
def _arrivals(
    first: Int,
    others: Int,
    shape: Float,
    layer_first: Int,
    layer_others: Int,
    layer_shape: Float,
    sources: Int,
    starts: Float,
) -> Float:
    """(n,) arrival times; all starts >= 0. Trusts its inputs.

    A node is settled while it has a time and is not in the heap. When v is taken from the queue, its simplices are tried with
    those of their other nodes that are settled; one that is in the heap tries them again when its turn comes, as does one
    that waits for the next round.
    Inside, times count from that of v, which keeps the differences exact; a node that is not settled counts as `inf`.
    """
    n = len(first) - 1
    times = np.full(n, np.inf)
    settled = np.zeros(n, dtype=np.bool_)
    heap = np.empty(n, dtype=np.int32)
    place = np.full(n, -1, dtype=np.int32)
    retaken = np.zeros(n, dtype=np.int32)
    waiting = np.empty(n, dtype=np.int32)
    waits = np.zeros(n, dtype=np.bool_)
    size, n_waiting = 0, 0
    for i in range(len(sources)):
        v = sources[i]
        if first[v] < first[v + 1] and starts[i] < times[v]:
            times[v] = starts[i]
            size = _queue(v, times, heap, place, size)
    while size > 0:
        v = heap[0]
        size = _unqueue_first(times, heap, place, size)
        settled[v] = True
        retaken[v] += 1
        now = times[v]
        for i in range(first[v], first[v + 1]):
            a, b, c = others[i, 0], others[i, 1], others[i, 2]
            aa, bb, cc = shape[i, 0], shape[i, 1], shape[i, 2]
            ab, ac, bc, det = shape[i, 3], shape[i, 4], shape[i, 5], shape[i, 6]
            for _ in range(3):
                # a is the node to be told; then the three change places.
                p = times[b] - now if settled[b] else np.inf
                q = times[c] - now if settled[c] else np.inf
                t = now + _across_tet(times[a] - now, p, q, aa, bb, cc, ab, ac, bc, det)
                if t < times[a] * (1 - _LEAST_GAIN):
                    times[a] = t
                    if retaken[a] < _RETAKES:
                        settled[a] = False
                        size = _queue(a, times, heap, place, size)
                    elif not waits[a]:
                        waits[a] = True
                        waiting[n_waiting] = a
                        n_waiting += 1
                a, b, c = b, c, a
                aa, bb, cc = bb, cc, aa
                ab, bc, ac = bc, ac, ab
        for i in range(layer_first[v], layer_first[v + 1]):
            a, b = layer_others[i, 0], layer_others[i, 1]
            aa, bb, ab = layer_shape[i, 0], layer_shape[i, 1], layer_shape[i, 2]
            for _ in range(2):
                p = times[b] - now if settled[b] else np.inf
                t = now + min(np.sqrt(aa), _across_triangle(p, aa, bb, ab))
                if t < times[a] * (1 - _LEAST_GAIN):
                    times[a] = t
                    if retaken[a] < _RETAKES:
                        settled[a] = False
                        size = _queue(a, times, heap, place, size)
                    elif not waits[a]:
                        waits[a] = True
                        waiting[n_waiting] = a
                        n_waiting += 1
                a, b = b, a
                aa, bb = bb, aa
        if size == 0 and n_waiting > 0:
            retaken[:] = 0
            for i in range(n_waiting):
                v = waiting[i]
                waits[v] = False
                settled[v] = False
                size = _queue(v, times, heap, place, size)
            n_waiting = 0
    return times


@njit(cache=True, nogil=True, error_model="numpy")
def _across_tet(
    w: float, p: float, q: float, ww: float, pp: float, qq: float, wp: float, wq: float, pq: float, det: float
) -> float:
    """The least time at w through the face (v, p, q) of a tetrahedron, v at time 0; `inf` if it cannot be below `w`.

    T is convex in the point y of the face. So its least value over the plane, if it lies inside the face, is the answer;
    if it lies beyond some edges, the answer is on one of those. The edge (p, q) alone was tried when the later of the two
    was taken from the queue.

    Args:
        w: the time so far at w.
        p: time at p, `inf` if not settled.
        q: likewise.
        ww: inner product of the edge from v to w with itself; the others likewise.
        pp: of p.
        qq: of q.
        wp: of w and p.
        wq: of w and q.
        pq: of p and q.
        det: determinant of these inner products.
    """
    # An edge shortens the way to a node as early as v only if w sees v and its other end at an obtuse angle.
    if w <= 0 and (min(p, q) >= w or not ((p < np.inf and wp > ww) or (q < np.inf and wq > ww))):
        return np.inf
    best: float = np.sqrt(ww) if w > 0 and w * w > ww else np.inf
    try_p, try_q = p < np.inf, q < np.inf
    area = pp * qq - pq * pq
    if try_p and try_q and area > _LINE * pp * qq:
        # slope: the in-plane gradient of T; room = area (1 - its square); foot: that of the perpendicular from w. All
        # are barycentric and times the squared area.
        slope_p, slope_q = qq * p - pq * q, pp * q - pq * p
        room = area - slope_p * p - slope_q * q
        if room > 0:
            foot_p, foot_q = qq * wp - pq * wq, pp * wq - pq * wp
            reach = np.sqrt(det / room)
            weight_p, weight_q = foot_p - reach * slope_p, foot_q - reach * slope_q
            if weight_p >= 0 and weight_q >= 0 and weight_p + weight_q <= area:
                inside: float = (foot_p * p + foot_q * q + reach * room) / area
                return min(best, inside)
            try_p, try_q = weight_q < 0, weight_p < 0
    if try_p:
        best = min(best, _across_triangle(p, ww, pp, wp))
    if try_q:
        best = min(best, _across_triangle(q, ww, qq, wq))
    return best


@njit(cache=True, nogil=True, error_model="numpy")
def _across_triangle(p: float, ww: float, pp: float, wp: float) -> float:
    """The least time at w through the inside of the edge (v, p), v at time 0; `inf` if an end of the edge is better."""
    room = pp - p * p
    if room > 0:
        reach = np.sqrt(max(ww * pp - wp * wp, 0.0) / room)
        weight = wp - reach * p
        if 0 <= weight <= pp:
            inside: float = (wp * p + reach * room) / pp
            return inside
    return np.inf


@njit(cache=True, nogil=True)
def _queue(v: int, times: Float, heap: Int, place: Int, size: int) -> int:
    """Put v into the four-way heap, or move it up after its time fell; returns the size."""
    i = place[v]
    if i < 0:
        i = size
        size += 1
    while i > 0:
        above = (i - 1) // 4
        if times[heap[above]] <= times[v]:
            break
        heap[i] = heap[above]
        place[heap[i]] = i
        i = above
    heap[i] = v
    place[v] = i
    return size


@njit(cache=True, nogil=True)
def _unqueue_first(times: Float, heap: Int, place: Int, size: int) -> int:
    """Take the earliest node out of the heap; returns the size."""
    place[heap[0]] = -1
    size -= 1
    if size == 0:
        return size
    v = heap[size]
    i = 0
    while 4 * i + 1 < size:
        least = 4 * i + 1
        for below in range(least + 1, min(4 * i + 5, size)):
            if times[heap[below]] < times[heap[least]]:
                least = below
        if times[heap[least]] >= times[v]:
            break
        heap[i] = heap[least]
        place[heap[i]] = i
        i = least
    heap[i] = v
    place[v] = i
    return size
