"""What `complete_heart` adds to a mesh and what it leaves alone."""

import numpy as np

from anatomy.build import complete_heart
from anatomy.heart import Heart, HeartMesh, Tissue


def test_a_living_island_in_scar_core_becomes_core(small_heart: Heart) -> None:
    mesh = HeartMesh(
        nodes_mm=small_heart.nodes_mm,
        tets=small_heart.tets,
        triangles=small_heart.triangles,
        surface=small_heart.surface,
    )
    centre = small_heart.nodes_mm[small_heart.tets].mean(axis=1)
    island = int(np.linalg.norm(centre - centre[100], axis=1).argmin())
    tissue = np.zeros(len(mesh.tets), dtype=np.int8)
    around = np.isin(mesh.tets, mesh.tets[island]).any(axis=1)
    tissue[around] = Tissue.CORE
    expected = tissue.copy()
    tissue[island] = Tissue.HEALTHY
    heart = complete_heart(mesh, tissue=tissue, fibres=small_heart.fibres, sheets=small_heart.sheets)
    np.testing.assert_array_equal(heart.tissue, expected)
