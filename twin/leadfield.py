"""The body-surface ECG as a weighted histogram of activation times.

At an electrode at distance r in an unbounded, evenly conducting body,

    phi = -1 / (4 pi s_body) * integral of (s_i grad V) . grad(1/r) dV  =  sum over nodes of w_node V_node,

so the weights depend on heart and electrode alone: once they are known, an ECG is a sum over nodes sorted by time
[pseudo-ECG; conductivities of the ventricles doi:10.1098/rsta.2011.0139, as used by Niederer 2011].

Deviations: no lungs, no blood; of the torso surface only that it doubles potentials; the membrane voltage steps from rest
to plateau; repolarisation has the same form at every node, so that the T wave opposes the QRS, as in bundle branch block.

Units: mm, ms, mV, S/m.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from scipy.ndimage import gaussian_filter1d
from scipy.spatial import ConvexHull

from anatomy.arrays import Float, Int
from anatomy.heart import Heart, Tissue
from anatomy.laplace import shape_gradients
from anatomy.torso import ELECTRODES, Electrodes
from ml.ecg.recording import STANDARD_LEADS, Ecg
from twin.activation import Activation

# Nearer than this a point electrode sees single tetrahedra.
_CLOSEST_MM = 3.0
# A stretch of baseline before the first activation, without which no QRS onset could be measured.
LEAD_IN_MS = 100.0
_TAIL_MS = 60.0
_RATE_HZ = 1000.0


@dataclass(frozen=True, kw_only=True)
class Conductivity:
    """What carries current.

    Attributes:
        along_s_per_m, across_s_per_m: inside the cells, along and across the fibre [Niederer 2011].
        body_s_per_m: everywhere outside; our choice of an average torso.
        surface_gain: potential on the skin over that at the same place in an unbounded body; 2 on a flat surface, by the
            method of images.
    """

    along_s_per_m: float = 0.17
    across_s_per_m: float = 0.019
    body_s_per_m: float = 0.2
    surface_gain: float = 2.0


@dataclass(frozen=True, kw_only=True)
class ActionPotential:
    """The membrane voltage of every node after its activation.

    Attributes:
        rest_mv, plateau_mv: a step of 90 mV.
        upstroke_ms: standard deviation of the (Gaussian) rise; our choice, about the time a front takes to cross an edge.
        duration_ms: until half repolarised; None leaves repolarisation out. Our choice where given.
        fall_ms: standard deviation of the fall; our choice.
    """

    rest_mv: float = -90.0
    plateau_mv: float = 0.0
    upstroke_ms: float = 2.5
    duration_ms: float | None = None
    fall_ms: float = 25.0


class LeadField:
    """Turns activation times into 12-lead ECGs.

    Args:
        heart: scar core carries no current.
        electrodes: on the body surface, outside the heart, in the heart's frame.
        conductivity: of muscle and body.

    Raises:
        ValueError: if an electrode lies in or on the heart.
    """

    def __init__(self, heart: Heart, electrodes: Electrodes, conductivity: Conductivity | None = None) -> None:
        sigma = conductivity or Conductivity()
        hull = ConvexHull(heart.nodes_mm)
        for name, place in zip(ELECTRODES, electrodes.positions_mm, strict=True):
            outside = float((hull.equations @ np.append(place, 1.0)).max())
            if outside < _CLOSEST_MM:
                where = "inside the heart" if outside < 0 else f"{outside:.1f} mm from the heart"
                raise ValueError(
                    f"electrode {name} lies {where}, need at least {_CLOSEST_MM:g} mm outside: "
                    "are heart and electrodes in the same frame?"
                )
        self._weights = _weights(
            heart.nodes_mm,
            heart.tets,
            shape_gradients(heart.nodes_mm, heart.tets),
            np.where(heart.tissue == Tissue.CORE, 0.0, heart.tet_volumes_mm3),
            heart.fibres,
            electrodes.positions_mm,
            (sigma.along_s_per_m, sigma.across_s_per_m),
        )
        self._weights *= -sigma.surface_gain / (4 * np.pi * sigma.body_s_per_m)

    def ecg(self, activation: Activation, action_potential: ActionPotential | None = None) -> Ecg:
        """The twelve leads of one beat, at 1 kHz; activation time 0 is `LEAD_IN_MS` after the first sample."""
        shape = action_potential or ActionPotential()
        times = activation.times_ms
        last = activation.last_ms
        end = (last if np.isfinite(last) else 0.0) + _TAIL_MS
        if shape.duration_ms is not None:
            end += shape.duration_ms + 4 * shape.fall_ms
        n = int(np.ceil((LEAD_IN_MS + end) * _RATE_HZ / 1000)) + 1
        # One sample more than is kept: the last node's second half may fall behind the end.
        steps = np.zeros((n + 1, len(ELECTRODES)))
        # Each node steps between two samples; sharing it between them keeps the ECG smooth in time and in velocity. A
        # running sum has its step half a sample before the number that it adds.
        _add_steps(times * (_RATE_HZ / 1000), LEAD_IN_MS * _RATE_HZ / 1000 + 0.5, self._weights, steps)
        active = np.cumsum(steps[:n].T, axis=1)
        potential = gaussian_filter1d(active, shape.upstroke_ms * _RATE_HZ / 1000, axis=1, mode="nearest")
        if shape.duration_ms is not None:
            shift = round(shape.duration_ms * _RATE_HZ / 1000)
            over = np.zeros_like(active)
            over[:, shift:] = active[:, : n - shift]
            potential = potential - gaussian_filter1d(over, shape.fall_ms * _RATE_HZ / 1000, axis=1, mode="nearest")
        return Ecg(
            leads=STANDARD_LEADS,
            signal_mv=_twelve_leads((shape.plateau_mv - shape.rest_mv) * potential),
            rate_hz=_RATE_HZ,
        )


@njit(cache=True, error_model="numpy")
def _weights(
    nodes_mm: Float,
    tets: Int,
    gradients: Float,
    volumes: Float,
    fibres: Float,
    places_mm: Float,
    sigma: tuple[float, float],
) -> Float:
    """(n, k) the integral of (sigma grad u) . grad(1/r) for the shape function u of each node and each of k places.

    grad(1/r) is that at the middle of a tetrahedron; volumes, (m,), are those that carry current, sigma is along and across
    the fibre.
    """
    out = np.zeros((len(nodes_mm), len(places_mm)))
    along, across = sigma
    for i in range(len(tets)):
        if volumes[i] == 0:
            continue
        a, b, c, d = tets[i]
        g, f = gradients[i], fibres[i]
        for k in range(len(places_mm)):
            x = places_mm[k, 0] - (nodes_mm[a, 0] + nodes_mm[b, 0] + nodes_mm[c, 0] + nodes_mm[d, 0]) / 4
            y = places_mm[k, 1] - (nodes_mm[a, 1] + nodes_mm[b, 1] + nodes_mm[c, 1] + nodes_mm[d, 1]) / 4
            z = places_mm[k, 2] - (nodes_mm[a, 2] + nodes_mm[b, 2] + nodes_mm[c, 2] + nodes_mm[d, 2]) / 4
            square = x * x + y * y + z * z
            scale = volumes[i] / (square * np.sqrt(square))
            with_fibre = (along - across) * (f[0] * x + f[1] * y + f[2] * z)
            jx, jy, jz = across * x + with_fibre * f[0], across * y + with_fibre * f[1], across * z + with_fibre * f[2]
            for corner in range(4):
                out[tets[i, corner], k] += scale * (jx * g[corner, 0] + jy * g[corner, 1] + jz * g[corner, 2])
    return out


@njit(cache=True)
def _add_steps(places: Float, offset: float, weights: Float, out: Float) -> None:
    """Add the weights (n, k) of each node to the two rows of `out` (samples, k) around its place (n,), in samples."""
    for i in range(len(places)):
        if np.isfinite(places[i]):
            place = places[i] + offset
            first = int(np.floor(place))
            late = place - first
            for k in range(weights.shape[1]):
                out[first, k] += weights[i, k] * (1 - late)
                out[first + 1, k] += weights[i, k] * late


def _twelve_leads(potentials: Float) -> Float:
    """(12, t) Einthoven, Goldberger and Wilson leads from (9, t) electrode potentials."""
    phi = dict(zip(ELECTRODES, potentials, strict=True))
    ra, la, ll = phi["RA"], phi["LA"], phi["LL"]
    wilson = (ra + la + ll) / 3
    limb = [la - ra, ll - ra, ll - la, ra - (la + ll) / 2, la - (ra + ll) / 2, ll - (ra + la) / 2]
    return np.array(limb + [phi[name] - wilson for name in ELECTRODES[3:]])
