"""From a closed, tagged surface to a tetrahedral mesh of what it encloses.

The signed distance to the surface is sampled on a grid and filled by `anatomy.walls`; each boundary face takes the tag
of the nearest triangle of the surface. The surface's own triangles are not kept: they may cross or be slivers.

Units: mm.
"""

import numpy as np
import pyvista as pv
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from anatomy.arrays import Bool, Float, Int, frozen
from anatomy.boundary import boundary_triangles, triangle_edges
from anatomy.checks import MAX_SIZE_MM
from anatomy.heart import HeartMesh, Surface
from anatomy.walls import fill_walls

_GRID_MM = 1.0
_GRID_PER_EDGE = 0.6
# Exact distances are computed this many grid steps around the surface; beyond, only the sign matters.
_BAND_STEPS = 3.0


def mesh_surface(nodes_mm: ArrayLike, triangles: ArrayLike, surface: ArrayLike, edge_mm: float) -> HeartMesh:
    """Tetrahedra inside a closed surface, their boundary tagged like it.

    Args:
        nodes_mm: (n, 3) nodes of the surface.
        triangles: (t, 3) its triangles, all turning the same way; either way will do.
        surface: (t,) a `Surface` for each, or another number where it is not known (the nearest tag counts there).
        edge_mm: mean edge length of the tetrahedra.

    Raises:
        ValueError: for a surface that is open or not in mm, walls too thin for the edges, or tags that are missing.
    """
    nodes = frozen(nodes_mm, np.float64, name="nodes_mm", shape=(None, 3))
    faces = frozen(triangles, np.int32, name="triangles", shape=(None, 3))
    tags = frozen(surface, np.int8, name="surface", shape=(len(faces),))
    _check_closed(nodes, faces)
    volume = float(
        np.einsum("ij,ij->i", nodes[faces[:, 0]], np.cross(nodes[faces[:, 1]], nodes[faces[:, 2]])).sum() / 6
    )
    if volume < 0:
        faces = faces[:, ::-1]
    low, counts, step = distance_grid(nodes, edge_mm)
    distance = signed_distance(nodes, faces, low, counts, step)
    inner, tets = fill_walls(distance, np.full(3, step), edge_mm, abs(volume))
    inner += low
    boundary = boundary_triangles(tets)
    known = np.isin(tags, list(Surface))
    if not known.any():
        raise ValueError(
            "no triangle of the surface has a tag: need 1 base, 2 epicardium, 3 and 4 LV and RV endocardium"
        )
    nearest = _skin(nodes, faces[known]).find_closest_cell(inner[boundary].mean(axis=1))
    return HeartMesh(nodes_mm=inner, tets=tets, triangles=boundary, surface=tags[known][nearest])


def distance_grid(nodes: Float, edge_mm: float) -> tuple[Float, NDArray[np.int64], float]:
    """Lower corner, point counts and step of a grid around the nodes, fine enough for the edges."""
    step = min(_GRID_MM, _GRID_PER_EDGE * edge_mm)
    low = nodes.min(axis=0) - (_BAND_STEPS + 1) * step
    counts = np.ceil(np.ptp(nodes, axis=0) / step + 2 * (_BAND_STEPS + 1)).astype(np.int64) + 1
    return low, counts, step


def _skin(nodes: Float, faces: Int) -> pv.PolyData:
    return pv.PolyData.from_regular_faces(np.array(nodes), np.array(faces))


def _check_closed(nodes: Float, faces: Int) -> None:
    bad = np.flatnonzero(((faces < 0) | (faces >= len(nodes))).any(axis=1))
    if bad.size or not len(faces):
        raise ValueError(
            f"{bad.size} of {len(faces)} triangles name nodes outside 0..{len(nodes) - 1}, or there are none"
        )
    size = float(np.ptp(nodes, axis=0).max())
    if size > MAX_SIZE_MM:
        raise ValueError(f"the surface measures {size:.4g} mm, need at most {MAX_SIZE_MM:g} mm: check that it is in mm")
    uses = np.bincount(triangle_edges(faces)[2])
    if (uses != 2).any():
        raise ValueError(
            f"the surface is not closed: {np.sum(uses == 1)} edges belong to one triangle only, {np.sum(uses > 2)} to "
            "more than two. Close it at the valves (tagged 1, base), and merge nodes that occur twice."
        )


def signed_distance(nodes: Float, faces: Int, low: Float, counts: NDArray[np.int64], step: float) -> Float:
    """(nx, ny, nz) distance to a closed surface that turns outward, negative inside; far from it only roughly."""
    axes = [low[k] + step * np.arange(counts[k]) for k in range(3)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    band = _near_surface(points, nodes, faces, _BAND_STEPS * step)
    distance = np.zeros(len(points))
    sampled = pv.PolyData(points[band]).compute_implicit_distance(_skin(nodes, faces))
    distance[band] = np.asarray(sampled.point_data["implicit_distance"])
    grid, known = distance.reshape(tuple(counts)), band.reshape(tuple(counts))
    away, nearest = ndimage.distance_transform_edt(~known, sampling=step, return_indices=True)
    at_band: Float = grid[tuple(nearest)]
    distance_mm: Float = at_band + np.sign(at_band) * away
    return distance_mm


def _near_surface(points: Float, nodes: Float, faces: Int, reach: float) -> Bool:
    corners = nodes[faces]
    centres = corners.mean(axis=1)
    radius = float(np.linalg.norm(corners - centres[:, None, :], axis=2).max())
    away, _ = cKDTree(centres).query(points, distance_upper_bound=reach + radius)
    near: Bool = np.isfinite(away)
    return near
