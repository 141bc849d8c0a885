"""The boundary of a tetrahedral mesh: its faces, how they hang together, and cleaning the tags they carry."""

import numpy as np
from numba import njit
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from anatomy.arrays import Byte, Float, Int

# A patch of a tag with a smaller share of its faces is noise.
_SPECK_SHARE = 0.05
# Corner numbers of the face opposite each corner, outward for a tetrahedron of positive volume.
_FACES = np.array([[1, 2, 3], [0, 3, 2], [0, 1, 3], [0, 2, 1]], dtype=np.int32)


def face_neighbours(tets: Int, n: int) -> Int:
    """(m, 4) the tetrahedron across the face opposite each corner, or -1 where the face is on the boundary.

    Raises:
        ValueError: where more than two tetrahedra share a face.
    """
    tets = np.ascontiguousarray(tets, dtype=np.int32)
    out = np.full(tets.shape, -1, dtype=np.int32)
    crowded: int = _face_neighbours(tets, n, out)
    if crowded >= 0:
        raise ValueError(
            f"tets[{crowded}] = {tets[crowded].tolist()} shares a face with two others: tetrahedra overlap or "
            "occur twice; remove the copies"
        )
    return out


def boundary_triangles(tets: Int) -> Int:
    """(t, 3) int32 the faces that occur once, turning counter-clockwise seen from outside (for positive volumes)."""
    n = int(np.max(tets)) + 1 if len(tets) else 0
    return outer_faces(tets, face_neighbours(tets, n))[0]


def outer_faces(tets: Int, neighbours: Int) -> tuple[Int, Int]:
    """(t, 3) boundary faces, and (t,) the tetrahedron of each."""
    tet, corner = np.nonzero(neighbours < 0)
    faces: Int = np.take_along_axis(tets[tet], _FACES[corner], axis=1).astype(np.int32)
    return faces, tet.astype(np.int32)


def face_links(neighbours: Int) -> sparse.coo_matrix:
    """(m, m) ones where two tetrahedra share a face."""
    tet, corner = np.nonzero(neighbours >= 0)
    m = len(neighbours)
    return sparse.coo_matrix((np.ones(len(tet), dtype=np.int8), (tet, neighbours[tet, corner])), shape=(m, m))


def triangle_edges(triangles: Int) -> tuple[Int, Int, Int]:
    """(3t, 2) edges, smaller node first, sorted; (3t,) the triangle of each; (3t,) which distinct edge, from 0."""
    edges = np.sort(triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1).astype(np.int64)
    key = edges[:, 0] * (int(triangles.max()) + 1) + edges[:, 1]
    order = np.argsort(key, kind="stable")
    number = np.concatenate([[0], np.cumsum(np.diff(key[order]) != 0)])
    return edges[order].astype(np.int32), (order // 3).astype(np.int32), number.astype(np.int32)


def without_specks(triangles: Int, centres: Float, surface: Byte) -> Byte:
    """Small patches of a tag take the tag of the nearest face of a large one: they come from single voxels."""
    edges_of = triangle_edges(triangles)[1].reshape(-1, 2)
    one, other = edges_of[surface[edges_of[:, 0]] == surface[edges_of[:, 1]]].T
    t = len(triangles)
    links = sparse.coo_matrix((np.ones(len(one), dtype=np.int8), (one, other)), shape=(t, t))
    _, patch = connected_components(links, directed=False)
    size = np.bincount(patch)[patch]
    small = size < _SPECK_SHARE * np.bincount(surface)[surface]
    _, nearest = cKDTree(centres[~small]).query(centres[small])
    cleaned = surface.copy()
    cleaned[small] = surface[~small][nearest]
    return cleaned


@njit(cache=True)
def _face_neighbours(tets: Int, n: int, out: Int) -> int:
    """Fill `out`; returns a tetrahedron with a face that three share, or -1.

    Faces that may be the same meet in the bucket of their smallest node.
    """
    m = len(tets)
    middle = np.empty(4 * m, dtype=np.int32)
    largest = np.empty(4 * m, dtype=np.int32)
    smallest = np.empty(4 * m, dtype=np.int32)
    start = np.zeros(n + 1, dtype=np.int64)
    for t in range(m):
        for f in range(4):
            a, b, c = tets[t, (f + 1) % 4], tets[t, (f + 2) % 4], tets[t, (f + 3) % 4]
            low, high = min(a, b, c), max(a, b, c)
            smallest[4 * t + f], largest[4 * t + f], middle[4 * t + f] = low, high, a ^ b ^ c ^ low ^ high
            start[low + 1] += 1
    for i in range(n):
        start[i + 1] += start[i]
    place = start[:-1].copy()
    bucket = np.empty(4 * m, dtype=np.int64)
    for face in range(4 * m):
        low = smallest[face]
        bucket[place[low]] = face
        place[low] += 1
    for i in range(n):
        for p in range(start[i], start[i + 1]):
            one = bucket[p]
            for q in range(p + 1, start[i + 1]):
                other = bucket[q]
                if middle[one] == middle[other] and largest[one] == largest[other]:
                    if out[one // 4, one % 4] >= 0 or out[other // 4, other % 4] >= 0:
                        return int(one // 4)
                    out[one // 4, one % 4] = other // 4
                    out[other // 4, other % 4] = one // 4
    return -1
