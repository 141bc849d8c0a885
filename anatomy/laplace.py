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

from anatomy.arrays import Bool, Float, Int
from anatomy.heart import tet_volumes_mm3

# Far below what a coordinate or a fibre angle can show.
_RELATIVE_RESIDUAL = 1e-8


def shape_gradients(nodes_mm: Float, tets: Int) -> Float:
    """(m, 4, 3) gradient of each node's linear shape function in each tetrahedron, 1/mm."""
    a, b, c = (nodes_mm[tets[:, k]] - nodes_mm[tets[:, 0]] for k in (1, 2, 3))
    gradients = np.empty((len(tets), 4, 3))
    for k, (one, other) in enumerate(((b, c), (c, a), (a, b)), start=1):
        gradients[:, k] = _cross(one, other)
    gradients[:, 1:] /= np.einsum("mk,mk->m", a, gradients[:, 1])[:, None, None]
    gradients[:, 0] = -gradients[:, 1:].sum(axis=1)
    return gradients


def _cross(one: Float, other: Float) -> Float:
    """(m, 3) as np.cross, several times faster."""
    (a, b, c), (d, e, f) = one.T, other.T
    return np.column_stack([b * f - c * e, c * d - a * f, a * e - b * d])


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
        local = self._gradients @ self._gradients.transpose(0, 2, 1)
        local *= np.abs(tet_volumes_mm3(nodes_mm, tets))[:, None, None]
        rows = np.repeat(tets, 4, axis=1).ravel()
        columns = np.tile(tets, (1, 4)).ravel()
        n = len(nodes_mm)
        self.stiffness = csr_array(coo_array((local.ravel(), (rows, columns)), shape=(n, n)))
        self._last: tuple[Bool, _Inner] | None = None
        _, piece = connected_components(self.stiffness, directed=False)
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
        u = np.zeros(self.stiffness.shape[0])
        given = np.zeros(len(u), dtype=np.bool_)
        for nodes, value in conditions:
            if not len(nodes):
                raise ValueError(f"the boundary condition u = {value:g} names no node")
            u[nodes] = value
            given[nodes] = True
        inner = self._inner_of(given)
        solution, failed = cg(
            inner.matrix, -(inner.rows @ u), rtol=_RELATIVE_RESIDUAL, maxiter=500, M=inner.precondition
        )
        if failed:
            raise RuntimeError("the Laplace problem did not converge: is part of the mesh loose from the rest?")
        u[inner.free] = solution
        values = [value for _, value in conditions]
        return np.clip(u, min(values), max(values))

    def _inner_of(self, given: Bool) -> "_Inner":
        """The problem on the nodes that are not given; the last one is kept, for often only the values change."""
        if self._last is None or not np.array_equal(given, self._last[0]):
            self._last = given, _Inner(self.stiffness, np.flatnonzero(~given).astype(np.int32))
        return self._last[1]

    def gradient(self, u: Float) -> Float:
        """(m, 3) the constant gradient of a nodal field in each tetrahedron, per mm."""
        slopes: Float = np.einsum("mi,mik->mk", u[self._tets], self._gradients)
        return slopes


class _Inner:
    """The equations of the free nodes, and what makes them quick to solve."""

    def __init__(self, stiffness: csr_array, free: Int) -> None:
        self.free, self.rows = free, stiffness[free]
        self.matrix = csr_array(self.rows[:, free])
        # "local" weights, because pyamg's default draws random numbers: the same heart must give the same bytes.
        hierarchy = pyamg.smoothed_aggregation_solver(
            self.matrix, symmetry="symmetric", max_coarse=100, smooth=("jacobi", {"weighting": "local"})
        )
        self.precondition: LinearOperator = hierarchy.aspreconditioner()
