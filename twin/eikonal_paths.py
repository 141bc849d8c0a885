"""Where each node's time came from, and so how it changes with starts and speeds.

At the fixed point a node's time is  T(w) = sum_i l_i T(i) + |x(l)|  over the corners i of one face, its winner, with the
weights l that make it least. As they make it least, a small change moves T(w) as if they stood still: dT(w)/dT(i) = l_i, and
a speed v of the winner's tissue enters by dT(w)/d(log v) = -|x(l)|. One pass from the latest node to the earliest hands a
function's derivative from node to winner until it arrives at the sources. Where two winners tie the time has a kink, and
this is one of its one-sided derivatives.

Everything is float64 from the solver's float32 times.

Units: ms.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import ArrayLike

from anatomy.arrays import Float, Int, frozen
from twin.eikonal_ball import Seeds
from twin.eikonal_cells import MOST_TISSUES, CellArrays, Cells, Long, Single
from twin.eikonal_star import Lines

# Share of a derivative that may get lost where a few nodes, in obtuse tetrahedra, are each other's winners.
_LOST = 1e-9
# An offer that is later than a node's time by no more than this share of it is what it got that time from.
_ROUNDING = 1e-6
# A simplex with a smaller determinant than this share of its sides' product is flat: its faces have better ways.
_FLAT = 1e-12


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """The derivative of a function J of the arrival times.

    Attributes:
        start: (s,) dJ by the start of each source, in J's units per ms.
        speed: dJ by the relative speed of each tissue, in J's units: a tissue faster by 1 % changes J by 0.01 times this.
    """

    start: Float
    speed: Mapping[str, float]


@dataclass(frozen=True, kw_only=True, eq=False)
class Winners:
    """For each of n nodes, the earliest way in.

    Attributes:
        corners: (n, 3) int32 nodes of the face, -1 for none.
        weights: (n, 3) of these.
        own_ms: (n, t) time of the last step in each of t tissues.
        source: (n,) int32 place of the source that a node takes its time straight from, or -1.
    """

    corners: Int
    weights: Float
    own_ms: Float
    source: Int


@dataclass(frozen=True, kw_only=True, eq=False)
class Trace:
    """A solution that remembers its ways.

    Attributes:
        times_ms: (n,) arrival times; `inf` where nothing arrives.
    """

    times_ms: Float
    _winners: Winners
    _number: Int
    _columns: Mapping[str, int]
    _sources: int

    def pull_back(self, weights: ArrayLike) -> Sensitivity:
        """The derivative of J by starts and speeds, from that by the times.

        Args:
            weights: (n,) dJ/dT of each node, in J's units per ms; 0 where nothing arrives.

        Raises:
            ValueError: if the shape differs, a weight is not finite, or a node that nothing reaches has one.
        """
        given = frozen(weights, np.float64, name="weights", shape=self.times_ms.shape)
        bad = np.flatnonzero((given != 0) & np.isinf(self.times_ms))
        if bad.size:
            raise ValueError(
                f"weights[{bad[0]}] = {given[bad[0]]:g} for a node that nothing reaches ({bad.size} are); give it 0"
            )
        ways = self._winners
        pending = np.empty(len(given))
        pending[self._number] = given
        latest_first = self._number[np.argsort(-self.times_ms, kind="stable")]
        start, speed = np.zeros(self._sources), np.zeros(ways.own_ms.shape[1])
        _pull_back(latest_first, pending, ways.corners, ways.weights, ways.own_ms, ways.source, start, speed)
        return Sensitivity(start=start, speed={name: -float(speed[i]) for name, i in self._columns.items()})


def winners(
    times_ms: Single, seeds: Seeds, starts_ms: Float, muscle: Cells, layer: Cells, lines: Lines, own_ms: Float
) -> Winners:
    """The winner of each node under these times; trusts its inputs.

    Args:
        times_ms: (n,) the solver's; FAR or more where nothing arrives.
        seeds: what was given at the start.
        starts_ms: (s,) of the sources.
        muscle: its cells, of tissues 0 to 3.
        layer: the fast endocardium, whose tissues are counted as 4 to 7. Lines are 8.
        lines: extra ways, reversed: from the node that gains to the one that gives.
        own_ms: (l,) what of each line's step depends on its speed.
    """
    n = len(times_ms)
    corners, weights = np.full((n, 3), -1, dtype=np.int32), np.zeros((n, 3))
    own, source = np.zeros((n, 2 * MOST_TISSUES + 1)), np.full(n, -1, dtype=np.int32)
    times = times_ms.astype(np.float64)
    best = np.full(n, np.inf)
    _from_cells(muscle.arrays, 0, times, best, corners, weights, own)
    _from_cells(layer.arrays, MOST_TISSUES, times, best, corners, weights, own)
    _from_lines(lines.first, lines.to, lines.step_ms, own_ms, times, best, corners, weights, own)
    _from_seeds(seeds.nodes, seeds.source, seeds.parts_ms, starts_ms, best, corners, weights, own, source)
    return Winners(corners=corners, weights=weights, own_ms=own, source=source)


@njit(cache=True, error_model="numpy")
def _from_cells(
    cells: CellArrays, first_tissue: int, times: Float, best: Float, corners: Int, weights: Float, own: Float
) -> None:
    """Note for each node a face that offers it its time, if one does it sooner than `best`."""
    nodes, tets, metric, tissue, first, of_node = cells
    k = tets.shape[1] - 1
    others, which = np.empty(3, np.int64), np.empty(3, np.int64)
    steps, gram, inverse, late, found = np.empty((3, 3)), np.empty((3, 3)), np.empty((3, 3)), np.empty(3), np.empty(3)
    full = (1 << k) - 1
    for w in range(len(times)):
        if times[w] == np.inf:  # then so are all corners of its cells
            continue
        enough = times[w] * (1 + _ROUNDING)
        for i in range(first[w], first[w + 1]):
            if best[w] <= enough:
                break
            cell = of_node[i]
            at, earlier = 0, False
            for corner in tets[cell]:
                if corner != w:
                    others[at] = corner
                    steps[at] = nodes[corner] - nodes[w]
                    earlier |= times[corner] < times[w]
                    at += 1
            if not earlier:
                continue
            m = metric[cell]
            for a in range(k):
                x, y, z = steps[a]
                p = (m[0] * x + m[1] * y + m[2] * z, m[1] * x + m[3] * y + m[4] * z, m[2] * x + m[4] * y + m[5] * z)
                for b in range(k):
                    gram[a, b] = p[0] * steps[b, 0] + p[1] * steps[b, 1] + p[2] * steps[b, 2]
                late[a] = times[others[a]] - times[others[0]]
            # The face opposite, then its edges and corners: the bits of `part` say which corners span it.
            for part in range(full, 0, -1):
                size = 0
                for a in range(k):
                    if part >> a & 1:
                        which[size] = a
                        size += 1
                time = times[others[0]] + _offer(size, which, gram, inverse, late, found)
                if time < best[w]:
                    best[w] = time
                    length = time
                    own[w] = 0.0
                    for a in range(3):
                        corners[w, a] = others[which[a]] if a < size else -1
                        weights[w, a] = found[a] if a < size else 0.0
                        if a < size:
                            length -= found[a] * times[others[which[a]]]
                    own[w, first_tissue + tissue[cell]] = length
                if part == full and time < np.inf:  # the offer is convex: none through the rim is sooner
                    break


@njit(cache=True, error_model="numpy")
def _offer(size: int, which: Long, gram: Float, inverse: Float, late: Float, weights: Float) -> float:
    """The time through the inside of the face that some corners span, and their weights; inf or nan if there is no such way.

    With u the corners' times and G the inner products of the steps to them, the least of  l.u + sqrt(l.G l)  over sum(l) = 1
    is the larger root t of  (t - u).inv(G)(t - u) = 1, at  l ~ inv(G)(t - u), which must be >= 0.
    """
    if size == 1:
        a = which[0]
        weights[0] = 1.0
        return float(late[a] + np.sqrt(gram[a, a]))
    # inv(G) times its determinant.
    if size == 2:
        a, b = which[0], which[1]
        inverse[0, 0], inverse[1, 1], inverse[0, 1], inverse[1, 0] = gram[b, b], gram[a, a], -gram[a, b], -gram[a, b]
        det = gram[a, a] * gram[b, b] - gram[a, b] ** 2
        scale = gram[a, a] * gram[b, b]
    else:
        for a in range(3):
            for b in range(3):
                p, q, r, s = (a + 1) % 3, (a + 2) % 3, (b + 1) % 3, (b + 2) % 3
                inverse[a, b] = gram[p, r] * gram[q, s] - gram[p, s] * gram[q, r]
        det = gram[0, 0] * inverse[0, 0] + gram[0, 1] * inverse[0, 1] + gram[0, 2] * inverse[0, 2]
        scale = gram[0, 0] * gram[1, 1] * gram[2, 2]
    one, mixed, both = 0.0, 0.0, 0.0
    for a in range(size):
        for b in range(size):
            one += inverse[a, b]
            mixed += inverse[a, b] * late[which[a]]
            both += inverse[a, b] * late[which[a]] * late[which[b]]
    room = mixed * mixed - one * (both - det)
    if not (room > 0 and det > _FLAT * scale):
        return np.inf
    t = (mixed + np.sqrt(room)) / one
    total = 0.0
    for a in range(size):
        weights[a] = 0.0
        for b in range(size):
            weights[a] += inverse[a, b] * (t - late[which[b]])
        if not weights[a] >= 0:
            return np.inf
        total += weights[a]
    for a in range(size):
        weights[a] /= total
    return float(t)


@njit(cache=True)
def _from_lines(
    first: Long,
    to: Int,
    step_ms: Float,
    own_ms: Float,
    times: Float,
    best: Float,
    corners: Int,
    weights: Float,
    own: Float,
) -> None:
    """Likewise over lines that start at the gaining node."""
    for w in range(len(times)):
        for i in range(first[w], first[w + 1]):
            time = times[to[i]] + step_ms[i]
            if time < best[w]:
                best[w] = time
                corners[w, 0], corners[w, 1], corners[w, 2] = to[i], -1, -1
                weights[w, 0], weights[w, 1], weights[w, 2] = 1.0, 0.0, 0.0
                own[w] = 0.0
                own[w, -1] = own_ms[i]


@njit(cache=True)
def _from_seeds(
    nodes: Int,
    source: Int,
    parts: Float,
    starts: Float,
    best: Float,
    corners: Int,
    weights: Float,
    own: Float,
    from_source: Int,
) -> None:
    """Likewise straight from the sources; they win ties, which float32 makes of times that are the same."""
    for i in range(len(nodes)):
        w = nodes[i]
        time = starts[source[i]] + parts[i].sum()
        if time <= best[w] * (1 + _ROUNDING):
            best[w] = min(best[w], time)
            corners[w], weights[w], own[w] = -1, 0.0, 0.0
            own[w, : parts.shape[1]] = parts[i]
            from_source[w] = source[i]


@njit(cache=True)
def _pull_back(
    latest_first: Long,
    pending: Float,
    corners: Int,
    weights: Float,
    own: Float,
    source: Int,
    start: Float,
    speed: Float,
) -> None:
    """Hand each node's share on to its winner until all has arrived; a corner later than its node waits for the next round."""
    enough = _LOST * np.abs(pending).sum()
    waiting = True
    while waiting:
        left = 0.0
        for w in latest_first:
            share = pending[w]
            if share == 0:
                continue
            pending[w] = 0.0
            for tissue in range(len(speed)):
                speed[tissue] += share * own[w, tissue]
            if source[w] >= 0:
                start[source[w]] += share
            for a in range(3):
                if corners[w, a] >= 0:
                    pending[corners[w, a]] += share * weights[w, a]
        for w in latest_first:
            left += abs(pending[w])
        waiting = left > enough
