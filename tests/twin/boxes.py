"""Boxes of tetrahedra for the tests of `twin`: where closed forms hold."""

from itertools import permutations

import numpy as np

from anatomy.arrays import Float, Int
from anatomy.heart import Coordinates, Heart, Surface


def kuhn_box(size_mm: tuple[float, float, float], edge_mm: float) -> tuple[Float, Int]:
    """Nodes and positively oriented tetrahedra: every cube is cut into six around the same long diagonal."""
    counts = np.rint(np.array(size_mm) / edge_mm).astype(int)
    grid = np.stack(np.meshgrid(*(np.arange(k + 1) for k in counts), indexing="ij"), axis=-1).reshape(-1, 3)
    cubes = np.stack(np.meshgrid(*(np.arange(k) for k in counts), indexing="ij"), axis=-1).reshape(-1, 3)
    tets = []
    for first, second, third in permutations(range(3)):
        path = np.cumsum([np.zeros(3, dtype=int), *np.eye(3, dtype=int)[[first, second, third]]], axis=0)
        corners = cubes[:, None] + path
        numbers = np.ravel_multi_index(tuple(np.moveaxis(corners, 2, 0)), tuple(counts + 1))
        odd = np.linalg.det(np.diff(path, axis=0)) < 0
        tets.append(numbers[:, [0, 2, 1, 3]] if odd else numbers)
    return edge_mm * grid.astype(float), np.concatenate(tets).astype(np.int32)


def as_matrices(metric: Float) -> Float:
    """(m, 3, 3) from the six entries of each metric."""
    return metric[:, [[0, 1, 2], [1, 3, 4], [2, 4, 5]]]


def box_heart(edge_mm: float) -> Heart:
    """A cube of 60 mm as a heart: fibres along x, LV endocardium at z = 0, RV endocardium at z = 60, base at x = 60.

    The apicobasal coordinate is x / 60; every other side is epicardium.
    """
    nodes, tets = kuhn_box((60.0, 60.0, 60.0), edge_mm)
    faces = tets[:, [[1, 2, 3], [0, 3, 2], [0, 1, 3], [0, 2, 1]]].reshape(-1, 3)
    _, first, count = np.unique(np.sort(faces, axis=1), axis=0, return_index=True, return_counts=True)
    triangles = faces[first[count == 1]]
    corners = nodes[triangles]
    surface = np.full(len(triangles), Surface.EPICARDIUM, dtype=np.int8)
    surface[(corners[:, :, 0] == 60).all(axis=1)] = Surface.BASE
    surface[(corners[:, :, 2] == 0).all(axis=1)] = Surface.LV_ENDOCARDIUM
    surface[(corners[:, :, 2] == 60).all(axis=1)] = Surface.RV_ENDOCARDIUM
    zeros = np.zeros(len(nodes))
    return Heart(
        nodes_mm=nodes,
        tets=tets,
        triangles=triangles,
        surface=surface,
        tissue=np.zeros(len(tets), dtype=np.int8),
        fibres=np.tile([1.0, 0.0, 0.0], (len(tets), 1)),
        sheets=np.tile([0.0, 1.0, 0.0], (len(tets), 1)),
        coordinates=Coordinates(
            apicobasal=nodes[:, 0] / 60,
            transmural=nodes[:, 2] / 60,
            rotational=zeros,
            transventricular=zeros,
            aha=zeros.astype(np.int8),
        ),
    )
