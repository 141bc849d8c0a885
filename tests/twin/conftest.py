"""For the tests of this folder: a heart whose every number is known."""

from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest

from anatomy.boundary import boundary_triangles
from anatomy.heart import Coordinates, Heart, Surface

BoxMaker = Callable[..., Heart]


@pytest.fixture(scope="session")
def box_heart() -> BoxMaker:
    """A cube of muscle, left half left ventricle; endocardia at both ends of x, base on top of z."""

    def make(*, cells: int = 3, edge_mm: float = 60.0, fibre: tuple[float, float, float] = (1.0, 0.0, 0.0)) -> Heart:
        steps = np.arange(cells + 1)
        grid = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
        nodes = grid * (edge_mm / cells)
        strides = np.array([(cells + 1) ** 2, cells + 1, 1])
        corner = grid[(grid < cells).all(axis=1)] @ strides
        tets = np.concatenate([_steps_through_a_cell(corner, strides[list(order)]) for order in permutations(range(3))])
        a, b, c, d = nodes[tets].swapaxes(0, 1)
        inverted = np.einsum("ij,ij->i", np.cross(b - a, c - a), d - a) < 0
        tets[inverted] = tets[inverted][:, [1, 0, 2, 3]]
        triangles = boundary_triangles(tets.astype(np.int32))
        x, _, z = nodes[triangles].mean(axis=1).T
        surface = np.select(
            [z == edge_mm, x == 0, x == edge_mm],
            [Surface.BASE, Surface.LV_ENDOCARDIUM, Surface.RV_ENDOCARDIUM],
            Surface.EPICARDIUM,
        )
        along = np.array(fibre) / np.linalg.norm(fibre)
        across = np.cross(along, np.eye(3)[np.abs(along).argmin()])
        right = nodes[:, 0] > edge_mm / 2
        return Heart(
            nodes_mm=nodes,
            tets=tets,
            triangles=triangles,
            surface=surface,
            tissue=np.zeros(len(tets)),
            fibres=np.tile(along, (len(tets), 1)),
            sheets=np.tile(across / np.linalg.norm(across), (len(tets), 1)),
            coordinates=Coordinates(
                apicobasal=nodes[:, 2] / edge_mm,
                transmural=np.full(len(nodes), 0.5),
                rotational=nodes[:, 1] / (edge_mm + 1),
                transventricular=right,
                aha=np.where(right, 0, 1),
            ),
        )

    return make


def _steps_through_a_cell(corner: np.ndarray, strides: np.ndarray) -> np.ndarray:
    """(cells, 4) the tetrahedron from one corner of each cell to the opposite one, one axis after the other."""
    return np.stack([corner + total for total in (0, *np.cumsum(strides))], axis=1)
