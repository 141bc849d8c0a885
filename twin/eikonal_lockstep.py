"""Neighbouring sources solved together: their fronts take nearly the same way, so one walk through the records does for 16.

A node's sixteen times, one per source, stand side by side (`twin.lanes`) and are asked for at once, through the records and
by the formulas of `twin.eikonal_star`. The order is made beforehand: two sources at opposite ends of the group are solved by
`twin.eikonal_front`, and the sum of their times orders the nodes. They are cut into blocks; a block in which nodes wait for
news is swept, every other time backwards, and what then waits in blocks before it comes first. It ends when no node waits,
at the same fixed point but for rounding. Along a vein a node is asked some four times for sixteen sources; for sources
further apart so often that each is solved alone.

An asked node looks only at simplices with a corner that has news since, and whose corners all lead by more than their gates.

Units: mm, ms.
"""

from collections.abc import Sequence

import numpy as np
from numba import njit

from anatomy.arrays import Bool, Byte, Float, Int
from twin.eikonal_cells import Single
from twin.eikonal_front import AHEAD, FAR, LINE, NO_END, arrivals_ms, prefetch
from twin.eikonal_star import EDGE_COLUMNS, HEADER, MOST_NEIGHBOURS, NEIGHBOUR_COLUMNS, PLACE_BITS, Star
from twin.lanes import LANES, any_lane, load, lowest, root, save, spread, where

Seeds = tuple[Int, Single]  # (k,) nodes and when each starts
# Fewer sources are faster solved alone; so are sources further apart.
_FEWEST = 10
_REACH_MM = 30.0
# To ask a node for sixteen sources takes about as long as to solve it for one; this many questions per node and source are
# half of what the sources would take alone, and the end of the attempt.
_MOST_ASKED = 0.5
# A time that falls by less is no news. It is about the rounding of float32 at 100 ms.
_TOLERANCE_MS = np.float32(1e-5)
_ZERO = np.float32(0)
# Sets of neighbours are the bits of a word. If there are more than bits, some share one, and more is looked at than needed.
_BIT = np.uint32(31)
_ONE = np.uint32(1)
_SHIFT = np.uint32(PLACE_BITS)


def neighbourhoods(places_mm: Float) -> list[Int]:
    """Sources that are worth solving together, and the others one by one.

    The source furthest from the middle of those left is joined by those nearest to it, up to 18 of which no two are more
    than 30 mm apart, and at least 10.

    Args:
        places_mm: (s, 3) where the sources are.

    Returns:
        The numbers of the sources of each group, its opposite ends first and last.
    """
    left = np.lexsort(places_mm.T).astype(np.int32)
    groups: list[Int] = []
    while left.size:
        x = places_mm[left]
        end = ((x - x.mean(axis=0)) ** 2).sum(axis=1).argmax()
        chosen: list[int] = []
        for i in np.argsort(((x - x[end]) ** 2).sum(axis=1), kind="stable"):
            if len(chosen) < LANES + 2 and (((x[chosen] - x[i]) ** 2).sum(axis=1) <= _REACH_MM**2).all():
                chosen.append(int(i))
        group = left[chosen]
        groups += [group] if len(group) >= _FEWEST else np.split(group, len(group))
        left = np.delete(left, chosen)
    return groups


def arrivals_each_ms(star: Star, layer: Star, sources: Sequence[Seeds], until_ms: Single = NO_END) -> Single:
    """Arrival times from each source of a group by itself; trusts its inputs.

    Args:
        star: of the myocardium.
        layer: of the fast endocardium, on the same nodes; without lines, whose way back may take another time.
        sources: 1, or 3 to 18 neighbours, the first and the last at opposite ends; of each, where and when it starts, as
            `arrivals_ms` takes it.
        until_ms: as `arrivals_ms`; a group is solved to the end, whose order it needs.

    Returns:
        (s, n) float32, `inf` where nothing arrives, or only later than `until_ms`.
    """
    rows = np.empty((len(sources), len(star.first) - 1), dtype=np.float32)
    if len(sources) == 1:
        rows[0] = arrivals_ms(star, layer, *sources[0], until_ms)
        return rows
    ends, joint = [0, len(sources) - 1], list(range(1, len(sources) - 1))
    for i in ends:
        rows[i] = arrivals_ms(star, layer, *sources[i])
    # Nodes that only one of the two reaches come last, in its order.
    order = np.argsort(np.minimum(rows[ends], 1e6).sum(axis=0), kind="stable").astype(np.int32)
    times = _together(star, layer, [sources[i] for i in joint], order)
    if times is None:
        for i in joint:
            rows[i] = arrivals_ms(star, layer, *sources[i])
    else:
        _split(times, np.array(joint), rows)
    if len(until_ms):
        rows[rows > until_ms] = np.inf
    return rows


def _together(star: Star, layer: Star, sources: Sequence[Seeds], order: Int) -> Single | None:
    """(16 n,) the times of all sources node by node; None if that would take too long."""
    n = len(order)
    place = np.empty(n, dtype=np.int32)
    place[order] = np.arange(n, dtype=np.int32)
    times, near, layer_near = (_aligned(LANES * size) for size in (n, MOST_NEIGHBOURS + 1, MOST_NEIGHBOURS + 1))
    times.fill(FAR)
    waits = np.zeros(n, dtype=np.bool_)
    for lane, (nodes, starts) in enumerate(sources):
        for one in (star, layer):
            _start(one.first, one.values, nodes, starts, lane, place, times, waits)
    # About as many nodes as the front passes at once.
    block = max(64, round(n ** (2 / 3)))
    most = int(_MOST_ASKED * len(sources) * n)
    records = star.first, star.values, layer.first, layer.values
    return times if _sweep(*records, order, place, block, most, times, near, layer_near, waits) else None


def _aligned(size: int) -> Single:
    """Float32 that begin with a cache line, so that the lanes of a node lie within one."""
    raw = np.empty(size + LANES, dtype=np.float32)
    skip = -raw.ctypes.data // raw.itemsize % LANES
    return raw[skip : skip + size]


@njit(cache=True, nogil=True)
def _start(
    first: Int, values: Single, nodes: Int, starts: Single, lane: int, place: Int, times: Single, waits: Bool
) -> None:
    """Start one source; its nodes' neighbours have news to hear."""
    words = values.view(np.int32)
    for i in range(len(nodes)):
        v = nodes[i]
        if first[v] < first[v + 1]:
            times[v * LANES + lane] = min(times[v * LANES + lane], starts[i])
            at = first[v] + HEADER
            for x in words[at : at + words[first[v]]]:
                waits[place[x]] = True


@njit(cache=True, nogil=True)
def _split(times: Single, lanes_rows: Int, rows: Single) -> None:
    """Write each lane to its row."""
    for v in range(rows.shape[1]):
        for lane in range(len(lanes_rows)):
            time = times[v * LANES + lane]
            rows[lanes_rows[lane], v] = time if time < FAR else np.inf


@njit(cache=True, nogil=True, error_model="numpy")
def _sweep(
    first: Int,
    values: Single,
    layer_first: Int,
    layer_values: Single,
    order: Int,
    place: Int,
    block: int,
    most: int,
    times: Single,
    near: Single,
    layer_near: Single,
    waits: Bool,
) -> bool:
    """Ask the nodes that wait until none does; false if that takes more questions than `most`."""
    n = len(order)
    words, layer_words = values.view(np.int32), layer_values.view(np.int32)
    # Counted in questions: when a node's times fell, and when it was last asked.
    news, asked = np.zeros(n, dtype=np.int32), np.full(n, -1, dtype=np.int32)
    longest = 0
    for v in range(n):
        longest = max(longest, first[v + 1] - first[v], layer_first[v + 1] - layer_first[v])
    chosen, fits = np.empty(longest, dtype=np.int32), np.empty(longest, dtype=np.uint8)
    waiting, turns = np.zeros(n // block + 1, dtype=np.int32), np.zeros(n // block + 1, dtype=np.int32)
    for p in range(n):
        waiting[p // block] += waits[p]
    far, tolerance = spread(FAR), spread(_TOLERANCE_MS)
    question, b = 0, 0
    while b < len(waiting):
        if waiting[b] == 0:
            b += 1
            continue
        if question > most:
            return False
        start, stop = b * block, min((b + 1) * block, n)
        p, end, step = (start, stop, 1) if turns[b] % 2 == 0 else (stop - 1, start - 1, -1)
        turns[b] += 1
        following = _next(p, end, step, waits)
        while following != end:
            p = following
            v = order[p]
            following = _next(p + step, end, step, waits)
            if following != end:
                x = order[following]
                for i in range(first[x], min(first[x + 1], first[x] + AHEAD), LINE):
                    prefetch(values, i)
            waits[p] = False
            waiting[p // block] -= 1
            question += 1
            before = load(times, v * LANES)
            best = _ask(values, words, first[v], times, news, asked[v], near, chosen, fits, before)
            in_layer = layer_first[v] < layer_first[v + 1]
            if in_layer:
                best = _ask(
                    layer_values, layer_words, layer_first[v], times, news, asked[v], layer_near, chosen, fits, best
                )
            asked[v] = question
            fallen = best + tolerance < before
            if any_lane(fallen):
                save(best, times, v * LANES)
                news[v] = question
                told = where(fallen, best, far)
                _tell(values, words, first[v], told, near, place, block, waits, waiting)
                if in_layer:
                    at = layer_first[v]
                    _tell(layer_values, layer_words, at, told, layer_near, place, block, waits, waiting)
        below = b - 1
        while below >= 0 and waiting[below] == 0:
            below -= 1
        if below >= 0:
            b = below
    return True


@njit(cache=True, nogil=True)
def _next(p: int, end: int, step: int, waits: Bool) -> int:
    """The first place from p on that waits, or the end."""
    while p != end and not waits[p]:
        p += step
    return p


@njit(cache=True, nogil=True, error_model="numpy")
def _ask(
    values: Single,
    words: Int,
    at: int,
    times: Single,
    news: Int,
    asked: int,
    near: Single,
    chosen: Int,
    fits: Byte,
    best: Single,
) -> Single:
    """The least of best and what the record at `at` offers; fills near with its neighbours' times."""
    size, edges, faces = words[at], words[at + 1], words[at + 2]
    at += HEADER
    fresh, leading = np.uint32(0), np.uint32(0)
    for i in range(size):
        x = words[at + i]
        time = load(times, x * LANES)
        save(time, near, i * LANES)
        best = lowest(best, time + spread(values[at + 2 * size + i]))
        fresh |= np.uint32(news[x] > asked) << (np.uint32(i) & _BIT)
    for i in range(size):
        leads = any_lane(load(near, i * LANES) + spread(values[at + 3 * size + i]) < best)
        leading |= np.uint32(leads) << (np.uint32(i) & _BIT)
    fresh &= leading
    if fresh == 0:
        return best
    at += NEIGHBOUR_COLUMNS * size
    zero = spread(_ZERO)
    for j in range(_choose(words[at : at + edges], _SHIFT, leading, fresh, fits, chosen)):
        i = at + chosen[j]
        a = load(near, (words[i] & MOST_NEIGHBOURS) * LANES)
        d = load(near, ((words[i] >> PLACE_BITS) & MOST_NEIGHBOURS) * LANES) - a
        h2, r, stiff = spread(values[i + edges]), spread(values[i + 2 * edges]), spread(values[i + 3 * edges])
        q = stiff * d
        room = h2 - q * d
        s = root(where(zero < room, room, zero))
        w = r * s - q
        inside = (zero < room) & (zero <= w) & (w <= s)
        best = where(inside, lowest(best, a + r * d + s), best)
    at += EDGE_COLUMNS * edges
    for j in range(_choose(words[at : at + faces], _SHIFT + _SHIFT, leading, fresh, fits, chosen)):
        i = at + chosen[j]
        a = load(near, (words[i] & MOST_NEIGHBOURS) * LANES)
        d1 = load(near, ((words[i] >> PLACE_BITS) & MOST_NEIGHBOURS) * LANES) - a
        d2 = load(near, ((words[i] >> (2 * PLACE_BITS)) & MOST_NEIGHBOURS) * LANES) - a
        h2, r1, r2 = spread(values[i + faces]), spread(values[i + 2 * faces]), spread(values[i + 3 * faces])
        s11, s12, s22 = spread(values[i + 4 * faces]), spread(values[i + 5 * faces]), spread(values[i + 6 * faces])
        q1, q2 = s11 * d1 + s12 * d2, s12 * d1 + s22 * d2
        room = h2 - q1 * d1 - q2 * d2
        s = root(where(zero < room, room, zero))
        w1, w2 = r1 * s - q1, r2 * s - q2
        inside = (zero < room) & (zero <= w1) & (zero <= w2) & (w1 + w2 <= s)
        best = where(inside, lowest(best, a + r1 * d1 + r2 * d2 + s), best)
    return best


@njit(cache=True, nogil=True)
def _choose(corners: Int, last: np.uint32, leading: np.uint32, fresh: np.uint32, fits: Byte, chosen: Int) -> int:
    """Write down which edges or faces have only leading corners and a fresh one; returns how many.

    The first loop compiles to vector instructions, the second to one without branches.
    """
    for i in range(len(corners)):
        word = np.uint32(corners[i])
        a, b, c = word & _BIT, word >> _SHIFT & _BIT, word >> last & _BIT
        fits[i] = leading >> a & leading >> b & leading >> c & (fresh >> a | fresh >> b | fresh >> c) & _ONE
    count = 0
    for i in range(len(corners)):
        chosen[count] = i
        count += fits[i]
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def _tell(
    values: Single,
    words: Int,
    at: int,
    told: Single,
    near: Single,
    place: Int,
    block: int,
    waits: Bool,
    waiting: Int,
) -> None:
    """Let those neighbours wait that could gain by the times told."""
    size = words[at]
    at += HEADER
    for i in range(size):
        if any_lane(told + spread(values[at + size + i]) < load(near, i * LANES)):
            p = place[words[at + i]]
            if not waits[p]:
                waits[p] = True
                waiting[p // block] += 1
