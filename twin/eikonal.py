"""When excitation reaches each node of a mesh: the anisotropic eikonal equation on tetrahedra.

The arrival time T obeys  grad(T) . D grad(T) = 1.  On a mesh it is the fixed point of: the time at node w is the least,
over all simplices at w and all points y of the face opposite, of T(y), linear on the face, plus the length of w - y in the
metric inv(D) of that simplex [doi:10.1137/120881956]. `twin.eikonal_star` holds what a node must know for that, and
`twin.eikonal_front` finds the fixed point. It lies behind the exact solution by the error of the linear interpolation, about
3 % at 0.5 mm on a slab of 20 mm. Times are counted in float32 from the first start: to about 1e-6 of the latest one.

Inside, nodes are numbered along a curve that keeps neighbours close, so that a front stays within a small part of memory.

Units: mm, ms, and so mm/ms = m/s.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anatomy.arrays import Bool, Float, Int, frozen
from anatomy.checks import check_node_numbers, check_unit_vectors
from anatomy.heart import Heart, Tissue
from twin.conduction import Conduction, metric_of_axes, metric_tensors
from twin.eikonal_front import arrivals_ms
from twin.eikonal_star import Single, Star, star_of_cells
from twin.fast_endocardium import fast_triangles

# Starts further apart would leave too few digits of float32 for the travel times.
_MOST_DELAY_MS = 1e5


class Eikonal:
    """Arrival times on one heart, from any source; prepared once, solved often.

    Core does not conduct: it is left out, and blocks. The fast endocardium is part of the same fixed point.

    Args:
        heart: the mesh with its tissue and fibres.
        conduction: the speeds.

    Raises:
        ValueError: if a node has more than 1023 neighbours.
    """

    def __init__(self, heart: Heart, conduction: Conduction) -> None:
        alive = heart.tissue != Tissue.CORE
        self._set_muscle(heart.nodes_mm, heart.tets[alive], metric_tensors(heart, conduction)[alive])
        self._set_layer(heart.nodes_mm, *fast_triangles(heart, conduction))

    def with_fast_endocardium(self, heart: Heart, conduction: Conduction) -> "Eikonal":
        """The same myocardium under another fast endocardium; what is costly to prepare is shared.

        Args:
            heart: the one this solver was prepared for.
            conduction: of it only the fast endocardium is taken.
        """
        solver = type(self).__new__(type(self))
        solver._order, solver._number, solver._star = self._order, self._number, self._star
        solver._set_layer(heart.nodes_mm, *fast_triangles(heart, conduction))
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
                angles, a speed is not positive and finite, three speeds come without sheets, or a node has more than 1023
                neighbours.
        """
        x = frozen(nodes_mm, np.float64, name="nodes_mm", shape=(None, 3))
        cells = frozen(tets, np.int32, name="tets", shape=(None, 4))
        axes = frozen(fibres, np.float64, name="fibres", shape=(len(cells), 3))
        across = None if sheets is None else frozen(sheets, np.float64, name="sheets", shape=(len(cells), 3))
        speeds = [float(speed) for speed in speeds_m_per_s]
        check_node_numbers("tets", cells, len(x))
        _check_axes(axes, across)
        _check_speeds(speeds, across)
        solver = cls.__new__(cls)
        solver._set_muscle(x, cells, metric_of_axes(axes, across, speeds))
        solver._set_layer(x, np.empty((0, 3), dtype=np.int32), np.empty(0))
        return solver

    def _set_muscle(self, nodes_mm: Float, tets: Int, metric: Float) -> None:
        self._order = _order_along_a_curve(nodes_mm)
        self._number = np.empty(len(nodes_mm), dtype=np.int32)
        self._number[self._order] = np.arange(len(nodes_mm), dtype=np.int32)
        self._star: Star = star_of_cells(nodes_mm[self._order], self._number[tets], metric)

    def _set_layer(self, nodes_mm: Float, triangles: Int, speeds_m_per_s: Float) -> None:
        metric = np.eye(3) / speeds_m_per_s[:, None, None] ** 2
        self._layer: Star = star_of_cells(nodes_mm[self._order], self._number[triangles], metric)

    @property
    def conducting(self) -> Bool:
        """(n,) true at nodes that at least one conducting tetrahedron touches; the others are never reached."""
        conducting: Bool = (np.diff(self._star.first) > 0)[self._number]
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
            ValueError: if a node number is out of range, no source is given, a start is not finite, or one is more than
                100 s after the first.
        """
        sources = self._sources(nodes)
        starts = np.zeros(len(sources)) if start_ms is None else np.asarray(start_ms, dtype=np.float64)
        if starts.ndim == 0:
            starts = np.full(len(sources), float(starts))
        starts = frozen(starts, np.float64, name="start_ms", shape=(len(sources),))
        # Counting from the first that does start leaves float32 the most digits.
        heard = self.conducting[sources]
        zero = float(starts[heard].min(initial=np.inf))
        if not heard.any():
            return np.full(len(self._number), np.inf)
        late = starts - zero
        bad = np.flatnonzero(late > _MOST_DELAY_MS)
        if bad.size:
            raise ValueError(
                f"source {bad[0]} starts {late[bad[0]]:g} ms after the first, need at most {_MOST_DELAY_MS:g} ms "
                f"({bad.size} of {len(starts)} do). Leave out sources that are to play no part."
            )
        arrivals: Float = self._arrivals(sources[heard], late[heard]).astype(np.float64) + zero
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
        rows = np.empty((len(sources), len(self._number)), dtype=np.float32)

        def fill(row: int) -> None:
            rows[row] = self._arrivals(sources[row : row + 1], np.zeros(1))

        with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
            for done, future in enumerate(as_completed([pool.submit(fill, row) for row in range(len(sources))]), 1):
                future.result()
                if progress is not None:
                    progress(done, len(sources))
        return rows

    def _arrivals(self, sources: Int, starts_ms: Float) -> Single:
        return arrivals_ms(self._star, self._layer, self._number[sources], starts_ms.astype(np.float32))[self._number]

    def _sources(self, nodes: ArrayLike) -> Int:
        numbers = np.atleast_1d(np.asarray(nodes))
        if numbers.ndim != 1 or numbers.size == 0 or not np.issubdtype(numbers.dtype, np.integer):
            raise ValueError(f"sources must be one or more node numbers, got {numbers.dtype} of shape {numbers.shape}")
        n = len(self._number)
        bad = np.flatnonzero((numbers < 0) | (numbers >= n))
        if bad.size:
            raise ValueError(
                f"source {bad[0]} is node {numbers[bad[0]]}, outside 0..{n - 1} ({bad.size} of {numbers.size} are). "
                "Files that count from 1 need `nodes - 1`."
            )
        return frozen(numbers, np.int32, name="nodes", shape=(None,))


def _order_along_a_curve(nodes_mm: Float) -> NDArray[np.intp]:
    """The nodes along a Morton curve: by the bits of their places on a grid of 1024 cells a side, the axes taking turns."""
    low = nodes_mm.min(axis=0, initial=np.inf)
    size = max(float((nodes_mm - low).max(initial=0.0)), np.finfo(float).tiny)
    places = ((nodes_mm - low) * (1023 / size)).astype(np.uint32)
    key = np.zeros(len(nodes_mm), dtype=np.uint32)
    for bit in range(10):
        for axis in range(3):
            key |= (places[:, axis] >> bit & 1) << (3 * bit + axis)
    return np.argsort(key, kind="stable")


def _check_axes(fibres: Float, sheets: Float | None) -> None:
    check_unit_vectors("fibres", fibres)
    if sheets is not None:
        check_unit_vectors("sheets", sheets)
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
