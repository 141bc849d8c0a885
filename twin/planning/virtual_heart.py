"""Hearts of virtual patients, meshed and completed in a fraction of the time of a mesher and `anatomy.build`.

All phantom meshes of one edge length share their connectivity, so that a node means the same place in each. The
harmonic fields of coordinates and fibres are therefore solved once, on the default phantom, and carried along; heights,
insertions and gradients are each heart's own. Truth and planner so differ in their fibres by more than the angles.

Units: mm.
"""

from dataclasses import fields, replace
from functools import lru_cache

import numpy as np

from anatomy.arrays import Byte, Float, Int
from anatomy.axes import heart_axes
from anatomy.coordinates import WallFields, ventricular_coordinates, wall_fields
from anatomy.fibres import FibreAngles, rule_based_fibres
from anatomy.heart import Heart, HeartMesh
from anatomy.laplace import LaplaceProblem, shape_gradients
from anatomy.phantom import MIN_WALL_MM, Phantom
from anatomy.phantom_mesh import mesh_phantom


class ShapeError(ValueError):
    """This phantom is too far from the middle of the ranges to be meshed from the template."""


class _Slopes(LaplaceProblem):
    """A problem of which only gradients are asked: its matrix is not assembled."""

    def __init__(self, nodes_mm: Float, tets: Int) -> None:
        # Without the base class's: it would assemble.
        self._tets = tets
        self._gradients = shape_gradients(nodes_mm, tets)


def phantom_mesh(phantom: Phantom, edge_mm: float) -> HeartMesh:
    """The phantom's mesh, made at the default phantom's volume and brought to its own: edges grow with the heart.

    Args:
        phantom: of any volume; in proportion about within `anatomy.phantom.RANGES`.
        edge_mm: in a heart of the default volume.

    Raises:
        ShapeError: if the mesh cannot be made.
    """
    size = (phantom.lv_cavity_ml / Phantom().lv_cavity_ml) ** (1 / 3)
    lengths = {one.name: getattr(phantom, one.name) / size for one in fields(phantom) if one.name.endswith("_mm")}
    # What is thinner than a phantom's walls may be at that volume is a little thicker than asked for.
    walls = {name: max(length, MIN_WALL_MM) for name, length in lengths.items() if "wall" in name}
    alike = replace(phantom, **lengths | walls)
    try:
        return mesh_phantom(alike, edge_mm, scale=size).mesh
    except ValueError as fault:
        raise ShapeError(str(fault)) from fault


def true_heart(mesh: HeartMesh, edge_mm: float, tissue: Byte, angles: FibreAngles) -> Heart:
    """The heart of a mesh that `phantom_mesh` made at this edge length.

    Args:
        mesh: of any phantom.
        edge_mm: that it was made with.
        tissue: (m,) a `Tissue` per tetrahedron.
        angles: of the fibres.
    """
    walls = _wall_fields(edge_mm)
    fibres, sheets = rule_based_fibres(mesh.tets, _Slopes(mesh.nodes_mm, mesh.tets), walls, angles)
    return Heart(
        nodes_mm=mesh.nodes_mm,
        tets=mesh.tets,
        triangles=mesh.triangles,
        surface=mesh.surface,
        tissue=np.asarray(tissue),
        fibres=fibres,
        sheets=sheets,
        coordinates=ventricular_coordinates(mesh, walls, heart_axes(mesh)),
    )


@lru_cache
def _wall_fields(edge_mm: float) -> WallFields:
    mesh = phantom_mesh(Phantom(), edge_mm)
    return wall_fields(mesh, LaplaceProblem(mesh.nodes_mm, mesh.tets), heart_axes(mesh))
