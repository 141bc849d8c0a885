"""From a mesh to a simulation-ready heart: coordinates, fibres, tissue, whatever the file did not bring."""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from anatomy.arrays import Byte, Float, frozen
from anatomy.axes import heart_axes
from anatomy.coordinates import ventricular_coordinates, wall_fields
from anatomy.fibres import FibreAngles, rule_based_fibres
from anatomy.heart import Heart, HeartMesh, Tissue
from anatomy.laplace import LaplaceProblem


def complete_heart(
    mesh: HeartMesh,
    *,
    tissue: Byte | None = None,
    fibres: Float | None = None,
    sheets: Float | None = None,
    angles: FibreAngles | None = None,
) -> Heart:
    """Compute what is missing; what is given is kept.

    Args:
        mesh: the geometry.
        tissue: (m,) a `Tissue` per tetrahedron; healthy where not given. Living islands inside scar core, which nothing
            could ever activate, become core themselves.
        fibres: (m, 3) unit vectors; rule-based where not given.
        sheets: (m, 3) unit vectors at right angles to `fibres`; rule-based where not given.
        angles: of rule-based fibres.

    Raises:
        ValueError: if sheets are given without fibres, or as `Heart`.
    """
    if sheets is not None and fibres is None:
        raise ValueError("sheets are given without fibres: give both, or neither")
    axes = heart_axes(mesh)
    problem = LaplaceProblem(mesh.nodes_mm, mesh.tets)
    fields = wall_fields(mesh, problem, axes)
    if fibres is not None:
        fibres = frozen(fibres, np.float64, name="fibres", shape=(len(mesh.tets), 3))
    if fibres is None or sheets is None:
        ruled, ruled_sheets = rule_based_fibres(mesh.tets, problem, fields, angles or FibreAngles())
        if fibres is None:
            fibres, sheets = ruled, ruled_sheets
        else:
            sheets = _across(ruled_sheets, fibres)
    return Heart(
        nodes_mm=mesh.nodes_mm,
        tets=mesh.tets,
        triangles=mesh.triangles,
        surface=mesh.surface,
        tissue=np.zeros(len(mesh.tets), dtype=np.int8) if tissue is None else _without_islands(mesh, tissue),
        fibres=fibres,
        sheets=sheets,
        coordinates=ventricular_coordinates(mesh, fields, axes),
    )


def _without_islands(mesh: HeartMesh, tissue: Byte) -> Byte:
    """The tissue with every living piece but the largest turned into core; pieces that share a node are one."""
    tissue = frozen(tissue, np.int8, name="tissue", shape=(len(mesh.tets),))
    living = np.flatnonzero(tissue != Tissue.CORE)
    if not living.size:
        raise ValueError("all muscle is scar core: nothing could be activated; check the array `tissue`")
    tets, n = mesh.tets[living], len(mesh.nodes_mm)
    spokes = np.repeat(tets[:, 0], 3), tets[:, 1:].ravel()
    graph = coo_array((np.ones(len(spokes[0]), dtype=np.int8), spokes), shape=(n, n))
    _, piece_of_node = connected_components(graph, directed=False)
    piece = piece_of_node[tets[:, 0]]
    volumes = np.bincount(piece, weights=mesh.tet_volumes_mm3[living])
    joined = tissue.copy()
    joined[living[piece != volumes.argmax()]] = Tissue.CORE
    return joined


def _across(vectors: Float, fibres: Float) -> Float:
    """The part of each vector at right angles to the fibre; any such direction where the two run along each other."""
    part = vectors - np.einsum("ij,ij->i", vectors, fibres)[:, None] * fibres
    along = np.linalg.norm(part, axis=1) < 1e-3
    part[along] = np.cross(fibres[along], np.eye(3)[np.abs(fibres[along]).argmin(axis=1)])
    across: Float = part / np.linalg.norm(part, axis=1, keepdims=True)
    return across
