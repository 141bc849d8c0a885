"""The heart's own axes: where its long axis runs and on which side the right ventricle lies.

Base-to-apex and right-to-left directions are found from the endocardial surfaces alone, so that they hold in any frame.
"""

from dataclasses import dataclass

import numpy as np

from anatomy.arrays import Float, Int
from anatomy.heart import HeartMesh, Surface


@dataclass(frozen=True, kw_only=True, eq=False)
class HeartAxes:
    """Right-handed frame of the left ventricle.

    Attributes:
        base_mm: (3,) centre of the left-ventricular openings.
        apex_mm: (3,) the epicardial node nearest to the far end of the long axis.
        long_axis: (3,) unit, from apex to base.
        septal: (3,) unit, across the long axis, from the left ventricle towards the right one.
        anterior: (3,) unit, long_axis x septal: towards the front wall.
    """

    base_mm: Float
    apex_mm: Float
    long_axis: Float
    septal: Float
    anterior: Float

    @property
    def length_mm(self) -> float:
        """From the base centre to the apex, along the long axis."""
        return float((self.base_mm - self.apex_mm) @ self.long_axis)

    def height(self, points_mm: Float) -> Float:
        """(k,) position along the long axis: 0 at the apex, 1 at the base centre."""
        heights: Float = (points_mm - self.apex_mm) @ self.long_axis / self.length_mm
        return heights

    def angle(self, points_mm: Float) -> Float:
        """(k,) radians about the long axis in -pi..pi: 0 towards the right ventricle, positive towards the front wall."""
        across = points_mm - self.base_mm
        return np.arctan2(across @ self.anterior, across @ self.septal)


def heart_axes(mesh: HeartMesh) -> HeartAxes:
    """The axes of a heart in whatever frame it is given.

    Raises:
        ValueError: if the left-ventricular endocardium nowhere meets the base: the ventricle has no opening.
    """
    lv = mesh.nodes_of(Surface.LV_ENDOCARDIUM)
    ring = np.intersect1d(lv, mesh.nodes_of(Surface.BASE))
    if not ring.size:
        raise ValueError("the LV endocardium nowhere meets the base: tag the valve plane as base (surface 1)")
    nodes = mesh.nodes_mm
    base = nodes[ring].mean(axis=0)
    cavity_apex = nodes[lv[np.linalg.norm(nodes[lv] - base, axis=1).argmax()]]
    axis = _unit(base - cavity_apex)
    # The farthest single node scatters by some millimetres: let the lowest fiftieth of the cavity decide.
    depth = (nodes[lv] - base) @ axis
    axis = _unit(base - nodes[lv[depth <= np.quantile(depth, 0.02)]].mean(axis=0))
    septal = _centre(mesh, mesh.triangles_of(Surface.RV_ENDOCARDIUM)) - _centre(
        mesh, mesh.triangles_of(Surface.LV_ENDOCARDIUM)
    )
    septal = _unit(septal - (septal @ axis) * axis)
    return HeartAxes(
        base_mm=base,
        apex_mm=_epicardial_apex(mesh, base, axis),
        long_axis=axis,
        septal=septal,
        anterior=np.cross(axis, septal),
    )


def _epicardial_apex(mesh: HeartMesh, base: Float, axis: Float) -> Float:
    """The epicardial node nearest to where the axis leaves the heart (beside it the right ventricle may reach lower)."""
    epicardium = mesh.nodes_mm[mesh.nodes_of(Surface.EPICARDIUM)]
    down = (base - epicardium) @ axis
    off_axis = np.linalg.norm(base - epicardium - down[:, None] * axis, axis=1)
    apex: Float = epicardium[np.where(down > 0, off_axis, np.inf).argmin()]
    return apex


def _centre(mesh: HeartMesh, triangles: Int) -> Float:
    corners = mesh.nodes_mm[triangles]
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    return np.average(corners.mean(axis=1), axis=0, weights=areas)


def _unit(vector: Float) -> Float:
    unit: Float = vector / np.linalg.norm(vector)
    return unit
