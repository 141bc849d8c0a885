"""The small heart again, turned and moved; and a heart that others made."""

from pathlib import Path

import numpy as np
import pytest
import pyvista as pv
from scipy.spatial.transform import Rotation

from anatomy.build import complete_heart
from anatomy.heart import Heart, HeartMesh
from anatomy.orientation import RigidTransform

CRTDEMO = Path(__file__).parents[2] / "../shared/data/patients/crtdemo/heart.vtu"


@pytest.fixture(scope="session")
def motion() -> RigidTransform:
    """A turn far from the identity, about a point far from the heart."""
    turn = Rotation.from_euler("xyz", [40.0, -70.0, 130.0], degrees=True).as_matrix()
    return RigidTransform(rotation=turn, centre_mm=np.array([300.0, -200.0, 77.0]))


@pytest.fixture(scope="session")
def moved_heart(small_heart: Heart, motion: RigidTransform) -> Heart:
    """The small heart after `motion`; everything but its geometry computed anew."""
    return complete_heart(
        HeartMesh(
            nodes_mm=motion.points(small_heart.nodes_mm),
            tets=small_heart.tets,
            triangles=small_heart.triangles,
            surface=small_heart.surface,
        )
    )


@pytest.fixture(scope="session")
def crtdemo() -> Heart:
    """An idealised heart by others, edges of about 5 mm, in LPS; fibres and coordinates are ours."""
    if not CRTDEMO.exists():
        pytest.skip("the crtdemo heart of shared/data is not here")
    grid = pv.read(CRTDEMO)
    cells = grid.cells_dict
    tets, triangles = cells[pv.CellType.TETRA], cells[pv.CellType.TRIANGLE]
    return complete_heart(
        HeartMesh(nodes_mm=grid.points, tets=tets, triangles=triangles, surface=grid.cell_data["surface"][len(tets) :])
    )
