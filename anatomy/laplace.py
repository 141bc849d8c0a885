"""Laplace problems on the tetrahedra: the smooth fields from which coordinates and fibres are made.

    div grad u = 0,  u given on some nodes, no flux through the rest of the boundary,

with linear elements. Solved by conjugate gradients with smoothed-aggregation multigrid (pyamg), which is indifferent
to the long way from apex to base.
"""

import numpy as np
import pyamg
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import LinearOperator, cg

from anatomy.arrays import Float, Int

# Far below what a coordinate or a fibre angle can show.
_RELATIVE_RESIDUAL = 1e-8


def shape_gradients(nodes_mm: Float, tets: Int) -> Float:
    """(m, 4, 3) gradient of each node's linear shape function in each tetrahedron, 1/mm."""
    corners = nodes_mm[tets]
    edges = corners[:, 1:] - corners[:, :1]
    inner = np.linalg.inv(edges).transpose(0, 2, 1)
    return np.concatenate([-inner.sum(axis=1, keepdims=True), inner], axis=1)


class LaplaceProblem:
    """The stiffness matrix of one mesh, assembled once for all boundary conditions.

    Args:
        nodes_mm: (n, 3).
        tets: (m, 4), positive volumes.

    Raises:
        ValueError: if a node is loose from the rest: no condition would reach it.
    """

    def __init__(self, nodes_mm: Float, tets: Int) -> None:
        self._tets = tets
        self._gradients = shape_gradients(nodes_mm, tets)
        corners = nodes_mm[tets]
        volumes = np.abs(np.linalg.det(corners[:, 1:] - corners[:, :1])) / 6
        local = np.einsum("m,mik,mjk->mij", volumes, self._gradients, self._gradients)
        rows = np.repeat(tets, 4, axis=1).ravel()
        columns = np.tile(tets, (1, 4)).ravel()
        n = len(nodes_mm)
        self._stiffness = csr_array(coo_array((local.ravel(), (rows, columns)), shape=(n, n)))
        _, piece = connected_components(self._stiffness, directed=False)
        loose = np.flatnonzero(piece != np.bincount(piece).argmax())
        if loose.size:
            raise ValueError(
                f"node {loose[0]} is loose from the rest of the mesh ({loose.size} of {n} nodes are). Keep the largest "
                "piece, and no nodes outside of tetrahedra."
            )

    def solve(self, *conditions: tuple[Int, float]) -> Float:
        """The harmonic field that takes given values on given nodes.

        Args:
            conditions: (node numbers, value) pairs; where two name the same node, the later one holds.

        Returns:
            (n,) between the smallest and the largest value given.

        Raises:
            ValueError: if a condition names no node.
            RuntimeError: if the solver does not converge, which a connected mesh of sane elements never shows.
        """
        u = np.zeros(self._stiffness.shape[0])
        given = np.zeros(len(u), dtype=bool)
        for nodes, value in conditions:
            if not len(nodes):
                raise ValueError(f"the boundary condition u = {value:g} names no node")
            u[nodes] = value
            given[nodes] = True
        free = np.flatnonzero(~given)
        inner = self._stiffness[free]
        matrix = csr_array(inner[:, free])
        right_side = -(inner @ u)
        # "local" weights, because pyamg's default draws random numbers: the same heart must give the same bytes.
        hierarchy = pyamg.smoothed_aggregation_solver(
            matrix, symmetry="symmetric", max_coarse=100, smooth=("jacobi", {"weighting": "local"})
        )
        precondition: LinearOperator = hierarchy.aspreconditioner()
        solution, failed = cg(matrix, right_side, rtol=_RELATIVE_RESIDUAL, maxiter=500, M=precondition)
        if failed:
            raise RuntimeError("the Laplace problem did not converge: is part of the mesh loose from the rest?")
        u[free] = solution
        values = [value for _, value in conditions]
        return np.clip(u, min(values), max(values))

    def gradient(self, u: Float) -> Float:
        """(m, 3) the constant gradient of a nodal field in each tetrahedron, per mm."""
        slopes: Float = np.einsum("mi,mik->mk", u[self._tets], self._gradients)
        return slopes
