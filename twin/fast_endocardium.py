"""Where the fast endocardium lies, the layer that stands for the Purkinje network."""

import numpy as np
from numpy.typing import NDArray

from anatomy.arrays import Bool, Byte, Float, Int
from anatomy.heart import Heart, Surface, Tissue
from twin.conduction import Conduction

_FACES = np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])


def fast_triangles(heart: Heart, conduction: Conduction) -> tuple[Int, Float, Byte]:
    """The endocardial triangles that carry a fast layer, its speed on each, and whose it is.

    A triangle carries it if its ventricle has a layer, all its nodes lie within the extent, and the tetrahedron beneath
    it is healthy.

    Returns:
        (k, 3) node numbers; (k,) m/s; (k,) 0 for the left ventricle and 1 for the right one.
    """
    within = heart.coordinates.apicobasal <= conduction.endocardium_extent
    chosen, speeds, sides = [], [], []
    for side, (surface, speed) in enumerate(
        (
            (Surface.LV_ENDOCARDIUM, conduction.lv_endocardium_m_per_s),
            (Surface.RV_ENDOCARDIUM, conduction.rv_endocardium_m_per_s),
        )
    ):
        if speed is not None:
            triangles = heart.triangles_of(surface)
            chosen.append(triangles[within[triangles].all(axis=1)])
            speeds.append(np.full(len(chosen[-1]), speed))
            sides.append(np.full(len(chosen[-1]), side, dtype=np.int8))
    if not chosen:
        return np.empty((0, 3), dtype=np.int32), np.empty(0), np.empty(0, dtype=np.int8)
    triangles = np.concatenate(chosen)
    healthy = _are_faces_of(triangles, heart.tets[heart.tissue == Tissue.HEALTHY])
    return triangles[healthy], np.concatenate(speeds)[healthy], np.concatenate(sides)[healthy]


def _are_faces_of(triangles: Int, tets: Int) -> Bool:
    """(t,) whether each triangle is a face of one of the tetrahedra."""
    is_corner = np.zeros(max(tets.max(initial=0), triangles.max(initial=0)) + 1, dtype=np.bool_)
    is_corner[triangles] = True
    number = np.cumsum(is_corner)  # from 1
    most = number[-1] + 1

    def keys(faces: Int) -> NDArray[np.int64]:
        low, middle, high = np.sort(number[faces], axis=1).T
        key: NDArray[np.int64] = (low * most + middle) * most + high
        return key

    faces = tets[np.count_nonzero(is_corner[tets], axis=1) >= 3][:, _FACES].reshape(-1, 3)
    faces = faces[is_corner[faces].all(axis=1)]
    found: Bool = np.isin(keys(triangles), keys(faces))
    return found
