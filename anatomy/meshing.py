"""From a label map to a tetrahedral mesh of the ventricular muscle with a tagged boundary.

The muscle's signed distance is what `anatomy.walls` fills, to the volume of the label map. What a boundary face borders
is read from the labels just outside it. The openings of the bloods are never capped: the rim of muscle around them is
the base.

Units: mm.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from anatomy.arrays import Byte, Float, Int, frozen
from anatomy.boundary import boundary_triangles, without_specks
from anatomy.heart import HeartMesh, Surface, Tissue
from anatomy.labels import MUSCLE, Label, LabelMap, with_rv_wall
from anatomy.walls import fill_walls

EDGE_MM = 1.5
# Muscle that faces the background this close to where a blood opens to it is the base.
_RIM_MM = 3.0
# Slices thicker than this many in-plane voxels are interpolated first.
_MAX_ANISOTROPY = 1.5
# Smaller contacts of blood and background are holes in the labelling, not valves.
_MIN_OPENING_MM2 = 50.0

_SEEN_AS = {
    Label.LV_BLOOD: Surface.LV_ENDOCARDIUM,
    Label.RV_BLOOD: Surface.RV_ENDOCARDIUM,
    Label.BACKGROUND: Surface.EPICARDIUM,
}
_TISSUE = {Label.MYOCARDIUM: Tissue.HEALTHY, Label.BORDER_ZONE: Tissue.BORDER_ZONE, Label.SCAR_CORE: Tissue.CORE}


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledMesh:
    """A mesh made of a label map.

    Attributes:
        mesh: in the patient space of the map.
        tissue: (m,) int8, a `Tissue` per tetrahedron: the nearest muscle label's.
        rv_wall_made: true where the map had no wall around the right ventricle and one was made up.
    """

    mesh: HeartMesh
    tissue: Byte
    rv_wall_made: bool

    def __post_init__(self) -> None:
        tissue = frozen(self.tissue, np.int8, name="tissue", shape=(len(self.mesh.tets),))
        object.__setattr__(self, "tissue", tissue)


def mesh_label_map(label_map: LabelMap, edge_mm: float = EDGE_MM) -> LabelledMesh:
    """Tetrahedra of all muscle, their boundary tagged by what it borders.

    Args:
        label_map: both bloods and the muscle; without a right ventricular wall one is made up (`with_rv_wall`).
        edge_mm: mean edge length; at most half the thinnest wall keeps that wall whole.

    Raises:
        ValueError: where the walls are too thin for `edge_mm`, or the result breaks the rules of `HeartMesh`.
    """
    # Thick slices are interpolated first: a wall made slice by slice would have gaps from one to the next.
    grid, made = with_rv_wall(_isotropic(_cropped(label_map)))
    volume = grid.muscle_mm3 if made else label_map.muscle_mm3
    spacing = grid.spacing_mm
    muscle = grid.muscle
    inside, nearest_out = ndimage.distance_transform_edt(muscle, sampling=spacing, return_indices=True)
    outside, nearest_in = ndimage.distance_transform_edt(~muscle, sampling=spacing, return_indices=True)
    # Half a voxel each way: the surface lies between voxels, not on them.
    half = spacing.min() / 2
    distance = np.where(muscle, half - inside, outside - half)
    nodes, tets = fill_walls(distance, spacing, edge_mm, volume)

    triangles = boundary_triangles(tets)
    seen = grid.labels[tuple(nearest_out)]
    surface = _tagged(nodes, triangles, seen, grid.labels, spacing)
    centres = nodes[tets].mean(axis=1)
    labels = _at(grid.labels[tuple(nearest_in)], centres, spacing)
    tissue = np.select([labels == label for label in MUSCLE], [_TISSUE[label] for label in MUSCLE]).astype(np.int8)

    in_patient = grid.origin_mm + (nodes / spacing) @ grid.axes_mm.T
    if np.linalg.det(grid.axes_mm) < 0:
        tets = tets[:, [1, 0, 2, 3]]
    mesh = HeartMesh(nodes_mm=in_patient, tets=tets, triangles=triangles, surface=surface)
    return LabelledMesh(mesh=mesh, tissue=tissue, rv_wall_made=made)


def _tagged(nodes: Float, triangles: Int, seen: NDArray[np.uint8], labels: NDArray[np.uint8], spacing: Float) -> Byte:
    """(t,) what each face borders: the label half a voxel outside of it, and the base around the openings."""
    a, b, c = (nodes[triangles[:, k]] for k in range(3))
    normals = np.cross(b - a, c - a)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    centres = (a + b + c) / 3
    label = _at(seen, centres + normals * spacing.min() / 2, spacing)
    surface = np.select([label == one for one in _SEEN_AS], list(_SEEN_AS.values())).astype(np.int8)
    surface = without_specks(triangles, centres, surface)
    outside = surface == Surface.EPICARDIUM
    opening = _opening_voxels(labels, spacing)
    if len(opening):
        away, _ = cKDTree(opening * spacing).query(centres, distance_upper_bound=_RIM_MM)
        surface[outside & np.isfinite(away)] = Surface.BASE
        surface = without_specks(triangles, centres, surface)
    # Where endocardium meets epicardium there is a rim, however sharp: the base has no gaps.
    endocardium = np.unique(triangles[np.isin(surface, (Surface.LV_ENDOCARDIUM, Surface.RV_ENDOCARDIUM))])
    surface[outside & np.isin(triangles, endocardium).any(axis=1)] = Surface.BASE
    return surface


def _opening_voxels(labels: NDArray[np.uint8], spacing: Float) -> NDArray[np.int64]:
    """(k, 3) blood voxels that touch the background where a valve may be."""
    blood = np.isin(labels, (Label.LV_BLOOD, Label.RV_BLOOD))
    piece, count = ndimage.label(blood & ndimage.binary_dilation(labels == Label.BACKGROUND), np.ones((3, 3, 3)))
    large = np.bincount(piece.ravel(), minlength=count + 1) * spacing.min() ** 2 >= _MIN_OPENING_MM2
    large[0] = False
    return np.argwhere(large[piece])


def _at(values: NDArray[np.uint8], points: Float, spacing: Float) -> NDArray[np.uint8]:
    index = np.clip(np.rint(points / spacing).astype(np.int64), 0, np.array(values.shape) - 1)
    found: NDArray[np.uint8] = values[tuple(index.T)]
    return found


def _cropped(label_map: LabelMap) -> LabelMap:
    """The part of the map that holds the heart, with three voxels of background around it."""
    used = np.argwhere(label_map.labels)
    low, high = used.min(axis=0), used.max(axis=0) + 1
    labels = np.pad(label_map.labels[tuple(slice(a, b) for a, b in zip(low, high, strict=True))], 3)
    return LabelMap(
        labels=labels, origin_mm=label_map.origin_mm + label_map.axes_mm @ (low - 3.0), axes_mm=label_map.axes_mm
    )


def _isotropic(label_map: LabelMap) -> LabelMap:
    """Thick slices interpolated by shape: each label's signed distance, linearly, and the deepest label wins."""
    spacing = label_map.spacing_mm
    if spacing.max() <= _MAX_ANISOTROPY * spacing.min():
        return label_map
    counts = np.maximum(np.rint((np.array(label_map.labels.shape) - 1) * spacing / spacing.min()).astype(np.int64), 1)
    step = (np.array(label_map.labels.shape) - 1) / counts
    where = np.meshgrid(*(np.arange(n + 1) * s for n, s in zip(counts, step, strict=True)), indexing="ij")
    best = np.full(where[0].shape, np.inf)
    labels = np.zeros(where[0].shape, dtype=np.uint8)
    for label in np.unique(label_map.labels):
        is_it = label_map.labels == label
        distance = ndimage.distance_transform_edt(~is_it, sampling=spacing) - ndimage.distance_transform_edt(
            is_it, sampling=spacing
        )
        depth = ndimage.map_coordinates(distance, where, order=1)
        labels = np.where(depth < best, label, labels)
        best = np.minimum(best, depth)
    return LabelMap(labels=labels, origin_mm=label_map.origin_mm, axes_mm=label_map.axes_mm * step)
