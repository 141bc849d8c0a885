"""One piece with a simple boundary: what a heart's mesh must be before anything is solved on it.

Where two sheets of a mesh touch in a single edge or node, a flux could pass through nothing, and a walk over the
surface cannot tell which sheet it is on. Such pinches are cut open by removing the fewest tetrahedra around them.
"""

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from anatomy.arrays import Bool, Float, Int
from anatomy.boundary import face_links, face_neighbours, outer_faces, triangle_edges
from anatomy.heart import tet_volumes_mm3

_MAX_ROUNDS = 50


def make_manifold(nodes_mm: Float, tets: Int) -> tuple[Float, Int]:
    """The largest face-connected piece without pinches, and only the nodes it uses.

    At a pinched edge or node the tetrahedra fall into groups that share faces: all but the largest group go, and
    where there is one group only (a pinhole through a wall) the whole group goes.

    Raises:
        ValueError: where pinches remain after many rounds; such a shape is thinner than its edges everywhere.
    """
    volumes = np.abs(tet_volumes_mm3(nodes_mm, tets))
    for _ in range(_MAX_ROUNDS):
        neighbours = face_neighbours(tets, len(nodes_mm))
        piece = _largest_piece(neighbours, volumes)
        if not piece.all():
            tets, volumes = tets[piece], volumes[piece]
            continue
        pinched = _pinches(outer_faces(tets, neighbours)[0])
        if not pinched:
            used, numbers = np.unique(tets, return_inverse=True)
            return nodes_mm[used], numbers.reshape(tets.shape).astype(np.int32)
        drop = _to_drop(tets, volumes, neighbours, pinched)
        tets, volumes = tets[~drop], volumes[~drop]
    raise ValueError(
        f"{len(pinched)} places of the mesh are pinched: the wall is thinner than the edges; use shorter edges"
    )


def _largest_piece(neighbours: Int, volumes: Float) -> Bool:
    count, piece = connected_components(face_links(neighbours), directed=False)
    largest: Bool = piece == np.bincount(piece, weights=volumes, minlength=count).argmax()
    return largest


def _pinches(triangles: Int) -> list[tuple[int, ...]]:
    """Edges that more than two boundary triangles share, as (i, j), and nodes where several sheets meet, as (i,)."""
    edges, triangle, number = triangle_edges(triangles)
    crowded = np.flatnonzero(np.bincount(number) > 2)
    if crowded.size:
        first = np.searchsorted(number, crowded)
        return [(int(i), int(j)) for i, j in edges[first]]
    # Now each edge joins two triangles: walk around each node from triangle to triangle.
    corner = np.argmax(triangles[triangle][:, :, None] == edges[:, None, :], axis=1) + 3 * triangle[:, None]
    one, other = corner[0::2].ravel(), corner[1::2].ravel()
    size = 3 * len(triangles)
    links = sparse.coo_matrix((np.ones(len(one), dtype=np.int8), (one, other)), shape=(size, size))
    _, fan = connected_components(links, directed=False)
    node_of_fan = np.full(fan.max() + 1, -1, dtype=np.int64)
    node_of_fan[fan] = triangles.ravel()
    return [(int(i),) for i in np.flatnonzero(np.bincount(node_of_fan) > 1)]


def _to_drop(tets: Int, volumes: Float, neighbours: Int, pinched: list[tuple[int, ...]]) -> Bool:
    at_pinch = np.flatnonzero(np.isin(tets, np.unique([p[0] for p in pinched])).any(axis=1))
    drop = np.zeros(len(tets), dtype=bool)
    for pinch in pinched:
        around = at_pinch[np.all([(tets[at_pinch] == i).any(axis=1) for i in pinch], axis=0)]
        links = (neighbours[around][:, :, None] == around).any(axis=1)
        count, group = connected_components(sparse.csr_matrix(links), directed=False)
        keep = np.bincount(group, weights=volumes[around]).argmax() if count > 1 else -1
        drop[around[group != keep]] = True
    return drop
