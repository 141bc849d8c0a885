from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.linalg import spsolve
from scipy.spatial import Delaunay

from anatomy.arrays import Float, Int
from anatomy.laplace import LaplaceProblem, shape_gradients


def turned_positive(nodes: Float, tets: Int) -> Int:
    """The same tetrahedra, two corners swapped where the volume was negative."""
    a, b, c, d = nodes[tets].swapaxes(0, 1)
    inverted = np.einsum("ij,ij->i", np.cross(b - a, c - a), d - a) < 0
    return np.where(inverted[:, None], tets[:, [1, 0, 2, 3]], tets).astype(np.int32)


def box(seed: int = 0, steps: int = 7) -> tuple[Float, Int, Int]:
    """Nodes, tetrahedra and boundary nodes of a box of 20 by 30 by 40 mm, its inner nodes shifted at random.

    Six tetrahedra fill each cell: those along the ways from one corner to the opposite one.
    """
    axis = np.linspace(0, 1, steps)
    unit = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    rim = ((unit == 0) | (unit == 1)).any(axis=1)
    rng = np.random.default_rng(seed)
    nodes = unit + np.where(rim[:, None], 0, rng.uniform(-0.15, 0.15, unit.shape) / steps)
    nodes *= [20, 30, 40]
    corners = np.flatnonzero((unit < 1).all(axis=1))
    ways = [np.cumsum([0, *way]) for way in permutations((1, steps, steps**2))]
    tets = np.concatenate([corners[:, None] + way for way in ways])
    return nodes, turned_positive(nodes, tets), np.flatnonzero(rim).astype(np.int32)


def shell(inner: float, outer: float) -> tuple[Float, Int, Int, Int]:
    """Nodes, tetrahedra and nodes on both spheres of a shell: layers of one spiral, each turned a little."""
    n, layers = 600, 10
    k = np.arange(n) + 0.5
    polar, around = np.arccos(1 - 2 * k / n), np.pi * (1 + np.sqrt(5)) * k
    radii = np.geomspace(inner, outer, layers)
    spheres = [
        r * np.column_stack([np.cos(around + i) * np.sin(polar), np.sin(around + i) * np.sin(polar), np.cos(polar)])
        for i, r in enumerate(radii)
    ]
    nodes = np.concatenate(spheres)
    tets = Delaunay(nodes).simplices
    tets = turned_positive(nodes, tets[~(tets < n).all(axis=1)])
    return nodes, tets, np.arange(n, dtype=np.int32), np.arange(n * (layers - 1), n * layers, dtype=np.int32)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_gradient_of_a_linear_field_is_exact(seed: int) -> None:
    nodes, tets, _ = box(seed)
    slope = np.random.default_rng(seed).normal(size=3)
    found = LaplaceProblem(nodes, tets).gradient(nodes @ slope + 3.0)
    np.testing.assert_allclose(found, np.broadcast_to(slope, found.shape), atol=1e-9)


def test_the_shape_functions_of_a_tetrahedron_add_up_to_one() -> None:
    nodes, tets, _ = box()
    np.testing.assert_allclose(shape_gradients(nodes, tets).sum(axis=1), 0, atol=1e-12)


def test_a_linear_field_between_two_faces_is_reproduced_exactly() -> None:
    nodes, tets, _ = box()
    bottom, top = (np.flatnonzero(nodes[:, 2] == z).astype(np.int32) for z in (0, 40))
    u = LaplaceProblem(nodes, tets).solve((bottom, -1.0), (top, 3.0))
    np.testing.assert_allclose(u, -1 + nodes[:, 2] / 10, atol=1e-6)


def test_a_field_given_node_by_node_on_the_whole_boundary_is_continued_linearly() -> None:
    nodes, tets, rim = box()
    field = nodes @ [0.1, -0.2, 0.05]
    u = LaplaceProblem(nodes, tets).solve(*((np.array([i], dtype=np.int32), float(field[i])) for i in rim))
    np.testing.assert_allclose(u, field, atol=1e-6)


def test_between_two_spheres_the_field_falls_as_one_over_the_radius() -> None:
    inner, outer = 10.0, 30.0
    nodes, tets, within, without = shell(inner, outer)
    u = LaplaceProblem(nodes, tets).solve((within, 1.0), (without, 0.0))
    radius = np.linalg.norm(nodes, axis=1)
    np.testing.assert_allclose(u, (1 / radius - 1 / outer) / (1 / inner - 1 / outer), atol=0.02)


def test_with_some_nodes_given_the_field_is_that_of_a_direct_solver() -> None:
    nodes, tets, rim = box(seed=3, steps=10)
    problem = LaplaceProblem(nodes * [1, 1, 5], tets)
    low, high = rim[:7], rim[-5:]
    given = np.concatenate([low, high])
    free = np.setdiff1d(np.arange(len(nodes)), given)
    expected = np.repeat([-1.0, 2.0], [7, 5])
    rows = problem.stiffness[free]
    u = problem.solve((low, -1.0), (high, 2.0))
    np.testing.assert_allclose(u[free], spsolve(rows[:, free].tocsc(), -(rows[:, given] @ expected)), atol=1e-6)


def test_no_value_leaves_the_range_of_those_given() -> None:
    nodes, tets, rim = box()
    values = np.random.default_rng(0).uniform(-2, 5, len(rim))
    pairs = [(np.array([i], dtype=np.int32), float(value)) for i, value in zip(rim, values, strict=True)]
    u = LaplaceProblem(nodes, tets).solve(*pairs)
    assert values.min() <= u.min()
    assert u.max() <= values.max()


def test_where_two_conditions_name_a_node_the_later_one_holds() -> None:
    nodes, tets, rim = box()
    u = LaplaceProblem(nodes, tets).solve((rim, 0.0), (rim[:5], 2.0))
    assert u[rim[:5]].tolist() == [2.0] * 5
    assert (u[rim[5:]] == 0).all()


def test_a_condition_without_nodes_is_refused() -> None:
    nodes, tets, rim = box()
    with pytest.raises(ValueError, match="u = 1 names no node"):
        LaplaceProblem(nodes, tets).solve((rim, 0.0), (rim[:0], 1.0))


def test_nodes_loose_from_the_rest_are_refused_with_the_first_and_the_count() -> None:
    nodes, tets, _ = box()
    n = len(nodes)
    island = np.vstack([np.zeros(3), np.eye(3)]) + 100
    with pytest.raises(ValueError, match=rf"node {n} is loose .* \(5 of {n + 5} nodes"):
        LaplaceProblem(
            np.vstack([nodes, island, [[200, 0, 0]]]), np.vstack([tets, [[n, n + 1, n + 2, n + 3]]]).astype(np.int32)
        )


def test_new_values_on_the_nodes_of_before_give_what_a_fresh_problem_gives() -> None:
    nodes, tets, _ = box()
    low, high = (np.flatnonzero(nodes[:, 0] == x).astype(np.int32) for x in (0, 20))
    used = LaplaceProblem(nodes, tets)
    used.solve((low, 0.0), (high, 1.0))
    again, other = used.solve((low, 3.0), (high, 1.0)), used.solve((high, 2.0), (low[:5], 0.0))
    np.testing.assert_allclose(again, LaplaceProblem(nodes, tets).solve((low, 3.0), (high, 1.0)), atol=1e-12)
    np.testing.assert_allclose(other, LaplaceProblem(nodes, tets).solve((high, 2.0), (low[:5], 0.0)), atol=1e-12)
