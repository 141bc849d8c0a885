"""Which part of an untagged mesh's boundary is base, epicardium, left or right endocardium: from the shape alone.

From the endocardium most of the sky is hidden by the opposite wall, from the rest of the heart little is: rays from
each face tell the two apart. The two largest hidden patches are the cavities; the one with the thicker wall is the left. The
base is what borders a cavity and faces the way it opens.

Our own rule, checked against tagged meshes; it needs cavities that open at the base and a mesh of one piece.

Units: mm.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from anatomy.arrays import Bool, Byte, Float, Int
from anatomy.boundary import face_links, face_neighbours, outer_faces, triangle_edges, without_specks
from anatomy.heart import Surface

_VOXEL_MM = 1.0
_RAYS = 48
# A wall at the rim of a cavity sees up to half of the sky, a groove of the epicardium loses less than a third of it.
_HIDDEN_BELOW = 0.6
_SMOOTHING_ROUNDS = 5
# Base faces look at most 32 degrees off the way in which the cavity opens.
_BASE_COSINE = 0.85
# Faces that turn by more than 40 degrees do not share their sky.
_SHARP_COSINE = 0.77
_MIN_CAVITY_SHARE = 0.03


def tag_boundary(nodes_mm: Float, tets: Int) -> tuple[Int, Byte]:
    """Tag the boundary of a biventricular mesh that came without tags.

    Args:
        nodes_mm: (n, 3).
        tets: (m, 4) of positive volume.

    Returns:
        (t, 3) boundary triangles, outward, and (t,) a `Surface` for each.

    Raises:
        ValueError: for a mesh in several pieces, or one without two open cavities.
    """
    neighbours = face_neighbours(tets, len(nodes_mm))
    _check_one_piece(neighbours)
    triangles, _ = outer_faces(tets, neighbours)
    corners = nodes_mm[triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    areas = np.linalg.norm(normals, axis=1, keepdims=True)
    normals /= areas
    centres = corners.mean(axis=1)
    links = _links(triangles)

    sky = _open_sky(nodes_mm, tets, centres, normals)
    average = _average(links, normals)
    for _ in range(_SMOOTHING_ROUNDS):
        sky = average @ sky
    patches = _cavities(links, sky < _HIDDEN_BELOW, areas.ravel())
    outside = ~(patches[0] | patches[1])
    walls = [np.median(cKDTree(centres[outside]).query(centres[patch])[0]) for patch in patches]
    left, right = patches if walls[0] >= walls[1] else patches[::-1]

    surface = np.full(len(triangles), Surface.EPICARDIUM, dtype=np.int8)
    surface[left], surface[right] = Surface.LV_ENDOCARDIUM, Surface.RV_ENDOCARDIUM
    for patch in patches:
        # A cavity and a lid on it form a closed surface, whose area-weighted normals add up to nothing: the wall's,
        # which point into the cavity, add up to the way that the lid looks.
        lid = (areas[patch] * normals[patch]).sum(axis=0)
        faces_lid = outside & (normals @ (lid / np.linalg.norm(lid)) > _BASE_COSINE)
        surface[_reached(links, faces_lid, _touching(triangles, patch))] = Surface.BASE
    surface = without_specks(triangles, centres, surface)
    outside &= surface != Surface.LV_ENDOCARDIUM
    outside &= surface != Surface.RV_ENDOCARDIUM
    surface[outside & _touching(triangles, ~outside)] = Surface.BASE
    return triangles, surface


def _check_one_piece(neighbours: Int) -> None:
    count, piece = connected_components(face_links(neighbours), directed=False)
    if count > 1:
        largest = np.bincount(piece).max()
        raise ValueError(
            f"the tetrahedra form {count} pieces that share no faces (the largest has {largest} of {len(piece)}): nothing "
            "could spread from one to the other. Merge coincident nodes, or mesh the heart again (`anatomy.remeshing`)."
        )


def _links(triangles: Int) -> sparse.csr_matrix:
    pairs = triangle_edges(triangles)[1].reshape(-1, 2)
    t = len(triangles)
    ones = np.ones(2 * len(pairs))
    return sparse.coo_matrix((ones, (pairs.ravel(), pairs[:, ::-1].ravel())), shape=(t, t)).tocsr()


def _average(links: sparse.csr_matrix, normals: Float) -> sparse.csr_matrix:
    """Each face and its neighbours in equal parts, but none across a sharp edge, such as the rim of a cut base."""
    pairs = links.tocoo()
    smooth = np.einsum("ij,ij->i", normals[pairs.row], normals[pairs.col]) > _SHARP_COSINE
    near = sparse.coo_matrix((smooth.astype(np.float64), (pairs.row, pairs.col)), shape=links.shape).tocsr()
    near = near + sparse.identity(links.shape[0], format="csr")
    return sparse.diags(1 / np.asarray(near.sum(axis=1)).ravel()) @ near


def _cavities(links: sparse.csr_matrix, hidden: Bool, areas: Float) -> tuple[Bool, Bool]:
    """The two largest connected patches of hidden faces; smaller ones are grooves."""
    _, patch = connected_components(
        sparse.diags(hidden.astype(np.float64)) @ links @ sparse.diags(hidden.astype(np.float64))
    )
    size = np.bincount(patch, weights=np.where(hidden, areas, 0))
    order = np.argsort(size)[::-1]
    large = int((size > _MIN_CAVITY_SHARE * areas.sum()).sum())
    if large < 2:
        raise ValueError(
            f"the boundary shows {large} open cavities, a biventricular heart has 2: give the surface tags with the "
            "mesh, and check that the cavities are open at the base and not meshed"
        )
    return hidden & (patch == order[0]), hidden & (patch == order[1])


def _touching(triangles: Int, patch: Bool) -> Bool:
    """(t,) faces that share a node with the patch."""
    return np.asarray(np.isin(triangles, np.unique(triangles[patch])).any(axis=1), dtype=np.bool_)


def _reached(links: sparse.csr_matrix, allowed: Bool, seeds: Bool) -> Bool:
    """(t,) allowed faces that an edge-by-edge walk over allowed faces reaches from the seeds."""
    mask = sparse.diags(allowed.astype(np.float64))
    _, patch = connected_components(mask @ links @ mask, directed=False)
    return np.asarray(allowed & np.isin(patch, np.unique(patch[allowed & seeds])), dtype=np.bool_)


def _open_sky(nodes: Float, tets: Int, centres: Float, normals: Float) -> Float:
    """(t,) the share of rays from each face that leave the heart without meeting muscle."""
    low = nodes.min(axis=0) - 2 * _VOXEL_MM
    counts = np.ceil((nodes.max(axis=0) - low) / _VOXEL_MM).astype(np.int64) + 3
    muscle = np.zeros(tuple(counts), dtype=np.bool_)
    _rasterise((nodes - low) / _VOXEL_MM, np.ascontiguousarray(tets, dtype=np.int32), muscle)
    share = np.empty(len(centres))
    _cast((centres - low) / _VOXEL_MM, normals, _hemisphere(_RAYS), muscle, share)
    return share


def _hemisphere(count: int) -> Float:
    """(count, 3) unit vectors around +z, denser towards it as light falls on a surface, in a golden spiral."""
    radius = np.sqrt((np.arange(count) + 0.5) / count)
    angle = np.arange(count) * np.pi * (3 - np.sqrt(5))
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), np.sqrt(1 - radius**2)], axis=1)


@njit(cache=True)
def _rasterise(nodes: Float, tets: Int, out: NDArray[np.bool_]) -> None:
    """Set the voxels whose centre (at whole numbers) lies in a tetrahedron; the grid holds all nodes."""
    for i in range(len(tets)):
        p = nodes[tets[i, 0]]
        a, b, c = nodes[tets[i, 1]] - p, nodes[tets[i, 2]] - p, nodes[tets[i, 3]] - p
        bc, ca, ab = np.cross(b, c), np.cross(c, a), np.cross(a, b)
        volume = (a * bc).sum()
        low = np.empty(3, dtype=np.int64)
        high = np.empty(3, dtype=np.int64)
        for k in range(3):
            ends = (0.0, a[k], b[k], c[k])
            low[k] = int(np.ceil(p[k] + min(ends)))
            high[k] = int(np.floor(p[k] + max(ends)))
        for x in range(low[0], high[0] + 1):
            for y in range(low[1], high[1] + 1):
                for z in range(low[2], high[2] + 1):
                    q0, q1, q2 = x - p[0], y - p[1], z - p[2]
                    u = (q0 * bc[0] + q1 * bc[1] + q2 * bc[2]) / volume
                    v = (q0 * ca[0] + q1 * ca[1] + q2 * ca[2]) / volume
                    w = (q0 * ab[0] + q1 * ab[1] + q2 * ab[2]) / volume
                    if u >= 0 and v >= 0 and w >= 0 and u + v + w <= 1:
                        out[x, y, z] = True


@njit(cache=True)
def _cast(starts: Float, normals: Float, rays: Float, muscle: NDArray[np.bool_], out: Float) -> None:
    """Walk each ray in steps of a voxel, from one and a half voxels above its face."""
    nx, ny, nz = muscle.shape
    for i in range(len(starts)):
        n = normals[i]
        side = np.array([1.0, 0.0, 0.0]) if abs(n[0]) < 0.8 else np.array([0.0, 1.0, 0.0])
        e1 = np.cross(n, side)
        e1 /= np.sqrt((e1 * e1).sum())
        e2 = np.cross(n, e1)
        free = 0
        for r in range(len(rays)):
            d = rays[r, 0] * e1 + rays[r, 1] * e2 + rays[r, 2] * n
            p = starts[i] + 1.5 * n
            while True:
                x, y, z = int(np.rint(p[0])), int(np.rint(p[1])), int(np.rint(p[2]))
                if x < 0 or y < 0 or z < 0 or x >= nx or y >= ny or z >= nz:
                    free += 1
                    break
                if muscle[x, y, z]:
                    break
                p += d
        out[i] = free / len(rays)
