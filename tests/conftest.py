"""What tests of several folders share: one small heart."""

import pytest

from anatomy.build import complete_heart
from anatomy.heart import Heart
from anatomy.meshing import mesh_label_map
from anatomy.phantom import Phantom

# Small, with walls thick for its size, so that few tetrahedra fill it without holes.
SMALL_PHANTOM = Phantom(
    lv_diameter_mm=48,
    lv_length_mm=76,
    lv_opening_mm=34,
    lv_wall_mm=10.5,
    lv_apex_wall_mm=8,
    rv_length_mm=64,
    rv_width_mm=28,
    rv_span_mm=58,
    rv_wall_mm=6.5,
    scar_radius_mm=14,
)


@pytest.fixture(scope="session")
def small_heart() -> Heart:
    """About 10,000 nodes in LPS, with an inferolateral infarct that spares the outer 2/5 of the wall."""
    made = mesh_label_map(SMALL_PHANTOM.label_map(voxel_mm=2), edge_mm=3.5)
    return complete_heart(made.mesh, tissue=made.tissue)
