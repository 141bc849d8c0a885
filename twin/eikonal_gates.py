"""Whether a node's time can shorten that of its neighbour at all: the gate c between them.

A neighbour x that v tells of its time can only gain by it if  T(x) - T(v) > c,  the least, over the simplices at (x, v) and
the points y of their other nodes' span, of <v, y> / |y| as seen from x: T at x is convex in the place on the face, so a face
helps only if every one of its corners, coming last, does. For obtuse angles c is negative.

The inner products are those of a simplex's metric, in ms squared; gates and steps are in ms.
"""

import numpy as np
from numba import njit

from anatomy.arrays import Float

# numba's disk cache of `twin.eikonal_star`, which calls `narrow`, does not notice a change here: touch that file as well.


@njit(cache=True, error_model="numpy")
def narrow(
    solid: bool,
    a: int,
    b: int,
    c: int,
    aa: float,
    bb: float,
    cc: float,
    ab: float,
    ac: float,
    bc: float,
    gates: Float,
    steps: Float,
    back: Float,
) -> None:
    """Lower the gates and steps of a cell's corners, and the gates of the way back, to what the cell allows."""
    steps[a], steps[b] = min(steps[a], np.sqrt(aa)), min(steps[b], np.sqrt(bb))
    if solid:
        steps[c] = min(steps[c], np.sqrt(cc))
        gates[a] = min(gates[a], _gate_in_tet(aa, bb, cc, ab, ac, bc))
        gates[b] = min(gates[b], _gate_in_tet(bb, cc, aa, bc, ab, ac))
        gates[c] = min(gates[c], _gate_in_tet(cc, aa, bb, ac, bc, ab))
        back[a] = min(back[a], _least_lead(bb, cc, bc, ab, ac))
        back[b] = min(back[b], _least_lead(cc, aa, ac, bc, ab))
        back[c] = min(back[c], _least_lead(aa, bb, ab, ac, bc))
    else:
        gates[a] = min(gates[a], _gate_in_triangle(aa, bb, ab))
        gates[b] = min(gates[b], _gate_in_triangle(bb, aa, ab))
        back[a] = min(back[a], _least_lead(bb, bb, bb, ab, ab))
        back[b] = min(back[b], _least_lead(aa, aa, aa, ab, ab))


@njit(cache=True, error_model="numpy")
def _gate_in_triangle(aa: float, bb: float, ab: float) -> float:
    """The least lead over a that lets v, where the steps a and b start, shorten the way to a: <v, b> / |b| seen from a."""
    qq = aa + bb - 2 * ab
    out: float = (aa - ab) / np.sqrt(qq) if qq > 0 else -np.sqrt(aa)
    return out


@njit(cache=True, error_model="numpy")
def _gate_in_tet(aa: float, bb: float, cc: float, ab: float, ac: float, bc: float) -> float:
    """Likewise over the whole edge (b, c)."""
    out: float = _least_lead(aa + bb - 2 * ab, aa + cc - 2 * ac, aa + bc - ab - ac, aa - ab, aa - ac)
    return out


@njit(cache=True, error_model="numpy")
def _least_lead(pp: float, qq: float, pq: float, vp: float, vq: float) -> float:
    """The least <v, y> / |y| over y between p and q: at one of them, or straight away from v's shadow on their span."""
    if not (pp > 0 and qq > 0):
        return -np.inf
    least: float = min(vp / np.sqrt(pp), vq / np.sqrt(qq))
    area = pp * qq - pq * pq
    on_p, on_q = qq * vp - pq * vq, pp * vq - pq * vp
    if area > 1e-12 * pp * qq and on_p < 0 and on_q < 0:
        least = min(least, -np.sqrt((on_p * vp + on_q * vq) / area))
    return least
