"""Filling thin walls with tetrahedra: no holes, and the right volume.

A level set on a grid is smoothed a little, to remove the steps of voxels. Where a wall is too thin for the edges the
lattice would leave holes in it, so it is thickened there. The rest is shifted until the whole has the wanted volume.

Units: mm.
"""

import numpy as np
from scipy import ndimage

from anatomy.arrays import Bool, Float, Int
from anatomy.heart import tet_volumes_mm3
from anatomy.lattice import LevelSet, stuff_lattice

# Removes the steps of the voxels; measured on a real heart it costs 0.5 % of the volume, which the shift gives back.
_SMOOTHING_STEPS = 0.7
# A wall thinner than this gets holes from the lattice, or from voxels that meet in corners only: it is thickened to it.
# Found by trying edges of 1 to 2 mm on a real heart with a right wall of 1 to 4 voxels.
_MIN_WALL_EDGES = 1.75
_MIN_WALL_STEPS = 2.6
# Thin patches of fewer grid points are bumps and corners, not walls.
_MIN_PATCH = 12
# A lattice loses volume where the surface is curved; this much is let go, more is given back, far more is refused.
_VOLUME_TOLERANCE = 0.01
_MAX_VOLUME_ERROR = 0.05


def fill_walls(distance_mm: Float, spacing_mm: Float, edge_mm: float, volume_mm3: float) -> tuple[Float, Int]:
    """Tetrahedra inside a level set on a grid.

    Args:
        distance_mm: (nx, ny, nz) signed distance, negative inside, positive on the sides of the grid.
        spacing_mm: (3,) steps of the grid, about equal; point (0, 0, 0) of the grid is the origin.
        edge_mm: mean edge length.
        volume_mm3: what the result should measure.

    Returns:
        (n, 3) nodes and (m, 4) tetrahedra, as `anatomy.lattice.stuff_lattice`.

    Raises:
        ValueError: where the walls are too thin for the edges.
    """
    spacing = spacing_mm
    thinnest = max(_MIN_WALL_EDGES * edge_mm, _MIN_WALL_STEPS * float(spacing.min()))
    thin = _thin_walls(distance_mm < 0, spacing, thinnest)
    distance = ndimage.gaussian_filter(distance_mm, _SMOOTHING_STEPS)
    high = (np.array(distance.shape) - 1) * spacing
    wanted = volume_mm3
    for last in (False, True):
        level = _at_volume(distance, thin, spacing, wanted)
        nodes, tets = stuff_lattice(_sampler(level, spacing), np.zeros(3), high, edge_mm)
        volume = float(tet_volumes_mm3(nodes, tets).sum())
        if last or abs(volume / volume_mm3 - 1) <= _VOLUME_TOLERANCE:
            break
        wanted += volume_mm3 - volume
    if abs(volume / volume_mm3 - 1) > _MAX_VOLUME_ERROR:
        raise ValueError(
            f"edges of {edge_mm:g} mm give {volume / 1e3:.1f} mL of muscle, the input holds {volume_mm3 / 1e3:.1f} mL: "
            "the walls are too thin for such edges; use shorter ones"
        )
    return nodes, tets


def _thin_walls(muscle: Bool, spacing: Float, wall_mm: float) -> Float:
    """A level set, negative within `wall_mm / 2` of the middle of every wall that is thinner than `wall_mm`.

    A wall is w voxels thin where no cube of w + 1 muscle voxels fits.
    """
    step = spacing.min()
    level = np.full(muscle.shape, wall_mm)
    for w in range(1, int(np.ceil(wall_mm / step))):
        fits = ndimage.minimum_filter(muscle, size=w + 1, mode="constant")
        # An even window is not centred: the way back has to be shifted the other way.
        covered = ndimage.maximum_filter(fits, size=w + 1, origin=-(w % 2), mode="constant")
        thin = _large_patches(muscle & ~covered)
        if thin.any():
            away = ndimage.distance_transform_edt(~thin, sampling=spacing)
            level = np.minimum(level, away - (wall_mm - (w - 1) * step) / 2)
    smoothed: Float = ndimage.gaussian_filter(level, _SMOOTHING_STEPS)
    return smoothed


def _large_patches(mask: Bool) -> Bool:
    patch, _ = ndimage.label(mask, np.ones((3, 3, 3)))
    large = np.bincount(patch.ravel()) >= _MIN_PATCH
    large[0] = False
    return np.asarray(large[patch], dtype=np.bool_)


def _at_volume(distance: Float, thin_walls: Float, spacing: Float, volume_mm3: float) -> Float:
    """The union of both level sets, the first one shifted until the inside measures `volume_mm3`."""

    def volume(shift: float) -> float:
        depth = -np.minimum(distance[near] - shift, thin_walls[near]) / spacing.min()
        return float(np.clip(depth + 0.5, 0, 1).sum() * np.prod(spacing))

    near = np.minimum(distance, thin_walls) < 2 * spacing.min()
    low, high = -spacing.min(), spacing.min()
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if volume(middle) < volume_mm3 else (low, middle)
    level: Float = np.minimum(distance - (low + high) / 2, thin_walls)
    return level


def _sampler(values: Float, spacing: Float) -> LevelSet:
    def level_set(points: Float) -> Float:
        sampled: Float = ndimage.map_coordinates(values, (points / spacing).T, order=1, mode="nearest")
        return sampled

    return level_set
