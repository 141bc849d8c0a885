"""Which way the outside is, at each node of a triangulated surface."""

import numpy as np

from anatomy.arrays import Float, Int


def vertex_normals(nodes_mm: Float, triangles: Int) -> Float:
    """(n, 3) unit normals, averaged by area over a node's triangles; zero at nodes without one.

    Triangles turn counter-clockwise seen from where the normal points.
    """
    a, b, c = (nodes_mm[triangles[:, k]] for k in range(3))
    face = np.cross(b - a, c - a)
    normals = np.zeros((len(nodes_mm), 3))
    for k in range(3):
        np.add.at(normals, triangles[:, k], face)
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    units: Float = np.divide(normals, lengths, out=normals, where=lengths > 0)
    return units
