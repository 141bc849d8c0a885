"""Rule-based fibres after Bayer, Blake, Plank, Trayanova 2012 [doi:10.1007/s10439-012-0593-5].

In each tetrahedron a frame is made of the apex-to-base direction, the direction through the wall and the one across both
(circumferential). It is turned by the helix angle about the wall direction, then by the sheet angle about the fibre.

Deviations: the paper's own default helix angles are 40/-50 degrees; ours are +60/-60, as most later models take. The paper
turns one frame per surface and blends the turned frames by spherical interpolation, which takes the shorter way round: between
angles more than 90 degrees apart the fibre would jump within the wall. We blend the wall directions (all frames share
the apex-to-base direction) and the angles, which so change linearly from surface to surface, and turn once.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from anatomy.arrays import Float, Int
from anatomy.coordinates import WallFields
from anatomy.heart import Heart
from anatomy.laplace import LaplaceProblem, shape_gradients

# A field goes from 0 to 1 within some centimetres.
_FLAT_PER_MM = 1e-6
_PARALLEL = 1e-3


@dataclass(frozen=True, kw_only=True)
class FibreAngles:
    """Degrees, at the endocardium and the epicardium of both ventricles.

    Attributes:
        helix_endocardium, helix_epicardium: of the fibre to the circumferential direction; positive = right-handed.
        sheet_endocardium, sheet_epicardium: of the sheet to the direction through the wall.
    """

    helix_endocardium: float = 60.0
    helix_epicardium: float = -60.0
    sheet_endocardium: float = -65.0
    sheet_epicardium: float = 25.0

    def __post_init__(self) -> None:
        for name in ("helix_endocardium", "helix_epicardium", "sheet_endocardium", "sheet_epicardium"):
            if not -90 <= getattr(self, name) <= 90:
                raise ValueError(f"{name} = {getattr(self, name):g}, need -90 to 90 degrees")


def rule_based_fibres(
    tets: Int, problem: LaplaceProblem, fields: WallFields, angles: FibreAngles
) -> tuple[Float, Float]:
    """Fibre and sheet direction of each tetrahedron.

    Returns:
        two (m, 3) arrays of unit vectors at right angles.
    """
    from_lv, from_rv = (u[tets].mean(axis=1) for u in (fields.from_lv, fields.from_rv))
    total = from_lv + from_rv
    to_right = np.divide(from_rv, total, out=np.zeros_like(total), where=total > 0)
    outward = fields.from_epicardium[tets].mean(axis=1)

    up = _directions(problem.gradient(fields.apex_to_base), tets)
    # Deep in the rim of the base not even the neighbours have a slope: up is what it is in the whole heart.
    up[~up.any(axis=1)] = _unit(up.mean(axis=0, keepdims=True))
    away_from_lv, to_rv, to_outside = (
        _directions(problem.gradient(u), tets, across=up)
        for u in (-fields.from_lv, fields.from_rv, fields.from_epicardium)
    )
    wall = _unit((1 - to_right)[:, None] * away_from_lv + to_right[:, None] * to_rv)
    # Through the right free wall that direction points inwards; seen from outside, both angles change their sign.
    side = np.where(np.einsum("ij,ij->i", wall, to_outside) < 0, -1.0, 1.0)
    through = _unit(((1 - outward) * side)[:, None] * wall + outward[:, None] * to_outside)
    lost = ~np.any(through, axis=1)
    through[lost] = _any_normal(up[lost])

    endocardial = (1 - outward) * side * (1 - 2 * to_right)
    helix = angles.helix_endocardium * endocardial + angles.helix_epicardium * outward
    sheet = angles.sheet_endocardium * endocardial + angles.sheet_epicardium * outward
    around = np.cross(up, through)
    cos_helix, sin_helix = _cos_sin(helix)
    cos_sheet, sin_sheet = _cos_sin(sheet)
    fibres = cos_helix * around + sin_helix * up
    sheets = cos_sheet * through + sin_sheet * (cos_helix * up - sin_helix * around)
    return fibres, sheets


def endocardial_handedness(heart: Heart) -> float:
    """Which way the helix turns in the inner third of the left ventricle: +1 right-handed, as in mammals, to -1.

    The mean, by volume, of sin(2 x helix angle). A negative value means that fibres or heart are mirrored.
    """
    c = heart.coordinates
    inner = (c.transmural[heart.tets].mean(axis=1) < 1 / 3) & c.in_left_ventricle[heart.tets].all(axis=1)
    gradients = shape_gradients(heart.nodes_mm, heart.tets[inner])
    up, outward = (np.einsum("mi,mik->mk", u[heart.tets[inner]], gradients) for u in (c.apicobasal, c.transmural))
    up = _unit(up)
    circumferential = np.cross(up, _unit(_across(outward, up)))
    along, around = (np.einsum("ij,ij->i", heart.fibres[inner], axes) for axes in (up, circumferential))
    return float(np.average(2 * along * around, weights=heart.tet_volumes_mm3[inner]))


def _cos_sin(degrees: Float) -> tuple[Float, Float]:
    """(m, 1) each."""
    radians = np.radians(degrees)[:, None]
    return np.cos(radians), np.sin(radians)


def _directions(slopes: Float, tets: Int, across: Float | None = None) -> Float:
    """(m, 3) unit slopes, or unit parts of them across an axis; where nothing is left, those of the neighbours' mean.

    Nothing is left where all corners lie on one surface, or three on two surfaces at the rim of the base.
    """
    parts = slopes.copy() if across is None else _across(slopes, across)
    flat = np.flatnonzero(_lengths(parts) <= np.maximum(_FLAT_PER_MM, _PARALLEL * _lengths(slopes)))
    means = _neighbours_sum(slopes, tets, flat)
    parts[flat] = means if across is None else _across(means, across[flat])
    return _unit(parts)


@njit(cache=True)
def _neighbours_sum(values: Float, tets: Int, chosen: NDArray[np.intp]) -> Float:
    """(k, 3) the sum over the corners of each chosen tetrahedron of the values of all tetrahedra at that corner, over 4."""
    sums = np.zeros((tets.max() + 1, 3))
    for i in range(len(tets)):
        for v in tets[i]:
            for k in range(3):
                sums[v, k] += values[i, k]
    out = np.zeros((len(chosen), 3))
    for i in range(len(chosen)):
        for v in tets[chosen[i]]:
            for k in range(3):
                out[i, k] += sums[v, k] / 4
    return out


def _lengths(vectors: Float) -> Float:
    """(m,) as np.linalg.norm, several times faster."""
    lengths: Float = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    return lengths


def _across(vectors: Float, axes: Float) -> Float:
    """(m, 3) the part of each vector at right angles to a unit axis."""
    part: Float = vectors - np.einsum("ij,ij->i", vectors, axes)[:, None] * axes
    return part


def _unit(vectors: Float) -> Float:
    """Unit vectors; zero where there is no direction."""
    lengths = _lengths(vectors)[:, None]
    units: Float = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 1e-9)
    return units


def _any_normal(units: Float) -> Float:
    """(m, 3) some unit vector at right angles to each."""
    axis = np.eye(3)[np.abs(units).argmin(axis=1)]
    return _unit(np.cross(units, axis))
