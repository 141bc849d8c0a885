"""The front's way through the records of `twin.eikonal_star`: who is asked for its time, and in which order.

A node in the queue is asked: it takes the least of its time and of all that its edges and faces now offer, a loop without
branches that compiles to vector instructions. If it is earlier than what it last told, it tells the neighbours that could
gain by it: each takes at once the time of the straight step, if that is less, and queues up to be asked in its turn. A node
whose time falls later is asked again (label correcting), until nobody has news. That is the fixed point, not an estimate of
it: the order decides only how often nodes are asked. Times only fall, and float32 has an end, so it ends.

The queue is a ring of buckets of equal times, each a circular list through its own place behind the nodes.

Units: ms, float32, counted from the first start.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from anatomy.arrays import Int
from twin.eikonal_cells import Single
from twin.eikonal_star import EDGE_COLUMNS, HEADER, MOST_NEIGHBOURS, NEIGHBOUR_COLUMNS, PLACE_BITS, Star

# Not yet reached. Its square is still a float32, so that no difference of times is ever infinite.
FAR = np.float32(1e15)
_FAR_BITS = FAR.view(np.int32)
_ZERO = np.float32(0)
NO_END = np.empty(0, dtype=np.float32)
# The width of a bucket in mean steps, and how many there are. 0.05 to 0.4 are alike.
_WIDTH = 0.2
_RING = 1024
# Of the record that is read next, so much is asked for in advance, a cache line of 16 words at a time.
AHEAD = 32 * 16
LINE = 16


def arrivals_ms(star: Star, layer: Star, sources: Int, starts_ms: Single, until_ms: Single = NO_END) -> Single:
    """Arrival times through the simplices of both stars; trusts its inputs.

    Args:
        star: of the myocardium.
        layer: of the fast endocardium and the Purkinje trees, on the same nodes.
        sources: (s,) node numbers; one with nothing around it never starts.
        starts_ms: (s,) float32, not negative.
        until_ms: (n,) float32, a node that is later tells nobody; empty for no such end.

    Returns:
        (n,) float32, `inf` where nothing arrives, or only later than `until_ms`.
    """
    per_ms = np.float32(1 / (_WIDTH * star.step_ms)) if star.step_ms > 0 else np.float32(1)
    times: Single = _arrivals(star.first, star.values, layer.first, layer.values, sources, starts_ms, until_ms, per_ms)
    times[times >= FAR] = np.inf
    if len(until_ms):
        times[times > until_ms] = np.inf
    return times


@intrinsic
def prefetch(_: Any, array: Any, index: Any) -> Any:
    """Ask for the cache line of array[index]: the processor cannot guess which node comes next."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        address = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(8).as_pointer())
        word = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [address.type, word, word, word])
        read, keep, is_data = word(0), word(3), word(1)
        builder.call(
            builder.module.declare_intrinsic("llvm.prefetch", [address.type], kind), [address, read, keep, is_data]
        )
        return context.get_dummy_value()

    return types.void(array, index), build


@njit(cache=True, nogil=True, error_model="numpy")
def _arrivals(
    first: Int,
    values: Single,
    layer_first: Int,
    layer_values: Single,
    sources: Int,
    starts: Single,
    until: Single,
    per_ms: np.float32,
) -> Single:
    n = len(first) - 1
    words, layer_words = values.view(np.int32), layer_values.view(np.int32)
    times, told = np.full(n, FAR, dtype=np.float32), np.full(n, FAR, dtype=np.float32)
    near, layer_near = np.empty(MOST_NEIGHBOURS + 1, np.float32), np.empty(MOST_NEIGHBOURS + 1, np.float32)
    after, before = np.empty(n + _RING, dtype=np.int32), np.empty(n + _RING, dtype=np.int32)
    for i in range(n + _RING):
        after[i] = before[i] = i
    now, queued = 0, 0
    for i in range(len(sources)):
        v = sources[i]
        if (first[v] < first[v + 1] or layer_first[v] < layer_first[v + 1]) and starts[i] < times[v]:
            times[v] = starts[i]
            queued += _queue(v, int(times[v] * per_ms), now, after, before)
    while queued > 0:
        bucket = n + now % _RING
        v = after[bucket]
        if v == bucket:
            now += 1
            continue
        _unqueue(v, after, before)
        queued -= 1
        turn = int(times[v] * per_ms)
        if turn > now + _RING // 2:
            # It lay beyond the ring when it was queued, and waits in the last bucket.
            queued += _queue(v, turn, now, after, before)
            continue
        following = after[bucket]
        if following != bucket:
            for i in range(first[following], min(first[following + 1], first[following] + AHEAD), LINE):
                prefetch(values, i)
        best = times[v]
        in_muscle, in_layer = first[v] < first[v + 1], layer_first[v] < layer_first[v + 1]
        if in_muscle:
            best = min(best, _offer(values, words, first[v], times, near))
        if in_layer:
            best = min(best, _offer(layer_values, layer_words, layer_first[v], times, layer_near))
        times[v] = best
        if best < told[v] and (len(until) == 0 or best <= until[v]):
            told[v] = best
            if in_muscle:
                queued += _tell(values, words, first[v], best, near, times, per_ms, now, after, before)
            if in_layer:
                at = layer_first[v]
                queued += _tell(layer_values, layer_words, at, best, layer_near, times, per_ms, now, after, before)
    return times


@njit(cache=True, nogil=True, error_model="numpy")
def _offer(values: Single, words: Int, at: int, times: Single, near: Single) -> np.float32:
    """The least time through the edges and faces of the record at `at`; fills near with its neighbours' times."""
    size, edges, faces = words[at], words[at + 1], words[at + 2]
    at += HEADER
    numbers = words[at : at + size]
    for i in range(size):
        near[i] = times[numbers[i]]
    at += NEIGHBOUR_COLUMNS * size
    least = _through_edges(values, words, at, edges, near)
    least = min(least, _through_faces(values, words, at + EDGE_COLUMNS * edges, faces, near))
    return np.int32(least).view(np.float32)


# Both loops take the least of the bits as whole numbers: for floats >= 0 it is the same, and unlike a minimum of floats the
# compiler may take it in any order, so in vectors. What is not inside its face, or not a number, is replaced by FAR.


@njit(cache=True, nogil=True, error_model="numpy")
def _through_edges(values: Single, words: Int, at: int, n: int, near: Single) -> np.int32:
    corners = words[at : at + n]
    h2, r, stiff = values[at + n : at + 2 * n], values[at + 2 * n : at + 3 * n], values[at + 3 * n : at + 4 * n]
    least = _FAR_BITS
    for i in range(n):
        a = near[corners[i] & MOST_NEIGHBOURS]
        d = near[(corners[i] >> PLACE_BITS) & MOST_NEIGHBOURS] - a
        q = stiff[i] * d
        room = h2[i] - q * d
        s = np.sqrt(max(room, _ZERO))
        w = r[i] * s - q
        inside = (room > 0) & (w >= 0) & (w <= s)
        t = a + r[i] * d + s if inside else FAR
        least = min(least, np.float32(t).view(np.int32))
    return least


@njit(cache=True, nogil=True, error_model="numpy")
def _through_faces(values: Single, words: Int, at: int, n: int, near: Single) -> np.int32:
    corners = words[at : at + n]
    h2, r1, r2 = values[at + n : at + 2 * n], values[at + 2 * n : at + 3 * n], values[at + 3 * n : at + 4 * n]
    s11, s12, s22 = values[at + 4 * n : at + 5 * n], values[at + 5 * n : at + 6 * n], values[at + 6 * n : at + 7 * n]
    least = _FAR_BITS
    for i in range(n):
        a = near[corners[i] & MOST_NEIGHBOURS]
        d1 = near[(corners[i] >> PLACE_BITS) & MOST_NEIGHBOURS] - a
        d2 = near[(corners[i] >> (2 * PLACE_BITS)) & MOST_NEIGHBOURS] - a
        q1, q2 = s11[i] * d1 + s12[i] * d2, s12[i] * d1 + s22[i] * d2
        room = h2[i] - q1 * d1 - q2 * d2
        s = np.sqrt(max(room, _ZERO))
        w1, w2 = r1[i] * s - q1, r2[i] * s - q2
        inside = (room > 0) & (w1 >= 0) & (w2 >= 0) & (w1 + w2 <= s)
        t = a + r1[i] * d1 + r2[i] * d2 + s if inside else FAR
        least = min(least, np.float32(t).view(np.int32))
    return least


@njit(cache=True, nogil=True, error_model="numpy")
def _tell(
    values: Single,
    words: Int,
    at: int,
    time: np.float32,
    near: Single,
    times: Single,
    per_ms: np.float32,
    now: int,
    after: Int,
    before: Int,
) -> int:
    """Tell the neighbours in the record at `at` that could gain by this time; returns how many more are queued."""
    size = words[at]
    at += HEADER
    numbers, gates, steps = (
        words[at : at + size],
        values[at + size : at + 2 * size],
        values[at + 2 * size : at + 3 * size],
    )
    more = 0
    for i in range(size):
        if time + gates[i] < near[i]:
            x = numbers[i]
            straight = time + steps[i]
            if straight < times[x]:
                times[x] = straight
                more += _queue(x, int(straight * per_ms), now, after, before)
            elif after[x] == x:
                more += _queue(x, now, now, after, before)
    return more


@njit(cache=True, nogil=True)
def _queue(v: int, turn: int, now: int, after: Int, before: Int) -> int:
    """Put v at the end of the bucket of this turn, or move it there; returns 1 if it was not queued."""
    more = 1
    if after[v] != v:
        _unqueue(v, after, before)
        more = 0
    bucket = len(after) - _RING + min(max(turn, now), now + _RING - 1) % _RING
    last = before[bucket]
    after[last], before[v], after[v], before[bucket] = v, last, bucket, v
    return more


@njit(cache=True, nogil=True)
def _unqueue(v: int, after: Int, before: Int) -> None:
    after[before[v]], before[after[v]] = after[v], before[v]
    after[v] = before[v] = v
