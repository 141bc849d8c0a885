"""Laws of relaxing badly shaped tetrahedra."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from anatomy.arrays import Float, Int
from anatomy.lattice import stuff_lattice
from anatomy.untangle import Untangler

EDGE_MM = 2.0


@pytest.fixture(scope="module")
def ball() -> tuple[Float, Int]:
    return stuff_lattice(lambda p: np.linalg.norm(p, axis=1) - 8.0, np.full(3, -8.0), np.full(3, 8.0), EDGE_MM)


def sphere(_: NDArray[np.signedinteger[Any]], points: Float) -> tuple[Float, Float]:
    out = points / np.linalg.norm(points, axis=1, keepdims=True)
    return 8 * out, np.eye(3) - out[:, :, None] * out[:, None, :]


def test_the_shape_of_a_regular_tetrahedron_is_one_and_mirrored_minus_one() -> None:
    corners = np.array([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    (shape,) = Untangler(np.array([[0, 1, 2, 3]]), 4).shapes(corners)
    (mirrored,) = Untangler(np.array([[1, 0, 2, 3]]), 4).shapes(corners)
    assert abs(shape) == pytest.approx(1)
    assert mirrored == pytest.approx(-shape)


def test_inverted_tetrahedra_come_right_and_the_surface_stays(ball: tuple[Float, Int]) -> None:
    nodes, tets = ball
    on_sphere = np.linalg.norm(nodes, axis=1) > 8 - 1e-2
    untangler = Untangler(tets, len(nodes))
    shaken = nodes + np.random.default_rng(0).normal(scale=0.35, size=nodes.shape)
    shaken[on_sphere] = sphere(np.flatnonzero(on_sphere), shaken[on_sphere])[0]
    assert (untangler.shapes(shaken) < 0).sum() > 10
    least = untangler.relax(shaken, 0.1, EDGE_MM, on_sphere, sphere)
    assert least == untangler.shapes(shaken).min()
    assert least >= 0.1
    np.testing.assert_allclose(np.linalg.norm(shaken[on_sphere], axis=1), 8.0, rtol=1e-12)


def test_a_good_mesh_stays_as_it_is(ball: tuple[Float, Int]) -> None:
    nodes, tets = ball
    relaxed = nodes.copy()
    Untangler(tets, len(nodes)).relax(relaxed, 0.05, EDGE_MM, np.zeros(len(nodes), dtype=np.bool_), sphere)
    np.testing.assert_array_equal(relaxed, nodes)
