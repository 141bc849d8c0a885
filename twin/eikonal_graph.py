"""What the eikonal solver walks on: for each node, the simplices around it and their shape in the metric of their tissue.

A simplex of the star of node v is stored as the numbers of its other nodes and the inner products <i, j> = e_i . M e_j of
their edges e_i = x_i - x_v. These, and the squared volume of a tetrahedron, are all that the local solver needs: it sees
neither coordinates nor tensors nor orientation. Myocardium is the stars of tetrahedra; the fast endocardium is stars of
triangles in an isotropic metric of its own.

Units: mm, ms; inner products in ms^2.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anatomy.arrays import Bool, Float, Int
from anatomy.heart import Heart, Surface, Tissue
from twin.conduction import Conduction

TET_COLUMNS = 7
TRIANGLE_COLUMNS = 3
_FACES = np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])


@dataclass(frozen=True, kw_only=True, eq=False)
class Star:
    """The simplices around each node; those of node v stand in rows `first[v]` to `first[v + 1]`.

    Attributes:
        first: (n + 1,) int64.
        others: (r, 3 or 2) int32, the other nodes a, b, c of a tetrahedron or a, b of a triangle.
        shape: (r, 7) ms^2, the inner products aa, bb, cc, ab, ac, bc and the Gram determinant (ms^6); or (r, 3): aa, bb, ab.
    """

    first: NDArray[np.int64]
    others: Int
    shape: Float


def star_of_tets(nodes_mm: Float, tets: Int, metric: Float) -> Star:
    """The stars of tetrahedra whose metric is (m, 3, 3) ms^2/mm^2."""
    first, tet, corner = _incidence(tets, len(nodes_mm))
    others = tets[tet[:, None], _FACES[corner]]
    # Cholesky: |e|^2 in the metric is the plain square of e L. Its determinant turns a volume in mm^3 into one in ms^3.
    root = np.linalg.cholesky(metric)
    sides = nodes_mm[tets[:, 1:]] - nodes_mm[tets[:, :1]]
    # The determinant of the Gram matrix, taken as a squared volume: the Gram entries of a sliver would cancel.
    volumes = np.linalg.det(sides) * np.prod(np.diagonal(root, axis1=1, axis2=2), axis=1)
    shape = np.empty((len(tet), TET_COLUMNS))
    for k in range(4):
        rows = corner == k
        own = tet[rows]
        edges = (nodes_mm[tets[own][:, _FACES[k]]] - nodes_mm[tets[own, k]][:, None]) @ root[own]
        shape[rows, :3] = np.einsum("nki,nki->nk", edges, edges)
        shape[rows, 3] = np.einsum("ni,ni->n", edges[:, 0], edges[:, 1])
        shape[rows, 4] = np.einsum("ni,ni->n", edges[:, 0], edges[:, 2])
        shape[rows, 5] = np.einsum("ni,ni->n", edges[:, 1], edges[:, 2])
    shape[:, 6] = volumes[tet] ** 2
    return Star(first=first, others=others, shape=shape)


def star_of_triangles(nodes_mm: Float, triangles: Int, speeds_m_per_s: Float) -> Star:
    """The stars of triangles on which the front travels at (t,) these speeds in every direction."""
    first, triangle, corner = _incidence(triangles, len(nodes_mm))
    others = triangles[triangle[:, None], np.array([[1, 2], [0, 2], [0, 1]])[corner]]
    edges = (nodes_mm[others] - nodes_mm[triangles[triangle, corner]][:, None]) / speeds_m_per_s[triangle, None, None]
    shape = np.empty((len(triangle), TRIANGLE_COLUMNS))
    shape[:, :2] = np.einsum("nki,nki->nk", edges, edges)
    shape[:, 2] = np.einsum("ni,ni->n", edges[:, 0], edges[:, 1])
    return Star(first=first, others=others, shape=shape)


def fast_triangles(heart: Heart, conduction: Conduction) -> tuple[Int, Float]:
    """The endocardial triangles that carry a fast layer, and its speed on each.

    A triangle carries it if its ventricle has a layer, all its nodes lie within the extent, and the tetrahedron beneath
    it is healthy.

    Returns:
        (k, 3) node numbers; (k,) m/s.
    """
    within = heart.coordinates.apicobasal <= conduction.endocardium_extent
    chosen, speeds = [], []
    for surface, speed in (
        (Surface.LV_ENDOCARDIUM, conduction.lv_endocardium_m_per_s),
        (Surface.RV_ENDOCARDIUM, conduction.rv_endocardium_m_per_s),
    ):
        if speed is not None:
            triangles = heart.triangles_of(surface)
            chosen.append(triangles[within[triangles].all(axis=1)])
            speeds.append(np.full(len(chosen[-1]), speed))
    if not chosen:
        return np.empty((0, 3), dtype=np.int32), np.empty(0)
    triangles = np.concatenate(chosen)
    healthy = _are_faces_of(triangles, heart.tets[heart.tissue == Tissue.HEALTHY])
    return triangles[healthy], np.concatenate(speeds)[healthy]


def _are_faces_of(triangles: Int, tets: Int) -> Bool:
    """(t,) whether each triangle is a face of one of the tetrahedra."""
    corners = np.unique(triangles)

    def keys(faces: Int) -> NDArray[np.int64]:
        low, middle, high = np.sort(np.searchsorted(corners, faces).astype(np.int64), axis=1).T
        key: NDArray[np.int64] = (low * len(corners) + middle) * len(corners) + high
        return key

    faces = tets[:, _FACES].reshape(-1, 3)
    faces = faces[np.isin(faces, corners).all(axis=1)]
    found: Bool = np.isin(keys(triangles), keys(faces))
    return found


def _incidence(cells: Int, n: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Which cells meet at each of n nodes: first row of each node, then (cell, the node's place in it) row by row."""
    width = cells.shape[1]
    order = np.argsort(cells.ravel(), kind="stable")
    first = np.zeros(n + 1, dtype=np.int64)
    np.cumsum(np.bincount(cells.ravel(), minlength=n), out=first[1:])
    cell, corner = np.divmod(order, width)
    return first, cell, corner
