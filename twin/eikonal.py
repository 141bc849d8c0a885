"""When excitation reaches each node of a mesh: the anisotropic eikonal equation on tetrahedra.

The arrival time T obeys  grad(T) . D grad(T) = 1.  On a mesh it is the fixed point of: the time at node w is the least,
over all simplices at w and all points y of the face opposite, of T(y), linear on the face, plus the length of w - y in the
metric inv(D) of that simplex [doi:10.1137/120881956]. `twin.eikonal_star` holds what a node must know for that,
`twin.eikonal_front` finds the fixed point, `twin.eikonal_ball` gives the nodes near a source their times, and
`twin.eikonal_paths` tells how the times change with starts and speeds. The solution lies behind the exact one by the error of
the linear interpolation, about 2 % at 0.5 mm on a slab of 20 mm. Times are counted in float32 from the first start: to about
1e-6 of the latest one.

Inside, nodes are numbered along a curve that keeps neighbours close, so that a front stays within a small part of memory.

Units: mm, ms, and so mm/ms = m/s.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from copy import copy

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from anatomy.arrays import Bool, Byte, Float, Int, frozen
from anatomy.checks import check_node_numbers, check_unit_vectors
from anatomy.heart import Heart, Tissue
from twin.conduction import Conduction, isotropic_metric, metric_of_axes, metric_tensors
from twin.eikonal_ball import Seeds, straight_times
from twin.eikonal_cells import MOST_TISSUES, Cells
from twin.eikonal_front import NO_END, arrivals_ms
from twin.eikonal_lockstep import arrivals_each_ms, neighbourhoods
from twin.eikonal_paths import Trace, winners
from twin.eikonal_star import Lines, Star, slowed_star, star_of
from twin.fast_endocardium import fast_triangles
from twin.purkinje import Purkinje

# Starts further apart would leave too few digits of float32 for the travel times.
_MOST_DELAY_MS = 1e5
# Twice the edge of a common mesh. On a real heart larger balls gain nothing: there the fibres turn within them.
BALL_MM = 3.0
# What `Sensitivity.speed` says of which tissue.
_TISSUES = {
    "healthy": int(Tissue.HEALTHY),
    "border_zone": int(Tissue.BORDER_ZONE),
    "lv_endocardium": MOST_TISSUES,
    "rv_endocardium": MOST_TISSUES + 1,
    "purkinje": 2 * MOST_TISSUES,
}


_MUSCLE_SPEEDS = ("fibre_m_per_s", "sheet_m_per_s", "normal_m_per_s")


class Eikonal:
    """Arrival times on one heart, from any source; prepared once, solved often.

    Core does not conduct: it is left out, and blocks. The fast endocardium and Purkinje trees are part of the same fixed
    point. Nodes of trees are numbered behind those of the heart, in the order of the trees; wherever a shape below says
    (n,), n counts both.

    Args:
        heart: the mesh with its tissue and fibres.
        conduction: the speeds.
        trees: Purkinje trees, joined to this heart.
        ball_mm: radius round each source within which nodes get the exact time of the straight line through the muscle; 0 for
            none.

    Raises:
        ValueError: if a node has more than 1023 neighbours, a tree's junction names no node of the heart, or the radius is
            negative or not finite.
    """

    _made_of: tuple[Heart, Conduction] | None = None

    def __init__(
        self, heart: Heart, conduction: Conduction, *, trees: Sequence[Purkinje] = (), ball_mm: float = BALL_MM
    ) -> None:
        alive = heart.tissue != Tissue.CORE
        metric = metric_tensors(heart, conduction)
        self._set_muscle(heart.nodes_mm, heart.tets[alive], metric[alive], heart.tissue[alive], trees, ball_mm)
        self._made_of, self._fastest_m_per_s = (heart, conduction), conduction.fibre_m_per_s
        self._set_layer(*fast_triangles(heart, conduction))

    def with_conduction(self, conduction: Conduction) -> "Eikonal":
        """The same heart at other speeds.

        What is costly to prepare is kept, unless the proportions of fibre, sheet and normal speed change.

        Raises:
            ValueError: if this solver was made from arrays.
        """
        if self._made_of is None:
            raise ValueError("this solver was made from arrays: make another with other speeds_m_per_s")
        heart, was = self._made_of
        ratios = [getattr(was, name) / getattr(conduction, name) for name in _MUSCLE_SPEEDS]
        if not np.allclose(ratios, ratios[0], rtol=1e-12, atol=0):
            return type(self)(heart, conduction, trees=self._trees, ball_mm=self._ball_mm)
        slower = np.ones(MOST_TISSUES)
        slower[Tissue.HEALTHY] = ratios[0]
        slower[Tissue.BORDER_ZONE] = ratios[0] * was.border_zone_factor / conduction.border_zone_factor
        slower[np.isclose(slower, 1, rtol=1e-12, atol=0)] = 1  # scaled there and back
        solver = copy(self)
        solver._made_of, solver._fastest_m_per_s = (heart, conduction), conduction.fibre_m_per_s
        if (slower != 1).any():
            solver._muscle = self._muscle.slowed(slower)
            solver._star = slowed_star(self._star, solver._muscle, slower)
        solver._set_layer(*fast_triangles(heart, conduction))
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
        ball_mm: float = BALL_MM,
    ) -> "Eikonal":
        """A solver for any tetrahedra, without scar or fast endocardium.

        Args:
            nodes_mm: (n, 3) nodes.
            tets: (m, 4) node numbers, in any orientation.
            fibres: (m, 3) unit vectors; the sign has no meaning.
            sheets: (m, 3) unit vectors at right angles to the fibres; needed where three speeds are given.
            speeds_m_per_s: along fibre and across it, or along fibre, sheet and normal.
            ball_mm: as for a heart.

        Raises:
            ValueError: if shapes differ, node numbers are out of range, vectors are not of unit length or not at right
                angles, a speed is not positive and finite, three speeds come without sheets, a node has more than 1023
                neighbours, or the radius is negative or not finite.
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
        tissue = np.full(len(cells), Tissue.HEALTHY, dtype=np.int8)
        solver._set_muscle(x, cells, metric_of_axes(axes, across, speeds), tissue, (), ball_mm)
        solver._fastest_m_per_s = max(speeds)
        solver._set_layer(np.empty((0, 3), dtype=np.int32), np.empty(0), np.empty(0, dtype=np.int8))
        return solver

    def _set_muscle(
        self, nodes_mm: Float, tets: Int, metric: Float, tissue: Byte, trees: Sequence[Purkinje], ball_mm: float
    ) -> None:
        if not 0 <= ball_mm < np.inf:
            raise ValueError(f"ball_mm = {ball_mm:g}, need a finite radius >= 0 mm (0: no ball)")
        self._trees, self._ball_mm = tuple(trees), ball_mm
        places = np.concatenate([nodes_mm, *(tree.tree.nodes_mm for tree in trees)])
        behind = np.arange(len(nodes_mm), len(places))
        self._order = np.concatenate([_order_along_a_curve(nodes_mm), behind])
        self._number = np.empty(len(places), dtype=np.int32)
        self._number[self._order] = np.arange(len(places), dtype=np.int32)
        self._muscle = Cells.of(places[self._order], self._number[tets], metric, tissue)
        self._star: Star = star_of(self._muscle)

    def _set_layer(self, triangles: Int, speeds_m_per_s: Float, sides: Byte) -> None:
        metric = isotropic_metric(len(triangles), speeds_m_per_s**-2.0)
        self._layer = Cells.of(self._muscle.nodes_mm, self._number[triangles], metric, sides)
        n = len(self._number)
        root = n - sum(len(tree.tree.nodes_mm) for tree in self._trees)
        in_muscle = (np.diff(self._muscle.first) > 0)[self._number]
        ways = [(np.empty((0, 2), dtype=np.int32), np.empty(0), np.empty(0))]
        for tree in self._trees:
            ways.append(tree.ways(root, in_muscle[: n - len(tree.tree.nodes_mm)]))
            root += len(tree.tree.nodes_mm)
        ends, self._line_ms, self._line_travel_ms = (np.concatenate(parts) for parts in zip(*ways, strict=True))
        self._line_ends: Int = self._number[ends]
        self._layer_star: Star = star_of(self._layer, Lines.of(n, self._line_ends, self._line_ms))
        touched = (np.diff(self._star.first) > 0) | (np.diff(self._layer_star.first) > 0)
        self._conducting = frozen(touched[self._number], np.bool_, name="conducting", shape=(n,))

    @property
    def conducting(self) -> Bool:
        """(n,) true at nodes that a conducting tetrahedron or line touches; the others are never reached."""
        return self._conducting

    def solve(self, nodes: ArrayLike, start_ms: ArrayLike | None = None) -> Float:
        """Arrival times of one activation from one or several sources.

        Args:
            nodes: source node, or (s,) source nodes. A source in tissue that does not conduct never starts.
            start_ms: when each starts, capture latency included, one number or (s,); 0 if not given. A source reached
                earlier than it starts takes the earlier time.

        Returns:
            (n,) float64; `inf` where nothing arrives.

        Raises:
            ValueError: if a node number is out of range, no source is given, a start is not finite, or one is more than
                100 s after the first.
        """
        sources = self._sources(nodes)
        zero, late = self._starts(sources, start_ms)
        times, _ = self._arrivals(sources, late)
        arrivals: Float = times[self._number].astype(np.float64)
        arrivals += zero
        return arrivals

    def trace(self, nodes: ArrayLike, start_ms: ArrayLike | None = None) -> Trace:
        """Like `solve`, and with it how a function of the times changes with starts and speeds.

        Args:
            nodes: as for `solve`.
            start_ms: as for `solve`.

        Raises:
            ValueError: as `solve`.
        """
        sources = self._sources(nodes)
        zero, late = self._starts(sources, start_ms)
        times, seeds = self._arrivals(sources, late)
        back = Lines.of(len(times), np.ascontiguousarray(self._line_ends[:, ::-1]), self._line_ms)
        travel = Lines.of(len(times), np.ascontiguousarray(self._line_ends[:, ::-1]), self._line_travel_ms).step_ms
        ways = winners(times, seeds, late, self._muscle, self._layer, back, travel)
        return Trace(
            times_ms=times[self._number].astype(np.float64) + zero,
            _winners=ways,
            _number=self._number,
            _columns=_TISSUES,
            _sources=len(sources),
        )

    def solve_each(
        self,
        nodes: ArrayLike,
        threads: int | None = None,
        progress: Callable[[int, int], None] | None = None,
        *,
        until_ms: ArrayLike | None = None,
    ) -> NDArray[np.float32]:
        """Arrival times from each of several sources by itself, all starting at 0.

        Ten or more neighbours, such as the sites along a vein, are solved together in a third of the time or less; their
        rows then differ from those of `solve` by rounding, some 1e-4 ms.

        Args:
            nodes: (s,) source nodes.
            threads: how many to use; as many as numba may if not given. The result does not depend on it.
            progress: called as progress(done, s) after each source, or several that were solved together.
            until_ms: (n,) by when each node must be reached: a front that comes later ends there, which saves its way.
                Where the bound is the arrival from another source plus a constant, no time well before it changes.

        Returns:
            (s, n) float32, one row per source; `inf` where nothing arrives, or only later than `until_ms`.

        Raises:
            ValueError: if a node number is out of range, no source is given, threads < 1, or `until_ms` has another length.
        """
        sources = self._sources(nodes)
        if threads is not None and threads < 1:
            raise ValueError(f"threads = {threads}, need at least 1")
        until = NO_END if until_ms is None else np.asarray(until_ms, dtype=np.float32)
        if until_ms is not None and until.shape != self._number.shape:
            raise ValueError(f"until_ms has shape {until.shape}, need ({len(self._number)},)")
        until = until[self._order] if len(until) else until
        rows = np.full((len(sources), len(self._number)), np.inf, dtype=np.float32)
        heard = np.flatnonzero(self._conducting[sources])
        places = self._muscle.nodes_mm[self._number[sources[heard]]]
        # A tree's way back may take another time, which those who go together do not ask for.
        groups = list(np.arange(len(heard))[:, None]) if self._trees else neighbourhoods(places)

        def fill(group: NDArray[np.intp]) -> int:
            each = []
            for i in group:
                seeds = self._seeds(sources[i : i + 1], np.zeros(1))
                each.append((seeds.nodes, seeds.parts_ms.sum(axis=1).astype(np.float32)))
            times = arrivals_each_ms(self._star, self._layer_star, each, until)
            for i, row in zip(group, times, strict=True):
                rows[i] = row[self._number]
            return len(group)

        done = len(sources) - len(heard)
        if done and progress is not None:
            progress(done, len(sources))
        with ThreadPoolExecutor(threads or numba.config.NUMBA_NUM_THREADS) as pool:
            futures = [pool.submit(fill, heard[group]) for group in groups]
            try:
                for future in as_completed(futures):
                    done += future.result()
                    if progress is not None:
                        progress(done, len(sources))
            finally:
                # After Ctrl-C, or an error in `progress`, what has not begun is left undone.
                pool.shutdown(wait=False, cancel_futures=True)
        return rows

    def _arrivals(self, sources: Int, late_ms: Float) -> tuple[NDArray[np.float32], Seeds]:
        """(n,) times along the curve, and what the sources gave to the nodes near them."""
        seeds = self._seeds(sources, late_ms)
        starts = late_ms[seeds.source] + seeds.parts_ms.sum(axis=1)
        return arrivals_ms(self._star, self._layer_star, seeds.nodes, starts.astype(np.float32)), seeds

    def _seeds(self, sources: Int, late_ms: Float) -> Seeds:
        return straight_times(self._muscle, self._number[sources], late_ms, self._ball_mm, self._fastest_m_per_s)

    def _starts(self, sources: Int, start_ms: ArrayLike | None) -> tuple[float, Float]:
        """The first start of a source that conducts, and how much later each starts: that leaves float32 the most digits."""
        starts = np.zeros(len(sources)) if start_ms is None else np.asarray(start_ms, dtype=np.float64)
        if starts.ndim == 0:
            starts = np.full(len(sources), float(starts))
        starts = frozen(starts, np.float64, name="start_ms", shape=(len(sources),))
        heard = self._conducting[sources]
        if not heard.any():
            return 0.0, np.zeros(len(sources))
        zero = float(starts[heard].min())
        late = np.where(heard, starts - zero, 0.0)
        bad = np.flatnonzero(late > _MOST_DELAY_MS)
        if bad.size:
            raise ValueError(
                f"source {bad[0]} starts {late[bad[0]]:g} ms after the first, need at most {_MOST_DELAY_MS:g} ms "
                f"({bad.size} of {len(starts)} do). Leave out sources that are to play no part."
            )
        return zero, late

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
