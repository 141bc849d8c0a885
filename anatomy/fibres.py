"""Rule-based fibres after Bayer, Blake, Plank, Trayanova 2012 [doi:10.1007/s10439-012-0593-5].

In each tetrahedron three local frames are made of the apex-to-base direction and the direction through the wall, one seen
from each surface. Each is turned by the helix angle (about the wall direction) and by the sheet angle (about
the fibre), both of which change linearly through the wall, and the three are blended by spherical interpolation.

Deviation: the paper's own default helix angles are 40/-50 degrees; ours are +60/-60, as most later models take.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from anatomy.arrays import Float, Int
from anatomy.coordinates import WallFields
from anatomy.laplace import LaplaceProblem


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


def rule_based_fibres(
    tets: Int, problem: LaplaceProblem, fields: WallFields, angles: FibreAngles
) -> tuple[Float, Float]:
    """Fibre and sheet direction of each tetrahedron.

    Returns:
        two (m, 3) arrays of unit vectors at right angles.
    """
    inside = {name: getattr(fields, name)[tets].mean(axis=1) for name in ("from_lv", "from_rv", "from_epicardium")}
    up = problem.gradient(fields.apex_to_base)
    left, right, outer = (problem.gradient(u) for u in (fields.from_lv, fields.from_rv, fields.from_epicardium))

    total = inside["from_lv"] + inside["from_rv"]
    to_right = np.divide(inside["from_rv"], total, out=np.zeros_like(total), where=total > 0)
    helix_wall = angles.helix_endocardium * (1 - 2 * to_right)
    sheet_wall = angles.sheet_endocardium * (1 - 2 * to_right)
    outward = inside["from_epicardium"]
    helix_depth = angles.helix_endocardium * (1 - outward) + angles.helix_epicardium * outward
    sheet_depth = angles.sheet_endocardium * (1 - outward) + angles.sheet_epicardium * outward

    seen_from_lv = _turned_frame(up, -left, helix_wall, sheet_wall)
    seen_from_rv = _turned_frame(up, right, helix_wall, sheet_wall)
    seen_from_outside = _turned_frame(up, outer, helix_depth, sheet_depth)
    wall = _blend(seen_from_lv, seen_from_rv, to_right)
    frame = Rotation.from_quat(_blend(wall, seen_from_outside, outward)).as_matrix()
    return frame[:, :, 0], frame[:, :, 2]


def _turned_frame(up: Float, through_wall: Float, helix_deg: Float, sheet_deg: Float) -> Float:
    """(m, 4) quaternions of the frame (circumferential, up, through the wall), turned by both angles."""
    longitudinal = _unit(up)
    normal = through_wall - np.einsum("ij,ij->i", through_wall, longitudinal)[:, None] * longitudinal
    normal = _unit(normal, fallback=_any_normal(longitudinal))
    frame = np.stack([np.cross(longitudinal, normal), longitudinal, normal], axis=2)
    turn = Rotation.from_euler("ZX", np.column_stack([helix_deg, -sheet_deg]), degrees=True)
    quaternions: Float = (Rotation.from_matrix(frame) * turn).as_quat()
    return quaternions


def _blend(start: Float, end: Float, share: Float) -> Float:
    """Spherical interpolation to whichever of the four frames that mean the same axes lies nearest to `end`."""
    x, y, z, w = start.T
    same_axes = np.stack([start, np.stack([w, z, -y, -x], 1), np.stack([-z, w, x, -y], 1), np.stack([y, -x, w, -z], 1)])
    closeness = np.einsum("vij,ij->vi", same_axes, end)
    best = np.abs(closeness).argmax(axis=0)
    pick = np.arange(len(end))
    cosine = closeness[best, pick]
    near = same_axes[best, pick] * np.where(cosine < 0, -1.0, 1.0)[:, None]
    arc = np.arccos(np.clip(np.abs(cosine), 0, 1))
    small = arc < 1e-6
    sine = np.where(small, 1.0, np.sin(arc))
    first = np.where(small, 1 - share, np.sin((1 - share) * arc) / sine)
    second = np.where(small, share, np.sin(share * arc) / sine)
    return _unit(first[:, None] * near + second[:, None] * end)


def _unit(vectors: Float, fallback: Float | None = None) -> Float:
    """Unit vectors; where a gradient vanishes (apex, surface junctions), the fallback or the first axis."""
    lengths = np.linalg.norm(vectors, axis=1)
    other = np.broadcast_to(np.eye(vectors.shape[1])[0], vectors.shape) if fallback is None else fallback
    flat = lengths < 1e-12
    units: Float = np.where(flat[:, None], other, vectors / np.where(flat, 1.0, lengths)[:, None])
    return units


def _any_normal(units: Float) -> Float:
    """(m, 3) some unit vector at right angles to each."""
    axis = np.eye(3)[np.abs(units).argmin(axis=1)]
    return _unit(np.cross(units, axis))
