"""Ventricular coordinates and AHA segments, from five Laplace problems and the heart's own axes.

The meaning of the coordinates follows Cobiveco [doi:10.1016/j.media.2021.102247]; the way to them is simpler:

- transmural: 1 minus the harmonic field that is 1 on the node's own endocardium and 0 on the other side of the wall,
  not a ratio of trajectory lengths (and 0 at the endocardium, where Cobiveco has 1);
- apicobasal: the apex-to-base harmonic field, stretched so that it grows with height along the long axis in
  each ventricle, not arc lengths on 48 contours (where the ventricles meet it jumps a little);
- rotational: the angle about the long axis between the two insertions of the right ventricle, whose angles are straight
  lines over the height; in the right ventricle the angle is mirrored, as there;
- transventricular: the septum belongs to the left ventricle.

AHA segments: bounds in apicobasal and rotational as in Cobiveco's parcellation.
"""

from dataclasses import dataclass

import numpy as np

from anatomy.arrays import Bool, Byte, Float
from anatomy.axes import HeartAxes
from anatomy.heart import Coordinates, HeartMesh, Surface
from anatomy.laplace import LaplaceProblem

ANTERIOR_INSERTION = 2 / 3
APEX_END, APICAL_END, MID_END = 0.1, 0.4, 0.7
# The apical condition holds on a small cap, for on one point it would depend on the mesh.
_APEX_CAP = 0.03


@dataclass(frozen=True, kw_only=True, eq=False)
class WallFields:
    """The harmonic fields on which coordinates and fibres rest; all (n,), 0 to 1.

    Attributes:
        from_lv: 1 on the LV endocardium; 0 on the epicardium and the RV endocardium.
        from_rv: 1 on the RV endocardium; 0 on the epicardium and the LV endocardium.
        lv_side: 1 on the LV endocardium, 0 on the epicardium, free on the RV endocardium: high in the septum.
        rv_share: 1 on the RV endocardium, 0 on the LV endocardium, free on the epicardium: which ventricle is nearer.
        apex_to_base: 0 on the apical cap, 1 on the base.
    """

    from_lv: Float
    from_rv: Float
    lv_side: Float
    rv_share: Float
    apex_to_base: Float

    @property
    def from_epicardium(self) -> Float:
        """1 on the epicardium, 0 on both endocardia: what the other two leave."""
        return np.clip(1 - self.from_lv - self.from_rv, 0, 1)


def wall_fields(mesh: HeartMesh, problem: LaplaceProblem, axes: HeartAxes) -> WallFields:
    """Solve the five problems; the surfaces without a condition let nothing through."""
    epicardium = mesh.nodes_of(Surface.EPICARDIUM)
    lv, rv = mesh.nodes_of(Surface.LV_ENDOCARDIUM), mesh.nodes_of(Surface.RV_ENDOCARDIUM)
    to_apex = np.linalg.norm(mesh.nodes_mm - axes.apex_mm, axis=1)
    cap = np.flatnonzero(to_apex <= max(_APEX_CAP * axes.length_mm, float(to_apex.min()))).astype(np.int32)
    return WallFields(
        from_lv=problem.solve((epicardium, 0.0), (rv, 0.0), (lv, 1.0)),
        from_rv=problem.solve((epicardium, 0.0), (lv, 0.0), (rv, 1.0)),
        lv_side=problem.solve((epicardium, 0.0), (lv, 1.0)),
        rv_share=problem.solve((lv, 0.0), (rv, 1.0)),
        apex_to_base=problem.solve((cap, 0.0), (mesh.nodes_of(Surface.BASE), 1.0)),
    )


def ventricular_coordinates(mesh: HeartMesh, fields: WallFields, axes: HeartAxes) -> Coordinates:
    """The coordinates of every node.

    Raises:
        ValueError: if no part of the RV endocardium faces the septum.
    """
    right = (fields.rv_share > 0.5) & (fields.lv_side < 0.5)
    apicobasal = np.where(right, _apicobasal(mesh, fields, axes, right), _apicobasal(mesh, fields, axes, ~right))
    rotational = _rotational(mesh, fields, axes, apicobasal, right)
    return Coordinates(
        apicobasal=apicobasal,
        transmural=np.clip(1 - np.where(right, fields.from_rv, fields.from_lv), 0, 1),
        rotational=rotational,
        transventricular=right.astype(np.float64),
        aha=np.where(right, 0, aha_segments(apicobasal, rotational)).astype(np.int8),
    )


def aha_segments(apicobasal: Float, rotational: Float) -> Byte:
    """(n,) AHA segment 1 to 17 of left-ventricular positions."""
    # Basal and mid rings start at the anterior insertion's free-wall side: anterior 1/2 to 2/3, then towards the septum.
    sixth = np.floor(((rotational - 0.5) % 1.0) * 6).astype(int) % 6
    quarter = np.floor(((rotational - 11 / 24) % 1.0) * 4).astype(int) % 4
    segments = np.where(apicobasal >= MID_END, 1 + sixth, 7 + sixth)
    segments = np.where(apicobasal < APICAL_END, 13 + quarter, segments)
    return np.where(apicobasal < APEX_END, 17, segments).astype(np.int8)


def _apicobasal(mesh: HeartMesh, fields: WallFields, axes: HeartAxes, ventricle: Bool) -> Float:
    """Stretch the harmonic field to the mean height that it has in one ventricle, keeping its order."""
    levels = np.linspace(0, 1, 41)
    psi, height = fields.apex_to_base[ventricle], np.clip(axes.height(mesh.nodes_mm[ventricle]), 0, None)
    bins = np.clip(np.digitize(psi, levels) - 1, 0, len(levels) - 2)
    weights = mesh.node_volumes_mm3[ventricle]
    filled = np.bincount(bins, weights=weights, minlength=len(levels) - 1)
    mean = np.bincount(bins, weights=weights * height, minlength=len(levels) - 1)[filled > 0] / filled[filled > 0]
    centres = ((levels[:-1] + levels[1:]) / 2)[filled > 0]
    curve = np.maximum.accumulate(np.concatenate([[0.0], mean]))
    stretched = np.interp(fields.apex_to_base, np.concatenate([[0.0], centres]), curve)
    # The last bin's mean stands for its middle; the base itself is 1 by definition.
    return np.clip(np.where(fields.apex_to_base >= 1, 1.0, stretched / curve[-1]), 0, 1)


def _rotational(mesh: HeartMesh, fields: WallFields, axes: HeartAxes, apicobasal: Float, right: Bool) -> Float:
    """Angle about the long axis, in units in which the insertions lie at 0 and 2/3 at every height."""
    rv = mesh.nodes_of(Surface.RV_ENDOCARDIUM)
    septal = rv[fields.lv_side[rv] > 0.5]
    if not septal.size:
        raise ValueError("no part of the RV endocardium faces the septum: check the surface tags 3 (LV) and 4 (RV)")
    anterior = _insertion(axes.angle(mesh.nodes_mm[septal]), apicobasal[septal], 0.97)(apicobasal)
    inferior = _insertion(axes.angle(mesh.nodes_mm[septal]), apicobasal[septal], 0.03)(apicobasal)
    angle = axes.angle(mesh.nodes_mm)
    through_septum = np.clip((anterior - angle) / (anterior - inferior), 0, 1)
    past_anterior = (angle - anterior) % (2 * np.pi)
    through_free_wall = np.clip(past_anterior / (2 * np.pi - (anterior - inferior)), 0, 1)
    in_septum = (angle <= anterior) & (angle >= inferior)
    left = np.where(
        in_septum,
        ANTERIOR_INSERTION + (1 - ANTERIOR_INSERTION) * through_septum,
        ANTERIOR_INSERTION * (1 - through_free_wall),
    )
    return np.where(right, ANTERIOR_INSERTION * (1 - through_septum), left) % 1.0


class _insertion:  # noqa: N801 - reads as a function: insertion(angles, heights, quantile)(height)
    """Angle of one insertion over the height: a straight line through a quantile of the septal angles, level by level."""

    def __init__(self, angles: Float, heights: Float, quantile: float) -> None:
        levels = np.linspace(0.15, 0.85, 15)
        seen = [np.abs(heights - level) < 0.05 for level in levels]
        points = [
            (level, np.quantile(angles[near], quantile))
            for level, near in zip(levels, seen, strict=True)
            if near.sum() >= 5
        ]
        if len(points) < 2:
            points = [(0.0, float(np.quantile(angles, quantile))), (1.0, float(np.quantile(angles, quantile)))]
        at, value = np.array(points).T
        self._line = np.polynomial.Polynomial.fit(at, value, 1)
        self._first, self._last = at[0], at[-1]

    def __call__(self, heights: Float) -> Float:
        line: Float = self._line(np.clip(heights, self._first, self._last))
        return line
