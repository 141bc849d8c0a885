"""One mesh of a heart that came in several bodies.

Some meshes model the right ventricle as a body of its own that only lies against the left one. Nothing can spread across such
a join. Here the union of the bodies, with narrow gaps closed, is filled anew and tagged by its shape.

Units: mm.
"""

import numpy as np
from scipy import ndimage
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from anatomy.arrays import Float, Int
from anatomy.boundary import face_links, face_neighbours, outer_faces
from anatomy.boundary_tags import tag_boundary
from anatomy.heart import HeartMesh, tet_volumes_mm3
from anatomy.surface_meshing import distance_grid, signed_distance
from anatomy.walls import fill_walls

# Bodies that lie this close together are joined; half of it from each side.
_GAP_MM = 2.0


def body_count(tets: Int, n: int) -> int:
    """How many bodies the tetrahedra on n nodes form that share no faces."""
    return int(connected_components(face_links(face_neighbours(tets, n)), directed=False)[0])


def remesh(nodes_mm: Float, tets: Int, edge_mm: float) -> tuple[HeartMesh, Int]:
    """Tetrahedra that fill the same space in one piece, with a tagged boundary.

    Args:
        nodes_mm: (n, 3).
        tets: (m, 4) of positive volume, in one or more bodies.
        edge_mm: mean edge length of the new mesh.

    Returns:
        The mesh, and (k,) for each of its tetrahedra the one of the old mesh whose centre is nearest.

    Raises:
        ValueError: where walls are too thin for the edges, the bodies lie apart, or the shape has not two open cavities.
    """
    neighbours = face_neighbours(tets, len(nodes_mm))
    _, body = connected_components(face_links(neighbours), directed=False)
    triangles, owner = outer_faces(tets, neighbours)
    low, counts, step = distance_grid(nodes_mm, edge_mm)
    union = np.full(tuple(counts), np.inf)
    for one in np.unique(body):
        union = np.minimum(union, signed_distance(nodes_mm, triangles[body[owner] == one], low, counts, step))
    near = union < _GAP_MM / 2
    closed = _GAP_MM / 2 - (ndimage.distance_transform_edt(near, sampling=step) - step / 2)
    volume = float(tet_volumes_mm3(nodes_mm, tets).sum())
    inner, filled = fill_walls(np.minimum(union, closed), np.full(3, step), edge_mm, volume)
    inner += low
    faces, surface = tag_boundary(inner, filled)
    mesh = HeartMesh(nodes_mm=inner, tets=filled, triangles=faces, surface=surface)
    _, nearest = KDTree(nodes_mm[tets].mean(axis=1)).query(mesh.nodes_mm[mesh.tets].mean(axis=1))
    return mesh, nearest.astype(np.int32)
