"""Laws of isosurface stuffing and of the repair of its result."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anatomy.arrays import Float, Int
from anatomy.boundary import boundary_triangles, face_neighbours, triangle_edges
from anatomy.heart import tet_volumes_mm3
from anatomy.lattice import stuff_lattice
from anatomy.manifold import make_manifold


def ball(radius: float, centre: Float | None = None, edge_mm: float = 1.5) -> tuple[Float, Int]:
    middle = np.zeros(3) if centre is None else centre
    return stuff_lattice(
        lambda p: np.linalg.norm(p - middle, axis=1) - radius, middle - radius, middle + radius, edge_mm
    )


def euler_number(triangles: Int) -> int:
    return len(np.unique(triangles)) - len(triangles) // 2


def smallest_and_largest_dihedral_degrees(nodes: Float, tets: Int) -> tuple[float, float]:
    corners = nodes[tets]
    normals = []
    for a, b, c in ((1, 2, 3), (0, 3, 2), (0, 1, 3), (0, 2, 1)):
        normal = np.cross(corners[:, b] - corners[:, a], corners[:, c] - corners[:, a])
        normals.append(normal / np.linalg.norm(normal, axis=1, keepdims=True))
    cosines = np.array([-(normals[i] * normals[j]).sum(axis=1) for i in range(4) for j in range(i)])
    angles = np.degrees(np.arccos(cosines))
    return float(angles.min()), float(angles.max())


@pytest.mark.parametrize("edge_mm", [1.0, 2.0])
def test_a_ball_keeps_its_volume_and_radius(edge_mm: float) -> None:
    nodes, tets = ball(12.0, edge_mm=edge_mm)
    # A chord of length e lies e^2 / 8r under its arc.
    assert tet_volumes_mm3(nodes, tets).sum() == pytest.approx(
        4 / 3 * np.pi * 12**3, rel=edge_mm**2 / 8 / 12 * 3 / 12 + 0.005
    )
    on_surface = np.unique(boundary_triangles(tets))
    np.testing.assert_allclose(np.linalg.norm(nodes[on_surface], axis=1), 12.0, atol=edge_mm**2 / 8 / 12)


@settings(max_examples=10, deadline=None)
@given(
    shift=st.tuples(*[st.floats(-1, 1)] * 3),
    radii=st.tuples(*[st.floats(4, 9)] * 3),
)
def test_every_egg_has_positive_volumes_good_angles_and_a_closed_simple_boundary(
    shift: tuple[float, float, float], radii: tuple[float, float, float]
) -> None:
    size = np.array(radii)
    nodes, tets = stuff_lattice(
        lambda p: (np.linalg.norm((p - np.array(shift)) / size, axis=1) - 1) * size.min(),
        np.full(3, -10.0),
        np.full(3, 10.0),
        1.5,
    )
    assert tet_volumes_mm3(nodes, tets).min() > 0
    low, high = smallest_and_largest_dihedral_degrees(nodes, tets)
    assert low > 8
    assert high < 165
    boundary = boundary_triangles(tets)
    assert (np.bincount(triangle_edges(boundary)[2]) == 2).all()
    assert euler_number(boundary) == 2


def test_edges_have_the_length_that_was_asked_for() -> None:
    nodes, tets = ball(15.0, edge_mm=1.5)
    edges = np.unique(np.sort(tets[:, [0, 1, 0, 2, 0, 3, 1, 2, 1, 3, 2, 3]].reshape(-1, 2), axis=1), axis=0)
    assert np.linalg.norm(nodes[edges[:, 0]] - nodes[edges[:, 1]], axis=1).mean() == pytest.approx(1.5, rel=0.05)


def test_the_smaller_of_two_balls_is_dropped() -> None:
    def two_balls(p: Float) -> Float:
        return np.minimum(np.linalg.norm(p, axis=1) - 8, np.linalg.norm(p - [16.0, 0, 0], axis=1) - 4)

    nodes, tets = stuff_lattice(two_balls, np.array([-8.0, -8, -8]), np.array([20.0, 8, 8]), 1.5)
    assert nodes[:, 0].max() < 8.5
    assert tet_volumes_mm3(nodes, tets).sum() == pytest.approx(4 / 3 * np.pi * 8**3, rel=0.02)


def test_a_torus_keeps_its_hole() -> None:
    def torus(p: Float) -> Float:
        return np.hypot(np.hypot(p[:, 0], p[:, 1]) - 12, p[:, 2]) - 5

    _, tets = stuff_lattice(torus, np.array([-17.0, -17, -5]), np.array([17.0, 17, 5]), 1.5)
    assert euler_number(boundary_triangles(tets)) == 0


def test_an_empty_level_set_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing lies inside"):
        stuff_lattice(lambda p: np.ones(len(p)), np.zeros(3), np.full(3, 9.0), 1.5)


@pytest.mark.parametrize("shared", [1, 2])
def test_tetrahedra_that_touch_in_a_node_or_an_edge_are_parted(shared: int) -> None:
    nodes = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [-2, 0, 0], [0, -2, 0], [0, 0, -2]], dtype=np.float64)
    nodes = np.concatenate([nodes, [[1, -2, 0], [1, 0, -2]]])
    other = [0, 4, 5, 6] if shared == 1 else [0, 1, 7, 8]
    left, tets = make_manifold(nodes, np.array([[0, 1, 2, 3], other], dtype=np.int32))
    assert len(tets) == 1
    assert len(left) == 4


def test_neighbours_across_faces_agree_with_a_slow_search() -> None:
    _, tets = ball(3.0, edge_mm=1.5)
    fast = face_neighbours(tets, int(tets.max()) + 1)
    owners: dict[frozenset[int], list[int]] = {}
    for t, tet in enumerate(tets.tolist()):
        for k in range(4):
            owners.setdefault(frozenset(tet[:k] + tet[k + 1 :]), []).append(t)
    for t, tet in enumerate(tets.tolist()):
        for k in range(4):
            others = [o for o in owners[frozenset(tet[:k] + tet[k + 1 :])] if o != t]
            assert fast[t, k] == (others[0] if others else -1)


def test_a_tetrahedron_that_occurs_three_times_is_refused() -> None:
    with pytest.raises(ValueError, match="overlap"):
        boundary_triangles(np.array([[0, 1, 2, 3]] * 3, dtype=np.int32))
